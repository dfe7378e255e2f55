/* SPDX-License-Identifier: MIT */
/* Fault rules: what a mount answers otherwise than its storage would. */
#ifndef OFFLAY_FAULT_H
#define OFFLAY_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offlay.h"

/* Bounds of a text of rules; see offlay-rules(5), which is the grammar. */
#define FAULT_TEXT_MAX	(64u << 10)
#define FAULT_LINE_MAX	1000
#define FAULT_RULES_MAX 256
#define FAULT_WAIT_MAX	3600000u /* milliseconds */

/* Operations, in the order of fault_op_name(). */
enum fault_op {
	FAULT_COPY,
	FAULT_CLONE,
	FAULT_DEDUPE,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_FSYNC,
	FAULT_OPEN,
	FAULT_CREATE,
	FAULT_TRUNCATE,
	FAULT_TOKEN_READ,
	FAULT_TOKEN_WRITE,
	FAULT_OPS
};

#define FAULT_BIT(op) (1u << (op))
#define FAULT_ALL     (FAULT_BIT(FAULT_OPS) - 1)
/* Those that answer with a count of bytes. */
#define FAULT_COUNTED                                           \
	(FAULT_BIT(FAULT_COPY) | FAULT_BIT(FAULT_READ) |        \
	 FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TOKEN_READ) | \
	 FAULT_BIT(FAULT_TOKEN_WRITE) | FAULT_BIT(FAULT_DEDUPE))
/* Those that move bytes, by count or in whole. */
#define FAULT_SIZED (FAULT_COUNTED | FAULT_BIT(FAULT_CLONE))
/* Those that policy may refuse. */
#define FAULT_REFUSABLE                                          \
	(FAULT_BIT(FAULT_COPY) | FAULT_BIT(FAULT_CLONE) |        \
	 FAULT_BIT(FAULT_DEDUPE) | FAULT_BIT(FAULT_TOKEN_READ) | \
	 FAULT_BIT(FAULT_TOKEN_WRITE))

enum fault_answer {
	FAULT_PLAIN, /* as without rules, after the wait if there is one */
	FAULT_ERRNO,
	FAULT_SHORT,
	FAULT_ZERO,
	FAULT_REFUSE,
	FAULT_FORBID
};

enum fault_short { FAULT_BYTES, FAULT_BLOCKS, FAULT_RANDOM };

/* Sides of a file: enum offlay_side, or either. */
#define FAULT_EITHER_SIDE (-1)

struct fault_rule {
	unsigned int line;
	char *text; /* as it was written, without comment */
	unsigned int ops;
	char *file; /* glob, NULL for all */
	int side;
	uint64_t nth, every, after, count; /* 0: not asked for */
	bool has_prob;
	uint32_t prob; /* of a billion */
	uint64_t seed;
	enum fault_answer answer;
	int err; /* positive */
	enum fault_short cut;
	uint64_t amount;      /* of @cut */
	unsigned int deny;    /* one of OFFLAY_DENY_* */
	unsigned int methods; /* OFFLAY_METHOD_*, forbidden */
	bool waits, hangs;
	uint32_t wait; /* milliseconds; 0 with @hangs: without end */
	bool is_unsafe;
	/* Counters, changed by fault_match(). */
	uint64_t calls, hits, bytes;
	bool counted;
};

struct fault_set {
	struct fault_rule *rules;
	size_t n;
	unsigned int ops; /* of all rules */
};

/* Where a text is wrong, and what belongs there. */
struct fault_error {
	unsigned int line, column; /* from 1; columns are bytes */
	char text[200];		   /* "rules:LINE:COLUMN: expected ..." */
};

/* One call that may be answered otherwise. */
struct fault_call {
	enum fault_op op;
	const char *src, *dst; /* below the mount, NULL: none or not known */
	uint64_t length;       /* of what will be moved */
	uint32_t block;	       /* of the file, for short=Nblocks */
	uint32_t align;	       /* a short count is a multiple; 0 and 1: any */
	bool at_end;	       /* a count of zero is the truth */
};

/* What becomes of it. */
struct fault_hit {
	enum fault_answer answer;
	int err;
	uint64_t length; /* FAULT_SHORT: no more than this */
	unsigned int deny;
	enum offlay_side side; /* whose reason that is */
	unsigned int methods;
	bool waits, hangs;
	uint32_t wait;
	unsigned int line;
};

/**
 * fault_parse() - make rules of a text
 * @text: @size bytes, not necessarily terminated
 * @size: of the text
 * @ret_set: set on success; free with fault_set_free()
 * @ret_error: set where the text is wrong
 *
 * Pure.  Return: 0, -EINVAL with @ret_error, or -ENOMEM.
 */
int fault_parse(const char *text, size_t size, struct fault_set **ret_set,
		struct fault_error *ret_error);
void fault_set_free(struct fault_set *set); /* takes NULL */

/**
 * fault_match() - what do the rules say of this call?
 * @set: rules, whose counters change; callers take turns
 * @call: the call
 * @ret_hit: set where a rule applies
 *
 * Pure but for the counters: the same calls in the same order meet the same
 * answers.  Return: whether a rule applies.
 */
bool fault_match(struct fault_set *set, const struct fault_call *call,
		 struct fault_hit *ret_hit);

/* Does any rule name one of @ops and this file, ever mind the call? */
bool fault_mentions(const struct fault_set *set, unsigned int ops,
		    const char *path);
/* Is there a rule that must reach the caller of a copy as a refusal? */
bool fault_refuses(const struct fault_set *set);

/* Would the kernel take this errno of a copy as "copy by splice" or "never"? */
bool fault_is_hidden(int err);

const char *fault_op_name(enum fault_op op);

/* fault_legal.c: what the manual pages and the kernel allow. */

/* Positive errno of a name, 0 for none. */
int fault_errno_of(const char *name, size_t length);
/* May this operation on a regular file fail so? */
bool fault_is_legal(enum fault_op op, int err);
/* False: the kernel would take it for something else, for the whole mount. */
bool fault_is_deliverable(enum fault_op op, int err);

/*
 * fault_client.c: the rules of a mount, of which @fd is any open file.  Each
 * returns 0 or a negative errno: ENOTTY where it is no offlayfs mount, EPERM
 * where the caller may not change them.
 */

struct offlay_ioc_rules_list;

/* All rules or none; with EINVAL and a line in @ret_error the text is wrong. */
int fault_client_set(int fd, const char *text, size_t size,
		     struct fault_error *ret_error);
/* One rule; its line is 0 where there is none at @index. */
int fault_client_list(int fd, uint32_t index,
		      struct offlay_ioc_rules_list *ret_rule);
int fault_client_clear(int fd);

/*
 * All that can be read from @fd, the caller's to free; -EFBIG where it is more
 * than FAULT_TEXT_MAX.
 */
int fault_read_text(int fd, char **ret_text, size_t *ret_size);

#endif
