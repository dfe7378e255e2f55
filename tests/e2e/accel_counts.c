// SPDX-License-Identifier: MIT
/* What the counters of a mount say of copies by read and write, exactly. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "accel.h"
#include "sample.h"
#include "volume.h"

#define MIB   (1u << 20)
#define PIECE (128u << 10)

struct count_case {
	const char *name;
	uint64_t size;	     /* of the source */
	size_t piece;	     /* of each write */
	unsigned int spoilt; /* so many writes have a byte of their own */
	bool busy;	     /* somebody has the source open for writing */
	uint64_t hits, misses, shared, written;
	enum offlay_accel why;
	uint64_t times;
};

static const struct count_case cases[] = {
	{ "whole pieces", 4 * MIB, PIECE, 0, false, 32, 0, 4 * MIB, 0,
	  OFFLAY_ACCEL_SHARED, 32 },
	{ "and a byte", 4 * MIB + 1, PIECE, 0, false, 33, 0, 4 * MIB + 1, 0,
	  OFFLAY_ACCEL_SHARED, 33 },
	{ "pieces of a megabyte", 4 * MIB, MIB, 0, false, 4, 0, 4 * MIB, 0,
	  OFFLAY_ACCEL_SHARED, 4 },
	/* Gathered, up to each multiple of 256 KiB. */
	{ "pieces off the blocks", 900000, 300000, 0, false, 4, 0, 900000, 0,
	  OFFLAY_ACCEL_SHARED, 4 },
	{ "small pieces", 4 * MIB, 4096, 0, false, 16, 0, 4 * MIB, 0,
	  OFFLAY_ACCEL_SHARED, 16 },
	{ "small and odd", 300000, 777, 0, false, 2, 0, 300000, 0,
	  OFFLAY_ACCEL_SHARED, 2 },
	{ "just not large", 300000, 100000, 0, false, 2, 0, 300000, 0,
	  OFFLAY_ACCEL_SHARED, 2 },
	{ "one small one", 4 * MIB, 4096, 1, false, 16, 1, 4 * MIB - 4096, 4096,
	  OFFLAY_ACCEL_DIFFERENT, 1 },
	{ "the first three are others", 4 * MIB, PIECE, 3, false, 29, 3,
	  29 * PIECE, 3 * PIECE, OFFLAY_ACCEL_DIFFERENT, 3 },
	/* Nobody looks any more after a megabyte, or 16 of a busy source. */
	{ "all are others", 4 * MIB, PIECE, 32, false, 0, 8, 0, MIB,
	  OFFLAY_ACCEL_DIFFERENT, 8 },
	{ "tiny pieces", 4 * MIB, 500, 0, false, 0, 2098, 0, 2098 * 500,
	  OFFLAY_ACCEL_SMALL, 2098 },
	{ "a busy source", 4 * MIB, PIECE, 0, true, 0, 32, 0, 4 * MIB,
	  OFFLAY_ACCEL_BUSY, 32 },
	{ "a busy source of 32 MiB", 32 * MIB, PIECE, 0, true, 0, 128, 0,
	  16 * MIB, OFFLAY_ACCEL_BUSY, 128 },
};

static void copy(const struct count_case *row, const char *src_path,
		 const char *dst_path)
{
	/* The kernel cuts a megabyte that is not. */
	static _Alignas(4096) unsigned char buf[MIB];
	int src = open(src_path, O_RDONLY);
	int dst = open(dst_path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	ssize_t n;

	cr_assert(src >= 0 && dst >= 0);
	for (unsigned int i = 0; (n = read(src, buf, row->piece)) > 0; i++) {
		if (i < row->spoilt)
			buf[0] ^= 1;
		cr_assert_eq(write(dst, buf, (size_t)n), n);
	}
	close(src);
	close(dst);
}

static void check(const struct count_case *row, const struct mount *mount,
		  const struct offlay_ioc_stats *before)
{
	static const struct {
		const char *name;
		enum offlay_stat stat;
	} counters[] = {
		{ "hits", OFFLAY_STAT_ACCEL_HITS },
		{ "misses", OFFLAY_STAT_ACCEL_MISSES },
		{ "bytes shared", OFFLAY_STAT_ACCEL_BYTES_SHARED },
		{ "bytes written", OFFLAY_STAT_ACCEL_BYTES_WRITTEN },
		{ "bytes shared in all", OFFLAY_STAT_BYTES_SHARED },
	};
	const uint64_t want[] = { row->hits, row->misses, row->shared,
				  row->written, row->shared };
	struct offlay_ioc_stats after;

	accel_counters(mount, &after);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		cr_expect_eq(
			after.counters[counters[i].stat] -
				before->counters[counters[i].stat],
			want[i], "%s: %s: %llu instead of %llu", row->name,
			counters[i].name,
			(unsigned long long)(after.counters[counters[i].stat] -
					     before->counters[counters[i]
								      .stat]),
			(unsigned long long)want[i]);
	cr_expect_eq(after.counters[OFFLAY_STAT_ACCEL_WHY + row->why] -
			     before->counters[OFFLAY_STAT_ACCEL_WHY + row->why],
		     row->times, "%s: why", row->name);
}

static void count(const struct count_case *row, const char *dir,
		  const struct mount *mount)
{
	struct offlay_ioc_stats before;
	char below[PATH_MAX], src[PATH_MAX], dst[PATH_MAX];
	int fd, writer;

	/* A program of its own: no other row speaks for it. */
	prctl(PR_SET_NAME,
	      row->name +
		      (strlen(row->name) > 15 ? strlen(row->name) - 15 : 0));
	usleep(20000);
	volume_path(below, dir, "src");
	sample_file(below, row->size, row->size);
	fd = open(below, O_RDONLY);
	cr_assert_eq(fsync(fd), 0);
	close(fd);
	volume_path(src, mount->point, "src");
	volume_path(dst, mount->point, "dst");
	accel_counters(mount, &before);
	writer = row->busy ? open(below, O_WRONLY) : -1;
	copy(row, src, dst);
	check(row, mount, &before);
	if (writer >= 0)
		close(writer);
	cr_assert_eq(unlink(src), 0);
	cr_assert_eq(unlink(dst), 0);
}

static void count_all(enum backing backing)
{
	struct volume volume;
	struct mount mount;
	char dir[PATH_MAX];

	volume_get(backing, 0, &volume);
	volume_dir(&volume, "counts", dir);
	mount_open(dir, "accel", &mount);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		count(&cases[i], dir, &mount);
	mount_close(&mount);
}

Test(accel_counts, are_exact, .timeout = 120)
{
	if (backing_is_selected(BACKING_BTRFS))
		count_all(BACKING_BTRFS);
	if (backing_is_selected(BACKING_XFS))
		count_all(BACKING_XFS);
}
