/* SPDX-License-Identifier: MIT */
/* Many files with few descriptors, and what a remembered inode costs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mount.h"
#include "sample.h"
#include "volume.h"

#define PER_DIR 500
#define N_OPEN	900
/* What the kernel does not need is asked back within this time. */
#define FORGET_TIMEOUT_MS 20000

static void make_files(const char *dir, unsigned long n)
{
	char path[PATH_MAX], name[32];

	for (unsigned long i = 0; i < n; i++) {
		if (i % PER_DIR == 0) {
			snprintf(name, sizeof(name), "%04lu", i / PER_DIR);
			volume_path(path, dir, name);
			cr_assert(mkdir(path, 0755) == 0, "%s: %s", path,
				  strerror(errno));
		}
		snprintf(name, sizeof(name), "%04lu/%03lu", i / PER_DIR,
			 i % PER_DIR);
		volume_path(path, dir, name);
		cr_assert(mknod(path, S_IFREG | 0644, 0) == 0, "%s: %s", path,
			  strerror(errno));
	}
}

static void mount_limited(const char *source, const struct user *user,
			  struct mount *ret_mount)
{
	struct mount_spec spec = { .user = user, .nofile = 1024 };

	if (mount_start(source, &spec, ret_mount) != 0) {
		mount_print_log(ret_mount);
		cr_assert_fail("offlayfs with 1024 descriptors did not mount");
	}
}

static unsigned long count_descriptors(const struct mount *mount)
{
	char command[64];
	struct command_result result;

	snprintf(command, sizeof(command), "ls /proc/%d/fd | wc -l",
		 (int)mount->pid);
	COMMAND(&result, "sh", "-c", command);
	return strtoul(result.out, NULL, 10);
}

/* Run a shell command with the mount point as $1; its output is a number. */
static unsigned long run_and_count(char *command, struct mount *mount,
				   const struct user *user)
{
	struct command_result result;
	char *argv[] = { "sh", "-c", command, "sh", mount->point, NULL };

	command_run(argv, user, 900, &result);
	cr_assert_eq(result.status, 0, "%s: %s", command, result.err);
	cr_assert_str_empty(result.err, "%s: %s", command, result.err);
	return strtoul(result.out, NULL, 10);
}

static void listing(enum backing backing, const struct user *user)
{
	unsigned long n = sample_amount(2000, 20000, 100000);
	unsigned long n_dirs = n / PER_DIR;
	char source[PATH_MAX];
	struct volume volume;
	struct mount mount;

	volume_get(backing, 0, &volume);
	volume_dir(&volume, "source", source);
	make_files(source, n);
	if (user)
		cr_assert(chown(source, user->uid, user->gid) == 0);
	mount_limited(source, user, &mount);
	cr_expect_eq(run_and_count("find \"$1\" | wc -l", &mount, user),
		     n + n_dirs + 1);
	cr_expect_eq(run_and_count("ls -lR \"$1\" | grep -c '^[-d]'", &mount,
				   user),
		     n + n_dirs);
	fprintf(stderr, "%lu files seen, %lu descriptors used\n", n,
		count_descriptors(&mount));
	mount_close(&mount);
}

Test(limits, lists_many_files_with_1024_descriptors, .timeout = 900)
{
	for (int i = 0; i < BACKING_COUNT; i++)
		/* Their file handles are made in three different ways. */
		if (backing_is_selected(i) && i != BACKING_EXT4)
			listing(i, NULL);
}

/* Nothing but descriptors there: no file handles without privileges. */
Test(limits, lists_many_files_for_an_unprivileged_user, .timeout = 900)
{
	const char *missing = mode_missing(MODE_USER);

	if (missing)
		volume_skip("user", "%s", missing);
	listing(BACKING_EXT4, &mount_user);
}

static int open_many(void *arg)
{
	const char *point = arg;
	struct rlimit limit = { 4096, 4096 };
	static int fds[N_OPEN];
	char path[PATH_MAX], text[16] = "";

	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < N_OPEN; i++) {
		snprintf(path, sizeof(path), "%s/open-%d", point, i);
		fds[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (fds[i] < 0) {
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			return -errno;
		}
	}
	for (int i = 0; i < N_OPEN; i++) {
		snprintf(text, sizeof(text), "file %d", i);
		if (pwrite(fds[i], text, sizeof(text), 0) != sizeof(text))
			return -errno;
	}
	/* While they are open, everything else goes on. */
	snprintf(path, sizeof(path), "%s/other", point);
	if (mkdir(path, 0755) != 0 || rmdir(path) != 0)
		return -errno;
	for (int i = 0; i < N_OPEN; i++) {
		char expected[16] = "";

		snprintf(expected, sizeof(expected), "file %d", i);
		if (pread(fds[i], text, sizeof(text), 0) != sizeof(text) ||
		    memcmp(text, expected, sizeof(text)) != 0)
			return -EIO;
		close(fds[i]);
	}
	return 0;
}

static void opening(enum backing backing, const struct user *user)
{
	char source[PATH_MAX];
	struct volume volume;
	struct mount mount;
	int err;

	volume_get(backing, 0, &volume);
	volume_dir(&volume, "source", source);
	make_files(source, 2000);
	if (user)
		cr_assert(chown(source, user->uid, user->gid) == 0);
	mount_limited(source, user, &mount);
	/* With its cache of descriptors filled before. */
	run_and_count("ls -lR \"$1\" | wc -l", &mount, user);
	err = user_call(user, open_many, mount.point, 60);
	cr_expect(err == 0, "%d files open: %s", N_OPEN, errno_name(err));
	mount_close(&mount);
}

Test(limits, opens_900_files_with_1024_descriptors, .timeout = 120)
{
	opening(BACKING_EXT4, NULL);
	opening(BACKING_TMPFS, NULL);
}

Test(limits, opens_900_files_for_an_unprivileged_user, .timeout = 120)
{
	const char *missing = mode_missing(MODE_USER);

	if (missing)
		volume_skip("user", "%s", missing);
	opening(BACKING_EXT4, &mount_user);
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	cr_assert(fd >= 0 && write(fd, "2", 1) == 1);
	close(fd);
}

/* design.md: at most 256 bytes an inode, which the daemon gives back. */
Test(limits, remembers_an_inode_in_256_bytes, .timeout = 3000)
{
	unsigned long n = sample_amount(5000, 40000, 1000000);
	long before, full, after = 0, per_inode;
	char source[PATH_MAX];
	struct volume volume;
	struct mount mount;

	/* tmpfs pins what it holds, so a volume of its own, with room. */
	volume_get_sized(BACKING_TMPFS, 0, 4ull << 30, "nr_inodes=1100000",
			 &volume);
	volume_dir(&volume, "source", source);
	mount_open(source, NULL, &mount);
	run_and_count("ls -lR \"$1\" | wc -l", &mount, NULL);
	make_files(source, n);
	process_sleep_ms(1200);
	before = mount_rss_kib(&mount);
	cr_expect_eq(
		run_and_count("find \"$1\" -size -1 | wc -l", &mount, NULL), n);
	full = mount_rss_kib(&mount);
	for (int ms = 0; ms < FORGET_TIMEOUT_MS; ms += 500) {
		drop_caches();
		process_sleep_ms(500);
		after = mount_rss_kib(&mount);
		if (after < before + (full - before) / 4 + 1024)
			break;
	}
	/* 2 MiB for stacks of threads and the like, which come once. */
	per_inode = (full - before - 2048) * 1024 / (long)n;
	fprintf(stderr,
		"%lu inodes: %ld KiB before, %ld with them, %ld after; %ld "
		"bytes each\n",
		n, before, full, after, per_inode);
	cr_expect(per_inode <= 256, "%ld bytes an inode", per_inode);
	cr_expect(after < before + (full - before) / 4 + 1024,
		  "memory fell from %ld to %ld KiB only", full, after);
	mount_close(&mount);
	volume_free(&volume);
}

VOLUME_MAIN;
