// SPDX-License-Identifier: MIT
/* Clone, dedupe and extent map on a mount, compared with the bare backing. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clone_place.h"

/* The lines of both texts, one by one. */
static void compare(const char *what, const char *bare, const char *mounted)
{
	unsigned int line = 1;

	while (*bare || *mounted) {
		size_t a = strcspn(bare, "\n"), b = strcspn(mounted, "\n");

		cr_expect(a == b && !memcmp(bare, mounted, a),
			  "%s, line %u: \"%.*s\" where the backing has "
			  "\"%.*s\"",
			  what, line, (int)b, mounted, (int)a, bare);
		bare += a + (bare[a] == '\n');
		mounted += b + (mounted[b] == '\n');
		line++;
	}
}

static void rows_in(const char *dir, const char *backing, const char *how,
		    bool under_run, char **ret_text)
{
	char command[PATH_MAX * 4];

	cr_assert_eq(mkdir(dir, 0777), 0);
	cr_assert_eq(chmod(dir, 0777), 0);
	snprintf(command, sizeof(command), "%s '%s' %s '%s' '%s'",
		 under_run ? "\"$OFFLAY\" run --" : "exec",
		 getenv("OFFLAY_CLONE_ROWS"), how, dir, backing);
	clone_output(command, ret_text);
	cr_expect_null(strstr(*ret_text, "FAILED"), "%s: %s", how, *ret_text);
	cr_expect_not_null(strstr(*ret_text, "unknown flag: EBADR"), "%s",
			   *ret_text);
}

static void compare_by(struct clone_place *place, const char *how,
		       bool under_run)
{
	char *bare, *mounted, dir[PATH_MAX], backing[PATH_MAX];

	volume_path(dir, place->dir, "bare");
	rows_in(dir, dir, how, false, &bare);
	for (int mode = 0; mode < MODE_USER; mode++) {
		if (mode_missing((enum mount_mode)mode))
			continue;
		mount_open_mode(place->dir, (enum mount_mode)mode,
				"profile=transparent", &place->mount);
		volume_path(dir, place->mount.point,
			    mode_name((enum mount_mode)mode));
		volume_path(backing, place->dir,
			    mode_name((enum mount_mode)mode));
		rows_in(dir, backing, how, under_run, &mounted);
		compare(mode_name((enum mount_mode)mode), bare, mounted);
		mount_close(&place->mount);
		free(mounted);
	}
	free(bare);
}

CLONE_ON_EACH_BACKING(clone_table, the_library_answers_as_the_backing)
{
	compare_by(place, "library", false);
}

CLONE_ON_EACH_BACKING(clone_table, run_answers_as_the_backing)
{
	compare_by(place, "ioctl", true);
}
