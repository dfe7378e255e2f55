// SPDX-License-Identifier: MIT
/* Tests of lib/copy_clone.c: cutting, learning, declining, failing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "copy_model.h"

#define BLOCK 4u
#define SIZES 12

/* A block is due where all of it, or the source's last part of it, is asked. */
static uint64_t due_for_clone(const struct fake *fake,
			      const struct copy_case *c, uint64_t expected)
{
	const uint64_t mask = fake->block - 1;
	uint64_t src_size = fake->files[c->src].size;
	uint64_t dst_size = fake->files[c->dst].size;
	uint64_t first = (c->src_offset + mask) & ~mask;
	uint64_t end = c->src_offset + expected;
	uint64_t due = 0;

	if ((c->src_offset ^ c->dst_offset) & mask)
		return 0;
	for (uint64_t at = first; at < end; at += fake->block) {
		uint64_t n = copy_min(fake->block, end - at);

		if (n == fake->block ||
		    (end == src_size && c->dst_offset + expected >= dst_size))
			due += n;
	}
	return due;
}

static void check_case(const struct copy_case *c, uint64_t src_size,
		       uint64_t dst_size)
{
	struct offlay_result result;
	struct fake fake;
	const char *wrong;
	uint64_t expected = 0, due;
	int err;

	fake_init(&fake, BLOCK);
	fake_fill(&fake, 0, src_size, 1);
	fake_fill(&fake, 1, dst_size, 101);
	if (c->src_offset < src_size)
		expected = copy_min(c->length, src_size - c->src_offset);
	due = due_for_clone(&fake, c, expected);
	err = model_run(&fake, NULL, c, &result, &wrong);
#define CASE                                                             \
	"%s: src %lu of %lu, dst %lu of %lu, length %lu: err %d copied " \
	"%lu cloned %lu",                                                \
		wrong, c->src_offset, src_size, c->dst_offset, dst_size, \
		c->length, err, result.copied, result.cloned
	cr_assert(err == 0 && !wrong, CASE);
	cr_assert(result.copied == expected, CASE);
	cr_assert(result.cloned == due, CASE);
	cr_assert(fake_shared(&fake, c->src, c->src_offset, c->dst,
			      c->dst_offset, expected) >= due,
		  CASE);
	cr_assert(result.stop == 0, CASE);
}

Test(copy_clone, clones_all_that_is_due_in_every_small_range)
{
	for (uint64_t src_size = 0; src_size < SIZES; src_size++)
		for (uint64_t dst_size = 0; dst_size < SIZES; dst_size++)
			for (uint64_t from = 0; from < SIZES; from++)
				for (uint64_t to = 0; to < SIZES; to++)
					for (uint64_t n = 0; n < SIZES; n++) {
						struct copy_case c = { 0, 1,
								       from, to,
								       n };

						check_case(&c, src_size,
							   dst_size);
					}
}

/* In one file: each pair of ranges that do not overlap. */
Test(copy_clone, clones_within_one_file)
{
	for (uint64_t size = 1; size < 20; size++)
		for (uint64_t from = 0; from < size; from++)
			for (uint64_t to = 0; to < 24; to++)
				for (uint64_t n = 1; n < 12; n++) {
					uint64_t m = copy_min(n, size - from);
					struct copy_case c = { 0, 0, from, to,
							       n };
					struct offlay_result result;
					struct fake fake;
					const char *wrong;
					int err;

					fake_init(&fake, BLOCK);
					fake_fill(&fake, 0, size, 1);
					err = model_run(&fake, NULL, &c,
							&result, &wrong);
					if (from < to + m && to < from + m) {
						cr_assert_eq(err, -EINVAL);
						continue;
					}
					cr_assert(err == 0 && !wrong &&
							  result.copied == m,
						  "%s: %lu+%lu -> %lu of %lu",
						  wrong, from, n, to, size);
				}
}

Test(copy_clone, cuts_only_whole_blocks_except_at_both_ends_of_file)
{
	struct copy_clone_plan plan;

	plan = copy_clone_plan(0, 0, 10, 10, 0, 4);
	cr_assert(plan.head == 0 && plan.middle == 10 && plan.tail == 0);
	plan = copy_clone_plan(0, 0, 10, 10, 11, 4);
	cr_assert(plan.head == 0 && plan.middle == 8 && plan.tail == 2);
	plan = copy_clone_plan(0, 0, 10, 11, 0, 4);
	cr_assert(plan.head == 0 && plan.middle == 8 && plan.tail == 2);
	plan = copy_clone_plan(1, 5, 10, 100, 0, 4);
	cr_assert(plan.head == 3 && plan.middle == 4 && plan.tail == 3);
	plan = copy_clone_plan(1, 5, 2, 100, 0, 4);
	cr_assert(plan.head == 2 && plan.middle == 0 && plan.tail == 0);
	plan = copy_clone_plan(1, 2, 50, 100, 0, 4);
	cr_assert(plan.middle == 0);
	/* The last bytes of the source, beginning off a boundary. */
	plan = copy_clone_plan(9, 9, 1, 10, 0, 4);
	cr_assert(plan.head == 1 && plan.middle == 0 && plan.tail == 0);
}

Test(copy_clone, learns_a_coarser_block_and_remembers_it)
{
	struct copy_case c = { 0, 1, 1, 1, 300 };
	struct offlay_engine *engine;
	struct offlay_result result;
	struct fake fake;
	const char *wrong;

	fake_init(&fake, 64);
	fake.told_block = 4;
	fake_fill(&fake, 0, 400, 1);
	fake_fill(&fake, 1, 400, 99);
	cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
	cr_assert_eq(model_run(&fake, engine, &c, &result, &wrong), 0);
	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(result.cloned, 192, "cloned %lu", result.cloned);
	cr_assert_eq(result.copied, 300);
	cr_assert_eq(fake.counts[FAKE_CLONE], 3);
	cr_assert_eq(model_run(&fake, engine, &c, &result, &wrong), 0);
	cr_assert_eq(result.cloned, 192);
	cr_assert_eq(fake.counts[FAKE_CLONE], 4, "tried without need");
	offlay_engine_free(engine);
}

/* A block size that was too coarse is no reason to copy a small range. */
Test(copy_clone, goes_back_to_finer_blocks_for_a_smaller_range)
{
	struct copy_case big = { 0, 1, 1, 1, 300 };
	struct copy_case small = { 0, 1, 4, 4, 8 };
	struct offlay_engine *engine;
	struct offlay_result result;
	struct fake fake;
	const char *wrong;

	fake_init(&fake, 64);
	fake.told_block = 4;
	fake_fill(&fake, 0, 400, 1);
	fake_fill(&fake, 1, 400, 99);
	cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
	cr_assert_eq(model_run(&fake, engine, &big, &result, &wrong), 0);
	fake.block = 4;
	fake_fill(&fake, 0, 400, 1);
	fake_fill(&fake, 1, 400, 99);
	cr_assert_eq(model_run(&fake, engine, &small, &result, &wrong), 0);
	cr_assert_eq(result.cloned, 8);
	offlay_engine_free(engine);
}

Test(copy_clone, does_not_give_up_a_pair_of_superblocks_for_two_files)
{
	struct copy_case unlike = { 0, 1, 0, 0, 64 };
	struct copy_case alike = { 0, 2, 0, 0, 64 };
	struct offlay_engine *engine;
	struct offlay_result result;
	struct fake fake;
	const char *wrong;

	fake_init(&fake, BLOCK);
	fake_fill(&fake, 0, 64, 1);
	fake.files[1].nodatasum = true;
	cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
	cr_assert_eq(model_run(&fake, engine, &unlike, &result, &wrong), 0);
	cr_assert_null(wrong);
	cr_assert_eq(result.moved, 64);
	cr_assert_eq(result.declined_clone, EINVAL);
	cr_assert_eq(fake.counts[FAKE_CLONE], 1, "asked the same again");
	cr_assert_eq(model_run(&fake, engine, &alike, &result, &wrong), 0);
	cr_assert_null(wrong);
	cr_assert_eq(result.cloned, 64);
	offlay_engine_free(engine);
}

Test(copy_clone, leaves_a_pair_alone_that_cannot_and_asks_again_later)
{
	static const int errnos[] = { EXDEV, EOPNOTSUPP, ENOTTY, ENOSYS };

	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++) {
		struct copy_case c = { 0, 1, 0, 0, 64 };
		struct offlay_engine *engine;
		struct offlay_result result;
		struct fake fake;
		const char *wrong;

		fake_init(&fake, BLOCK);
		fake_fill(&fake, 0, 64, 1);
		fake.clone_errno = errnos[i];
		cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
		for (int again = 0; again < 3; again++) {
			cr_assert_eq(model_run(&fake, engine, &c, &result,
					       &wrong),
				     0);
			cr_assert_null(wrong);
			cr_assert_eq(result.moved, 64);
			cr_assert_eq(result.declined_clone, errnos[i]);
		}
		cr_assert_eq(fake.counts[FAKE_CLONE], 1, "asked again at once");
		fake.clone_errno = 0;
		fake.now += 3600ull * 1000000000u;
		cr_assert_eq(model_run(&fake, engine, &c, &result, &wrong), 0);
		cr_assert_eq(result.cloned, 64, "never asked again");
		offlay_engine_free(engine);
	}
}

/* Success means shared extents; else not a byte changes. */
Test(copy_clone, clone_only_shares_everything_or_leaves_all_as_it_was)
{
	for (uint64_t from = 0; from < 10; from++)
		for (uint64_t to = 0; to < 10; to++)
			for (uint64_t n = 1; n < 20; n++)
				for (int set = 0; set < 2; set++) {
					struct copy_case c = { 0, 1, from, to,
							       n };
					struct offlay_result result;
					struct fake fake;
					struct fake_file old;
					const char *wrong;
					uint64_t due, m;
					int err;

					if (set)
						c.methods = OFFLAY_METHOD_CLONE;
					else
						c.flags =
							OFFLAY_COPY_CLONE_ONLY;
					fake_init(&fake, BLOCK);
					fake_fill(&fake, 0, 15, 1);
					fake_fill(&fake, 1, 9, 50);
					old = fake.files[1];
					m = copy_min(n, 15 - from);
					due = due_for_clone(&fake, &c, m);
					err = model_run(&fake, NULL, &c,
							&result, &wrong);
					cr_assert_null(wrong, "%s", wrong);
					if (due == m) {
						cr_assert_eq(err, 0);
						cr_assert_eq(result.cloned, m);
						continue;
					}
					cr_assert_eq(err, -EOPNOTSUPP);
					cr_assert_eq(result.declined_clone,
						     EINVAL);
					cr_assert(!memcmp(&old, &fake.files[1],
							  sizeof(old)));
				}
}

Test(copy_clone, passes_real_errors_on)
{
	static const int errnos[] = { EIO,   ENOSPC, EDQUOT, EFBIG,
				      EROFS, EBADF,  ENOMEM, ESTALE };

	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
		for (uint64_t from = 0; from < 4; from++) {
			struct copy_case c = { 0, 1, from, from, 64 };
			struct offlay_result result;
			struct fake fake;
			const char *wrong;

			fake_init(&fake, BLOCK);
			fake_fill(&fake, 0, 64, 1);
			fake.clone_errno = errnos[i];
			cr_assert_eq(model_run(&fake, NULL, &c, &result,
					       &wrong),
				     -errnos[i]);
			cr_assert_null(wrong, "%s", wrong);
		}
}

/* Sandboxes answer so; if the file itself is meant, the write says it. */
Test(copy_clone, moves_the_data_where_cloning_is_not_permitted)
{
	static const int errnos[] = { EPERM, EACCES };

	for (size_t i = 0; i < 4; i++) {
		struct copy_case c = { 0, 1, i / 2, i / 2, 61 };
		struct offlay_result result;
		struct fake fake;
		const char *wrong;

		fake_init(&fake, BLOCK);
		fake_fill(&fake, 0, 80, 1);
		fake.clone_errno = errnos[i % 2];
		cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
		cr_assert_null(wrong, "%s", wrong);
		cr_assert_eq(result.moved, 61);
		cr_assert_eq(result.declined_clone, errnos[i % 2]);
		/* Without that way out, it is the answer. */
		fake_init(&fake, BLOCK);
		fake_fill(&fake, 0, 80, 1);
		fake.clone_errno = errnos[i % 2];
		c = (struct copy_case){ 0, 1, 0, 0, 64, OFFLAY_METHOD_CLONE };
		cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong),
			     -errnos[i % 2]);
	}
}

/* The middle is there, so the tail's trouble is told with a short count. */
Test(copy_clone, keeps_what_it_cloned_when_the_tail_fails)
{
	static const enum fake_call calls[] = { FAKE_STAT, FAKE_SEEK,
						FAKE_PREAD, FAKE_PWRITE };

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct copy_case c = { 0, 1, 0, 0, 61 };
		struct offlay_result result;
		struct fake fake;
		const char *wrong;
		int at;

		for (at = 5; at < 20; at++) {
			fake_init(&fake, BLOCK);
			fake_fill(&fake, 0, 80, 1);
			fake.fault_at = at;
			fake.fault_errno = EIO;
			cr_assert_eq(model_run(&fake, NULL, &c, &result,
					       &wrong),
				     0, "call %d", at);
			cr_assert_null(wrong, "%s", wrong);
			if (fake.faulted && fake.fault_call == calls[i])
				break;
		}
		cr_assert_lt(at, 20, "kind %d did not come up", calls[i]);
		cr_assert_eq(result.copied, 60);
		cr_assert_eq(result.stop, EIO);
	}
}

/* Declined after it has shared a part: all of its range is copied again. */
Test(copy_clone, copies_again_what_a_declined_clone_may_have_changed)
{
	for (uint64_t from = 0; from < 4; from++)
		for (uint64_t part = 4; part < 60; part += 4) {
			struct copy_case c = { 0, 1, from, from, 61 };
			struct offlay_result result;
			struct fake fake, quiet;
			const char *wrong;

			fake_init(&fake, BLOCK);
			fake_fill(&fake, 0, 80, 1);
			fake_make_hole(&fake, 0, 20, 8);
			fake_fill(&fake, 1, 70, 31);
			quiet = fake;
			cr_assert_eq(model_run(&quiet, NULL, &c, &result,
					       &wrong),
				     0);
			fake.fault_at = quiet.first[FAKE_CLONE];
			fake.fault_errno = EOPNOTSUPP;
			fake.fault_bytes = part;
			cr_assert_eq(
				model_run(&fake, NULL, &c, &result, &wrong), 0);
			cr_assert_null(wrong, "%s", wrong);
			cr_assert_eq(fake.fault_call, FAKE_CLONE);
			cr_assert_eq(result.copied, 61);
			cr_assert_eq(result.cloned, 0);
		}
}

static void grow_source(struct fake *fake)
{
	struct fake_file *f = &fake->files[0];

	fake_set_size(fake, 0, 40);
	for (int i = 30; i < 40; i++)
		f->data[i] = 200;
	f->written[30 / BLOCK] = f->written[36 / BLOCK] = true;
}

/* The range ended at the source's end, which is elsewhere by now. */
Test(copy_clone, cuts_again_where_a_size_changed_meanwhile)
{
	struct offlay_result result;
	struct fake fake;

	fake_init(&fake, BLOCK);
	fake_fill(&fake, 0, 30, 1);
	for (fake.meddle_at = 0; fake.meddle_at < 6; fake.meddle_at++) {
		struct fake try = fake;
		struct offlay_engine *engine;
		struct offlay_range range = { .src_fd = FAKE_FD(0),
					      .dst_fd = FAKE_FD(1),
					      .length = 30 };

		try.meddle = grow_source;
		cr_assert_eq(copy_engine_new(&fake_ops, &try, &engine), 0);
		cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
		cr_assert_eq(result.copied, 30);
		cr_assert_geq(result.cloned, 28, "meddled at %d: cloned %lu",
			      fake.meddle_at, result.cloned);
		cr_assert(!memcmp(try.files[0].data, try.files[1].data, 30));
		cr_assert_eq(try.files[1].size, 30);
		offlay_engine_free(engine);
	}
}

static void empty_source(struct fake *fake)
{
	fake_set_size(fake, 0, 0);
}

Test(copy_clone, reports_the_end_where_the_source_is_cut_off)
{
	for (int at = 0; at < 5; at++) {
		struct offlay_engine *engine;
		struct offlay_result result;
		struct offlay_range range = { .src_fd = FAKE_FD(0),
					      .dst_fd = FAKE_FD(1),
					      .length = 30 };
		struct fake fake;

		fake_init(&fake, BLOCK);
		fake_fill(&fake, 0, 30, 1);
		fake.meddle_at = at;
		fake.meddle = empty_source;
		cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
		cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
		cr_assert_eq(result.copied, 0);
		cr_assert_eq(result.stop, 0);
		cr_assert_eq(fake.files[1].size, 0);
		offlay_engine_free(engine);
	}
}
