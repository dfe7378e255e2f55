// SPDX-License-Identifier: MIT
/* Tests of tools/copy_progress.c: what the line says. */
#include <criterion/criterion.h>

#include "copy.h"

#define MIB ((uint64_t)1 << 20)

Test(copy_progress, says_how_far_and_how_long)
{
	static const struct {
		uint64_t done, expected, files;
		double seconds;
		const char *line;
	} rows[] = {
		{ 0, 100 * MIB, 0, 0,
		  "[........................]   0%  0 B of 100.0 MiB, 0 B/s, "
		  "0:00 left" },
		{ 25 * MIB, 100 * MIB, 0, 30,
		  "[######..................]  25%  25.0 MiB of 100.0 MiB, "
		  "853.3 KiB/s, 1:30 left" },
		{ 100 * MIB, 100 * MIB, 1, 2,
		  "[########################] 100%  100.0 MiB of 100.0 MiB, "
		  "50.0 MiB/s, 0:00 left" },
		/* The source has grown meanwhile. */
		{ 120 * MIB, 100 * MIB, 1, 2,
		  "[########################] 100%  120.0 MiB of 100.0 MiB, "
		  "60.0 MiB/s, 0:00 left" },
		{ 3 * MIB, 0, 17, 1.5, "17 files, 3.0 MiB, 2.0 MiB/s" },
	};
	char line[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		copy_progress_line(rows[i].done, rows[i].expected,
				   rows[i].files, rows[i].seconds, line,
				   sizeof(line));
		cr_expect_str_eq(line, rows[i].line);
	}
}
