// SPDX-License-Identifier: MIT
/* Tests of lib/copy_data.c: holes, ends, limits, and files that change. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/magic.h>
#include <string.h>

#include "copy_model.h"

#define BLOCK 8u
#define SRC   80u

static struct copy_case moving(uint64_t from, uint64_t to, uint64_t length)
{
	return (struct copy_case){ .src = 0,
				   .dst = 1,
				   .src_offset = from,
				   .dst_offset = to,
				   .length = length,
				   .methods = OFFLAY_METHOD_DATA };
}

/* Blocks of [from, +length) of the source that are holes by @mask. */
static void make_holes(struct fake *fake, int file, unsigned int mask)
{
	for (unsigned int i = 0; i < 6; i++)
		if (mask & 1u << i)
			fake_make_hole(fake, file, i * 16ull, 16);
}

/* Whole destination blocks over the source's holes are holes afterwards. */
static void check_holes(const struct fake *fake, const struct fake *before,
			const struct copy_case *c, uint64_t copied)
{
	const struct fake_file *dst = &fake->files[1];

	for (uint64_t at = (c->dst_offset + BLOCK - 1) / BLOCK;
	     (at + 1) * BLOCK <= c->dst_offset + copied; at++) {
		uint64_t from = c->src_offset + at * BLOCK - c->dst_offset;
		const bool *written = before->files[0].written;

		if (!written[from / BLOCK] &&
		    !written[(from + BLOCK - 1) / BLOCK])
			cr_assert(!dst->written[at],
				  "block %lu of the destination has data", at);
	}
}

Test(copy_data, keeps_every_pattern_of_holes_over_every_pattern)
{
	for (unsigned int src = 0; src < 32; src++)
		for (unsigned int dst = 0; dst < 32; dst++)
			for (uint64_t size = 0; size <= 96; size += 24)
				for (uint64_t to = 0; to < 20; to += 5) {
					struct copy_case c = moving(3, to, SRC);
					struct offlay_result result;
					struct fake fake, before;
					const char *wrong;

					fake_init(&fake, BLOCK);
					fake_fill(&fake, 0, SRC, 1);
					fake_fill(&fake, 1, size, 90);
					make_holes(&fake, 0, src);
					make_holes(&fake, 1, dst);
					before = fake;
					cr_assert_eq(model_run(&fake, NULL, &c,
							       &result, &wrong),
						     0);
					cr_assert_null(wrong,
						       "%s: %x on %x, %lu",
						       wrong, src, dst, size);
					cr_assert_eq(result.copied, SRC - 3);
					check_holes(&fake, &before, &c,
						    result.copied);
				}
}

Test(copy_data, gives_the_block_back_that_an_extension_allocates)
{
	struct copy_case c = moving(0, 0, SRC);
	struct offlay_result result;
	struct fake fake;
	const char *wrong;

	fake_init(&fake, BLOCK);
	fake_fill(&fake, 0, SRC, 1);
	fake_make_hole(&fake, 0, 0, SRC);
	cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(result.holes, SRC);
	cr_assert_eq(fake.files[1].size, SRC);
	cr_assert_eq(fake.counts[FAKE_PWRITE], 0);
	for (unsigned int i = 0; i < SRC / BLOCK; i++)
		cr_assert(!fake.files[1].allocated[i], "block %u", i);
}

/* There an extension would write out all that has been copied before. */
Test(copy_data, grows_by_a_byte_on_xfs)
{
	struct copy_case c = moving(0, 0, SRC);
	struct offlay_result result;
	struct fake fake;
	const char *wrong;

	fake_init(&fake, BLOCK);
	fake.type = XFS_SUPER_MAGIC;
	fake_fill(&fake, 0, SRC, 1);
	fake_make_hole(&fake, 0, BLOCK, SRC - BLOCK);
	cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(result.holes, SRC - BLOCK);
	cr_assert_eq(fake.files[1].size, SRC);
	cr_assert_eq(fake.counts[FAKE_EXTEND], 0);
	for (unsigned int i = 1; i < SRC / BLOCK; i++)
		cr_assert(!fake.files[1].allocated[i], "block %u", i);
}

/* Nothing to punch where the destination is a hole, or ends. */
Test(copy_data, punches_only_where_there_is_data)
{
	struct copy_case c = moving(0, 0, SRC);
	struct offlay_result result;
	struct fake fake;
	const char *wrong;

	fake_init(&fake, BLOCK);
	fake_fill(&fake, 0, SRC, 1);
	fake_make_hole(&fake, 0, 16, 16);
	fake_make_hole(&fake, 0, 48, 16);
	cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
	cr_assert_eq(fake.counts[FAKE_PUNCH], 0);
	cr_assert_eq(fake.counts[FAKE_EXTEND], 0);
	fake_set_size(&fake, 1, 0);
	fake_set_size(&fake, 1, SRC); /* pre-sized */
	cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
	cr_assert_eq(fake.counts[FAKE_PUNCH], 0);
	fake_fill(&fake, 1, SRC, 7);
	cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
	cr_assert_eq(fake.counts[FAKE_PUNCH], 2);
	cr_assert_null(wrong, "%s", wrong);
}

Test(copy_data, turns_zeros_into_holes_only_when_asked)
{
	struct copy_case c = moving(0, 0, SRC);
	struct offlay_result result;
	struct fake fake;
	const char *wrong;

	for (int asked = 0; asked < 2; asked++)
		for (uint64_t size = 0; size <= 90; size += 45)
			for (uint64_t to = 0; to < 9; to += 4) {
				c.dst_offset = to;
				c.flags = asked ? OFFLAY_COPY_ZEROS_TO_HOLES
						: 0;
				fake_init(&fake, BLOCK);
				fake_fill(&fake, 0, SRC, 1);
				fake_fill(&fake, 1, size, 9);
				memset(&fake.files[0].data[20], 0, 30);
				memset(&fake.files[0].data[70], 0, 10);
				cr_assert_eq(model_run(&fake, NULL, &c, &result,
						       &wrong),
					     0);
				cr_assert_null(wrong, "%s", wrong);
				cr_assert_eq(result.copied, SRC);
				if (asked)
					cr_assert_geq(result.holes, 24);
				else
					cr_assert_eq(result.holes, 0);
			}
}

/* The limit counts what is moved, not holes; the rest comes in later calls. */
Test(copy_data, moves_no_more_than_allowed_and_gets_there_in_the_end)
{
	for (uint64_t limit = 1; limit < 40; limit++) {
		struct copy_case c = moving(1, 2, SRC);
		struct offlay_result result;
		struct fake fake;
		const char *wrong;
		int rounds = 0;

		fake_init(&fake, BLOCK);
		fake_fill(&fake, 0, SRC, 1);
		fake_make_hole(&fake, 0, 24, 24);
		fake_fill(&fake, 1, 50, 90);
		fake.no_punch = limit & 1;
		c.max_move = limit;
		do {
			cr_assert_eq(
				model_run(&fake, NULL, &c, &result, &wrong), 0);
			cr_assert_null(wrong, "%s", wrong);
			cr_assert_leq(result.moved, limit);
			cr_assert_lt(rounds++, 200, "no progress");
			c.src_offset += result.copied;
			c.dst_offset += result.copied;
			c.length -= result.copied;
		} while (result.copied);
		cr_assert_eq(c.src_offset, SRC);
		cr_assert(!memcmp(&fake.files[0].data[1],
				  &fake.files[1].data[2], SRC - 1));
	}
}

/* With a limit, the edges of a clone may take several calls, too. */
Test(copy_data, limits_the_edges_of_a_clone)
{
	for (uint64_t limit = 1; limit < 20; limit++) {
		struct copy_case c = { 0, 1, 3, 11, 70, .max_move = limit };
		struct offlay_result result;
		struct fake fake;
		const char *wrong;
		uint64_t cloned = 0;

		fake_init(&fake, BLOCK);
		fake_fill(&fake, 0, SRC, 1);
		fake_fill(&fake, 1, 90, 90);
		for (int i = 0; i < 100 && c.length; i++) {
			cr_assert_eq(
				model_run(&fake, NULL, &c, &result, &wrong), 0);
			cr_assert_null(wrong, "%s", wrong);
			cr_assert_leq(result.moved, limit);
			cloned += result.cloned;
			c.src_offset += result.copied;
			c.dst_offset += result.copied;
			c.length -= result.copied;
		}
		cr_assert_eq(c.length, 0);
		cr_assert_eq(cloned, 64);
		cr_assert_eq(fake.counts[FAKE_CLONE], 1,
			     "cloned before the head was complete");
	}
}

/*
 * Somebody changes the source, at each moment of the copy.  Each byte of the
 * result is one that the source had; where it has data before and after, that
 * is never a zero.
 */

static void shrink(struct fake *fake)
{
	fake_set_size(fake, 0, 37);
}

static void rewrite(struct fake *fake)
{
	fake_set_size(fake, 0, 0);
	fake_fill(fake, 0, SRC, 200);
}

static void rewrite_longer(struct fake *fake)
{
	fake_set_size(fake, 0, 0);
	fake_fill(fake, 0, SRC + 30, 200);
}

/* Cut off now, written again some calls later. */
static int rewrite_after;

static void cut_then_rewrite(struct fake *fake)
{
	fake_set_size(fake, 0, 0);
	fake->meddle_at = fake->calls + rewrite_after;
	fake->meddle = rewrite_longer;
}

static void punch(struct fake *fake)
{
	fake_make_hole(fake, 0, 24, 32);
}

static bool had_byte(const struct fake *before, const struct fake *after,
		     bool holes, uint64_t at, uint8_t byte)
{
	return byte == before->files[0].data[at] ||
	       (at < after->files[0].size &&
		byte == after->files[0].data[at]) ||
	       (holes && byte == 0);
}

static void change_source(void (*meddle)(struct fake *fake), bool last_hole,
			  unsigned int methods)
{
	for (int at = 0; at < 40; at++)
		for (size_t most = 9; most < 100; most += 30) {
			struct offlay_range range = { .src_fd = FAKE_FD(0),
						      .dst_fd = FAKE_FD(1),
						      .dst_offset = 1,
						      .length = 70,
						      .methods = methods };
			struct offlay_engine *engine;
			struct offlay_result result;
			struct fake fake, before;

			fake_init(&fake, BLOCK);
			fake_fill(&fake, 0, SRC, 1);
			if (last_hole)
				fake_make_hole(&fake, 0, 40, 40);
			before = fake;
			fake.most = most;
			fake.meddle_at = at;
			fake.meddle = meddle;
			cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine),
				     0);
			cr_assert_eq(offlay_copy_range(engine, &range, &result),
				     0);
			offlay_engine_free(engine);
			cr_assert(fake.files[1].size ==
				  (result.copied ? 1 + result.copied : 0));
			for (uint64_t i = 0; i < result.copied; i++)
				cr_assert(had_byte(&before, &fake,
						   meddle == punch, i,
						   fake.files[1].data[1 + i]),
					  "call %d, byte %lu is %u", at, i,
					  fake.files[1].data[1 + i]);
			if (fake.files[0].size >= 70 && meddle != rewrite &&
			    meddle != cut_then_rewrite)
				cr_assert_eq(result.copied, 70);
		}
}

Test(copy_data, delivers_only_bytes_that_the_source_had)
{
	static void (*const meddles[])(struct fake *) = {
		shrink, rewrite, rewrite_longer, cut_then_rewrite, punch
	};

	for (size_t i = 0; i < sizeof(meddles) / sizeof(meddles[0]); i++)
		for (int hole = 0; hole < 2; hole++)
			for (rewrite_after = 0; rewrite_after < 6;
			     rewrite_after++)
				change_source(meddles[i], hole,
					      OFFLAY_METHOD_DATA);
}

static void append_to_destination(struct fake *fake)
{
	struct fake_file *f = &fake->files[1];

	if (f->size < 120)
		fake_set_size(fake, 1, 120);
	memset(&f->data[100], 222, 20);
	for (int i = 100 / BLOCK; i < 120 / (int)BLOCK; i++)
		f->written[i] = f->allocated[i] = true;
}

/* Two copies into one file: the one never cuts off what the other wrote. */
Test(copy_data, leaves_alone_what_others_append_to_the_destination)
{
	for (int at = 0; at < 30; at++)
		for (int no_extend = 0; no_extend < 2; no_extend++) {
			struct offlay_range range = { .src_fd = FAKE_FD(0),
						      .dst_fd = FAKE_FD(1),
						      .dst_offset = 1,
						      .length = SRC };
			struct offlay_engine *engine;
			struct offlay_result result;
			struct fake fake;

			fake_init(&fake, BLOCK);
			fake_fill(&fake, 0, SRC, 1);
			fake_make_hole(&fake, 0, 40, 40);
			fake.no_extend = no_extend;
			fake.meddle_at = at;
			fake.meddle = append_to_destination;
			cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine),
				     0);
			cr_assert_eq(offlay_copy_range(engine, &range, &result),
				     0);
			offlay_engine_free(engine);
			cr_assert_eq(result.copied, SRC);
			cr_assert(!memcmp(fake.files[0].data,
					  &fake.files[1].data[1], SRC));
			if (fake.calls <= at)
				continue;
			cr_assert_eq(fake.files[1].size, 120);
			for (int i = 100; i < 120; i++)
				cr_assert_eq(fake.files[1].data[i], 222);
		}
}

Test(copy_data, lends_no_more_buffers_than_there_are)
{
	struct copy_buffers buffers = { .lock = PTHREAD_MUTEX_INITIALIZER };
	void *taken[COPY_BUFFERS];

	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < COPY_BUFFERS; i++) {
			taken[i] = copy_buffer_take(&buffers);
			cr_assert_not_null(taken[i]);
			memset(taken[i], 1, COPY_BUFFER_SIZE);
		}
		cr_assert_null(copy_buffer_take(&buffers));
		for (unsigned int i = 0; i < COPY_BUFFERS; i++)
			copy_buffer_give(&buffers, taken[i]);
	}
	for (unsigned int i = 0; i < COPY_BUFFERS; i++)
		free(copy_buffer_take(&buffers));
}
