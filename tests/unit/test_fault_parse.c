// SPDX-License-Identifier: MIT
/* Tests of lib/fault_parse.c: what rules are, and where they are wrong. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

/* Messages, whole: they are what a user has. */
static const struct {
	const char *text, *message;
} wrong[] = {
	{ "cpy : errno=EIO",
	  "1:1: expected copy, clone, dedupe, read, write, fsync, open, "
	  "create, truncate, token_read, token_write or any" },
	{ "copy,, : zero",
	  "1:6: expected copy, clone, dedupe, read, write, fsync, open, "
	  "create, truncate, token_read, token_write or any" },
	{ "copy;read : zero", "1:5: expected a blank, a comma or a colon" },
	{ "copies : zero",
	  "1:1: expected copy, clone, dedupe, read, write, fsync, open, "
	  "create, truncate, token_read, token_write or any" },
	{ "# one\n\n  copy errno=EIO",
	  "3:8: expected file=, side=, nth=, every=, after=, prob=, seed=, "
	  "count= or a colon" },
	{ "copy", "1:5: expected file=, side=, nth=, every=, after=, prob=, "
		  "seed=, count= or a colon" },
	{ "copy nth= : zero", "1:10: expected the number of a call" },
	{ "copy nth=0 : zero", "1:10: expected the number of a call from 1" },
	{ "copy nth=1 nth=2 : zero", "1:12: expected nth= only once" },
	{ "copy nth=1 every=2 : zero",
	  "1:12: expected nth= or every=, not both" },
	{ "copy every=2 nth=1 : zero",
	  "1:14: expected nth= or every=, not both" },
	{ "copy every=2x : zero", "1:13: expected a blank or a colon" },
	{ "copy nth=99999999999999999999 : zero",
	  "1:10: expected the number of a call up to 9223372036854775807" },
	{ "copy after=1T : zero", "1:13: expected a blank or a colon" },
	{ "copy after=9007199254740992K : zero",
	  "1:12: expected a number of bytes below 8 EiB" },
	{ "copy after=0 : zero", "1:12: expected a number of bytes from 1" },
	{ "open after=1 : errno=EIO",
	  "1:6: expected after= with an operation that moves bytes only" },
	{ "copy prob=1.5 : zero", "1:11: expected a probability from 0 to 1" },
	{ "copy prob=2 : zero", "1:11: expected a probability from 0 to 1" },
	{ "copy prob=x : zero", "1:11: expected a probability from 0 to 1" },
	{ "copy prob=0.1234567891 : zero",
	  "1:22: expected no more than 9 digits" },
	{ "copy seed=1 : errno=EIO",
	  "1:6: expected prob= or short=random with seed=" },
	{ "copy seed=-1 prob=1 : zero", "1:11: expected a seed" },
	{ "copy side=up file=a : zero", "1:11: expected src or dst" },
	{ "copy side=src : zero", "1:6: expected file= with side=" },
	{ "copy file= : zero", "1:11: expected a name or pattern" },
	{ "copy file=\"\" : zero", "1:11: expected a name or pattern" },
	{ "copy file=\"a : zero", "1:11: expected a closing \"" },
	{ "copy file=\"a\\b\" : zero",
	  "1:13: expected \\\", \\\\, \\n, \\t or \\ooo (octal)" },
	{ "copy file=\"\\000\" : zero",
	  "1:12: expected \\\", \\\\, \\n, \\t or \\ooo (octal)" },
	{ "copy file=\"\\",
	  "1:12: expected \\\", \\\\, \\n, \\t or \\ooo (octal)" },
	{ "copy :",
	  "1:7: expected errno=, short=, zero, delay=, hang, refuse= or "
	  "forbid=" },
	{ "copy : unsafe",
	  "1:8: expected errno=, short=, zero, delay=, hang, refuse= or "
	  "forbid=" },
	{ "copy : errno=EFOO",
	  "1:14: expected the name of an errno, such as EIO" },
	{ "copy : errno=", "1:14: expected the name of an errno, such as EIO" },
	{ "copy : errno=eio",
	  "1:14: expected the name of an errno, such as EIO" },
	{ "copy : errno=EIO errno=EIO",
	  "1:18: expected one answer, besides delay= or hang" },
	{ "copy : delay=1 hang", "1:16: expected delay= or hang only once" },
	{ "copy : delay=", "1:14: expected a number of milliseconds" },
	{ "copy : delay=3600001",
	  "1:14: expected a number of milliseconds up to 3600000" },
	{ "copy : short=x",
	  "1:14: expected a number of bytes, a number of blocks (such as "
	  "1block) or random" },
	{ "copy : short=0",
	  "1:14: expected a number of bytes, a number of blocks (such as "
	  "1block) or random" },
	{ "copy : short=1blocky",
	  "1:15: expected a blank or the end of the line" },
	{ "fsync : short=1",
	  "1:9: expected another action: fsync has no count" },
	{ "copy,open : refuse=sparse",
	  "1:13: expected another action: open has no refusal" },
	{ "copy : refuse=big",
	  "1:15: expected sparse, encrypted or compressed" },
	{ "copy : forbid=data", "1:15: expected clone or offload" },
	{ "copy : forbid=clone+", "1:21: expected clone or offload" },
	{ "read : forbid=clone",
	  "1:8: expected another action: read has no methods" },
	{ "write : zero",
	  "1:9: expected unsafe: write never has a count of zero" },
	{ "read : errno=ENOSPC",
	  "1:8: expected an errno that read may have on a file, or unsafe" },
	{ "any delay=1 : errno=EIO",
	  "1:5: expected file=, side=, nth=, every=, after=, prob=, seed=, "
	  "count= or a colon" },
	{ "any : errno=ENOSPC",
	  "1:7: expected an errno that read may have on a file, or unsafe" },
	{ "any : hang errno=ENOSPC",
	  "1:12: expected an errno that read may have on a file, or unsafe" },
	{ "open : errno=ENOSYS unsafe",
	  "1:8: expected another errno: open cannot carry this one to its "
	  "caller" },
	{ "clone : errno=ENOTTY unsafe",
	  "1:9: expected another errno: clone cannot carry this one to its "
	  "caller" },
	{ "token_read : errno=ELOOP unsafe",
	  "1:14: expected another errno: token_read cannot carry this one to "
	  "its caller" },
	{ "copy : zero unsafe now", "1:20: expected the end of the line" },
	{ "copy : zero\nread : zero.", "2:12: expected a blank or the end of "
				       "the line" },
};

Test(fault_parse, says_where_it_is_wrong_and_what_belongs_there)
{
	struct fault_error error;
	struct fault_set *set;
	char message[256];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		memset(&error, 0, sizeof(error));
		cr_expect_eq(fault_parse(wrong[i].text, strlen(wrong[i].text),
					 &set, &error),
			     -EINVAL, "%s", wrong[i].text);
		snprintf(message, sizeof(message), "rules:%s",
			 wrong[i].message);
		cr_expect_str_eq(error.text, message, "%s\n%s\n%s",
				 wrong[i].text, error.text, message);
		snprintf(message, sizeof(message), "rules:%u:%u: ", error.line,
			 error.column);
		cr_expect_eq(strncmp(error.text, message, strlen(message)), 0);
	}
}

static struct fault_set *parse(const char *text)
{
	struct fault_error error = { 0 };
	struct fault_set *set = NULL;

	cr_assert_eq(fault_parse(text, strlen(text), &set, &error), 0, "%s: %s",
		     text, error.text);
	return set;
}

Test(fault_parse, takes_each_condition_and_action)
{
	struct fault_set *set = parse(
		"# a comment\n"
		"copy,read file=*.bin side=src nth=3 after=2M count=4 : "
		"errno=EIO delay=20 # why\n"
		"\n"
		"write every=2 prob=0.25 seed=18446744073709551615:short=7blocks"
		"\r\n"
		"\tany:hang=50\n"
		"copy : forbid=clone+offload\n"
		"clone file=\"a \\\"b\\\" \\\\\\n\\101\" : refuse=encrypted\n"
		"read: zero\n"
		"write : zero unsafe\n"
		"copy seed=3 : short=random hang");
	const struct fault_rule *rule;

	cr_assert_eq(set->n, 8);
	cr_expect_eq(set->ops, FAULT_ALL);
	rule = &set->rules[0];
	cr_expect_eq(rule->ops, FAULT_BIT(FAULT_COPY) | FAULT_BIT(FAULT_READ));
	cr_expect_str_eq(rule->file, "*.bin");
	cr_expect_eq(rule->side, OFFLAY_SOURCE);
	cr_expect_eq(rule->nth, 3);
	cr_expect_eq(rule->after, 2u << 20);
	cr_expect_eq(rule->count, 4);
	cr_expect_eq(rule->answer, FAULT_ERRNO);
	cr_expect_eq(rule->err, EIO);
	cr_expect(rule->waits && !rule->hangs && rule->wait == 20);
	cr_expect_eq(rule->line, 2);
	cr_expect_str_eq(rule->text, "copy,read file=*.bin side=src nth=3 "
				     "after=2M count=4 : errno=EIO delay=20");
	rule = &set->rules[1];
	cr_expect_eq(rule->line, 4);
	cr_expect(rule->has_prob && rule->prob == 250000000);
	cr_expect_eq(rule->seed, UINT64_MAX);
	cr_expect(rule->cut == FAULT_BLOCKS && rule->amount == 7);
	cr_expect_eq(rule->side, FAULT_EITHER_SIDE);
	rule = &set->rules[2];
	cr_expect_eq(rule->ops, FAULT_ALL);
	cr_expect(rule->hangs && rule->wait == 50);
	cr_expect_str_eq(rule->text, "\tany:hang=50");
	cr_expect_eq(set->rules[3].methods,
		     OFFLAY_METHOD_CLONE | OFFLAY_METHOD_OFFLOAD);
	cr_expect_str_eq(set->rules[4].file, "a \"b\" \\\nA");
	cr_expect_eq(set->rules[4].deny, OFFLAY_DENY_ENCRYPTED);
	cr_expect(set->rules[6].is_unsafe);
	cr_expect(set->rules[7].hangs && !set->rules[7].wait);
	fault_set_free(set);
}

Test(fault_parse, takes_an_empty_text)
{
	struct fault_set *set = parse("");

	cr_expect_eq(set->n, 0);
	cr_expect_eq(set->ops, 0);
	fault_set_free(set);
	set = parse("\n# nothing\n   \n");
	cr_expect_eq(set->n, 0);
	fault_set_free(set);
	fault_set_free(NULL);
}

Test(fault_parse, keeps_its_bounds)
{
	static char text[FAULT_TEXT_MAX + 8];
	struct fault_error error;
	struct fault_set *set;
	size_t n = 0;

	memset(text, ' ', sizeof(text));
	cr_expect_eq(fault_parse(text, FAULT_LINE_MAX + 1, &set, &error),
		     -EINVAL);
	cr_expect_str_eq(error.text, "rules:1:1001: expected no more than "
				     "1000 bytes in a line");
	for (size_t i = 0; i < sizeof(text); i += 512)
		text[i] = '\n';
	cr_expect_eq(fault_parse(text, FAULT_TEXT_MAX + 1, &set, &error),
		     -EINVAL);
	cr_expect_not_null(strstr(error.text, "more than 65536 bytes"), "%s",
			   error.text);
	for (int i = 0; i <= FAULT_RULES_MAX; i++)
		n += (size_t)sprintf(text + n, "read : hang\n");
	cr_expect_eq(fault_parse(text, n, &set, &error), -EINVAL);
	cr_expect_str_eq(error.text,
			 "rules:257:1: expected no more than 256 rules");
	cr_expect_eq(fault_parse("copy\0: zero", 11, &set, &error), -EINVAL);
	cr_expect_str_eq(error.text,
			 "rules:1:5: expected text, not a NUL byte");
}

Test(fault_parse, takes_a_text_without_its_last_newline_or_nul)
{
	static const char text[] = "read : errno=EIOX";
	struct fault_error error;
	struct fault_set *set;

	cr_assert_eq(fault_parse(text, sizeof(text) - 2, &set, &error), 0);
	cr_expect_eq(set->rules[0].err, EIO);
	fault_set_free(set);
}

/* What is legal is said by the manual pages; some of each, by hand. */
Test(fault_parse, knows_what_is_legal)
{
	static const struct {
		const char *text;
		bool legal;
	} rows[] = {
		{ "copy : errno=EOPNOTSUPP", true },
		{ "copy : errno=ENOTSUP", true },
		{ "copy : errno=EINTR", true },
		{ "copy : errno=ENOSYS", true },
		{ "copy : errno=ENOENT", false },
		{ "copy : errno=EPIPE", false },
		{ "clone : errno=EAGAIN", true },
		{ "clone : errno=ENOENT", false },
		{ "dedupe : errno=EXDEV", true },
		{ "read : errno=EIO", true },
		{ "read : errno=EOPNOTSUPP", false },
		{ "read : errno=EAGAIN", false },
		{ "write : errno=EDQUOT", true },
		{ "write : errno=EEXIST", false },
		{ "fsync : errno=ENOSPC", true },
		{ "fsync : errno=EACCES", false },
		{ "open : errno=EMFILE", true },
		{ "open : errno=EEXIST", false },
		{ "create : errno=ENOSPC", true },
		{ "create : errno=EXDEV", false },
		{ "truncate : errno=EFBIG", true },
		{ "truncate : errno=EMFILE", false },
		{ "token_read : errno=ENODATA", true },
		{ "token_read : errno=EROFS", false },
		{ "token_write : errno=ESTALE", true },
		{ "token_write : errno=EROFS", true },
	};
	struct fault_error error;
	struct fault_set *set;
	char text[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		set = NULL;
		cr_expect_eq(fault_parse(rows[i].text, strlen(rows[i].text),
					 &set, &error),
			     rows[i].legal ? 0 : -EINVAL, "%s", rows[i].text);
		fault_set_free(set);
		snprintf(text, sizeof(text), "%s unsafe", rows[i].text);
		cr_assert_eq(fault_parse(text, strlen(text), &set, &error), 0,
			     "%s: %s", text, error.text);
		fault_set_free(set);
	}
}
