// SPDX-License-Identifier: MIT
/*
 * A process that does nothing but wait for signals, in the process group of
 * the command: what reaches it, too, was meant for the group.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

/* Consumes what is asked for, so that each signal is seen once. */
static void serve(int sock) __attribute__((noreturn));

static void serve(int sock)
{
	int number;

	while (recv(sock, &number, sizeof(number), 0) == sizeof(number)) {
		struct timespec now = { 0 };
		siginfo_t info;
		sigset_t one;
		pid_t sender = 0;

		sigemptyset(&one);
		sigaddset(&one, number);
		if (sigtimedwait(&one, &info, &now) == number)
			sender = info.si_pid ? info.si_pid : -1;
		if (send(sock, &sender, sizeof(sender), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

int run_witness_start(int *ret_sock)
{
	struct timeval patience = { .tv_sec = 1 };
	int socks[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(socks[0]);
		close(socks[1]);
		return err;
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_fds_keep(&socks[1], 1, false);
		/* It ends with the other side, even where that was too late. */
		serve(socks[1]);
	}
	close(socks[1]);
	/* Somebody may have stopped it. */
	setsockopt(socks[0], SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	*ret_sock = socks[0];
	return 0;
}

/*
 * The kernel gives a signal for a group to its newest members first: what we
 * have, the witness, which is younger, has, too.
 */
bool run_witness_saw(int sock, int number)
{
	pid_t sender;

	return send(sock, &number, sizeof(number), MSG_NOSIGNAL) ==
		       sizeof(number) &&
	       recv(sock, &sender, sizeof(sender), 0) == sizeof(sender) &&
	       sender;
}
