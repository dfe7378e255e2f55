/* SPDX-License-Identifier: MIT */
/* Inside of the parser of fault rules; grouped by the .c file that has it. */
#ifndef OFFLAY_FAULT_SCAN_H
#define OFFLAY_FAULT_SCAN_H

#include "fault.h"

/* fault_scan.c: one line, and how far it is read. */
struct fault_scan {
	const char *at, *end;
	const char *start;
	unsigned int line;
	struct fault_error *error;
};

/* Says what is expected at @at.  Return: -EINVAL. */
int fault_fail(const struct fault_scan *scan, const char *at,
	       const char *format, ...) __attribute__((format(printf, 3, 4)));

bool fault_is_blank(char c);
void fault_skip_blanks(struct fault_scan *scan);
/* Each takes what is next, if it is this: a character, a word, "WORD=". */
bool fault_take(struct fault_scan *scan, char c);
bool fault_take_word(struct fault_scan *scan, const char *word);
bool fault_take_key(struct fault_scan *scan, const char *word);
/* Letters, digits and underscores.  Return: how many. */
size_t fault_take_name(struct fault_scan *scan);

/* Return: 0 or -EINVAL, with the error said. */
int fault_scan_number(struct fault_scan *scan, const char *what, uint64_t max,
		      uint64_t *ret_value);
/* From 1. */
int fault_scan_count(struct fault_scan *scan, const char *what,
		     uint64_t *ret_value);
/* From 1, "4096", "64K", "1M", "2G". */
int fault_scan_bytes(struct fault_scan *scan, uint64_t *ret_value);
/* "0.25" as parts of a billion. */
int fault_scan_prob(struct fault_scan *scan, uint32_t *ret_prob);
/* After the opening quote; @out has room for the line. */
int fault_scan_quoted(struct fault_scan *scan, char *out);

/* fault_action.c: the rule before its colon is known, what follows is not. */

struct fault_parser {
	struct fault_scan scan;
	struct fault_rule rule;
	const char *seed_at; /* where one was given that must be of use yet */
};

int fault_parse_actions(struct fault_parser *parser);

#endif
