// SPDX-License-Identifier: MIT
/* The private overlay, and the rules that it answers by. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conform.h"
#include "daemon.h"
#include "tools.h"

#define MOUNT_MS 20000

/*
 * Only the rules refuse anything; what the program does not share, nobody
 * shares for it; and the corpus is made anew behind the kernel's back.
 */
#define OPTIONS "deny=none,offload=auto,no_accel,cache=none,log=err"

/* What the daemon had to say is why it did not mount. */
static void report_log(const struct conform_mount *mount)
{
	char text[512];
	ssize_t size = pread(mount->log_fd, text, sizeof(text) - 1, 0);

	text[size > 0 ? size : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	report_error("the overlay did not mount%s%s", *text ? ": " : "", text);
}

/**
 * conform_mount_start() - mount the overlay on the place
 * @mount: its place is set, and all else is zero or as it was stopped
 *
 * Return: an exit code.
 */
int conform_mount_start(struct conform_mount *mount)
{
	const struct conform_place *place = mount->place;
	struct stat before;
	int err = 0;

	if (!daemon_find(mount->daemon, sizeof(mount->daemon))) {
		report_error("offlayfs is not beside this program nor in $PATH "
			     "nor named by $OFFLAYFS");
		return TOOL_FAILED;
	}
	mount->fd = -1;
	if (mount->log_fd <= 0)
		mount->log_fd = memfd_create("log", MFD_CLOEXEC);
	if (mount->log_fd < 0 || stat(place->point, &before) < 0)
		err = -errno;
	if (!err)
		mount->pid = daemon_start(mount->daemon, OPTIONS, place->root,
					  place->point, mount->log_fd);
	if (!err && mount->pid < 0)
		err = mount->pid;
	if (err) {
		mount->pid = 0;
		report_error("the overlay did not mount: %s", strerror(-err));
		return TOOL_FAILED;
	}
	err = daemon_wait_mounted(mount->pid, place->point, before.st_dev,
				  MOUNT_MS);
	if (err == -ECHILD)
		mount->pid = 0;
	if (!err) {
		mount->fd =
			open(place->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = mount->fd < 0 ? -errno : 0;
	}
	if (!err)
		return TOOL_OK;
	report_log(mount);
	conform_mount_stop(mount);
	return TOOL_FAILED;
}

void conform_mount_stop(struct conform_mount *mount)
{
	if (mount->fd >= 0)
		close(mount->fd);
	mount->fd = -1;
	if (mount->pid > 0)
		daemon_stop(mount->pid, mount->place->point);
	mount->pid = 0;
}
