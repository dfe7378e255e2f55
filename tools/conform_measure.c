// SPDX-License-Identifier: MIT
/* Looks at what the program left behind, on the backing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conform.h"
#include "map.h"
#include "tools.h"

#define CHUNK ((size_t)128 << 10)

/* Bytes from the start that two files have in common. */
static int count_same(int a_fd, int b_fd, uint64_t *ret_same)
{
	char *a = malloc(CHUNK), *b = malloc(CHUNK);
	uint64_t same = 0;
	int err = a && b ? 0 : -ENOMEM;

	while (!err) {
		ssize_t n_a = read_fully(a_fd, a, CHUNK, same);
		ssize_t n_b = read_fully(b_fd, b, CHUNK, same), n, i;

		if (n_a < 0 || n_b < 0) {
			err = (int)(n_a < 0 ? n_a : n_b);
			break;
		}
		n = n_a < n_b ? n_a : n_b;
		for (i = 0; i < n && a[i] == b[i]; i++)
			;
		same += (uint64_t)i;
		if (i < (ssize_t)CHUNK)
			break;
	}
	free(a);
	free(b);
	if (!err)
		*ret_same = same;
	return err;
}

static int compare_with(int fd, int dir_fd, const char *name,
			uint64_t *ret_size, uint64_t *ret_same)
{
	int kept = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int err;

	if (kept < 0)
		return -errno;
	err = fstat(kept, &st) < 0 ? -errno : 0;
	if (!err && fd >= 0)
		err = count_same(fd, kept, ret_same);
	if (!err)
		*ret_size = (uint64_t)st.st_size;
	close(kept);
	return err;
}

/* Return: a descriptor, -ENOENT where there is none, or another error. */
static int open_dst(int dir_fd, const char *name,
		    struct conform_outcome *outcome)
{
	struct stat st;
	int fd;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	outcome->is_there = true;
	outcome->is_file = S_ISREG(st.st_mode);
	outcome->size = (uint64_t)st.st_size;
	if (!outcome->is_file)
		return -ENOENT;
	/* Only root may read everything: a program may leave mode 0200. */
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0600, 0) == 0)
		fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/**
 * conform_measure() - fill in what the judge needs to know of the files
 * @dst_dir_fd: directory that the copy should be in
 *
 * Return: 0, or a negative errno where something of ours could not be read.
 */
int conform_measure(struct conform_run *run, const struct conform_cell *cell,
		    int dst_dir_fd, struct conform_outcome *outcome)
{
	const char *name = cell->file->path;
	int kept_fd = run->place->kept_fd;
	int fd = open_dst(dst_dir_fd, name, outcome);
	int err;

	if (fd < 0 && fd != -ENOENT)
		return fd;
	err = compare_with(fd, kept_fd, name, &outcome->old_size,
			   &outcome->same_old);
	if (!err && outcome->action != CONFORM_NOTHING)
		err = compare_with(fd, kept_fd, CONFORM_CHANGED,
				   &outcome->new_size, &outcome->same_new);
	if (fd >= 0)
		close(fd);
	return err;
}

bool conform_measure_src(struct conform_run *run,
			 const struct conform_file *file)
{
	uint64_t size = 0, same = 0;
	struct stat st;
	int fd = openat(run->place->in_fd, file->path,
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int err;

	if (fd < 0)
		return false;
	err = fstat(fd, &st) < 0 ? -errno : 0;
	if (!err)
		err = compare_with(fd, run->place->kept_fd, file->path, &size,
				   &same);
	close(fd);
	return !err && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size &&
	       same == size;
}

static enum conform_part part_of(uint64_t part, uint64_t whole)
{
	if (!whole)
		return CONFORM_NA;
	if (part >= whole)
		return CONFORM_WHOLE;
	return part ? CONFORM_SOME : CONFORM_NO_PART;
}

/* Blocks that hold data to the end of the file: all that can be shared. */
static uint64_t data_of(const struct map_layout *layout)
{
	return layout->bytes[MAP_DATA] + layout->bytes[MAP_COMPRESSED];
}

static uint64_t holes_of(const struct map_layout *layout)
{
	return layout->bytes[MAP_HOLE] + layout->bytes[MAP_UNWRITTEN];
}

static void judge_extents(struct conform_run *run, struct map_layout *src,
			  struct map_layout *dst, struct conform_cell *cell)
{
	uint64_t data = data_of(src), kept = holes_of(dst);
	struct map_sharing sharing;

	cell->holes = part_of(kept < holes_of(src) ? kept : holes_of(src),
			      holes_of(src));
	/* A few bytes lie in the inode, and take no room of their own. */
	for (size_t i = 0; i < src->count; i++)
		if (!src->pieces[i].has_physical &&
		    src->pieces[i].kind != MAP_HOLE)
			data = 0;
	if (!run->place->has_reflink || !run->place->has_fiemap || !data)
		return;
	if (map_layout_compare(src, dst, &sharing))
		return;
	cell->shared = part_of(sharing.bytes, data);
	map_sharing_done(&sharing);
}

static int lay_out(int dir_fd, const char *name, struct map_layout *ret_layout)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct map_extents extents;
	int err;

	if (fd < 0)
		return -errno;
	err = map_extents_read(fd, &extents);
	if (!err) {
		err = map_layout_new(&extents, ret_layout);
		map_extents_done(&extents);
	}
	close(fd);
	return err;
}

/* Are holes still holes, and is the data shared?  Said, not judged. */
void conform_measure_extents(struct conform_run *run, int dst_dir_fd,
			     struct conform_cell *cell)
{
	struct map_layout src, dst;

	cell->holes = cell->shared = CONFORM_NA;
	if (lay_out(run->place->in_fd, cell->file->path, &src))
		return;
	if (!lay_out(dst_dir_fd, cell->file->path, &dst)) {
		judge_extents(run, &src, &dst, cell);
		map_layout_done(&dst);
	}
	map_layout_done(&src);
}
