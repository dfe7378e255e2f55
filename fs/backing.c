// SPDX-License-Identifier: MIT
/* Kernel passthrough: one backing id an inode, kept until its last release. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <syslog.h>

#include "file.h"

/*
 * As in <linux/fuse.h> of kernel 6.9: libfuse has functions for these, but
 * they log each failure and lose its errno.
 */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* Errnos that no other file of this mount will be spared. */
static bool is_hopeless(int err)
{
	return err == -EPERM || err == -ENOTTY || err == -EOPNOTSUPP;
}

int backing_attach(struct fs *fs, struct inode_io *io, int fd)
{
	struct backing_map map = { .fd = fd };
	int id, err;

	if (!WITH_PASSTHROUGH || !fs->passthrough)
		return -EOPNOTSUPP;
	/* The kernel writes with the capabilities that we have here. */
	creds_drop_fsetid(fs);
	id = ioctl(fuse_session_fd(fs->se), BACKING_OPEN, &map);
	err = id < 0 ? -errno : -EIO;
	creds_restore_fsetid(fs);
	if (id > 0) {
		io->backing_id = id;
		return 0;
	}
	if (is_hopeless(err)) {
		fs->passthrough = false;
		log_msg(LOG_NOTICE, "no passthrough here: %s", strerror(-err));
	} else {
		log_msg(LOG_DEBUG, "no passthrough for a file: %s",
			strerror(-err));
	}
	return err;
}

void backing_detach(struct fs *fs, struct inode_io *io)
{
	uint32_t id = (uint32_t)io->backing_id;
	int fd = fuse_session_fd(fs->se);

	/* Without its connection the id is gone, too. */
	if (fd >= 0 && ioctl(fd, BACKING_CLOSE, &id) < 0)
		log_msg(LOG_WARNING, "cannot close backing id %u: %s", id,
			strerror(errno));
	io->backing_id = 0;
}

/*
 * The kernel refuses such a handle (EIO) once another open has begun
 * passthrough.  So only the first may be one, and all that are opened before
 * the kernel has used it must be, too.  And it refuses passthrough once such a
 * handle has been mapped, of which we are not told: beside one that can be
 * read all are without it.
 */
bool backing_beside(struct file *file, bool wished)
{
	struct inode_io *io = file->io->inode;
	bool beside;

	pthread_mutex_lock(&io->lock);
	beside = io->unseen || (wished && io->opens == 1);
	io->unseen += beside;
	pthread_mutex_unlock(&io->lock);
	atomic_store(&file->io->unseen, beside);
	return beside;
}

void backing_seen(struct file *file)
{
	if (!open_is_readable(file->flags))
		backing_left(file);
}

void backing_left(struct file *file)
{
	struct inode_io *io = file->io->inode;

	if (!atomic_exchange(&file->io->unseen, false))
		return;
	pthread_mutex_lock(&io->lock);
	io->unseen--;
	pthread_mutex_unlock(&io->lock);
}
