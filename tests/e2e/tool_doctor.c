// SPDX-License-Identifier: MIT
/* offlay doctor: what it finds is so, and nothing of it is left. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "mount.h"
#include "mountinfo.h"
#include "tool.h"

/* Fails the test unless the report says this state of this thing. */
static void expect_state(const char *json, const char *name, const char *state)
{
	char line[128];

	snprintf(line, sizeof(line), "\"name\": \"%s\", \"state\": \"%s\"",
		 name, state);
	cr_expect(strstr(json, line), "%s is not in %s", line, json);
}

TOOL_ON_EACH_BACKING(tool_doctor, tells_the_backings_apart)
{
	bool can = backing_has_reflink(place->volume.backing);
	struct command_result result;
	char detail[64];

	tool_run(place->dir, NULL, "doctor --json", 0, &result);
	expect_state(result.out, "reflink", can ? "yes" : "no");
	expect_state(result.out, "fiemap",
		     place->volume.backing == BACKING_TMPFS ? "no" : "yes");
	expect_state(result.out, "holes", "yes");
	expect_state(result.out, "leases", "yes");
	expect_state(result.out, "O_TMPFILE", "yes");
	expect_state(result.out, "file handles", "yes");
	expect_state(result.out, "daemon", "yes");
	expect_state(result.out, "mounting", "yes");
	expect_state(result.out, "passthrough",
		     mode_missing(MODE_PASSTHROUGH) ? "no" : "yes");
	snprintf(detail, sizeof(detail), "\"detail\": \"%s (type ",
		 backing_name(place->volume.backing));
	tool_expect_text(result.out, detail);
	tool_sh(place->dir, "test -z \"$(ls -A)\"", NULL);
}

Test(tool_doctor, writes_json_that_a_parser_takes)
{
	char dir[PATH_MAX];

	volume_scratch_dir("doctor", dir);
	tool_sh(dir,
		"d=\"$(printf 'a\"b\\\\c\\nd\\377')\"; mkdir \"$d\"; "
		"\"$OFFLAY\" doctor --json \"$d\" >out; "
		"python3 -c 'import json; r = json.load(open(\"out\")); "
		"import os; assert os.fsencode(r[\"directory\"]) == "
		"b\"a\\\"b\\\\c\\nd\\xff\", r[\"directory\"]; "
		"assert all(f[\"state\"] in (\"yes\", \"no\", \"unknown\") "
		"for f in r[\"findings\"])'",
		NULL);
}

Test(tool_doctor, promises_io_uring_where_a_mount_uses_it)
{
	const char *missing = mode_missing(MODE_IO_URING);
	struct command_result result;
	char dir[PATH_MAX];
	struct mount mount;
	bool is_used;

	if (missing)
		volume_skip("io_uring", "%s", missing);
	volume_scratch_dir("doctor", dir);
	mount_open(dir, "io_uring,log=warning", &mount);
	is_used = !mount_log_has(&mount, "/dev/fuse is used");
	mount_close(&mount);
	tool_run(dir, NULL, "doctor --json .", 0, &result);
	expect_state(result.out, "io_uring", is_used ? "yes" : "no");
}

/* What the kernel offers is no use then. */
Test(tool_doctor, knows_what_an_older_libfuse_lacks)
{
	struct command_result result;
	char dir[PATH_MAX];

	volume_scratch_dir("doctor", dir);
	tool_sh(dir,
		"cat >daemon <<END\n"
		"#!/bin/sh\n"
		"case \\$1 in --version | -V) echo 'offlayfs 0, libfuse 3.17.2'; "
		"exit;; esac\n"
		"exec '$OFFLAYFS' \"\\$@\"\n"
		"END\n"
		"chmod 755 daemon; "
		"OFFLAYFS=$PWD/daemon \"$OFFLAY\" doctor --json . >out",
		NULL);
	tool_sh(dir, "cat out", &result);
	expect_state(result.out, "mounting", "yes");
	expect_state(result.out, "io_uring", "no");
	expect_state(result.out, "64-bit copies", "no");
}

/* Every "no" comes with advice, and no "yes" does. */
Test(tool_doctor, advises_on_what_is_off)
{
	struct command_result result;
	char dir[PATH_MAX], *line, *save;
	bool is_no = false;
	int n_no = 0;

	volume_scratch_dir("doctor", dir);
	tool_run(dir, NULL, "doctor /proc", 0, &result);
	for (line = strtok_r(result.out, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		bool is_advice = strstr(line, " -> ") && *line == ' ';

		if (is_no)
			cr_expect(is_advice, "no advice before: %s", line);
		is_no = strlen(line) > 20 && !strncmp(line + 17, "no ", 3);
		n_no += is_no;
	}
	cr_expect(!is_no);
	cr_expect_gt(n_no, 0, "/proc cannot be written");
}

Test(tool_doctor, serves_users_and_cleans_up)
{
	struct mountinfo_list mounts;
	struct command_result result;
	char dir[PATH_MAX];

	volume_scratch_dir("doctor", dir);
	tool_sh(dir, "mkdir mine tmp; chmod 777 mine tmp", NULL);
	tool_run(dir, &mount_user, "doctor --json mine", 0, &result);
	expect_state(result.out, "reflink", "no");
	expect_state(result.out, "privileges", "no");
	expect_state(result.out, "file handles", "no");
	expect_state(result.out, "mounting",
		     mode_missing(MODE_USER) ? "no" : "yes");
	expect_state(result.out, "passthrough",
		     mode_missing(MODE_USER) ? "unknown" : "no");
	tool_sh(dir, "test -z \"$(ls -A mine)\"", NULL);
	cr_assert_eq(mountinfo_below(dir, &mounts), 0);
	cr_expect_eq(mounts.n, 0);
	mountinfo_done(&mounts);
}

Test(tool_doctor, reports_on_what_cannot_be_written)
{
	struct command_result result;

	tool_run("/", NULL, "doctor --json /proc", 0, &result);
	expect_state(result.out, "filesystem", "no");
	expect_state(result.out, "reflink", "unknown");
	expect_state(result.out, "mounting", "yes");
}
