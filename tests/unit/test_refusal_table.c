// SPDX-License-Identifier: MIT
/* Tests of fs/refusal_table.c: which request carries a refusal. */
#include <criterion/criterion.h>
#include <string.h>

#include "refusal_table.h"

#define TID 4711

static struct refusal_table table;

static void begin(void)
{
	refusal_table_init(&table);
}

static void end(void)
{
	refusal_table_done(&table);
}

TestSuite(refusal_table, .init = begin, .fini = end);

static const struct refusal_call in_copy = {
	"326 0x3 0x7ffd10 0x4 0x7ffd18 0x10000 0x0 0x7ffd00 0x7f1234"
};
static const struct refusal_call in_write = {
	"18 0x4 0x55aa00 0x10000 0x8000 0x0 0x0 0x7ffd00 0x7f1299"
};
static const struct refusal_call unseen = { "" };

static struct refusal refusal_of(pid_t tid, const struct refusal_call *call)
{
	return (struct refusal){
		.tid = tid,
		.src_fh = 10,
		.dst_fh = 20,
		.src_offset = 4096,
		.dst_offset = 32768,
		.length = 65536,
		.deadline = 1000,
		.call = *call,
	};
}

static void arm(pid_t tid, const struct refusal_call *call)
{
	struct refusal refusal = refusal_of(tid, call);

	cr_assert(refusal_arm(&table, &refusal, 0));
}

Test(refusal_table, finds_what_was_armed_for_a_thread)
{
	struct refusal found;

	arm(TID, &in_copy);
	cr_assert(refusal_find(&table, TID, 999, &found));
	cr_expect_eq(found.dst_offset, 32768);
	cr_expect_str_eq(found.call.text, in_copy.text);
	cr_expect_not(refusal_find(&table, TID + 1, 999, &found));
	cr_expect_not(refusal_find(&table, 0, 999, &found));
}

Test(refusal_table, forgets_at_the_deadline)
{
	struct refusal found;

	arm(TID, &in_copy);
	cr_expect_not(refusal_find(&table, TID, 1000, &found));
	cr_expect_eq(atomic_load(&table.armed), 0);
}

Test(refusal_table, is_disarmed_by_other_requests_of_the_thread)
{
	struct refusal found;

	arm(TID, &in_copy);
	refusal_disarm(&table, TID + 1);
	cr_expect(refusal_find(&table, TID, 1, &found));
	refusal_disarm(&table, TID);
	cr_expect_not(refusal_find(&table, TID, 1, &found));
	refusal_disarm(&table, TID);
	cr_expect_eq(atomic_load(&table.armed), 0);
}

Test(refusal_table, is_disarmed_when_either_handle_is_closed)
{
	struct refusal found;

	for (uint64_t fh = 10; fh <= 20; fh += 10) {
		arm(TID, &in_copy);
		refusal_disarm_handle(&table, 15);
		cr_expect(refusal_find(&table, TID, 1, &found));
		refusal_disarm_handle(&table, fh);
		cr_expect_not(refusal_find(&table, TID, 1, &found));
	}
}

Test(refusal_table, keeps_one_refusal_a_thread)
{
	struct refusal second = refusal_of(TID, &in_copy), found;

	second.dst_offset = 0;
	for (int i = 0; i < 1000; i++)
		arm(TID, &in_copy);
	cr_assert(refusal_arm(&table, &second, 0));
	cr_expect_eq(atomic_load(&table.armed), 1);
	cr_assert(refusal_find(&table, TID, 1, &found));
	cr_expect_eq(found.dst_offset, 0);
}

Test(refusal_table, is_bounded_and_makes_room_of_what_expired)
{
	struct refusal more = refusal_of(TID + REFUSAL_SLOTS, &in_copy), found;

	for (pid_t i = 0; i < REFUSAL_SLOTS; i++)
		arm(TID + i, &in_copy);
	cr_expect_not(refusal_arm(&table, &more, 999));
	cr_expect(refusal_find(&table, TID, 999, &found));
	more.deadline = 2000;
	cr_expect(refusal_arm(&table, &more, 1000));
	cr_expect_eq(atomic_load(&table.armed), 1);
}

/* What a WRITE means: handle, offset, size, the call now, and the answer. */
static const struct {
	const char *name;
	const struct refusal_call *armed, *now;
	uint64_t fh, offset, size;
	enum refusal_answer answer;
} writes[] = {
	{ "the splice's own", &in_copy, &in_copy, 20, 32768, 4096,
	  REFUSAL_CERTAIN },
	{ "a whole pipe", &in_copy, &in_copy, 20, 32768, 65536,
	  REFUSAL_CERTAIN },
	{ "more than was asked", &in_copy, &in_copy, 20, 32768, 65537,
	  REFUSAL_NONE },
	{ "nothing", &in_copy, &in_copy, 20, 32768, 0, REFUSAL_NONE },
	{ "a write(2) there", &in_copy, &in_write, 20, 32768, 4096,
	  REFUSAL_NONE },
	{ "the thread does not sleep yet", &in_copy, &unseen, 20, 32768, 4096,
	  REFUSAL_LIKELY },
	{ "it does not sleep yet, elsewhere", &in_copy, &unseen, 20, 36864,
	  4096, REFUSAL_NONE },
	{ "elsewhere in the file", &in_copy, &in_copy, 20, 0, 4096,
	  REFUSAL_NONE },
	{ "another handle", &in_copy, &in_copy, 21, 32768, 4096, REFUSAL_NONE },
	{ "the source's handle", &in_copy, &in_copy, 10, 32768, 4096,
	  REFUSAL_NONE },
	{ "calls never shown", &unseen, &unseen, 20, 32768, 4096,
	  REFUSAL_LIKELY },
	{ "calls never shown, elsewhere", &unseen, &unseen, 20, 36864, 4096,
	  REFUSAL_NONE },
	{ "calls never shown, another handle", &unseen, &unseen, 21, 32768,
	  4096, REFUSAL_NONE },
};

Test(refusal_table, knows_the_write_that_carries_a_refusal)
{
	for (size_t i = 0; i < sizeof(writes) / sizeof(*writes); i++) {
		struct refusal refusal = refusal_of(TID, writes[i].armed);

		cr_expect_eq(refusal_judge_write(&refusal, writes[i].fh,
						 writes[i].offset,
						 writes[i].size, writes[i].now),
			     writes[i].answer, "%s", writes[i].name);
	}
}

static const struct {
	const char *name;
	const struct refusal_call *armed, *now;
	uint64_t fh;
	enum refusal_answer answer;
} reads[] = {
	{ "the splice's own", &in_copy, &in_copy, 10, REFUSAL_CERTAIN },
	{ "of the destination", &in_copy, &in_copy, 20, REFUSAL_NONE },
	{ "by another call", &in_copy, &in_write, 10, REFUSAL_NONE },
	{ "calls never shown", &unseen, &unseen, 10, REFUSAL_NONE },
};

Test(refusal_table, knows_the_read_that_carries_a_refusal)
{
	for (size_t i = 0; i < sizeof(reads) / sizeof(*reads); i++) {
		struct refusal refusal = refusal_of(TID, reads[i].armed);

		cr_expect_eq(refusal_judge_read(&refusal, reads[i].fh,
						reads[i].now),
			     reads[i].answer, "%s", reads[i].name);
	}
}
