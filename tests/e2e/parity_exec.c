/* SPDX-License-Identifier: MIT */
/* Parity with the backing: running programs that lie on it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "parity.h"

static int run_script(struct parity *p, void *arg)
{
	char *argv[] = { arg, NULL };

	(void)p;
	execv(arg, argv);
	return errno;
}

static void executing(struct parity *p)
{
	int fd;

	make_file(p, "script", "#!/bin/sh\nexit 7\n");
	CALL(p, join(spawn(run_script, p, "./script")));
	CALL(p, chmod("script", 0755));
	CALL(p, join(spawn(run_script, p, "./script")));
	COMMAND(NULL, "cp", "/bin/true", "true");
	fd = OPEN(p, open("true", O_WRONLY));
	CALL(p, join(spawn(run_script, p, "./true")));
	close(fd);
	CALL(p, join(spawn(run_script, p, "./true")));
	CALL(p, chmod("true", 0644));
	CALL(p, join(spawn(run_script, p, "./true")));
}

static int sleep_a_while(struct parity *p, void *arg)
{
	(void)p;
	(void)arg;
	execl("./sleep", "sleep", "5", NULL);
	return errno;
}

static void text_busy(struct parity *p)
{
	char exe[64], target[16] = "";
	pid_t pid;

	COMMAND(NULL, "cp", "/bin/sleep", "sleep");
	pid = spawn(sleep_a_while, p, NULL);
	snprintf(exe, sizeof(exe), "/proc/%d/comm", (int)pid);
	for (int i = 0; i < 1000 && strcmp(target, "sleep\n") != 0; i++) {
		FILE *file = fopen(exe, "r");

		if (file && !fgets(target, sizeof(target), file))
			target[0] = '\0';
		if (file)
			fclose(file);
		process_sleep_ms(2);
	}
	CALL(p, open("sleep", O_WRONLY));
	CALL(p, open("sleep", O_RDWR | O_TRUNC));
	CALL(p, truncate("sleep", 0));
	CALL(p, open("sleep", O_RDONLY) >= 0);
	CALL(p, unlink("sleep"));
	CALL(p, kill(pid, SIGTERM));
	CALL(p, join(pid));
}

static void suid_program(struct parity *p)
{
	struct command_result result;

	COMMAND(NULL, "cp", "/usr/bin/id", "id");
	CALL(p, chmod("id", 04755));
	CALL(p, chmod(".", 0755));
	command_run((char *[]){ "./id", "-u", NULL }, &alice, 10, &result);
	note(p, "%d %s", result.status, result.out);
	CALL(p, chown("id", bob.uid, bob.gid));
	CALL(p, chmod("id", 06755));
	command_run((char *[]){ "./id", "-g", NULL }, &alice, 10, &result);
	note(p, "%d %s", result.status, result.out);
}

static const struct parity_row rows[] = {
	{ "executing", executing, 0 },
	{ "ETXTBSY", text_busy, 0 },
	{ "suid program", suid_program, ROW_ROOT },
};

PARITY_TOPIC(exec, rows);
