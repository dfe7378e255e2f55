// SPDX-License-Identifier: MIT
/* The copy engine on filesystems that are full, and between unlike files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy_files.h"
#include "process.h"
#include "sample.h"

#define SIZE (24u << 20)

/* The error comes at once or ends a correct prefix; it never gets lost. */
static void expect_limit(const struct offlay_range *range, int limit,
			 struct copy_file *src, struct copy_file *dst)
{
	struct offlay_engine *engine;
	struct offlay_result result = { 0 };
	uint64_t done = 0;
	int err = 0;

	cr_assert_eq(offlay_engine_new(&engine), 0);
	while (err == 0) {
		struct offlay_range rest = *range;

		rest.src_offset += done;
		rest.dst_offset += done;
		rest.length -= done;
		err = offlay_copy_range(engine, &rest, &result);
		if (err)
			break;
		cr_assert_gt(result.copied, 0);
		done += result.copied;
		cr_assert_lt(done, range->length, "nothing was full");
		cr_assert(result.stop == 0 || result.stop == limit, "stop %d",
			  result.stop);
	}
	cr_assert_eq(err, -limit, "%s", strerror(-err));
	copy_file_apply(dst, range->dst_offset, src, range->src_offset, done);
	dst->size = (uint64_t)lseek(dst->fd, 0, SEEK_END);
	cr_assert_leq(dst->size, range->dst_offset + done);
	cr_assert(copy_file_is_as_modelled(dst));
	offlay_engine_free(engine);
}

/* Leaves about 6 MiB. */
static void fill_up(const char *dir)
{
	static char block[1 << 20];
	char path[PATH_MAX];
	int fd;

	volume_path(path, dir, "filler");
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	cr_assert_geq(fd, 0);
	memset(block, 'f', sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		;
	fsync(fd);
	while (write(fd, block, sizeof(block)) > 0)
		;
	cr_assert_eq(ftruncate(fd, lseek(fd, 0, SEEK_END) - (6 << 20)), 0);
	fsync(fd);
	close(fd);
}

static void copy_into_full(enum backing backing)
{
	struct volume volume;
	struct copy_file src, dst;

	if (!backing_is_selected(backing))
		return;
	volume_get_sized(backing, 0, 400ull << 20, NULL, &volume);
	copy_file_open(&src, volume.root, "src", SIZE);
	copy_file_open(&dst, volume.root, "dst", SIZE + 1);
	copy_file_fill(&src, SIZE, 5);
	cr_assert_eq(fsync(src.fd), 0);
	fill_up(volume.root);
	expect_limit(&(struct offlay_range){ .src_fd = src.fd,
					     .dst_fd = dst.fd,
					     .src_offset = 0,
					     .dst_offset = 1,
					     .length = SIZE },
		     ENOSPC, &src, &dst);
	copy_file_close(&src);
	copy_file_close(&dst);
	volume_free(&volume);
}

Test(copy_limits, no_space_is_told_on_every_backing, .timeout = 200)
{
	for (enum backing b = 0; b < BACKING_COUNT; b++)
		copy_into_full(b);
}

Test(copy_limits, quota_of_a_subvolume_is_told, .timeout = 60)
{
	struct volume volume;
	struct copy_file src, dst;
	char dir[PATH_MAX];

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("quota", "btrfs is not selected");
	volume_get_sized(BACKING_BTRFS, 0, 400ull << 20, NULL, &volume);
	volume_path(dir, volume.root, "sub");
	if (COMMAND(NULL, "btrfs", "subvolume", "create", dir) ||
	    COMMAND(NULL, "btrfs", "quota", "enable", volume.root) ||
	    COMMAND(NULL, "btrfs", "qgroup", "limit", "6M", dir))
		volume_skip("quota", "btrfs has no quota here");
	copy_file_open(&src, volume.root, "src", SIZE);
	copy_file_open(&dst, dir, "dst", SIZE + 1);
	copy_file_fill(&src, SIZE, 5);
	expect_limit(&(struct offlay_range){ .src_fd = src.fd,
					     .dst_fd = dst.fd,
					     .dst_offset = 1,
					     .length = SIZE },
		     EDQUOT, &src, &dst);
	copy_file_close(&src);
	copy_file_close(&dst);
	volume_free(&volume);
}

static void copy_beyond_limit(enum backing backing, const char *dir)
{
	struct rlimit old, low;
	struct copy_file src, dst;

	(void)backing;
	copy_file_open(&src, dir, "src", SIZE);
	copy_file_open(&dst, dir, "dst", SIZE + 4096);
	copy_file_fill(&src, SIZE, 5);
	getrlimit(RLIMIT_FSIZE, &old);
	low = old;
	low.rlim_cur = 6 << 20;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
	for (uint64_t to = 0; to < 2; to++) {
		copy_file_fill(&dst, 100, 6);
		expect_limit(&(struct offlay_range){ .src_fd = src.fd,
						     .dst_fd = dst.fd,
						     .dst_offset = to,
						     .length = SIZE },
			     EFBIG, &src, &dst);
	}
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	copy_file_close(&src);
	copy_file_close(&dst);
}

Test(copy_limits, a_file_that_may_not_grow_is_told, .timeout = 60)
{
	signal(SIGXFSZ, SIG_IGN);
	copy_each_backing(copy_beyond_limit);
}

/* One pair of files cannot share; the next two of the same disk can. */
Test(copy_limits, unlike_files_do_not_end_cloning_for_others, .timeout = 60)
{
	struct volume volume;
	struct copy_file src, plain, nocow;
	struct offlay_engine *engine;
	struct offlay_result result;
	struct offlay_range range = { .length = 1 << 20 };
	char dir[PATH_MAX];
	int flags = FS_NOCOW_FL;

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("nodatacow", "btrfs is not selected");
	volume_get(BACKING_BTRFS, 0, &volume);
	volume_dir(&volume, "unlike", dir);
	copy_file_open(&src, dir, "src", 1 << 20);
	copy_file_open(&plain, dir, "plain", 1 << 20);
	copy_file_open(&nocow, dir, "nocow", 1 << 20);
	cr_assert_eq(ioctl(nocow.fd, FS_IOC_SETFLAGS, &flags), 0);
	copy_file_fill(&src, 1 << 20, 9);
	cr_assert_eq(offlay_engine_new(&engine), 0);
	range.src_fd = src.fd;
	range.dst_fd = nocow.fd;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
	cr_assert_eq(result.moved, 1 << 20);
	cr_assert_eq(result.declined_clone, EINVAL);
	copy_file_apply(&nocow, 0, &src, 0, 1 << 20);
	cr_assert(copy_file_is_as_modelled(&nocow));
	range.flags = OFFLAY_COPY_CLONE_ONLY;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), -EOPNOTSUPP);
	cr_assert_eq(result.declined_clone, EINVAL);
	range.dst_fd = plain.fd;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
	cr_assert_eq(result.cloned, 1 << 20);
	copy_file_apply(&plain, 0, &src, 0, 1 << 20);
	cr_assert(copy_file_is_as_modelled(&plain));
	cr_assert_eq(copy_file_shared(&plain, 0, 1 << 20), 1 << 20);
	copy_file_close(&src);
	copy_file_close(&plain);
	copy_file_close(&nocow);
	offlay_engine_free(engine);
}

/* Subvolumes differ in st_dev and can share all the same. */
Test(copy_limits, subvolumes_share, .timeout = 60)
{
	struct volume volume;
	struct copy_file src, dst;
	struct offlay_engine *engine;
	struct offlay_result result;
	struct offlay_range range = { .length = 100001 };
	char dir[PATH_MAX];

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("subvolumes", "btrfs is not selected");
	volume_get(BACKING_BTRFS, VOLUME_PRIVATE, &volume);
	volume_path(dir, volume.root, "sub");
	cr_assert_eq(COMMAND(NULL, "btrfs", "subvolume", "create", dir), 0);
	copy_file_open(&src, volume.root, "src", 100001);
	copy_file_open(&dst, dir, "dst", 100001);
	copy_file_fill(&src, 100001, 3);
	cr_assert_eq(offlay_engine_new(&engine), 0);
	range.src_fd = src.fd;
	range.dst_fd = dst.fd;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
	cr_assert_eq(result.cloned, 100001);
	copy_file_apply(&dst, 0, &src, 0, 100001);
	cr_assert(copy_file_is_as_modelled(&dst));
	copy_file_close(&src);
	copy_file_close(&dst);
	offlay_engine_free(engine);
	volume_free(&volume);
}

#define PIECES 12
#define APART  (64ull << 20)

/* Pieces of a MiB, and as much that XFS allocates ahead of each of them. */
static void copy_pieces(enum backing backing, const char *dir)
{
	static char block[1 << 20];
	struct sample_rng rng = { .state = 5 };
	struct offlay_range range = { .length = PIECES * APART,
				      .methods = OFFLAY_METHOD_DATA };
	struct offlay_engine *engine;
	struct offlay_result result;
	struct stat src, dst;
	char path[PATH_MAX];

	cr_assert_eq(offlay_engine_new(&engine), 0);
	volume_path(path, dir, "pieces");
	range.src_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	volume_path(path, dir, "copy");
	range.dst_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	cr_assert(range.src_fd >= 0 && range.dst_fd >= 0);
	cr_assert_eq(ftruncate(range.src_fd, PIECES * APART), 0);
	for (off_t i = 0; i < PIECES; i++) {
		sample_fill(&rng, block, sizeof(block));
		cr_assert_eq(pwrite(range.src_fd, block, sizeof(block),
				    i * (off_t)APART),
			     sizeof(block));
	}
	cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
	cr_assert_eq(result.copied, range.length);
	cr_expect_eq(result.moved, PIECES * sizeof(block));
	cr_assert_eq(fsync(range.src_fd) | fsync(range.dst_fd), 0);
	cr_assert_eq(fstat(range.src_fd, &src), 0);
	cr_assert_eq(fstat(range.dst_fd, &dst), 0);
	cr_expect_leq(dst.st_blocks, src.st_blocks + 256,
		      "%s: %lld KiB of %lld KiB", backing_name(backing),
		      (long long)dst.st_blocks / 2,
		      (long long)src.st_blocks / 2);
	close(range.src_fd);
	close(range.dst_fd);
	volume_path(path, dir, "pieces");
	unlink(path);
	volume_path(path, dir, "copy");
	unlink(path);
	offlay_engine_free(engine);
}

Test(copy_limits, holes_take_no_room, .timeout = 60)
{
	copy_each_backing(copy_pieces);
}
