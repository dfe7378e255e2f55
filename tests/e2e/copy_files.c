// SPDX-License-Identifier: MIT
/* Files of the copy engine's tests on real filesystems, and a model of them. */
#include "copy_files.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sample.h"

#define BLOCK 4096u

void copy_file_open(struct copy_file *file, const char *dir, const char *name,
		    uint64_t room)
{
	*file = (struct copy_file){ .room = room };
	volume_path(file->path, dir, name);
	file->fd =
		open(file->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	cr_assert_geq(file->fd, 0, "%s: %s", file->path, strerror(errno));
	file->bytes = calloc(1, room);
	cr_assert_not_null(file->bytes);
}

void copy_file_close(struct copy_file *file)
{
	close(file->fd);
	free(file->bytes);
}

void copy_file_fill(struct copy_file *file, uint64_t size, uint64_t seed)
{
	struct sample_rng rng = { seed };

	memset(file->bytes, 0, file->room);
	for (uint64_t i = 0; i < size; i++) {
		if (i % 8 == 0)
			sample_next(&rng);
		file->bytes[i] =
			(unsigned char)(1 + (rng.state >> (i % 8 * 8)) % 255);
	}
	file->size = size;
	cr_assert_eq(ftruncate(file->fd, 0), 0);
	cr_assert_eq(pwrite(file->fd, file->bytes, size, 0), (ssize_t)size);
}

void copy_file_punch(struct copy_file *file, uint64_t offset, uint64_t length)
{
	cr_assert_eq(fallocate(file->fd,
			       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)offset, (off_t)length),
		     0, "%s: %s", file->path, strerror(errno));
	memset(file->bytes + offset, 0, length);
}

void copy_file_apply(struct copy_file *dst, uint64_t dst_offset,
		     const struct copy_file *src, uint64_t src_offset,
		     uint64_t copied)
{
	memmove(dst->bytes + dst_offset, src->bytes + src_offset, copied);
	if (copied && dst_offset + copied > dst->size)
		dst->size = dst_offset + copied;
}

bool copy_file_is_as_modelled(const struct copy_file *file)
{
	unsigned char *now = malloc(file->room + 1);
	struct stat st;
	ssize_t n;
	bool same;

	cr_assert_eq(fstat(file->fd, &st), 0);
	n = pread(file->fd, now, file->room + 1, 0);
	same = n == (ssize_t)file->size && st.st_size == n &&
	       memcmp(now, file->bytes, file->size) == 0;
	free(now);
	return same;
}

uint64_t copy_file_shared(const struct copy_file *file, uint64_t offset,
			  uint64_t length)
{
	enum { EXTENTS = 64 };
	struct fiemap *map =
		calloc(1, sizeof(*map) + EXTENTS * sizeof(map->fm_extents[0]));
	uint64_t at = offset, end = offset + length, shared = 0;

	while (at < end) {
		map->fm_start = at;
		map->fm_length = end - at;
		map->fm_flags = 0;
		map->fm_extent_count = EXTENTS;
		cr_assert_eq(ioctl(file->fd, FS_IOC_FIEMAP, map), 0, "%s",
			     strerror(errno));
		if (map->fm_mapped_extents == 0)
			break;
		for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &map->fm_extents[i];
			uint64_t from = e->fe_logical > at ? e->fe_logical : at;
			uint64_t to = e->fe_logical + e->fe_length;

			to = to < end ? to : end;
			if (e->fe_flags & FIEMAP_EXTENT_SHARED && to > from)
				shared += to - from;
			at = to > at ? to : at;
		}
	}
	free(map);
	return shared;
}

uint64_t copy_due_for_clone(uint64_t src_offset, uint64_t dst_offset,
			    uint64_t length, uint64_t src_size,
			    uint64_t dst_size)
{
	uint64_t end = src_offset + length, due = 0;
	uint64_t first = (src_offset + BLOCK - 1) / BLOCK * BLOCK;

	if (src_offset % BLOCK != dst_offset % BLOCK)
		return 0;
	for (uint64_t at = first; at < end; at += BLOCK) {
		if (at + BLOCK <= end)
			due += BLOCK;
		else if (end == src_size && dst_offset + length >= dst_size)
			due += end - at;
	}
	return due;
}

void copy_each_backing(void (*run)(enum backing backing, const char *dir))
{
	for (enum backing b = 0; b < BACKING_COUNT; b++) {
		struct volume volume;
		char dir[PATH_MAX];

		if (!backing_is_selected(b))
			continue;
		volume_get(b, 0, &volume);
		volume_dir(&volume, "copy", dir);
		run(b, dir);
	}
}
