// SPDX-License-Identifier: MIT
/* offlay copy: trees, of every kind and depth. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mount.h"
#include "tool.h"

/* Everything that a tree can hold. */
static const char make_tree[] =
	"mkdir -p t/sub/deep t/empty t/closed; "
	"head -c 100001 /dev/urandom >t/data; : >t/nothing; "
	"truncate -s 3M t/sparse; echo x >>t/sparse; "
	"for i in $(seq 300); do echo $i >t/sub/f$i; done; "
	"ln t/data t/sub/hard; ln t/data t/sub/deep/hard2; "
	"ln -s data t/link; ln -s /nowhere/at/all t/sub/dangling; "
	"ln t/link t/sub/hardlink-of-a-link; "
	"mkfifo -m 640 t/fifo; mknod t/null c 1 3; "
	"setfattr -n user.colour -v blue t/data; "
	"setfattr -n user.dir -v red t/sub; "
	"setfattr -n trusted.mark -v 1 t/nothing; "
	"setfacl -m u:77:r,g:78:rw t/sub/f1; "
	"setfacl -d -m u:79:rwx t/sub/deep; "
	"setfacl -m u:80:rx t/empty; "
	"chown -h 11:12 t/link t/fifo t/data; chmod 4751 t/data; "
	"chown 13:14 t/sub/deep; chmod 3770 t/sub/deep; "
	"echo y >t/\"$(printf 'new\\nline \\377\\001 name')\"; "
	"echo z >t/$(printf 'n%.0s' $(seq 255)); "
	"echo secret >t/closed/file; chmod 0 t/closed/file; chmod 0 t/closed; "
	"find t -exec touch -h -d '2010-10-10 10:10:10.101010101' {} +";

static void expect_equal(const char *dir, const char *src, const char *dst)
{
	struct command_result result;
	char script[512];

	snprintf(script, sizeof(script), "rsync -naiHAXc --delete %s/ %s/", src,
		 dst);
	tool_sh(dir, script, &result);
	cr_assert_str_empty(result.out, "%s and %s differ:\n%s", src, dst,
			    result.out);
	snprintf(script, sizeof(script),
		 "list() { (cd $1; find . -printf "
		 "'%%p %%y %%m %%U %%G %%n %%l %%T@\\n' | sort); }; "
		 "list %s >src.list; list %s >dst.list; cmp src.list dst.list",
		 src, dst);
	tool_sh(dir, script, NULL);
}

static void archive(const char *dir)
{
	struct command_result result;

	tool_sh(dir, make_tree, NULL);
	tool_run(dir, NULL, "copy -a t u", 0, &result);
	tool_expect_text(result.out, "306 files, 5 directories, ");
	tool_expect_text(result.out, "3 hard links");
	tool_expect_text(result.out, "2 special files");
	cr_expect_str_empty(result.err);
	expect_equal(dir, "t", "u");
	tool_sh(dir,
		"test $(stat -c %b u/sparse) -lt 100; "
		"test u/data -ef u/sub/hard; "
		"test $(stat -c %t:%T u/null) = 1:3",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_tree, archive_keeps_everything)
{
	archive(place->dir);
}

/* There the walk copies by itself. */
TOOL_ON_EACH_BACKING(tool_tree, archive_keeps_everything_on_a_mount)
{
	struct mount mount;

	mount_open(place->dir, "profile=transparent", &mount);
	archive(mount.point);
	expect_equal(place->dir, "t", "u");
	mount_close(&mount);
}

/* Onto itself, onto what is older, and into a directory with a default ACL. */
TOOL_ON_EACH_BACKING(tool_tree, archive_overwrites_and_merges)
{
	struct command_result result;

	tool_sh(place->dir, make_tree, NULL);
	tool_sh(place->dir,
		"mkdir -p in/t/sub; setfacl -d -m u:99:rwx in in/t in/t/sub; "
		"echo old >in/t/data; ln in/t/data in/other; "
		"ln -s data in/t/nothing; echo mine >in/t/sub/extra; "
		"ln -s ../../outside in/t/sub/f7; echo safe >outside; "
		"setfacl -m u:98:rwx in/t/sub/extra; echo old >in/t/sub/f1; "
		"setfacl -m u:97:rwx in/t/sub/f1",
		NULL);
	tool_run(place->dir, NULL, "copy -a t in", 0, NULL);
	tool_sh(place->dir,
		"grep -q safe outside; grep -q old in/other; "
		"grep -q mine in/t/sub/extra; rm in/t/sub/extra; "
		"touch -d '2010-10-10 10:10:10.101010101' in/t/sub",
		NULL);
	expect_equal(place->dir, "t", "in/t");
	tool_run(place->dir, NULL, "copy -a t/. in/t", 0, NULL);
	expect_equal(place->dir, "t", "in/t");
	tool_sh(place->dir, "getfacl -cn in/t/sub/f2", &result);
	cr_expect(!strstr(result.out, "99"), "%s", result.out);
}

TOOL_ON_EACH_BACKING(tool_tree, recursive_keeps_no_attributes)
{
	tool_sh(place->dir, make_tree, NULL);
	tool_sh(place->dir, "umask", NULL);
	tool_run(place->dir, NULL, "copy -r t u", 0, NULL);
	tool_sh(place->dir,
		"test -L u/link; test -p u/fifo; test ! u/data -ef u/sub/hard; "
		"cmp t/data u/data; cmp t/sub/f300 u/sub/f300; "
		"test $(stat -c %a:%u u/data) = 751:0; "
		"test $(stat -c %a u/closed) = 0; "
		"test -z \"$(getfattr -d u/data)\"; test u/data -nt t/data",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_tree, goes_on_after_a_failure)
{
	struct command_result result;

	tool_sh(place->dir,
		"chmod 777 .; mkdir -p t/no t/yes; for i in 1 2 3; do "
		"echo $i >t/yes/$i; echo $i >t/no/$i; done; chmod 0 t/yes/2; "
		"chmod 0 t/no",
		NULL);
	tool_run(place->dir, &tool_user, "copy -r t u", 1, &result);
	tool_expect_text(result.err,
			 "cannot open 't/yes/2': Permission denied");
	tool_expect_text(result.err, "cannot open 't/no': Permission denied");
	tool_sh(place->dir,
		"cmp t/yes/1 u/yes/1; cmp t/yes/3 u/yes/3; test ! -e u/yes/2",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_tree, never_follows_a_link_below)
{
	struct command_result result;

	tool_sh(place->dir,
		"mkdir -p t/d out in/t; echo new >t/d/f; echo new >t/g; "
		"echo safe >out/f; echo safe >out/g; ln -s ../../out in/t/d; "
		"ln -s ../../out/g in/t/g",
		NULL);
	tool_run(place->dir, NULL, "copy -r t in", 1, &result);
	tool_expect_text(result.err, "'in/t/d': is not a directory");
	tool_sh(place->dir,
		"grep -q safe out/f; grep -q safe out/g; test ! -L in/t/g; "
		"grep -q new in/t/g",
		NULL);
}

#define DEPTH 300

/* DEPTH directories of 40 bytes: three times PATH_MAX. */
static void make_deep(const char *dir)
{
	static const char name[] = "a-directory-with-a-name-of-forty-bytes--";
	const struct timespec times[2] = { { .tv_sec = 1000 },
					   { .tv_sec = 1000000000 } };
	int fds[DEPTH + 1], file_fd;

	fds[0] = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(fds[0] >= 0);
	for (int i = 0; i < DEPTH; i++) {
		const char *step = i ? name : "t";

		cr_assert_eq(mkdirat(fds[i], step, 0755), 0);
		fds[i + 1] = openat(fds[i], step,
				    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cr_assert(fds[i + 1] >= 0, "%d: %s", i, strerror(errno));
		file_fd = openat(fds[i + 1], "file", O_CREAT | O_WRONLY, 0644);
		cr_assert(file_fd >= 0);
		dprintf(file_fd, "%d\n", i);
		close(file_fd);
		if (i)
			cr_assert_eq(linkat(fds[1], "file", fds[i + 1], "hard",
					    0),
				     0);
	}
	for (int i = DEPTH; i > 0; i--)
		cr_assert_eq(futimens(fds[i], times), 0);
	for (int i = 0; i <= DEPTH; i++)
		close(fds[i]);
}

static void check_deep(const char *dir, const char *top)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat first = { 0 }, st;

	for (int i = 0; i < DEPTH; i++) {
		const char *step =
			i ? "a-directory-with-a-name-of-forty-bytes--" : top;
		int next = openat(fd, step, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		char text[16] = "";
		int file_fd;

		cr_assert(next >= 0, "%d: %s", i, strerror(errno));
		close(fd);
		fd = next;
		cr_assert_eq(fstat(fd, &st), 0);
		cr_expect_eq(st.st_mtim.tv_sec, 1000000000, "level %d", i);
		file_fd = openat(fd, "file", O_RDONLY | O_CLOEXEC);
		cr_assert(file_fd >= 0);
		cr_assert_gt(read(file_fd, text, sizeof(text) - 1), 0);
		cr_expect_eq(atoi(text), i);
		if (!i)
			cr_assert_eq(fstat(file_fd, &first), 0);
		close(file_fd);
		if (i) {
			cr_assert_eq(fstatat(fd, "hard", &st, 0), 0);
			cr_expect_eq(st.st_ino, first.st_ino, "level %d", i);
		}
	}
	close(fd);
}

TOOL_ON_EACH_BACKING(tool_tree, goes_deeper_than_a_path)
{
	struct command_result result;

	make_deep(place->dir);
	tool_run(place->dir, NULL, "copy -a t u", 0, &result);
	cr_expect_str_empty(result.err);
	check_deep(place->dir, "u");
}

TOOL_ON_EACH_BACKING(tool_tree, needs_few_descriptors)
{
	char script[TOOL_LINE];
	const char *tool = getenv("OFFLAY");

	make_deep(place->dir);
	tool_sh(place->dir,
		"mkdir w; cd w; mkdir $(seq 700); for i in *; do echo $i "
		">$i/f; done",
		NULL);
	cr_assert(tool);
	snprintf(script, sizeof(script),
		 "ulimit -n 400; '%s' copy -aq t u; '%s' copy -aq w x; "
		 "diff -r w x",
		 tool, tool);
	tool_sh(place->dir, script, NULL);
	check_deep(place->dir, "u");
}

/* Many threads' work, one name: every copy of it is whole. */
TOOL_ON_EACH_BACKING(tool_tree, hard_links_in_many_directories)
{
	tool_sh(place->dir,
		"mkdir t; cd t; mkdir $(seq 40); "
		"for n in a b c; do head -c 50000 /dev/urandom >1/$n; done; "
		"for i in $(seq 2 40); do cp -l 1/a 1/b 1/c $i; done",
		NULL);
	tool_run(place->dir, NULL, "copy -a t u", 0, NULL);
	tool_sh(place->dir,
		"for n in a b c; do test $(stat -c %h u/1/$n) = 40; "
		"cmp t/1/$n u/40/$n; done; diff -r t u",
		NULL);
}
