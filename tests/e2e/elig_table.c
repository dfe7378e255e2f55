// SPDX-License-Identifier: MIT
/* The two tables of offlay-eligibility(7), read from its source. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elig_table.h"

static void split(char *line, size_t cells, struct elig_row *ret_row)
{
	size_t count = 0;
	char *cell = line;

	while (cell) {
		char *next = strstr(cell, " Ta ");

		if (next) {
			*next = '\0';
			next += strlen(" Ta ");
		}
		cr_assert_lt(count, cells, "too many columns: %s", cell);
		cr_assert_lt(strlen(cell), sizeof(ret_row->cell[0]));
		strcpy(ret_row->cell[count++], cell);
		cell = next;
	}
	cr_assert_eq(count, cells, "row '%s'", line);
}

void elig_table_read(const char *head, size_t cells,
		     struct elig_table *ret_table)
{
	const char *page = getenv("OFFLAY_ELIGIBILITY");
	bool inside = false;
	char line[512], mark[96];
	FILE *in;

	cr_assert_not_null(page, "OFFLAY_ELIGIBILITY is not set");
	in = fopen(page, "re");
	cr_assert_not_null(in, "%s", page);
	snprintf(mark, sizeof(mark), ".It Sy %s Ta", head);
	ret_table->count = 0;
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, mark, strlen(mark))) {
			inside = true;
		} else if (inside && !strncmp(line, ".It ", 4)) {
			cr_assert_lt(ret_table->count, ELIG_ROWS);
			split(line + 4, cells,
			      &ret_table->row[ret_table->count++]);
		} else if (inside) {
			break;
		}
	}
	fclose(in);
	cr_assert_gt(ret_table->count, 0, "no table '%s' in %s", head, page);
}
