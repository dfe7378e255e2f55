// SPDX-License-Identifier: MIT
/* Asks the filesystem where a file's data is: FIEMAP, else SEEK_HOLE. */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "map.h"
#include "offlay.h"
#include "offlay_uapi.h"

#define BATCH	    256
#define EXTENTS_MAX (4u << 20)

/* Flags that a picture depends on. */
#define KIND_FLAGS                                              \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |       \
	 FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED | \
	 FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_UNWRITTEN |  \
	 FIEMAP_EXTENT_SHARED)
/* Without an address, or with one that does not grow with the offset. */
#define ODD_FLAGS                                         \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | \
	 FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_INLINE)

/**
 * map_extents_add() - append one extent, merging it with the one before it
 *
 * Return: 0, -ENOMEM, or -E2BIG where the file has more than 4 Mi extents.
 */
int map_extents_add(struct map_extents *extents,
		    const struct map_extent *extent)
{
	struct map_extent *last =
		extents->count ? &extents->items[extents->count - 1] : NULL;
	struct map_extent *items;
	size_t room;

	if (last && last->flags == extent->flags &&
	    !(extent->flags & ODD_FLAGS) &&
	    last->logical + last->length == extent->logical &&
	    last->physical + last->length == extent->physical) {
		last->length += extent->length;
		return 0;
	}
	if (extents->count == EXTENTS_MAX)
		return -E2BIG;
	if (extents->count == extents->room) {
		room = extents->room ? extents->room * 2 : 64;
		items = reallocarray(extents->items, room, sizeof(*items));
		if (!items)
			return -ENOMEM;
		extents->items = items;
		extents->room = room;
	}
	extents->items[extents->count++] = *extent;
	return 0;
}

void map_extents_done(struct map_extents *extents)
{
	free(extents->items);
	extents->items = NULL;
	extents->count = extents->room = 0;
}

static int take_batch(const struct offlay_extent *batch, uint32_t count,
		      struct map_extents *extents)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++) {
		struct map_extent extent = {
			.logical = batch[i].logical,
			.physical = batch[i].physical,
			.length = batch[i].length,
			.flags = batch[i].flags & KIND_FLAGS,
		};

		err = map_extents_add(extents, &extent);
	}
	return err;
}

/* Of the filesystem, or of the mount of offlayfs before it. */
static int read_fiemap(int fd, struct map_extents *extents)
{
	/* What is not written yet has no place yet. */
	struct offlay_map map = { .flags = FIEMAP_FLAG_SYNC, .room = BATCH };
	const struct offlay_extent *last;
	struct offlay_extent *batch;
	uint32_t count;
	int err;

	batch = calloc(BATCH, sizeof(*batch));
	if (!batch)
		return -ENOMEM;
	do {
		map.length = FIEMAP_MAX_OFFSET - map.start;
		err = offlay_extents_map(fd, &map, batch, &count);
		if (!err)
			err = take_batch(batch, count, extents);
		if (err || count < BATCH)
			break;
		last = &batch[count - 1];
		map.start = last->logical + last->length;
		if (last->flags & FIEMAP_EXTENT_LAST)
			break;
	} while (map.start < FIEMAP_MAX_OFFSET);
	free(batch);
	return err;
}

/* Where nothing better is to be had. */
static int read_holes(int fd, struct map_extents *extents)
{
	struct map_extent extent = { .flags = FIEMAP_EXTENT_UNKNOWN };
	off_t data = 0, hole = 0;
	int err = 0;

	while (!err && (uint64_t)hole < extents->size) {
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return errno == ENXIO ? 0 : -errno;
		extent.logical = (uint64_t)data;
		extent.length = (uint64_t)(hole - data);
		err = map_extents_add(extents, &extent);
	}
	return err;
}

static bool is_absent(int err)
{
	return err == -EOPNOTSUPP || err == -ENOTTY || err == -EINVAL ||
	       err == -ENOSYS || err == -EBADR;
}

/**
 * map_extents_read() - learn where the data of an open file is
 * @fd: regular file; its offset moves
 * @ret_extents: set on success; free with map_extents_done()
 *
 * Data that is not written yet is written out first.
 *
 * Return: 0, -E2BIG, or another negative errno.
 */
int map_extents_read(int fd, struct map_extents *ret_extents)
{
	struct map_extents extents = { 0 };
	struct statfs fs;
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	extents.size = (uint64_t)st.st_size;
	/* A mount may show files that it refuses with larger blocks. */
	extents.block = fstatfs(fd, &fs) < 0 ? 0 : (uint64_t)fs.f_bsize;
	extents.has_physical = true;
	err = read_fiemap(fd, &extents);
	if (is_absent(err)) {
		map_extents_done(&extents);
		extents.has_physical = false;
		err = read_holes(fd, &extents);
	}
	if (err) {
		map_extents_done(&extents);
		return err;
	}
	*ret_extents = extents;
	return 0;
}

/* The subvolumes of one btrfs have different device numbers. */
static bool is_one_btrfs(int fd_a, int fd_b)
{
	struct btrfs_ioctl_fs_info_args a = { 0 }, b = { 0 };

	return ioctl(fd_a, BTRFS_IOC_FS_INFO, &a) == 0 &&
	       ioctl(fd_b, BTRFS_IOC_FS_INFO, &b) == 0 &&
	       !memcmp(a.fsid, b.fsid, sizeof(a.fsid));
}

/* Shows files of other filesystems, under a device number of its own. */
static bool is_layer(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC ||
	       fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

int map_extents_compare(int fd_a, int fd_b, enum map_relation *ret_relation)
{
	struct stat a, b;

	if (fstat(fd_a, &a) < 0 || fstat(fd_b, &b) < 0)
		return -errno;
	if (a.st_dev == b.st_dev || is_one_btrfs(fd_a, fd_b))
		*ret_relation = MAP_ONE_FILESYSTEM;
	else if (is_layer(fd_a) || is_layer(fd_b))
		*ret_relation = MAP_NOT_KNOWN;
	else
		*ret_relation = MAP_TWO_FILESYSTEMS;
	return 0;
}
