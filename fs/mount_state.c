// SPDX-License-Identifier: MIT
/* What /proc/self/mountinfo says: "mount -o remount" tells nobody. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

struct device {
	unsigned int major, minor;
	bool read_only;
};

/* "36 35 0:52 / /mnt rw,noatime shared:1 - fuse.offlayfs /srv ro,user_id=0" */
static bool is_of_device(const char *line, void *arg)
{
	struct device *device = arg;
	unsigned int major, minor;
	char options[4] = "";
	const char *dash;

	if (sscanf(line, "%*u %*u %u:%u ", &major, &minor) != 2 ||
	    major != device->major || minor != device->minor)
		return false;
	/* The path before it has no spaces of its own. */
	dash = strstr(line, " - ");
	if (!dash || sscanf(dash, " - %*s %*s %3[a-z,]", options) != 1)
		return false;
	options[2] = options[2] == ',' ? '\0' : options[2];
	device->read_only = strcmp(options, "ro") == 0;
	return true;
}

/* Nothing is asked of ourselves: only the number of the device is wanted. */
void mount_state_note(struct fs *fs)
{
	struct statx stx;

	if (statx(AT_FDCWD, fs->opt.mountpoint,
		  AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, 0,
		  &stx))
		return;
	fs->dev_major = stx.stx_dev_major;
	fs->dev_minor = stx.stx_dev_minor;
}

bool mount_state_find(struct fs *fs, bool (*is_it)(const char *line, void *arg),
		      void *arg)
{
	bool found = false;
	char *line = NULL;
	size_t size = 0;
	FILE *file;
	int fd;

	fd = openat(copy_proc_fd(fs), "self/mountinfo", O_RDONLY | O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && getline(&line, &size, file) > 0)
		found = is_it(line, arg);
	free(line);
	fclose(file);
	return found;
}

/* Where nobody can know, it is as it was mounted. */
bool mount_state_read_only(struct fs *fs)
{
	struct device device = { fs->dev_major, fs->dev_minor, false };

	return mount_state_find(fs, is_of_device, &device) ? device.read_only
							   : fs->opt.read_only;
}
