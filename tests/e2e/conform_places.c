// SPDX-License-Identifier: MIT
/* Where offlay conform works, what it prints, and what it leaves: nothing. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"
#include "mount.h"
#include "mountinfo.h"
#include "tool.h"

/* A directory that conform makes its own in, and should leave empty. */
static void make_temp(char path[PATH_MAX])
{
	volume_scratch_dir("temp", path);
	cr_assert_eq(chmod(path, 01777), 0);
}

static size_t count_entries(const char *path)
{
	struct dirent *entry;
	size_t count = 0;
	DIR *dir = opendir(path);

	cr_assert(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	return count;
}

Test(conform_places, works_on_a_volume_of_either_kind)
{
	conform_expect("--volume xfs --only clone --only short-block/5MiB",
		       "cp {src} {dst}", 0,
		       "r[\"filesystem\"], rows(\"failed\"), "
		       "[c[\"shared\"] for c in r[\"cells\"] if c[\"file\"] == "
		       "\"5MiB\"]",
		       "xfs [] ['whole', 'whole']");
	conform_expect("--volume btrfs --only clone/extents", "cp {src} {dst}",
		       0, "r[\"filesystem\"], r[\"cells\"][0][\"shared\"]",
		       "btrfs whole");
}

TOOL_ON_EACH_BACKING(conform_places, works_in_a_directory)
{
	char line[2 * PATH_MAX];
	bool can = backing_has_reflink(place->volume.backing);

	snprintf(line, sizeof(line),
		 "--only 'clone/[5bs]*' --only 'e*/5MiB' --on '%s'",
		 place->dir);
	conform_expect(line, "cp {src} {dst}", 0,
		       "rows(\"failed\"), len(r[\"missing\"]), "
		       "[c[\"shared\"] for c in r[\"cells\"] if "
		       "c[\"behaviour\"] + c[\"file\"] == \"clone5MiB\"]",
		       can ? "[] 0 ['whole']" : "[] 1 [None]");
	cr_expect_eq(count_entries(place->dir), 0);
}

/* Without root: no volume of its own, and that is said. */
Test(conform_places, works_for_an_ordinary_user)
{
	const char *missing = mode_missing(MODE_USER);
	struct command_result result;
	char temp[PATH_MAX], script[4 * PATH_MAX];

	if (missing)
		volume_skip("user", "%s", missing);
	make_temp(temp);
	snprintf(script, sizeof(script),
		 "OFFLAYFS='%s' TMPDIR='%s' '%s' conform --matrix quick --json "
		 "-- dd bs=64K status=none if={src} of={dst}",
		 mount_daemon_path(), temp, mount_tool_path());
	command_run((char *[]){ "sh", "-c", script, NULL }, &mount_user, 100,
		    &result);
	cr_assert_eq(result.status, 0, "%s%s", result.out, result.err);
	tool_expect_text(result.out, "only root can mount one");
	tool_expect_text(result.out, "\"failed\": 0");
	cr_expect_eq(count_entries(temp), 0);
}

static void expect_parses(const char *dir)
{
	struct command_result result;

	tool_sh(dir,
		"python3 -c 'import xml.etree.ElementTree as x; "
		"s = x.parse(\"j.xml\").getroot()[0]; "
		"print(s.get(\"tests\"), s.get(\"failures\"), "
		"[f.get(\"message\") for f in s.iter(\"failure\")])'",
		&result);
	cr_expect_str_eq(result.out,
			 "2 1 ['it said that all went well, but the copy has "
			 "100 of 5242880 bytes']\n");
}

Test(conform_places, prints_a_matrix_and_how_to_repeat_a_failure)
{
	const char *dir = volume_scratch();
	char line[TOOL_LINE];
	struct command_result result;

	tool_run(dir, NULL,
		 "conform --junit j.xml --only 'clone/[15]*' -- "
		 "sh -c 'head -c 100 \"$1\" >\"$2\"' sh {src} {dst}",
		 1, &result);
	tool_expect_text(result.out, "                1 5M\n"
				     "clone           +  F\n");
	tool_expect_text(result.out, "FAILED clone/5MiB (nothing in the way; ");
	tool_expect_text(result.out,
			 "to repeat offlay conform --only clone/5MiB -- sh -c "
			 "'head -c 100 \"$1\" >\"$2\"' sh {src} {dst}\n");
	expect_parses(dir);
	/* The line does repeat it. */
	snprintf(line, sizeof(line), "%s",
		 strstr(result.out, "to repeat offlay ") +
			 strlen("to repeat offlay "));
	*strchr(line, '\n') = '\0';
	tool_run(dir, NULL, line, 1, &result);
	tool_expect_text(result.out, "FAILED clone/5MiB");
	tool_run(dir, NULL, "conform --list", 0, &result);
	tool_expect_text(result.out, "enospc-middle");
}

Test(conform_places, says_what_is_wrong_with_a_command_line)
{
	static const struct {
		const char *line, *err;
	} rows[] = {
		{ "conform", "no COMMAND" },
		{ "conform --", "no COMMAND" },
		{ "conform -- cp a b", "must have {src} and {dst}" },
		{ "conform -- cp {src} b", "must have {src} and {dst}" },
		{ "conform --frob", "unknown option" },
		{ "conform --matrix x -- cp {src} {dst}",
		  "no matrix is named" },
		{ "conform --only x -- cp {src} {dst}", "see --list" },
		{ "conform --timeout 0 -- cp {src} {dst}", "--timeout" },
		{ "conform --seed -1 -- cp {src} {dst}", "not a number" },
		{ "conform --volume ext4 -- cp {src} {dst}", "btrfs or xfs" },
		{ "conform --on / --volume xfs -- cp {src} {dst}", "exclude" },
		{ "conform --only clone/empty -- /nowhere/x {src} {dst}",
		  "cannot run" },
	};
	struct command_result result;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tool_run("/", NULL, rows[i].line, 2, &result);
		tool_expect_text(result.err, rows[i].err);
		cr_expect_str_empty(result.out);
	}
	tool_run("/", NULL, "conform --on /nowhere -- cp {src} {dst}", 1,
		 &result);
	tool_expect_text(result.err, "/nowhere");
}

/* Waits until the program that is tried runs. */
static void wait_for_file(const char *path)
{
	for (int i = 0; i < 1000 && access(path, F_OK); i++)
		process_sleep_ms(20);
	cr_assert_eq(access(path, F_OK), 0, "the program did not start");
}

static void interrupt(int number, const char *options)
{
	char temp[PATH_MAX], mark[PATH_MAX + 8], line[4 * PATH_MAX];
	int status;
	pid_t pid;

	make_temp(temp);
	snprintf(mark, sizeof(mark), "%s.mark", temp);
	snprintf(line, sizeof(line),
		 "conform %s --only clone/5MiB -- sh -c "
		 "'echo $$ >%s; sleep 100; : {src} {dst}'",
		 options, mark);
	cr_assert_eq(setenv("TMPDIR", temp, 1), 0);
	pid = tool_start("/", line);
	wait_for_file(mark);
	kill(pid, number);
	cr_assert_eq(process_wait(pid, 20000, &status), 0);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == number,
		  "status %#x", status);
	for (int i = 0; i < 100 && count_entries(temp); i++)
		process_sleep_ms(50);
	cr_expect_eq(count_entries(temp), 0, "%s is not empty", temp);
	/* Nothing that was started goes on. */
	tool_sh("/", "! ps -eo args | grep -F \"$TMPDIR\" | grep -v grep",
		NULL);
}

Test(conform_places, cleans_up_when_it_is_interrupted)
{
	char line[PATH_MAX + 32], dir[PATH_MAX];

	volume_scratch_dir("on", dir);
	snprintf(line, sizeof(line), "--on '%s'", dir);
	interrupt(SIGINT, "");
	interrupt(SIGTERM, line);
	cr_expect_eq(count_entries(dir), 0);
	interrupt(SIGHUP, "--volume xfs");
}

Test(conform_places, keeps_what_it_is_told_to_keep)
{
	char line[3 * PATH_MAX], dir[PATH_MAX], script[2 * PATH_MAX];
	char temp[PATH_MAX];

	volume_scratch_dir("on", dir);
	make_temp(temp);
	cr_assert_eq(setenv("TMPDIR", temp, 1), 0);
	snprintf(line, sizeof(line),
		 "conform --keep --on '%s' --only clone/5MiB -- sh -c "
		 "'head -c 100 \"$1\" >\"$2\"' sh {src} {dst}",
		 dir);
	tool_run("/", NULL, line, 1, NULL);
	snprintf(script, sizeof(script),
		 "test $(find '%s' -name 5MiB -size 100c | wc -l) = 1", dir);
	tool_sh("/", script, NULL);
	/* And no more than that. */
	cr_expect_eq(count_entries(temp), 0);
}
