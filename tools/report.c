// SPDX-License-Identifier: MIT
/* How a subcommand says on stderr what failed, on which file, and why. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools.h"

/* Set once by main() before any thread starts. */
static const char *command_name;

/* Is a status line on the terminal?  Guarded by stderr's own lock. */
static bool has_status;

static void clear_status(void)
{
	if (has_status)
		fputs("\r\033[K", stderr);
	has_status = false;
}

/**
 * report_status() - show one line on the terminal that the next one replaces
 * @text: shorter than the terminal is wide; NULL takes the line away
 */
void report_status(const char *text)
{
	flockfile(stderr);
	clear_status();
	if (text) {
		fputs(text, stderr);
		has_status = true;
	}
	fflush(stderr);
	funlockfile(stderr);
}

/**
 * report_command() - name the subcommand that errors are said by
 * @name: static string, or NULL for the tool itself
 */
void report_command(const char *name)
{
	command_name = name;
}

static void __attribute__((format(printf, 1, 0)))
report_line(const char *format, va_list args)
{
	/* One line stays one line where several threads report. */
	flockfile(stderr);
	clear_status();
	fputs("offlay", stderr);
	if (command_name)
		fprintf(stderr, " %s", command_name);
	fputs(": ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	funlockfile(stderr);
}

/**
 * report_error() - one line on stderr; the newline is added
 */
void report_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_line(format, args);
	va_end(args);
}

/**
 * report_usage() - a wrong command line: the line, and where help is
 *
 * Return: TOOL_USAGE, so that a caller can return it.
 */
int report_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_line(format, args);
	va_end(args);
	fprintf(stderr, "Try 'offlay%s%s --help'.\n", command_name ? " " : "",
		command_name ? command_name : "");
	return TOOL_USAGE;
}

/**
 * report_word() - report a word of the command line that is wrong
 * @what: what is wrong with it
 * @word: as the user gave it; is quoted
 *
 * Return: TOOL_USAGE
 */
int report_word(const char *what, const char *word)
{
	char *quoted = text_quote(word);

	report_usage("%s %s", what, quoted);
	free(quoted);
	return TOOL_USAGE;
}
