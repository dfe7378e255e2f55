// SPDX-License-Identifier: MIT
/* offlay run: programs clone on a mount, and see nothing of how. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clone_place.h"
#include "process.h"
#include "run_place.h"

CLONE_ON_EACH_BACKING(run, lets_cp_clone)
{
	for (int mode = 0; mode < MODE_COUNT; mode++) {
		if (mode_missing((enum mount_mode)mode))
			continue;
		volume_dir(&place->volume, "mode", place->dir);
		clone_file(place, "src", 5 * MIB + 17, 3);
		mount_open_mode(place->dir, (enum mount_mode)mode, NULL,
				&place->mount);
		run_sh(place, mode == MODE_USER ? &mount_user : NULL,
		       "$RUN cp --reflink=always src dst", 0, NULL);
		mount_close(&place->mount);
		clone_is_same(place, "src", "dst");
		clone_is_shared(place, "dst");
	}
}

CLONE_ON_EACH_BACKING(run, serves_users_and_those_who_become_users)
{
	static const struct user user = { 1234, 1234, 0, { 0 } };

	run_mount(place, NULL);
	cr_assert_eq(chmod(place->dir, 0777), 0);
	run_sh(place, &user, "$RUN cp --reflink=always src mine", 0, NULL);
	run_sh(place, NULL,
	       "$RUN setpriv --reuid 1234 --regid 1234 --clear-groups "
	       "cp --reflink=always src his; "
	       "test $(stat -c %u:%g mine his | sort -u) = 1234:1234",
	       0, NULL);
	/* The promise of those without privileges, and of nobody else. */
	run_sh(place, &user, "$RUN grep -q 'NoNewPrivs:.1' /proc/self/status",
	       0, NULL);
	run_sh(place, NULL, "$RUN grep -q 'NoNewPrivs:.0' /proc/self/status", 0,
	       NULL);
	mount_close(&place->mount);
	clone_is_shared(place, "mine");
	clone_is_shared(place, "his");
}

CLONE_ON_EACH_BACKING(run, works_with_the_usual_programs)
{
	struct command_result result;

	run_mount(place, NULL);
	if (system("command -v xfs_io >/dev/null"))
		volume_note_skip("xfs_io", "it is not installed");
	else
		run_sh(place, NULL,
		       "$RUN xfs_io -f -c 'reflink src 0 0 128k' a >/dev/null; "
		       "head -c 131072 src | cmp - a; "
		       "cp --reflink=never a b; sync; "
		       "$RUN xfs_io -c 'dedupe a 0 0 128k' b | "
		       "grep -q '^deduped 131072/131072'",
		       0, NULL);
	run_sh(place, NULL, "$RUN filefrag -v src", 0, &result);
	cr_expect_not_null(strstr(result.out, "1 extent found"), "%s",
			   result.out);
	/* It asks for what is shared with what. */
	run_sh(place, NULL,
	       "python3 -c 'import shutil, fcntl\n"
	       "s = open(\"src\"); d = open(\"p\", \"w\")\n"
	       "exec(\"try: fcntl.ioctl(d, 0x40049409, s.fileno())\\n"
	       "except OSError as e: assert e.errno == 95\\n"
	       "else: assert 0\")'; "
	       "$RUN python3 -c 'import fcntl\n"
	       "s = open(\"src\"); d = open(\"p\", \"w\")\n"
	       "fcntl.ioctl(d, 0x40049409, s.fileno())'; cmp src p",
	       0, NULL);
	mount_close(&place->mount);
	clone_is_shared(place, "p");
}

/* Elsewhere the kernel answers as ever. */
CLONE_ON_EACH_BACKING(run, leaves_other_filesystems_alone)
{
	struct command_result result;

	run_mount(place, NULL);
	run_sh(place, NULL,
	       "cd \"$BARE\"; $RUN cp --reflink=always src bare; cmp src bare; "
	       "$RUN filefrag -v bare | grep -q shared",
	       0, NULL);
	run_sh(place, NULL,
	       "trap 'rm -f /dev/shm/$$' EXIT; "
	       "$RUN cp --reflink=always src /dev/shm/$$",
	       1, &result);
	cr_expect_not_null(strstr(result.err, "Invalid cross-device link"),
			   "%s", result.err);
	run_sh(place, NULL, "$RUN cp --reflink=always src \"$BARE\"/x", 1,
	       &result);
	cr_expect_not_null(strstr(result.err, "Invalid cross-device link"),
			   "%s", result.err);
	mount_close(&place->mount);
}

CLONE_ON_EACH_BACKING(run, refuses_what_a_mount_refuses)
{
	struct command_result result;

	run_mount(place, NULL);
	run_sh(place, NULL,
	       "truncate -s 1M sparse; echo x >>sparse; "
	       "! $RUN cp --reflink=always sparse no; "
	       "$RUN cp --reflink=auto sparse yes; cmp sparse yes; "
	       "$RUN filefrag -v sparse >/dev/null",
	       0, &result);
	cr_expect_not_null(strstr(result.err, "Operation not supported"), "%s",
			   result.err);
	mount_close(&place->mount);
}

CLONE_ON_EACH_BACKING(run, says_what_it_did)
{
	struct command_result result;

	run_mount(place, NULL);
	run_sh(place, NULL, "$RUN -v cp --reflink=always src dst", 0, &result);
	cr_expect_not_null(strstr(result.err, "FICLONE '"), "%s", result.err);
	cr_expect_not_null(strstr(result.err, "dst': cloned"), "%s",
			   result.err);
	run_sh(place, NULL, "$RUN cp --reflink=always src dst", 0, &result);
	cr_expect_str_empty(result.err);
	mount_close(&place->mount);
}

VOLUME_MAIN;
