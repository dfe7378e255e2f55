// SPDX-License-Identifier: MIT
/* The results for people: the matrix, what failed, and how to repeat it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conform.h"
#include "tools.h"

#define NAME_WIDTH 15

static const struct {
	const char *name;
	char glyph;
	const char *colour; /* SGR */
	const char *meaning;
} looks[] = {
	[CONFORM_COPIED] = { "copied", '+', "32", "copied" },
	[CONFORM_TOLD] = { "told", 'e', "33",
			   "gave up, said so, and left nothing that deceives" },
	[CONFORM_UNMET] = { "unmet", '.', "90",
			    "copied, and never met the behaviour" },
	[CONFORM_FAILED] = { "failed", 'F', "1;31", "failed" },
	[CONFORM_SKIPPED] = { "skipped", '-', "90",
			      "makes no difference to this file" },
};

const char *conform_result_name(enum conform_result result)
{
	return looks[result].name;
}

size_t conform_count(const struct conform_run *run, enum conform_result result)
{
	size_t count = 0;

	for (size_t i = 0; i < run->done; i++)
		count += run->cells[i].result == result;
	return count;
}

static const struct conform_cell *find_cell(const struct conform_run *run,
					    const struct conform_behaviour *row,
					    const struct conform_file *column)
{
	for (size_t i = 0; i < run->done; i++)
		if (run->cells[i].behaviour == row &&
		    run->cells[i].file == column)
			return &run->cells[i];
	return NULL;
}

static bool has_column(const struct conform_run *run,
		       const struct conform_file *column)
{
	for (size_t i = 0; i < run->done; i++)
		if (run->cells[i].file == column)
			return true;
	return false;
}

static void print_cell(const struct conform_cell *cell, size_t width,
		       bool has_colour)
{
	char glyph = cell ? looks[cell->result].glyph : ' ';

	/* Copied, and nothing took up room twice. */
	if (cell && cell->result == CONFORM_COPIED &&
	    cell->shared == CONFORM_WHOLE)
		glyph = 's';
	if (cell && has_colour)
		printf(" \033[%sm%*c\033[0m", looks[cell->result].colour,
		       (int)width, glyph);
	else
		printf(" %*c", (int)width, glyph);
}

static void print_row(const struct conform_run *run,
		      const struct conform_behaviour *row, bool has_colour)
{
	bool has_row = false;
	size_t i;

	for (i = 0; i < run->done; i++)
		has_row = has_row || run->cells[i].behaviour == row;
	if (!has_row)
		return;
	printf("%-*s", NAME_WIDTH, row->name);
	for (i = 0; i < conform_file_count; i++)
		if (has_column(run, &conform_files[i]))
			print_cell(find_cell(run, row, &conform_files[i]),
				   strlen(conform_files[i].head), has_colour);
	putchar('\n');
}

static void print_matrix(const struct conform_run *run, bool has_colour)
{
	size_t i;

	printf("%-*s", NAME_WIDTH, "");
	for (i = 0; i < conform_file_count; i++)
		if (has_column(run, &conform_files[i]))
			printf(" %s", conform_files[i].head);
	putchar('\n');
	for (i = 0; i < conform_behaviour_count; i++)
		print_row(run, &conform_behaviours[i], has_colour);
}

static void print_legend(const struct conform_run *run)
{
	puts("\n  s copied, sharing all of its data");
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (conform_count(run, (enum conform_result)i))
			printf("  %c %s\n", looks[i].glyph, looks[i].meaning);
}

void conform_print_repeat(FILE *out, const struct conform_run *run,
			  const struct conform_cell *cell)
{
	const struct conform_options *opt = run->opt;
	char *const *word;

	fputs("offlay conform", out);
	if (opt->on) {
		fputs(" --on ", out);
		conform_command_quote(out, opt->on);
	}
	if (opt->volume)
		fprintf(out, " --volume %s", opt->volume);
	if (opt->seed != CONFORM_SEED)
		fprintf(out, " --seed %llu", (unsigned long long)opt->seed);
	if (opt->timeout_ms != CONFORM_TIMEOUT_MS)
		fprintf(out, " --timeout %u", opt->timeout_ms / 1000);
	fprintf(out, " --only %s/%s --", cell->behaviour->name,
		cell->file->name);
	for (word = opt->command; *word; word++) {
		fputc(' ', out);
		conform_command_quote(out, *word);
	}
}

static void print_failure(const struct conform_run *run,
			  const struct conform_cell *cell, bool has_colour)
{
	printf("\n%sFAILED%s %s/%s (%s; %s): %s\n",
	       has_colour ? "\033[1;31m" : "", has_colour ? "\033[0m" : "",
	       cell->behaviour->name, cell->file->name,
	       cell->behaviour->purpose, cell->file->purpose, cell->detail);
	if (cell->said) {
		char *said = text_quote(cell->said);

		printf("  it said   %s\n", said);
		free(said);
	}
	fputs("  to repeat ", stdout);
	conform_print_repeat(stdout, run, cell);
	putchar('\n');
}

/* Of the cells that say anything of it, how many are whole. */
static void print_part(const struct conform_run *run, const char *text,
		       bool of_holes)
{
	size_t whole = 0, some = 0, all = 0;

	for (size_t i = 0; i < run->done; i++) {
		const struct conform_cell *cell = &run->cells[i];
		enum conform_part part = of_holes ? cell->holes : cell->shared;

		if (part == CONFORM_NA ||
		    (!of_holes && *cell->behaviour->rules))
			continue;
		all++;
		whole += part == CONFORM_WHOLE;
		some += part == CONFORM_SOME;
	}
	if (!all)
		return;
	printf("%s: %zu of %zu", text, whole, all);
	if (some)
		printf(", %zu in part", some);
	putchar('\n');
}

static void print_summary(const struct conform_run *run)
{
	const struct conform_place *place = run->place;
	size_t i;

	putchar('\n');
	print_part(run, "Space shared with nothing in the way", false);
	print_part(run, "Holes kept", true);
	for (i = 0; i < place->missing_count; i++)
		printf("Not available here: %s\n", place->missing[i]);
	printf("%zu copied, %zu gave up and said so, %zu never met it, "
	       "%zu skipped, %zu failed; on %s, %.1f s\n",
	       conform_count(run, CONFORM_COPIED),
	       conform_count(run, CONFORM_TOLD),
	       conform_count(run, CONFORM_UNMET),
	       conform_count(run, CONFORM_SKIPPED),
	       conform_count(run, CONFORM_FAILED), place->fs, run->seconds);
}

void conform_print(const struct conform_run *run)
{
	bool has_colour = text_terminal_colour(stdout);
	size_t i;

	print_matrix(run, has_colour);
	print_legend(run);
	for (i = 0; i < run->done; i++)
		if (run->cells[i].result == CONFORM_FAILED)
			print_failure(run, &run->cells[i], has_colour);
	print_summary(run);
}

static void print_marks(unsigned int matrices)
{
	printf("%c%c%c", matrices & CONFORM_QUICK ? 'q' : ' ',
	       matrices & CONFORM_DEFAULT ? 'd' : ' ',
	       matrices & CONFORM_FULL ? 'f' : ' ');
}

void conform_print_list(void)
{
	size_t i;

	puts("Behaviours (q: in the matrix quick, d: default, f: full)");
	for (i = 0; i < conform_behaviour_count; i++) {
		print_marks(conform_behaviours[i].matrices);
		printf(" %-14s %s\n", conform_behaviours[i].name,
		       conform_behaviours[i].purpose);
	}
	puts("\nFiles");
	for (i = 0; i < conform_file_count; i++) {
		print_marks(conform_files[i].matrices);
		printf(" %-14s %s\n", conform_files[i].name,
		       conform_files[i].purpose);
	}
}
