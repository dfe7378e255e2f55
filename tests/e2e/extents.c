/* SPDX-License-Identifier: MIT */
/* How much of a file's data is shared, asked by FIEMAP on the backing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "extents.h"

#define BATCH 128

static void count_extent(const struct fiemap_extent *extent,
			 struct extent_usage *usage)
{
	if (extent->fe_flags & FIEMAP_EXTENT_SHARED)
		usage->shared += extent->fe_length;
	else
		usage->exclusive += extent->fe_length;
	if (extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
		usage->unwritten += extent->fe_length;
	if (extent->fe_flags & FIEMAP_EXTENT_ENCODED)
		usage->encoded += extent->fe_length;
	usage->n_extents++;
}

static int walk(int fd, struct fiemap *map, struct extent_usage *usage)
{
	uint64_t start = 0;

	for (;;) {
		const struct fiemap_extent *last;

		memset(map, 0, sizeof(*map));
		map->fm_start = start;
		map->fm_length = FIEMAP_MAX_OFFSET - start;
		map->fm_flags = FIEMAP_FLAG_SYNC;
		map->fm_extent_count = BATCH;
		if (ioctl(fd, FS_IOC_FIEMAP, map) != 0)
			return -errno;
		for (uint32_t i = 0; i < map->fm_mapped_extents; i++)
			count_extent(&map->fm_extents[i], usage);
		if (map->fm_mapped_extents < BATCH)
			return 0;
		last = &map->fm_extents[map->fm_mapped_extents - 1];
		start = last->fe_logical + last->fe_length;
		if (last->fe_flags & FIEMAP_EXTENT_LAST)
			return 0;
	}
}

int extents_usage(const char *path, struct extent_usage *ret_usage)
{
	struct extent_usage usage = { 0 };
	struct fiemap *map;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	map = malloc(sizeof(*map) + BATCH * sizeof(map->fm_extents[0]));
	if (!map)
		err = -ENOMEM;
	else if (fsync(fd) != 0)
		err = -errno;
	else
		err = walk(fd, map, &usage);
	free(map);
	close(fd);
	if (!err)
		*ret_usage = usage;
	return err;
}
