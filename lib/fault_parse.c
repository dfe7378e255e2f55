// SPDX-License-Identifier: MIT
/* Fault rules from text: one pure parser, exact about what is wrong where. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault_scan.h"

static int parse_glob(struct fault_parser *parser)
{
	const char *first = parser->scan.at;
	char text[FAULT_LINE_MAX + 1];
	size_t n = 0;
	int err = 0;

	if (fault_take(&parser->scan, '"')) {
		err = fault_scan_quoted(&parser->scan, text);
	} else {
		while (parser->scan.at < parser->scan.end &&
		       !fault_is_blank(*parser->scan.at))
			text[n++] = *parser->scan.at++;
		text[n] = '\0';
		if (!n)
			err = fault_fail(&parser->scan, first,
					 "expected a name or pattern");
	}
	if (err)
		return err;
	parser->rule.file = strdup(text);
	return parser->rule.file ? 0 : -ENOMEM;
}

static const char op_list[] =
	"copy, clone, dedupe, read, write, fsync, open, create, truncate, "
	"token_read, token_write or any";

static int parse_op(struct fault_parser *parser)
{
	for (unsigned int op = 0; op < FAULT_OPS; op++)
		if (fault_take_word(&parser->scan,
				    fault_op_name((enum fault_op)op))) {
			parser->rule.ops |= FAULT_BIT(op);
			return 0;
		}
	if (fault_take_word(&parser->scan, "any")) {
		parser->rule.ops = FAULT_ALL;
		return 0;
	}
	return fault_fail(&parser->scan, parser->scan.at, "expected %s",
			  op_list);
}

/* What follows a word. */
static int end_word(struct fault_parser *parser, const char *or_what)
{
	if (parser->scan.at == parser->scan.end ||
	    fault_is_blank(*parser->scan.at) || *parser->scan.at == ':' ||
	    *parser->scan.at == '#')
		return 0;
	return fault_fail(&parser->scan, parser->scan.at, "expected a blank%s",
			  or_what);
}

static int parse_ops(struct fault_parser *parser)
{
	int err;

	do
		err = parse_op(parser);
	while (!err && fault_take(&parser->scan, ','));
	return err ? err : end_word(parser, ", a comma or a colon");
}

static int parse_side(struct fault_parser *parser)
{
	if (fault_take_word(&parser->scan, "src"))
		parser->rule.side = OFFLAY_SOURCE;
	else if (fault_take_word(&parser->scan, "dst"))
		parser->rule.side = OFFLAY_DESTINATION;
	else
		return fault_fail(&parser->scan, parser->scan.at,
				  "expected src or dst");
	return 0;
}

enum key { FILE_KEY, SIDE, NTH, EVERY, AFTER, PROB, SEED, COUNT, KEYS };

static const char *const key_names[KEYS] = { "file",  "side", "nth",  "every",
					     "after", "prob", "seed", "count" };

static int parse_value(struct fault_parser *parser, enum key key)
{
	struct fault_rule *rule = &parser->rule;

	switch (key) {
	case FILE_KEY:
		return parse_glob(parser);
	case SIDE:
		return parse_side(parser);
	case NTH:
		return fault_scan_count(&parser->scan, "the number of a call",
					&rule->nth);
	case EVERY:
		return fault_scan_count(&parser->scan, "a number of calls",
					&rule->every);
	case AFTER:
		return fault_scan_bytes(&parser->scan, &rule->after);
	case PROB:
		rule->has_prob = true;
		return fault_scan_prob(&parser->scan, &rule->prob);
	case SEED:
		return fault_scan_number(&parser->scan, "a seed", UINT64_MAX,
					 &rule->seed);
	default:
		return fault_scan_count(&parser->scan, "a number of hits",
					&rule->count);
	}
}

static int check_conditions(struct fault_parser *parser,
			    const char *const *places)
{
	const struct fault_rule *rule = &parser->rule;

	if (places[SIDE] && !rule->file)
		return fault_fail(&parser->scan, places[SIDE],
				  "expected file= with side=");
	if (places[AFTER] && !(rule->ops & FAULT_SIZED))
		return fault_fail(
			&parser->scan, places[AFTER],
			"expected after= with an operation that moves "
			"bytes only");
	if (places[NTH] && places[EVERY])
		return fault_fail(&parser->scan,
				  places[NTH] > places[EVERY] ? places[NTH]
							      : places[EVERY],
				  "expected nth= or every=, not both");
	parser->seed_at = rule->has_prob ? NULL : places[SEED];
	return 0;
}

static int parse_conditions(struct fault_parser *parser)
{
	const char *places[KEYS] = { NULL };
	int err;

	for (;;) {
		unsigned int key;

		fault_skip_blanks(&parser->scan);
		if (fault_take(&parser->scan, ':'))
			return check_conditions(parser, places);
		for (key = 0; key < KEYS; key++) {
			const char *place = parser->scan.at;

			if (!fault_take_key(&parser->scan, key_names[key]))
				continue;
			if (places[key])
				return fault_fail(&parser->scan, place,
						  "expected %s= only once",
						  key_names[key]);
			places[key] = place;
			break;
		}
		if (key == KEYS)
			return fault_fail(
				&parser->scan, parser->scan.at,
				"expected file=, side=, nth=, every=, "
				"after=, prob=, seed=, count= or a "
				"colon");
		err = parse_value(parser, (enum key)key);
		if (!err)
			err = end_word(parser, " or a colon");
		if (err)
			return err;
	}
}

static int keep_text(struct fault_parser *parser)
{
	const char *end = parser->scan.at;

	while (end > parser->scan.start && fault_is_blank(end[-1]))
		end--;
	parser->rule.line = parser->scan.line;
	parser->rule.text =
		strndup(parser->scan.start, (size_t)(end - parser->scan.start));
	return parser->rule.text ? 0 : -ENOMEM;
}

/* Moves what was parsed to the end of @set. */
static int add_rule(struct fault_set *set, struct fault_parser *parser)
{
	struct fault_rule *rules;

	if (set->n == FAULT_RULES_MAX)
		return fault_fail(&parser->scan, parser->scan.start,
				  "expected no more than %d rules",
				  FAULT_RULES_MAX);
	rules = realloc(set->rules, (set->n + 1) * sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	set->rules = rules;
	set->rules[set->n++] = parser->rule;
	set->ops |= parser->rule.ops;
	return 0;
}

static int parse_line(struct fault_parser *parser, struct fault_set *set)
{
	int err;

	parser->seed_at = NULL;
	parser->rule = (struct fault_rule){ .side = FAULT_EITHER_SIDE };
	if (parser->scan.end - parser->scan.start > FAULT_LINE_MAX)
		return fault_fail(&parser->scan,
				  parser->scan.start + FAULT_LINE_MAX,
				  "expected no more than %d bytes in a line",
				  FAULT_LINE_MAX);
	fault_skip_blanks(&parser->scan);
	if (parser->scan.at == parser->scan.end || *parser->scan.at == '#')
		return 0;
	err = parse_ops(parser);
	if (!err)
		err = parse_conditions(parser);
	if (!err)
		err = fault_parse_actions(parser);
	if (!err)
		err = keep_text(parser);
	if (!err)
		err = add_rule(set, parser);
	if (err) {
		free(parser->rule.file);
		free(parser->rule.text);
	}
	return err;
}

/* A NUL byte, or more text than there may be, or NULL. */
static int check_text(struct fault_parser *parser, const char *text,
		      size_t size)
{
	const char *end = text + size;

	parser->scan.start = text;
	for (const char *at = text; at < end; at++) {
		if (*at == '\0')
			return fault_fail(&parser->scan, at,
					  "expected text, not a NUL byte");
		if ((size_t)(at - text) == FAULT_TEXT_MAX)
			return fault_fail(&parser->scan, at,
					  "expected no more than %u bytes",
					  FAULT_TEXT_MAX);
		if (*at == '\n') {
			parser->scan.line++;
			parser->scan.start = at + 1;
		}
	}
	return 0;
}

int fault_parse(const char *text, size_t size, struct fault_set **ret_set,
		struct fault_error *ret_error)
{
	struct fault_parser parser = { .scan.line = 1,
				       .scan.error = ret_error };
	struct fault_set *set;
	const char *next;
	int err;

	set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	err = check_text(&parser, text, size);
	parser.scan.line = 0;
	for (const char *at = text; !err && at < text + size; at = next) {
		next = memchr(at, '\n', (size_t)(text + size - at));
		parser.scan.line++;
		parser.scan.start = parser.scan.at = at;
		parser.scan.end = next ? next : text + size;
		if (parser.scan.end > at && parser.scan.end[-1] == '\r')
			parser.scan.end--;
		err = parse_line(&parser, set);
		next = next ? next + 1 : text + size;
	}
	if (err) {
		fault_set_free(set);
		return err;
	}
	*ret_set = set;
	return 0;
}
