// SPDX-License-Identifier: MIT
/* The one seam for system calls that move data, as the kernel answers them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "private.h"

/* Larger f_bsize values are transfer sizes (NFS), not block sizes. */
#define SYS_BLOCK_MAX (64u << 10)

static int sys_clone(void *ctx, int src_fd, uint64_t src_offset,
		     uint64_t length, int dst_fd, uint64_t dst_offset)
{
	struct file_clone_range range = {
		.src_fd = src_fd,
		.src_offset = src_offset,
		.src_length = length,
		.dest_offset = dst_offset,
	};
	int err;

	(void)ctx;
	if (length == 0)
		return -EINVAL;
	do {
		err = ioctl(dst_fd, FICLONERANGE, &range) < 0 ? -errno : 0;
	} while (err == -EINTR);
	if (err != -EOPNOTSUPP)
		return err;
	/* To ask for its type first would be one more request to a mount. */
	err = clone_on_mount(src_fd, src_offset, dst_fd, dst_offset, length,
			     UINT64_MAX);
	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

static ssize_t sys_copy_range(void *ctx, int src_fd, uint64_t src_offset,
			      int dst_fd, uint64_t dst_offset, size_t length)
{
	ssize_t n;

	(void)ctx;
	do {
		off64_t in = (off64_t)src_offset;
		off64_t out = (off64_t)dst_offset;

		n = copy_file_range(src_fd, &in, dst_fd, &out, length, 0);
		if (n < 0)
			n = -errno;
	} while (n == -EINTR);
	return n;
}

static ssize_t sys_pread(void *ctx, int fd, void *buf, size_t size,
			 uint64_t offset)
{
	ssize_t n;

	(void)ctx;
	do {
		n = pread(fd, buf, size, (off_t)offset);
		if (n < 0)
			n = -errno;
	} while (n == -EINTR);
	return n;
}

static ssize_t sys_pwrite(void *ctx, int fd, const void *buf, size_t size,
			  uint64_t offset)
{
	ssize_t n;

	(void)ctx;
	do {
		n = pwrite(fd, buf, size, (off_t)offset);
		if (n < 0)
			n = -errno;
	} while (n == -EINTR);
	return n;
}

static int sys_fallocate(int fd, int mode, uint64_t offset, uint64_t length)
{
	int err;

	do {
		err = fallocate(fd, mode, (off_t)offset, (off_t)length) < 0
			      ? -errno
			      : 0;
	} while (err == -EINTR);
	return err;
}

static int sys_punch(void *ctx, int fd, uint64_t offset, uint64_t length)
{
	(void)ctx;
	return sys_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     offset, length);
}

/*
 * ftruncate() would cut off what somebody else appends between looking at the
 * size and setting it; allocating the last byte can only extend.
 */
static int sys_extend(void *ctx, int fd, uint64_t size)
{
	(void)ctx;
	return size ? sys_fallocate(fd, 0, size - 1, 1) : 0;
}

static int64_t sys_seek(void *ctx, int fd, uint64_t offset, int whence)
{
	off_t found;

	(void)ctx;
	found = lseek(fd, (off_t)offset, whence);
	return found < 0 ? -errno : found;
}

static int sys_stat(void *ctx, int fd, struct sys_file *ret_file)
{
	struct stat st;

	(void)ctx;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_file = (struct sys_file){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.blocks = (uint64_t)st.st_blocks,
		.ctime_sec = st.st_ctim.tv_sec,
		.ctime_nsec = (uint32_t)st.st_ctim.tv_nsec,
		.mode = st.st_mode,
	};
	return 0;
}

static int sys_volume(void *ctx, int fd, struct sys_volume *ret_volume)
{
	struct statfs fs;
	uint64_t block;

	(void)ctx;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	block = (uint64_t)fs.f_bsize;
	if (block < 512 || block > SYS_BLOCK_MAX || (block & (block - 1)))
		block = 0;
	*ret_volume = (struct sys_volume){
		.type = (uint32_t)fs.f_type,
		.block_size = (uint32_t)block,
	};
	_Static_assert(sizeof(fs.f_fsid) == sizeof(ret_volume->fsid), "fsid");
	memcpy(&ret_volume->fsid, &fs.f_fsid, sizeof(ret_volume->fsid));
	return 0;
}

static int sys_open_flags(void *ctx, int fd)
{
	int flags;

	(void)ctx;
	flags = fcntl(fd, F_GETFL);
	return flags < 0 ? -errno : flags;
}

static uint64_t sys_now(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* cachestat(2) is new in Linux 6.5; the C library has no name for it yet. */
#define SYS_CACHESTAT 451

struct cachestat_range {
	uint64_t off, len;
};

struct cachestat {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static int64_t sys_cached(void *ctx, int fd, uint64_t offset, uint64_t length)
{
	struct cachestat_range range = { offset, length };
	struct cachestat stat = { 0 };

	(void)ctx;
	if (syscall(SYS_CACHESTAT, fd, &range, &stat, 0) < 0)
		return -errno;
	return (int64_t)stat.cached * sysconf(_SC_PAGESIZE);
}

static void sys_drop(void *ctx, int fd, uint64_t offset, uint64_t length)
{
	(void)ctx;
	posix_fadvise(fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED);
}

static void sys_write_back(void *ctx, int fd, uint64_t offset, uint64_t length,
			   bool wait)
{
	unsigned int flags = SYNC_FILE_RANGE_WRITE;

	(void)ctx;
	if (wait)
		flags |= SYNC_FILE_RANGE_WAIT_BEFORE |
			 SYNC_FILE_RANGE_WAIT_AFTER;
	sync_file_range(fd, (off_t)offset, (off_t)length, flags);
}

const struct sys_ops sys_kernel_ops = {
	.clone = sys_clone,
	.copy_range = sys_copy_range,
	.pread = sys_pread,
	.pwrite = sys_pwrite,
	.punch = sys_punch,
	.extend = sys_extend,
	.seek = sys_seek,
	.stat = sys_stat,
	.volume = sys_volume,
	.open_flags = sys_open_flags,
	.now = sys_now,
	.cached = sys_cached,
	.drop = sys_drop,
	.write_back = sys_write_back,
};
