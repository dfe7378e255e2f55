/* SPDX-License-Identifier: MIT */
/* Inside of offlay token; grouped by the .c file that has it. */
#ifndef OFFLAY_TOOLS_TOKEN_H
#define OFFLAY_TOOLS_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "offlay_odx.h"

/* cmd_token.c */

struct token_options {
	bool json;
	bool has_length;
	uint64_t offset, length, token_offset;
	uint64_t ttl; /* milliseconds */
	const char *output;
};

/* token_run.c: each returns an exit code; errors have been reported. */

int token_run_read(const char *file, const struct token_options *opt);
int token_run_write(const char *token, const char *file,
		    const struct token_options *opt);
int token_run_drop(const char *token, const struct token_options *opt);
int token_run_limits(const char *dir, const char *words,
		     const struct token_options *opt);

/* token_show.c */

int token_run_show(const char *name, const struct token_options *opt);
/* Reads or writes a token file; reports errors.  Return: an exit code. */
int token_load(const char *name, struct offlay_token *ret_token);
int token_save(const char *name, const struct offlay_token *token);
/* The answer of a mount: as an error on stderr, and as members of JSON. */
void token_report(const char *name, int err,
		  const struct offlay_status *status);
void token_json_status(int err, const struct offlay_status *status);

#endif
