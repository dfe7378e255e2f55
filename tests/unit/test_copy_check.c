// SPDX-License-Identifier: MIT
/* Tests of tools/copy_check.c: which bytes of two files agree. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copy.h"

#define SIZE (COPY_BUFFER * 2 + 777)

static int make_file(size_t size)
{
	int fd = memfd_create("check", MFD_CLOEXEC);

	cr_assert(fd >= 0);
	for (size_t i = 0; i < size; i += sizeof(i))
		cr_assert(pwrite(fd, &i, sizeof(i), (off_t)i) > 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void spoil(int fd, size_t offset)
{
	char byte;

	cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
	byte = (char)~byte;
	cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
}

Test(copy_check, finds_the_first_wrong_byte)
{
	static const size_t offsets[] = {
		0,	     1,
		4095,	     COPY_BUFFER - 1,
		COPY_BUFFER, COPY_BUFFER + 1,
		SIZE - 1,
	};
	struct copy_worker worker = { 0 };
	int src_fd = make_file(SIZE);
	uint64_t same;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		int dst_fd = make_file(SIZE);

		spoil(dst_fd, offsets[i]);
		cr_assert_eq(copy_check_prefix(&worker, src_fd, dst_fd, SIZE,
					       &same),
			     0);
		cr_expect_eq(same, offsets[i], "at %zu", offsets[i]);
		/* What is not asked for is not looked at. */
		cr_assert_eq(copy_check_prefix(&worker, src_fd, dst_fd,
					       offsets[i], &same),
			     0);
		cr_expect_eq(same, offsets[i]);
		close(dst_fd);
	}
	copy_worker_done(&worker);
	close(src_fd);
}

Test(copy_check, ends_where_either_file_does)
{
	struct copy_worker worker = { 0 };
	int long_fd = make_file(SIZE), short_fd = make_file(SIZE / 2);
	uint64_t same;

	cr_assert_eq(copy_check_prefix(&worker, long_fd, short_fd, SIZE, &same),
		     0);
	cr_expect_eq(same, SIZE / 2);
	cr_assert_eq(copy_check_prefix(&worker, short_fd, long_fd, SIZE, &same),
		     0);
	cr_expect_eq(same, SIZE / 2);
	copy_worker_done(&worker);
	close(long_fd);
	close(short_fd);
}

Test(copy_check, tells_equal_files_from_others)
{
	struct copy_worker worker = { 0 };
	int src_fd = make_file(SIZE), dst_fd = make_file(SIZE);
	char digest[33], again[33];
	bool same;

	cr_assert_eq(copy_check_verify(&worker, src_fd, dst_fd, SIZE, &same,
				       digest),
		     0);
	cr_expect(same);
	cr_expect_eq(strspn(digest, "0123456789abcdef"), 32);
	spoil(dst_fd, SIZE - 1);
	cr_assert_eq(copy_check_verify(&worker, src_fd, dst_fd, SIZE, &same,
				       again),
		     0);
	cr_expect(!same);
	cr_expect_str_eq(digest, again, "it is the source's");
	spoil(dst_fd, SIZE - 1);
	cr_assert_eq(ftruncate(dst_fd, SIZE - 1), 0);
	cr_assert_eq(copy_check_verify(&worker, src_fd, dst_fd, SIZE, &same,
				       again),
		     0);
	cr_expect(!same, "one byte is missing");
	cr_assert_eq(ftruncate(dst_fd, SIZE + 1), 0);
	cr_assert_eq(copy_check_verify(&worker, src_fd, dst_fd, SIZE, &same,
				       again),
		     0);
	cr_expect(!same, "there is more");
	/* That the source has grown since is no difference. */
	cr_assert_eq(ftruncate(dst_fd, SIZE / 2), 0);
	cr_assert_eq(copy_check_verify(&worker, src_fd, dst_fd, SIZE / 2, &same,
				       again),
		     0);
	cr_expect(same);
	/* That it was cut is one. */
	cr_assert_eq(ftruncate(src_fd, SIZE / 2 - 1), 0);
	cr_assert_eq(copy_check_verify(&worker, src_fd, dst_fd, SIZE / 2, &same,
				       again),
		     0);
	cr_expect(!same);
	copy_worker_done(&worker);
	close(src_fd);
	close(dst_fd);
}

Test(copy_check, passes_read_errors_on)
{
	struct copy_worker worker = { 0 };
	int fd = make_file(SIZE), fds[2];
	char digest[33];
	uint64_t size;
	bool same;

	cr_assert_eq(pipe(fds), 0);
	cr_expect_eq(copy_check_prefix(&worker, fd, fds[0], 10, &size),
		     -ESPIPE);
	cr_expect_eq(copy_check_prefix(&worker, fds[0], fd, 10, &size),
		     -ESPIPE);
	cr_expect_eq(copy_check_verify(&worker, fds[0], fd, SIZE, &same,
				       digest),
		     -ESPIPE);
	copy_worker_done(&worker);
	close(fd);
}
