/* SPDX-License-Identifier: MIT */
/* What the sources of "offlay explain" share. */
#ifndef OFFLAY_EXPLAIN_H
#define OFFLAY_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "offlay.h"

/* The options of the mount that a file is on. */
struct explain_mount {
	unsigned int deny;  /* OFFLAY_DENY_* */
	const char *refuse; /* static, the option's own word */
	const char *offload;
};

/* What is known of one file; indices are enum offlay_side. */
struct explain_answer {
	bool has_mount; /* asked a mount, else the library */
	struct explain_mount mount;
	unsigned int deny; /* the policy that was applied */
	struct offlay_facts facts[2];
	uint32_t reasons[2];
};

/*
 * explain_ask.c: opens @name and asks the mount that it is on, else the
 * library with the policy @deny.  Return: 0 or a negative errno.
 */
int explain_ask(const char *name, unsigned int deny,
		struct explain_answer *ret_answer);
bool explain_is_eligible(const struct explain_answer *answer);

/* explain_print.c: to stdout */
void explain_print_line(const char *name, const struct explain_answer *answer);
/* One member of a JSON list; @first of them or not. */
void explain_print_json(const char *name, const struct explain_answer *answer,
			bool first);
void explain_print_json_error(const char *name, int err, bool first);
/* "sparse:compressed", "none" */
#define EXPLAIN_DENY_MAX 64
const char *explain_deny(unsigned int deny, char buf[EXPLAIN_DENY_MAX]);

/* explain_code.c: every row that a number or name means; an exit code. */
int explain_code(const char *code, bool is_json);

#endif
