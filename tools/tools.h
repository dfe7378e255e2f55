/* SPDX-License-Identifier: MIT */
/* What the subcommands of offlay share; grouped by the .c file that has it. */
#ifndef OFFLAY_TOOLS_H
#define OFFLAY_TOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Exit codes of every subcommand. */
enum tool_exit {
	TOOL_OK = 0,
	TOOL_FAILED = 1, /* it ran, and something was not done */
	TOOL_USAGE = 2,	 /* the command line was wrong; nothing was done */
};

/*
 * One file a subcommand.  argv[0] is the subcommand's name.  "--version" as
 * its first argument is answered by offlay.c, "--help" by the subcommand.
 */
int cmd_conform(int argc, char **argv);
int cmd_copy(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_rules(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_trace(int argc, char **argv);

/* report.c: errors on stderr, each one line "offlay COMMAND: ...". */
void report_command(const char *name);
void report_error(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
int report_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
int report_word(const char *what, const char *word);
void report_status(const char *text);

/* read.c */
ssize_t read_fully(int fd, char *buf, size_t size, uint64_t offset);

/* text.c: names, numbers and JSON as the tool prints them. */

/*
 * A name for a message: 'name', with quotes, backslashes, control bytes and
 * invalid UTF-8 as \ooo, so that no file name can drive a terminal.  The
 * caller frees it; NULL when memory is short (printf shows "(null)").
 */
char *text_quote(const char *name);

/* The same without its quotes, where nothing had to be escaped. */
char *text_plain(const char *name);

/* Bytes for people: "0 B", "512 B", "1.5 MiB". */
#define TEXT_SIZE_MAX 16
const char *text_size(uint64_t bytes, char buf[TEXT_SIZE_MAX]);

/*
 * A JSON string with its quotes.  Bytes that are not UTF-8 come out as lone
 * surrogates U+DC80..U+DCFF, which Python reads back with surrogateescape.
 */
void text_json(FILE *out, const char *text);

/*
 * Character data or an attribute's value of XML.  What XML cannot carry comes
 * out as \ooo.
 */
void text_xml(FILE *out, const char *text);

/* Columns of the terminal behind @out; 80, or $COLUMNS, where there is none. */
size_t text_terminal_width(FILE *out);
/* Is it a terminal that shows colours, and does $NO_COLOR not forbid them? */
bool text_terminal_colour(FILE *out);

/* Columns that a UTF-8 text takes on a terminal, one a code point. */
size_t text_width(const char *text);

#endif
