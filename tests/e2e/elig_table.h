/* SPDX-License-Identifier: MIT */
/* The two tables of offlay-eligibility(7), read from its source. */
#ifndef E2E_ELIG_TABLE_H
#define E2E_ELIG_TABLE_H

#include <stddef.h>

#define ELIG_CELLS 4
#define ELIG_ROWS  40

struct elig_row {
	char cell[ELIG_CELLS][80];
};

struct elig_table {
	struct elig_row row[ELIG_ROWS];
	size_t count;
};

/**
 * elig_table_read() - read one table of the manual page
 * @head: text of its first heading, such as "file"
 * @cells: columns that each row must have
 * @ret_table: its rows without the heading
 *
 * The page is $OFFLAY_ELIGIBILITY.  Fails the test where it is not as expected.
 */
void elig_table_read(const char *head, size_t cells,
		     struct elig_table *ret_table);

#endif
