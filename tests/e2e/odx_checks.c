// SPDX-License-Identifier: MIT
/* Every check of both algorithms on a real file, alone and two at a time. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "odx.h"

#define READ_FILE  0xC000A2A3u
#define WRITE_FILE 0xC000A2A4u
#define SIZE	   (256 * KIB)
#define OFFSET	   4096u
#define LENGTH	   65536u

/* In the order of the checks. */
enum fault {
	NO_ACCESS,
	APPEND,
	NO_FEATURE,
	VOLUME_OFF,
	SHORT,
	BAD_OFFSET,
	BAD_LENGTH,
	BAD_TRANSFER,
	BAD_SIZE,
	OVERFLOW,
	SPARSE,
	ENCRYPTED,
	COMPRESSED,
	IMMUTABLE,
	DELETED,
	LOCKED,
	AT_EOF,
	TIMEOUT,
	BAD_TOKEN,
	BEHIND_TOKEN,
	FAULTS
};

static const struct {
	const char *name;
	uint32_t read, write; /* 0: none on this side */
} rows[FAULTS] = {
	{ "no access", 0xC0000022, 0xC0000022 },
	{ "append", 0, 0xC0000022 },
	{ "no feature", 0xC0000010, 0xC0000010 },
	{ "volume off", 0xC00000BB, 0xC00000BB },
	{ "short", 0xC0000023, 0xC0000023 },
	{ "offset", 0xC000000D, 0xC000000D },
	{ "length", 0xC000000D, 0xC000000D },
	{ "transfer offset", 0, 0xC000000D },
	{ "size", 0xC000000D, 0xC000000D },
	{ "overflow", 0xC000000D, 0xC000000D },
	{ "sparse", READ_FILE, WRITE_FILE },
	{ "encrypted", READ_FILE, WRITE_FILE },
	{ "compressed", READ_FILE, WRITE_FILE },
	{ "immutable", 0, 0xC0000022 },
	{ "deleted", 0xC0000123, 0xC0000123 },
	{ "locked", 0xC0000054, 0xC0000054 },
	{ "end of file", 0xC0000011, 0xC0000011 },
	{ "timeout", 0xC00000B5, 0xC00000B5 },
	{ "token", 0, 0xC0000465 },
	{ "behind the token", 0, 0xC000000D },
};

struct scene {
	struct odx_place *place;
	bool writes;
	const bool *faults; /* FAULTS of them */
	int fd;
	pid_t locker;
	struct offlay_token token; /* of SIZE bytes */
};

/* Its own process, since nobody's own locks are in his way. */
static pid_t start_locker(int dir_fd, bool shared, off_t length)
{
	struct flock lock = { .l_type = shared ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET,
			      .l_start = OFFSET + LENGTH - 1,
			      .l_len = length };
	int ready[2], fd;
	char byte;
	pid_t pid;

	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		fd = openat(dir_fd, "f", O_RDWR);
		if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0 ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 1, "no lock");
	close(ready[0]);
	return pid;
}

static void set_attribute(int fd, bool on)
{
	int flags = 0;

	cr_assert_eq(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
	flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	cr_assert_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0, "chattr: %s",
		     strerror(errno));
}

static int open_flags(const struct scene *scene)
{
	if (scene->faults[APPEND])
		return O_RDWR | O_APPEND;
	if (scene->faults[NO_ACCESS])
		return scene->writes ? O_RDONLY : O_WRONLY;
	return scene->writes ? O_WRONLY : O_RDONLY;
}

static void make_file(struct scene *scene)
{
	const char *dos = NULL;
	int fd, dir_fd;

	/* The last one's attributes must not stay. */
	dir_fd = odx_open(scene->place, ".", O_RDONLY | O_DIRECTORY);
	unlinkat(dir_fd, "f", 0);
	close(dir_fd);
	odx_file(scene->place, "f", SIZE, 1);
	fd = odx_open(scene->place, "f", O_RDWR);
	if (scene->faults[SPARSE])
		cr_assert_eq(fallocate(fd,
				       FALLOC_FL_PUNCH_HOLE |
					       FALLOC_FL_KEEP_SIZE,
				       65536, 65536),
			     0);
	if (scene->faults[ENCRYPTED] && scene->faults[COMPRESSED])
		dos = "0x4800";
	else if (scene->faults[ENCRYPTED])
		dos = "0x4000";
	else if (scene->faults[COMPRESSED])
		dos = "0x800";
	if (dos)
		cr_assert_eq(fsetxattr(fd, "user.DOSATTRIB", dos,
				       strlen(dos) + 1, 0),
			     0);
	close(fd);
	scene->fd = odx_open(scene->place, "f", open_flags(scene));
	dir_fd = odx_open(scene->place, ".", O_RDONLY | O_DIRECTORY);
	if (scene->faults[LOCKED])
		scene->locker = start_locker(dir_fd, scene->writes, 0);
	if (scene->faults[DELETED])
		cr_assert_eq(unlinkat(dir_fd, "f", 0), 0);
	close(dir_fd);
	if (scene->faults[IMMUTABLE])
		set_attribute(scene->fd, true);
}

static void set_volume(const struct scene *scene)
{
	char words[128];

	snprintf(words, sizeof(words), "%s:%s=%s:timeout=%d",
		 scene->faults[NO_FEATURE] ? "off" : "on",
		 scene->writes ? "write" : "read",
		 scene->faults[VOLUME_OFF] ? "off" : "on",
		 scene->faults[TIMEOUT]);
	odx_limits(scene->place, words);
}

static uint64_t offset_of(const struct scene *scene)
{
	return (scene->faults[AT_EOF] ? SIZE : OFFSET) +
	       scene->faults[BAD_OFFSET];
}

static uint64_t length_of(const struct scene *scene)
{
	if (scene->faults[OVERFLOW])
		return UINT64_MAX - 511 + scene->faults[BAD_LENGTH];
	return LENGTH + scene->faults[BAD_LENGTH];
}

/* The same number with one byte less. */
static unsigned long shorter(unsigned long cmd)
{
	return _IOC(_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd),
		    _IOC_SIZE(cmd) - 1);
}

static uint32_t ask_read(const struct scene *scene)
{
	struct offlay_ioc_odx_read arg = {
		.version = OFFLAY_ABI_VERSION,
		.in.size = sizeof(arg.in) - scene->faults[BAD_SIZE],
		.in.file_offset = offset_of(scene),
		.in.copy_length = length_of(scene),
	};
	unsigned long cmd = OFFLAY_IOC_ODX_READ;
	int ret;

	ret = ioctl(scene->fd, scene->faults[SHORT] ? shorter(cmd) : cmd, &arg);
	cr_expect_eq(ret < 0 ? errno : 0, (int)arg.status.err);
	return arg.status.ntstatus;
}

static uint32_t ask_write(const struct scene *scene)
{
	struct offlay_ioc_odx_write arg = {
		.version = OFFLAY_ABI_VERSION,
		.in.size = sizeof(arg.in) - scene->faults[BAD_SIZE],
		.in.file_offset = offset_of(scene),
		.in.copy_length = length_of(scene),
		.in.transfer_offset = (scene->faults[BEHIND_TOKEN] ? SIZE : 0) +
				      scene->faults[BAD_TRANSFER],
		.in.token = scene->token,
	};
	unsigned long cmd = OFFLAY_IOC_ODX_WRITE;
	int ret;

	arg.in.token.id[31] ^= scene->faults[BAD_TOKEN];
	ret = ioctl(scene->fd, scene->faults[SHORT] ? shorter(cmd) : cmd, &arg);
	cr_expect_eq(ret < 0 ? errno : 0, (int)arg.status.err);
	return arg.status.ntstatus;
}

static uint32_t play(struct scene *scene)
{
	uint32_t code;
	int fd;

	odx_limits(scene->place, "on:read=on:write=on:timeout=0");
	fd = odx_open(scene->place, "src", O_RDONLY);
	cr_assert_eq(odx_read(fd, 0, SIZE, 0, &scene->token, NULL), 0);
	make_file(scene);
	set_volume(scene);
	code = scene->writes ? ask_write(scene) : ask_read(scene);
	if (scene->faults[IMMUTABLE])
		set_attribute(scene->fd, false);
	if (scene->locker) {
		kill(scene->locker, SIGKILL);
		waitpid(scene->locker, NULL, 0);
	}
	odx_drop(fd, &scene->token);
	close(fd);
	close(scene->fd);
	return code;
}

static void try_side(struct odx_place *place, bool writes)
{
	odx_file(place, "src", SIZE, 2);
	mount_open(place->dir, NULL, &place->mount);
	for (size_t i = 0; i < FAULTS; i++) {
		uint32_t first = writes ? rows[i].write : rows[i].read;

		for (size_t j = i; first && j < FAULTS; j++) {
			bool faults[FAULTS] = { false };
			struct scene scene = { .place = place,
					       .writes = writes,
					       .faults = faults };
			uint32_t code;

			if (!(writes ? rows[j].write : rows[j].read))
				continue;
			faults[i] = faults[j] = true;
			code = play(&scene);
			cr_expect_eq(code, first, "%s: %s and %s: %08x",
				     writes ? "write" : "read", rows[i].name,
				     rows[j].name, code);
		}
	}
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_checks, come_in_order_for_reads)
{
	try_side(place, false);
}

ODX_ON_EACH_BACKING(odx_checks, come_in_order_for_writes)
{
	try_side(place, true);
}

/* No lock of one's own, none elsewhere in the file, no reader of a reader. */
ODX_ON_EACH_BACKING(odx_checks, let_harmless_locks_be)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct offlay_token token;
	pid_t locker;
	int fd, dir_fd;

	odx_file(place, "f", SIZE, 1);
	mount_open(place->dir, NULL, &place->mount);
	fd = odx_open(place, "f", O_RDWR);
	dir_fd = odx_open(place, ".", O_RDONLY | O_DIRECTORY);
	cr_assert_eq(fcntl(fd, F_SETLK, &lock), 0);
	cr_expect_eq(odx_read(fd, OFFSET, LENGTH, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(fd, OFFSET, LENGTH, 0, &token, NULL), 0);
	lock.l_type = F_UNLCK;
	cr_assert_eq(fcntl(fd, F_SETLK, &lock), 0);
	locker = start_locker(dir_fd, true, 1); /* to read */
	cr_expect_eq(odx_read(fd, OFFSET, LENGTH, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(fd, OFFSET, LENGTH, 0, &token, NULL),
		     0xC0000054);
	cr_expect_eq(odx_write(fd, 0, OFFSET, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(fd, OFFSET + LENGTH, OFFSET, 0, &token, NULL),
		     0);
	kill(locker, SIGKILL);
	waitpid(locker, NULL, 0);
	close(fd);
	close(dir_fd);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_checks, let_an_empty_request_succeed)
{
	struct offlay_token token = { 0 };
	uint64_t length = 1;
	int fd;

	mount_open(place->dir, NULL, &place->mount);
	fd = odx_new(place, "f", SIZE); /* sparse */
	cr_expect_eq(odx_read(fd, 0, 0, 0, &token, &length), 0);
	cr_expect_eq(length, 0);
	cr_expect_eq(odx_read(fd, SIZE * 2, 0, 0, &token, &length), 0);
	length = 1;
	cr_expect_eq(odx_write(fd, SIZE, 0, 0, &token, &length), 0);
	cr_expect_eq(length, 0);
	cr_expect_eq(odx_read(fd, 512, LENGTH, 0, &token, &length), READ_FILE);
	cr_expect_eq(odx_read(fd, 1, LENGTH, 0, &token, &length), 0xC000000D);
	close(fd);
	fd = odx_open(place, ".", O_RDONLY | O_DIRECTORY);
	cr_expect_eq(odx_read(fd, 0, 512, 0, &token, &length), READ_FILE);
	close(fd);
	mount_close(&place->mount);
}

/* Before anything else, even that the handle cannot write. */
ODX_ON_EACH_BACKING(odx_checks, call_a_read_only_mount_write_protected)
{
	struct offlay_token token;
	int fd;

	odx_file(place, "f", SIZE, 1);
	mount_open(place->dir, "ro", &place->mount);
	fd = odx_open(place, "f", O_RDONLY);
	cr_expect_eq(odx_read(fd, 0, LENGTH, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(fd, 1, LENGTH, 0, &token, NULL), 0xC00000A2);
	/* By what it is now, not by how it was mounted. */
	cr_assert_eq(mount(NULL, place->mount.point, NULL, MS_REMOUNT, NULL),
		     0);
	cr_expect_eq(odx_write(fd, 0, LENGTH, 0, &token, NULL), 0xC0000022);
	close(fd);
	fd = odx_open(place, "f", O_RDWR);
	cr_expect_eq(odx_write(fd, 0, LENGTH, 0, &token, NULL), 0);
	close(fd);
	cr_assert_eq(mount(NULL, place->mount.point, NULL,
			   MS_REMOUNT | MS_RDONLY, NULL),
		     0);
	fd = odx_open(place, "f", O_RDONLY);
	cr_expect_eq(odx_write(fd, 0, LENGTH, 0, &token, NULL), 0xC00000A2);
	close(fd);
	mount_close(&place->mount);
}

/* Where the backing cannot clone: the volume says no, or copies a little. */
Test(odx_checks, are_honest_where_nothing_can_be_cloned)
{
	struct odx_place place;
	struct offlay_token token;
	uint64_t length;
	int src, dst;

	odx_place_init(BACKING_TMPFS, &place);
	odx_file(&place, "a", MIB, 1);
	mount_open(place.dir, NULL, &place.mount);
	src = odx_open(&place, "a", O_RDONLY);
	dst = odx_new(&place, "b", MIB);
	cr_expect_eq(odx_read(src, 0, MIB, 0, &token, &length), 0xC000A2A1);
	odx_limits(&place, "copy=256K");
	for (uint64_t at = 0; at < MIB; at += length) {
		cr_assert_eq(odx_read(src, at, MIB, 0, &token, &length), 0);
		cr_assert_eq(length, 256 * KIB);
		cr_assert_eq(odx_write(dst, at, length, 0, &token, &length), 0);
		cr_assert_eq(length, 256 * KIB);
	}
	odx_same(&place, "a", "b");
	close(src);
	src = odx_open(&place, "a", O_RDWR);
	/* Nothing keeps a writer from tearing the copy. */
	cr_expect_eq(odx_read(src, 0, MIB, 0, &token, &length), 0xC0000054);
	close(src);
	close(dst);
	mount_close(&place.mount);
}
