// SPDX-License-Identifier: MIT
/* offlay explain --code: what a code or its name means and what to do. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "tools.h"

/* Decimal or 0x hexadecimal, 32 bits; NTSTATUS also as a negative number. */
static bool parse_number(const char *text, uint32_t *ret_number)
{
	long long number;
	char *end;

	/* Letters before digits are a name; octal is nobody's habit here. */
	if (!isdigit((unsigned char)text[text[0] == '-']))
		return false;
	errno = 0;
	number = strtoll(text, &end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	if (*end || errno || number > UINT32_MAX || number < INT32_MIN)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

static bool has_number(const struct offlay_status *row, uint32_t number)
{
	return row->win32 == number || row->ntstatus == number ||
	       (uint32_t)row->err == number;
}

/* As offlay_status_by_name() matches, but every row that has the name. */
static bool has_name(const struct offlay_status *row, const char *name)
{
	const struct offlay_status *found = offlay_status_by_name(name);

	return found && (found == row || !strcasecmp(row->err_name, name) ||
			 (found->win32 == row->win32 &&
			  strcasecmp(found->ntstatus_name, name) &&
			  strcasecmp(found->err_name, name)));
}

static void print_row(const struct offlay_status *row)
{
	printf("%" PRIu32 " (0x%" PRIX32 ") %s\n", row->win32, row->win32,
	       row->win32_name);
	printf("  NTSTATUS  0x%08" PRIX32 " %s\n", row->ntstatus,
	       row->ntstatus_name);
	printf("  errno     %d %s\n", row->err, row->err_name);
	printf("  why       %s\n", row->why);
	printf("  do        %s\n", row->advice);
}

static void print_row_json(const struct offlay_status *row, bool first)
{
	printf("%s\n  {\n    \"win32\": %" PRIu32 ", \"win32_name\": \"%s\",\n",
	       first ? "" : ",", row->win32, row->win32_name);
	printf("    \"ntstatus\": %" PRIu32 ", \"ntstatus_name\": \"%s\",\n",
	       row->ntstatus, row->ntstatus_name);
	printf("    \"errno\": %d, \"errno_name\": \"%s\",\n    \"why\": ",
	       row->err, row->err_name);
	text_json(stdout, row->why);
	fputs(",\n    \"advice\": ", stdout);
	text_json(stdout, row->advice);
	fputs("\n  }", stdout);
}

int explain_code(const char *code, bool is_json)
{
	const struct offlay_status *row;
	bool is_number, found = false;
	uint32_t number = 0;
	char *quoted;

	is_number = parse_number(code, &number);
	if (is_json)
		putchar('[');
	for (size_t i = 0; (row = offlay_status_at(i)) != NULL; i++) {
		if (is_number ? !has_number(row, number) : !has_name(row, code))
			continue;
		if (is_json)
			print_row_json(row, !found);
		else
			print_row(row);
		found = true;
	}
	if (is_json)
		puts(found ? "\n]" : "]");
	if (found)
		return TOOL_OK;
	quoted = text_quote(code);
	report_error("no code or name %s is known here", quoted);
	free(quoted);
	return TOOL_FAILED;
}
