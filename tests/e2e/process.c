/* SPDX-License-Identifier: MIT */
/* Running commands and acting as other users. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "process.h"

long long process_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void process_sleep_ms(int ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

int process_wait(pid_t pid, int timeout_ms, int *ret_status)
{
	long long end = process_now_ms() + timeout_ms;
	int pause_ms = 1;

	for (;;) {
		int status;
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid) {
			*ret_status = status;
			return 0;
		}
		if (got < 0 && errno != EINTR)
			return -errno;
		if (process_now_ms() >= end)
			return -ETIME;
		process_sleep_ms(pause_ms);
		if (pause_ms < 16)
			pause_ms *= 2;
	}
}

const char *errno_name(long err)
{
	const char *name = strerrorname_np((int)(err < 0 ? -err : err));

	return name ? name : "?";
}

int user_become(const struct user *user)
{
	if (setgroups(user->n_groups, user->groups) != 0 ||
	    setresgid(user->gid, user->gid, user->gid) != 0 ||
	    setresuid(user->uid, user->uid, user->uid) != 0)
		return -errno;
	return 0;
}

/* Those of the calling thread; the C library would change every thread's. */
static int set_ids(uid_t uid, gid_t gid, size_t n_groups, const gid_t *groups)
{
	if (syscall(SYS_setgroups, n_groups, groups) != 0 ||
	    syscall(SYS_setresgid, gid, gid, gid) != 0 ||
	    syscall(SYS_setresuid, uid, uid, uid) != 0)
		return -errno;
	return 0;
}

/* What is permitted to the calling thread comes into force. */
static int raise_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) != 0)
		return -errno;
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = data[i].permitted;
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int user_enter(const struct user *user)
{
	/* The effective ones go with the ids, the permitted ones stay. */
	if (prctl(PR_SET_KEEPCAPS, 1) != 0)
		return -errno;
	return set_ids(user->uid, user->gid, user->n_groups, user->groups);
}

int user_leave(void)
{
	int err = raise_capabilities();

	return err ? err : set_ids(0, 0, 0, NULL);
}

int user_call(const struct user *user, int (*fn)(void *arg), void *arg,
	      int timeout_s)
{
	int fds[2], status, result;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		result = user ? user_become(user) : 0;
		if (!result)
			result = fn(arg);
		n = write(fds[1], &result, sizeof(result));
		_exit(n == sizeof(result) ? 0 : 1);
	}
	close(fds[1]);
	if (process_wait(pid, timeout_s * 1000, &status)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		result = -ETIME;
	} else if (read(fds[0], &result, sizeof(result)) != sizeof(result)) {
		result = -EINTR;
	}
	close(fds[0]);
	return result;
}

struct stream {
	int fd;
	char *buf;
	size_t size;
	size_t used;
};

/* Read what is there; what does not fit is read and dropped. */
static void stream_read(struct stream *stream)
{
	char chunk[4096];
	ssize_t n = read(stream->fd, chunk, sizeof(chunk));
	size_t room = stream->size - 1 - stream->used;

	if (n <= 0) {
		if (n == 0 || errno != EINTR) {
			close(stream->fd);
			stream->fd = -1;
		}
		return;
	}
	if ((size_t)n < room)
		room = n;
	memcpy(stream->buf + stream->used, chunk, room);
	stream->used += room;
	stream->buf[stream->used] = '\0';
}

static void streams_drain(struct stream *out, struct stream *err,
			  long long end_ms)
{
	while (out->fd >= 0 || err->fd >= 0) {
		struct pollfd fds[] = { { .fd = out->fd, .events = POLLIN },
					{ .fd = err->fd, .events = POLLIN } };
		long long left = end_ms - process_now_ms();

		if (left <= 0 || poll(fds, 2, (int)left) == 0)
			break;
		if (fds[0].revents)
			stream_read(out);
		if (fds[1].revents)
			stream_read(err);
	}
	if (out->fd >= 0)
		close(out->fd);
	if (err->fd >= 0)
		close(err->fd);
}

static pid_t command_start(char *const argv[], const struct user *user,
			   int out[2], int err[2])
{
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) != 0)
		return -1;
	if (pipe2(err, O_CLOEXEC) != 0) {
		close(out[0]);
		close(out[1]);
		return -1;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		setpgid(0, 0);
		dup2(null, 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		if (user && user_become(user) != 0)
			_exit(126);
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	return pid;
}

int command_run(char *const argv[], const struct user *user, int timeout_s,
		struct command_result *ret)
{
	long long end_ms = process_now_ms() + timeout_s * 1000LL;
	struct command_result unused;
	struct stream out, err;
	int out_fds[2], err_fds[2], status;
	pid_t pid;

	if (!ret)
		ret = &unused;
	memset(ret, 0, sizeof(*ret));
	pid = command_start(argv, user, out_fds, err_fds);
	if (pid < 0) {
		ret->status = -1;
		return -1;
	}
	out = (struct stream){ out_fds[0], ret->out, sizeof(ret->out), 0 };
	err = (struct stream){ err_fds[0], ret->err, sizeof(ret->err), 0 };
	streams_drain(&out, &err, end_ms);
	if (process_wait(pid, (int)(end_ms - process_now_ms()), &status)) {
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		ret->status = -1;
	} else {
		ret->status = WIFEXITED(status) ? WEXITSTATUS(status)
						: 128 + WTERMSIG(status);
	}
	return ret->status;
}
