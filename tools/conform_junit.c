// SPDX-License-Identifier: MIT
/* The results as JUnit's XML, which CI systems show. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conform.h"
#include "tools.h"

static void put_failure(FILE *out, const struct conform_run *run,
			const struct conform_cell *cell)
{
	char *text = NULL;
	size_t size = 0;
	FILE *repeat = open_memstream(&text, &size);

	if (repeat) {
		conform_print_repeat(repeat, run, cell);
		fclose(repeat);
	}
	fputs("      <failure message=\"", out);
	text_xml(out, cell->detail);
	fputs("\">to repeat: ", out);
	text_xml(out, text ? text : "");
	if (cell->said) {
		fputs("\nit said: ", out);
		text_xml(out, cell->said);
	}
	fputs("</failure>\n", out);
	free(text);
}

static void put_case(FILE *out, const struct conform_run *run,
		     const struct conform_cell *cell)
{
	fputs("    <testcase classname=\"conform.", out);
	text_xml(out, cell->behaviour->name);
	fputs("\" name=\"", out);
	text_xml(out, cell->file->name);
	fprintf(out, "\" time=\"%.3f\"", cell->seconds);
	switch (cell->result) {
	case CONFORM_FAILED:
		fputs(">\n", out);
		put_failure(out, run, cell);
		break;
	case CONFORM_SKIPPED:
	case CONFORM_UNMET:
		fputs(">\n      <skipped message=\"", out);
		text_xml(out, cell->result == CONFORM_UNMET
				      ? "copied, and never met the behaviour"
				      : cell->detail);
		fputs("\"/>\n", out);
		break;
	default:
		fputs("/>\n", out);
		return;
	}
	fputs("    </testcase>\n", out);
}

static void put_suite(FILE *out, const struct conform_run *run)
{
	size_t skipped = conform_count(run, CONFORM_SKIPPED) +
			 conform_count(run, CONFORM_UNMET);
	char *const *word;

	fprintf(out,
		"  <testsuite name=\"offlay conform\" tests=\"%zu\" "
		"failures=\"%zu\" errors=\"0\" skipped=\"%zu\" "
		"time=\"%.3f\">\n    <properties>\n"
		"      <property name=\"command\" value=\"",
		run->done, conform_count(run, CONFORM_FAILED), skipped,
		run->seconds);
	for (word = run->opt->command; *word; word++) {
		text_xml(out, word == run->opt->command ? "" : " ");
		text_xml(out, *word);
	}
	fputs("\"/>\n      <property name=\"filesystem\" value=\"", out);
	text_xml(out, run->place->fs);
	fputs("\"/>\n", out);
	for (size_t i = 0; i < run->place->missing_count; i++) {
		fputs("      <property name=\"missing\" value=\"", out);
		text_xml(out, run->place->missing[i]);
		fputs("\"/>\n", out);
	}
	fputs("    </properties>\n", out);
	for (size_t i = 0; i < run->done; i++)
		put_case(out, run, &run->cells[i]);
	fputs("  </testsuite>\n", out);
}

/**
 * conform_junit() - write the results to a file
 * @name: is replaced
 *
 * Return: 0 or a negative errno.
 */
int conform_junit(const struct conform_run *run, const char *name)
{
	FILE *out = fopen(name, "we");
	int err = 0;

	if (!out)
		return -errno;
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n",
	      out);
	put_suite(out, run);
	fputs("</testsuites>\n", out);
	if (fflush(out))
		err = -errno;
	if (fclose(out) && !err)
		err = -errno;
	return err;
}
