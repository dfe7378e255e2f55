// SPDX-License-Identifier: MIT
/* offlay run: signals, stops and terminals, as if it were not there. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run_place.h"

static pid_t start(const char *script)
{
	pid_t pid = run_start(NULL, script);

	run_wait_started(pid);
	process_sleep_ms(200); /* its shell sets traps */
	return pid;
}

static void expect_status(pid_t pid, int code, int number)
{
	int status = 0;

	cr_assert_eq(process_wait(pid, 10000, &status), 0);
	if (number)
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == number,
			  "status %x", status);
	else
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == code,
			  "status %x", status);
}

Test(run_signals, are_passed_on)
{
	static const int numbers[] = { SIGTERM, SIGHUP,	 SIGINT, SIGUSR1,
				       SIGUSR2, SIGQUIT, SIGALRM };
	char script[256];
	pid_t pid;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		snprintf(script, sizeof(script),
			 "exec $RUN sh -c \"trap 'exit 50' %d; "
			 "while :; do sleep 0.02; done\"",
			 numbers[i]);
		pid = start(script);
		kill(pid, numbers[i]);
		expect_status(pid, 50, 0);
	}
	/* And one that nobody handles ends both in the same way. */
	pid = start("exec $RUN sleep 20");
	kill(pid, SIGTERM);
	expect_status(pid, 0, SIGTERM);
}

/* Waits for one more line in the file, and then for what must not come. */
static void wait_for_line(const char *file, off_t size)
{
	struct stat st = { 0 };

	for (int i = 0; i < 1000 && st.st_size <= size; i++) {
		process_sleep_ms(10);
		cr_assert_eq(stat(file, &st), 0);
	}
	process_sleep_ms(150);
	cr_assert_eq(stat(file, &st), 0);
	cr_expect_eq(st.st_size, size + 2, "%lld bytes, not %lld",
		     (long long)st.st_size, (long long)size + 2);
}

/* As "kill %1" of a shell does it: the command has it without our help. */
Test(run_signals, for_the_whole_group_come_once)
{
	char script[PATH_MAX], file[] = "/tmp/offlay-signals.XXXXXX";
	int fd = mkstemp(file);
	pid_t pid;

	cr_assert_geq(fd, 0);
	close(fd);
	snprintf(script, sizeof(script),
		 "exec $RUN sh -c \"trap 'echo g' HUP; trap 'exit 7' USR1; "
		 "trap 'echo o' USR2; while :; do sleep 0.02; done >>%s\" "
		 "2>/dev/null",
		 file);
	pid = start(script);
	for (int i = 0; i < 5; i++) {
		kill(-pid, SIGHUP);
		wait_for_line(file, 4 * i);
		kill(pid, SIGUSR2);
		wait_for_line(file, 4 * i + 2);
	}
	kill(pid, SIGUSR1);
	expect_status(pid, 7, 0);
	unlink(file);
}

Test(run_signals, stop_and_continue)
{
	int status = 0;
	pid_t pid;

	pid = start("exec $RUN sh -c 'sleep 0.5; exit 9'");
	kill(pid, SIGTSTP);
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP,
		  "status %x", status);
	process_sleep_ms(700);
	cr_expect_eq(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGCONT);
	expect_status(pid, 9, 0);
	/* The program stops itself. */
	pid = run_start(NULL, "exec $RUN sh -c 'kill -STOP $$; exit 8'");
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	kill(pid, SIGCONT);
	expect_status(pid, 8, 0);
}

static void wait_for(int fd, const char *word)
{
	char text[8192] = "";
	size_t n = 0;

	for (int i = 0; i < 500 && !strstr(text, word); i++) {
		ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);

		if (got > 0)
			n += (size_t)got;
		text[n] = '\0';
		process_sleep_ms(20);
	}
	cr_assert(strstr(text, word), "no %s in: %s", word, text);
}

static void type(int fd, const char *text)
{
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* A shell with job control, on a terminal. */
Test(run_signals, obey_a_terminal)
{
	char line[PATH_MAX + 64];
	int fd, status;
	pid_t pid;

	pid = forkpty(&fd, NULL, NULL, NULL);
	cr_assert_geq(pid, 0);
	if (!pid) {
		setenv("PS1", "", 1);
		execlp("bash", "bash", "--norc", "--noediting", "-i",
		       (char *)NULL);
		_exit(127);
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	snprintf(line, sizeof(line), "R='%s run'; stty -echo; echo set''up\n",
		 mount_tool_path());
	type(fd, line);
	wait_for(fd, "setup");
	type(fd, "$R cat; echo left:$?\n");
	process_sleep_ms(400);
	type(fd, "there and back\n");
	wait_for(fd, "there and back");
	type(fd, "\x1a"); /* ^Z */
	wait_for(fd, "Stopped");
	type(fd, "echo stop''ped:$?; fg\n");
	wait_for(fd, "stopped:");
	process_sleep_ms(200);
	type(fd, "again\n");
	wait_for(fd, "again");
	type(fd, "\x03"); /* ^C */
	process_sleep_ms(200);
	type(fd, "echo code:$?\n");
	wait_for(fd, "code:130");
	type(fd, "$R sh -c 'read x; echo got $x'; echo end''ed\nword\n");
	wait_for(fd, "got word");
	type(fd, "exit\n");
	cr_expect_eq(process_wait(pid, 10000, &status), 0);
	close(fd);
}
