/* SPDX-License-Identifier: MIT */
/* Parity with the backing: reading, writing, allocating and copying data. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>
#include "parity.h"

static void reading_and_writing(struct parity *p)
{
	char a[10] = "0123456789", b[10] = "abcdefghij", buf[32];
	struct iovec iov[2] = { { a, 10 }, { b, 10 } };
	struct iovec nowhere = { (void *)8, 10 };
	int fd = OPEN(p, open("f", O_RDWR | O_CREAT, 0644));

	CALL(p, writev(fd, iov, 2));
	CALL(p, pwritev(fd, iov, 2, 15));
	CALL(p, pwritev2(fd, iov, 2, 0, RWF_APPEND));
	CALL(p, pwritev2(fd, iov, 2, 3, RWF_DSYNC));
	CALL(p, pwritev2(fd, iov, 2, 3, 0x4000));
	note_text(p, "f");
	CALL(p, pread(fd, buf, sizeof(buf), 40));
	CALL(p, pread(fd, buf, sizeof(buf), 55));
	CALL(p, pread(fd, buf, sizeof(buf), 1000));
	CALL(p, pread(fd, buf, 0, 0));
	CALL(p, pread(fd, buf, sizeof(buf), -1));
	CALL(p, pwrite(fd, buf, 0, 1 << 20));
	CALL(p, pwrite(fd, "end", 3, 1 << 20));
	CALL(p, pread(fd, buf, sizeof(buf), 1000));
	CALL(p, preadv(fd, iov, 2, (1 << 20) - 5));
	note_content(p, "f");
	CALL(p, pwrite(fd, "x", 1, 0x7fffffffffffffffll));
	CALL(p, preadv(fd, &nowhere, 1, 0));
	CALL(p, pwritev(fd, &nowhere, 1, 0));
	note_content(p, "f");
}

static void large_transfers(struct parity *p)
{
	size_t size = 9 << 20;
	char *buf = malloc(size);
	int fd;

	make_data(p, "f", size);
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, read(fd, buf, size));
	CALL(p, pwrite(fd, buf, size, 4097));
	CALL(p, pread(fd, buf, size, 4097));
	note_content(p, "f");
	CALL(p, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	note_content(p, "f");
	free(buf);
}

static void seeking(struct parity *p)
{
	int fd = OPEN(p, open("f", O_RDWR | O_CREAT, 0644));

	CALL(p, lseek(fd, 0, SEEK_HOLE));
	CALL(p, lseek(fd, 0, SEEK_DATA));
	CALL(p, ftruncate(fd, 1 << 20));
	CALL(p, lseek(fd, 0, SEEK_DATA));
	CALL(p, lseek(fd, 0, SEEK_HOLE));
	CALL(p, pwrite(fd, "x", 1, 300000));
	CALL(p, fsync(fd));
	CALL(p, lseek(fd, 0, SEEK_DATA));
	CALL(p, lseek(fd, 0, SEEK_HOLE));
	CALL(p, lseek(fd, 300000, SEEK_DATA));
	CALL(p, lseek(fd, 300000, SEEK_HOLE));
	CALL(p, lseek(fd, 400000, SEEK_DATA));
	CALL(p, lseek(fd, 1 << 20, SEEK_HOLE));
	CALL(p, lseek(fd, 2 << 20, SEEK_DATA));
	CALL(p, lseek(fd, -1, SEEK_DATA));
	CALL(p, lseek(fd, -1, SEEK_SET));
	CALL(p, lseek(fd, 10, SEEK_END));
	CALL(p, lseek(fd, -10, SEEK_CUR));
	CALL(p, lseek(fd, -(1 << 21), SEEK_CUR));
	CALL(p, lseek(fd, 0, 77));
	DIFFERS(p, "every FUSE superblock has MAX_LFS_FILESIZE", LLONG_MAX,
		lseek(fd, LLONG_MAX, SEEK_SET));
}

static void allocate(struct parity *p, int mode, off_t offset, off_t length)
{
	int fd;

	make_data(p, "f", 100000);
	fd = open("f", O_RDWR);
	note(p, "fallocate %#x at %lld of %lld: %s", mode, (long long)offset,
	     (long long)length,
	     errno_name(fallocate(fd, mode, offset, length) ? errno : 0));
	note_content(p, "f");
	CALL(p, fsync(fd));
	CALL(p, lseek(fd, 0, SEEK_HOLE));
	close(fd);
}

static void allocating(struct parity *p)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE,
		0x4000,
	};
	static const off_t ranges[][2] = { { 4096, 8192 },   { 100, 300 },
					   { 90000, 50000 }, { 200000, 4096 },
					   { 0, 0 },	     { -1, 5 },
					   { 5, -1 },	     { 0, 100000 } };

	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++)
		for (size_t r = 0; r < sizeof(ranges) / sizeof(*ranges); r++)
			allocate(p, modes[m], ranges[r][0], ranges[r][1]);
}

#define FUSE_FALLOCATE                                                     \
	"fuse_file_fallocate() lets KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE " \
	"through and answers the rest itself"

static void allocating_otherwise(struct parity *p)
{
	static const int modes[] = { FALLOC_FL_COLLAPSE_RANGE,
				     FALLOC_FL_INSERT_RANGE,
				     FALLOC_FL_UNSHARE_RANGE };
	int fd;

	for (int i = 0; i < 3; i++) {
		make_data(p, "f", 100000);
		fd = open("f", O_RDWR);
		DIFFERS(p, FUSE_FALLOCATE, -EOPNOTSUPP,
			fallocate(fd, modes[i], 4096, 8192));
		close(fd);
	}
	make_data(p, "f", 100000);
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, fallocate(fd, 0, 0, 100));
	close(fd);
	fd = OPEN(p, open(".", O_RDONLY));
	CALL(p, fallocate(fd, 0, 0, 100));
	close(fd);
	CALL(p, mkfifo("fifo", 0644));
	fd = OPEN(p, open("fifo", O_RDWR | O_NONBLOCK));
	CALL(p, fallocate(fd, 0, 0, 100));
	close(fd);
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, fallocate(fd, 0, 0, 1ll << 50));
	CALL(p, fallocate(fd, 0, 0x7fffffffffff0000ll, 0x10000));
	note_content(p, "f");
}

#define FUSE_MEMORY \
	"the daemon gets a copy, so it cannot see how memory was aligned"

static void direct(struct parity *p)
{
	static const off_t tries[][2] = {
		{ 0, 4096 }, { 4096, 8192 },  { 1, 4096 },     { 512, 512 },
		{ 0, 100 },  { 98304, 4096 }, { 98304, 1697 }, { 200000, 4096 },
	};
	char *buf = aligned_alloc(4096, 3 * 4096);
	int fd;

	memset(buf, 'd', 3 * 4096);
	make_data(p, "f", 100001);
	fd = OPEN(p, open("f", O_RDWR | O_DIRECT));
	if (fd < 0)
		return;
	note(p, "%#o", fcntl(fd, F_GETFL));
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		note(p, "%ld at %ld", (long)tries[i][1], (long)tries[i][0]);
		CALL(p, pread(fd, buf, tries[i][1], tries[i][0]));
		/* A direct read may scribble past what it returns. */
		memset(buf, 'd' + (int)i, 3 * 4096);
		CALL(p, pwrite(fd, buf, tries[i][1], tries[i][0]));
		note_stat(p, "f");
	}
	CALL(p, pread(fd, buf + 512, 4096, 0));
	DIFFERS(p, FUSE_MEMORY, 4096, pread(fd, buf + 1, 4096, 0));
	note_content(p, "f");
	free(buf);
}

static void direct_and_buffered(struct parity *p)
{
	char *page = aligned_alloc(4096, 4096);
	int plain, raw;

	make_data(p, "f", 65536);
	plain = OPEN(p, open("f", O_RDWR));
	raw = OPEN(p, open("f", O_RDWR | O_DIRECT));
	if (raw < 0)
		return;
	CALL(p, pread(plain, page, 4096, 8192));
	memset(page, 'r', 4096);
	CALL(p, pwrite(raw, page, 4096, 8192));
	note_content(p, "f");
	memset(page, 'b', 4096);
	CALL(p, pwrite(plain, page, 4096, 16384));
	memset(page, 0, 4096);
	CALL(p, pread(raw, page, 4096, 16384));
	note(p, "read %c", page[100]);
	CALL(p, fcntl(plain, F_SETFL, O_DIRECT));
	CALL(p, pread(plain, page, 4096, 8192));
	note(p, "read %c", page[100]);
	free(page);
}

static void sending(struct parity *p)
{
	char buf[100];
	off_t offset = 1000;
	int in, out, pipe_fds[2];

	make_data(p, "f", 100000);
	in = OPEN(p, open("f", O_RDONLY));
	out = OPEN(p, open("g", O_RDWR | O_CREAT, 0644));
	CALL(p, sendfile(out, in, &offset, 50000));
	CALL(p, sendfile(out, in, NULL, 200000));
	CALL(p, lseek(in, 0, SEEK_CUR));
	note_content(p, "g");
	CALL(p, pipe(pipe_fds));
	offset = 99950;
	CALL(p, splice(in, &offset, pipe_fds[1], NULL, 100, 0));
	CALL(p, read(pipe_fds[0], buf, sizeof(buf)));
	CALL(p, write(pipe_fds[1], "through a pipe", 14));
	offset = 7;
	CALL(p, splice(pipe_fds[0], NULL, out, &offset, 14, 0));
	note_content(p, "g");
	CALL(p, vmsplice(pipe_fds[1], &(struct iovec){ buf, 10 }, 1, 0));
	CALL(p, splice(pipe_fds[0], NULL, in, &offset, 10, 0));
	CALL(p, fcntl(out, F_SETFL, O_APPEND));
	CALL(p, splice(pipe_fds[0], NULL, out, NULL, 10, 0));
	CALL(p, sendfile(out, in, &offset, 10));
	note_content(p, "g");
}

static void copying_errors(struct parity *p)
{
	int in, out, dir, fifo[2];
	off_t a = 0, b = 0;

	make_data(p, "f", 100000);
	make_data(p, "g", 1000);
	in = OPEN(p, open("f", O_RDWR));
	out = OPEN(p, open("g", O_RDWR));
	dir = OPEN(p, open(".", O_RDONLY));
	CALL(p, pipe(fifo));
	CALL(p, copy_file_range(in, &a, out, &b, 10, 1));
	CALL(p, copy_file_range(dir, &a, out, &b, 10, 0));
	CALL(p, copy_file_range(in, NULL, fifo[1], NULL, 10, 0));
	CALL(p, copy_file_range(fifo[0], NULL, out, NULL, 10, 0));
	CALL(p, copy_file_range(in, &a, in, &b, 10, 0));
	b = 5;
	CALL(p, copy_file_range(in, &a, in, &b, 10, 0));
	b = -1;
	CALL(p, copy_file_range(in, &a, out, &b, 10, 0));
	b = 0;
	a = 100000;
	CALL(p, copy_file_range(in, &a, out, &b, 10, 0));
	a = 0;
	CALL(p, copy_file_range(in, &a, out, &b, 0, 0));
	b = 0x7ffffffffffffff0ll;
	CALL(p, copy_file_range(in, &a, out, &b, 100, 0));
	note_stat(p, "g");
	CALL(p, ftruncate(out, 1000));
	b = 0;
	CALL(p, copy_file_range(-1, &a, out, &b, 10, 0));
	CALL(p, copy_file_range(open("f", O_WRONLY), &a, out, &b, 10, 0));
	CALL(p, copy_file_range(in, &a, open("g", O_RDONLY), &b, 10, 0));
	CALL(p, copy_file_range(in, &a, open("g", O_RDWR | O_APPEND), NULL, 10,
				0));
	note_content(p, "g");
}

static void copying(struct parity *p)
{
	off_t a = 0, b = 0;
	int in, out;

	make_data(p, "f", 300001);
	in = OPEN(p, open("f", O_RDWR));
	out = OPEN(p, open("g", O_RDWR | O_CREAT, 0644));
	CALL(p, copy_file_range(in, &a, out, &b, 300001, 0));
	note(p, "%lld %lld", (long long)a, (long long)b);
	note_content(p, "g");
	CALL(p, copy_file_range(in, NULL, out, NULL, 4096, 0));
	CALL(p, lseek(in, 0, SEEK_CUR));
	CALL(p, lseek(out, 0, SEEK_CUR));
	a = 1;
	b = 1;
	CALL(p, copy_file_range(in, &a, out, &b, 200000, 0));
	a = 17;
	b = 4095;
	CALL(p, copy_file_range(in, &a, out, &b, 50000, 0));
	note_content(p, "g");
	a = 290000;
	b = 290000;
	CALL(p, copy_file_range(in, &a, out, &b, 1 << 20, 0));
	a = 0;
	b = 163840;
	CALL(p, copy_file_range(in, &a, in, &b, 131072, 0));
	note_content(p, "f");
	CALL(p, unlink("g"));
	a = 0;
	b = 0;
	CALL(p, copy_file_range(in, &a, out, &b, 8192, 0));
	note_fstat(p, out);
}

#define FUSE_REMAP \
	"FUSE has no remap_file_range, so the VFS answers reflink ioctls itself"

static void reflinking(struct parity *p)
{
	struct file_clone_range range = { 0 };
	int in, out;

	make_data(p, "f", 65536);
	in = OPEN(p, open("f", O_RDONLY));
	out = OPEN(p, open("g", O_RDWR | O_CREAT, 0644));
	range.src_fd = in;
	DIFFERS(p, FUSE_REMAP, -EOPNOTSUPP, ioctl(out, FICLONE, in));
	DIFFERS(p, FUSE_REMAP, -EOPNOTSUPP, ioctl(out, FICLONERANGE, &range));
	CALL(p, ioctl(out, FICLONE, -1));
}

static void synchronizing(struct parity *p)
{
	int fd, dir;

	make_data(p, "f", 65536);
	fd = OPEN(p, open("f", O_RDWR));
	dir = OPEN(p, open(".", O_RDONLY));
	CALL(p, fsync(fd));
	CALL(p, fdatasync(fd));
	CALL(p, fsync(dir));
	CALL(p, fdatasync(dir));
	CALL(p, syncfs(fd));
	CALL(p, sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
	CALL(p, posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	CALL(p, readahead(fd, 0, 4096));
	CALL(p, fsync(open("f", O_RDONLY)));
	CALL(p, fsync(open("f", O_PATH)));
	CALL(p, mkfifo("fifo", 0600));
	CALL(p, fsync(open("fifo", O_RDWR)));
}

static const struct parity_row rows[] = {
	{ "read and write", reading_and_writing, 0 },
	{ "large transfers", large_transfers, 0 },
	{ "lseek", seeking, 0 },
	{ "fallocate", allocating, 0 },
	{ "fallocate, errors and rare modes", allocating_otherwise, 0 },
	{ "O_DIRECT", direct, 0 },
	{ "O_DIRECT beside buffered", direct_and_buffered, 0 },
	{ "sendfile and splice", sending, 0 },
	{ "copy_file_range errors", copying_errors, 0 },
	{ "copy_file_range", copying, 0 },
	{ "reflink ioctls", reflinking, 0 },
	{ "fsync", synchronizing, 0 },
};

PARITY_TOPIC(data, rows);
