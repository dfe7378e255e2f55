// SPDX-License-Identifier: MIT
/* Programs that open the destination before they open what they copy. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "accel.h"
#include "extents.h"
#include "offlay_trace.h"
#include "process.h"
#include "sample.h"
#include "volume.h"

#define MIB   (1u << 20)
#define PIECE (256u << 10)
#define SIZE  (4u * MIB)
#define PARTS 3u

struct place {
	struct volume volume;
	struct mount mount;
	char dir[PATH_MAX];
	char src[PARTS][PATH_MAX + 16], dst[PATH_MAX + 16]; /* on the mount */
	char below[PATH_MAX + 16]; /* the destination */
};

static void place_open(struct place *place, enum backing backing,
		       enum mount_mode mode)
{
	if (!backing_is_selected(backing))
		volume_skip(backing_name(backing), "not selected");
	volume_get(backing, 0, &place->volume);
	volume_dir(&place->volume, "first", place->dir);
	mount_open_mode(place->dir, mode, "accel", &place->mount);
	for (unsigned int i = 0; i < PARTS; i++) {
		int fd;

		snprintf(place->src[i], sizeof(place->src[i]), "%s/src%u",
			 place->dir, i);
		sample_file(place->src[i], SIZE, 7 + i);
		fd = open(place->src[i], O_RDONLY);
		cr_assert_eq(fsync(fd), 0);
		close(fd);
		snprintf(place->src[i], sizeof(place->src[i]), "%s/src%u",
			 place->mount.point, i);
	}
	snprintf(place->dst, sizeof(place->dst), "%s/dst", place->mount.point);
	snprintf(place->below, sizeof(place->below), "%s/dst", place->dir);
}

static int make(const struct place *place)
{
	int dst = open(place->dst, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	cr_assert_geq(dst, 0);
	return dst;
}

static void append(const char *path, int dst)
{
	static char buf[PIECE];
	int src = open(path, O_RDONLY);
	ssize_t n;

	cr_assert_geq(src, 0);
	while ((n = read(src, buf, sizeof(buf))) > 0)
		cr_assert_eq(write(dst, buf, (size_t)n), n);
	cr_assert_eq(n, 0);
	close(src);
}

/* The kernel does not wait for a release, but the daemon learns from it. */
static void close_it(const struct place *place, int dst)
{
	long long end = process_now_ms() + 10000;
	struct offlay_ioc_stats stats;

	cr_assert_eq(close(dst), 0);
	do {
		process_sleep_ms(1);
		accel_counters(&place->mount, &stats);
		/* The one is what is asked. */
	} while (stats.gauges[OFFLAY_GAUGE_OPEN_FILES] > 1 &&
		 process_now_ms() < end);
	cr_assert_eq(stats.gauges[OFFLAY_GAUGE_OPEN_FILES], 1);
}

/* Each source is opened when its turn has come. */
static void join_parts(const struct place *place, unsigned int parts)
{
	int dst = make(place);

	for (unsigned int i = 0; i < parts; i++)
		append(place->src[i], dst);
	close_it(place, dst);
}

static void write_some(int dst)
{
	static char buf[PIECE];

	memset(buf, 'w', sizeof(buf));
	cr_assert_eq(write(dst, buf, sizeof(buf)), sizeof(buf));
}

/* No source, here or later. */
static void write_alone(const struct place *place)
{
	int dst = make(place);

	write_some(dst);
	close_it(place, dst);
}

static void expect_parts(const struct place *place, unsigned int parts,
			 bool shared, const char *row)
{
	static char is[PIECE], should[PIECE];
	struct extent_usage usage;
	int dst = open(place->below, O_RDONLY);

	for (uint64_t at = 0; at < (uint64_t)parts * SIZE; at += PIECE) {
		int src = open(place->src[at / SIZE], O_RDONLY);

		cr_assert_eq(pread(src, should, PIECE, (off_t)(at % SIZE)),
			     PIECE);
		cr_assert_eq(pread(dst, is, PIECE, (off_t)at), PIECE);
		cr_assert_eq(memcmp(is, should, PIECE), 0, "%s: %llu", row,
			     (unsigned long long)at);
		close(src);
	}
	cr_assert_eq(lseek(dst, 0, SEEK_END), (off_t)parts * SIZE);
	close(dst);
	cr_assert_eq(extents_usage(place->below, &usage), 0);
	cr_expect_eq(usage.shared, shared ? (uint64_t)parts * SIZE : 0,
		     "%s: %llu bytes shared", row,
		     (unsigned long long)usage.shared);
}

/* So many handles that were opened so that their writes come to the daemon. */
static uint64_t count_direct(const struct place *place)
{
	return accel_counter(&place->mount, OFFLAY_STAT_OPENS_DIRECT);
}

static const enum backing backings[] = { BACKING_BTRFS, BACKING_XFS };

ParameterizedTestParameters(accel_first, shares_the_second_time)
{
	return cr_make_param_array(enum backing, (void *)backings,
				   sizeof(backings) / sizeof(*backings));
}

/* The first time the kernel had its writes pass the daemon by. */
ParameterizedTest(const enum backing *backing, accel_first,
		  shares_the_second_time)
{
	struct place place;

	place_open(&place, *backing, MODE_PASSTHROUGH);
	join_parts(&place, 1);
	expect_parts(&place, 1, false, "first time");
	join_parts(&place, 1);
	expect_parts(&place, 1, true, "second time");
	join_parts(&place, PARTS);
	expect_parts(&place, PARTS, true, "several files");
	mount_close(&place.mount);
}

ParameterizedTestParameters(accel_first, shares_at_once_where_writes_come)
{
	return cr_make_param_array(enum backing, (void *)backings,
				   sizeof(backings) / sizeof(*backings));
}

ParameterizedTest(const enum backing *backing, accel_first,
		  shares_at_once_where_writes_come)
{
	struct place place;

	place_open(&place, *backing, MODE_NO_PASSTHROUGH);
	join_parts(&place, PARTS);
	expect_parts(&place, PARTS, true, "several files");
	mount_close(&place.mount);
}

/* The shell makes the destination, and its program opens the source. */
Test(accel_first, learns_what_a_shell_does)
{
	struct command_result result;
	char script[2 * PATH_MAX + 64];
	struct place place;

	place_open(&place, BACKING_BTRFS, MODE_PASSTHROUGH);
	snprintf(script, sizeof(script), "dd bs=256K if='%s' >'%s'",
		 place.src[0], place.dst);
	for (int i = 0; i < 2; i++) {
		char *argv[] = { "sh", "-c", script, NULL };

		cr_assert_eq(command_run(argv, NULL, 60, &result), 0, "%s",
			     result.err);
		expect_parts(&place, 1, i, "dd >dst");
	}
	mount_close(&place.mount);
}

/* And the next four, since it came to nothing. */
Test(accel_first, leaves_files_alone_that_come_to_nothing)
{
	struct place place;
	uint64_t direct;

	place_open(&place, BACKING_BTRFS, MODE_PASSTHROUGH);
	join_parts(&place, 1);
	direct = count_direct(&place);
	for (int i = 0; i < 5; i++)
		write_alone(&place);
	cr_expect_eq(count_direct(&place) - direct, 1);
	join_parts(&place, 1);
	expect_parts(&place, 1, true, "after them");
	mount_close(&place.mount);
}

/* Only a destination that waits with nothing in it says anything. */
Test(accel_first, is_not_misled_by_other_files)
{
	struct place place;
	uint64_t direct;
	char byte;
	int src, dst;

	place_open(&place, BACKING_BTRFS, MODE_PASSTHROUGH);
	write_alone(&place); /* closed */
	src = open(place.src[0], O_RDONLY);
	cr_assert_eq(read(src, &byte, 1), 1);
	close(src);
	dst = make(&place);
	write_some(dst); /* not empty */
	src = open(place.src[0], O_RDONLY);
	cr_assert_eq(read(src, &byte, 1), 1);
	close(src);
	close(dst);
	/* A source that has been closed is remembered for a second. */
	sleep(2);
	direct = count_direct(&place);
	write_alone(&place);
	cr_expect_eq(count_direct(&place), direct);
	mount_close(&place.mount);
}

/* What had nothing to be compared with is neither a hit nor a miss. */
Test(accel_first, counts_only_what_was_compared)
{
	struct place place;
	uint64_t misses;
	int dst;

	place_open(&place, BACKING_XFS, MODE_NO_PASSTHROUGH);
	misses = accel_counter(&place.mount, OFFLAY_STAT_ACCEL_MISSES);
	write_alone(&place);
	dst = make(&place);
	write_some(dst);
	cr_expect_eq(accel_counter(&place.mount, OFFLAY_STAT_ACCEL_MISSES),
		     misses);
	append(place.src[0], dst);
	cr_assert_eq(close(dst), 0);
	cr_expect_eq(accel_counter(&place.mount, OFFLAY_STAT_ACCEL_MISSES),
		     misses);
	cr_expect_eq(accel_counter(&place.mount,
				   OFFLAY_STAT_ACCEL_BYTES_SHARED),
		     SIZE);
	mount_close(&place.mount);
}
