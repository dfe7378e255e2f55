// SPDX-License-Identifier: MIT
/* Tests of lib/sys.c: what the seam promises, on real files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "private.h"

static const struct sys_ops *const ops = &sys_kernel_ops;

static int new_file(void)
{
	int fd = memfd_create("test_sys", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static uint64_t size_of(int fd)
{
	struct sys_file file;

	cr_assert_eq(ops->stat(NULL, fd, &file), 0);
	return file.size;
}

Test(sys, reads_and_writes_at_offsets)
{
	int fd = new_file();
	char buf[8] = "";

	cr_assert_eq(ops->pwrite(NULL, fd, "abc", 3, 5), 3);
	cr_assert_eq(ops->pread(NULL, fd, buf, sizeof(buf), 4), 4);
	cr_assert(!memcmp(buf, "\0abc", 4));
	cr_assert_eq(ops->pread(NULL, fd, buf, sizeof(buf), 8), 0);
	close(fd);
	cr_assert_eq(ops->pread(NULL, fd, buf, sizeof(buf), 0), -EBADF);
	cr_assert_eq(ops->pwrite(NULL, fd, buf, sizeof(buf), 0), -EBADF);
}

Test(sys, extend_grows_but_never_shrinks_nor_changes_a_byte)
{
	int fd = new_file();
	char buf[4];

	cr_assert_eq(ops->pwrite(NULL, fd, "abcd", 4, 0), 4);
	cr_assert_eq(ops->extend(NULL, fd, 2), 0);
	cr_assert_eq(size_of(fd), 4);
	cr_assert_eq(ops->extend(NULL, fd, 4), 0);
	cr_assert_eq(ops->extend(NULL, fd, 0), 0);
	cr_assert_eq(size_of(fd), 4);
	cr_assert_eq(ops->extend(NULL, fd, 1 << 20), 0);
	cr_assert_eq(size_of(fd), 1 << 20);
	cr_assert_eq(ops->pread(NULL, fd, buf, 4, 0), 4);
	cr_assert(!memcmp(buf, "abcd", 4));
	cr_assert_eq(ops->pread(NULL, fd, buf, 4, (1 << 20) - 4), 4);
	cr_assert(!memcmp(buf, "\0\0\0\0", 4));
	/* What it allocates does not count as data. */
	cr_assert_eq(ops->seek(NULL, fd, 65536, SEEK_DATA), -ENXIO);
	close(fd);
}

Test(sys, punch_makes_a_hole_and_keeps_the_size)
{
	int fd = new_file();
	char *buf = malloc(1 << 20);

	memset(buf, 'x', 1 << 20);
	cr_assert_eq(ops->pwrite(NULL, fd, buf, 1 << 20, 0), 1 << 20);
	cr_assert_eq(ops->seek(NULL, fd, 0, SEEK_HOLE), 1 << 20);
	cr_assert_eq(ops->punch(NULL, fd, 65536, 2 << 20), 0);
	cr_assert_eq(size_of(fd), 1 << 20);
	cr_assert_eq(ops->seek(NULL, fd, 0, SEEK_HOLE), 65536);
	cr_assert_eq(ops->seek(NULL, fd, 65536, SEEK_DATA), -ENXIO);
	cr_assert_eq(ops->seek(NULL, fd, 2 << 20, SEEK_DATA), -ENXIO);
	free(buf);
	close(fd);
}

/* A length of 0 would mean "to end of file" to the kernel. */
Test(sys, clone_never_passes_a_length_of_zero_on)
{
	int src = new_file(), dst = new_file();

	cr_assert_eq(ops->pwrite(NULL, src, "abc", 3, 0), 3);
	cr_assert_eq(ops->clone(NULL, src, 0, 0, dst, 0), -EINVAL);
	/* tmpfs has no clones: the errno says so, not what we made of it. */
	cr_assert_eq(ops->clone(NULL, src, 0, 3, dst, 0), -EOPNOTSUPP);
	close(src);
	close(dst);
}

Test(sys, copy_range_copies_and_leaves_the_offsets_alone)
{
	int src = new_file(), dst = new_file();
	char buf[3];

	cr_assert_eq(ops->pwrite(NULL, src, "abcdef", 6, 0), 6);
	cr_assert_eq(ops->copy_range(NULL, src, 2, dst, 1, 3), 3);
	cr_assert_eq(ops->pread(NULL, dst, buf, 3, 1), 3);
	cr_assert(!memcmp(buf, "cde", 3));
	cr_assert_eq(lseek(src, 0, SEEK_CUR), 0);
	cr_assert_eq(lseek(dst, 0, SEEK_CUR), 0);
	cr_assert_eq(ops->copy_range(NULL, src, 6, dst, 0, 9), 0);
	close(src);
	close(dst);
}

Test(sys, tells_who_a_file_is_and_how_it_is_open)
{
	int fd = new_file(), null = open("/dev/null", O_WRONLY | O_APPEND);
	struct sys_file file;
	struct sys_volume volume;
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(ops->stat(NULL, fd, &file), 0);
	cr_assert(file.dev == st.st_dev && file.ino == st.st_ino &&
		  file.mode == st.st_mode);
	cr_assert_eq(ops->volume(NULL, fd, &volume), 0);
	cr_assert_eq(volume.type, 0x01021994); /* tmpfs */
	cr_assert_eq(volume.block_size, (uint32_t)sysconf(_SC_PAGESIZE));
	cr_assert_eq(ops->open_flags(NULL, fd) & O_APPEND, 0);
	cr_assert(ops->open_flags(NULL, null) & O_APPEND);
	close(fd);
	close(null);
	cr_assert_eq(ops->stat(NULL, fd, &file), -EBADF);
	cr_assert_eq(ops->volume(NULL, fd, &volume), -EBADF);
	cr_assert_eq(ops->open_flags(NULL, fd), -EBADF);
}

/* hugetlbfs-sized "blocks" are no blocks to align to. */
Test(sys, hides_block_sizes_that_are_none)
{
	int fd = memfd_create("test_sys", MFD_HUGETLB);
	struct sys_volume volume;

	if (fd < 0)
		cr_skip_test("no huge pages");
	cr_assert_eq(ops->volume(NULL, fd, &volume), 0);
	cr_assert_eq(volume.block_size, 0);
	close(fd);
}

Test(sys, time_goes_on)
{
	uint64_t before = ops->now(NULL);

	usleep(1000);
	cr_assert_geq(ops->now(NULL), before + 1000000);
}

/* Written back and dropped, a file's pages are gone; until then, there. */
Test(sys, knows_and_drops_what_is_in_the_page_cache)
{
	int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600);
	struct sys_volume volume;
	char buf[65536] = "x";

	if (fd < 0 || ops->volume(NULL, fd, &volume) ||
	    volume.type == 0x01021994)
		cr_skip_test("no temporary file with pages to drop");
	cr_assert_eq(ops->pwrite(NULL, fd, buf, sizeof(buf), 0), sizeof(buf));
	if (ops->cached(NULL, fd, 0, sizeof(buf)) == -ENOSYS)
		cr_skip_test("no cachestat");
	cr_assert_eq(ops->cached(NULL, fd, 0, sizeof(buf)), sizeof(buf));
	cr_assert_eq(ops->cached(NULL, fd, sizeof(buf), 4096), 0);
	ops->write_back(NULL, fd, 0, sizeof(buf), false);
	ops->write_back(NULL, fd, 0, sizeof(buf), true);
	cr_assert_eq(ops->cached(NULL, fd, 0, sizeof(buf)), sizeof(buf));
	ops->drop(NULL, fd, 0, sizeof(buf));
	cr_assert_eq(ops->cached(NULL, fd, 0, sizeof(buf)), 0);
	close(fd);
	cr_assert_eq(ops->cached(NULL, fd, 0, 1), -EBADF);
}
