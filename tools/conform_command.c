// SPDX-License-Identifier: MIT
/* Runs the program that is tried, with an eye on its clock and its words. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"

/* The largest file is 5 MiB: whoever writes more will never stop. */
#define FILE_MAX ((rlim_t)64 << 20)

/* One word with its names replaced. */
static char *expand(const char *word, const char *src, const char *dst)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	bool failed;

	if (!out)
		return NULL;
	while (*word) {
		if (!strncmp(word, "{src}", 5) || !strncmp(word, "{dst}", 5)) {
			fputs(word[1] == 's' ? src : dst, out);
			word += 5;
		} else {
			fputc(*word++, out);
		}
	}
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return NULL;
	}
	return text;
}

void conform_command_free(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

char **conform_command_words(char *const *words, const char *src,
			     const char *dst)
{
	size_t count = 0, i;
	char **expanded;

	while (words[count])
		count++;
	expanded = calloc(count + 1, sizeof(*expanded));
	for (i = 0; expanded && i < count; i++) {
		expanded[i] = expand(words[i], src, dst);
		if (!expanded[i]) {
			conform_command_free(expanded);
			return NULL;
		}
	}
	return expanded;
}

void conform_command_quote(FILE *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=.,:/@%{}";

	/* A shell makes no lists of braces with one word in them. */
	if (*word && strspn(word, plain) == strlen(word) &&
	    !(strchr(word, '{') && strchr(word, ','))) {
		fputs(word, out);
		return;
	}
	fputc('\'', out);
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	}
	fputc('\'', out);
}

static void limit(int resource, rlim_t most)
{
	struct rlimit rlimit = { most, most };

	setrlimit(resource, &rlimit);
}

static void run_child(char *const *words, int out_fd, int exec_fd)
{
	sigset_t none;
	int null, err;

	/* A Ctrl-C is for us, and a kill is for all of it. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	limit(RLIMIT_FSIZE, FILE_MAX);
	limit(RLIMIT_CORE, 0);
	null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(out_fd, STDOUT_FILENO);
	dup2(out_fd, STDERR_FILENO);
	execvp(words[0], words);
	err = errno;
	if (write(exec_fd, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static void close_pipe(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/**
 * conform_command_start() - run a program
 * @words: NULL-terminated; the first one is found by PATH
 * @command: set on success
 *
 * Return: 0, or a negative errno, also of the exec itself.
 */
int conform_command_start(char *const *words, struct conform_command *command)
{
	int out[2], exec[2], err = 0;
	pid_t pid;

	*command = (struct conform_command){ .out_fd = -1 };
	if (pipe2(out, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	if (pipe2(exec, O_CLOEXEC)) {
		err = -errno;
		close_pipe(out);
		return err;
	}
	/* Only our end does not wait. */
	fcntl(out[1], F_SETFL, 0);
	pid = fork();
	if (pid == 0)
		run_child(words, out[1], exec[1]);
	err = pid < 0 ? -errno : 0;
	close(out[1]);
	close(exec[1]);
	if (!err && read(exec[0], &err, sizeof(err)) == sizeof(err)) {
		waitpid(pid, NULL, 0);
		err = -err;
	}
	close(exec[0]);
	if (err) {
		close(out[0]);
		return err;
	}
	setpgid(pid, pid);
	command->pid = command->group = pid;
	command->out_fd = out[0];
	return 0;
}

/* Keeps the first words, and lets the program say as many as it likes. */
static void listen_to(struct conform_command *command)
{
	char waste[4096], *to = waste;
	size_t room = sizeof(waste);
	ssize_t count;

	if (command->said_size < sizeof(command->said) - 1) {
		to = command->said + command->said_size;
		room = sizeof(command->said) - 1 - command->said_size;
	}
	count = read(command->out_fd, to, room);
	if (count > 0 && to != waste) {
		command->said_size += (size_t)count;
		command->said[command->said_size] = '\0';
	}
	if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
		close(command->out_fd);
		command->out_fd = -1;
	}
}

static void reap(struct conform_command *command)
{
	if (waitpid(command->pid, &command->status, WNOHANG) != command->pid)
		return;
	command->pid = 0;
	/* What it said last. */
	for (int i = 0; i < 64 && command->out_fd >= 0; i++)
		listen_to(command);
}

bool conform_command_wait(struct conform_command *command, int ms)
{
	int pid_fd = (int)syscall(SYS_pidfd_open, command->pid, 0);
	struct pollfd fds[2] = {
		{ .fd = pid_fd, .events = POLLIN },
		{ .fd = command->out_fd, .events = POLLIN },
	};

	/* Without a descriptor of the process we look every now and then. */
	if (pid_fd < 0 && ms > 10)
		ms = 10;
	if (poll(fds, 2, ms) > 0 && fds[1].revents)
		listen_to(command);
	if (pid_fd >= 0)
		close(pid_fd);
	if (command->pid)
		reap(command);
	return !command->pid;
}

void conform_command_kill(struct conform_command *command, int number)
{
	if (command->group)
		kill(-command->group, number);
}

/* Whatever it left running goes, too. */
void conform_command_done(struct conform_command *command)
{
	conform_command_kill(command, SIGKILL);
	if (command->pid)
		waitpid(command->pid, &command->status, 0);
	command->pid = command->group = 0;
	if (command->out_fd >= 0)
		close(command->out_fd);
	command->out_fd = -1;
}
