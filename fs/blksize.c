// SPDX-License-Identifier: MIT
/*
 * st_blksize of files that are read by way of the daemon.
 *
 * Each read of an ineligible file costs a round trip, whatever its size.  So it
 * is shown with the block size that is best for it, which diff(1), cmp(1) and
 * the C library's streams go by.
 */
#include "file.h"

/* As large as pays off; the C library allocates as much for a stream. */
#define BLKSIZE 131072

/* As far as it can be told without opening the file. */
static bool looks_ineligible(const struct fs *fs, const struct statx *stx)
{
	unsigned int deny = fs->opt.deny;

	return ((deny & OFFLAY_DENY_SPARSE) &&
		stx->stx_blocks < stx->stx_size / 512) ||
	       ((deny & OFFLAY_DENY_ENCRYPTED) &&
		(stx->stx_attributes & STATX_ATTR_ENCRYPTED)) ||
	       ((deny & OFFLAY_DENY_COMPRESSED) &&
		(stx->stx_attributes & STATX_ATTR_COMPRESSED));
}

void inode_io_show(const struct fs *fs, struct inode_io *io,
		   const struct statx *stx, struct stat *attr)
{
	if (attr->st_blksize >= BLKSIZE || !S_ISREG(attr->st_mode))
		return;
	if ((io && atomic_load(&io->slow)) ||
	    (attr->st_size > BLKSIZE && fs->passthrough &&
	     open_refuses_visibly(fs) && looks_ineligible(fs, stx)))
		attr->st_blksize = BLKSIZE;
}

/* What the kernel knows of its attributes may be older. */
void blksize_grow(struct file *file)
{
	if (!atomic_exchange(&file->io->inode->slow, true))
		fuse_lowlevel_notify_inval_inode(
			file->fs->se, inode_nodeid(file->inode), -1, 0);
}
