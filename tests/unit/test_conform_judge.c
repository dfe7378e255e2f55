// SPDX-License-Identifier: MIT
/* Tests of tools/conform_judge.c: what is a failure, and what is not. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "conform.h"

#define SIZE	     1000u
#define EXITED(code) ((code) << 8)

/* What the destination is like; see fill_in(). */
enum copy { GONE, EMPTY, HALF, WHOLE, BAD, BAD_HALF, FIFO };

struct row {
	const char *name;
	int status;
	enum copy copy;
	bool may_fail, met;
	enum conform_result result;
	const char *detail; /* part of it */
};

static void fill_in(struct conform_outcome *o, enum copy copy)
{
	static const struct {
		uint64_t size, same;
	} files[] = {
		[EMPTY] = { 0, 0 },	      [HALF] = { SIZE / 2, SIZE / 2 },
		[WHOLE] = { SIZE, SIZE },     [BAD] = { SIZE, 7 },
		[BAD_HALF] = { SIZE / 2, 7 }, [FIFO] = { 0, 0 },
	};

	o->old_size = SIZE;
	o->is_there = copy != GONE;
	o->is_file = o->is_there && copy != FIFO;
	if (copy != GONE) {
		o->size = files[copy].size;
		o->same_old = files[copy].same;
	}
}

static const struct row rows[] = {
	{ "all well", EXITED(0), WHOLE, false, true, CONFORM_COPIED, "" },
	{ "never met", EXITED(0), WHOLE, true, false, CONFORM_UNMET, "" },
	{ "half, no word", EXITED(0), HALF, true, true, CONFORM_FAILED,
	  "the copy has 500 of 1000 bytes" },
	{ "nothing, no word", EXITED(0), GONE, true, true, CONFORM_FAILED,
	  "there is no copy" },
	{ "empty, no word", EXITED(0), EMPTY, true, true, CONFORM_FAILED,
	  "the copy has 0 of 1000 bytes" },
	{ "wrong, no word", EXITED(0), BAD, true, true, CONFORM_FAILED,
	  "the copy is wrong from byte 7 on" },
	{ "wrong and half", EXITED(0), BAD_HALF, true, true, CONFORM_FAILED,
	  "and not the right ones" },
	{ "a pipe", EXITED(0), FIFO, true, true, CONFORM_FAILED,
	  "no regular file" },
	{ "told, half", EXITED(1), HALF, true, true, CONFORM_TOLD,
	  "exit code 1" },
	{ "told, nothing", EXITED(1), GONE, true, true, CONFORM_TOLD, "" },
	{ "told, whole", EXITED(3), WHOLE, true, true, CONFORM_TOLD,
	  "the copy is right" },
	{ "told, deceives", EXITED(1), BAD, true, true, CONFORM_FAILED,
	  "what looks like a copy" },
	/* A refusal is no error: the bytes can be had. */
	{ "stops at a refusal", EXITED(1), GONE, false, true, CONFORM_FAILED,
	  "though the file could be copied" },
	{ "fails for nothing", EXITED(1), GONE, true, false, CONFORM_FAILED,
	  "though the file could be copied" },
	{ "crashes", SIGSEGV, HALF, true, true, CONFORM_FAILED, "SIGSEGV" },
	{ "writes on", SIGXFSZ, BAD, true, true, CONFORM_FAILED,
	  "without end" },
	{ "killed by others", SIGTERM, GONE, true, true, CONFORM_FAILED,
	  "SIGTERM" },
};

Test(conform_judge, says_of_each_end_what_it_is)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct conform_outcome o = { .status = rows[i].status };
		char detail[CONFORM_TEXT];
		enum conform_result result;

		fill_in(&o, rows[i].copy);
		result = conform_judge(&o, rows[i].may_fail, rows[i].met,
				       detail);
		cr_expect_eq(result, rows[i].result, "%s: %d", rows[i].name,
			     (int)result);
		cr_expect(strstr(detail, rows[i].detail), "%s: %s",
			  rows[i].name, detail);
	}
}

Test(conform_judge, takes_the_signal_that_was_sent)
{
	struct conform_outcome o = { .status = SIGTERM, .was_signalled = true };
	char detail[CONFORM_TEXT];

	fill_in(&o, HALF);
	cr_expect_eq(conform_judge(&o, true, true, detail), CONFORM_TOLD);
	fill_in(&o, BAD);
	cr_expect_eq(conform_judge(&o, true, true, detail), CONFORM_FAILED);
	o.status = SIGSEGV;
	fill_in(&o, GONE);
	cr_expect_eq(conform_judge(&o, true, true, detail), CONFORM_FAILED);
	/* It may go on, too. */
	o.status = EXITED(0);
	fill_in(&o, WHOLE);
	cr_expect_eq(conform_judge(&o, true, true, detail), CONFORM_COPIED);
}

Test(conform_judge, fails_what_does_not_end_and_what_spoils_the_source)
{
	struct conform_outcome o = { .timed_out = true, .status = SIGKILL };
	char detail[CONFORM_TEXT];

	fill_in(&o, WHOLE);
	cr_expect_eq(conform_judge(&o, true, true, detail), CONFORM_FAILED);
	cr_expect(strstr(detail, "did not end"));
	o = (struct conform_outcome){ .src_changed = true };
	fill_in(&o, WHOLE);
	cr_expect_eq(conform_judge(&o, true, true, detail), CONFORM_FAILED);
	cr_expect(strstr(detail, "changed the source"));
}

/* A source of 1000 bytes that becomes one of 1500, 400, or another one. */
Test(conform_judge, allows_what_a_changing_source_was_at_some_time)
{
	static const struct {
		enum conform_action action;
		uint64_t size, same_old, same_new;
		int status;
		enum conform_result result;
	} cases[] = {
		{ CONFORM_GROW, 1000, 1000, 1000, 0, CONFORM_COPIED },
		{ CONFORM_GROW, 1234, 1000, 1234, 0, CONFORM_COPIED },
		{ CONFORM_GROW, 1500, 1000, 1500, 0, CONFORM_COPIED },
		{ CONFORM_GROW, 999, 999, 999, 0, CONFORM_FAILED },
		{ CONFORM_GROW, 1500, 1000, 1400, 0, CONFORM_FAILED },
		{ CONFORM_GROW, 1500, 1000, 1400, 1, CONFORM_FAILED },
		{ CONFORM_GROW, 1400, 1000, 1300, 1, CONFORM_TOLD },
		{ CONFORM_SHRINK, 1000, 1000, 400, 0, CONFORM_COPIED },
		{ CONFORM_SHRINK, 700, 700, 400, 0, CONFORM_COPIED },
		{ CONFORM_SHRINK, 400, 400, 400, 0, CONFORM_COPIED },
		{ CONFORM_SHRINK, 399, 399, 399, 0, CONFORM_FAILED },
		{ CONFORM_SHRINK, 1000, 400, 400, 0, CONFORM_FAILED },
		{ CONFORM_SHRINK, 1000, 400, 400, 1, CONFORM_FAILED },
		{ CONFORM_SHRINK, 399, 399, 399, 1, CONFORM_TOLD },
		{ CONFORM_REPLACE, 1000, 1000, 0, 0, CONFORM_COPIED },
		{ CONFORM_REPLACE, 1000, 0, 1000, 0, CONFORM_COPIED },
		{ CONFORM_REPLACE, 1000, 500, 0, 0, CONFORM_FAILED },
	};
	static const uint64_t new_sizes[] = { [CONFORM_GROW] = 1500,
					      [CONFORM_SHRINK] = 400,
					      [CONFORM_REPLACE] = 1000 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct conform_outcome o = {
			.status = EXITED(cases[i].status),
			.is_there = true,
			.is_file = true,
			.action = cases[i].action,
			.size = cases[i].size,
			.old_size = 1000,
			.new_size = new_sizes[cases[i].action],
			.same_old = cases[i].same_old,
			.same_new = cases[i].same_new,
		};
		char detail[CONFORM_TEXT];

		cr_expect_eq(conform_judge(&o, true, true, detail),
			     cases[i].result, "row %zu: %s", i, detail);
	}
}
