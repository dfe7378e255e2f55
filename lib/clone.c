// SPDX-License-Identifier: MIT
/* Clone, deduplicate and map extents, on a mount of offlayfs and off it. */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "private.h"

/* The answer of another filesystem of FUSE than ours is the kernel's. */
static int foreign(int err)
{
	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

int offlay_clone_range(int src_fd, uint64_t src_offset, int dst_fd,
		       uint64_t dst_offset, uint64_t length)
{
	struct file_clone_range range = {
		.src_fd = src_fd,
		.src_offset = src_offset,
		.src_length = length,
		.dest_offset = dst_offset,
	};
	int err;

	do
		err = ioctl(dst_fd, FICLONERANGE, &range) < 0 ? -errno : 0;
	while (err == -EINTR);
	if (err != -EOPNOTSUPP || !clone_is_fuse(dst_fd))
		return err;
	return foreign(clone_on_mount(src_fd, src_offset, dst_fd, dst_offset,
				      length, UINT64_MAX));
}

int offlay_dedupe_range(int src_fd, uint64_t src_offset, int dst_fd,
			uint64_t dst_offset, uint64_t length,
			uint64_t *ret_deduped)
{
	union {
		struct file_dedupe_range head;
		unsigned char bytes[sizeof(struct file_dedupe_range) +
				    sizeof(struct file_dedupe_range_info)];
	} range = { .head = { .src_offset = src_offset,
			      .src_length = length,
			      .dest_count = 1 } };
	struct file_dedupe_range_info *info = range.head.info;
	int err;

	info->dest_fd = dst_fd;
	info->dest_offset = dst_offset;
	do
		err = ioctl(src_fd, FIDEDUPERANGE, &range) < 0 ? -errno : 0;
	while (err == -EINTR);
	if (err == -EOPNOTSUPP && clone_is_fuse(src_fd))
		return foreign(clone_dedupe_on_mount(src_fd, src_offset, dst_fd,
						     dst_offset, length,
						     UINT64_MAX, ret_deduped));
	if (err)
		return err;
	if (info->status < 0)
		return info->status;
	if (info->status == FILE_DEDUPE_RANGE_DIFFERS)
		return -EBADE;
	*ret_deduped = info->bytes_deduped;
	return 0;
}

static int map_by_kernel(int fd, const struct offlay_map *map,
			 struct offlay_extent *ret_extents, uint32_t *ret_count)
{
	struct fiemap *fiemap;
	int err = 0;

	_Static_assert(sizeof(struct offlay_extent) ==
			       sizeof(struct fiemap_extent),
		       "fiemap_extent");
	fiemap = calloc(1, sizeof(*fiemap) +
				   (size_t)map->room * sizeof(*ret_extents));
	if (!fiemap)
		return -ENOMEM;
	fiemap->fm_start = map->start;
	fiemap->fm_length = map->length;
	fiemap->fm_flags = map->flags;
	fiemap->fm_extent_count = map->room;
	if (ioctl(fd, FS_IOC_FIEMAP, fiemap) < 0)
		err = -errno;
	if (!err && map->room)
		memcpy(ret_extents, fiemap->fm_extents,
		       fiemap->fm_mapped_extents * sizeof(*ret_extents));
	if (!err)
		*ret_count = fiemap->fm_mapped_extents;
	free(fiemap);
	return err;
}

static int map_on_mount(int fd, const struct offlay_map *map,
			struct offlay_extent *ret_extents, uint32_t *ret_count)
{
	struct clone_walk walk;
	uint32_t count = 0;
	int err;

	clone_walk_init(&walk, fd, map);
	do {
		err = clone_walk_next(&walk);
		if (err)
			return err;
		if (!walk.counts)
			memcpy(ret_extents + count, walk.piece.extents,
			       walk.piece.mapped * sizeof(*ret_extents));
		count += walk.piece.mapped;
	} while (!walk.has_ended);
	*ret_count = count;
	return 0;
}

int offlay_extents_map(int fd, const struct offlay_map *map,
		       struct offlay_extent *ret_extents, uint32_t *ret_count)
{
	int err;

	err = map_by_kernel(fd, map, ret_extents, ret_count);
	if (err != -EOPNOTSUPP || !clone_is_fuse(fd))
		return err;
	return foreign(map_on_mount(fd, map, ret_extents, ret_count));
}
