// SPDX-License-Identifier: MIT
/* The tables of offlay-rules(5) say what the parser takes, no less, no more. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define ERRNO_MAX 133
#define WORDS_MAX 1024

/* " word , word " of the lines of one tagged item, between blanks. */
struct item {
	char tag[256];
	char words[WORDS_MAX];
};

static FILE *open_section(const char *title)
{
	char line[256], want[64];
	FILE *page = fopen(PAGE, "re");

	cr_assert_not_null(page, PAGE);
	snprintf(want, sizeof(want), ".Ss %s\n", title);
	while (fgets(line, sizeof(line), page))
		if (!strcmp(line, want))
			return page;
	cr_assert(false, "no section %s", title);
	return NULL;
}

/* The next ".It Cm TAG" and the lines of @macro behind it. */
static bool next_item(FILE *page, const char *macro, struct item *ret_item)
{
	char line[256];
	long at = ftell(page);

	*ret_item = (struct item){ .words = " " };
	while (fgets(line, sizeof(line), page) && strcmp(line, ".El\n")) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, ".It Cm ", 7)) {
			if (*ret_item->tag) {
				fseek(page, at, SEEK_SET);
				return true;
			}
			snprintf(ret_item->tag, sizeof(ret_item->tag), "%s",
				 line + 7);
		} else if (!strncmp(line, macro, strlen(macro))) {
			strcat(ret_item->words, line + strlen(macro));
			strcat(ret_item->words, " ");
		}
		at = ftell(page);
	}
	return *ret_item->tag;
}

static bool has_word(const char *words, const char *word)
{
	char want[64];

	snprintf(want, sizeof(want), " %s ", word);
	return strstr(words, want) != NULL;
}

static enum fault_op op_of(const char *name)
{
	unsigned int op = 0;

	while (op < FAULT_OPS && strcmp(fault_op_name((enum fault_op)op), name))
		op++;
	cr_assert_lt(op, FAULT_OPS, "no operation %s", name);
	return (enum fault_op)op;
}

Test(fault_page, lists_every_errno_that_is_legal)
{
	FILE *page = open_section("Errors");
	struct item item;
	size_t n = 0;

	while (next_item(page, ".Er ", &item)) {
		enum fault_op op = op_of(item.tag);

		n++;
		for (int err = 1; err <= ERRNO_MAX; err++) {
			const char *name = strerrorname_np(err);

			if (!name)
				continue;
			/* glibc's name of 95. */
			if (!strcmp(name, "ENOTSUP"))
				name = "EOPNOTSUPP";
			cr_expect_eq(has_word(item.words, name),
				     fault_is_legal(op, err) &&
					     fault_is_deliverable(op, err),
				     "%s of %s", name, item.tag);
		}
	}
	cr_expect_eq(n, FAULT_OPS);
	fclose(page);
}

static bool takes(const char *op, const char *action)
{
	struct fault_error error;
	struct fault_set *set = NULL;
	char text[128];
	int err;

	snprintf(text, sizeof(text), "%s : %s", op, action);
	err = fault_parse(text, strlen(text), &set, &error);
	fault_set_free(set);
	return !err;
}

static const struct {
	const char *word, *action;
} actions[] = {
	{ "errno", "errno=EIO" },     { "short", "short=1" },
	{ "zero", "zero unsafe" },    { "refuse", "refuse=sparse" },
	{ "forbid", "forbid=clone" }, { "delay", "delay=1" },
	{ "hang", "hang" },
};

Test(fault_page, lists_every_action_of_an_operation)
{
	FILE *page = open_section("Which action is for which operation");
	struct item item;
	size_t n = 0;

	while (next_item(page, ".Cm ", &item)) {
		char tag[300];

		/* "errno , delay , hang" */
		snprintf(tag, sizeof(tag), " %s ", item.tag);
		for (size_t i = 0; i < sizeof(actions) / sizeof(*actions);
		     i++) {
			if (!has_word(tag, actions[i].word))
				continue;
			n++;
			for (unsigned int op = 0; op < FAULT_OPS; op++) {
				const char *name =
					fault_op_name((enum fault_op)op);

				cr_expect_eq(has_word(item.words, "any") ||
						     has_word(item.words, name),
					     takes(name, actions[i].action),
					     "%s of %s", actions[i].word, name);
			}
		}
	}
	cr_expect_eq(n, sizeof(actions) / sizeof(*actions));
	cr_expect(takes("copy", "zero") && takes("read", "zero"));
	cr_expect_not(takes("write", "zero") || takes("token_read", "zero") ||
		      takes("token_write", "zero"));
	fclose(page);
}
