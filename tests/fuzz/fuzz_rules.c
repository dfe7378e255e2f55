// SPDX-License-Identifier: MIT
/* Fuzzes the parser of fault rules, and the matcher with what it takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define CALLS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true)
{
	if (!is_true)
		abort();
}

/* A message names a place in the text, and what belongs there. */
static void check_error(const struct fault_error *error, size_t size)
{
	char head[64];

	must(error->line >= 1 && error->line <= size + 1);
	must(error->column >= 1 && error->column <= size + 1);
	snprintf(head, sizeof(head), "rules:%u:%u: expected ", error->line,
		 error->column);
	must(!strncmp(error->text, head, strlen(head)));
	must(memchr(error->text, '\0', sizeof(error->text)) != NULL);
	must(strlen(error->text) > strlen(head));
}

/* No rule gives what its operation cannot have. */
static void check_rule(const struct fault_rule *rule, size_t size)
{
	must(rule->ops && !(rule->ops & ~FAULT_ALL));
	must(rule->line >= 1 && rule->line <= size + 1);
	must(strlen(rule->text) <= FAULT_LINE_MAX);
	must(!rule->file ||
	     (*rule->file && strlen(rule->file) <= FAULT_LINE_MAX));
	must(rule->answer != FAULT_PLAIN || rule->waits);
	must(rule->wait <= FAULT_WAIT_MAX && rule->prob <= 1000000000);
	for (unsigned int op = 0; op < FAULT_OPS; op++) {
		if (!(rule->ops & FAULT_BIT(op)) || rule->answer != FAULT_ERRNO)
			continue;
		must(fault_is_deliverable((enum fault_op)op, rule->err));
		must(rule->is_unsafe ||
		     fault_is_legal((enum fault_op)op, rule->err));
	}
}

static void check_hit(const struct fault_call *call,
		      const struct fault_hit *hit)
{
	if (hit->answer == FAULT_SHORT) {
		must(FAULT_BIT(call->op) & FAULT_COUNTED);
		must(hit->length > 0 && hit->length < call->length);
		must(call->align < 2 || hit->length % call->align == 0);
	}
	must(hit->answer != FAULT_ERRNO || hit->err > 0);
	must(hit->side == OFFLAY_SOURCE || hit->side == OFFLAY_DESTINATION);
}

static void match(struct fault_set *set, const uint8_t *data, size_t size)
{
	static const char *const paths[] = { NULL, "", "a", "d/a.img",
					     "d/e/x y" };
	static const uint32_t aligns[] = { 0, 1, 512, 4096, UINT32_MAX };
	struct fault_hit hit;

	for (size_t i = 0; i < CALLS; i++) {
		uint8_t byte = size ? data[i % size] : 0;
		const struct fault_call call = {
			.op = (enum fault_op)((byte + i) % FAULT_OPS),
			.src = paths[byte % 5],
			.dst = paths[i % 5],
			.length = (uint64_t)byte << (i % 56),
			.block = byte & 1 ? 4096 : 0,
			.align = aligns[(byte + i) % 5],
			.at_end = byte & 2,
		};

		if (fault_match(set, &call, &hit))
			check_hit(&call, &hit);
		fault_mentions(set, FAULT_BIT(call.op), call.src);
	}
	fault_refuses(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own, so that reading behind its end is seen. */
	char *text = malloc(size ? size : 1);
	struct fault_error error = { 0 };
	struct fault_set *set = NULL;

	if (!text)
		return 0;
	memcpy(text, data, size);
	if (fault_parse(text, size, &set, &error)) {
		check_error(&error, size);
	} else {
		must(set->n <= FAULT_RULES_MAX);
		for (size_t i = 0; i < set->n; i++)
			check_rule(&set->rules[i], size);
		match(set, data, size);
	}
	fault_set_free(set);
	free(text);
	return 0;
}
