// SPDX-License-Identifier: MIT
/* Clone, deduplicate and map extents by the private ioctls of a mount. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "private.h"

/* A cookie is taken away where its user asks for hundreds at once. */
#define NAME_TRIES 8

bool clone_is_fuse(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC;
}

static int ask(int fd, unsigned long cmd, void *arg)
{
	int err;

	do
		err = ioctl(fd, cmd, arg) < 0 ? -errno : 0;
	while (err == -EINTR);
	return err == -ENOSYS ? -ENOTTY : err;
}

static int name(int fd, __u64 ret_cookie[2])
{
	struct offlay_ioc_name arg = { .version = OFFLAY_ABI_VERSION };
	int err;

	err = ask(fd, OFFLAY_IOC_NAME, &arg);
	if (!err)
		memcpy(ret_cookie, arg.cookie, sizeof(arg.cookie));
	return err;
}

/* The kernel goes by the size that it knows, and only fstat(2) tells it. */
static void tell_size(int fd, uint64_t end)
{
	struct statx stx;

	if (end &&
	    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE,
		  &stx) == 0 &&
	    stx.stx_size >= end)
		return;
	statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &stx);
}

int clone_on_mount(int src_fd, uint64_t src_offset, int dst_fd,
		   uint64_t dst_offset, uint64_t length)
{
	struct offlay_ioc_clone arg;
	int err = -ESTALE;

	for (int i = 0; i < NAME_TRIES && err == -ESTALE; i++) {
		arg = (struct offlay_ioc_clone){
			.version = OFFLAY_ABI_VERSION,
			.src_offset = src_offset,
			.length = length,
			.dst_offset = dst_offset,
		};
		err = name(src_fd, arg.cookie);
		if (!err)
			err = ask(dst_fd, OFFLAY_IOC_CLONE, &arg);
	}
	if (!err)
		tell_size(dst_fd, length ? dst_offset + length : 0);
	return err;
}

/* What the kernel looks at before it asks the destination's filesystem. */
static int check_dedupe(int src_fd, int dst_fd)
{
	struct statx src, dst;
	struct statvfs fs;
	int flags;

	flags = fcntl(dst_fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH))
		return -EBADF;
	if (statx(src_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE,
		  &src) ||
	    statx(dst_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE,
		  &dst))
		return -errno;
	/* What is open for writing is not on a read-only mount. */
	if ((flags & O_ACCMODE) == O_RDONLY && fstatvfs(dst_fd, &fs) == 0 &&
	    (fs.f_flag & ST_RDONLY))
		return -EROFS;
	if (src.stx_dev_major != dst.stx_dev_major ||
	    src.stx_dev_minor != dst.stx_dev_minor)
		return -EXDEV;
	if (S_ISDIR(dst.stx_mode))
		return -EISDIR;
	return S_ISREG(dst.stx_mode) ? 0 : -EINVAL;
}

int clone_dedupe_on_mount(int src_fd, uint64_t src_offset, int dst_fd,
			  uint64_t dst_offset, uint64_t length,
			  uint64_t *ret_deduped)
{
	struct offlay_ioc_dedupe arg;
	int err;

	err = check_dedupe(src_fd, dst_fd);
	if (err)
		return err;
	err = -ESTALE;
	for (int i = 0; i < NAME_TRIES && err == -ESTALE; i++) {
		arg = (struct offlay_ioc_dedupe){
			.version = OFFLAY_ABI_VERSION,
			.src_offset = src_offset,
			.length = length,
			.dst_offset = dst_offset,
		};
		err = name(src_fd, arg.cookie);
		if (!err)
			err = ask(dst_fd, OFFLAY_IOC_DEDUPE, &arg);
	}
	if (err)
		return err;
	if (arg.differs)
		return -EBADE;
	*ret_deduped = arg.deduped;
	return 0;
}

/* Where the next piece begins; false where there is none. */
static bool go_on(struct offlay_ioc_extents *arg, uint64_t end)
{
	const struct offlay_extent *last = &arg->extents[arg->mapped - 1];
	uint64_t next = last->logical + last->length;

	if (arg->mapped < arg->count || (last->flags & FIEMAP_EXTENT_LAST) ||
	    next <= arg->start || next >= end)
		return false;
	arg->start = next;
	arg->length = end - next;
	return true;
}

int clone_map_on_mount(int fd, const struct offlay_map *map,
		       struct offlay_extent *ret_extents, uint32_t *ret_count,
		       uint32_t *ret_flags)
{
	struct offlay_ioc_extents arg = {
		.start = map->start,
		.length = map->length,
	};
	uint64_t end = map->start + map->length;
	uint32_t count = 0, flags = map->flags;
	int err;

	if (end < map->start)
		end = UINT64_MAX;
	do {
		arg.version = OFFLAY_ABI_VERSION;
		arg.map_flags = flags;
		arg.count = (uint32_t)copy_min(map->room - count,
					       OFFLAY_EXTENTS_MAX);
		err = ask(fd, OFFLAY_IOC_EXTENTS, &arg);
		if (err == -EBADR)
			*ret_flags = arg.map_flags;
		if (err)
			return err;
		if (arg.mapped > arg.count && map->room)
			return -EIO;
		if (map->room)
			memcpy(ret_extents + count, arg.extents,
			       arg.mapped * sizeof(*ret_extents));
		count += arg.mapped;
		flags &= ~FIEMAP_FLAG_SYNC; /* once will do */
	} while (count < map->room && arg.mapped && go_on(&arg, end));
	*ret_count = count;
	return 0;
}
