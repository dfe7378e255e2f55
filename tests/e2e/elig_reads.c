// SPDX-License-Identifier: MIT
/* Ineligible files are read by the daemon: their block size says so. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elig_files.h"
#include "mount.h"

#define SLOW (128 << 10)
#define SIZE (64 << 20)

static void make_sparse(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(ftruncate(fd, SIZE), 0);
	cr_assert_eq(pwrite(fd, "end", 3, SIZE - 3), 3);
	close(fd);
}

static blksize_t block_of(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	volume_path(path, dir, name);
	cr_assert_eq(stat(path, &st), 0, "%s", path);
	return st.st_blksize;
}

/* By the open file, whatever was known before. */
static blksize_t block_of_open(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	volume_path(path, dir, name);
	cr_assert_eq(stat(path, &st), 0, "%s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(fstat(fd, &st), 0);
	close(fd);
	return st.st_blksize;
}

static void open_place(const struct volume *volume, const char *options,
		       char *dir, struct mount *mount)
{
	char path[PATH_MAX];

	volume_dir(volume, "reads", dir);
	make_sparse(dir, "sparse");
	make_sparse(dir, "same");
	volume_path(path, dir, "full");
	elig_fill(path, 1 << 20, 3);
	mount_open_mode(dir, MODE_PASSTHROUGH, options, mount);
}

Test(elig_reads, sparse_files_have_large_blocks, .timeout = 60)
{
	char dir[PATH_MAX];
	struct volume volume;
	struct mount mount;

	for (int i = 0; i < BACKING_TMPFS; i++) {
		if (!backing_is_selected(i))
			continue;
		volume_get(i, 0, &volume);
		open_place(&volume, NULL, dir, &mount);
		cr_expect_eq(block_of(mount.point, "sparse"), SLOW, "%s",
			     backing_name(i));
		cr_expect_eq(block_of_open(mount.point, "sparse"), SLOW, "%s",
			     backing_name(i));
		cr_expect_eq(block_of_open(mount.point, "full"),
			     block_of(dir, "full"), "%s", backing_name(i));
		mount_close(&mount);
		open_place(&volume, "deny=none", dir, &mount);
		cr_expect_eq(block_of_open(mount.point, "sparse"),
			     block_of(dir, "sparse"), "%s", backing_name(i));
		mount_close(&mount);
	}
}

/* Here only open(2) finds out. */
Test(elig_reads, files_with_compressed_extents_have_large_blocks, .timeout = 60)
{
	static const char row[] = "compressible data, mount -o compress";
	char dir[PATH_MAX], path[PATH_MAX];
	struct volume volume;
	struct mount mount;

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("btrfs", "not selected");
	elig_volume(BACKING_BTRFS, &volume);
	volume_dir(&volume, "reads", dir);
	volume_path(path, dir, "file");
	cr_assert_eq(elig_make(&volume, row, path), 0);
	mount_open_mode(dir, MODE_PASSTHROUGH, NULL, &mount);
	cr_expect_eq(block_of(mount.point, "file"), block_of(dir, "file"));
	cr_expect_eq(block_of_open(mount.point, "file"), SLOW);
	mount_close(&mount);
}
