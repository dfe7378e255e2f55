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
static void tell_size(int fd, uint64_t size)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE,
		  &stx) == 0 &&
	    stx.stx_size == size)
		return;
	statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &stx);
}

static uint32_t flags_of(uint64_t size_limit)
{
	return size_limit == UINT64_MAX ? 0 : OFFLAY_SIZE_LIMIT;
}

int clone_on_mount(int src_fd, uint64_t src_offset, int dst_fd,
		   uint64_t dst_offset, uint64_t length, uint64_t size_limit)
{
	struct offlay_ioc_clone arg;
	int err = -ESTALE;

	for (int i = 0; i < NAME_TRIES && err == -ESTALE; i++) {
		arg = (struct offlay_ioc_clone){
			.version = OFFLAY_ABI_VERSION,
			.flags = flags_of(size_limit),
			.size_limit = size_limit,
			.src_offset = src_offset,
			.length = length,
			.dst_offset = dst_offset,
		};
		err = name(src_fd, arg.cookie);
		if (!err)
			err = ask(dst_fd, OFFLAY_IOC_CLONE, &arg);
	}
	if (!err)
		tell_size(dst_fd, arg.dst_size);
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
			  uint64_t size_limit, uint64_t *ret_deduped)
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
			.flags = flags_of(size_limit),
			.size_limit = size_limit,
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

void clone_walk_init(struct clone_walk *walk, int fd,
		     const struct offlay_map *map)
{
	memset(walk, 0, sizeof(*walk));
	walk->fd = fd;
	walk->end = map->start + map->length;
	if (walk->end < map->start)
		walk->end = UINT64_MAX;
	walk->room = map->room;
	walk->counts = !map->room;
	walk->piece.start = map->start;
	walk->piece.length = map->length;
	walk->piece.map_flags = map->flags;
}

/* Where the next piece begins; false where there is none. */
static bool go_on(struct clone_walk *walk)
{
	struct offlay_ioc_extents *piece = &walk->piece;
	const struct offlay_extent *last = &piece->extents[piece->mapped - 1];
	uint64_t next = last->logical + last->length;

	if (piece->mapped < piece->count || !walk->room ||
	    (last->flags & FIEMAP_EXTENT_LAST) || next <= piece->start ||
	    next >= walk->end)
		return false;
	piece->start = next;
	piece->length = walk->end - next;
	/* Once will do. */
	piece->map_flags &= ~FIEMAP_FLAG_SYNC;
	return true;
}

int clone_walk_next(struct clone_walk *walk)
{
	struct offlay_ioc_extents *piece = &walk->piece;
	int err;

	piece->mapped = 0;
	if (walk->has_ended)
		return 0;
	piece->version = OFFLAY_ABI_VERSION;
	piece->count = (uint32_t)copy_min(walk->room, OFFLAY_EXTENTS_MAX);
	err = ask(walk->fd, OFFLAY_IOC_EXTENTS, piece);
	if (err)
		return err;
	if (piece->mapped > piece->count && !walk->counts)
		return -EIO;
	if (!walk->counts)
		walk->room -= piece->mapped;
	walk->has_ended = walk->counts || !piece->mapped || !go_on(walk);
	return 0;
}
