// SPDX-License-Identifier: MIT
/* The process that starts the command, and stays until all of it has ended. */
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

/* What the command was given, and is to have. */
struct start {
	const struct run_options *options;
	const sigset_t *mask;
	struct sigaction child; /* of SIGCHLD */
	struct rlimit files;	/* RLIMIT_NOFILE */
};

/* In the new process: asks for supervision, waits for it, and begins. */
static void become_command(int sock, const struct start *start)
	__attribute__((noreturn));

static void become_command(int sock, const struct start *start)
{
	char **command = start->options->command;
	int listener, err;
	char byte, *name;

	err = run_filter_install(&listener);
	if (err) {
		report_error(err == -EBUSY
				     ? "a filter of another supervisor is at "
				       "work here (of another offlay run, or a "
				       "container's), and the kernel allows one"
				     : "cannot install the filter: %s",
			     strerror(-err));
		_exit(RUN_FAILED);
	}
	err = run_fd_send(sock, listener);
	close(listener);
	if (err || recv(sock, &byte, 1, 0) != 1)
		_exit(RUN_FAILED); /* the supervisor has said why */
	close(sock);
	setrlimit(RLIMIT_NOFILE, &start->files);
	sigaction(SIGCHLD, &start->child, NULL);
	sigprocmask(SIG_SETMASK, start->mask, NULL);
	execvp(command[0], command);
	err = errno;
	name = text_quote(command[0]);
	report_error("%s: %s", name, strerror(err));
	_exit(err == ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE);
}

/* As much as can be had: for descriptors, and for what a clone may reach. */
static void raise_limits(struct rlimit *ret_files)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY }, limit;

	getrlimit(RLIMIT_NOFILE, ret_files);
	limit = *ret_files;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (setrlimit(RLIMIT_FSIZE, &all)) {
		getrlimit(RLIMIT_FSIZE, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_FSIZE, &limit);
	}
}

/* Some machines let nobody look into other processes. */
static int check_access(pid_t pid, int sock)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int fd, err = 0;

	if (pidfd < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, sock, 0);
	if (fd < 0)
		err = -errno;
	else
		close(fd);
	close(pidfd);
	return err;
}

/* Return: 0 with the command waiting for a byte on @ret_sock. */
static int start_command(const struct start *start, pid_t *ret_pid,
			 int *ret_sock, int *ret_listener)
{
	int socks[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		close(socks[0]);
		become_command(socks[1], start);
	}
	close(socks[1]); /* the command has it still, by the same number */
	err = run_fd_receive(socks[0], ret_listener);
	if (!err)
		err = check_access(pid, socks[1]);
	*ret_pid = pid;
	*ret_sock = socks[0];
	return err;
}

static void tell(int proxy, int event, int value)
{
	struct run_message message = { event, value };

	send(proxy, &message, sizeof(message), MSG_NOSIGNAL);
}

static bool is_empty_now(int listener)
{
	struct pollfd fd = { listener, 0, 0 };

	return poll(&fd, 1, 0) == 1 && (fd.revents & (POLLHUP | POLLERR));
}

/* The command's changes go to the proxy; orphans end here. */
static bool reap(int proxy, int listener, pid_t command)
{
	bool has_ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) >
	       0) {
		if (pid != command)
			continue;
		has_ended = WIFEXITED(status) || WIFSIGNALED(status);
		if (has_ended && is_empty_now(listener))
			tell(proxy, RUN_ENDED, status);
		else if (!WIFCONTINUED(status))
			tell(proxy, RUN_CHANGED, status);
	}
	return has_ended;
}

static void drain(int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) < 0)
		return;
}

/* Until nobody is left who could ask. */
static void watch(int proxy, int signals, int listener, pid_t command)
{
	bool has_ended = false, is_empty = false;

	while (!has_ended || !is_empty) {
		struct pollfd fds[3] = { { signals, POLLIN, 0 },
					 { is_empty ? -1 : listener, 0, 0 },
					 { has_ended ? -1 : proxy, 0, 0 } };

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents)
			drain(signals);
		has_ended |= reap(proxy, listener, command);
		is_empty |= (fds[1].revents & (POLLHUP | POLLERR)) != 0;
		/* Who kills what stands for the command means the command. */
		if (!has_ended && fds[2].revents) {
			kill(command, SIGKILL);
			close(proxy);
			proxy = -1;
		}
	}
}

static void fail(const char *what, int err) __attribute__((noreturn));

static void fail(const char *what, int err)
{
	report_error("%s: %s", what, strerror(-err));
	_exit(RUN_FAILED);
}

static void fail_to_start(pid_t pid, int err) __attribute__((noreturn));

static void fail_to_start(pid_t pid, int err)
{
	int status;

	if (pid <= 0)
		fail("cannot start a process", err);
	if (err != -ECONNRESET) {
		kill(pid, SIGKILL);
		fail(err == -EPERM ? "this machine lets nobody look into other "
				     "processes (kernel.yama.ptrace_scope)"
				   : "cannot watch the command",
		     err);
	}
	/* It has said why. */
	waitpid(pid, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : RUN_FAILED);
}

void run_supervise(int sock, const struct run_options *options,
		   const sigset_t *mask)
{
	struct start start = { .options = options, .mask = mask };
	struct sigaction plain = { .sa_handler = SIG_DFL };
	static struct run_supervisor supervisor;
	int go = -1, signals, err;
	sigset_t all;
	pid_t pid = 0;
	char byte;

	sigaction(SIGCHLD, &plain, &start.child);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	raise_limits(&start.files);
	err = start_command(&start, &pid, &go, &supervisor.listener);
	if (err)
		fail_to_start(pid, err);
	setsid(); /* what a terminal sends is not for us */
	sigfillset(&all);
	signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	run_fds_keep((int[]){ sock, go, supervisor.listener, signals }, 4,
		     options->verbose);
	if (chdir("/"))
		fail("/", -errno);
	supervisor.verbose = options->verbose;
	supervisor.can_switch = geteuid() == 0;
	err = run_mounts_new(&supervisor.mounts);
	if (!err)
		err = run_workers_start(&supervisor);
	if (err || signals < 0)
		fail("cannot start", err);
	tell(sock, RUN_STARTED, pid);
	if (recv(sock, &byte, 1, 0) != 1 ||
	    send(go, "", 1, MSG_NOSIGNAL) != 1) {
		kill(pid, SIGKILL);
		_exit(RUN_FAILED);
	}
	close(go);
	watch(sock, signals, supervisor.listener, pid);
	_exit(0);
}
