// SPDX-License-Identifier: MIT
/* Clones into a subvolume that has used up its quota. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
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
