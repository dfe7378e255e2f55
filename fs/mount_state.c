// SPDX-License-Identifier: MIT
/* Is the mount read-only?  "mount -o remount" changes that without telling. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

/* False: it is not there.  "36 35 0:52 / /mnt rw,noatime shared:1 - fuse.offlayfs /srv ro,user_id=0" */
static bool parse(const char *line, unsigned int major, unsigned int minor,
		  bool *ret_read_only)
{
	unsigned int line_major, line_minor;
	char options[4] = "";
	const char *dash;

	if (sscanf(line, "%*u %*u %u:%u ", &line_major, &line_minor) != 2 ||
	    line_major != major || line_minor != minor)
		return false;
	/* The path before it has no spaces of its own. */
	dash = strstr(line, " - ");
	if (!dash || sscanf(dash, " - %*s %*s %3[a-z,]", options) != 1)
		return false;
	options[2] = options[2] == ',' ? '\0' : options[2];
	*ret_read_only = strcmp(options, "ro") == 0;
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

/* Where nobody can know, it is as it was mounted. */
bool mount_state_read_only(struct fs *fs)
{
	bool read_only = fs->opt.read_only, found = false;
	char *line = NULL;
	size_t size = 0;
	FILE *file;
	int fd;

	fd = openat(copy_proc_fd(fs), "self/mountinfo", O_RDONLY | O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file) {
		if (fd >= 0)
			close(fd);
		return read_only;
	}
	while (!found && getline(&line, &size, file) > 0)
		found = parse(line, fs->dev_major, fs->dev_minor, &read_only);
	free(line);
	fclose(file);
	return read_only;
}
