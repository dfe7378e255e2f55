// SPDX-License-Identifier: MIT
/* Programs that copy by read and write get clones; and which of them do not. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "accel.h"
#include "extents.h"
#include "sample.h"
#include "volume.h"

#define MIB   (1u << 20)
#define PIECE (128u << 10)
#define SIZE  (8 * MIB + 5000)

struct place {
	struct volume volume;
	char dir[PATH_MAX];
	struct mount mount;
};

static const enum backing backings[] = { BACKING_BTRFS, BACKING_XFS };

static void place_open(struct place *place, enum backing backing,
		       enum mount_mode mode, const char *options)
{
	if (!backing_is_selected(backing))
		volume_skip(backing_name(backing), "not selected");
	volume_get(backing, 0, &place->volume);
	volume_dir(&place->volume, "by-hand", place->dir);
	mount_open_mode(place->dir, mode, options, &place->mount);
}

/* A path on the mount, or below it; one of the last four. */
static const char *at(const char *dir, const char *name)
{
	static char paths[4][PATH_MAX + 64];
	static unsigned int last;
	char *path = paths[last++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void make_source(const struct place *place, const char *name,
			uint64_t size)
{
	int fd;

	sample_file(at(place->dir, name), size, 7);
	fd = open(at(place->dir, name), O_RDONLY);
	cr_assert_eq(fsync(fd), 0);
	close(fd);
}

/* All of it?  A program that stands still for 100 ms may lose a block or two. */
static bool is_shared(const struct place *place, const char *name)
{
	struct extent_usage usage;

	cr_assert_eq(extents_usage(at(place->dir, name), &usage), 0);
	return !usage.exclusive;
}

/* The whole file, or none of it. */
static void expect_shared(const struct place *place, const char *name,
			  bool shared, const char *row)
{
	const char *path = at(place->dir, name);
	struct extent_usage usage;
	uint64_t differ = 0;
	struct stat st;

	cr_assert_eq(sample_is_same(at(place->dir, "src"), path, &differ), 1,
		     "%s: differs at %llu", row, (unsigned long long)differ);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(extents_usage(path, &usage), 0);
	if (shared)
		cr_expect(usage.exclusive == 0 &&
				  usage.shared >= (uint64_t)st.st_size,
			  "%s: %llu bytes shared, %llu not", row,
			  (unsigned long long)usage.shared,
			  (unsigned long long)usage.exclusive);
	else
		cr_expect_eq(usage.shared, 0, "%s: %llu bytes shared", row,
			     (unsigned long long)usage.shared);
}

/* -------------------------------------------------------------- real programs */

static const struct {
	const char *name;
	const char *command; /* in the mount, with src and dst */
	bool shared;
	bool piped; /* by two processes: only where requests are quick */
} programs[] = {
	{ "cp", "cp --reflink=never src dst", true },
	{ "cp -p", "cp -p --reflink=never src dst", true },
	{ "dd 128K", "dd if=src of=dst bs=128K", true },
	{ "dd 1M", "dd if=src of=dst bs=1M", true },
	{ "dd over an old file", "dd if=src of=old bs=1M && mv old dst", true },
	{ "dd from stdin", "dd bs=256K <src >dst", true },
	{ "python3 copyfile",
	  "python3 -c 'import shutil; shutil.copyfile(\"src\", \"dst\")'",
	  true },
	{ "python3 copyfileobj",
	  "python3 -c 'import shutil; "
	  "shutil.copyfileobj(open(\"src\", \"rb\"), open(\"dst\", \"wb\"), "
	  "1 << 18)'",
	  true },
	{ "python3 read, then write",
	  "python3 -c 'd = open(\"src\", \"rb\").read(); "
	  "open(\"dst\", \"wb\").write(d)'",
	  true },
	/* What is made after a file was read says nothing of copies. */
	{ "python3, others first",
	  "python3 -c 'import shutil\n"
	  "open(\"src\", \"rb\").read()\n"
	  "for i in range(3): open(\"other\", \"wb\").write(b\"x\" * 300000)\n"
	  "shutil.copyfileobj(open(\"src\", \"rb\"), open(\"dst\", \"wb\"), "
	  "1 << 18)'",
	  true },
	{ "dd of what another has read",
	  "true; t=$(mktemp) && cp src $t && dd if=$t of=dst bs=1M && rm $t",
	  false },
	{ "rsync", "rsync --whole-file src dst", true },
	{ "dd 4K", "dd if=src of=dst bs=4K", true },
	{ "dd in odd pieces", "dd if=src of=dst bs=999", true },
	{ "tar", "mkdir -p x && tar c src | tar x -C x && mv x/src dst", true,
	  true },
	{ "dd, direct", "dd if=src of=dst bs=128K oflag=direct conv=notrunc",
	  false },
	{ "dd, synchronous", "dd if=src of=dst bs=1M oflag=dsync", false },
	{ "tr", "tr a-z A-Z <src >upper; cp src dst", true },
};

struct program_case {
	enum backing backing;
	enum mount_mode mode;
};

ParameterizedTestParameters(accel, shares_what_programs_copy)
{
	static const struct program_case cases[] = {
		{ BACKING_BTRFS, MODE_PASSTHROUGH },
		{ BACKING_BTRFS, MODE_NO_PASSTHROUGH },
		{ BACKING_XFS, MODE_PASSTHROUGH },
		{ BACKING_XFS, MODE_NO_PASSTHROUGH },
		{ BACKING_XFS, MODE_USER },
	};

	return cr_make_param_array(struct program_case, (void *)cases,
				   sizeof(cases) / sizeof(*cases));
}

static void run_program(const struct place *place, size_t i)
{
	const struct user *user = place->mount.uid ? &mount_user : NULL;
	bool is_quick = !user && sysconf(_SC_NPROCESSORS_ONLN) > 1;
	bool shared = programs[i].shared && (!programs[i].piped || is_quick);
	char command[PATH_MAX + 512], word[64];
	struct command_result result;
	char *argv[] = { "sh", "-c", command, NULL };

	snprintf(word, sizeof(word), "%s", programs[i].command);
	*strchrnul(word, ' ') = '\0';
	snprintf(command, sizeof(command), "command -v %s", word);
	if (command_run(argv, NULL, 10, NULL) != 0) {
		volume_note_skip(programs[i].name, "not installed");
		return;
	}
	snprintf(command, sizeof(command),
		 "cd %s && rm -f dst && echo old >old && %s",
		 place->mount.point, programs[i].command);
	for (int tries = 0; tries < 3; tries++) {
		cr_assert_eq(command_run(argv, user, 60, &result), 0, "%s: %s",
			     programs[i].name, result.err);
		if (!shared || is_shared(place, "dst"))
			break;
	}
	expect_shared(place, "dst", shared, programs[i].name);
}

ParameterizedTest(const struct program_case *param, accel,
		  shares_what_programs_copy, .timeout = 300)
{
	struct place place;

	place_open(&place, param->backing, param->mode, "accel");
	make_source(&place, "src", SIZE);
	if (param->mode == MODE_USER)
		cr_assert_eq(chown(at(place.dir, "src"), mount_user.uid,
				   mount_user.gid),
			     0);
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		run_program(&place, i);
	mount_close(&place.mount);
}

/* A container's first process may be of a group that is outside of it. */
Test(accel, shares_in_a_group_of_another_pid_namespace, .timeout = 120)
{
	struct command_result result;
	char script[4 * PATH_MAX];
	struct place place;

	place_open(&place, BACKING_BTRFS, MODE_PASSTHROUGH, "no_accel");
	make_source(&place, "src", SIZE);
	/* The mount is of the namespace, and goes with it. */
	snprintf(script, sizeof(script),
		 "'%s' '%s' '%s' && cd '%s' && cp --reflink=never src dst",
		 mount_daemon_path(), place.dir, place.mount.point,
		 place.mount.point);
	cr_assert_eq(COMMAND(&result, "unshare", "-p", "-f", "--mount-proc",
			     "--kill-child", "sh", "-c", script),
		     0, "%s", result.err);
	expect_shared(&place, "dst", true, "foreign group");
	mount_close(&place.mount);
}

/* -------------------------------------------------------------------- policy */

/* Reads and writes in pieces of 128 KiB, as a program of a name of its own. */
static void copy_as(const struct place *place, const char *program,
		    const char *from, const char *to)
{
	static char buf[128 << 10];
	int src, dst;
	ssize_t n;

	prctl(PR_SET_NAME, program);
	src = open(at(place->mount.point, from), O_RDONLY);
	dst = open(at(place->mount.point, to), O_WRONLY | O_CREAT | O_TRUNC,
		   0644);
	cr_assert(src >= 0 && dst >= 0);
	while ((n = read(src, buf, sizeof(buf))) > 0)
		cr_assert_eq(write(dst, buf, (size_t)n), n);
	cr_assert_eq(n, 0);
	close(src);
	close(dst);
}

static const struct {
	const char *name;
	const char *options;
	uint64_t size;
	bool hole, shared;
} policies[] = {
	{ "on", "accel", SIZE, false, true },
	{ "off", "no_accel", SIZE, false, false },
	{ "the smallest", "accel", 128 << 10, false, true },
	{ "too small", "accel", (128 << 10) - 1, false, false },
	{ "small enough by option", "accel,accel_min=64K", 64 << 10, false,
	  true },
	{ "too small by option", "accel,accel_min=9M", SIZE, false, false },
	{ "sparse", "accel", SIZE, true, false },
};

Test(accel, follows_the_options_of_the_mount, .timeout = 120)
{
	for (size_t i = 0; i < 2 * sizeof(policies) / sizeof(*policies); i++) {
		size_t row = i / 2;
		struct place place;
		int fd;

		if (!backing_is_selected(backings[i % 2]))
			continue;
		place_open(&place, backings[i % 2], MODE_PASSTHROUGH,
			   policies[row].options);
		make_source(&place, "src", policies[row].size);
		if (policies[row].hole) {
			fd = open(at(place.dir, "src"), O_RDWR);
			cr_assert_eq(fallocate(fd, 3, MIB, 65536), 0);
			fsync(fd);
			close(fd);
		}
		copy_as(&place, "copier", "src", "dst");
		expect_shared(&place, "dst", policies[row].shared,
			      policies[row].name);
		mount_close(&place.mount);
	}
}

/* Holes of a source that may be sparse are written, what is around shared. */
Test(accel, makes_no_holes)
{
	for (size_t i = 0; i < 2; i++) {
		struct extent_usage usage;
		struct place place;
		int fd;

		if (!backing_is_selected(backings[i]))
			continue;
		place_open(&place, backings[i], MODE_PASSTHROUGH,
			   "accel,deny=none");
		make_source(&place, "src", SIZE);
		fd = open(at(place.dir, "src"), O_RDWR);
		cr_assert_eq(fallocate(fd, 3, MIB, 65536), 0);
		cr_assert_eq(fsync(fd), 0);
		close(fd);
		copy_as(&place, "copier", "src", "dst");
		cr_assert_eq(sample_is_same(at(place.dir, "src"),
					    at(place.dir, "dst"), NULL),
			     1);
		cr_assert_eq(extents_usage(at(place.dir, "dst"), &usage), 0);
		cr_expect_eq(usage.exclusive, 128 << 10);
		cr_expect_eq(accel_first_hole(at(place.dir, "dst")), SIZE);
		mount_close(&place.mount);
	}
}

/* A header of whole blocks first, and something behind: a container. */
Test(accel, finds_a_source_that_was_moved_by_blocks)
{
	static char buf[256 << 10];

	for (size_t i = 0; i < 2; i++) {
		struct extent_usage usage;
		struct place place;
		int src, dst;
		ssize_t n;

		if (!backing_is_selected(backings[i]))
			continue;
		place_open(&place, backings[i], MODE_PASSTHROUGH, "accel");
		make_source(&place, "src", 8 * MIB);
		src = open(at(place.mount.point, "src"), O_RDONLY);
		dst = open(at(place.mount.point, "dst"), O_RDWR | O_CREAT,
			   0644);
		memset(buf, 'h', 12288);
		cr_assert_eq(write(dst, buf, 12288), 12288);
		while ((n = read(src, buf, sizeof(buf))) > 0)
			cr_assert_eq(write(dst, buf, (size_t)n), n);
		memset(buf, 't', 1000);
		cr_assert_eq(write(dst, buf, 1000), 1000);
		close(src);
		cr_assert_eq(extents_usage(at(place.dir, "dst"), &usage), 0);
		cr_expect_eq(usage.shared, 8 * MIB);
		/* XFS has more in store. */
		usage.exclusive -= usage.unwritten;
		cr_expect_eq(usage.exclusive, 4 * 4096, "%s: %llu",
			     backing_name(backings[i]),
			     (unsigned long long)usage.exclusive);
		for (uint64_t where = 0; where < 8 * MIB; where += 4096) {
			static char a[4096], b[4096];

			src = open(at(place.dir, "src"), O_RDONLY);
			cr_assert_eq(pread(src, a, 4096, (off_t)where), 4096);
			cr_assert_eq(pread(dst, b, 4096, (off_t)where + 12288),
				     4096);
			cr_assert_eq(memcmp(a, b, 4096), 0);
			close(src);
		}
		close(dst);
		mount_close(&place.mount);
	}
}

Test(accel, shares_nothing_while_the_source_may_be_written)
{
	for (size_t i = 0; i < 2; i++) {
		struct place place;
		int fd;

		if (!backing_is_selected(backings[i]))
			continue;
		place_open(&place, backings[i], MODE_PASSTHROUGH, "accel");
		make_source(&place, "src", SIZE);
		fd = open(at(place.dir, "src"), O_WRONLY);
		copy_as(&place, "copier", "src", "dst");
		expect_shared(&place, "dst", false, "writer below");
		close(fd);
		copy_as(&place, "copier", "src", "dst");
		expect_shared(&place, "dst", true, "no writer any more");
		mount_close(&place.mount);
	}
}

Test(accel, leaves_a_file_alone_that_is_copied_into_itself)
{
	static char buf[128 << 10], now[128 << 10];
	struct place place;
	int src, dst;

	place_open(&place, BACKING_XFS, MODE_PASSTHROUGH, "accel");
	make_source(&place, "src", SIZE);
	src = open(at(place.mount.point, "src"), O_RDONLY);
	cr_assert_eq(pread(src, buf, sizeof(buf), 0), sizeof(buf));
	dst = open(at(place.mount.point, "src"), O_RDWR | O_TRUNC);
	cr_assert_eq(pwrite(dst, buf, sizeof(buf), 0), sizeof(buf));
	cr_assert_eq(pwrite(dst, buf, sizeof(buf), sizeof(buf)), sizeof(buf));
	cr_assert_eq(pread(src, now, sizeof(now), sizeof(buf)), sizeof(now));
	cr_assert_eq(memcmp(buf, now, sizeof(now)), 0);
	close(src);
	close(dst);
	mount_close(&place.mount);
}

/* Shared extents would tell a user that he has guessed what root reads. */
static int copy_read_by_parent(void *arg)
{
	const struct place *place = arg;
	static char buf[PIECE];
	int below = open(at(place->dir, "src"), O_RDONLY);
	int dst = open(at(place->mount.point, "dst"), O_WRONLY | O_CREAT, 0644);
	ssize_t n;

	while ((n = read(below, buf, sizeof(buf))) > 0)
		if (write(dst, buf, (size_t)n) != n)
			return -EIO;
	return dst < 0 || n < 0 ? -errno : 0;
}

Test(accel, shares_nothing_with_what_another_user_has_open)
{
	const struct user user = { .uid = 4242, .gid = 4242 };
	struct place place;
	int src;

	for (size_t i = 0; i < 2; i++) {
		if (!backing_is_selected(backings[i]))
			continue;
		place_open(&place, backings[i], MODE_PASSTHROUGH, "accel");
		cr_assert_eq(chmod(place.dir, 0777), 0);
		make_source(&place, "src", SIZE);
		src = open(at(place.mount.point, "src"), O_RDONLY);
		cr_assert_eq(user_call(&user, copy_read_by_parent, &place, 60),
			     0);
		expect_shared(&place, "dst", false, "another user");
		cr_assert_eq(unlink(at(place.dir, "dst")), 0);
		cr_assert_eq(user_call(NULL, copy_read_by_parent, &place, 60),
			     0);
		expect_shared(&place, "dst", true, "the same user");
		close(src);
		mount_close(&place.mount);
	}
}

VOLUME_MAIN;
