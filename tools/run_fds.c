// SPDX-License-Identifier: MIT
/* Descriptors between the processes of offlay run. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run.h"

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

int run_fd_send(int sock, int fd)
{
	union control control = { .header = {
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS,
					  .cmsg_len = CMSG_LEN(sizeof(int)),
				  } };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.room,
				  .msg_controllen = sizeof(control.room) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(sock, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int run_fd_receive(int sock, int *ret_fd)
{
	union control control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.room,
				  .msg_controllen = sizeof(control.room) };
	struct cmsghdr *header;
	ssize_t n;

	n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (n == 0 || !header || header->cmsg_type != SCM_RIGHTS)
		return -ECONNRESET;
	memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
	return 0;
}

static void close_between(unsigned int first, unsigned int last)
{
	if (first <= last)
		syscall(SYS_close_range, first, last, 0);
}

void run_fds_keep(const int *fds, size_t n, bool keep_stderr)
{
	unsigned int from = 3;
	int null;

	for (;;) {
		unsigned int next = ~0u;

		for (size_t i = 0; i < n; i++)
			if ((unsigned int)fds[i] >= from &&
			    (unsigned int)fds[i] < next)
				next = (unsigned int)fds[i];
		if (next == ~0u)
			break;
		close_between(from, next - 1);
		from = next + 1;
	}
	close_between(from, ~0u);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	dup2(null, 0);
	dup2(null, 1);
	if (!keep_stderr)
		dup2(null, 2);
	if (null > 2)
		close(null);
}
