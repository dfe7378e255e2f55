// SPDX-License-Identifier: MIT
/* Clones where a quota is used up, or the whole filesystem. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mount.h"
#include "offlay.h"
#include "process.h"
#include "sample.h"
#include "volume.h"

#define SIZE  (8u << 20)
#define FILES 4

static int open_at(const char *dir, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, dir, name);
	fd = open(path, flags | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

/* Each source is new to the subvolume, so that each clone counts. */
static void clone_each(const char *dir, const char *backing, int *ret_errs)
{
	int root = open_at(backing, ".", O_RDONLY | O_DIRECTORY);
	char name[] = "src0", to[] = "s/dst0";

	for (int i = 0; i < FILES; i++) {
		int src, dst;

		name[3] = to[5] = (char)('0' + i);
		src = open_at(dir, name, O_RDONLY);
		dst = open_at(dir, to, O_RDWR);
		ret_errs[i] = offlay_clone_range(src, 0, dst, 0, 0);
		/* The backing counts when it commits. */
		cr_assert_eq(syncfs(root), 0);
		close(src);
		close(dst);
	}
	close(root);
}

/* A subvolume "s" of 10 MiB at most with empty files, and sources above it. */
static void make_place(struct volume *volume, char *sub)
{
	char name[] = "src0", to[] = "s/dst0", path[PATH_MAX];

	volume_get_sized(BACKING_BTRFS, 0, 400ull << 20, NULL, volume);
	volume_path(sub, volume->root, "s");
	cr_assert_eq(COMMAND(NULL, "btrfs", "quota", "enable", volume->root),
		     0);
	cr_assert_eq(COMMAND(NULL, "btrfs", "subvolume", "create", sub), 0);
	for (int i = 0; i < FILES; i++) {
		name[3] = to[5] = (char)('0' + i);
		volume_path(path, volume->root, name);
		sample_file(path, SIZE, (uint64_t)i);
		close(open_at(volume->root, to, O_RDWR | O_CREAT));
	}
	cr_assert_eq(COMMAND(NULL, "btrfs", "quota", "rescan", "-w",
			     volume->root),
		     0);
	cr_assert_eq(COMMAND(NULL, "btrfs", "qgroup", "limit", "10M", sub), 0);
}

Test(clone_limits, a_quota_is_told_as_by_the_backing, .timeout = 60)
{
	int bare[FILES], mounted[FILES];
	char sub[PATH_MAX];

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("quota", "btrfs is not selected");
	for (int i = 0; i < 2; i++) {
		struct volume volume;
		struct mount mount;

		make_place(&volume, sub);
		if (i) {
			mount_open(volume.root, "profile=transparent", &mount);
			clone_each(mount.point, volume.root, mounted);
			mount_close(&mount);
		} else {
			clone_each(volume.root, volume.root, bare);
		}
		volume_free(&volume);
	}
	cr_expect_eq(bare[FILES - 1], -EDQUOT, "the quota does not bite");
	for (int i = 0; i < FILES; i++)
		cr_expect_eq(mounted[i], bare[i], "clone %d: %s, not %s", i,
			     strerror(-mounted[i]), strerror(-bare[i]));
}

/*
 * Clones of this file need metadata: it is made of many extents, each of one
 * block.  More of them would fill XFS before the test begins.
 */
static void make_fragments(const char *dir, unsigned int n)
{
	int src = open_at(dir, "src", O_RDONLY);
	int dst = open_at(dir, "fragments", O_RDWR | O_CREAT);

	for (unsigned int i = 0; i < n; i++)
		cr_assert_eq(offlay_clone_range(src, i % 2 * 8192ull, dst,
						i * 8192ull, 4096),
			     0);
	close(src);
	close(dst);
}

/* Smaller and smaller pieces, and again for what was set aside before. */
static void fill(const char *dir)
{
	static char data[1 << 20];

	memset(data, 'f', sizeof(data));
	for (int i = 0; i < 3; i++) {
		int fd = open_at(dir, "fill", O_WRONLY | O_CREAT | O_APPEND);

		for (size_t size = sizeof(data); size >= 4096; size /= 2)
			while (write(fd, data, size) == (ssize_t)size)
				;
		fsync(fd);
		syncfs(fd);
		close(fd);
	}
}

/* The kernel does not wait for a release, and XFS frees blocks in its time. */
static void wait_for_room(const char *dir)
{
	int fd = open_at(dir, ".", O_RDONLY | O_DIRECTORY);
	long long end = process_now_ms() + 10000;
	struct statvfs st;

	do {
		cr_assert_eq(syncfs(fd), 0);
		cr_assert_eq(fstatvfs(fd, &st), 0);
		if (st.f_bavail > st.f_blocks / 2)
			break;
		process_sleep_ms(50);
	} while (process_now_ms() < end);
	close(fd);
}

#define CLONES 400

/* Return: the first error of @n clones. */
static int clone_until_full(const char *dir, unsigned int n)
{
	int src = open_at(dir, "fragments", O_RDONLY), err = 0;
	char name[32];

	for (unsigned int i = 0; i < n && !err; i++) {
		int dst;

		snprintf(name, sizeof(name), "dst%u", i);
		dst = open_at(dir, name, O_RDWR);
		err = offlay_clone_range(src, 0, dst, 0, 0);
		close(dst);
	}
	close(src);
	return err;
}

static void make_full(enum backing backing, struct volume *volume)
{
	char path[PATH_MAX], name[32];

	/* The least that their mkfs takes. */
	volume_get_sized(backing, 0,
			 backing == BACKING_XFS ? 300ull << 20 : 120ull << 20,
			 NULL, volume);
	volume_path(path, volume->root, "src");
	sample_file(path, 65536, 1);
	make_fragments(volume->root, backing == BACKING_XFS ? 100 : 3000);
	for (unsigned int i = 0; i < CLONES; i++) {
		snprintf(name, sizeof(name), "dst%u", i);
		close(open_at(volume->root, name, O_RDWR | O_CREAT));
	}
	fill(volume->root);
}

static void clone_on_full(enum backing backing)
{
	char fragments[PATH_MAX], last[PATH_MAX], path[PATH_MAX];
	struct volume volume;
	struct mount mount;
	uint64_t at;

	make_full(backing, &volume);
	cr_expect_eq(clone_until_full(volume.root, CLONES), -ENOSPC,
		     "bare %s is not full", backing_name(backing));
	volume_free(&volume);

	make_full(backing, &volume);
	mount_open(volume.root, "profile=transparent", &mount);
	cr_expect_eq(clone_until_full(mount.point, CLONES), -ENOSPC, "%s",
		     backing_name(backing));
	/*
	 * Nothing is lost, and with room it goes on.  On btrfs the room that a
	 * file leaves is not for metadata before somebody balances it.
	 */
	if (backing == BACKING_XFS) {
		volume_path(path, mount.point, "fill");
		cr_assert_eq(unlink(path), 0);
		wait_for_room(volume.root);
		cr_expect_eq(clone_until_full(mount.point, CLONES), 0);
	}
	volume_path(fragments, volume.root, "fragments");
	volume_path(last, mount.point, "dst0");
	cr_expect_eq(sample_is_same(fragments, last, &at), 1);
	mount_close(&mount);
	volume_free(&volume);
}

Test(clone_limits, a_full_backing_is_told_as_by_the_backing, .timeout = 120)
{
	if (backing_is_selected(BACKING_BTRFS))
		clone_on_full(BACKING_BTRFS);
	if (backing_is_selected(BACKING_XFS))
		clone_on_full(BACKING_XFS);
}
