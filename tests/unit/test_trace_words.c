// SPDX-License-Identifier: MIT
/* Tests of lib/trace_words.c: every name has a way back, and JSON is exact. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "offlay.h"
#include "trace.h"

Test(trace_words, finds_every_op_by_its_name)
{
	unsigned int op, named = 0;

	for (unsigned int i = 0; i < OFFLAY_OP_COUNT; i++) {
		if (!strcmp(trace_op_name(i), "?"))
			continue;
		named++;
		cr_assert_eq(trace_op_parse(trace_op_name(i), &op), 0);
		cr_expect_eq(op, i);
	}
	cr_expect_eq(named, OFFLAY_OP_CONTROL);
	cr_expect_str_eq(trace_op_name(OFFLAY_OP_COUNT), "?");
	cr_expect_str_eq(trace_op_name(UINT32_MAX), "?");
	cr_expect_eq(trace_op_parse("", &op), -EINVAL);
	cr_expect_eq(trace_op_parse("?", &op), -EINVAL);
}

Test(trace_words, finds_every_result_by_its_name)
{
	enum trace_result result;

	for (int i = 0; i < TRACE_RESULTS; i++) {
		cr_assert_eq(trace_result_parse(trace_result_name(i), &result),
			     0);
		cr_expect_eq((int)result, i);
	}
	cr_expect_eq(trace_result_parse("sparse", &result), -EINVAL);
}

Test(trace_words, tells_how_a_request_came_out)
{
	const struct {
		struct offlay_trace_event event;
		enum trace_result result;
	} rows[] = {
		{ { .bytes = 1 }, TRACE_OK },
		{ { .err = ENOENT }, TRACE_FAILED },
		{ { .err = EOPNOTSUPP, .verdict = OFFLAY_VERDICT_REFUSED },
		  TRACE_REFUSED },
		{ { .err = EINVAL, .verdict = OFFLAY_VERDICT_DECLINED },
		  TRACE_DECLINED },
		{ { .err = EOPNOTSUPP, .flags = OFFLAY_EVENT_EDGE },
		  TRACE_REFUSED },
		{ { .methods = OFFLAY_METHOD_CLONE, .shared = 2, .moved = 1 },
		  TRACE_CLONED },
		{ { .methods = OFFLAY_METHOD_OFFLOAD, .offloaded = 1 },
		  TRACE_OFFLOADED },
		{ { .methods = OFFLAY_METHOD_DATA, .holes = 1 }, TRACE_MOVED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(trace_result_of(&rows[i].event), rows[i].result,
			     "row %zu", i);
}

static char *json_of(const struct trace_record *record)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	trace_json(out, record);
	fclose(out);
	return text;
}

Test(trace_words, writes_a_copy_as_one_line_of_json)
{
	struct trace_record record = {
		.event = {
			.number = 3,
			.time = 1500000000000000042,
			.op = OFFLAY_OP_COPY,
			.flags = OFFLAY_EVENT_COPYING,
			.nsec = 1234567,
			.pid = 10,
			.tid = 11,
			.uid = 1000,
			.err = EOPNOTSUPP,
			.verdict = OFFLAY_VERDICT_REFUSED,
			.src_reasons = 1u << OFFLAY_REASON_SPARSE |
				       1u << OFFLAY_REASON_COMPRESSED,
			.src_ino = 5,
			.dst_ino = 6,
			.src_offset = 4096,
			.length = 8192,
		},
		.comm = "cp",
		.src = "a \"b\"\n\xff",
		.dst = "",
	};
	char *text = json_of(&record);

	cr_expect_str_eq(
		text,
		"{\"event\": 3, \"time\": \"2017-07-14T02:40:00.000000042Z\", "
		"\"op\": \"copy\", \"pid\": 10, \"tid\": 11, \"uid\": 1000, "
		"\"command\": \"cp\", \"src\": {\"path\": "
		"\"a \\\"b\\\"\\u000a\\udcff\", \"ino\": 5, \"offset\": 4096, "
		"\"reasons\": [\"sparse\", \"compressed\"]}, \"dst\": "
		"{\"path\": null, \"ino\": 6, \"offset\": 0, \"reasons\": []}, "
		"\"length\": 8192, \"verdict\": \"refused\", \"result\": "
		"\"refused\", \"methods\": [], \"bytes\": 0, \"shared\": 0, "
		"\"offloaded\": 0, \"moved\": 0, \"holes\": 0, \"errno\": "
		"\"EOPNOTSUPP\", \"declined_clone\": null, "
		"\"declined_offload\": null, \"accelerated\": false, "
		"\"ruled\": false, "
		"\"usec\": 1234.567}");
	free(text);
}

Test(trace_words, writes_null_for_what_is_not_known)
{
	struct trace_record record = {
		.event.op = OFFLAY_OP_STATFS, .comm = "", .src = "", .dst = ""
	};
	char *text = json_of(&record);

	cr_expect_not_null(strstr(text, "\"command\": null, \"src\": null, "
					"\"dst\": null, "));
	free(text);
}
