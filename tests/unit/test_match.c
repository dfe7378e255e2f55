// SPDX-License-Identifier: MIT
/* Tests of lib/match.c: which writes are tried as copies, and for how long. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "match.h"

#define BLOCK 4096u
#define K     1024ull
#define M     (1024 * K)

static struct match following(int64_t shift)
{
	struct match match;

	match_init(&match, BLOCK);
	match_hit(&match, shift, MATCH_MIN);
	return match;
}

struct cut_case {
	const char *name;
	bool follows;
	struct match_try try;
	bool worth;
	struct match_cut cut;
};

static const struct cut_case cuts[] = {
	{ "whole blocks at the start",
	  false,
	  { 0, 10 * M, 0, 0, 128 * K },
	  true,
	  { 0, 128 * K, 0 } },
	{ "a megabyte in the middle",
	  true,
	  { 3 * M, 10 * M, 3 * M, 3 * M, M },
	  true,
	  { 0, M, 0 } },
	{ "too little",
	  false,
	  { 0, 10 * M, 0, 0, 60 * K },
	  false,
	  { 0, 0, 0 } },
	{ "too little while following",
	  true,
	  { 4096, 10 * M, 4096, 4096, 60 * K },
	  false,
	  { 0, 0, 0 } },
	{ "the last bytes of a file that is followed",
	  true,
	  { 10 * M, 10 * M + 5, 10 * M, 10 * M, 5 },
	  true,
	  { 0, 5, 0 } },
	{ "the same while looking",
	  false,
	  { 10 * M, 10 * M + 5, 10 * M, 10 * M, 5 },
	  false,
	  { 0, 0, 0 } },
	{ "the last blocks and bytes",
	  true,
	  { 10 * M, 10 * M + 9000, 10 * M, 10 * M, 9000 },
	  true,
	  { 0, 9000, 0 } },
	{ "the source's end inside of the destination",
	  true,
	  { M, M + 100 * K + 5, M, 5 * M, 100 * K + 5 },
	  true,
	  { 0, 100 * K, 5 } },
	{ "both edges off the blocks",
	  true,
	  { 512, 10 * M, 512, 512, 128 * K },
	  true,
	  { 3584, 124 * K, 512 } },
	{ "shifted by whole blocks",
	  true,
	  { 0, 10 * M, 5 * BLOCK, 5 * BLOCK, 128 * K },
	  true,
	  { 0, 128 * K, 0 } },
	{ "shifted by less than a block",
	  true,
	  { 0, 10 * M, 512, 512, 128 * K },
	  false,
	  { 0, 0, 0 } },
	{ "more than the source has",
	  true,
	  { 0, 100 * K + 7, 0, 0, 128 * K },
	  true,
	  { 0, 100 * K, 28 * K } },
	{ "behind the source's end",
	  true,
	  { 10 * M, 10 * M, 10 * M, 10 * M, 128 * K },
	  false,
	  { 0, 0, 0 } },
};

Test(match, cuts_writes_at_whole_blocks)
{
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		const struct cut_case *c = &cuts[i];
		struct match_cut cut = { 0 };
		struct match match;
		bool worth;

		match_init(&match, BLOCK);
		if (c->follows)
			match = following(0);
		worth = match_cut(&match, &c->try, &cut);
		cr_expect_eq(worth, c->worth, "%s", c->name);
		if (!worth)
			continue;
		cr_expect_eq(cut.head, c->cut.head, "%s: head", c->name);
		cr_expect_eq(cut.middle, c->cut.middle, "%s: middle", c->name);
		cr_expect_eq(cut.tail, c->cut.tail, "%s: tail", c->name);
		cr_expect_eq(cut.head + cut.middle + cut.tail, c->try.length,
			     "%s: all", c->name);
	}
}

Test(match, gives_up_after_a_megabyte_without_a_match)
{
	struct match match;

	match_init(&match, BLOCK);
	for (int i = 0; i < 7; i++)
		match_miss(&match, 128 * K);
	cr_assert_eq(match.state, MATCH_LOOKING);
	match_miss(&match, 128 * K);
	cr_assert_eq(match.state, MATCH_GIVEN_UP);
	match_miss(&match, 128 * K);
	match_busy(&match, 0, 128 * K);
	cr_assert_eq(match.state, MATCH_GIVEN_UP);
}

Test(match, is_patient_after_a_match)
{
	struct match match = following(4096);

	for (int i = 0; i < 127; i++)
		match_miss(&match, 128 * K);
	cr_assert_eq(match.state, MATCH_LOOKING);
	cr_assert_eq(match.shift, 4096);
	match_hit(&match, 8192, 128 * K);
	cr_assert_eq(match.state, MATCH_FOLLOWING);
	cr_assert_eq(match.shift, 8192);
	cr_assert_eq(match.shared, MATCH_MIN + 128 * K);
	for (int i = 0; i < 128; i++)
		match_miss(&match, 128 * K);
	cr_assert_eq(match.state, MATCH_GIVEN_UP);
}

Test(match, waits_longer_for_a_busy_source)
{
	struct match match;

	match_init(&match, BLOCK);
	for (int i = 0; i < 127; i++)
		match_busy(&match, 0, 128 * K);
	cr_assert_eq(match.state, MATCH_FOLLOWING);
	match_busy(&match, 0, 128 * K);
	cr_assert_eq(match.state, MATCH_GIVEN_UP);
}

Test(match, knows_no_offsets_outside_of_files)
{
	uint64_t at;

	cr_assert(match_src_offset(-4096, 4096, &at) && at == 0);
	cr_assert(!match_src_offset(-4096, 4095, &at));
	cr_assert(match_src_offset(4096, 0, &at) && at == 4096);
	cr_assert(!match_src_offset(4096, INT64_MAX, &at));
	cr_assert(!match_src_offset(0, (uint64_t)INT64_MAX + 1, &at));
	cr_assert(!match_src_offset(INT64_MIN, INT64_MAX, &at));
}

static unsigned char *sample(size_t size, unsigned int seed)
{
	unsigned char *bytes = malloc(size);

	srand(seed);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)rand();
	return bytes;
}

Test(match, finds_a_source_wherever_it_begins)
{
	static const uint64_t places[] = { 0, 4096, 40960, 123 * 4096 };
	unsigned char *src = sample(MATCH_HEAD, 1);
	unsigned char *write = sample(128 * K, 2);
	struct match_index *index;

	cr_assert_eq(match_index_new(src, MATCH_HEAD, BLOCK, &index), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		int64_t shift = 1;

		/* The source's eighth block, three blocks into the write. */
		memcpy(write + 3 * BLOCK, src + 8 * BLOCK, BLOCK);
		cr_assert(match_index_find(index, write, 128 * K, places[i],
					   &shift));
		cr_assert_eq(shift, 5 * (int64_t)BLOCK - (int64_t)places[i]);
	}
	match_index_free(index);
	free(src);
	free(write);
}

/* Block borders are those of the destination, not of the write. */
Test(match, looks_at_whole_blocks_of_the_destination)
{
	unsigned char *src = sample(64 * K, 1);
	unsigned char *write = sample(64 * K, 2);
	struct match_index *index;
	int64_t shift;

	cr_assert_eq(match_index_new(src, 64 * K, BLOCK, &index), 0);
	memcpy(write + 3072, src, BLOCK);
	cr_assert(match_index_find(index, write, 64 * K, 1024, &shift));
	cr_assert_eq(shift, -4096);
	cr_assert(!match_index_find(index, write, 64 * K, 1025, &shift));
	cr_assert(!match_index_find(index, write, 3072 + BLOCK - 1, 1024,
				    &shift));
	match_index_free(index);
	free(src);
	free(write);
}

Test(match, is_not_led_by_blocks_that_are_everywhere)
{
	unsigned char *src = calloc(1, 64 * K);
	unsigned char *write = calloc(1, 64 * K);
	struct match_index *index;
	int64_t shift;

	memset(src + BLOCK, 0xff, BLOCK);
	src[3 * BLOCK] = 1;
	cr_assert_eq(match_index_new(src, 64 * K, BLOCK, &index), 0);
	memset(write + BLOCK, 0xff, BLOCK);
	cr_assert(!match_index_find(index, write, 64 * K, 0, &shift));
	write[5 * BLOCK] = 1;
	cr_assert(match_index_find(index, write, 64 * K, 0, &shift));
	cr_assert_eq(shift, -2 * (int64_t)BLOCK);
	match_index_free(index);
	free(src);
	free(write);
}

Test(match, has_no_fingerprints_of_a_part_of_a_block)
{
	unsigned char *src = sample(BLOCK, 1);
	struct match_index *index;
	int64_t shift;

	cr_assert_eq(match_index_new(src, BLOCK - 1, BLOCK, &index), 0);
	cr_assert(!match_index_find(index, src, BLOCK, 0, &shift));
	match_index_free(index);
	match_index_free(NULL);
	free(src);
}
