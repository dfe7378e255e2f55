/* SPDX-License-Identifier: MIT */
/* What the kernel is told of an inode, and what it may still know of it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "inode.h"

int inode_getattr(struct fs *fs, const struct pin *pin, struct stat *ret_attr)
{
	struct statx stx;
	int err;

	err = inode_statx(pin, STATX_BASIC_STATS, &stx);
	if (err)
		return err;
	inode_show(fs, pin, &stx, ret_attr);
	return 0;
}

void inode_show(struct fs *fs, const struct pin *pin, const struct statx *stx,
		struct stat *ret_attr)
{
	struct inode_table *table = fs->inodes;

	resolve_show(table->resolver, pin->inode->mount, stx, ret_attr);
	inode_io_show(fs, inode_io(pin->inode), stx, ret_attr);
	pthread_mutex_lock(&table->lock);
	pin->inode->opened = false;
	table_unlock(table);
}

int inode_statx(const struct pin *pin, unsigned int mask, struct statx *ret_stx)
{
	int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT;

	return statx(pin->fd, "", flags, mask, ret_stx) ? -errno : 0;
}

/* A coarse clock in milliseconds, which wraps; never 0. */
static uint32_t told_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return ((uint32_t)now.tv_sec * 1000 +
		(uint32_t)(now.tv_nsec / 1000000)) |
	       1;
}

void inode_tell(struct inode *inode, uint32_t nlink)
{
	inode->told = inode->type == S_IFDIR || nlink == 1 ? told_now() : 0;
	inode->opened = inode->files;
}

bool inode_is_told(struct fs *fs, uint64_t dev, uint64_t ino, mode_t type)
{
	struct inode_table *table = fs->inodes;
	double limit = fs->timeout * 1000 * 3 / 4;
	const struct inode *inode;
	bool told;

	pthread_mutex_lock(&table->lock);
	inode = table_find_number(table, dev, ino);
	told = inode && inode->told && !inode->opened && inode->type == type &&
	       (uint32_t)(told_now() - inode->told) < limit;
	table_unlock(table);
	return told;
}
