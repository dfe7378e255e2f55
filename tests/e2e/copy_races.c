// SPDX-License-Identifier: MIT
/* The copy engine while others write: two copies at once, sources that change. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy_files.h"
#include "sample.h"

#define SIZE (1u << 20)

struct racer {
	struct offlay_engine *engine;
	struct offlay_range range;
	int rounds;
	int err; /* the first */
	uint64_t short_copies;
};

static void *copy_again_and_again(void *arg)
{
	struct racer *me = arg;

	for (int i = 0; i < me->rounds && !me->err; i++) {
		struct offlay_result result;

		me->range.methods = i & 1 ? OFFLAY_METHOD_DATA : 0;
		me->err = offlay_copy_range(me->engine, &me->range, &result);
		if (!me->err && result.copied != me->range.length)
			me->short_copies++;
	}
	return NULL;
}

/* Halves that overlap in the middle, from two sources, one with holes. */
static void two_copies(enum backing backing, const char *dir)
{
	struct copy_file a, b, dst;
	struct offlay_engine *engine;
	struct racer racers[2];
	pthread_t threads[2];
	unsigned char *now = malloc(2 * SIZE);

	cr_assert_eq(offlay_engine_new(&engine), 0);
	copy_file_open(&a, dir, "a", SIZE);
	copy_file_open(&b, dir, "b", SIZE);
	copy_file_open(&dst, dir, "dst", 2 * SIZE);
	copy_file_fill(&a, SIZE, 1);
	copy_file_fill(&b, SIZE, 2);
	copy_file_punch(&b, SIZE / 4, SIZE / 4 * 3); /* to its end */
	for (unsigned long round = 0; round < sample_amount(20, 60, 1000);
	     round++) {
		cr_assert_eq(ftruncate(dst.fd, 0), 0);
		racers[0] = (struct racer){
			.engine = engine,
			.rounds = 2,
			.range = { a.fd, dst.fd, 0, SIZE / 2, SIZE, 0, 0, 0 },
		};
		racers[1] = racers[0];
		racers[1].range = (struct offlay_range){ b.fd, dst.fd, 0, 0,
							 SIZE, 0,      0, 0 };
		for (int i = 0; i < 2; i++)
			pthread_create(&threads[i], NULL, copy_again_and_again,
				       &racers[i]);
		for (int i = 0; i < 2; i++) {
			pthread_join(threads[i], NULL);
			cr_assert_eq(racers[i].err, 0);
			cr_assert_eq(racers[i].short_copies, 0);
		}
		cr_assert_eq(pread(dst.fd, now, 2 * SIZE, 0), SIZE / 2 * 3,
			     "%s: round %lu", backing_name(backing), round);
		for (size_t i = 0; i < SIZE / 2 * 3; i++) {
			bool of_a = i >= SIZE / 2 &&
				    now[i] == a.bytes[i - SIZE / 2];
			bool of_b = i < SIZE && now[i] == b.bytes[i];

			cr_assert(of_a || of_b, "%s: byte %zu is %u",
				  backing_name(backing), i, now[i]);
		}
	}
	copy_file_close(&a);
	copy_file_close(&b);
	copy_file_close(&dst);
	offlay_engine_free(engine);
	free(now);
}

Test(copy_races, two_copies_into_one_file_mix_but_invent_nothing,
     .timeout = 200)
{
	copy_each_backing(two_copies);
}

struct writer {
	int fd;
	atomic_bool stop;
	bool truncates;
};

/* Overwrites the whole file with one byte after the other, never with 0. */
static void *write_again_and_again(void *arg)
{
	struct writer *me = arg;
	unsigned char *buf = malloc(SIZE);

	for (int version = 1; !me->stop; version = version % 250 + 1) {
		memset(buf, version, SIZE);
		if (me->truncates && ftruncate(me->fd, SIZE / 3))
			break;
		for (size_t at = 0; at < SIZE; at += SIZE / 8)
			if (pwrite(me->fd, buf + at, SIZE / 8, (off_t)at) < 0)
				break;
	}
	free(buf);
	return NULL;
}

/*
 * While a writer truncates, read(2) itself may give zeros on filesystems that
 * do not lock it against truncation, so there only the counts are checked.
 */
static void changing_source(enum backing backing, const char *dir,
			    bool truncates)
{
	unsigned long rounds = sample_amount(40, 150, 3000);
	struct copy_file src, dst;
	struct offlay_engine *engine;
	struct writer writer = { .truncates = truncates };
	unsigned char *now = malloc(SIZE + 1);
	pthread_t thread;

	cr_assert_eq(offlay_engine_new(&engine), 0);
	copy_file_open(&src, dir, "src", SIZE);
	copy_file_open(&dst, dir, "dst", SIZE);
	copy_file_fill(&src, SIZE, 1);
	writer.fd = src.fd;
	cr_assert_eq(pthread_create(&thread, NULL, write_again_and_again,
				    &writer),
		     0);
	for (unsigned long i = 0; i < rounds; i++) {
		struct offlay_range range = {
			src.fd, dst.fd, i % 3, i % 5 ? i % 3 : 0, SIZE,
		};
		struct offlay_result result = { 0 };
		size_t n;
		int err;

		cr_assert_eq(ftruncate(dst.fd, 0), 0);
		err = offlay_copy_range(engine, &range, &result);
		cr_assert_eq(err, 0, "%s: %s", backing_name(backing),
			     strerror(-err));
		if (!truncates)
			cr_assert_eq(result.copied, SIZE - i % 3);
		cr_assert_leq(result.copied, SIZE - range.src_offset);
		cr_assert_gt(result.copied, 0);
		n = (size_t)pread(dst.fd, now, SIZE + 1, 0);
		cr_assert_eq(n, range.dst_offset + result.copied);
		for (size_t at = range.dst_offset;
		     at < n && (!truncates || backing == BACKING_XFS); at++)
			cr_assert_neq(now[at], 0, "%s: round %lu, byte %zu",
				      backing_name(backing), i, at);
	}
	writer.stop = true;
	pthread_join(thread, NULL);
	copy_file_close(&src);
	copy_file_close(&dst);
	offlay_engine_free(engine);
	free(now);
}

static void overwritten_source(enum backing backing, const char *dir)
{
	changing_source(backing, dir, false);
}

static void truncated_source(enum backing backing, const char *dir)
{
	changing_source(backing, dir, true);
}

Test(copy_races, a_source_that_is_overwritten_gives_no_zeros, .timeout = 200)
{
	copy_each_backing(overwritten_source);
}

Test(copy_races, a_source_that_is_cut_off_ends_the_copy, .timeout = 200)
{
	copy_each_backing(truncated_source);
}
