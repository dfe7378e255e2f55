// SPDX-License-Identifier: MIT
/* Point-in-time copies of file ranges, many in one unlinked file. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "odx.h"

#define BLOCK_MIN   4096u
#define BUFFER_SIZE (256u << 10)
/* The source may shrink between looking at its size and cloning. */
#define TRIES	8
#define FD_PATH 32

void snapshot_store_init(struct snapshot_store *store)
{
	pthread_mutex_init(&store->lock, NULL);
	for (size_t i = 0; i < SNAPSHOT_FILES; i++)
		store->files[i] = (struct snapshot_file){ .fd = -1 };
}

static void file_close(struct snapshot_file *file)
{
	close(file->fd);
	*file = (struct snapshot_file){ .fd = -1 };
}

void snapshot_store_done(struct snapshot_store *store)
{
	for (size_t i = 0; i < SNAPSHOT_FILES; i++)
		if (store->files[i].fd >= 0)
			file_close(&store->files[i]);
	pthread_mutex_destroy(&store->lock);
}

static bool is_nocow(int fd)
{
	unsigned long flags = 0; /* an int is written, room for a long */

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
	       ((unsigned int)flags & FS_NOCOW_FL);
}

/* Only an empty file can change; a clone wants both sides alike. */
static void set_nocow(int fd)
{
	unsigned long flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags |= FS_NOCOW_FL;
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

/* Errors of making a file that mean: no room for snapshots here. */
static bool is_no_place(int err)
{
	return err == EROFS || err == EACCES || err == EPERM || err == EISDIR ||
	       err == ENOTDIR || err == ENOENT || err == EINVAL;
}

/* Never a visible name: what dies with us leaves nothing behind. */
static int file_open(const struct snapshot_range *range, uint64_t dev,
		     bool nocow, struct snapshot_file *file)
{
	int fd;

	fd = openat(range->dir_fd, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return is_no_place(errno) ? -EOPNOTSUPP : -errno;
	if (nocow)
		set_nocow(fd);
	*file = (struct snapshot_file){ .dev = dev, .nocow = nocow, .fd = fd };
	return 0;
}

static int file_get(struct snapshot_store *store,
		    const struct snapshot_range *range, uint64_t dev,
		    struct snapshot_file **ret_file)
{
	struct snapshot_file *file, *idle = NULL;
	bool nocow = is_nocow(range->src_fd);
	int err;

	for (size_t i = 0; i < SNAPSHOT_FILES; i++) {
		file = &store->files[i];
		if (file->fd >= 0 && file->dev == dev && file->nocow == nocow) {
			*ret_file = file;
			return 0;
		}
		if (file->fd < 0)
			idle = file;
	}
	if (!idle)
		return -EOPNOTSUPP;
	err = file_open(range, dev, nocow, idle);
	if (err)
		return err;
	*ret_file = idle;
	return 0;
}

/* Once nothing lives in a file, its space goes back at once. */
static void file_put(struct snapshot_file *file)
{
	if (!file->live)
		file_close(file);
}

static uint32_t block_of(int fd)
{
	struct sys_volume volume;

	if (sys_kernel_ops.volume(NULL, fd, &volume) || !volume.block_size)
		return BLOCK_MIN;
	return volume.block_size;
}

static int clone_slot(const struct snapshot_range *range,
		      struct snapshot *snapshot, uint32_t block)
{
	uint64_t start = range->offset & ~(uint64_t)(block - 1), end;
	struct sys_file source;
	int err = 0;

	for (int i = 0; i < TRIES; i++) {
		err = sys_kernel_ops.stat(NULL, range->src_fd, &source);
		if (err)
			return err;
		if (range->offset >= source.size)
			return -ENODATA;
		end = odx_round_up(range->offset + range->length, block);
		end = copy_min(end, source.size);
		err = sys_kernel_ops.clone(NULL, range->src_fd, start,
					   end - start, snapshot->fd,
					   snapshot->slot);
		if (err != -EINVAL)
			break;
	}
	snapshot->at = snapshot->slot + (range->offset - start);
	snapshot->length = range->length;
	snapshot->size = source.size;
	return err;
}

/* While a read lease is held nobody can have the file open for writing. */
static int lease_take(int src_fd)
{
	char path[FD_PATH];
	int fd, err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", src_fd);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
		return fd;
	err = errno == EAGAIN ? -EAGAIN : -EOPNOTSUPP;
	close(fd);
	return err;
}

static int copy_bytes(int fd, uint64_t offset, uint64_t length, int dst_fd,
		      uint64_t at)
{
	char *buffer = malloc(BUFFER_SIZE);
	ssize_t n = 0, done;

	if (!buffer)
		return -ENOMEM;
	while (length) {
		n = sys_kernel_ops.pread(NULL, fd, buffer,
					 copy_min(length, BUFFER_SIZE), offset);
		if (n <= 0)
			break;
		done = sys_kernel_ops.pwrite(NULL, dst_fd, buffer, (size_t)n,
					     at);
		if (done <= 0) {
			n = done ? done : -EIO;
			break;
		}
		offset += (uint64_t)done;
		at += (uint64_t)done;
		length -= (uint64_t)done;
	}
	free(buffer);
	return n < 0 ? (int)n : 0;
}

static int copy_slot(const struct snapshot_range *range,
		     struct snapshot *snapshot)
{
	struct sys_file source;
	int fd, err;

	if (!range->copy_max)
		return -EOPNOTSUPP;
	fd = lease_take(range->src_fd);
	if (fd < 0)
		return fd;
	err = sys_kernel_ops.stat(NULL, fd, &source);
	if (!err && range->offset >= source.size)
		err = -ENODATA;
	if (!err) {
		snapshot->at = snapshot->slot;
		snapshot->size = source.size;
		snapshot->length = copy_min(range->length, range->copy_max);
		err = copy_bytes(fd, range->offset, snapshot->length,
				 snapshot->fd, snapshot->at);
	}
	/* Somebody who waits to write has not written; but be sure. */
	if (!err && fcntl(fd, F_GETLEASE) != F_RDLCK)
		err = -EAGAIN;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	close(fd);
	return err;
}

static bool is_no_clone(int err)
{
	return copy_is_decline(-err);
}

/* With the lock held: clones must come in the order of their places. */
static int fill(struct snapshot_file *file, const struct snapshot_range *range,
		struct snapshot *snapshot)
{
	uint32_t block = block_of(range->src_fd);
	struct stat st;
	uint64_t end;
	int err;

	snapshot->file = file;
	snapshot->fd = file->fd;
	snapshot->slot = file->end = odx_round_up(file->end, block);
	err = clone_slot(range, snapshot, block);
	if (err && is_no_clone(err))
		err = copy_slot(range, snapshot);
	if (err)
		return err;
	/* A token's last sector may reach behind the source's end. */
	end = snapshot->at + snapshot->length;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < end && ftruncate(file->fd, (off_t)end) < 0)
		return -errno;
	file->end = odx_round_up(end, block);
	snapshot->slot_length = file->end - snapshot->slot;
	file->live++;
	return 0;
}

int snapshot_take(struct snapshot_store *store,
		  const struct snapshot_range *range,
		  struct snapshot *ret_snapshot)
{
	struct snapshot snapshot = { 0 };
	struct snapshot_file *file;
	struct stat dir;
	int err;

	if (fstat(range->dir_fd, &dir) < 0)
		return -errno;
	/*
	 * A clone writes the source out; better now than while others wait.
	 * What comes in between is still found by the clone.
	 */
	sync_file_range(range->src_fd, (off64_t)range->offset,
			(off64_t)range->length,
			SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				SYNC_FILE_RANGE_WAIT_AFTER);
	pthread_mutex_lock(&store->lock);
	err = file_get(store, range, dir.st_dev, &file);
	if (!err) {
		err = fill(file, range, &snapshot);
		if (err) {
			/* A clone's end must be the end of the file. */
			if (ftruncate(file->fd, (off_t)snapshot.slot) < 0)
				err = -errno;
			file_put(file);
		}
	}
	pthread_mutex_unlock(&store->lock);
	if (err)
		return err;
	*ret_snapshot = snapshot;
	return 0;
}

void snapshot_drop(struct snapshot_store *store,
		   const struct snapshot *snapshot)
{
	struct snapshot_file *file = snapshot->file;

	pthread_mutex_lock(&store->lock);
	file->live--;
	if (file->live)
		sys_kernel_ops.punch(NULL, file->fd, snapshot->slot,
				     snapshot->slot_length);
	file_put(file);
	pthread_mutex_unlock(&store->lock);
}
