// SPDX-License-Identifier: MIT
/* The files that are copied: the same bytes in every run. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conform.h"

#define KIB   ((uint64_t)1 << 10)
#define MIB   ((uint64_t)1 << 20)
#define BLOCK ((uint64_t)4096)
#define CHUNK (64 * KIB)

/* Of the three places of a sparse file. */
#define ISLAND (96 * KIB)
/* Of the files with one hole, or one part unwritten. */
#define DATA (200 * KIB)

/* What is in the file at an offset depends on that and the salt only. */
static uint64_t word_at(uint64_t offset, uint64_t salt)
{
	uint64_t x = (offset / 8 + 1) * 0x9E3779B97F4A7C15u + salt;

	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	/* No byte is zero, so that zeros are always wrong. */
	return (x ^ (x >> 31)) | 0x0101010101010101u;
}

static void fill(unsigned char *buf, uint64_t offset, size_t size,
		 uint64_t salt)
{
	for (size_t i = 0; i < size; i++) {
		uint64_t at = offset + i;

		buf[i] = (unsigned char)(word_at(at, salt) >> (at % 8 * 8));
	}
}

/* Data in [@from, @to). */
static int put_data(int fd, uint64_t from, uint64_t to, uint64_t salt)
{
	unsigned char *buf = malloc(CHUNK);
	int err = buf ? 0 : -ENOMEM;

	while (!err && from < to) {
		size_t size = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
		ssize_t count;

		fill(buf, from, size, salt);
		count = pwrite(fd, buf, size, (off_t)from);
		if (count < 0)
			err = -errno;
		else if (!count)
			err = -EIO;
		else
			from += (uint64_t)count;
	}
	free(buf);
	return err;
}

/* Every second block first, so that they do not lie side by side. */
static int put_extents(int fd, uint64_t size, uint64_t salt)
{
	uint64_t at;
	int err = 0;

	for (at = 0; !err && at < size; at += 2 * BLOCK)
		err = put_data(fd, at, at + BLOCK, salt);
	if (!err && fsync(fd) < 0)
		err = -errno;
	for (at = BLOCK; !err && at < size; at += 2 * BLOCK)
		err = put_data(fd, at, at + BLOCK, salt);
	return err;
}

/* Bytes that are not in holes, nor unwritten. */
uint64_t conform_corpus_data(const struct conform_file *file)
{
	switch (file->shape) {
	case CONFORM_SPARSE:
		return 3 * ISLAND;
	case CONFORM_HOLE_START:
	case CONFORM_HOLE_END:
	case CONFORM_ALLOCATED:
		return DATA;
	default:
		return file->size;
	}
}

static int put_shape(int fd, const struct conform_file *file, uint64_t salt)
{
	uint64_t size = file->size;
	int err = 0;

	switch (file->shape) {
	case CONFORM_PLAIN:
		return put_data(fd, 0, size, salt);
	case CONFORM_EXTENTS:
		return put_extents(fd, size, salt);
	case CONFORM_HOLE_START:
		return put_data(fd, size - DATA, size, salt);
	case CONFORM_HOLE_END:
		return put_data(fd, 0, DATA, salt);
	case CONFORM_SPARSE:
		err = put_data(fd, MIB, MIB + ISLAND, salt);
		if (!err)
			err = put_data(fd, 3 * MIB, 3 * MIB + ISLAND, salt);
		return err ? err : put_data(fd, size - ISLAND, size, salt);
	case CONFORM_ALLOCATED:
		if (fallocate(fd, 0, 0, (off_t)size) < 0)
			return -errno;
		return put_data(fd, 0, DATA, salt);
	}
	return -EINVAL;
}

static int make(int dir_fd, const char *name, const struct conform_file *file,
		uint64_t salt)
{
	int fd, err;

	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = ftruncate(fd, (off_t)file->size) < 0 ? -errno : 0;
	if (!err)
		err = put_shape(fd, file, salt);
	if (!err && fchmod(fd, file->mode) < 0)
		err = -errno;
	/* So that its extents are where they will stay. */
	if (!err && fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* Where a source ends after it was cut. */
static off_t cut_size(const struct conform_file *file,
		      enum conform_action action)
{
	return (off_t)(action == CONFORM_SHRINK ? file->size / 2
						: file->size - 1);
}

int conform_corpus_make(int dir_fd, const struct conform_file *file)
{
	return make(dir_fd, file->path, file, 1);
}

int conform_corpus_change(int dir_fd, const char *name,
			  const struct conform_file *file,
			  enum conform_action action)
{
	int fd, err;

	err = make(dir_fd, name, file, action == CONFORM_REPLACE ? 2 : 1);
	if (err || action == CONFORM_REPLACE)
		return err;
	fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (action == CONFORM_GROW)
		err = put_data(fd, file->size, file->size + CONFORM_GROWTH, 1);
	else if (ftruncate(fd, cut_size(file, action)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* A file of the whole new content takes the name. */
static int replace(int in_fd, const struct conform_file *file)
{
	char name[64];
	int err;

	snprintf(name, sizeof(name), ".%s.new", file->name);
	err = make(in_fd, name, file, 2);
	if (!err && renameat(in_fd, name, in_fd, file->path) < 0)
		err = -errno;
	return err;
}

/**
 * conform_corpus_act() - change the source while it is being copied
 * @in_fd: its directory, on the mount
 *
 * Return: 0 or a negative errno.
 */
int conform_corpus_act(int in_fd, const struct conform_file *file,
		       enum conform_action action)
{
	int fd, err;

	if (action == CONFORM_REPLACE)
		return replace(in_fd, file);
	/* Root may write to it anyway; its user has to be allowed to. */
	if (!(file->mode & 0200))
		fchmodat(in_fd, file->path, file->mode | 0200, 0);
	fd = openat(in_fd, file->path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (action == CONFORM_GROW)
		err = put_data(fd, file->size, file->size + CONFORM_GROWTH, 1);
	else
		err = ftruncate(fd, cut_size(file, action)) < 0 ? -errno : 0;
	close(fd);
	return err;
}
