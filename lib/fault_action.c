// SPDX-License-Identifier: MIT
/* What fault rules do: the part behind the colon, and whether it is allowed. */
#include <errno.h>

#include "fault_scan.h"

static int parse_errno(struct fault_parser *parser)
{
	const char *first = parser->scan.at;

	parser->rule.err =
		fault_errno_of(first, fault_take_name(&parser->scan));
	if (!parser->rule.err)
		return fault_fail(&parser->scan, first,
				  "expected the name of an errno, such as EIO");
	return 0;
}

static int parse_short(struct fault_parser *parser)
{
	struct fault_rule *rule = &parser->rule;
	const char *first = parser->scan.at;
	int err;

	if (fault_take_word(&parser->scan, "random")) {
		rule->cut = FAULT_RANDOM;
		return 0;
	}
	err = fault_scan_bytes(&parser->scan, &rule->amount);
	if (err)
		return fault_fail(&parser->scan, first,
				  "expected a number of bytes, a number of "
				  "blocks (such as 1block) or random");
	if (fault_take_word(&parser->scan, "blocks") ||
	    fault_take_word(&parser->scan, "block")) {
		rule->cut = FAULT_BLOCKS;
		if (rule->amount > UINT32_MAX)
			return fault_fail(
				&parser->scan, first,
				"expected a number of blocks up to %u",
				UINT32_MAX);
	}
	return 0;
}

static int parse_refuse(struct fault_parser *parser)
{
	static const struct {
		const char *name;
		unsigned int deny;
	} kinds[] = {
		{ "sparse", OFFLAY_DENY_SPARSE },
		{ "encrypted", OFFLAY_DENY_ENCRYPTED },
		{ "compressed", OFFLAY_DENY_COMPRESSED },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (fault_take_word(&parser->scan, kinds[i].name)) {
			parser->rule.deny = kinds[i].deny;
			return 0;
		}
	return fault_fail(&parser->scan, parser->scan.at,
			  "expected sparse, encrypted or compressed");
}

static int parse_forbid(struct fault_parser *parser)
{
	do {
		if (fault_take_word(&parser->scan, "clone"))
			parser->rule.methods |= OFFLAY_METHOD_CLONE;
		else if (fault_take_word(&parser->scan, "offload"))
			parser->rule.methods |= OFFLAY_METHOD_OFFLOAD;
		else
			return fault_fail(&parser->scan, parser->scan.at,
					  "expected clone or offload");
	} while (fault_take(&parser->scan, '+'));
	return 0;
}

static int parse_wait(struct fault_parser *parser)
{
	uint64_t wait;
	int err;

	err = fault_scan_number(&parser->scan, "a number of milliseconds",
				FAULT_WAIT_MAX, &wait);
	if (!err)
		parser->rule.wait = (uint32_t)wait;
	return err;
}

/* The answers, of which a rule has one at most. */
static const struct {
	const char *name;
	enum fault_answer answer;
	unsigned int ops; /* that can have it */
	const char *what; /* these have and others lack */
	int (*parse)(struct fault_parser *parser);
} answers[] = {
	{ "errno", FAULT_ERRNO, FAULT_ALL, NULL, parse_errno },
	{ "short", FAULT_SHORT, FAULT_COUNTED, "count", parse_short },
	{ "refuse", FAULT_REFUSE, FAULT_REFUSABLE, "refusal", parse_refuse },
	{ "forbid", FAULT_FORBID,
	  FAULT_BIT(FAULT_COPY) | FAULT_BIT(FAULT_CLONE), "methods",
	  parse_forbid },
	{ "zero", FAULT_ZERO, FAULT_COUNTED & ~FAULT_BIT(FAULT_DEDUPE),
	  "count of zero", NULL },
};

#define ANSWERS (sizeof(answers) / sizeof(*answers))

/* The first operation of the rule that is not in @ops, or NULL. */
static const char *op_outside(const struct fault_parser *parser,
			      unsigned int ops)
{
	for (unsigned int op = 0; op < FAULT_OPS; op++)
		if (parser->rule.ops & ~ops & FAULT_BIT(op))
			return fault_op_name((enum fault_op)op);
	return NULL;
}

static const char action_list[] =
	"errno=, short=, zero, delay=, hang, refuse= or forbid=";

static bool take_answer(struct fault_parser *parser, size_t i)
{
	return answers[i].parse
		       ? fault_take_key(&parser->scan, answers[i].name)
		       : fault_take_word(&parser->scan, answers[i].name);
}

static int parse_action(struct fault_parser *parser)
{
	struct fault_rule *rule = &parser->rule;
	const char *first = parser->scan.at, *outside;
	bool delays;

	for (size_t i = 0; i < ANSWERS; i++) {
		if (!take_answer(parser, i))
			continue;
		if (rule->answer != FAULT_PLAIN)
			return fault_fail(&parser->scan, first,
					  "expected one answer, besides delay= "
					  "or hang");
		outside = op_outside(parser, answers[i].ops);
		if (outside)
			return fault_fail(
				&parser->scan, first,
				"expected another action: %s has no %s",
				outside, answers[i].what);
		rule->answer = answers[i].answer;
		return answers[i].parse ? answers[i].parse(parser) : 0;
	}
	delays = fault_take_key(&parser->scan, "delay");
	if (!delays && !fault_take_word(&parser->scan, "hang"))
		return fault_fail(&parser->scan, first, "expected %s",
				  action_list);
	if (rule->waits)
		return fault_fail(&parser->scan, first,
				  "expected delay= or hang only once");
	rule->waits = true;
	rule->hangs = !delays;
	return delays || fault_take(&parser->scan, '=') ? parse_wait(parser)
							: 0;
}

/* What the kernel and the manual pages do not allow, unless @is_unsafe. */
static int check_legal(struct fault_parser *parser, const char *at)
{
	const struct fault_rule *rule = &parser->rule;
	unsigned int safe_zero = FAULT_BIT(FAULT_COPY) | FAULT_BIT(FAULT_READ);

	for (unsigned int i = 0; i < FAULT_OPS; i++) {
		enum fault_op op = (enum fault_op)i;

		if (!(rule->ops & FAULT_BIT(op)))
			continue;
		if (rule->answer == FAULT_ERRNO &&
		    !fault_is_deliverable(op, rule->err))
			return fault_fail(&parser->scan, at,
					  "expected another errno: %s cannot "
					  "carry this one to its caller",
					  fault_op_name(op));
		if (rule->is_unsafe)
			continue;
		if (rule->answer == FAULT_ERRNO &&
		    !fault_is_legal(op, rule->err))
			return fault_fail(
				&parser->scan, at,
				"expected an errno that %s may have on "
				"a file, or unsafe",
				fault_op_name(op));
		if (rule->answer == FAULT_ZERO && !(safe_zero & FAULT_BIT(op)))
			return fault_fail(
				&parser->scan, at,
				"expected unsafe: %s never has a count "
				"of zero",
				fault_op_name(op));
	}
	return 0;
}

int fault_parse_actions(struct fault_parser *parser)
{
	const char *answer_at = NULL;
	int err;

	fault_skip_blanks(&parser->scan);
	do {
		const char *first = parser->scan.at;
		enum fault_answer before = parser->rule.answer;

		err = parse_action(parser);
		if (!err && parser->rule.answer != before)
			answer_at = first;
		if (!err &&
		    (parser->scan.at == parser->scan.end ||
		     !fault_is_blank(*parser->scan.at)) &&
		    parser->scan.at != parser->scan.end &&
		    *parser->scan.at != '#')
			err = fault_fail(&parser->scan, parser->scan.at,
					 "expected a blank or the end of the "
					 "line");
		if (err)
			return err;
		fault_skip_blanks(&parser->scan);
		if (fault_take_word(&parser->scan, "unsafe")) {
			parser->rule.is_unsafe = true;
			fault_skip_blanks(&parser->scan);
			break;
		}
	} while (parser->scan.at < parser->scan.end && *parser->scan.at != '#');
	if (parser->scan.at < parser->scan.end && *parser->scan.at != '#')
		return fault_fail(&parser->scan, parser->scan.at,
				  "expected the end of the line");
	if (parser->seed_at && (parser->rule.answer != FAULT_SHORT ||
				parser->rule.cut != FAULT_RANDOM))
		return fault_fail(&parser->scan, parser->seed_at,
				  "expected prob= or short=random with seed=");
	return check_legal(parser, answer_at);
}
