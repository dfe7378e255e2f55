// SPDX-License-Identifier: MIT
/* offlay conform names each of the famous bugs, and passes who has none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform.h"
#include "mount.h"
#include "tool.h"

#define PYTHON                                                            \
	"import json, sys\n"                                              \
	"r = json.load(sys.stdin)\n"                                      \
	"def cells(result):\n"                                            \
	"    return [c[\"behaviour\"] + \"/\" + c[\"file\"]\n"            \
	"            for c in r[\"cells\"] if c[\"result\"] == result]\n" \
	"def rows(result):\n"                                             \
	"    return sorted(set(c.split(\"/\")[0] for c in cells(result)))\n"

const char *conform_copier(const char *bug)
{
	char name[64];
	const char *path;

	snprintf(name, sizeof(name), "COPIER_%s", bug);
	path = getenv(name);
	cr_assert(path, "$%s must name a program", name);
	return path;
}

void conform_run(const char *line, const char *command, int status,
		 const char *filter, struct command_result *ret)
{
	char script[3 * PATH_MAX];

	snprintf(script, sizeof(script),
		 "'%s' conform --json %s -- %s >json || code=$?; "
		 "test \"${code:-0}\" = %d || { cat json; exit 9; }; "
		 "python3 -c '%sprint(%s)' <json",
		 mount_tool_path(), line, command, status, PYTHON, filter);
	tool_sh(volume_scratch(), script, ret);
	ret->out[strcspn(ret->out, "\n")] = '\0';
}

void conform_expect(const char *line, const char *command, int status,
		    const char *filter, const char *expected)
{
	struct command_result result;

	conform_run(line, command, status, filter, &result);
	cr_expect_str_eq(result.out, expected, "conform %s -- %s: %s", line,
			 command, result.out);
}

/* On a volume that all tests share; making one takes longer than a trial. */
static void expect_here(const char *line, const char *command, int status,
			const char *filter, const char *expected)
{
	char dir[PATH_MAX], words[2 * PATH_MAX];
	struct volume volume;

	volume_get(BACKING_BTRFS, 0, &volume);
	volume_dir(&volume, "conform", dir);
	snprintf(words, sizeof(words), "--on '%s' %s", dir, line);
	conform_expect(words, command, status, filter, expected);
}

static void expect_copier(const char *bug, const char *line, int status,
			  const char *filter, const char *expected)
{
	char command[2 * PATH_MAX];

	snprintf(command, sizeof(command), "%s {src} {dst}",
		 conform_copier(bug));
	expect_here(line, command, status, filter, expected);
}

Test(conform, passes_a_program_without_a_bug)
{
	/* And it met all but what small files have no part for. */
	expect_copier("NONE", "", 0,
		      "cells(\"failed\"), len(cells(\"copied\")) > 180, "
		      "len(cells(\"told\")) > 60, r[\"missing\"], "
		      "set(c.split(\"/\")[1] for c in cells(\"unmet\")) <= "
		      "set([\"empty\", \"1-byte\"])",
		      "[] True True [] True");
}

Test(conform, names_who_ignores_short_counts)
{
	expect_copier("SHORT", "--matrix quick", 1,
		      "set([\"short-1\", \"short-random\"]) <= "
		      "set(rows(\"failed\")), \"clone\" in rows(\"failed\"), "
		      "\"eopnotsupp\" in rows(\"failed\")",
		      "True False False");
}

Test(conform, names_who_takes_zero_for_success)
{
	expect_copier("ZERO", "--matrix quick", 1, "rows(\"failed\")",
		      "['zero-at-start']");
}

Test(conform, names_who_stops_at_a_refusal)
{
	expect_copier("EOPNOTSUPP", "--matrix quick", 1, "rows(\"failed\")",
		      "['eopnotsupp']");
	expect_copier("EOPNOTSUPP", "--only 'e*/5MiB'", 1, "cells(\"failed\")",
		      "['eopnotsupp/5MiB']");
}

Test(conform, names_who_loops_for_ever_on_an_interrupt)
{
	expect_copier("EINTR", "--only eintr/5MiB --timeout 1", 1,
		      "cells(\"failed\"), r[\"cells\"][0][\"detail\"]",
		      "['eintr/5MiB'] it did not end in time, and was killed");
	expect_copier("EINTR", "--only clone --only 'short-*/5MiB'", 0,
		      "rows(\"failed\")", "[]");
}

Test(conform, names_who_leaves_half_a_copy_and_no_word)
{
	expect_copier("HALF", "--matrix quick", 1,
		      "set([\"eio-middle\", \"enospc-middle\"]) <= "
		      "set(rows(\"failed\")), \"clone\" in rows(\"failed\")",
		      "True False");
	expect_copier("HALF", "--only enospc-middle/5MiB", 1,
		      "r[\"cells\"][0][\"detail\"]",
		      "it said that all went well, but the copy has 2621440 of "
		      "5242880 bytes");
}

Test(conform, names_who_leaves_what_looks_like_a_copy)
{
	expect_copier("EAGER", "--only enospc-middle --only signal/5MiB", 1,
		      "\"enospc-middle/5MiB\" in cells(\"failed\"), "
		      "\"signal/5MiB\" in cells(\"failed\")",
		      "True True");
	expect_copier("NONE", "--only enospc-middle --only signal/5MiB", 0,
		      "rows(\"failed\")", "[]");
}

/* A pity, but no failure. */
Test(conform, tells_who_copies_holes_as_zeros)
{
	expect_copier("HOLES", "--only clone/sparse --only clone/hole-end", 0,
		      "[c[\"holes\"] for c in r[\"cells\"]], rows(\"failed\")",
		      "['none', 'none'] []");
	expect_copier("NONE", "--only clone/sparse --only clone/hole-end", 0,
		      "[c[\"holes\"] for c in r[\"cells\"]], rows(\"failed\")",
		      "['whole', 'whole'] []");
}

Test(conform, tells_whether_space_was_shared)
{
	char command[2 * PATH_MAX];

	expect_copier("NONE", "--only clone/5MiB --only eopnotsupp/5MiB", 0,
		      "[c[\"shared\"] for c in r[\"cells\"]]",
		      "['whole', 'none']");
	expect_here("--only clone/5MiB", "dd bs=64K if={src} of={dst}", 0,
		    "[c[\"shared\"] for c in r[\"cells\"]]", "['none']");
	/* FICLONE, which the kernel does not hand to a mount by itself. */
	snprintf(command, sizeof(command),
		 "'%s' run -- cp --reflink=always {src} {dst}",
		 mount_tool_path());
	expect_here("--only clone/5MiB --only clone/extents", command, 0,
		    "[c[\"shared\"] for c in r[\"cells\"]]",
		    "['whole', 'whole']");
}

Test(conform, names_a_crash_and_a_program_that_does_nothing)
{
	expect_here("--only clone/5MiB", "sh -c 'kill -SEGV $$' {src} {dst}", 1,
		    "r[\"cells\"][0][\"detail\"]", "killed by SIGSEGV");
	expect_here("--only clone/5MiB", "true {src} {dst}", 1,
		    "r[\"cells\"][0][\"detail\"]",
		    "it said that all went well, but there is no copy");
	/* Not even where it may fail: nothing was in its way. */
	expect_here("--only enospc/5MiB",
		    "sh -c 'echo no; exit 7' {src} "
		    "{dst}",
		    1, "r[\"cells\"][0][\"detail\"], r[\"cells\"][0][\"said\"]",
		    "it ended with exit code 7, though the file could be "
		    "copied; there is no copy no");
	expect_here("--only clone/5MiB", "mv {src} {dst}", 1,
		    "r[\"cells\"][0][\"detail\"]", "it changed the source");
	expect_here("--only clone/5MiB",
		    "sh -c 'cat /dev/zero >\"$1\"' "
		    "{src} {dst}",
		    1, "r[\"cells\"][0][\"detail\"]",
		    "it ended with exit code 153, though the file could be "
		    "copied; the copy has 67108864 of 5242880 bytes, and not "
		    "the right ones");
}

VOLUME_MAIN;
