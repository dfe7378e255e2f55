// SPDX-License-Identifier: MIT
/* Tests of tools/trace_filter.c: lists with commas, and who passes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "mount_trace.h"

static const struct trace_record copy = {
	.event = { .op = OFFLAY_OP_COPY, .pid = 10, .tid = 11, .err = EIO },
	.comm = "cp",
	.src = "dir/a",
	.dst = "dir/b.img",
};

static bool passes(const struct trace_filter *filter)
{
	return trace_filter_passes(filter, &copy);
}

Test(trace_filter, lets_everything_pass_where_nothing_is_said)
{
	struct trace_filter filter = { 0 };

	cr_expect(passes(&filter));
}

Test(trace_filter, knows_processes_and_threads)
{
	struct trace_filter filter = { .pid = 10 };

	cr_expect(passes(&filter));
	filter.pid = 11;
	cr_expect(passes(&filter));
	filter.pid = 12;
	cr_expect_not(passes(&filter));
}

Test(trace_filter, matches_either_path)
{
	static const struct {
		const char *pattern;
		bool good;
	} rows[] = {
		{ "dir/a", true }, { "*.img", true }, { "dir/?", true },
		{ "*", true },	   { "a", false },    { "[xyz]*", false },
		{ "dir", false },  { "", false },
	};
	struct trace_filter filter = { 0 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		filter.path = rows[i].pattern;
		cr_expect_eq(passes(&filter), rows[i].good, "%s",
			     rows[i].pattern);
	}
}

/* A file without a name is no file that is named so. */
Test(trace_filter, does_not_match_what_has_no_name)
{
	struct trace_filter filter = { .path = "*" };
	struct trace_record record = copy;

	record.src = record.dst = "";
	cr_expect_not(trace_filter_passes(&filter, &record));
}

Test(trace_filter, reads_lists_of_operations)
{
	struct trace_filter filter = { 0 };
	const char *bad;

	cr_assert_eq(trace_filter_ops(&filter, "read,copy", &bad), 0);
	cr_expect_eq(filter.ops,
		     1ull << OFFLAY_OP_READ | 1ull << OFFLAY_OP_COPY);
	cr_expect(passes(&filter));
	filter.ops = 0;
	cr_assert_eq(trace_filter_ops(&filter, "clone", &bad), 0);
	cr_expect_not(passes(&filter));
}

Test(trace_filter, reads_lists_of_results)
{
	struct trace_filter filter = { 0 };
	const char *bad;

	cr_assert_eq(trace_filter_results(&filter, "failed", &bad), 0);
	cr_expect(passes(&filter));
	filter.results = 0;
	cr_assert_eq(trace_filter_results(&filter, "ok,cloned", &bad), 0);
	cr_expect_not(passes(&filter));
}

Test(trace_filter, points_at_the_bad_word)
{
	static const struct {
		const char *list, *bad;
	} rows[] = {
		{ "", "" },
		{ "copy,nope,read", "nope,read" },
		{ "copy,,read", ",read" },
		{ ",", "," },
		{ "Copy", "Copy" },
		{ "an_operation_with_a_name_of_more_than_32_bytes",
		  "an_operation_with_a_name_of_more_than_32_bytes" },
	};
	const char *bad;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct trace_filter filter = { 0 };

		cr_expect_eq(trace_filter_ops(&filter, rows[i].list, &bad),
			     -EINVAL, "%s", rows[i].list);
		cr_expect_str_eq(bad, rows[i].bad);
		cr_expect_eq(trace_filter_results(&filter, rows[i].list, &bad),
			     -EINVAL, "%s", rows[i].list);
	}
}
