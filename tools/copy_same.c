// SPDX-License-Identifier: MIT
/* Whether two descriptors are one file, also when a mount lies between. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "copy.h"

static bool is_layered(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return false;
	return fs.f_type == FUSE_SUPER_MAGIC ||
	       fs.f_type == OVERLAYFS_SUPER_MAGIC ||
	       fs.f_type == NFS_SUPER_MAGIC;
}

static bool is_same_time(const struct statx_timestamp *a,
			 const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Fresh: a mount may answer from its cache otherwise. */
static bool examine(int fd, struct statx *ret_st)
{
	return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
		      STATX_BASIC_STATS | STATX_BTIME, ret_st);
}

/**
 * copy_same_inode() - one file, as the kernel sees it
 */
bool copy_same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/**
 * copy_same_file_below() - one file seen through a mount and below it?
 *
 * It has two device numbers then, and truncating one destroys the other.  A
 * layered filesystem shows the inode number and the times of what is below;
 * two files that agree in all of them hold the same bytes anyway (a snapshot).
 */
bool copy_same_file_below(int src_fd, int dst_fd)
{
	struct statx src, dst;

	return (is_layered(src_fd) || is_layered(dst_fd)) &&
	       examine(src_fd, &src) && examine(dst_fd, &dst) &&
	       src.stx_ino == dst.stx_ino && src.stx_size == dst.stx_size &&
	       is_same_time(&src.stx_ctime, &dst.stx_ctime) &&
	       is_same_time(&src.stx_mtime, &dst.stx_mtime);
}

/**
 * copy_same_remember() - what a directory is known by when it is met again
 * @fd: directory
 * @ret_id: set; matches nothing where the directory cannot be examined
 */
void copy_same_remember(int fd, struct copy_identity *ret_id)
{
	struct statx st;

	*ret_id = (struct copy_identity){ 0 };
	if (!examine(fd, &st))
		return;
	ret_id->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	ret_id->ino = st.stx_ino;
	ret_id->is_layered = is_layered(fd);
	ret_id->changed = st.stx_ctime;
	if (!(st.stx_mask & STATX_BTIME))
		return;
	ret_id->birth = st.stx_btime;
}

static bool is_before(const struct statx_timestamp *a,
		      const struct statx_timestamp *b)
{
	return a->tv_sec < b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/**
 * copy_same_dir() - one directory, also when a mount lies between?
 * @met: as it is now
 * @made: as it was when it had just been made
 *
 * Its times change while it is filled, but for the time of its birth.  Where a
 * mount does not tell that one, a directory that has changed since is taken to
 * be the other: better stop at a stranger than copy a tree into itself.
 */
bool copy_same_dir(const struct copy_identity *met,
		   const struct copy_identity *made)
{
	if (!met->ino || met->ino != made->ino)
		return false;
	if (met->dev == made->dev)
		return true;
	if (!met->is_layered && !made->is_layered)
		return false;
	if (met->birth.tv_sec && made->birth.tv_sec)
		return is_same_time(&met->birth, &made->birth);
	return !is_before(&met->changed, &made->changed);
}
