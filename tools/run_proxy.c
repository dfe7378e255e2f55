// SPDX-License-Identifier: MIT
/* The process that was started: it stands for the command. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "tools.h"

struct proxy {
	int sock; /* -1 when the supervisor is gone */
	int signals;
	int pidfd;   /* of the command */
	int witness; /* socket */
	pid_t pid;
	pid_t supervisor;
	const sigset_t *mask;
};

/* Ends as the command did, but for a core file of ours. */
static int end_as(const struct proxy *proxy, int status)
{
	struct rlimit none = { 0, 0 };
	sigset_t one;
	int number;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	number = WTERMSIG(status);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(number, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	sigprocmask(SIG_SETMASK, proxy->mask, NULL);
	return 128 + number;
}

/* Stops as the command did, until somebody says SIGCONT. */
static void stop_as(int number)
{
	struct sigaction old, action = { .sa_handler = SIG_DFL };
	sigset_t one;

	if (number == SIGSTOP) {
		raise(SIGSTOP);
		return;
	}
	sigaction(number, &action, &old);
	sigemptyset(&one);
	sigaddset(&one, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	/* Here we are stopped. */
	sigprocmask(SIG_BLOCK, &one, NULL);
	sigaction(number, &old, NULL);
}

/*
 * What a terminal sends goes to all of the foreground, so to the command, too;
 * and what anybody sends to its group, it has itself.
 */
static void pass_on(const struct proxy *proxy,
		    const struct signalfd_siginfo *info)
{
	bool has_group = run_witness_saw(proxy->witness, (int)info->ssi_signo);

	if (info->ssi_code == SI_KERNEL || has_group)
		return;
	syscall(SYS_pidfd_send_signal, proxy->pidfd, (int)info->ssi_signo, NULL,
		0);
}

/* Return: true where the command has ended. */
static bool take_status(int status)
{
	if (WIFSTOPPED(status))
		stop_as(WSTOPSIG(status));
	return WIFEXITED(status) || WIFSIGNALED(status);
}

static bool on_message(struct proxy *proxy, int *ret_status)
{
	struct run_message message;
	ssize_t n;

	n = recv(proxy->sock, &message, sizeof(message), 0);
	if (n == (ssize_t)sizeof(message)) {
		/* What the command has used is counted as ours then. */
		if (message.event == RUN_ENDED)
			waitpid(proxy->supervisor, NULL, 0);
		*ret_status = message.value;
		return take_status(message.value);
	}
	if (n < 0 && errno == EINTR)
		return false;
	/* The supervisor is gone, and we are the command's parent now. */
	close(proxy->sock);
	proxy->sock = -1;
	return false;
}

/* Children of ours: the supervisor, and after its end all of the rest. */
static bool reap(struct proxy *proxy, int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (pid != proxy->pid)
			continue;
		*ret_status = status;
		if (take_status(status))
			return true;
	}
	return false;
}

static bool on_signal(struct proxy *proxy, int *ret_status)
{
	struct signalfd_siginfo info;

	if (read(proxy->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGCHLD)
		return reap(proxy, ret_status);
	pass_on(proxy, &info);
	return false;
}

static int wait_for_end(struct proxy *proxy)
{
	int status = 0;

	for (;;) {
		struct pollfd fds[2] = { { proxy->signals, POLLIN, 0 },
					 { proxy->sock, POLLIN, 0 } };

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return RUN_FAILED;
		/* Before any signal: the end is the last word. */
		if (fds[1].revents && on_message(proxy, &status))
			break;
		if (proxy->sock < 0 && reap(proxy, &status))
			break;
		if (fds[0].revents && on_signal(proxy, &status))
			break;
	}
	return end_as(proxy, status);
}

static int wait_for_start(int sock, pid_t *ret_pid)
{
	struct run_message message;
	ssize_t n;

	do
		n = recv(sock, &message, sizeof(message), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(message) || message.event != RUN_STARTED)
		return -ECHILD;
	*ret_pid = (pid_t)message.value;
	return 0;
}

int run_proxy(int sock, pid_t pid, const sigset_t *mask)
{
	struct proxy proxy = { .sock = sock, .supervisor = pid, .mask = mask };
	sigset_t all;
	int status, err;

	/* The supervisor has said what is wrong. */
	if (wait_for_start(sock, &proxy.pid)) {
		waitpid(pid, &status, 0);
		return WIFEXITED(status) && WEXITSTATUS(status)
			       ? WEXITSTATUS(status)
			       : RUN_FAILED;
	}
	sigfillset(&all);
	proxy.signals = signalfd(-1, &all, SFD_CLOEXEC);
	proxy.pidfd = (int)syscall(SYS_pidfd_open, proxy.pid, 0);
	if (proxy.signals < 0 || proxy.pidfd < 0) {
		report_error("cannot watch the command: %s", strerror(errno));
		return RUN_FAILED;
	}
	err = run_witness_start(&proxy.witness);
	if (err) {
		report_error("cannot start a process: %s", strerror(-err));
		return RUN_FAILED;
	}
	run_fds_keep((int[]){ sock, proxy.signals, proxy.pidfd, proxy.witness },
		     4, false);
	if (chdir("/") || send(sock, "", 1, MSG_NOSIGNAL) != 1)
		return RUN_FAILED;
	return wait_for_end(&proxy);
}
