// SPDX-License-Identifier: MIT
/* Kinds of files, ways of mounting, and places that are not just one file. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elig_files.h"
#include "extents.h"
#include "odx.h"
#include "process.h"
#include "sample.h"

#define READ_FILE     0xC000A2A3u
#define WRITE_FILE    0xC000A2A4u
#define LOCK_CONFLICT 0xC0000054u
#define SIZE	      (3ull * ELIG_BLOCK)

/* ------------------------------------------- files as the kernel has them */

static void check_kind(struct odx_place *place, const char *file)
{
	struct offlay_token token;
	int fd, plain;

	odx_file(place, "plain", SIZE, 2);
	mount_open(place->volume.root, NULL, &place->mount);
	fd = odx_open(place, file, O_RDWR);
	plain = odx_open(place, strrchr(place->dir, '/') + 1,
			 O_RDONLY | O_DIRECTORY);
	cr_expect_eq(odx_read(fd, 0, SIZE, 0, &token, NULL), READ_FILE, "%s",
		     file);
	/* The file is looked at before the token. */
	memset(&token, 7, sizeof(token));
	cr_expect_eq(odx_write(fd, 0, SIZE, 0, &token, NULL), WRITE_FILE, "%s",
		     file);
	close(plain);
	close(fd);
	mount_close(&place->mount);
}

/* By a real policy and key; ext4 alone has that here. */
Test(odx_kinds, fscrypt_files_are_refused, .timeout = 60)
{
	struct odx_place place;
	char path[PATH_MAX];

	if (!backing_is_selected(BACKING_EXT4))
		volume_skip("ext4", "not selected");
	memset(&place, 0, sizeof(place));
	elig_volume(BACKING_EXT4, &place.volume);
	volume_dir(&place.volume, "odx", place.dir);
	volume_path(path, place.volume.root, "encrypted/file");
	cr_assert_eq(elig_make(&place.volume, "encrypted by fscrypt", path), 0);
	check_kind(&place, "encrypted/file");
}

Test(odx_kinds, compressed_extents_are_refused, .timeout = 60)
{
	static const char *const names[] = {
		"compressible data, mount -o compress",
		"chattr +c, random data",
		"chattr +c, compressible data",
	};
	struct odx_place place;
	char path[PATH_MAX];

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("btrfs", "not selected");
	odx_place_init(BACKING_BTRFS, &place);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		volume_path(path, place.volume.root, "compressed");
		cr_assert_eq(elig_make(&place.volume, names[i], path), 0);
		check_kind(&place, "compressed");
	}
}

/* ------------------------------------------------------ ways of mounting */

static uint64_t shared_of(const struct odx_place *place, const char *name)
{
	struct extent_usage usage;
	char path[PATH_MAX];

	volume_path(path, place->dir, name);
	cr_assert_eq(extents_usage(path, &usage), 0);
	return usage.shared;
}

/* As the user who has mounted, where one has. */
static int transfer(void *arg)
{
	struct odx_place *place = arg;
	struct offlay_token token;
	uint64_t length;
	int src = odx_open(place, "a", O_RDONLY);
	int dst = odx_new(place, "b", MIB);
	uint32_t code = odx_read(src, 0, MIB, 0, &token, &length);

	if (!code && length == MIB)
		code = odx_write(dst, 0, MIB, 0, &token, &length);
	close(src);
	close(dst);
	return code ? 1 : length == MIB ? 0 : 2;
}

static void transfer_in(enum backing backing, enum mount_mode mode)
{
	const struct user *user = mode == MODE_USER ? &mount_user : NULL;
	struct odx_place place;

	odx_place_init(backing, &place);
	odx_file(&place, "a", MIB, 1);
	COMMAND(NULL, "sh", "-c", "chmod 644 \"$1\"/a", "sh", place.dir);
	mount_open_mode(place.dir, mode, NULL, &place.mount);
	cr_expect_eq(user_call(user, transfer, &place, 30), 0, "%s, %s",
		     backing_name(backing), mode_name(mode));
	odx_same(&place, "a", "b");
	mount_close(&place.mount);
	cr_expect_eq(shared_of(&place, "b"), MIB, "%s, %s",
		     backing_name(backing), mode_name(mode));
}

#define WAYS(backing, name)                                        \
	Test(odx_kinds, name##_without_passthrough, .timeout = 60) \
	{                                                          \
		transfer_in(backing, MODE_NO_PASSTHROUGH);         \
	}                                                          \
	Test(odx_kinds, name##_by_io_uring, .timeout = 60)         \
	{                                                          \
		transfer_in(backing, MODE_IO_URING);               \
	}                                                          \
	Test(odx_kinds, name##_mounted_by_a_user, .timeout = 60)   \
	{                                                          \
		transfer_in(backing, MODE_USER);                   \
	}                                                          \
	struct odx_kinds_needs_semicolon

WAYS(BACKING_BTRFS, btrfs);
WAYS(BACKING_XFS, xfs);

/* ------------------------------------------- a filesystem below SOURCE */

static void mount_below(struct odx_place *place, struct volume *below,
			char *ret_point)
{
	volume_get_sized(place->backing, 0, 400 * MIB, NULL, below);
	volume_path(ret_point, place->dir, "sub");
	cr_assert_eq(mkdir(ret_point, 0755), 0);
	cr_assert_eq(mount(below->root, ret_point, NULL, MS_BIND, NULL), 0,
		     "%s", strerror(errno));
}

ODX_ON_EACH_BACKING(odx_kinds, reads_on_a_filesystem_below)
{
	struct offlay_token token;
	struct volume below;
	char point[PATH_MAX];
	int src, dst, other;

	mount_below(place, &below, point);
	odx_file(place, "sub/a", MIB, 1);
	mount_open(place->dir, NULL, &place->mount);
	src = odx_open(place, "sub/a", O_RDONLY);
	dst = odx_new(place, "sub/b", MIB);
	other = odx_new(place, "c", MIB);
	cr_expect_eq(odx_read(src, 0, MIB, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(dst, 0, MIB, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(other, 0, MIB, 0, &token, NULL), 0);
	cr_expect_eq(odx_drop(src, &token), 0);
	close(src);
	close(dst);
	close(other);
	odx_same(place, "sub/a", "sub/b");
	odx_same(place, "sub/a", "c");
	mount_close(&place->mount);
	cr_expect_eq(shared_of(place, "sub/b"), MIB);
	cr_assert_eq(volume_unmount(point), 0);
	volume_free(&below);
}

/* ------------------------------------------------ locks of descriptions */

static void lock_range(int fd, int cmd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	cr_assert_eq(fcntl(fd, cmd, &lock), 0, "%s", strerror(errno));
}

struct locked {
	struct odx_place *place;
	int fd; /* with the lock */
};

static int read_locked(void *arg)
{
	struct locked *locked = arg;
	struct offlay_token token;
	int fd = odx_open(locked->place, "f", O_RDWR);
	uint32_t code;

	close(locked->fd); /* else it would be this process' lock as well */
	code = odx_read(fd, 0, MIB, 0, &token, NULL);
	close(fd);
	return code == LOCK_CONFLICT ? 1 : code ? 2 : 0;
}

/* As with those of a process: nobody is in his own way. */
ODX_ON_EACH_BACKING(odx_kinds, lets_the_owner_of_a_description_lock_pass)
{
	struct locked locked = { .place = place };
	struct offlay_token token;
	int fd;

	odx_file(place, "f", MIB, 1);
	mount_open(place->dir, NULL, &place->mount);
	fd = locked.fd = odx_open(place, "f", O_RDWR);
	lock_range(fd, F_OFD_SETLK, F_WRLCK);
	cr_expect_eq(odx_read(fd, 0, MIB, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(fd, 0, MIB, 0, &token, NULL), 0);
	cr_expect_eq(user_call(NULL, read_locked, &locked, 20), 1);
	lock_range(fd, F_OFD_SETLK, F_UNLCK);
	cr_expect_eq(user_call(NULL, read_locked, &locked, 20), 0);
	close(fd);
	mount_close(&place->mount);
}

/* --------------------------------------------------- truncate meanwhile */

struct race {
	struct odx_place *place;
	struct offlay_token token;
	int fd;
	uint32_t code;
};

static void *write_once(void *arg)
{
	struct race *race = arg;

	race->code = odx_write(race->fd, 0, 16 * MIB, 0, &race->token, NULL);
	return NULL;
}

/* Before or after the write: what was cut off stays so. */
static void truncate_meanwhile(struct odx_place *place, const char *options,
			       const char *limits)
{
	struct race race = { .place = place };
	pthread_t thread;
	struct stat st;
	int src;

	odx_file(place, "a", 16 * MIB, 1);
	mount_open(place->dir, options, &place->mount);
	if (limits)
		odx_limits(place, limits);
	src = odx_open(place, "a", O_RDONLY);
	cr_assert_eq(odx_read(src, 0, 16 * MIB, 0, &race.token, NULL), 0);
	race.fd = odx_new(place, "b", 0);
	for (int i = 0; i < 60; i++) {
		cr_assert_eq(ftruncate(race.fd, 16 * MIB), 0);
		cr_assert_eq(pthread_create(&thread, NULL, write_once, &race),
			     0);
		usleep((useconds_t)(i * 50));
		cr_assert_eq(ftruncate(race.fd, 4096), 0);
		pthread_join(thread, NULL);
		cr_assert_eq(fstat(race.fd, &st), 0);
		cr_expect_eq(st.st_size, 4096, "round %d, status %x: %lld", i,
			     race.code, (long long)st.st_size);
	}
	close(race.fd);
	close(src);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_kinds, does_not_undo_a_truncate)
{
	truncate_meanwhile(place, NULL, NULL);
}

Test(odx_kinds, does_not_undo_a_truncate_where_it_copies, .timeout = 120)
{
	struct odx_place place;

	if (!backing_is_selected(BACKING_XFS))
		volume_skip("xfs", "not selected");
	odx_place_init(BACKING_TMPFS, &place);
	truncate_meanwhile(&place, NULL, "copy=16M");
}
