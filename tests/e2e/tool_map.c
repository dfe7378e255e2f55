// SPDX-License-Identifier: MIT
/* offlay map on each backing: what it draws, and what it says is shared. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "mount.h"
#include "sample.h"
#include "tool.h"

#define KIB 1024u

/* The value of one key of the JSON that "offlay map" with this line prints. */
static void expect_json(const char *dir, const char *line, const char *filter,
			const char *expected)
{
	char script[TOOL_LINE + 2 * PATH_MAX];
	struct command_result result;

	snprintf(script, sizeof(script),
		 "'%s' map --json %s | python3 -c 'import json, sys; "
		 "m = json.load(sys.stdin); f = m[\"files\"]; print(%s)'",
		 mount_tool_path(), line, filter);
	tool_sh(dir, script, &result);
	result.out[strcspn(result.out, "\n")] = '\0';
	cr_expect_str_eq(result.out, expected, "map %s, %s: %s", line, filter,
			 result.out);
}

TOOL_ON_EACH_BACKING(tool_map, shows_data_and_holes)
{
	struct command_result result;
	char path[PATH_MAX];

	volume_path(path, place->dir, "sparse");
	sample_file(path, 1024 * KIB, 1);
	tool_sh(place->dir,
		"truncate -s 4M sparse; touch empty; "
		"dd if=/dev/urandom of=sparse bs=64K count=1 seek=48 "
		"conv=notrunc status=none",
		NULL);
	expect_json(place->dir, "sparse",
		    "[(p[\"offset\"] >> 10, p[\"length\"] >> 10, p[\"kind\"]) "
		    "for p in f[0][\"pieces\"]]",
		    "[(0, 1024, 'data'), (1024, 2048, 'hole'), "
		    "(3072, 64, 'data'), (3136, 960, 'hole')]");
	expect_json(place->dir, "sparse", "f[0][\"bytes\"][\"hole\"] >> 10",
		    "3008");
	expect_json(place->dir, "empty", "f[0][\"pieces\"]", "[]");
	tool_run(place->dir, NULL, "map sparse empty", 0, &result);
	/* 66 columns of 62 KiB each. */
	tool_expect_text(result.out,
			 "  ################........................"
			 "........#...............\n");
	tool_expect_text(result.out, "data 1.1 MiB");
	cr_expect(!strchr(result.out, '\033'), "coloured in a pipe");
	tool_run(place->dir, NULL, "map --svg x.svg sparse", 0, NULL);
	tool_sh(place->dir,
		"python3 -c 'import xml.dom.minidom as x; "
		"d = x.parse(\"x.svg\"); "
		"assert len(d.getElementsByTagName(\"rect\")) > 5'",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_map, shows_what_is_unwritten)
{
	if (place->volume.backing == BACKING_TMPFS)
		volume_skip("map", "tmpfs has no FIEMAP");
	tool_sh(place->dir, "fallocate -l 1M f; fallocate -n -o 2M -l 1M f",
		NULL);
	expect_json(place->dir, "f",
		    "f[0][\"bytes\"][\"unwritten\"] >> 10, "
		    "f[0][\"bytes\"][\"beyond\"] >> 10",
		    "1024 1024");
}

TOOL_ON_EACH_BACKING(tool_map, shows_what_two_files_share)
{
	struct command_result result;
	char path[PATH_MAX];

	volume_path(path, place->dir, "a");
	sample_file(path, 1024 * KIB, 1);
	tool_sh(place->dir, "cp --reflink=never a b; sync -f .", NULL);
	tool_run(place->dir, NULL, "map a b", 0, &result);
	if (place->volume.backing == BACKING_TMPFS) {
		tool_expect_text(result.out, "cannot be seen here");
		return;
	}
	tool_expect_text(result.out, "They share nothing");
	expect_json(place->dir, "a b", "m[\"sharing\"][\"bytes\"]", "0");
	/* A hard link is the same storage, and so it is on ext4. */
	tool_sh(place->dir, "ln a same", NULL);
	expect_json(place->dir, "a same", "m[\"sharing\"][\"bytes\"] >> 10",
		    "1024");
	if (!backing_has_reflink(place->volume.backing))
		return;
	tool_sh(place->dir,
		"cp --reflink=always a c; dd if=/dev/urandom of=c bs=64K "
		"count=1 seek=4 conv=notrunc status=none; sync -f .",
		NULL);
	expect_json(place->dir, "a c",
		    "m[\"sharing\"][\"bytes\"] >> 10, "
		    "[(p[\"first\"] >> 10, p[\"second\"] >> 10, "
		    "p[\"length\"] >> 10) for p in m[\"sharing\"][\"parts\"]]",
		    "960 [(0, 0, 256), (320, 320, 704)]");
	tool_run(place->dir, NULL, "map a c", 0, &result);
	tool_expect_text(result.out, "They share 960.0 KiB (983040 bytes)");
	/* Nothing of it is the other's beyond what they share. */
	expect_json(place->dir, "c b",
		    "m[\"sharing\"][\"bytes\"], f[0][\"bytes\"][\"shared\"] "
		    ">> 10",
		    "0 960");
}

/* The picture of a file does not depend on which side it is looked at. */
TOOL_ON_EACH_BACKING(tool_map, shows_the_same_on_a_mount)
{
	char path[PATH_MAX], line[2 * PATH_MAX];
	struct command_result off, on;
	struct mount mount;

	volume_path(path, place->dir, "a");
	sample_file(path, 1024 * KIB, 1);
	tool_sh(place->dir,
		"truncate -s 2M a; fallocate -o 2M -l 1M a; cp a b; sync -f .",
		NULL);
	tool_run(place->dir, NULL, "map --json a b", 0, &off);
	mount_open(place->dir, NULL, &mount);
	tool_run(mount.point, NULL, "map --json a b", 0, &on);
	cr_expect_str_eq(on.out, off.out);
	/* What is the other filesystem below?  Nobody says. */
	snprintf(line, sizeof(line), "map a '%s/a'", place->dir);
	tool_run(mount.point, NULL, line, 0, &on);
	mount_close(&mount);
	tool_expect_text(on.out, "cannot be seen here");
}

Test(tool_map, shows_compressed_data_on_btrfs)
{
	struct volume volume;
	char dir[PATH_MAX];

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("map", "btrfs is not selected");
	volume_get(BACKING_BTRFS, 0, &volume);
	volume_dir(&volume, "map", dir);
	tool_sh(dir,
		"touch a; chattr +c a; yes | head -c 1M >a; sync -f a; "
		"cp --reflink=always a b",
		NULL);
	expect_json(dir, "a",
		    "f[0][\"bytes\"][\"compressed\"] >> 10, "
		    "f[0][\"bytes\"][\"data\"]",
		    "1024 0");
	expect_json(dir, "a b", "m[\"sharing\"][\"bytes\"] >> 10", "1024");
	/* Two subvolumes are one filesystem. */
	tool_sh(dir,
		"btrfs subvolume create s >/dev/null; "
		"cp --reflink=always a s/a",
		NULL);
	expect_json(dir, "a s/a", "m[\"sharing\"][\"bytes\"] >> 10", "1024");
}

Test(tool_map, says_what_is_wrong)
{
	struct command_result result;
	const char *dir = volume_scratch();

	tool_run(dir, NULL, "map", 2, &result);
	tool_expect_text(result.err, "no FILE");
	tool_run(dir, NULL, "map a b c", 2, &result);
	tool_expect_text(result.err, "more than two");
	tool_run(dir, NULL, "map --svg", 2, &result);
	tool_run(dir, NULL, "map --frob a", 2, &result);
	tool_run(dir, NULL, "map /nowhere", 1, &result);
	tool_expect_text(result.err, "'/nowhere': No such file");
	tool_run(dir, NULL, "map /proc", 1, &result);
	tool_run(dir, NULL, "map --svg /nowhere/x /bin/sh", 1, &result);
	tool_expect_text(result.err, "/nowhere/x");
}
