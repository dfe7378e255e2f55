// SPDX-License-Identifier: MIT
/* Small writes of a copy are gathered, and nobody can tell. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "accel_scene.h"
#include "sample.h"

/* ------------------------------------------------------- who looks, and sees */

static void look_by_stat(struct scene *scene)
{
	char path[PATH_MAX];
	struct stat st;

	scene_path(scene, path, "dst");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq((uint64_t)st.st_size, scene->at);
	cr_expect_eq((uint64_t)st.st_blocks * 512 > 0, true);
}

static void look_by_fstat(struct scene *scene)
{
	struct stat st;

	cr_assert_eq(fstat(scene->dst, &st), 0);
	cr_expect_eq((uint64_t)st.st_size, scene->at);
}

static void look_by_read(struct scene *scene)
{
	char path[PATH_MAX];

	scene_path(scene, path, "dst");
	scene_expect_start(scene, open(path, O_RDONLY), "reader");
}

static void look_by_other_mount(struct scene *scene)
{
	char path[PATH_MAX];

	volume_path(path, scene->other.point, "dst");
	scene_expect_start(scene, open(path, O_RDONLY),
			   "reader by another mount");
}

static void look_by_mapping(struct scene *scene)
{
	char path[PATH_MAX];
	unsigned char *map;
	int fd;

	scene_path(scene, path, "dst");
	fd = open(path, O_RDONLY);
	map = mmap(NULL, scene->at, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	cr_assert_neq(map, MAP_FAILED);
	cr_expect_eq(memcmp(map, scene->buf, scene->at), 0);
	munmap(map, scene->at);
}

static void look_after_fsync(struct scene *scene)
{
	char path[PATH_MAX];
	struct stat st;

	cr_assert_eq(fsync(scene->dst), 0);
	volume_path(path, scene->dir, "dst");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq((uint64_t)st.st_size, scene->at);
}

static void look_after_close(struct scene *scene)
{
	char path[PATH_MAX];
	struct stat st;

	/* Any close(2) will do. */
	cr_assert_eq(close(dup(scene->dst)), 0);
	volume_path(path, scene->dir, "dst");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq((uint64_t)st.st_size, scene->at);
}

static void look_by_seek(struct scene *scene)
{
	cr_expect_eq(lseek(scene->dst, 0, SEEK_END), (off_t)scene->at);
	cr_expect_eq(lseek(scene->dst, 0, SEEK_HOLE), (off_t)scene->at);
	cr_expect_eq(lseek(scene->dst, 0, SEEK_END), (off_t)scene->at);
}

static void look_by_copy(struct scene *scene)
{
	char path[PATH_MAX];
	off_t from = 0;
	int fd, to;

	scene_path(scene, path, "dst");
	fd = open(path, O_RDONLY);
	scene_path(scene, path, "copy");
	to = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	while (copy_file_range(fd, &from, to, NULL, SIZE, 0) > 0)
		;
	close(fd);
	scene_expect_start(scene, to, "copy");
}

static void look_after_truncation(struct scene *scene)
{
	char path[PATH_MAX];

	scene_path(scene, path, "dst");
	scene->at -= 1000;
	cr_assert_eq(truncate(path, (off_t)scene->at), 0);
	cr_assert_eq(lseek(scene->dst, (off_t)scene->at, SEEK_SET),
		     (off_t)scene->at);
	look_by_read(scene);
}

static void look_after_truncation_below(struct scene *scene)
{
	char path[PATH_MAX];

	volume_path(path, scene->dir, "dst");
	scene->at -= 1000;
	cr_assert_eq(truncate(path, (off_t)scene->at), 0);
	cr_assert_eq(lseek(scene->dst, (off_t)scene->at, SEEK_SET),
		     (off_t)scene->at);
	look_by_read(scene);
}

/* What was written before chmod(2) must not take away what that gives. */
static void look_after_chmod(struct scene *scene)
{
	struct stat st;

	cr_assert_eq(fchmod(scene->dst, 06755), 0);
	look_by_stat(scene);
	cr_assert_eq(fstat(scene->dst, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 06755u);
	cr_assert_eq(fchmod(scene->dst, 0644), 0);
}

static void look_at_times(struct scene *scene)
{
	const struct timespec times[2] = { { 1000, 0 }, { 2000, 0 } };
	struct stat st;

	cr_assert_eq(futimens(scene->dst, times), 0);
	usleep(50000);
	cr_assert_eq(fstat(scene->dst, &st), 0);
	cr_expect_eq(st.st_mtime, 2000, "a write after that: %lld",
		     (long long)st.st_mtime);
}

static void look_by_link(struct scene *scene)
{
	char path[PATH_MAX], linked[PATH_MAX];
	struct stat st;

	scene_path(scene, path, "dst");
	scene_path(scene, linked, "linked");
	unlink(linked);
	cr_assert_eq(link(path, linked), 0);
	cr_assert_eq(stat(linked, &st), 0);
	cr_expect_eq((uint64_t)st.st_size, scene->at);
	unlink(linked);
}

static void look_after_rename(struct scene *scene)
{
	char path[PATH_MAX], moved[PATH_MAX];

	scene_path(scene, path, "dst");
	scene_path(scene, moved, "moved");
	cr_assert_eq(rename(path, moved), 0);
	cr_assert_eq(rename(moved, path), 0);
	scene_look_below(scene);
}

static void look_by_listing(struct scene *scene)
{
	DIR *dir = opendir(scene->mount.point);
	struct dirent *entry;
	struct stat st;

	cr_assert(dir);
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, "dst"))
			continue;
		cr_assert_eq(fstatat(dirfd(dir), "dst", &st, 0), 0);
		cr_expect_eq((uint64_t)st.st_size, scene->at);
	}
	closedir(dir);
}

static void look_after_a_while(struct scene *scene)
{
	char path[PATH_MAX];
	struct stat st;

	usleep(200000);
	volume_path(path, scene->dir, "dst");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq((uint64_t)st.st_size, scene->at);
}

static const struct {
	const char *name;
	void (*look)(struct scene *scene);
	bool waited_for; /* nothing is gathered for a while then */
} looks[] = {
	{ "stat", look_by_stat },
	{ "fstat", look_by_fstat },
	{ "read", look_by_read },
	{ "read of the backing", scene_look_below, true },
	{ "read by another mount", look_by_other_mount, true },
	{ "mmap", look_by_mapping },
	{ "fsync", look_after_fsync },
	{ "close", look_after_close },
	{ "lseek", look_by_seek },
	{ "copy_file_range", look_by_copy },
	{ "truncate", look_after_truncation },
	{ "truncate of the backing", look_after_truncation_below, true },
	{ "fchmod", look_after_chmod },
	{ "futimens", look_at_times },
	{ "link", look_by_link },
	{ "rename", look_after_rename },
	{ "readdir", look_by_listing },
	{ "time", look_after_a_while },
};

static void look_in_every_way(struct scene *scene)
{
	for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++) {
		unsigned int gathered = 0;

		scene_copy_begin(scene);
		for (unsigned int pieces = 1; pieces < 100; pieces += 13) {
			scene_copy_some(scene, pieces % 20 + 1);
			gathered += scene_is_gathered(scene);
			looks[i].look(scene);
			/* For what was open to be closed, at least. */
			usleep(looks[i].waited_for ? 220000 : 2000);
		}
		/* Often: it may have waited for too long, or be shared. */
		cr_expect_geq(gathered, 3u, "%s, %zu: %u", looks[i].name,
			      scene->piece, gathered);
		scene_look_below(scene);
		scene_copy_end(scene);
	}
}

static void look_at_large_ones(struct scene *scene)
{
	scene->piece = LARGE;
	look_in_every_way(scene);
}

Test(accel_gather, shows_what_was_written, .timeout = 120)
{
	scene_on_each(look_in_every_way);
	scene_on_each(look_at_large_ones);
}

/* ------------------------------------------------------------------ its errors */

/* As a child's end does; the program itself must learn of it, too. */
static int look_at_a_duplicate(int dst)
{
	char byte = 0;
	int err;

	if (close(dup(dst)) == 0)
		return 0;
	err = errno;
	cr_expect_eq(fsync(dst), -1);
	cr_expect_eq(errno, err);
	cr_expect_eq(write(dst, &byte, 1), -1);
	cr_expect_eq(errno, err);
	cr_expect_eq(fsync(dst), -1);
	return err;
}

static int write_all(int fd, const char *data, size_t size)
{
	ssize_t n;

	for (; size; data += n, size -= (size_t)n) {
		n = write(fd, data, size);
		if (n < 0)
			return errno;
	}
	return 0;
}

/* Copies of which an answered write was lost. */
static unsigned int n_lost;

/* Until it fails, at the latest when it is closed; returns with what. */
static int copy_until_full(const char *src_path, const char *dst_path,
			   size_t piece)
{
	static char buf[1 << 20];
	int src = open(src_path, O_RDONLY);
	int dst = open(dst_path, O_WRONLY | O_CREAT, 0644);
	int err = 0, lost = 0;
	ssize_t n;

	cr_assert(src >= 0 && dst >= 0);
	for (int i = 1; !err && (n = read(src, buf, piece)) > 0; i++) {
		err = write_all(dst, buf, (size_t)n);
		if (!err && piece == 10240 && i % 40 == 0)
			err = lost = look_at_a_duplicate(dst);
	}
	if (close(dst) == 0)
		cr_expect_eq(lost, 0);
	else if (!err)
		err = errno;
	n_lost += lost != 0;
	close(src);
	return err;
}

static void expect_prefix(const char *src, const char *dst)
{
	static unsigned char want[10240], now[10240];
	int want_fd = open(src, O_RDONLY), now_fd = open(dst, O_RDONLY);
	ssize_t n;

	while ((n = read(now_fd, now, sizeof(now))) > 0) {
		cr_assert_eq(read(want_fd, want, (size_t)n), n);
		cr_assert_eq(memcmp(want, now, (size_t)n), 0);
	}
	close(want_fd);
	close(now_fd);
}

#define QUOTA_SIZE (32ll << 20)

/* Into a subvolume of its own, with a limit far below the source's size. */
static void copy_into_a_quota(const struct volume *volume,
			      const struct mount *mount, const char *name,
			      size_t piece)
{
	bool uncounted = piece > 10240 && strcmp(name, "holes");
	char sub[PATH_MAX], src[PATH_MAX], dst[PATH_MAX], sub_name[32];
	struct stat st;
	int err;

	snprintf(sub_name, sizeof(sub_name), "%s%zu", name, piece);
	volume_path(sub, volume->root, sub_name);
	cr_assert_eq(COMMAND(NULL, "btrfs", "subvolume", "create", sub), 0);
	cr_assert_eq(COMMAND(NULL, "btrfs", "qgroup", "limit", "6M", sub), 0);
	volume_path(src, mount->point, name);
	volume_path(sub, mount->point, sub_name);
	volume_path(dst, sub, "dst");
	err = copy_until_full(src, dst, piece);
	cr_assert_eq(stat(dst, &st), 0);
	/* btrfs counts clones only with the next commit; holes are written. */
	cr_expect(err == EDQUOT ||
			  (!err && uncounted && st.st_size == QUOTA_SIZE),
		  "%s, %zu: %s, size %lld", name, piece, errno_name(err),
		  (long long)st.st_size);
	expect_prefix(src, dst);
}

/* Nothing stands where a write has failed, and the writer knows of it. */
Test(accel_gather, tells_of_a_quota, .timeout = 60)
{
	static const size_t pieces[] = { 10240, 128 << 10, 1 << 20 };
	struct volume volume;
	struct mount mount;
	char src[PATH_MAX];

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("quota", "btrfs is not selected");
	volume_get_sized(BACKING_BTRFS, 0, 400ull << 20, NULL, &volume);
	cr_assert_eq(COMMAND(NULL, "btrfs", "quota", "enable", volume.root), 0);
	volume_path(src, volume.root, "src");
	sample_file(src, QUOTA_SIZE, 1);
	volume_path(src, volume.root, "holes");
	sample_file(src, 1 << 20, 2);
	cr_assert_eq(truncate(src, QUOTA_SIZE), 0);
	sync();
	cr_assert_eq(COMMAND(NULL, "btrfs", "quota", "rescan", "-w",
			     volume.root),
		     0);
	mount_open(volume.root, "profile=transparent", &mount);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
		for (int holes = 0; holes < 2; holes++)
			copy_into_a_quota(&volume, &mount,
					  holes ? "holes" : "src", pieces[i]);
	cr_expect_gt(n_lost, 0);
	mount_close(&mount);
	volume_free(&volume);
}
