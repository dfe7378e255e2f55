// SPDX-License-Identifier: MIT
/* Data of open files, where it comes through the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "refusal.h"
#include "settle.h"
#include "watch.h"

#define ALIGNMENT 4096

/* One a worker thread, freed with it; as large as its largest request. */
struct buffer {
	size_t size;
	void *data;
};

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

static void buffer_free(void *value)
{
	struct buffer *buffer = value;

	free(buffer->data);
	free(buffer);
}

static void buffer_init(void)
{
	pthread_key_create(&buffer_key, buffer_free);
}

/* Aligned for O_DIRECT; NULL without memory.  The next call reuses it. */
static void *buffer_get(size_t size)
{
	struct buffer *buffer;

	pthread_once(&buffer_once, buffer_init);
	buffer = pthread_getspecific(buffer_key);
	if (!buffer) {
		buffer = calloc(1, sizeof(*buffer));
		if (!buffer)
			return NULL;
		if (pthread_setspecific(buffer_key, buffer)) {
			free(buffer);
			return NULL;
		}
	}
	if (buffer->size < size) {
		free(buffer->data);
		buffer->size = 0;
		size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
		buffer->data = aligned_alloc(ALIGNMENT, size);
		if (buffer->data)
			buffer->size = size;
	}
	return buffer->data;
}

uint64_t file_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The regular file that a request names, or NULL. */
static struct file *file_get(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct file *file = handle_get(fs_of(req), fi->fh);

	if (file && !file->io) {
		handle_put(file);
		return NULL;
	}
	if (file && atomic_load(&file->io->unseen))
		backing_seen(file);
	return file;
}

int file_direct_fd(struct file *file)
{
	int fd = atomic_load(&file->io->direct_fd), none = -1;
	char path[FD_PATH_SIZE];
	struct pin pin = { .inode = file->inode, .fd = file->fd };
	int flags;

	if (fd >= 0)
		return fd;
	flags = fcntl(file->fd, F_GETFL);
	if (flags < 0)
		return -errno;
	flags &= O_ACCMODE | O_APPEND | O_NOATIME;
	flags |= O_DIRECT | O_CLOEXEC;
	do
		fd = open(inode_fd_path(&pin, path), flags);
	while (fd < 0 && errno == EMFILE && inode_make_room(file->fs));
	if (fd < 0)
		return -errno;
	if (!atomic_compare_exchange_strong(&file->io->direct_fd, &none, fd)) {
		close(fd);
		fd = none;
	}
	return fd;
}

/* Until @size bytes or the end; a direct read cannot go on after a short one. */
static ssize_t read_all(int fd, bool direct, void *buf, size_t size, off_t off)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = pread(fd, (char *)buf + done, size - done,
			  off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (ssize_t)done : -errno;
		done += (size_t)n;
		if (!n || direct)
			break;
	}
	return (ssize_t)done;
}

/*
 * The splice after a refused copy reads pages that nobody will use: that is no
 * access to the file.
 */
static ssize_t read_unnoticed(struct file *file, void *buf, size_t size,
			      off_t off)
{
	int flags = fcntl(file->fd, F_GETFL);
	ssize_t n;

	if (flags < 0 || (flags & O_NOATIME) ||
	    fcntl(file->fd, F_SETFL, flags | O_NOATIME) < 0)
		return read_all(file->fd, false, buf, size, off);
	n = read_all(file->fd, false, buf, size, off);
	fcntl(file->fd, F_SETFL, flags);
	return n;
}

/*
 * Does the kernel keep what it reads here, where it should not?  A read by
 * the caller has an owner, the page cache has none.
 */
static bool fills_cache(const struct file *file,
			const struct fuse_file_info *fi)
{
	return file->io->direct && file->io->mode == IO_PASSTHROUGH &&
	       !fi->lock_owner;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	FILE_AUTO(file);
	bool direct = fi->flags & O_DIRECT;
	enum refusal_answer answer;
	int fd, refused = 0;
	bool fills;
	void *buf;
	ssize_t n;

	file = file_get(req, fi);
	(void)ino;
	if (!file) {
		reply_err(req, -EBADF);
		return;
	}
	fills = fills_cache(file, fi);
	answer = refusal_on_read(req, file, fi->fh, fills, &refused);
	if (answer == REFUSAL_CERTAIN) {
		event_upgrade(req, OFFLAY_OP_READ, OFFLAY_EVENT_EDGE);
		event_files(req, file, NULL);
		event_range(req, (uint64_t)off, 0, size);
		reply_err(req, refused);
		return;
	}
	fd = direct ? file_direct_fd(file) : file->fd;
	buf = buffer_get(size);
	if (fd < 0 || !buf) {
		reply_err(req, fd < 0 ? fd : -ENOMEM);
		return;
	}
	if (fills)
		page_fill(file);
	if (answer == REFUSAL_LIKELY && !direct)
		n = read_unnoticed(file, buf, size, off);
	else
		n = read_all(fd, direct, buf, size, off);
	reply_buf(req, n < 0 ? (int)n : 0, buf, n < 0 ? 0 : (size_t)n);
	if (fills)
		page_drop(file, (uint64_t)off, size);
}

/* What of the caller's flags goes with each write. */
static int write_flags(const struct file *file, const struct fuse_file_info *fi)
{
	int flags = 0;

	if (fi->writepage)
		return 0;
	/* Elsewhere the kernel has put the data into its cache at @off. */
	if ((fi->flags & O_APPEND) && file->io->direct)
		flags |= RWF_APPEND;
	if ((fi->flags & O_SYNC) == O_SYNC)
		flags |= RWF_SYNC;
	else if (fi->flags & O_DSYNC)
		flags |= RWF_DSYNC;
	return flags;
}

static ssize_t write_all(int fd, int flags, const void *buf, size_t size,
			 off_t off)
{
	struct iovec iov;
	size_t done = 0;
	ssize_t n;

	do {
		iov.iov_base = (char *)(uintptr_t)buf + done;
		iov.iov_len = size - done;
		n = pwritev2(fd, &iov, 1, off + (off_t)done, flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (ssize_t)done : -errno;
		done += (size_t)n;
	} while (n && done < size);
	return (ssize_t)done;
}

/* The request's bytes in memory, aligned if @direct. */
static int write_data(struct fuse_bufvec *in, bool direct, const void **ret_buf)
{
	size_t size = fuse_buf_size(in);
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(size);
	ssize_t n;

	if (!direct && in->count == 1 && !(in->buf[0].flags & FUSE_BUF_IS_FD)) {
		*ret_buf = in->buf[0].mem;
		return 0;
	}
	out.buf[0].mem = buffer_get(size);
	if (!out.buf[0].mem)
		return -ENOMEM;
	n = fuse_buf_copy(&out, in, 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n != size)
		return -EIO;
	*ret_buf = out.buf[0].mem;
	return 0;
}

bool file_request_drops(fuse_req_t req, const struct fuse_file_info *fi)
{
#if HAVE_KILL_SUIDGID
	if (fi->kill_suidgid) /* over io_uring nothing else tells */
		return true;
#else
	(void)fi;
#endif
	return loop_kills_suidgid() || creds_caller_drops_suid(req);
}

/* Pages of a mapping come from nobody, and drop nothing. */
bool file_write_drops(fuse_req_t req, const struct fuse_file_info *fi)
{
	return !fi->writepage && file_request_drops(req, fi);
}

ssize_t file_write(fuse_req_t req, struct file *file, int fd,
		   const struct fuse_file_info *fi, const void *buf,
		   size_t size, off_t off)
{
	enum creds_writer writer =
		creds_enter_writer(req, fd, file_write_drops(req, fi));
	ssize_t n;

	n = write_all(fd, write_flags(file, fi), buf, size, off);
	creds_leave_writer(req, writer);
	return n;
}

ssize_t file_write_own(struct file *file, const void *buf, size_t size,
		       off_t off)
{
	return write_all(file->fd, 0, buf, size, off);
}

void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in,
		  off_t off, struct fuse_file_info *fi)
{
	FILE_AUTO(file);
	FILE_AUTO(src);
	bool direct = (fi->flags & O_DIRECT) && !fi->writepage;
	size_t size = fuse_buf_size(in);
	const void *buf = NULL;
	int fd, err;
	ssize_t n;

	file = file_get(req, fi);
	(void)ino;
	if (!file) {
		reply_err(req, -EBADF);
		return;
	}
	err = write_data(in, direct, &buf);
	if (err) {
		reply_err(req, err);
		return;
	}
	if (!fi->writepage)
		err = refusal_on_write(req, file, fi->fh, (uint64_t)off, buf,
				       size);
	if (err) {
		event_upgrade(req, OFFLAY_OP_WRITE, OFFLAY_EVENT_EDGE);
		event_files(req, NULL, file);
		event_range(req, 0, (uint64_t)off, size);
		reply_err(req, err);
		return;
	}
	err = direct ? watch_error(file) : 0;
	fd = direct ? file_direct_fd(file) : file->fd;
	if (err || fd < 0) {
		reply_err(req, err ? err : fd);
		return;
	}
	if (file->io->stream && !fi->writepage && !direct)
		n = watch_write(&(struct watch_write){
			.req = req,
			.dst = file,
			.fi = fi,
			.data = buf,
			.size = size,
			.offset = (uint64_t)off,
			.ret_src = &src,
		});
	else
		n = file_write(req, file, fd, fi, buf, size, off);
	reply_write(req, n < 0 ? (int)n : 0, n < 0 ? 0 : (size_t)n);
}

/*
 * What close(2) of the backing says; on local backings only asked for where
 * writes may have been gathered.
 */
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	FILE_AUTO(file);
	int fd, err;

	file = handle_get(fs_of(req), fi->fh);
	(void)ino;
	if (!file) {
		reply_err(req, -EBADF);
		return;
	}
	err = watch_error(file);
	if (!err && !(file->io && file->io->inode->local)) {
		fd = dup(file->fd);
		if (fd < 0 || close(fd) < 0)
			err = -errno;
	}
	reply_err(req, err);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi)
{
	FILE_AUTO(file);
	int err;

	file = handle_get(fs_of(req), fi->fh);
	(void)ino;
	if (!file) {
		reply_err(req, -EBADF);
		return;
	}
	err = watch_error(file);
	if ((datasync ? fdatasync(file->fd) : fsync(file->fd)) < 0)
		err = -errno;
	reply_err(req, err);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
		  off_t length, struct fuse_file_info *fi)
{
	FILE_AUTO(file);
	enum creds_writer writer;
	int err = 0;

	file = file_get(req, fi);
	(void)ino;
	if (!file) {
		reply_err(req, -EBADF);
		return;
	}
	writer =
		creds_enter_writer(req, file->fd, creds_caller_drops_suid(req));
	if (fallocate(file->fd, mode, offset, length) < 0)
		err = -errno;
	creds_leave_writer(req, writer);
	file_changed(file->inode);
	reply_err(req, err);
}

/* Only holes and data are asked of us; nobody uses the fd's own offset. */
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi)
{
	FILE_AUTO(file);
	off_t found;

	file = file_get(req, fi);
	(void)ino;
	if (!file) {
		reply_err(req, -EBADF);
		return;
	}
	if (whence != SEEK_HOLE && whence != SEEK_DATA) {
		reply_err(req, -EINVAL);
		return;
	}
	found = lseek(file->fd, off, whence);
	reply_lseek(req, found < 0 ? -errno : 0, found);
}
