// SPDX-License-Identifier: MIT
/* The copy engine on real filesystems: every range around block boundaries. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy_files.h"
#include "sample.h"

VOLUME_MAIN;

#define ROOM (96u << 10)

static const uint64_t offsets[] = { 0, 1, 4095, 4096, 4097, 8191, 8192, 8193 };
static const uint64_t lengths[] = { 1,	   4095,  4096,	 4097,
				    12287, 12288, 12289, 1 << 20 };
static const uint64_t src_sizes[] = { 4097, 20480, 20481 };
static const uint64_t dst_sizes[] = { 0, 4096, 9000, 32768 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct bench {
	enum backing backing;
	struct offlay_engine *engine;
	struct copy_file src, dst;
	unsigned long checks;
};

static void copy_once(struct bench *bench, uint64_t from, uint64_t to,
		      uint64_t length)
{
	struct copy_file *src = &bench->src, *dst = &bench->dst;
	struct offlay_range range = { .src_fd = src->fd,
				      .dst_fd = dst->fd,
				      .src_offset = from,
				      .dst_offset = to,
				      .length = length };
	uint64_t expected = 0, due = 0, old_size = dst->size;
	struct offlay_result result = { 0 };
	int err;

	if (from < src->size)
		expected = length < src->size - from ? length
						     : src->size - from;
	if (backing_has_reflink(bench->backing))
		due = copy_due_for_clone(from, to, expected, src->size,
					 dst->size);
	err = offlay_copy_range(bench->engine, &range, &result);
	copy_file_apply(dst, to, src, from, result.copied);
#define ROW                                                                  \
	"%s: %lu of %lu to %lu of %lu, length %lu: err %d, copied %lu, "     \
	"cloned %lu",                                                        \
		backing_name(bench->backing), from, src->size, to, old_size, \
		length, err, result.copied, result.cloned
	cr_assert_eq(err, 0, ROW);
	cr_assert_eq(result.copied, expected, ROW);
	cr_assert_eq(result.cloned, due, ROW);
	cr_assert_eq(result.stop, 0, ROW);
	cr_assert(copy_file_is_as_modelled(dst), ROW);
	if (due && bench->checks++ % 5 == 0)
		cr_assert_geq(copy_file_shared(dst, to, expected), due, ROW);
}

static void open_bench(struct bench *bench, enum backing backing,
		       const char *dir, uint64_t room)
{
	*bench = (struct bench){ .backing = backing };
	cr_assert_eq(offlay_engine_new(&bench->engine), 0);
	copy_file_open(&bench->src, dir, "src", room);
	copy_file_open(&bench->dst, dir, "dst", room);
}

static void close_bench(struct bench *bench)
{
	copy_file_close(&bench->src);
	copy_file_close(&bench->dst);
	offlay_engine_free(bench->engine);
}

static void all_ranges_of_sizes(struct bench *bench, uint64_t dst_size)
{
	for (size_t f = 0; f < COUNT(offsets); f++)
		for (size_t t = 0; t < COUNT(offsets); t++)
			for (size_t n = 0; n < COUNT(lengths); n++) {
				copy_file_fill(&bench->dst, dst_size, 7);
				copy_once(bench, offsets[f], offsets[t],
					  lengths[n]);
			}
}

static void all_ranges(enum backing backing, const char *dir)
{
	struct bench bench;

	open_bench(&bench, backing, dir, ROOM);
	for (size_t s = 0; s < COUNT(src_sizes); s++)
		for (size_t d = 0; d < COUNT(dst_sizes); d++) {
			copy_file_fill(&bench.src, src_sizes[s], 3 + s);
			cr_assert_eq(fsync(bench.src.fd), 0);
			all_ranges_of_sizes(&bench, dst_sizes[d]);
		}
	close_bench(&bench);
}

Test(copy_ranges, arrive_and_share_what_is_due, .timeout = 500)
{
	copy_each_backing(all_ranges);
}

/* Holes, unwritten extents and dirty pages in source and destination. */
#define BIG (2u << 20)

static void roughen(struct copy_file *file, struct sample_rng *rng)
{
	for (int i = 0; i < 24; i++) {
		uint64_t at = sample_below(rng, file->size - 1);
		uint64_t n = 1 + sample_below(rng, 60000);

		n = at + n > file->size ? file->size - at : n;
		copy_file_punch(file, at, n);
		if (i % 3 == 0) /* allocated again, not written */
			cr_assert_eq(
				fallocate(file->fd, 0, (off_t)at, (off_t)n), 0);
	}
}

static uint64_t pick_offset(struct sample_rng *rng, uint64_t below)
{
	uint64_t at = sample_below(rng, below);

	return sample_below(rng, 2) ? at / 4096 * 4096 : at;
}

struct random_copy {
	bool self;
	uint64_t from, to, length;
	unsigned int methods, flags;
	uint64_t max_move;
};

static struct random_copy pick_copy(struct sample_rng *rng)
{
	static const unsigned int methods[] = { 0, OFFLAY_METHOD_DATA };
	struct random_copy c = {
		.self = sample_below(rng, 4) == 0,
		.from = pick_offset(rng, BIG),
		.to = pick_offset(rng, BIG),
		.length = 1 + pick_offset(rng, 400000),
		.methods = methods[sample_below(rng, 2)],
		.flags = sample_below(rng, 3) ? 0 : OFFLAY_COPY_ZEROS_TO_HOLES,
		.max_move = sample_below(rng, 2) ? 0 : 70000,
	};

	if (sample_below(rng, 2)) /* congruent more often than by chance */
		c.to = c.to / 4096 * 4096 + c.from % 4096;
	return c;
}

static void random_copy(struct bench *bench, const struct random_copy *c)
{
	struct copy_file *src = c->self ? &bench->dst : &bench->src;
	struct offlay_range range = {
		.src_fd = src->fd,
		.dst_fd = bench->dst.fd,
		.src_offset = c->from,
		.dst_offset = c->to,
		.length = c->length,
		.methods = c->methods,
		.flags = c->flags,
		.max_move = c->max_move,
	};
	struct offlay_result result = { 0 };
	uint64_t expected = 0;
	int err;

	if (c->from < src->size)
		expected = c->length < src->size - c->from
				   ? c->length
				   : src->size - c->from;
	err = offlay_copy_range(bench->engine, &range, &result);
	if (c->self && expected && c->from < c->to + expected &&
	    c->to < c->from + expected) {
		cr_assert_eq(err, -EINVAL);
		return;
	}
	cr_assert_eq(err, 0, "%s", strerror(-err));
	cr_assert_leq(result.copied, expected);
	if (c->max_move == 0)
		cr_assert_eq(result.copied, expected);
	else
		cr_assert_leq(result.moved, c->max_move);
	copy_file_apply(&bench->dst, c->to, src, c->from, result.copied);
}

static void random_copies(enum backing backing, const char *dir)
{
	unsigned long steps = sample_amount(200, 1500, 30000);
	struct sample_rng rng = { sample_seed() };
	struct bench bench;

	open_bench(&bench, backing, dir, 2 * BIG);
	copy_file_fill(&bench.src, BIG, 11);
	copy_file_fill(&bench.dst, BIG / 2 + 77, 12);
	roughen(&bench.src, &rng);
	roughen(&bench.dst, &rng);
	for (unsigned long i = 0; i < steps; i++) {
		struct random_copy c = pick_copy(&rng);

		random_copy(&bench, &c);
		if (i % 100 == 50)
			roughen(&bench.dst, &rng);
		if (i % 8 == 0)
			cr_assert(copy_file_is_as_modelled(&bench.dst),
				  "%s: at step %lu or up to 7 before: "
				  "%s %lu to %lu, length %lu, methods %u, "
				  "flags %u, max_move %lu",
				  backing_name(backing), i,
				  c.self ? "self" : "src", c.from, c.to,
				  c.length, c.methods, c.flags, c.max_move);
	}
	cr_assert(copy_file_is_as_modelled(&bench.dst));
	cr_assert(copy_file_is_as_modelled(&bench.src));
	close_bench(&bench);
}

Test(copy_ranges, arrive_from_and_into_holes_at_random, .timeout = 500)
{
	copy_each_backing(random_copies);
}

/* A copy takes no more space than its source and has holes where that has. */
static void sparse_copy(enum backing backing, const char *dir)
{
	const uint64_t size = 1ull << 30, every = 64ull << 20;
	struct offlay_engine *engine;
	struct offlay_result result;
	struct copy_file src, dst;
	struct offlay_range range = { .length = size,
				      .methods = OFFLAY_METHOD_DATA };
	off_t data = 0, end;

	cr_assert_eq(offlay_engine_new(&engine), 0);
	copy_file_open(&src, dir, "sparse", 4096);
	copy_file_open(&dst, dir, "copy", 4096);
	memset(src.bytes, 'x', 4096);
	cr_assert_eq(ftruncate(src.fd, (off_t)size), 0);
	for (uint64_t at = every; at < size; at += every)
		cr_assert_eq(pwrite(src.fd, src.bytes, 4096, (off_t)at), 4096);
	range.src_fd = src.fd;
	range.dst_fd = dst.fd;
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
		cr_assert_eq(result.copied, size);
		cr_assert_eq(lseek(dst.fd, 0, SEEK_END), (off_t)size);
		for (uint64_t at = every; at < size; at += every) {
			data = lseek(dst.fd, data, SEEK_DATA);
			end = lseek(dst.fd, data, SEEK_HOLE);
			cr_assert_eq(data, lseek(src.fd, (off_t)at - 4096,
						 SEEK_DATA));
			cr_assert_eq(end, lseek(src.fd, data, SEEK_HOLE));
			data = end;
		}
		cr_assert_lt(lseek(dst.fd, data, SEEK_DATA), 0,
			     "%s: data behind the last", backing_name(backing));
		/* Once more, over a file that is all data in places. */
		for (uint64_t at = 0; at < size; at += every / 2)
			cr_assert_eq(pwrite(dst.fd, src.bytes, 4096,
					    (off_t)at + 8192),
				     4096);
		data = 0;
	}
	copy_file_close(&src);
	copy_file_close(&dst);
	offlay_engine_free(engine);
}

Test(copy_ranges, keep_holes_where_the_source_has_them, .timeout = 100)
{
	copy_each_backing(sparse_copy);
}
