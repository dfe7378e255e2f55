// SPDX-License-Identifier: MIT
/* What is kept for a regular file that is open, and for each of its handles. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "watch.h"

#ifndef F2FS_SUPER_MAGIC
#define F2FS_SUPER_MAGIC 0xF2F52010
#endif

/* Where close(2) never has an error to tell. */
static bool is_local(uint32_t type)
{
	switch (type) {
	case BTRFS_SUPER_MAGIC:
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
	case F2FS_SUPER_MAGIC:
	case OVERLAYFS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

/*
 * Where extents are shared, and a lease keeps every writer out.  It does not
 * where others reach the same data by another way: on layers, or on clusters.
 */
static bool has_reflinks(uint32_t type)
{
	return type == BTRFS_SUPER_MAGIC || type == XFS_SUPER_MAGIC;
}

/* The inode's state, made with its first open. */
static struct inode_io *io_of(struct inode *inode, int fd)
{
	struct inode_io *io = inode_io(inode), *kept;
	uint32_t type;

	if (io)
		return io;
	io = calloc(1, sizeof(*io));
	if (!io)
		return NULL;
	pthread_mutex_init(&io->lock, NULL);
	type = inode_volume_of(inode, fd).type;
	io->local = is_local(type);
	io->reflinks = has_reflinks(type);
	kept = inode_io_set(inode, io);
	if (kept != io)
		inode_io_free(io);
	return kept;
}

void inode_io_free(struct inode_io *io)
{
	if (!io)
		return;
	pthread_mutex_destroy(&io->lock);
	free(io->kept);
	free(io);
}

void file_changed(struct inode *inode)
{
	struct inode_io *io = inode_io(inode);

	if (!io)
		return;
	pthread_mutex_lock(&io->lock);
	io->changes++;
	pthread_mutex_unlock(&io->lock);
}

/* Counts one more open; the first one decides how the inode is opened. */
static enum io_mode io_enter(struct fs *fs, struct inode_io *io, int fd,
			     bool writable)
{
	enum io_mode mode;

	pthread_mutex_lock(&io->lock);
	if (!io->opens)
		io->mode = backing_attach(fs, io, fd) ? IO_CACHED
						      : IO_PASSTHROUGH;
	mode = io->mode;
	io->opens++;
	if (writable && mode == IO_PASSTHROUGH)
		io->writers++;
	pthread_mutex_unlock(&io->lock);
	return mode;
}

/*
 * The kernel has left the mode before it sent the release, so a new open may
 * choose anew as soon as the last release is here.
 */
static void io_leave(struct fs *fs, struct inode_io *io, bool writable)
{
	pthread_mutex_lock(&io->lock);
	if (writable && io->mode == IO_PASSTHROUGH)
		io->writers--;
	if (!--io->opens) {
		if (io->mode == IO_PASSTHROUGH)
			backing_detach(fs, io);
		io->mode = IO_NONE;
		atomic_store(&io->slow, false);
	}
	pthread_mutex_unlock(&io->lock);
}

void file_io_free(struct file *file)
{
	struct file_io *io = file->io;
	int fd;

	if (!io)
		return;
	watch_close(file);
	backing_left(file);
	copy_reads_end(file->fs, io->opener, io->ineligible);
	io_leave(file->fs, io->inode, open_is_writable(file->flags));
	fd = atomic_load(&io->direct_fd);
	if (fd >= 0)
		close(fd);
	pthread_mutex_destroy(&io->lock);
	free(io);
	file->io = NULL;
}

int file_io_add(struct file *file)
{
	struct inode_io *inode = io_of(file->inode, file->fd);
	struct file_io *io = calloc(1, sizeof(*io));

	if (!inode || !io) {
		free(io);
		return -ENOMEM;
	}
	io->inode = inode;
	pthread_mutex_init(&io->lock, NULL);
	atomic_init(&io->direct_fd, -1);
	io->mode = io_enter(file->fs, inode, file->fd,
			    open_is_writable(file->flags));
	file->io = io;
	return 0;
}

int file_open_own(struct fs *fs, fuse_ino_t ino, struct file **ret_file)
{
	PIN_AUTO(pin);
	struct file *file;
	int err, fd;

	err = inode_pin_to_open(fs, ino, &pin);
	if (err)
		return err;
	fd = inode_open(fs, &pin, O_RDONLY | O_NONBLOCK | O_NOATIME);
	if (fd == -EPERM)
		fd = inode_open(fs, &pin, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return fd;
	err = handle_new(fs, &pin, fd, O_RDONLY, &file);
	if (err)
		return err;
	err = file_io_add(file);
	if (err) {
		handle_drop(file);
		return err;
	}
	handle_own(file);
	*ret_file = file;
	return 0;
}
