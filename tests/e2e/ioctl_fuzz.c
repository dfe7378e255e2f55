// SPDX-License-Identifier: MIT
/*
 * Bytes that nobody would send, to every private ioctl of a live mount.
 *
 * $OFFLAY_SEED repeats a run.  The daemon may answer what it likes, but it must
 * answer, and serve the next one; the files that nobody named stay as they are.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount.h"
#include "offlay_trace.h"
#include "offlay_uapi.h"
#include "sample.h"
#include "volume.h"

#define SIZE_MAX_IOCTL 16383 /* 14 bits of the number */
#define NUMBERS	       40
#define FDS	       6

/* Of the numbers that are in use; any other number is tried as well. */
static const unsigned long commands[] = {
	OFFLAY_IOC_EXPLAIN,    OFFLAY_IOC_ODX_READ,   OFFLAY_IOC_ODX_WRITE,
	OFFLAY_IOC_ODX_DROP,   OFFLAY_IOC_ODX_VOLUME, OFFLAY_IOC_NAME,
	OFFLAY_IOC_CLONE,      OFFLAY_IOC_DEDUPE,     OFFLAY_IOC_EXTENTS,
	OFFLAY_IOC_TRACE_READ, OFFLAY_IOC_STATS,      OFFLAY_IOC_RULES_SET,
	OFFLAY_IOC_RULES_LIST,
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

struct fuzz {
	struct sample_rng rng;
	struct mount mount;
	char dir[PATH_MAX]; /* on the backing */
	int fds[FDS];
	struct offlay_token token; /* a good one, once there was one */
	unsigned char bytes[SIZE_MAX_IOCTL + 1];
};

static uint64_t below(struct fuzz *fuzz, uint64_t bound)
{
	return sample_below(&fuzz->rng, bound);
}

static unsigned long pick_command(struct fuzz *fuzz)
{
	unsigned long cmd = commands[below(fuzz, COMMANDS)];
	unsigned int dir = _IOC_DIR(cmd), nr = _IOC_NR(cmd);
	unsigned int size = _IOC_SIZE(cmd);

	switch (below(fuzz, 8)) {
	case 0:
		nr = (unsigned int)below(fuzz, NUMBERS);
		break;
	case 1:
		size = (unsigned int)below(fuzz, size + 1);
		break;
	case 2:
		size = (unsigned int)below(fuzz, SIZE_MAX_IOCTL + 1);
		break;
	case 3:
		dir = (unsigned int)below(fuzz, 4);
		break;
	default:
		break;
	}
	return _IOC(dir, OFFLAY_IOC_MAGIC, nr, size);
}

/* Numbers that are at an edge somewhere. */
static uint64_t edge(struct fuzz *fuzz)
{
	static const uint64_t edges[] = {
		0,	    1,
		511,	    512,
		4096,	    65536,
		1 << 20,    INT32_MAX,
		UINT32_MAX, 1ull << 32,
		INT64_MAX,  1ull << 63,
		UINT64_MAX, UINT64_MAX - 511,
	};

	return edges[below(fuzz, sizeof(edges) / sizeof(*edges))] +
	       (below(fuzz, 4) ? 0 : below(fuzz, 3) - 1);
}

/* Mostly zeros with some fields set, so that the first check is passed. */
static void fill(struct fuzz *fuzz, unsigned int size)
{
	uint32_t version = OFFLAY_ABI_VERSION;
	uint64_t words = 1 + below(fuzz, 6), value;
	size_t at;

	if (below(fuzz, 6) == 0) {
		sample_fill(&fuzz->rng, fuzz->bytes, sizeof(fuzz->bytes));
		return;
	}
	memset(fuzz->bytes, 0, sizeof(fuzz->bytes));
	memcpy(fuzz->bytes, &version, sizeof(version));
	for (uint64_t i = 0; i < words && size >= 16; i++) {
		at = 4 * below(fuzz, (size < 256 ? size : 256) / 4);
		value = below(fuzz, 3) ? edge(fuzz) : sample_next(&fuzz->rng);
		memcpy(fuzz->bytes + at, &value, sizeof(value));
	}
}

/* A write with a token that is good, but for a bit now and then. */
static void fill_odx(struct fuzz *fuzz, unsigned int nr)
{
	struct offlay_ioc_odx_read read = { .version = OFFLAY_ABI_VERSION };
	struct offlay_ioc_odx_write write = { .version = OFFLAY_ABI_VERSION };

	read.in.size = sizeof(read.in);
	read.in.copy_length = 4096 * below(fuzz, 64);
	write.in.size = sizeof(write.in);
	write.in.file_offset = below(fuzz, 2) ? 4096 : edge(fuzz);
	write.in.copy_length = below(fuzz, 2) ? 65536 : edge(fuzz);
	write.in.transfer_offset = below(fuzz, 2) ? 0 : edge(fuzz);
	write.in.token = fuzz->token;
	if (below(fuzz, 2))
		((unsigned char *)&write.in.token)[below(fuzz, 512)] ^= 1;
	if (nr == _IOC_NR(OFFLAY_IOC_ODX_READ))
		memcpy(fuzz->bytes, &read, sizeof(read));
	else
		memcpy(fuzz->bytes, &write, sizeof(write));
}

static void keep_token(struct fuzz *fuzz)
{
	struct offlay_ioc_odx_read read;

	memcpy(&read, fuzz->bytes, sizeof(read));
	if (read.out.transfer_length)
		fuzz->token = read.out.token;
}

static void step(struct fuzz *fuzz)
{
	unsigned long cmd = pick_command(fuzz);
	unsigned int nr = _IOC_NR(cmd);
	int fd = fuzz->fds[below(fuzz, FDS)], ret;

	fill(fuzz, _IOC_SIZE(cmd));
	if ((nr == _IOC_NR(OFFLAY_IOC_ODX_READ) ||
	     nr == _IOC_NR(OFFLAY_IOC_ODX_WRITE)) &&
	    below(fuzz, 2))
		fill_odx(fuzz, nr);
	ret = ioctl(fd, cmd, fuzz->bytes);
	/* These come of a daemon that is gone. */
	cr_assert(ret >= 0 || (errno != ENOTCONN && errno != ECONNABORTED),
		  "ioctl %lx: %s", cmd, strerror(errno));
	if (ret == 0 && cmd == OFFLAY_IOC_ODX_READ)
		keep_token(fuzz);
}

static void open_all(struct fuzz *fuzz)
{
	static const struct {
		const char *name;
		int flags;
	} files[FDS] = {
		{ "a", O_RDWR },   { "a", O_RDONLY },
		{ "b", O_WRONLY }, { "b", O_WRONLY | O_APPEND },
		{ ".", O_RDONLY }, { "sparse", O_RDWR },
	};
	char path[PATH_MAX];

	for (int i = 0; i < FDS; i++) {
		volume_path(path, fuzz->mount.point, files[i].name);
		fuzz->fds[i] = open(path, files[i].flags | O_CLOEXEC);
		cr_assert_geq(fuzz->fds[i], 0, "%s: %s", path, strerror(errno));
	}
}

static void make_files(const char *dir, const struct user *owner)
{
	static const char *const names[] = { "a", "b", "witness" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		volume_path(path, dir, names[i]);
		sample_file(path, 256 << 10, i + 1);
		if (owner)
			cr_assert_eq(chown(path, owner->uid, owner->gid), 0);
	}
	volume_path(path, dir, "sparse");
	sample_file(path, 4096, 9);
	cr_assert_eq(truncate(path, 1 << 20), 0);
	if (owner)
		cr_assert_eq(chown(path, owner->uid, owner->gid), 0);
}

/* Explain is asked as it should be, and one file was never named. */
static void check(struct fuzz *fuzz)
{
	struct offlay_ioc_explain explain = { .version = OFFLAY_ABI_VERSION };
	char path[PATH_MAX], same[PATH_MAX];

	cr_assert_eq(ioctl(fuzz->fds[5], OFFLAY_IOC_EXPLAIN, &explain), 0, "%s",
		     strerror(errno));
	cr_assert_eq(explain.mode & S_IFMT, S_IFREG);
	volume_path(path, fuzz->mount.point, "witness");
	volume_path(same, fuzz->dir, "same");
	cr_assert_eq(sample_is_same(path, same, NULL), 1);
}

static void run(enum backing backing, enum mount_mode mode)
{
	unsigned long steps = sample_amount(2000, 20000, 1000000);
	const struct user *user = mode == MODE_USER ? &mount_user : NULL;
	struct volume volume;
	struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
	char path[PATH_MAX];

	cr_assert_not_null(fuzz);
	if (!backing_is_selected(backing))
		volume_skip(backing_name(backing), "not selected");
	fuzz->rng.state = sample_seed();
	volume_get(backing, 0, &volume);
	volume_dir(&volume, "fuzz", fuzz->dir);
	make_files(fuzz->dir, user);
	volume_path(path, fuzz->dir, "same");
	sample_file(path, 256 << 10, 3);
	mount_open_mode(fuzz->dir, mode, NULL, &fuzz->mount);
	if (user)
		cr_assert_eq(user_enter(user), 0);
	open_all(fuzz);
	for (unsigned long i = 0; i < steps; i++) {
		step(fuzz);
		if (i % 500 == 499)
			check(fuzz);
	}
	for (int i = 0; i < FDS; i++)
		close(fuzz->fds[i]);
	if (user)
		cr_assert_eq(user_leave(), 0);
	mount_close(&fuzz->mount);
	free(fuzz);
}

#define FUZZ(name, backing, mode)               \
	Test(ioctl_fuzz, name, .timeout = 3600) \
	{                                       \
		run(backing, mode);             \
	}                                       \
	struct ioctl_fuzz_needs_semicolon

FUZZ(btrfs_passthrough, BACKING_BTRFS, MODE_PASSTHROUGH);
FUZZ(xfs_no_passthrough, BACKING_XFS, MODE_NO_PASSTHROUGH);
FUZZ(ext4_passthrough, BACKING_EXT4, MODE_PASSTHROUGH);
FUZZ(tmpfs_io_uring, BACKING_TMPFS, MODE_IO_URING);
FUZZ(btrfs_user, BACKING_BTRFS, MODE_USER);

VOLUME_MAIN;
