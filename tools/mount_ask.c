// SPDX-License-Identifier: MIT
/* Asks an offlayfs mount what it knows of itself. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mount_stats.h"
#include "tools.h"

int mount_ask_open(const char *path, int *ret_fd)
{
	struct statfs fs;
	int err = 0;
	int fd;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* To other filesystems the numbers may mean anything. */
	if (fstatfs(fd, &fs) < 0)
		err = -errno;
	else if (fs.f_type != FUSE_SUPER_MAGIC)
		err = -ENOTTY;
	if (err) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

static int ask(int fd, unsigned long request, void *arg)
{
	if (ioctl(fd, request, arg) == 0)
		return 0;
	return errno == ENOSYS ? -ENOTTY : -errno;
}

int mount_ask_stats(int fd, struct offlay_ioc_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->version = OFFLAY_ABI_VERSION;
	return ask(fd, OFFLAY_IOC_STATS, ret_stats);
}

int mount_ask_trace(int fd, unsigned int flags, struct offlay_ioc_trace *trace)
{
	int err;

	memset(trace, 0, offsetof(struct offlay_ioc_trace, data));
	trace->version = OFFLAY_ABI_VERSION;
	trace->flags = flags;
	err = ask(fd, OFFLAY_IOC_TRACE_READ, trace);
	if (!err && trace->size > sizeof(trace->data))
		return -EBADMSG;
	return err;
}

int mount_ask_failed(const char *path, int err)
{
	char *quoted = text_quote(path);

	switch (err) {
	case -ENOTTY:
		report_error("%s: not on an offlayfs mount", quoted);
		break;
	case -EPERM:
		report_error("%s: only the user who mounted, and root, may "
			     "see who does what",
			     quoted);
		break;
	case -ENOTCONN:
	case -ECONNABORTED:
		report_error("%s: its offlayfs has ended", quoted);
		break;
	default:
		report_error("%s: %s", quoted, strerror(-err));
	}
	free(quoted);
	return TOOL_FAILED;
}
