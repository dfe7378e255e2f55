// SPDX-License-Identifier: MIT
/* Finds the hole that makes a file sparse, on either side of a copy. */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/magic.h>
#include <unistd.h>

#include "private.h"

/* Return: the offset, @end where there is none before it, or an error. */
static int64_t seek(int fd, uint64_t offset, int whence, uint64_t end)
{
	off_t found = lseek(fd, (off_t)offset, whence);
	int err;

	if (found >= 0)
		return (uint64_t)found < end ? found : (int64_t)end;
	err = -errno;
	/* ENXIO: nothing of the kind up to the end, or shorter by now. */
	if (err == -ENXIO || facts_is_absent(err))
		return (int64_t)end;
	return err;
}

/* A hole, and the data behind it; each at the file's end if there is none. */
struct hole {
	uint64_t start, end;
};

static int seek_hole(int fd, uint64_t size, struct hole *ret_hole)
{
	int64_t start, end;

	start = seek(fd, 0, SEEK_HOLE, size);
	if (start < 0)
		return (int)start;
	end = (int64_t)size;
	if ((uint64_t)start < size)
		end = seek(fd, (uint64_t)start, SEEK_DATA, size);
	if (end < 0)
		return (int)end;
	*ret_hole = (struct hole){ (uint64_t)start, (uint64_t)end };
	return 0;
}

/*
 * A source is sparse when it has any hole, a destination only when data
 * follows the hole: writers of offloaded data must give the file its size
 * first, so a file without data, or with a hole at its end, is no such file.
 */
static bool is_sparse(const struct hole *hole, enum offlay_side side,
		      uint64_t size)
{
	return side == OFFLAY_SOURCE ? hole->start < size : hole->end < size;
}

/*
 * Could SEEK_HOLE take blocks for data that were never written?  On XFS, ext4
 * and others it does, once they were read into the page cache.  btrfs looks at
 * the extents, and is slow to tell of them.
 */
static bool is_misled_by_cache(const struct offlay_facts *facts)
{
	return facts->fs_type != BTRFS_SUPER_MAGIC;
}

/* One way through the extents of a file. */
struct walk {
	uint64_t covered; /* end of the extents so far */
	struct hole hole; /* @start is UINT64_MAX until there is one */
	bool unwritten;	  /* there were blocks that were never written */
	struct facts_batch batch;
};

/* Return: whether the hole, with data behind it, is found. */
static bool walk_extent(struct walk *walk, const struct fiemap_extent *extent)
{
	uint64_t end = extent->fe_logical + extent->fe_length;
	bool unwritten = extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN;

	if (walk->hole.start == UINT64_MAX &&
	    (unwritten || extent->fe_logical > walk->covered))
		walk->hole.start = walk->covered;
	if (unwritten)
		walk->unwritten = true;
	else if (walk->hole.start != UINT64_MAX)
		walk->hole.end = extent->fe_logical;
	if (end > walk->covered)
		walk->covered = end;
	return walk->hole.end;
}

/* With @only_unwritten no further than to the first such extent. */
static int walk_extents(int fd, uint64_t size, uint32_t flags,
			bool only_unwritten, struct walk *walk)
{
	uint64_t offset = 0;
	bool done = false;
	int err;

	walk->covered = 0;
	walk->hole = (struct hole){ UINT64_MAX, 0 };
	walk->unwritten = false;
	while (!done && offset < size) {
		err = facts_batch_read(fd, offset, size, FACTS_BATCH, flags,
				       &walk->batch);
		if (err)
			return err;
		for (uint32_t i = 0; i < walk->batch.count && !done; i++) {
			done = walk_extent(walk,
					   &walk->batch.map.fm_extents[i]);
			if (only_unwritten)
				done = walk->unwritten;
		}
		offset = walk->batch.next;
	}
	if (walk->hole.start > walk->covered)
		walk->hole.start = walk->covered;
	if (!walk->hole.end || walk->hole.end > size)
		walk->hole.end = size;
	return 0;
}

static void found(struct offlay_facts *facts, const struct hole *hole)
{
	facts->hole_offset = hole->start;
	facts->hole_length = hole->end - hole->start;
	facts->sparse |= OFFLAY_BY_HOLE;
}

/*
 * What the extents say where SEEK_HOLE may have been misled.  Blocks whose
 * data is still dirty are unwritten, too: hence FIEMAP_FLAG_SYNC, but only
 * for a file that has such blocks.
 */
static int look_closer(int fd, const struct offlay_facts *facts,
		       struct hole *hole, bool *ret_doubt)
{
	struct walk walk;
	int err;

	err = walk_extents(fd, facts->size, 0, true, &walk);
	if (err || !walk.unwritten)
		return err;
	if (ret_doubt) {
		*ret_doubt = true;
		return 0;
	}
	err = walk_extents(fd, facts->size, FIEMAP_FLAG_SYNC, false, &walk);
	if (!err)
		*hole = walk.hole;
	return err;
}

int facts_holes_probe(int fd, enum offlay_side side, struct offlay_facts *facts,
		      bool *ret_doubt)
{
	struct hole hole = { 0 };
	bool sure;
	int err;

	err = seek_hole(fd, facts->size, &hole);
	if (err)
		return err;
	/* A hole is one, but the data behind it may not be any. */
	sure = side == OFFLAY_SOURCE
		       ? hole.start < facts->size
		       : hole.start < facts->size && hole.end == facts->size;
	if (!sure && is_misled_by_cache(facts))
		err = look_closer(fd, facts, &hole, ret_doubt);
	if (!err && is_sparse(&hole, side, facts->size))
		found(facts, &hole);
	return err;
}
