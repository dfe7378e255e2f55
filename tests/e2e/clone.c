// SPDX-License-Identifier: MIT
/* Clone, dedupe and extent map by the library's calls on a mount. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clone_place.h"
#include "offlay.h"
#include "process.h"
#include "sample.h"

#define SIZE (3 * MIB + 77)

/* In each mode that root has. */
static void in_each_mode(struct clone_place *place, const char *options,
			 void (*test)(struct clone_place *place))
{
	for (int mode = 0; mode < MODE_USER; mode++) {
		if (mode_missing((enum mount_mode)mode))
			continue;
		volume_dir(&place->volume, "mode", place->dir);
		clone_file(place, "src", SIZE, 7);
		mount_open_mode(place->dir, (enum mount_mode)mode, options,
				&place->mount);
		test(place);
		mount_close(&place->mount);
	}
}

static void clone_and_look(struct clone_place *place)
{
	int src = clone_open(place, "src", O_RDONLY);
	int dst = clone_open(place, "dst", O_RDWR | O_CREAT);
	struct stat st;
	off_t end;

	cr_assert_eq(offlay_clone_range(src, 0, dst, 0, 0), 0);
	/* Before anything else has asked for attributes. */
	end = lseek(dst, 0, SEEK_END);
	cr_expect_eq(end, SIZE, "%lld", (long long)end);
	cr_assert_eq(fstat(dst, &st), 0);
	cr_expect_eq(st.st_size, SIZE);
	clone_is_shared(place, "dst");
	clone_is_same(place, "src", "dst");
	close(src);
	close(dst);
}

CLONE_ON_EACH_BACKING(clone, shares_a_whole_file)
{
	in_each_mode(place, NULL, clone_and_look);
}

/* The VFS cuts a copy at the size that it believes. */
static void clone_and_copy(struct clone_place *place)
{
	int src = clone_open(place, "src", O_RDONLY);
	int dst = clone_open(place, "dst", O_RDWR | O_CREAT);
	int again = clone_open(place, "again", O_RDWR | O_CREAT);

	cr_assert_eq(offlay_clone_range(src, 0, dst, 0, 2 * MIB), 0);
	cr_expect_eq(copy_file_range(dst, NULL, again, NULL, SIZE, 0), 2 * MIB);
	close(src);
	close(dst);
	close(again);
}

CLONE_ON_EACH_BACKING(clone, tells_the_kernel_the_new_size)
{
	in_each_mode(place, NULL, clone_and_copy);
}

/* What is stored in mapped pages counts, and pages of before do not. */
static void clone_mapped(struct clone_place *place)
{
	int src = clone_open(place, "src", O_RDWR);
	int dst = clone_open(place, "dst", O_RDWR | O_CREAT);
	char *from, *to, buf[8] = "";

	cr_assert_eq(ftruncate(dst, 2 * MIB), 0);
	from = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, src, 0);
	to = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, dst, 0);
	cr_assert(from != MAP_FAILED && to != MAP_FAILED);
	memcpy(from + 8192, "mapped", 6);
	memcpy(to + 4096, "before", 6);
	cr_expect_eq(to[8192], 0);
	cr_assert_eq(offlay_clone_range(src, 0, dst, 0, MIB), 0);
	cr_expect_eq(memcmp(to, from, MIB), 0);
	cr_expect_eq(pread(dst, buf, 6, 8192), 6);
	cr_expect_str_eq(buf, "mapped");
	munmap(from, MIB);
	munmap(to, MIB);
	close(src);
	close(dst);
}

CLONE_ON_EACH_BACKING(clone, minds_mapped_pages)
{
	in_each_mode(place, "profile=transparent", clone_mapped);
}

/* Each kind that policy denies is refused, on either side, and as a copy is. */
static void refuse_sparse(struct clone_place *place)
{
	int src = clone_open(place, "src", O_RDONLY);
	int sparse = clone_open(place, "sparse", O_RDWR | O_CREAT);
	int dst = clone_open(place, "dst", O_RDWR | O_CREAT);
	uint64_t deduped;
	struct stat st;

	cr_assert_eq(ftruncate(sparse, MIB), 0);
	cr_assert_eq(pwrite(sparse, "x", 1, MIB), 1);
	cr_expect_eq(offlay_clone_range(sparse, 0, dst, 0, 0), -EOPNOTSUPP);
	cr_expect_eq(offlay_clone_range(src, 0, sparse, 0, 0), -EOPNOTSUPP);
	cr_expect_eq(offlay_dedupe_range(src, 0, sparse, 0, 4096, &deduped),
		     -EOPNOTSUPP);
	cr_assert_eq(fstat(dst, &st), 0);
	cr_expect_eq(st.st_size, 0);
	/* A copy in pieces makes no hole on its way. */
	for (uint64_t at = 0; at < 3 * MIB; at += MIB)
		cr_expect_eq(offlay_clone_range(src, at, dst, at, MIB), 0);
	close(src);
	close(sparse);
	close(dst);
}

CLONE_ON_EACH_BACKING(clone, is_refused_as_a_copy_is)
{
	in_each_mode(place, NULL, refuse_sparse);
	in_each_mode(place, "refuse=kernel", refuse_sparse);
	in_each_mode(place, "refuse=copy", refuse_sparse);
}

/* The ABI itself, as somebody would use it who means no good. */
static int make_cookie(int fd, struct offlay_ioc_name *ret_name)
{
	*ret_name = (struct offlay_ioc_name){ .version = OFFLAY_ABI_VERSION };
	return ioctl(fd, OFFLAY_IOC_NAME, ret_name) ? -errno : 0;
}

static int clone_by(int fd, const struct offlay_ioc_name *name)
{
	struct offlay_ioc_clone arg = { .version = OFFLAY_ABI_VERSION };

	memcpy(arg.cookie, name->cookie, sizeof(arg.cookie));
	return ioctl(fd, OFFLAY_IOC_CLONE, &arg) ? -errno : 0;
}

/* Whoever waits for a clone does not wait for the disk. */
static void expect_unread(const struct clone_place *place, const char *name,
			  uint64_t size)
{
	char path[PATH_MAX], byte;
	struct iovec iov = { &byte, 1 };
	int fd;

	volume_path(path, place->dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_expect_eq(preadv2(fd, &iov, 1, (off_t)size - 1, RWF_NOWAIT), -1);
	cr_expect_eq(errno, EAGAIN, "%s", strerror(errno));
	close(fd);
}

/* Where data passes the daemon by, nobody need ask to know the new size. */
CLONE_ON_EACH_BACKING(clone, moves_the_end_that_the_kernel_knows)
{
	static const uint64_t sizes[] = { 1,	   4096,	2 * MIB - 1,
					  2 * MIB, 2 * MIB + 1, 3 * MIB + 77 };
	struct offlay_ioc_name name;
	struct statx stx;
	char from[] = "src0", to[] = "dst0";

	if (mode_missing(MODE_PASSTHROUGH))
		volume_skip("the end", "%s", mode_missing(MODE_PASSTHROUGH));
	mount_open(place->dir, NULL, &place->mount);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int src, dst;

		from[3] = to[3] = (char)('0' + i);
		clone_file(place, from, sizes[i], i);
		src = clone_open(place, from, O_RDONLY);
		dst = clone_open(place, to, O_RDWR | O_CREAT);
		cr_assert_eq(make_cookie(src, &name), 0);
		cr_assert_eq(clone_by(dst, &name), 0);
		cr_assert_eq(statx(dst, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
				   STATX_SIZE, &stx),
			     0);
		/* All but a byte that would begin a page. */
		if (sizes[i] % 4096 != 1)
			cr_expect_eq(stx.stx_size, sizes[i]);
		if (sizes[i] > MIB)
			expect_unread(place, to, sizes[i]);
		clone_is_same(place, from, to);
		close(src);
		close(dst);
	}
	mount_close(&place->mount);
}

CLONE_ON_EACH_BACKING(clone, takes_a_cookie_once_and_from_its_user)
{
	static const struct user other = { 4321, 4321, 0, { 0 } };
	struct offlay_ioc_name name;
	int src, dst, fd;

	clone_file(place, "src", SIZE, 7);
	mount_open(place->dir, NULL, &place->mount);
	src = clone_open(place, "src", O_RDONLY);
	dst = clone_open(place, "dst", O_RDWR | O_CREAT);
	cr_assert_eq(make_cookie(src, &name), 0);
	cr_assert_eq(user_enter(&other), 0);
	cr_expect_eq(clone_by(dst, &name), -ESTALE);
	cr_assert_eq(user_leave(), 0);
	cr_expect_eq(clone_by(dst, &name), 0);
	cr_expect_eq(clone_by(dst, &name), -ESTALE);
	/* It does not outlive the open file. */
	cr_assert_eq(make_cookie(src, &name), 0);
	close(src);
	process_sleep_ms(100); /* the kernel does not wait for a release */
	cr_expect_eq(clone_by(dst, &name), -ESTALE);
	fd = clone_open(place, "src", O_WRONLY);
	cr_expect_eq(make_cookie(fd, &name), -EBADF);
	close(fd);
	fd = clone_open(place, ".", O_RDONLY);
	cr_expect_eq(make_cookie(fd, &name), -EISDIR);
	close(fd);
	close(dst);
	mount_close(&place->mount);
}

CLONE_ON_EACH_BACKING(clone, refuses_structures_from_the_future)
{
	struct offlay_ioc_name name = { .version = OFFLAY_ABI_VERSION + 1 };
	struct offlay_ioc_extents *map = calloc(1, sizeof(*map));
	int fd;

	cr_assert_not_null(map);
	clone_file(place, "src", SIZE, 7);
	mount_open(place->dir, NULL, &place->mount);
	fd = clone_open(place, "src", O_RDONLY);
	cr_expect(ioctl(fd, OFFLAY_IOC_NAME, &name) < 0 && errno == EOPNOTSUPP);
	name = (struct offlay_ioc_name){ .version = 1, .flags = 1 };
	cr_expect(ioctl(fd, OFFLAY_IOC_NAME, &name) < 0 && errno == EINVAL);
	name = (struct offlay_ioc_name){ .version = 1,
					 .reserved = { 0, 0, 1 } };
	cr_expect(ioctl(fd, OFFLAY_IOC_NAME, &name) < 0 && errno == EINVAL);
	map->version = 1;
	map->length = UINT64_MAX;
	map->count = OFFLAY_EXTENTS_MAX + 1;
	cr_expect(ioctl(fd, OFFLAY_IOC_EXTENTS, map) < 0 && errno == EINVAL);
	map->count = OFFLAY_EXTENTS_MAX;
	map->extents[5].logical = 5; /* not looked at */
	cr_expect_eq(ioctl(fd, OFFLAY_IOC_EXTENTS, map), 0);
	cr_expect_geq(map->mapped, 1);
	cr_expect_eq(map->extents[5].logical, 0);
	free(map);
	close(fd);
	mount_close(&place->mount);
}

VOLUME_MAIN;
