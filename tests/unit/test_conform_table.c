// SPDX-License-Identifier: MIT
/* Tests of tools/conform_table.c: rules that the mount takes, and selection. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "conform.h"
#include "fault.h"

/* Whatever the size, and with a meaning: legal unless it says unsafe. */
Test(conform_table, has_rules_that_the_parser_takes)
{
	static const uint64_t sizes[] = { 0, 1, 2, 4095, 5u << 20 };

	for (size_t i = 0; i < conform_behaviour_count; i++)
		for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
			char *text = conform_rules_text(&conform_behaviours[i],
							sizes[j], 7);
			struct fault_error error = { 0 };
			struct fault_set *set = NULL;

			cr_assert(text);
			cr_expect(!strchr(text, '{'), "%s", text);
			cr_expect_eq(fault_parse(text, strlen(text), &set,
						 &error),
				     0, "%s: %s", conform_behaviours[i].name,
				     error.text);
			fault_set_free(set);
			free(text);
		}
}

Test(conform_table, puts_sizes_into_rules)
{
	static const struct conform_behaviour behaviour = {
		.name = "x", .rules = "a {half} b {piece} c {seed}\n"
	};
	static const struct {
		uint64_t data;
		const char *text;
	} rows[] = {
		{ 0, "a 1 b 1 c 9\n" },
		{ 1, "a 1 b 1 c 9\n" },
		{ 4097, "a 2048 b 2048 c 9\n" },
		{ 5u << 20, "a 2621440 b 65536 c 9\n" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *text = conform_rules_text(&behaviour, rows[i].data, 9);

		cr_expect_str_eq(text, rows[i].text);
		free(text);
	}
}

static size_t count_selected(const char *glob)
{
	size_t count = 0;

	for (size_t i = 0; i < conform_behaviour_count; i++)
		for (size_t j = 0; j < conform_file_count; j++)
			count += conform_selects(&glob, 1,
						 &conform_behaviours[i],
						 &conform_files[j]);
	return count;
}

Test(conform_table, selects_by_name_and_glob)
{
	cr_expect_eq(count_selected("clone/5MiB"), 1);
	cr_expect_eq(count_selected("clone"), conform_file_count);
	cr_expect_eq(count_selected("short-*/5MiB"), 4);
	cr_expect_eq(count_selected("*/newline"), conform_behaviour_count);
	cr_expect_eq(count_selected("*"),
		     conform_behaviour_count * conform_file_count);
	cr_expect_eq(count_selected("clone/nothing"), 0);
	cr_expect_eq(count_selected("clon"), 0);
}

/* A name is what --only and JUnit call it by; a head is a column. */
Test(conform_table, has_names_that_differ_and_columns_that_fit)
{
	size_t width = 15;

	for (size_t i = 0; i < conform_behaviour_count; i++) {
		cr_expect_lt(strlen(conform_behaviours[i].name), 15);
		for (size_t j = 0; j < i; j++)
			cr_expect_str_neq(conform_behaviours[i].name,
					  conform_behaviours[j].name);
	}
	for (size_t i = 0; i < conform_file_count; i++) {
		cr_expect(conform_files[i].matrices & CONFORM_FULL);
		if (conform_files[i].matrices & CONFORM_DEFAULT)
			width += strlen(conform_files[i].head) + 1;
		for (size_t j = 0; j < i; j++)
			cr_expect_str_neq(conform_files[i].name,
					  conform_files[j].name);
	}
	cr_expect_leq(width, 80);
	cr_expect_leq(conform_file_count, 32); /* bits of a word */
}

Test(conform_table, knows_its_matrices)
{
	cr_expect_eq(conform_matrix("quick"), CONFORM_QUICK);
	cr_expect_eq(conform_matrix("default"), CONFORM_DEFAULT);
	cr_expect_eq(conform_matrix("full"), CONFORM_FULL);
	cr_expect_eq(conform_matrix("fully"), 0);
	cr_expect_eq(conform_matrix(""), 0);
}
