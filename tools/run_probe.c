// SPDX-License-Identifier: MIT
/* Can a program be supervised here?  Tried with a child that asks nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

static void child(int sock) __attribute__((noreturn));

static void child(int sock)
{
	int listener, err;
	char byte;

	err = run_filter_install(&listener);
	if (err)
		_exit(-err & 0x7f);
	if (run_fd_send(sock, listener) || recv(sock, &byte, 1, 0) < 0)
		_exit(0);
	_exit(0);
}

static int look_into(pid_t pid, int sock)
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

int run_probe(const char **ret_step)
{
	int socks[2], listener, status = 0, err;
	pid_t pid;

	*ret_step = "cannot start a process";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	pid = fork();
	if (!pid) {
		close(socks[0]);
		child(socks[1]);
	}
	if (pid < 0)
		return -errno;
	close(socks[1]); /* the child has it still, by the same number */
	err = run_fd_receive(socks[0], &listener);
	if (!err) {
		*ret_step = "cannot look into other processes";
		err = look_into(pid, socks[1]);
		close(listener);
	} else {
		*ret_step = "cannot install a seccomp filter with a listener";
	}
	close(socks[0]);
	waitpid(pid, &status, 0);
	if (err == -ECONNRESET && WIFEXITED(status))
		err = -WEXITSTATUS(status);
	return err;
}
