// SPDX-License-Identifier: MIT
/* Tests of tools/top_table.c: sums, rates, order, and a table that is full. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "top.h"

static struct top_table table;

static void add(uint32_t pid, const char *comm, uint64_t shared, int err)
{
	struct trace_record record = {
		.event = { .op = OFFLAY_OP_COPY,
			   .pid = pid,
			   .err = (uint32_t)err,
			   .verdict = err ? OFFLAY_VERDICT_REFUSED
					  : OFFLAY_VERDICT_ELIGIBLE,
			   .shared = shared },
		.comm = comm,
		.src = "src",
		.dst = "dst",
	};

	top_table_add(&table, &record);
}

Test(top_table, adds_up_what_a_process_copies)
{
	add(1, "cp", 1000, 0);
	add(1, "cp", 500, 0);
	add(1, "cp", 0, EOPNOTSUPP);
	top_table_round(&table, 2);
	cr_assert_eq(table.count, 1);
	cr_expect_eq(table.rows[0].copies, 3);
	cr_expect_eq(table.rows[0].refused, 1);
	cr_expect_eq(table.rows[0].shared, 1500);
	cr_expect_eq(table.rows[0].copy_rate, 1.5);
	cr_expect_eq(table.rows[0].byte_rate, 750);
	cr_expect_str_eq(table.rows[0].path, "dst");
	top_table_round(&table, 1);
	cr_expect_eq(table.rows[0].byte_rate, 0);
	cr_expect_eq(table.rows[0].shared, 1500);
}

Test(top_table, puts_the_busiest_first)
{
	add(1, "slow", 1, 0);
	add(2, "fast", 100, 0);
	add(3, "often", 0, EOPNOTSUPP);
	add(3, "often", 0, EOPNOTSUPP);
	add(4, "once", 0, EOPNOTSUPP);
	top_table_round(&table, 1);
	cr_expect_eq(table.rows[0].pid, 2);
	cr_expect_eq(table.rows[1].pid, 1);
	cr_expect_eq(table.rows[2].pid, 3);
	cr_expect_eq(table.rows[3].pid, 4);
}

/* A process id that is used again is another process. */
Test(top_table, tells_processes_apart)
{
	add(1, "cp", 1, 0);
	add(1, "mv", 1, 0);
	cr_expect_eq(table.count, 2);
}

Test(top_table, forgets_who_copies_no_more)
{
	add(1, "cp", 1, 0);
	for (int i = 0; i < TOP_ROUNDS + 1; i++)
		top_table_round(&table, 1);
	cr_expect_eq(table.count, 1);
	top_table_round(&table, 1);
	cr_expect_eq(table.count, 0);
}

Test(top_table, gives_up_the_longest_idle_where_it_is_full)
{
	for (uint32_t pid = 1; pid <= TOP_ROWS; pid++)
		add(pid, "cp", 1, 0);
	top_table_round(&table, 1);
	for (uint32_t pid = 1; pid <= TOP_ROWS; pid++)
		if (pid != 7)
			add(pid, "cp", 1, 0);
	top_table_round(&table, 1);
	add(1000, "new", 1, 0);
	cr_expect_eq(table.count, TOP_ROWS);
	for (size_t i = 0; i < table.count; i++)
		cr_expect_neq(table.rows[i].pid, 7);
}

Test(top_table, counts_nothing_but_copies)
{
	struct trace_record record = {
		.event.op = OFFLAY_OP_WRITE, .comm = "dd", .src = "", .dst = ""
	};

	top_table_add(&table, &record);
	record.event.op = OFFLAY_OP_FIEMAP;
	top_table_add(&table, &record);
	record.event.op = OFFLAY_OP_TOKEN_READ;
	top_table_add(&table, &record);
	cr_expect_eq(table.count, 0);
	record.event.op = OFFLAY_OP_WRITE;
	record.event.flags = OFFLAY_EVENT_ACCEL;
	top_table_add(&table, &record);
	cr_expect_eq(table.count, 1);
}

/* The end of a long path says more, and is whole characters. */
Test(top_table, cuts_a_long_path_at_its_front)
{
	struct trace_record record = { .event.op = OFFLAY_OP_COPY,
				       .comm = "cp",
				       .src = "" };
	char path[TRACE_PATH_MAX] = "";

	while (strlen(path) < 1000)
		strcat(path, "\xc3\xa4x");
	record.dst = path;
	top_table_add(&table, &record);
	cr_expect_geq(strlen(table.rows[0].path), TOP_PATH_MAX - 3);
	cr_expect_str_eq(table.rows[0].path,
			 path + strlen(path) - strlen(table.rows[0].path));
	cr_expect_neq(table.rows[0].path[0] & 0xc0, 0x80);
}
