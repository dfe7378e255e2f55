// SPDX-License-Identifier: MIT
/* Blocks that were allocated, never written, and read into the page cache. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elig_files.h"
#include "mount.h"
#include "offlay.h"
#include "sample.h"

/* Offsets and lengths in blocks; -1 where there is no hole that counts. */
struct row {
	const char *blocks; /* d: data, u: unwritten, w: written over it, h */
	const char *read;   /* r: in the page cache */
	int src_hole, src_length;
	int dst_hole, dst_length;
};

static const struct row rows[] = {
	{ "uuu", "...", 0, 3, -1, 0 },	  { "uuu", "rrr", 0, 3, -1, 0 },
	{ "uuu", "r..", 0, 3, -1, 0 },	  { "uuu", "..r", 0, 3, -1, 0 },
	{ "duu", "rrr", 1, 2, -1, 0 },	  { "ddu", "..r", 2, 1, -1, 0 },
	{ "dud", "rrr", 1, 1, 1, 1 },	  { "udd", "rrr", 0, 1, 0, 1 },
	{ "dhu", "rrr", 1, 2, -1, 0 },	  { "huh", "rrr", 0, 3, -1, 0 },
	{ "uhd", "rrr", 0, 2, 0, 2 },	  { "duhud", "rrrrr", 1, 3, 1, 3 },
	{ "dudud", "rrrrr", 1, 1, 1, 1 }, { "www", "rrr", -1, 0, -1, 0 },
	{ "wuw", "rrr", 1, 1, 1, 1 },	  { "wwu", "rrr", 2, 1, -1, 0 },
	{ "ddd", "rrr", -1, 0, -1, 0 },
};

static void lay_out(int fd, const struct row *row)
{
	static char buf[ELIG_BLOCK];
	struct sample_rng rng = { .state = 1 };
	off_t count = (off_t)strlen(row->blocks), at;

	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(ftruncate(fd, count * ELIG_BLOCK), 0);
	for (off_t i = 0; i < count; i++)
		if (strchr("uw", row->blocks[i]))
			cr_assert_eq(fallocate(fd, 0, i * ELIG_BLOCK,
					       ELIG_BLOCK),
				     0);
	sample_fill(&rng, buf, sizeof(buf));
	for (off_t i = 0; i < count; i++) {
		at = i * ELIG_BLOCK;
		if (strchr("dw", row->blocks[i]))
			cr_assert_eq(pwrite(fd, buf, sizeof(buf), at),
				     sizeof(buf));
	}
	for (off_t i = 0; i < count; i++) {
		at = i * ELIG_BLOCK;
		if (row->read[i] == 'r')
			cr_assert_eq(pread(fd, buf, sizeof(buf), at),
				     sizeof(buf));
	}
}

static void check_side(int fd, const char *name, const struct row *row,
		       enum offlay_side side)
{
	bool is_src = side == OFFLAY_SOURCE;
	int hole = is_src ? row->src_hole : row->dst_hole;
	int length = is_src ? row->src_length : row->dst_length;
	struct offlay_facts facts;

	cr_assert_eq(offlay_facts_gather(fd, side, OFFLAY_DENY_ALL, &facts), 0);
	cr_expect_eq(facts.sparse, hole < 0 ? 0 : OFFLAY_BY_HOLE,
		     "%s, '%s' read '%s', side %d", name, row->blocks,
		     row->read, side);
	if (hole < 0 || !facts.sparse)
		return;
	/* Which part of a hole is named does not matter: it is none of data. */
	cr_expect(facts.hole_offset >= (uint64_t)hole * ELIG_BLOCK &&
			  facts.hole_offset + facts.hole_length <=
				  (uint64_t)(hole + length) * ELIG_BLOCK &&
			  facts.hole_length > 0,
		  "%s, '%s' read '%s', side %d: %llu at %llu", name,
		  row->blocks, row->read, side,
		  (unsigned long long)facts.hole_length,
		  (unsigned long long)facts.hole_offset);
}

static void check_all(enum backing backing)
{
	const char *name = backing_name(backing);
	struct volume volume;
	char path[PATH_MAX];
	int fd;

	if (!backing_is_selected(backing))
		volume_skip(name, "not selected");
	elig_volume(backing, &volume);
	volume_path(path, volume.root, "unwritten");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s", path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		lay_out(fd, &rows[i]);
		check_side(fd, name, &rows[i], OFFLAY_SOURCE);
		check_side(fd, name, &rows[i], OFFLAY_DESTINATION);
		/* Again, with everything written out now. */
		cr_assert_eq(fsync(fd), 0);
		check_side(fd, name, &rows[i], OFFLAY_SOURCE);
		check_side(fd, name, &rows[i], OFFLAY_DESTINATION);
	}
	close(fd);
	unlink(path);
}

Test(elig_unwritten, holes_that_were_read_on_btrfs, .timeout = 60)
{
	check_all(BACKING_BTRFS);
}

Test(elig_unwritten, holes_that_were_read_on_xfs, .timeout = 60)
{
	check_all(BACKING_XFS);
}

Test(elig_unwritten, holes_that_were_read_on_ext4, .timeout = 60)
{
	check_all(BACKING_EXT4);
}

Test(elig_unwritten, holes_that_were_read_on_tmpfs, .timeout = 60)
{
	check_all(BACKING_TMPFS);
}

static ssize_t copy(const struct mount *mount, const char *src, const char *dst)
{
	char path[PATH_MAX];
	int in, out;
	ssize_t n;

	volume_path(path, mount->point, src);
	in = open(path, O_RDONLY | O_CLOEXEC);
	volume_path(path, mount->point, dst);
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	cr_assert(in >= 0 && out >= 0, "%s to %s", src, dst);
	n = copy_file_range(in, NULL, out, NULL, 1 << 20, 0);
	n = n < 0 ? -errno : n;
	close(in);
	close(out);
	return n;
}

/* The same file twice: a verdict that is kept is as good as the first. */
static void copy_through(enum backing backing, enum mount_mode mode)
{
	static const struct row hole = { "uuu", "rrr", 0, 3, -1, 0 };
	static const struct row full = { "www", "...", -1, 0, -1, 0 };
	const char *name = backing_name(backing);
	char dir[PATH_MAX], sparse[PATH_MAX], dense[PATH_MAX];
	struct volume volume;
	struct mount mount;
	int fd[2];

	elig_volume(backing, &volume);
	volume_dir(&volume, "unwritten", dir);
	volume_path(sparse, dir, "sparse");
	volume_path(dense, dir, "dense");
	fd[0] = open(sparse, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	fd[1] = open(dense, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	cr_assert(fd[0] >= 0 && fd[1] >= 0);
	lay_out(fd[0], &hole);
	mount_open_mode(dir, mode, NULL, &mount);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(copy(&mount, "sparse", "to"), -EOPNOTSUPP,
			     "%s, %s, sparse, round %d", name, mode_name(mode),
			     i);
		/* Written over what was allocated, and still dirty. */
		lay_out(fd[1], &full);
		cr_expect_eq(copy(&mount, "dense", "to"), 3 * ELIG_BLOCK,
			     "%s, %s, dense, round %d", name, mode_name(mode),
			     i);
		process_sleep_ms(50);
	}
	close(fd[0]);
	close(fd[1]);
	mount_close(&mount);
}

Test(elig_unwritten, copies_of_them_through_a_mount, .timeout = 120)
{
	static const enum backing backings[] = { BACKING_XFS, BACKING_EXT4,
						 BACKING_BTRFS };

	for (size_t i = 0; i < sizeof(backings) / sizeof(*backings); i++) {
		if (!backing_is_selected(backings[i]))
			continue;
		copy_through(backings[i], MODE_PASSTHROUGH);
		copy_through(backings[i], MODE_NO_PASSTHROUGH);
	}
}
