// SPDX-License-Identifier: MIT
/* The results as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "conform.h"
#include "tools.h"

static const char *part_name(enum conform_part part)
{
	switch (part) {
	case CONFORM_WHOLE:
		return "\"whole\"";
	case CONFORM_SOME:
		return "\"part\"";
	case CONFORM_NO_PART:
		return "\"none\"";
	default:
		return "null";
	}
}

static void print_repeat(const struct conform_run *run,
			 const struct conform_cell *cell)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		conform_print_repeat(out, run, cell);
		fclose(out);
	}
	text_json(stdout, text ? text : "");
	free(text);
}

static void print_status(const struct conform_cell *cell)
{
	if (cell->result == CONFORM_SKIPPED)
		printf("\"exit\": null, \"signal\": null");
	else if (WIFSIGNALED(cell->status))
		printf("\"exit\": null, \"signal\": %d",
		       WTERMSIG(cell->status));
	else
		printf("\"exit\": %d, \"signal\": null",
		       WEXITSTATUS(cell->status));
}

static void print_cell(const struct conform_run *run,
		       const struct conform_cell *cell, bool first)
{
	printf("%s\n    { \"behaviour\": ", first ? "" : ",");
	text_json(stdout, cell->behaviour->name);
	fputs(", \"file\": ", stdout);
	text_json(stdout, cell->file->name);
	printf(", \"result\": \"%s\", \"met\": %s, ",
	       conform_result_name(cell->result), cell->met ? "true" : "false");
	print_status(cell);
	printf(", \"seconds\": %.3f, \"shared\": %s, \"holes\": %s, "
	       "\"detail\": ",
	       cell->seconds, part_name(cell->shared), part_name(cell->holes));
	text_json(stdout, cell->detail);
	fputs(", \"said\": ", stdout);
	if (cell->said)
		text_json(stdout, cell->said);
	else
		fputs("null", stdout);
	fputs(", \"repeat\": ", stdout);
	print_repeat(run, cell);
	fputs(" }", stdout);
}

void conform_json(const struct conform_run *run)
{
	const struct conform_place *place = run->place;
	char *const *word;
	size_t i;

	fputs("{\n  \"command\": [", stdout);
	for (word = run->opt->command; *word; word++) {
		if (word != run->opt->command)
			fputs(", ", stdout);
		text_json(stdout, *word);
	}
	fputs("],\n  \"matrix\": ", stdout);
	text_json(stdout, run->opt->matrix);
	fputs(",\n  \"filesystem\": ", stdout);
	text_json(stdout, place->fs);
	fputs(",\n  \"missing\": [", stdout);
	for (i = 0; i < place->missing_count; i++) {
		fputs(i ? ", " : "", stdout);
		text_json(stdout, place->missing[i]);
	}
	printf("],\n  \"seed\": %" PRIu64 ",\n  \"seconds\": %.3f",
	       run->opt->seed, run->seconds);
	for (i = CONFORM_COPIED; i <= CONFORM_SKIPPED; i++)
		printf(",\n  \"%s\": %zu",
		       conform_result_name((enum conform_result)i),
		       conform_count(run, (enum conform_result)i));
	fputs(",\n  \"cells\": [", stdout);
	for (i = 0; i < run->done; i++)
		print_cell(run, &run->cells[i], !i);
	puts("\n  ]\n}");
}
