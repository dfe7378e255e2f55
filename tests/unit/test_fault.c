// SPDX-License-Identifier: MIT
/* Tests of lib/fault.c: which calls a rule meets, and what it answers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

static struct fault_set *parse(const char *text)
{
	struct fault_error error = { 0 };
	struct fault_set *set = NULL;

	cr_assert_eq(fault_parse(text, strlen(text), &set, &error), 0, "%s: %s",
		     text, error.text);
	return set;
}

static bool reads(struct fault_set *set, uint64_t length,
		  struct fault_hit *ret_hit)
{
	const struct fault_call call = {
		.op = FAULT_READ, .src = "d/a", .length = length, .block = 4096
	};

	return fault_match(set, &call, ret_hit);
}

/* "x" for each call that met the rule. */
static void expect_calls(const char *rules, const char *want)
{
	struct fault_set *set = parse(rules);
	struct fault_hit hit;
	char got[64] = "";

	for (size_t i = 0; i < strlen(want); i++)
		got[i] = reads(set, 10, &hit) ? 'x' : '.';
	cr_expect_str_eq(got, want, "%s: %s", rules, got);
	fault_set_free(set);
}

Test(fault, counts_calls)
{
	expect_calls("read : errno=EIO", "xxxx");
	expect_calls("write : errno=EIO", "....");
	expect_calls("read nth=2 : errno=EIO", ".x...");
	expect_calls("read every=3 : errno=EIO", "..x..x..x");
	expect_calls("read count=2 : errno=EIO", "xx...");
	expect_calls("read every=2 count=2 : errno=EIO", ".x.x....");
	expect_calls("read prob=0 : errno=EIO", "........");
	expect_calls("read prob=1 : errno=EIO", "xxxxxxxx");
	/* The first rule that applies is the only one. */
	expect_calls("read nth=1 : errno=EIO\nread nth=1 : errno=EIO", "xx..");
}

Test(fault, draws_the_same_for_the_same_seed)
{
	char first[2001] = "", again[2001] = "", other[2001] = "";
	const char *const texts[] = { "read prob=0.25 seed=7 : errno=EIO",
				      "read prob=0.25 seed=7 : errno=EIO",
				      "read prob=0.25 seed=8 : errno=EIO" };
	char *const runs[] = { first, again, other };
	struct fault_hit hit;
	size_t hits = 0;

	for (size_t run = 0; run < 3; run++) {
		struct fault_set *set = parse(texts[run]);

		for (size_t i = 0; i < 2000; i++)
			runs[run][i] = reads(set, 10, &hit) ? 'x' : '.';
		fault_set_free(set);
	}
	cr_expect_str_eq(first, again);
	cr_expect_str_neq(first, other);
	for (size_t i = 0; i < 2000; i++)
		hits += first[i] == 'x';
	/* 500, and four times its deviation of 19.4. */
	cr_expect(hits > 422 && hits < 578, "%zu of 2000", hits);
}

Test(fault, ends_a_call_at_the_mark)
{
	struct fault_set *set = parse("read after=25 : errno=ENOMEM");
	struct fault_hit hit = { 0 };

	cr_expect_not(reads(set, 10, &hit));
	cr_expect_not(reads(set, 10, &hit));
	cr_assert(reads(set, 10, &hit));
	cr_expect_eq(hit.answer, FAULT_SHORT);
	cr_expect_eq(hit.length, 5);
	cr_assert(reads(set, 10, &hit));
	cr_expect_eq(hit.answer, FAULT_ERRNO);
	cr_expect_eq(hit.err, ENOMEM);
	cr_assert(reads(set, 10, &hit));
	cr_expect_eq(hit.answer, FAULT_ERRNO);
	cr_expect_eq(set->rules[0].calls, 5);
	cr_expect_eq(set->rules[0].hits, 2, "the cut is none");
	cr_expect_eq(set->rules[0].bytes, 25);
	fault_set_free(set);
	/* What ends at the mark needs no cut. */
	set = parse("read after=20 : errno=EIO");
	cr_expect_not(reads(set, 20, &hit));
	cr_assert(reads(set, 1, &hit));
	cr_expect_eq(hit.answer, FAULT_ERRNO);
	fault_set_free(set);
	/* A delay needs no cut either. */
	set = parse("read after=15 : delay=1");
	cr_expect_not(reads(set, 10, &hit));
	cr_assert(reads(set, 10, &hit));
	cr_expect_eq(hit.answer, FAULT_PLAIN);
	cr_expect(hit.waits && hit.wait == 1);
	fault_set_free(set);
}

Test(fault, counts_the_bytes_that_other_rules_let_pass)
{
	struct fault_set *set = parse("read after=100 : errno=EIO\n"
				      "read : short=4");
	struct fault_hit hit;

	for (int i = 0; i < 23; i++) {
		cr_assert(reads(set, 10, &hit));
		cr_expect_eq(hit.length, 4);
	}
	cr_assert(reads(set, 10, &hit));
	cr_expect_eq(hit.length, 8, "up to the mark");
	cr_assert(reads(set, 10, &hit));
	cr_expect_eq(hit.answer, FAULT_ERRNO);
	fault_set_free(set);
}

Test(fault, mixes_operations_with_and_without_bytes)
{
	const struct fault_call fsync = { .op = FAULT_FSYNC };
	const struct fault_call write = { .op = FAULT_WRITE, .length = 100 };
	const struct fault_call clone = { .op = FAULT_CLONE, .length = 500 };
	struct fault_set *set =
		parse("write,fsync,clone after=300 : errno=EIO");
	struct fault_hit hit;

	cr_expect_not(fault_match(set, &write, &hit));
	cr_expect_not(fault_match(set, &fsync, &hit));
	cr_expect_not(fault_match(set, &write, &hit));
	/* It cannot be done by half. */
	cr_assert(fault_match(set, &clone, &hit));
	cr_expect_eq(hit.answer, FAULT_ERRNO);
	cr_expect_not(fault_match(set, &write, &hit));
	cr_assert(fault_match(set, &fsync, &hit));
	fault_set_free(set);
}

Test(fault, shortens_but_never_to_nothing)
{
	static const struct {
		const char *rules;
		uint64_t length;
		uint32_t align;
		uint64_t want; /* 0: as it is */
	} rows[] = {
		{ "read : short=4", 10, 0, 4 },
		{ "read : short=10", 10, 0, 0 },
		{ "read : short=11", 10, 0, 0 },
		{ "read : short=1", 1, 0, 0 },
		{ "read : short=1", 0, 0, 0 },
		{ "read : short=2blocks", 10000, 0, 8192 },
		{ "read : short=2blocks", 8192, 0, 0 },
		{ "read : short=4095", 65536, 512, 3584 },
		{ "read : short=1", 65536, 512, 512 },
		{ "read : short=1", 512, 512, 0 },
		{ "read : short=1", 65536, UINT32_MAX, 0 },
		{ "read : short=random", 1, 0, 0 },
		{ "read : short=random", 2, 0, 1 },
	};
	struct fault_hit hit;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fault_set *set = parse(rows[i].rules);
		const struct fault_call call = { .op = FAULT_READ,
						 .length = rows[i].length,
						 .block = 4096,
						 .align = rows[i].align };

		cr_assert(fault_match(set, &call, &hit));
		cr_expect_eq(hit.answer,
			     rows[i].want ? FAULT_SHORT : FAULT_PLAIN,
			     "row %zu", i);
		cr_expect_eq(hit.length, rows[i].want, "row %zu: %llu", i,
			     (unsigned long long)hit.length);
		fault_set_free(set);
	}
}

Test(fault, shortens_at_random_within_the_call)
{
	struct fault_set *set = parse("read : short=random");
	struct fault_hit hit;
	bool low = false, high = false;

	for (int i = 0; i < 1000; i++) {
		cr_assert(reads(set, 100, &hit));
		cr_assert(hit.length > 0 && hit.length < 100);
		low |= hit.length < 10;
		high |= hit.length > 90;
	}
	cr_expect(low && high);
	fault_set_free(set);
}

Test(fault, knows_files_and_sides)
{
	static const struct {
		const char *rules, *src, *dst;
		bool hit;
		enum offlay_side side;
	} rows[] = {
		{ "copy file=a : refuse=sparse", "a", "b", true, 0 },
		{ "copy file=a : refuse=sparse", "d/a", "b", true, 0 },
		{ "copy file=b : refuse=sparse", "a", "d/b", true,
		  OFFLAY_DESTINATION },
		{ "copy file=c : refuse=sparse", "a", "b", false, 0 },
		{ "copy file=a side=dst : refuse=sparse", "a", "b", false, 0 },
		{ "copy file=a side=src : refuse=sparse", "b", "a", false, 0 },
		{ "copy file=b side=dst : refuse=sparse", "a", "b", true,
		  OFFLAY_DESTINATION },
		{ "copy file=/a : refuse=sparse", "a", "b", true, 0 },
		{ "copy file=/a : refuse=sparse", "d/a", "b", false, 0 },
		{ "copy file=d/* : refuse=sparse", "d/e/a", "b", true, 0 },
		{ "copy file=d/* : refuse=sparse", "e/d/a", "b", false, 0 },
		{ "copy file=*.[ab] : refuse=sparse", "x/q.b", "b", true, 0 },
		{ "copy file=* : refuse=sparse", NULL, NULL, false, 0 },
		{ "copy file=a : refuse=sparse", NULL, "a", true,
		  OFFLAY_DESTINATION },
		{ "copy : refuse=sparse", NULL, NULL, true, 0 },
	};
	struct fault_hit hit = { 0 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fault_set *set = parse(rows[i].rules);
		const struct fault_call call = { .op = FAULT_COPY,
						 .src = rows[i].src,
						 .dst = rows[i].dst,
						 .length = 10 };

		cr_expect_eq(fault_match(set, &call, &hit), rows[i].hit,
			     "row %zu", i);
		cr_expect(!rows[i].hit || hit.side == rows[i].side, "row %zu",
			  i);
		fault_set_free(set);
	}
}

Test(fault, says_zero_where_it_is_true_or_unsafe)
{
	struct fault_set *set = parse("read : zero");
	struct fault_call call = { .op = FAULT_READ, .length = 10 };
	struct fault_hit hit;

	cr_expect_not(fault_match(set, &call, &hit));
	call.at_end = true;
	call.length = 0;
	cr_expect(fault_match(set, &call, &hit));
	cr_expect_eq(hit.answer, FAULT_ZERO);
	fault_set_free(set);
	set = parse("read : zero unsafe");
	call.at_end = false;
	call.length = 10;
	cr_expect(fault_match(set, &call, &hit));
	cr_expect_eq(hit.answer, FAULT_ZERO);
	fault_set_free(set);
}

Test(fault, tells_what_has_to_be_seen)
{
	struct fault_set *set = parse("read file=*.a : errno=EIO\n"
				      "write : delay=1\n"
				      "copy : errno=EIO");

	cr_expect(fault_mentions(set, FAULT_BIT(FAULT_READ), "d/x.a"));
	cr_expect_not(fault_mentions(set, FAULT_BIT(FAULT_READ), "d/x.b"));
	cr_expect_not(fault_mentions(set, FAULT_BIT(FAULT_READ), NULL));
	cr_expect(fault_mentions(set, FAULT_BIT(FAULT_WRITE), NULL));
	cr_expect_not(fault_mentions(set, FAULT_BIT(FAULT_FSYNC), "d/x.a"));
	cr_expect_not(fault_refuses(set), "EIO needs no help");
	fault_set_free(set);
	set = parse("copy : errno=EXDEV");
	cr_expect(fault_refuses(set));
	fault_set_free(set);
	set = parse("token_read : refuse=sparse");
	cr_expect_not(fault_refuses(set));
	fault_set_free(set);
	set = parse("copy : refuse=sparse");
	cr_expect(fault_refuses(set));
	fault_set_free(set);
}
