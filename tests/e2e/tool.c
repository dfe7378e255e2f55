// SPDX-License-Identifier: MIT
/* Tests of the command offlay itself. */
#include "tool.h"

Test(tool, says_what_is_wrong_with_a_command_line)
{
	static const struct {
		const char *line;
		int status;
		const char *err;
	} rows[] = {
		{ "", 2, "no command given" },
		{ "frobnicate", 2, "unknown command 'frobnicate'" },
		{ "copy", 2, "no SOURCE" },
		{ "copy a", 2, "no DESTINATION" },
		{ "copy --frob a b", 2, "unknown option" },
		{ "copy -Z a b", 2, "unknown option" },
		{ "copy --clone-only --resume a b", 2, "--clone-only" },
		{ "copy -n --resume a b", 2, "--no-clobber" },
		{ "doctor a b", 2, "more than one" },
		{ "doctor --frob", 2, "unknown option" },
		{ "doctor /nowhere", 1, "No such file or directory" },
		{ "maps a", 2, "unknown command" },
	};
	struct command_result result;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tool_run(volume_scratch(), NULL, rows[i].line, rows[i].status,
			 &result);
		tool_expect_text(result.err, rows[i].err);
		cr_expect_str_empty(result.out, "offlay %s", rows[i].line);
	}
}

Test(tool, helps_and_names_its_version)
{
	static const char *const lines[] = { "--help", "copy --help",
					     "doctor -h" };
	static const char *const versions[] = { "--version", "copy --version",
						"doctor --version" };
	struct command_result result;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		tool_run("/", NULL, lines[i], 0, &result);
		tool_expect_text(result.out, "Usage: offlay");
		cr_expect_str_empty(result.err);
		tool_run("/", NULL, versions[i], 0, &result);
		cr_expect_eq(strncmp(result.out, "offlay ", 7), 0);
	}
}

Test(tool, fails_when_nobody_can_read_what_it_says)
{
	struct command_result result;

	tool_run("/", NULL, "--help >/dev/full", 1, &result);
	tool_expect_text(result.err, "standard output");
}

VOLUME_MAIN;
