// SPDX-License-Identifier: MIT
/* offlay copy on a mount of offlayfs, and across it. */
#include <stdio.h>
#include <string.h>
#include "extents.h"
#include "mount.h"
#include "sample.h"
#include "tool.h"

#define MIB (1u << 20)

TOOL_ON_EACH_BACKING(tool_mount, copies_what_the_mount_refuses)
{
	bool can = backing_has_reflink(place->volume.backing);
	struct command_result result;
	struct extent_usage usage;
	struct mount mount;
	char path[PATH_MAX];

	volume_path(path, place->dir, "plain");
	sample_file(path, 4 * MIB, 1);
	tool_sh(place->dir,
		"truncate -s 3M sparse; head -c 1M /dev/urandom >>sparse; "
		"head -c 1M plain >>sparse; truncate -s 7M sparse",
		NULL);
	mount_open(place->dir, NULL, &mount);
	tool_run(mount.point, NULL, "copy -v sparse out1", 0, &result);
	tool_expect_text(result.out, "refused by the mount, copied");
	tool_expect_text(result.out, "Refused by the mount and copied by "
				     "hand: 1 file (sparse 1)");
	/* One refused file says nothing of the next one. */
	tool_run(mount.point, NULL, "copy -a . ../dst 2>/dev/null", 0, NULL);
	tool_run(mount.point, NULL, "copy -v plain out2", 0, &result);
	cr_expect(!strstr(result.out, "efused"), "%s", result.out);
	tool_expect_text(result.out,
			 can ? "4.0 MiB cloned" : "4.0 MiB offloaded");
	mount_close(&mount);
	tool_expect_same(place->dir, "sparse", "out1");
	tool_expect_same(place->dir, "plain", "out2");
	if (!can)
		return;
	volume_path(path, place->dir, "out2");
	cr_assert_eq(extents_usage(path, &usage), 0);
	cr_expect_eq(usage.exclusive, 0);
}

/* The refused file alone fails, on the first try and after others. */
TOOL_ON_EACH_BACKING(tool_mount, clones_only)
{
	bool can = backing_has_reflink(place->volume.backing);
	struct command_result result;
	struct mount mount;

	tool_sh(place->dir,
		"mkdir t; for i in 1 2 3; do head -c 300001 /dev/urandom "
		">t/a$i; truncate -s 200000 t/b$i; echo x >>t/b$i; done; "
		"sync -f .",
		NULL);
	mount_open(place->dir, NULL, &mount);
	tool_run(mount.point, NULL, "copy --clone-only t/a1 new", can ? 0 : 1,
		 &result);
	tool_run(mount.point, NULL, "copy --clone-only -r t u", 1, &result);
	tool_expect_text(result.err, "extents cannot be shared");
	tool_run(mount.point, NULL, "copy --clone-only t/a2 new", can ? 0 : 1,
		 NULL);
	mount_close(&mount);
	tool_sh(place->dir, "test ! -e u/b1; test ! -e u/b2; test ! -e u/b3",
		NULL);
	if (!can)
		return;
	tool_sh(place->dir,
		"cmp t/a1 u/a1; cmp t/a2 u/a2; cmp t/a3 u/a3; cmp t/a2 new",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_mount, goes_on_offloading_after_a_refusal)
{
	bool can = backing_has_reflink(place->volume.backing);
	struct command_result result;
	struct mount mount;

	tool_sh(place->dir,
		"mkdir t; for i in 1 2 3 4 5 6; do head -c 300000 /dev/urandom "
		">t/a$i; truncate -s 200000 t/b$i; echo x >>t/b$i; done; "
		"sync -f .",
		NULL);
	mount_open(place->dir, NULL, &mount);
	tool_run(mount.point, NULL, "copy -r t u", 0, &result);
	mount_close(&mount);
	tool_expect_text(result.out, "copied by hand: 6 files (sparse 6)");
	tool_expect_text(result.out,
			 can ? "1.7 MiB cloned" : "1.7 MiB offloaded");
	tool_sh(place->dir, "diff -r t u", NULL);
}

/* The two names of one file have different device numbers here. */
TOOL_ON_EACH_BACKING(tool_mount, knows_a_file_on_both_sides_of_it)
{
	struct command_result result;
	struct mount mount;
	char line[TOOL_LINE], path[PATH_MAX];

	volume_path(path, place->dir, "a");
	sample_file(path, 100000, 1);
	tool_sh(place->dir, "cp a kept", NULL);
	mount_open(place->dir, NULL, &mount);
	snprintf(line, sizeof(line), "copy '%s/a' '%s/a'", mount.point,
		 place->dir);
	tool_run("/", NULL, line, 1, &result);
	tool_expect_text(result.err, "is the same file");
	snprintf(line, sizeof(line), "copy '%s/a' '%s/a'", place->dir,
		 mount.point);
	tool_run("/", NULL, line, 1, &result);
	tool_expect_text(result.err, "is the same file");
	/* And a tree whose copy shows up inside it. */
	tool_sh(place->dir, "mkdir -p d/e; echo x >d/e/f", NULL);
	snprintf(line, sizeof(line), "copy -r '%s/d' '%s/d/e/g'", place->dir,
		 mount.point);
	tool_run("/", NULL, line, 1, &result);
	tool_expect_text(result.err, "is the copy itself");
	mount_close(&mount);
	tool_expect_same(place->dir, "kept", "a");
	tool_sh(place->dir, "test -e d/e/g/e/f; test ! -e d/e/g/e/g", NULL);
}

TOOL_ON_EACH_BACKING(tool_mount, archives_through_it)
{
	struct command_result result;
	struct mount mount;

	tool_sh(place->dir,
		"mkdir -p t/d; for i in $(seq 200); do echo $i >t/d/$i; done; "
		"ln t/d/1 t/hard; ln -s d t/link; mkfifo t/fifo; "
		"setfattr -n user.k -v v t/d/2; setfacl -m u:77:rw t/d/3; "
		"chown 5:6 t/d/4; chmod 4755 t/d/4; "
		"setfacl -d -m u:78:rx t/d; touch -d 2011-11-11 t/d t",
		NULL);
	mount_open(place->dir, "profile=transparent", &mount);
	tool_run(mount.point, NULL, "copy -a t u", 0, &result);
	cr_expect_str_empty(result.err);
	mount_close(&mount);
	tool_sh(place->dir, "rsync -naiHAXc --delete t/ u/", &result);
	cr_expect_str_empty(result.out);
}
