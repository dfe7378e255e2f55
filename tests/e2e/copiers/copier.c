// SPDX-License-Identifier: MIT
/*
 * Copies one file, rightly, or with the one bug that COPIER_BUG names at
 * compile time; for the tests of offlay conform.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum bug {
	BUG_NONE,
	BUG_SHORT,	/* ignores short counts */
	BUG_ZERO,	/* takes 0 for success */
	BUG_EOPNOTSUPP, /* takes a refusal for a disaster */
	BUG_EINTR,	/* loops for ever once it was interrupted */
	BUG_HALF,	/* leaves a truncated file, and exits with 0 */
	BUG_HOLES,	/* copies holes as zeros: no error, but a pity */
	BUG_EAGER,	/* gives the copy its size first, and leaves it so */
};

#ifndef COPIER_BUG
#define COPIER_BUG BUG_NONE
#endif

static const enum bug bug = COPIER_BUG;

#define CHUNK ((size_t)64 << 10)

/* "Copy by hand", as copiers take it. */
static bool is_refusal(int err)
{
	switch (err) {
	case EOPNOTSUPP:
		return bug != BUG_EOPNOTSUPP;
	case EINVAL:
	case EXDEV:
	case ENOSYS:
	case EPERM:
	case ETXTBSY:
	case EBADF:
		return true;
	default:
		return false;
	}
}

/* The same call again, as long as it is interrupted. */
static bool is_interrupted(ssize_t count)
{
	if (count >= 0 || errno != EINTR)
		return false;
	/* The mistake: nobody asks again, and so the answer stays. */
	while (bug == BUG_EINTR && errno == EINTR)
		usleep(1000);
	return true;
}

static int write_all(int fd, const char *buf, size_t size, off_t at)
{
	while (size) {
		ssize_t count = pwrite(fd, buf, size, at);

		if (is_interrupted(count))
			continue;
		if (count < 0)
			return -errno;
		if (bug == BUG_SHORT)
			return 0;
		buf += count;
		size -= (size_t)count;
		at += count;
	}
	return 0;
}

/* Bytes [from, to) by read and write. */
static int copy_by_hand(int src, int dst, off_t from, off_t to)
{
	static char buf[CHUNK];

	while (from < to) {
		size_t size = to - from < (off_t)CHUNK ? (size_t)(to - from)
						       : CHUNK;
		ssize_t count = pread(src, buf, size, from);
		int err;

		if (is_interrupted(count))
			continue;
		if (count < 0)
			return -errno;
		if (!count)
			break; /* it has shrunk */
		err = write_all(dst, buf, (size_t)count, from);
		if (err)
			return err;
		from += count;
	}
	return 0;
}

/* Return: 0, 1 where the rest has to be copied by hand, or an error. */
static int copy_by_offload(int src, int dst, off_t *at, off_t to)
{
	while (*at < to) {
		off_t in = *at, out = *at;
		ssize_t count = copy_file_range(src, &in, dst, &out,
						(size_t)(to - *at), 0);

		if (is_interrupted(count))
			continue;
		if (count < 0)
			return is_refusal(errno) ? 1 : -errno;
		if (!count)
			return bug == BUG_ZERO ? 0 : 1;
		if (bug == BUG_SHORT)
			return 0;
		*at += count;
	}
	return 0;
}

static int copy_data(int src, int dst, off_t from, off_t to)
{
	int err = copy_by_offload(src, dst, &from, to);

	return err == 1 ? copy_by_hand(src, dst, from, to) : err;
}

/* Data by data, so that holes stay holes. */
static int copy_pieces(int src, int dst, off_t size)
{
	off_t data, hole = 0;
	int err = 0;

	while (!err && hole < size) {
		data = lseek(src, hole, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(src, data, SEEK_HOLE);
		if (hole < 0)
			return errno == ENXIO ? 0 : -errno;
		err = copy_data(src, dst, data, hole);
	}
	return err;
}

/* Of what is really there now: the source may have changed. */
static int finish(int src, int dst, off_t size)
{
	struct stat st;

	if (fstat(src, &st) < 0)
		return -errno;
	if (st.st_size < size)
		size = st.st_size;
	return ftruncate(dst, size) < 0 ? -errno : 0;
}

static int copy(int src, int dst, off_t size)
{
	int err;

	if (bug == BUG_EAGER && ftruncate(dst, size) < 0)
		return -errno;
	if (bug == BUG_HOLES)
		err = copy_by_hand(src, dst, 0, size);
	else
		err = copy_pieces(src, dst, size);
	/* Whatever it was: half a copy, and no word of it. */
	if (err && bug == BUG_HALF)
		return 0;
	return err ? err : finish(src, dst, size);
}

int main(int argc, char **argv)
{
	int src, dst, err;
	struct stat st;

	if (argc != 3)
		return 2;
	src = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (src < 0 || fstat(src, &st) < 0) {
		perror(argv[1]);
		return 1;
	}
	dst = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		   st.st_mode & 0777);
	if (dst < 0) {
		perror(argv[2]);
		return 1;
	}
	err = copy(src, dst, st.st_size);
	if (close(dst) < 0 && !err)
		err = -errno;
	if (err)
		fprintf(stderr, "%s: %s\n", argv[2], strerror(-err));
	return err ? 1 : 0;
}
