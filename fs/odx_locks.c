// SPDX-License-Identifier: MIT
/* Byte-range locks that callers hold through the mount, as the kernel lists. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "op_odx.h"

struct held {
	bool is_write;
	bool is_posix; /* else of an open file description */
	int pid;
	uint64_t start, end; /* inclusive */
};

/* The mount's own device number, asked for without a request to ourselves. */
static uint64_t mount_dev(struct odx_state *odx)
{
	uint64_t dev = atomic_load(&odx->dev);
	struct statx stx;

	if (dev)
		return dev;
	if (statx(AT_FDCWD, odx->fs->opt.mountpoint,
		  AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &stx) < 0)
		return 0;
	dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	atomic_store(&odx->dev, dev);
	return dev;
}

static FILE *open_proc(struct fs *fs, const char *name)
{
	FILE *file;
	int fd;

	fd = openat(copy_proc_fd(fs), name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "r");
	if (!file)
		close(fd);
	return file;
}

/* "7: POSIX  ADVISORY  WRITE 612 00:2f:1234 0 EOF"; waiters have an arrow. */
static bool parse(const char *line, uint64_t dev, uint64_t ino,
		  struct held *ret_held)
{
	unsigned int major, minor;
	char kind[8], access[8], end[24];
	uint64_t inode;

	if (sscanf(line,
		   "%*d: %7s %*s %7s %d %x:%x:%" SCNu64 " %" SCNu64 " %23s",
		   kind, access, &ret_held->pid, &major, &minor, &inode,
		   &ret_held->start, end) != 8)
		return false;
	if (makedev(major, minor) != dev || inode != ino)
		return false;
	ret_held->is_posix = !strcmp(kind, "POSIX");
	ret_held->is_write = !strcmp(access, "WRITE");
	ret_held->end = strcmp(end, "EOF") ? strtoull(end, NULL, 10)
					   : UINT64_MAX;
	return ret_held->is_posix || !strcmp(kind, "OFDLCK");
}

/* Requests name threads, locks name processes. */
static int process_of(struct fs *fs, pid_t tid)
{
	char name[32], line[128];
	int pid = 0;
	FILE *file;

	snprintf(name, sizeof(name), "%d/status", (int)tid);
	file = tid ? open_proc(fs, name) : NULL;
	if (!file)
		return 0;
	while (!pid && fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %d", &pid) != 1)
			pid = 0;
	fclose(file);
	return pid;
}

/* Does a line of an fdinfo file name exactly this lock? */
static bool names_lock(const char *line, uint64_t dev, uint64_t ino,
		       const struct held *held)
{
	struct held own;

	return !strncmp(line, "lock:", 5) && parse(line + 5, dev, ino, &own) &&
	       !own.is_posix && own.is_write == held->is_write &&
	       own.start == held->start && own.end == held->end;
}

static bool has_lock(DIR *dir, const char *name, uint64_t dev, uint64_t ino,
		     const struct held *held)
{
	bool found = false;
	char line[256];
	FILE *info;
	int fd;

	fd = openat(dirfd(dir), name, O_RDONLY | O_CLOEXEC);
	info = fd < 0 ? NULL : fdopen(fd, "r");
	if (!info) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && fgets(line, sizeof(line), info))
		found = names_lock(line, dev, ino, held);
	fclose(info);
	return found;
}

/* Locks of a description are listed with each descriptor that it has. */
static bool is_own(struct fs *fs, int process, uint64_t dev, uint64_t ino,
		   const struct held *held)
{
	const struct dirent *entry;
	bool found = false;
	char name[32];
	DIR *dir;
	int fd;

	snprintf(name, sizeof(name), "%d/fdinfo", process);
	fd = openat(copy_proc_fd(fs), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && (entry = readdir(dir)) != NULL)
		found = has_lock(dir, entry->d_name, dev, ino, held);
	closedir(dir);
	return found;
}

int odx_find_lock(struct odx_state *odx, struct file *file, pid_t pid,
		  bool to_write, uint64_t offset, uint64_t length,
		  bool *ret_is_locked)
{
	uint64_t ino = inode_shown_ino(odx->fs, inode_dev(file->inode),
				       inode_ino(file->inode));
	uint64_t dev = mount_dev(odx), end = offset + (length - 1);
	bool is_locked = false;
	struct held held;
	char line[256];
	FILE *locks;
	int process = -1;

	locks = dev ? open_proc(odx->fs, "locks") : NULL;
	if (!locks) { /* no /proc: nobody can know */
		*ret_is_locked = false;
		return 0;
	}
	while (!is_locked && fgets(line, sizeof(line), locks)) {
		if (!parse(line, dev, ino, &held) || held.start > end ||
		    held.end < offset || (!to_write && !held.is_write))
			continue;
		if (process < 0)
			process = process_of(odx->fs, pid);
		if (held.is_posix)
			is_locked = held.pid != process;
		else
			is_locked = !process ||
				    !is_own(odx->fs, process, dev, ino, &held);
	}
	fclose(locks);
	*ret_is_locked = is_locked;
	return 0;
}
