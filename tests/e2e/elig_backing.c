// SPDX-License-Identifier: MIT
/* Files that the backing itself keeps from being copied: as it says it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "elig_files.h"
#include "mount.h"
#include "process.h"
#include "sample.h"

#define SIZE (1 << 20)

static const char *const option_sets[] = { NULL, "deny=none", "refuse=copy",
					   "offload=clone" };

struct place {
	struct volume volume;
	struct mount mount;
	const char *options;
	char dir[PATH_MAX]; /* on the backing */
	char say[96];
};

/* In each backing, open mode, and set of options. */
static void in_each(enum backing backing, void (*each)(struct place *place))
{
	static const enum mount_mode modes[] = { MODE_PASSTHROUGH,
						 MODE_NO_PASSTHROUGH };
	struct place place;

	if (!backing_is_selected(backing))
		volume_skip(backing_name(backing), "not selected");
	volume_get(backing, 0, &place.volume);
	for (int i = 0; i < 2 * (int)(sizeof(option_sets) / sizeof(char *));
	     i++) {
		place.options = option_sets[i / 2];
		snprintf(place.say, sizeof(place.say), "%s, %s, -o %s",
			 backing_name(backing), mode_name(modes[i % 2]),
			 place.options ? place.options : "(none)");
		volume_dir(&place.volume, "backing", place.dir);
		mount_open_mode(place.dir, modes[i % 2], place.options,
				&place.mount);
		each(&place);
		mount_close(&place.mount);
		COMMAND(NULL, "rm", "-rf", place.dir);
	}
}

static bool only_clones(const struct place *place)
{
	return place->options && !strcmp(place->options, "offload=clone");
}

static int open_at(const char *dir, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, dir, name);
	fd = open(path, flags | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

static void make(const struct place *place, const char *name, uint64_t seed)
{
	char path[PATH_MAX];

	volume_path(path, place->dir, name);
	elig_fill(path, SIZE, (unsigned char)seed);
}

static ssize_t copy(int in, int out)
{
	off_t from = 0, to = 0;
	ssize_t n = copy_file_range(in, &from, out, &to, SIZE, 0);

	return n < 0 ? -errno : n;
}

static bool is_same(const struct place *place, const char *a, const char *b)
{
	char path_a[PATH_MAX], path_b[PATH_MAX];

	volume_path(path_a, place->dir, a);
	volume_path(path_b, place->dir, b);
	return sample_is_same(path_a, path_b, NULL) == 1;
}

/* The tool names the reason, on the mount and off it. */
static void check_explained(const struct place *place, const char *name,
			    const char *reason)
{
	const char *const dirs[] = { place->dir, place->mount.point };
	struct command_result result;
	char path[PATH_MAX], word[32];

	snprintf(word, sizeof(word), "(%s: ", reason);
	for (int i = 0; i < 2; i++) {
		volume_path(path, dirs[i], name);
		COMMAND(&result, (char *)mount_tool_path(), "explain", path);
		cr_expect_eq(result.status, 1, "%s: %s", place->say, path);
		cr_expect(strstr(result.out, word), "%s: no %s in %s",
			  place->say, word, result.out);
	}
}

/* ---------------------------------------------- chattr +i and chattr +a */

/* Sets one of the two, or none of them. */
static bool set_flag(const struct place *place, const char *name, int flag)
{
	int fd = open_at(place->dir, name, O_RDONLY), flags = 0;
	bool set;

	set = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
	flags = (flags & ~(FS_IMMUTABLE_FL | FS_APPEND_FL)) | flag;
	set = set && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
	close(fd);
	return set;
}

/* A descriptor from before stays open for writing, and the VFS says EPERM. */
static void copy_to_immutable(struct place *place)
{
	int src, dst, native_src, native_dst;

	make(place, "src", 1);
	make(place, "dst", 2);
	make(place, "before", 2);
	src = open_at(place->mount.point, "src", O_RDONLY);
	dst = open_at(place->mount.point, "dst", O_RDWR);
	native_src = open_at(place->dir, "src", O_RDONLY);
	native_dst = open_at(place->dir, "dst", O_RDWR);
	if (!set_flag(place, "dst", FS_IMMUTABLE_FL)) {
		volume_note_skip(place->say, "no chattr +i here");
	} else {
		cr_expect_eq(copy(native_src, native_dst), -EPERM);
		cr_expect_eq(copy(src, dst), -EPERM, "%s", place->say);
		check_explained(place, "dst", "immutable");
		cr_assert(set_flag(place, "dst", 0));
		cr_expect(is_same(place, "dst", "before"), "%s", place->say);
		/* As a source it is like any other. */
		cr_assert(set_flag(place, "src", FS_IMMUTABLE_FL));
		cr_expect_eq(copy(src, dst),
			     only_clones(place) &&
					     !backing_has_reflink(
						     place->volume.backing)
				     ? -EOPNOTSUPP
				     : SIZE,
			     "%s", place->say);
		cr_assert(set_flag(place, "src", 0));
	}
	close(src);
	close(dst);
	close(native_src);
	close(native_dst);
}

/* Opened to append: EBADF.  Opened before: as the backing has it. */
static void copy_to_append_only(struct place *place)
{
	bool declines = only_clones(place) &&
			!backing_has_reflink(place->volume.backing);
	int src, dst, append;

	make(place, "src", 1);
	make(place, "dst", 2);
	src = open_at(place->mount.point, "src", O_RDONLY);
	dst = open_at(place->mount.point, "dst", O_RDWR);
	if (!set_flag(place, "dst", FS_APPEND_FL)) {
		volume_note_skip(place->say, "no chattr +a here");
	} else {
		append =
			open_at(place->mount.point, "dst", O_WRONLY | O_APPEND);
		cr_expect_eq(copy(src, append), -EBADF, "%s", place->say);
		close(append);
		check_explained(place, "dst", "append-only");
		cr_expect_eq(copy(src, dst), declines ? -EOPNOTSUPP : SIZE,
			     "%s", place->say);
		cr_assert(set_flag(place, "dst", 0));
		cr_expect_eq(is_same(place, "src", "dst"), !declines, "%s",
			     place->say);
	}
	close(src);
	close(dst);
}

/* ----------------------------------------------------------- swap space */

/* What mkswap(8) wants: data, no holes and, on btrfs, NOCOW. */
static bool swap_on(const struct place *place, char *path)
{
	char data[ELIG_BLOCK];
	int flags = FS_NOCOW_FL, fd;

	volume_path(path, place->dir, "swap");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	if (place->volume.backing == BACKING_BTRFS)
		cr_assert_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	memset(data, 's', sizeof(data));
	for (off_t at = 0; at < SIZE; at += ELIG_BLOCK)
		cr_assert_eq(pwrite(fd, data, ELIG_BLOCK, at), ELIG_BLOCK);
	cr_assert_eq(fsync(fd), 0);
	close(fd);
	return COMMAND(NULL, "mkswap", path) == 0 && swapon(path, 0) == 0;
}

static void copy_swap(struct place *place)
{
	int src, dst, swap, native_src, native_swap;
	char path[PATH_MAX];

	make(place, "file", 1);
	if (!swap_on(place, path)) {
		volume_note_skip(place->say, "no swap files here");
		return;
	}
	src = open_at(place->mount.point, "file", O_RDONLY);
	dst = open_at(place->mount.point, "file", O_RDWR);
	check_explained(place, "swap", "swap-file");
	native_src = open_at(place->dir, "file", O_RDONLY);
	native_swap = open_at(place->dir, "swap", O_RDWR);
	swap = open_at(place->mount.point, "swap", O_RDWR);
	cr_expect_eq(copy(native_src, native_swap), -ETXTBSY);
	cr_expect_eq(copy(native_swap, native_src), -EBADF);
	cr_expect_eq(copy(src, swap),
		     only_clones(place) ? -EOPNOTSUPP : -ETXTBSY,
		     "%s: as destination", place->say);
	/* What swap space holds now can be read, by whoever wants that. */
	cr_expect_eq(copy(swap, dst), only_clones(place) ? -EOPNOTSUPP : SIZE,
		     "%s: as source", place->say);
	close(swap);
	close(native_src);
	close(native_swap);
	cr_assert_eq(swapoff(path), 0, "%s: %s", path, strerror(errno));
	close(src);
	close(dst);
}

/* ---------------------------------------------------- two filesystems */

static void copy_across(struct place *place)
{
	char sub[PATH_MAX];
	int src, dst;

	volume_path(sub, place->dir, "sub");
	cr_assert_eq(mkdir(sub, 0755), 0);
	cr_assert_eq(mount("other", sub, "tmpfs", 0, NULL), 0, "%s",
		     strerror(errno));
	make(place, "src", 1);
	make(place, "sub/dst", 2);
	make(place, "sub/src", 3);
	make(place, "dst", 4);
	for (int i = 0; i < 2; i++) {
		const char *from = i ? "sub/src" : "src";
		const char *to = i ? "dst" : "sub/dst";
		ssize_t want = only_clones(place) ? -EOPNOTSUPP : SIZE;

		src = open_at(place->mount.point, from, O_RDONLY);
		dst = open_at(place->mount.point, to, O_RDWR);
		cr_expect_eq(copy(src, dst), want, "%s: %s to %s", place->say,
			     from, to);
		cr_expect_eq(is_same(place, from, to), want == SIZE, "%s: %s",
			     place->say, to);
		close(src);
		close(dst);
	}
	/* The daemon still knows files there. */
	cr_assert_eq(umount2(sub, MNT_DETACH), 0);
}

#define ON_EACH_BACKING(name, function)                    \
	Test(elig_backing, name##_on_btrfs, .timeout = 60) \
	{                                                  \
		in_each(BACKING_BTRFS, function);          \
	}                                                  \
	Test(elig_backing, name##_on_xfs, .timeout = 60)   \
	{                                                  \
		in_each(BACKING_XFS, function);            \
	}                                                  \
	Test(elig_backing, name##_on_ext4, .timeout = 60)  \
	{                                                  \
		in_each(BACKING_EXT4, function);           \
	}                                                  \
	struct elig_backing_needs_semicolon

ON_EACH_BACKING(immutable, copy_to_immutable);
ON_EACH_BACKING(append_only, copy_to_append_only);
ON_EACH_BACKING(swap_space, copy_swap);
ON_EACH_BACKING(two_filesystems, copy_across);

Test(elig_backing, immutable_on_tmpfs, .timeout = 60)
{
	in_each(BACKING_TMPFS, copy_to_immutable);
}
