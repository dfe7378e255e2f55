/* SPDX-License-Identifier: MIT */
/* Running the tool offlay in tests, on each backing. */
#ifndef E2E_TOOL_H
#define E2E_TOOL_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "process.h"
#include "volume.h"

/* Room for a line with two paths. */
#define TOOL_LINE (PATH_MAX * 3)

/* Where a test works. */
struct tool_place {
	struct volume volume;
	char dir[PATH_MAX]; /* fresh, on the volume */
};

/* One test a backing: "static void name_on(struct tool_place *place)". */
#define TOOL_ON_EACH_BACKING(suite, name)                      \
	static void name##_on(const struct tool_place *place); \
	ParameterizedTestParameters(suite, name)               \
	{                                                      \
		return tool_backings();                        \
	}                                                      \
	ParameterizedTest(enum backing *backing, suite, name)  \
	{                                                      \
		struct tool_place place;                       \
                                                               \
		tool_place_init(*backing, &place);             \
		name##_on(&place);                             \
	}                                                      \
	static void name##_on(const struct tool_place *place)

struct criterion_test_params tool_backings(void);
void tool_place_init(enum backing backing, struct tool_place *ret_place);

/**
 * tool_sh() - run a shell script that must succeed
 * @dir: where it is run
 * @script: for sh -e
 * @ret: what it wrote, or NULL
 */
void tool_sh(const char *dir, const char *script, struct command_result *ret);

/**
 * tool_run() - run "offlay" with the words of a line, and expect its status
 * @dir: where it is run
 * @user: who runs it, or NULL for root
 * @line: arguments, for sh
 * @status: exit status, or the test fails
 * @ret: what it wrote, or NULL
 */
void tool_run(const char *dir, const struct user *user, const char *line,
	      int status, struct command_result *ret);

/**
 * tool_start() - run "offlay" and do not wait for it
 * @dir: where it is run
 * @line: arguments, for sh
 *
 * Return: its process.
 */
pid_t tool_start(const char *dir, const char *line);

/* Fails the test unless both files hold the same bytes. */
void tool_expect_same(const char *dir, const char *src, const char *dst);
/* Fails the test unless @text contains @part. */
void tool_expect_text(const char *text, const char *part);
/* Does this name exist below the directory? */
bool tool_exists(const char *dir, const char *name);
/* Size in bytes, -1 where there is no such file. */
int64_t tool_size(const char *dir, const char *name);

extern const struct user tool_user;

#endif
