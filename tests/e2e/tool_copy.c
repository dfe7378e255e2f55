// SPDX-License-Identifier: MIT
/* offlay copy: single files, what is refused, and what failures leave. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "extents.h"
#include "sample.h"
#include "tool.h"

#define MIB (1u << 20)

static void make_file(const struct tool_place *place, const char *name,
		      uint64_t size, uint64_t seed)
{
	char path[PATH_MAX];

	volume_path(path, place->dir, name);
	sample_file(path, size, seed);
}

TOOL_ON_EACH_BACKING(tool_copy, shares_extents_where_it_can)
{
	bool can = backing_has_reflink(place->volume.backing);
	struct extent_usage usage;
	struct command_result result;
	char path[PATH_MAX];

	make_file(place, "a", 8 * MIB + 123, 1);
	tool_run(place->dir, NULL, "copy a b", 0, &result);
	tool_expect_same(place->dir, "a", "b");
	tool_expect_text(result.out, can ? "8.0 MiB cloned" : "0 B cloned");
	tool_expect_text(result.out, can ? "0 B copied" : "8.0 MiB copied");
	volume_path(path, place->dir, "b");
	if (!can)
		return;
	cr_assert_eq(extents_usage(path, &usage), 0);
	cr_expect_eq(usage.exclusive, 0);
	cr_expect_geq(usage.shared, 8 * MIB + 123);
}

TOOL_ON_EACH_BACKING(tool_copy, clone_only_means_it)
{
	bool can = backing_has_reflink(place->volume.backing);
	struct command_result result;

	make_file(place, "a", MIB + 1, 1);
	make_file(place, "old", 3 * MIB / 2, 2);
	tool_sh(place->dir, "cp -p old kept; : >empty", NULL);
	tool_run(place->dir, NULL, "copy --clone-only a b", can ? 0 : 1, NULL);
	tool_run(place->dir, NULL, "copy --clone-only a old", can ? 0 : 1,
		 &result);
	tool_run(place->dir, NULL, "copy --clone-only empty c", 0, NULL);
	cr_expect_eq(tool_size(place->dir, "c"), 0);
	if (can) {
		tool_expect_same(place->dir, "a", "b");
		tool_expect_same(place->dir, "a", "old");
		return;
	}
	cr_expect(!tool_exists(place->dir, "b"), "a half file was left");
	tool_expect_same(place->dir, "kept", "old");
	tool_expect_text(result.err, "extents cannot be shared");
	tool_expect_text(result.err, "'old' was not changed");
}

TOOL_ON_EACH_BACKING(tool_copy, keeps_holes)
{
	struct command_result result;
	char path[PATH_MAX];
	struct stat st;

	tool_sh(place->dir,
		"printf x >a; truncate -s 64M a; printf y >>a; truncate -s 96M "
		"a; truncate -s 5M hole",
		NULL);
	tool_run(place->dir, NULL, "copy a b", 0, &result);
	tool_expect_same(place->dir, "a", "b");
	volume_path(path, place->dir, "b");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_lt(st.st_blocks * 512, MIB);
	tool_run(place->dir, NULL, "copy hole b", 0, NULL);
	tool_expect_same(place->dir, "hole", "b");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_blocks, 0);
}

TOOL_ON_EACH_BACKING(tool_copy, replaces_longer_and_shorter_content)
{
	make_file(place, "a", 3 * MIB + 7, 1);
	make_file(place, "long", 5 * MIB, 2);
	make_file(place, "short", 4097, 3);
	tool_sh(place->dir, "chmod 640 long; chown 7:8 long", NULL);
	tool_run(place->dir, NULL, "copy a long", 0, NULL);
	tool_run(place->dir, NULL, "copy a short", 0, NULL);
	tool_expect_same(place->dir, "a", "long");
	tool_expect_same(place->dir, "a", "short");
	tool_sh(place->dir, "test \"$(stat -c %a:%u:%g long)\" = 640:7:8",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_copy, keeps_attributes_if_asked)
{
	tool_sh(place->dir,
		"echo x >a; setfattr -n user.k -v v a; setfacl -m u:77:rw a; "
		"chown 1234:1235 a; chmod 6754 a; "
		"touch -d '2001-02-03 04:05:06.789012345' a; "
		"echo z >c; setfacl -m u:78:rwx c",
		NULL);
	tool_run(place->dir, NULL, "copy -p a b", 0, NULL);
	tool_run(place->dir, NULL, "copy -p a c", 0, NULL);
	tool_sh(place->dir,
		"for f in a b c; do { stat -c '%a %u %g %y' $f; "
		"getfacl -cn $f; getfattr --only-values -n user.k $f; "
		"} >$f.is; done; cmp a.is b.is; cmp a.is c.is; "
		"grep -q ^6754 a.is",
		NULL);
	tool_run(place->dir, NULL, "copy a d", 0, NULL);
	tool_sh(place->dir,
		"test \"$(stat -c %a:%u d)\" = 754:0; "
		"test -z \"$(getfattr -d d)\"; test d -nt a",
		NULL);
}

/* What a command line must not do, and what must be as it was after it. */
TOOL_ON_EACH_BACKING(tool_copy, refuses_what_would_destroy)
{
	static const struct {
		const char *line;
		const char *err;
	} rows[] = {
		{ "copy a a", "is the same file" },
		{ "copy a ./d/../a", "is the same file" },
		{ "copy a hard", "is the same file" },
		{ "copy a link", "is the same file" },
		{ "copy -f a hard", "is the same file" },
		{ "copy --resume a hard", "is the same file" },
		{ "copy -a a hard", "is the same file" },
		{ "copy d e", "is a directory" },
		{ "copy -r d d", "into itself" },
		{ "copy -r d d/e", "into itself" },
		{ "copy -r d d/e/f", "into itself" },
		{ "copy -r . d", "into itself" },
		{ "copy -r d a", "is not a directory" },
		{ "copy a over", "is a directory" },
		{ "copy -r over/a .", "is not a directory" },
		{ "copy nowhere b", "No such file" },
		{ "copy nowhere d a", "Not a directory" },
		{ "copy a dangling", "cannot follow" },
		{ "copy a fifo", "is not a regular file" },
		{ "copy fifo b", "is not a regular file" },
		{ "copy -r fifo d/e", "is a directory and" },
		{ "copy a nowhere/b", "No such file" },
	};
	struct command_result before, after, result;
	static const char list[] =
		"find . -printf '%p %y %i %s %m %l\\n' | sort; "
		"find . -type f -exec cksum {} + | sort";

	make_file(place, "a", 70000, 1);
	tool_sh(place->dir,
		"ln a hard; ln -s a link; ln -s gone dangling; mkfifo fifo; "
		"mkdir -p d/e/fifo over/a; echo x >d/f",
		NULL);
	tool_sh(place->dir, list, &before);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tool_run(place->dir, NULL, rows[i].line, 1, &result);
		cr_expect(strstr(result.err, rows[i].err), "offlay %s: %s",
			  rows[i].line, result.err);
		tool_sh(place->dir, list, &after);
		cr_assert_str_eq(after.out, before.out, "offlay %s",
				 rows[i].line);
	}
}

Test(tool_copy, loses_none_of_two_files_of_one_name)
{
	struct command_result result;
	char dir[PATH_MAX];

	volume_scratch_dir("names", dir);
	tool_sh(dir,
		"mkdir a b c a/d b/d; echo 1 >a/f; echo 2 >b/f; echo 3 >b/g; "
		"echo 4 >a/d/x; echo 5 >b/d/y",
		NULL);
	tool_run(dir, NULL, "copy -r a/f b/f b/g a/d b/d c", 1, &result);
	tool_expect_text(result.err, "'b/f': is not copied over another");
	tool_sh(dir,
		"cmp a/f c/f; cmp b/g c/g; cmp a/d/x c/d/x; "
		"cmp b/d/y c/d/y",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_copy, clobbers_as_told)
{
	struct command_result result;

	tool_sh(place->dir,
		"chmod 777 .; echo new >a; echo old >b; echo old >r; "
		"chmod 444 r; chmod 755 a; ln -s b link",
		NULL);
	tool_run(place->dir, NULL, "copy -n a b", 0, &result);
	tool_expect_text(result.out, "Left as they were: 1");
	tool_sh(place->dir, "grep -q old b", NULL);
	tool_run(place->dir, &tool_user, "copy a r", 1, &result);
	tool_expect_text(result.err, "Permission denied");
	tool_sh(place->dir, "grep -q old r", NULL);
	tool_run(place->dir, &tool_user, "copy -f a r", 0, NULL);
	tool_sh(place->dir, "grep -q new r", NULL);
	tool_run(place->dir, NULL, "copy a link", 0, NULL);
	tool_sh(place->dir, "test -L link; grep -q new b", NULL);
}

TOOL_ON_EACH_BACKING(tool_copy, reads_back_what_it_wrote)
{
	struct command_result result;

	make_file(place, "a", 3 * MIB + 5, 1);
	tool_sh(place->dir, "printf '' >empty; printf abc >abc", NULL);
	tool_run(place->dir, NULL, "copy --verify -v a b", 0, &result);
	tool_expect_text(result.out, "Read back and equal (XXH3-128): 3.0 MiB");
	tool_expect_text(result.out, "xxh128 ");
	tool_expect_same(place->dir, "a", "b");
	/* XXH3-128 of "abc" and of nothing, as published. */
	tool_run(place->dir, NULL, "copy --verify -v abc c", 0, &result);
	tool_expect_text(result.out, "06b05ab6733a618578af5f94892f3950");
	tool_run(place->dir, NULL, "copy --verify -v empty c", 0, &result);
	tool_expect_text(result.out, "99aa06d3014798d86001c324468d497f");
}

Test(tool_copy, reads_files_that_have_no_size)
{
	char dir[PATH_MAX];

	volume_scratch_dir("proc", dir);
	tool_run(dir, NULL, "copy /proc/self/mountinfo m", 0, NULL);
	cr_expect_gt(tool_size(dir, "m"), 0);
	tool_sh(dir, "grep -q ' / /proc ' m", NULL);
}

Test(tool_copy, leaves_nothing_on_a_full_disk)
{
	struct tool_place place = { 0 };
	struct command_result result;
	char line[TOOL_LINE];
	char source[PATH_MAX];

	volume_scratch_dir("full", source);
	volume_get_sized(BACKING_TMPFS, 0, 16 * MIB, NULL, &place.volume);
	volume_path(place.dir, place.volume.root, ".");
	tool_sh(source, "head -c 20000000 /dev/urandom >a", NULL);
	snprintf(line, sizeof(line), "copy '%s/a' b", source);
	tool_run(place.dir, NULL, line, 1, &result);
	tool_expect_text(result.err, "No space left on device");
	tool_expect_text(result.err, "was removed");
	cr_expect(!tool_exists(place.dir, "b"));

	tool_sh(place.dir, "echo old >b", NULL);
	tool_run(place.dir, NULL, line, 1, &result);
	tool_expect_text(result.err, "'b' holds the first ");
	snprintf(line, sizeof(line),
		 "test -s b; head -c $(stat -c %%s b) '%s/a' | cmp - b",
		 source);
	tool_sh(place.dir, line, NULL);
	volume_free(&place.volume);
}
