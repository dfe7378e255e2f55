// SPDX-License-Identifier: MIT
/* Tests of tools/run_args.c: structures as the VFS reads them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "run.h"

#define PAGE 4096

Test(run_args, takes_destinations_up_to_a_page)
{
	unsigned int most = (PAGE - sizeof(struct file_dedupe_range)) /
			    sizeof(struct file_dedupe_range_info);
	size_t size = 1;

	cr_expect_eq(run_args_dedupe_size(0, PAGE, &size), 0);
	cr_expect_eq(size, sizeof(struct file_dedupe_range));
	cr_expect_eq(run_args_dedupe_size(most, PAGE, &size), 0);
	cr_expect_leq(size, PAGE);
	size = 1;
	cr_expect_eq(run_args_dedupe_size(most + 1, PAGE, &size), -ENOMEM);
	cr_expect_eq(run_args_dedupe_size(UINT16_MAX, PAGE, &size), -ENOMEM);
	cr_expect_eq(size, 1);
}

Test(run_args, checks_the_range_of_the_source)
{
	static const struct {
		uint64_t offset, length, size;
		int err;
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ 0, 10, 10, 0 },
		{ 4, 6, 10, 0 },
		{ 10, 0, 10, 0 },
		{ 0, 11, 10, -EINVAL },
		{ 11, 0, 10, -EINVAL },
		{ 1ull << 63, 0, 10, -EINVAL },
		{ 0, 1ull << 63, 10, -EINVAL },
		{ INT64_MAX, 1, UINT64_MAX, -EINVAL },
		{ INT64_MAX, 0, UINT64_MAX, 0 },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, -EINVAL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct file_dedupe_range range = {
			.src_offset = rows[i].offset,
			.src_length = rows[i].length,
		};

		cr_expect_eq(run_args_dedupe_check(&range, rows[i].size),
			     rows[i].err, "row %zu", i);
	}
}

Test(run_args, fills_in_what_came_of_each_destination)
{
	struct file_dedupe_range *range = calloc(
		1, sizeof(*range) + 3 * sizeof(struct file_dedupe_range_info));

	cr_assert_not_null(range);
	range->dest_count = 3;
	range->src_length = 1ull << 40;
	for (int i = 0; i < 3; i++) {
		range->info[i].status = 77;
		range->info[i].bytes_deduped = 88;
	}
	run_args_dedupe_reset(range);
	cr_expect_eq(range->src_length, 1ull << 30);
	run_args_dedupe_set(&range->info[0], 0, 4096);
	run_args_dedupe_set(&range->info[1], -EBADE, 4096);
	run_args_dedupe_set(&range->info[2], -EPERM, 4096);
	cr_expect_eq(range->info[0].status, FILE_DEDUPE_RANGE_SAME);
	cr_expect_eq(range->info[0].bytes_deduped, 4096);
	cr_expect_eq(range->info[1].status, FILE_DEDUPE_RANGE_DIFFERS);
	cr_expect_eq(range->info[1].bytes_deduped, 0);
	cr_expect_eq(range->info[2].status, -EPERM);
	cr_expect_eq(range->info[2].bytes_deduped, 0);
	free(range);
}

Test(run_args, refuses_more_extents_than_can_be_counted)
{
	struct fiemap map = { .fm_extent_count = UINT32_MAX / 56 };

	cr_expect_eq(run_args_map_check(&map), 0);
	map.fm_extent_count++;
	cr_expect_eq(run_args_map_check(&map), -EINVAL);
}
