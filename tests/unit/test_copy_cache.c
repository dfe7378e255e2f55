// SPDX-License-Identifier: MIT
/* Tests of lib/copy_cache.c: what a huge copy leaves in the page cache. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "copy_model.h"

#define SIZE   600u
#define WINDOW 64u
#define LAG    128u

static struct offlay_engine *engine;
static struct fake fake;

static void stage(uint64_t huge)
{
	fake_init(&fake, 8);
	fake_fill(&fake, 0, SIZE, 1);
	memset(fake.files[0].clean, true, SIZE);
	fake.most = 32;
	cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
	engine->cache = (struct copy_cache_limits){ huge, WINDOW, LAG };
}

static struct offlay_result copy(uint64_t length, uint64_t max_move)
{
	struct copy_case c = { .src = 0,
			       .dst = 1,
			       .length = length,
			       .methods = OFFLAY_METHOD_DATA,
			       .max_move = max_move };
	struct offlay_result result;
	const char *wrong;

	do {
		cr_assert_eq(model_run(&fake, engine, &c, &result, &wrong), 0);
		cr_assert_null(wrong, "%s", wrong);
		c.src_offset += result.copied;
		c.dst_offset += result.copied;
		c.length -= result.copied;
	} while (max_move && c.length);
	return result;
}

static unsigned int cached(int file)
{
	unsigned int n = 0;

	for (size_t i = 0; i < SIZE; i++)
		n += fake.files[file].cached[i];
	return n;
}

Test(copy_cache, leaves_ordinary_copies_alone)
{
	stage(4096);
	cr_assert_eq(copy(SIZE, 0).copied, SIZE);
	cr_assert_eq(fake.counts[FAKE_CACHED], 0);
	cr_assert_eq(fake.counts[FAKE_DROP], 0);
	cr_assert_eq(fake.counts[FAKE_WRITE_BACK], 0);
	cr_assert_eq(cached(0), SIZE);
	offlay_engine_free(engine);
}

Test(copy_cache, keeps_no_more_than_the_lag_of_a_huge_one)
{
	stage(512);
	cr_assert_eq(copy(SIZE, 0).copied, SIZE);
	cr_assert_eq(cached(0), 0);
	cr_assert_leq(cached(1), LAG + WINDOW);
	offlay_engine_free(engine);
}

/* A copy in many calls goes on where the last one ended. */
Test(copy_cache, keeps_no_more_when_a_copy_takes_many_calls)
{
	stage(512);
	copy(SIZE, 96);
	cr_assert_lt(cached(0), WINDOW);
	cr_assert_leq(cached(1), LAG + WINDOW);
	offlay_engine_free(engine);
}

Test(copy_cache, does_not_wait_for_the_disk_at_the_edges_of_a_clone)
{
	struct copy_case c = { 0, 1, 3, 3, SIZE - 9 };
	struct offlay_result result;
	const char *wrong;

	stage(512);
	cr_assert_eq(model_run(&fake, engine, &c, &result, &wrong), 0);
	cr_assert_gt(result.cloned, 0);
	cr_assert_gt(result.moved, 0);
	cr_assert_eq(fake.counts[FAKE_WRITE_BACK], 0);
	offlay_engine_free(engine);
}

Test(copy_cache, keeps_what_was_cached_before)
{
	stage(512);
	memset(&fake.files[0].cached[128], true, 192);
	cr_assert_eq(copy(SIZE, 0).copied, SIZE);
	cr_assert_eq(cached(0), 192);
	for (size_t i = 128; i < 320; i++)
		cr_assert(fake.files[0].cached[i], "byte %zu", i);
	offlay_engine_free(engine);
}

Test(copy_cache, drops_nothing_of_the_source_where_the_kernel_cannot_tell)
{
	stage(512);
	fake.fault_errno = ENOSYS;
	fake.fault_stays = true;
	fake.fault_call = FAKE_CACHED;
	fake.faulted = true;
	cr_assert_eq(copy(SIZE, 0).copied, SIZE);
	cr_assert_eq(cached(0), SIZE);
	offlay_engine_free(engine);
}

Test(copy_cache, takes_a_sparse_file_for_as_large_as_its_data)
{
	stage(512);
	fake_make_hole(&fake, 0, 64, 512);
	cr_assert_eq(copy(SIZE, 0).copied, SIZE);
	cr_assert_eq(fake.counts[FAKE_DROP], 0);
	offlay_engine_free(engine);
}
