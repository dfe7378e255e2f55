// SPDX-License-Identifier: MIT
/* Open, create and release of regular files, and how they are opened. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "file.h"
#include "refusal.h"
#include "watch.h"

/* Are there copies that this mount refuses so that the caller sees it? */
bool open_refuses_visibly(const struct fs *fs)
{
	return fs->opt.deny && (fs->opt.refuse == REFUSE_VISIBLE ||
				fs->opt.offload == OFFLOAD_CLONE);
}

/* Could a copy from or to this handle be refused, now or soon? */
static bool is_doubtful(struct file *file, const struct verdict_look *look)
{
	bool reads = open_is_readable(file->flags);

	if (!open_refuses_visibly(file->fs))
		return false;
	if (reads && verdict_doubtful(file, look, OFFLAY_SOURCE))
		return true;
	/* An empty file is the same on either side. */
	return open_is_writable(file->flags) &&
	       !(reads && !look->stx.stx_size) &&
	       verdict_doubtful(file, look, OFFLAY_DESTINATION);
}

static bool has_sxid(const struct file *file, const struct verdict_look *look)
{
	return open_is_writable(file->flags) &&
	       (look->stx.stx_mode & (S_ISUID | S_ISGID));
}

/*
 * A copy loop may be coming where an open source waits.  With a source that
 * will be refused it may be into any file: only its WRITE is sure to arrive.
 */
static bool could_be_copied_into(struct file *file, bool fresh, pid_t tid)
{
	struct fs *fs = file->fs;

	if (!open_is_writable(file->flags) || !open_refuses_visibly(fs))
		return false;
	return copy_is_coming(fs, tid, true) ||
	       (fresh && copy_is_coming(fs, tid, false));
}

/* The open mode of a new handle, in @fi and in the handle. */
static void choose_mode(fuse_req_t req, struct file *file, bool fresh,
			const struct verdict_look *look,
			struct fuse_file_info *fi)
{
	struct fs *fs = file->fs;
	struct file_io *io = file->io;
	pid_t tid = fuse_req_ctx(req)->pid;
	struct open_case open = {
		.flags = file->flags,
		.mode = io->mode,
		.local = io->inode->local,
		.keep_cache = fs->opt.cache == CACHE_ALWAYS,
		.clone_only = fs->opt.offload == OFFLOAD_CLONE,
		.ruled = rules_open_direct(fs, file->fd, file->flags),
	};
	struct watch_opening opening = {
		.fresh = fresh,
		.size = look->stx.stx_size,
	};
	struct watch_wish wish;
	struct open_mode mode;

	if (io->mode == IO_PASSTHROUGH) {
		open.sxid = has_sxid(file, look);
		open.ineligible = is_doubtful(file, look);
		open.copy_coming = could_be_copied_into(file, fresh, tid);
	}
	opening.anyway = io->mode != IO_PASSTHROUGH ||
			 open_mode_choose(&open).direct;
	wish = watch_open(file, &opening, fuse_req_ctx(req));
	open.copy_coming |= wish.writes;
	open.gathers = wish.gathers;
	if (!open_is_writable(file->flags)) {
		io->opener = tid;
		io->ineligible = open.ineligible;
		copy_reads_begin(fs, tid, open.ineligible);
	}
	if (open.ineligible)
		blksize_grow(file);
	mode = open_mode_choose(&open);
	if (io->mode == IO_PASSTHROUGH && backing_beside(file, wish.gathers))
		mode.direct = true;
	else if (io->mode == IO_PASSTHROUGH)
		fi->backing_id = io->inode->backing_id;
	if (wish.gathers && !fi->backing_id)
		watch_may_gather(file);
	io->direct = mode.direct;
	fi->direct_io = mode.direct;
	fi->keep_cache = mode.keep_cache;
	fi->noflush = mode.noflush;
	stats_add(fs->stats,
		  mode.direct		       ? OFFLAY_STAT_OPENS_DIRECT
		  : io->mode == IO_PASSTHROUGH ? OFFLAY_STAT_OPENS_PASSTHROUGH
					       : OFFLAY_STAT_OPENS_CACHED,
		  1);
}

/*
 * Takes @fd; @fresh: there is no data in the file; @made: attributes of one
 * that this request has made, else NULL.
 */
static int open_handle(fuse_req_t req, const struct pin *pin, int fd,
		       bool fresh, const struct statx *made,
		       struct fuse_file_info *fi)
{
	struct verdict_look look = { .is_new = made };
	struct file *file;
	int err;

	err = handle_new(fs_of(req), pin, fd, fi->flags, &file);
	if (err)
		return err;
	err = file_io_add(file);
	if (!err && (fi->flags & O_DIRECT)) {
		/* The kernel knows only later whether the backing can. */
		fd = file_direct_fd(file);
		if (fd < 0)
			err = fd == -EBADF ? -EINVAL : fd;
	}
	if (made)
		look.stx = *made;
	else if (!err)
		err = verdict_look(file, &look);
	if (err) {
		handle_drop(file);
		return err;
	}
	choose_mode(req, file, fresh, &look, fi);
	return handle_publish(file, &fi->fh);
}

/*
 * What the daemon opens for a caller's @flags: for reading, too, wherever
 * possible, so that a destination can be compared and completed.
 */
static int open_backing(fuse_req_t req, const struct pin *pin, int flags)
{
	struct fs *fs = fs_of(req);
	int take = flags & (O_TRUNC | O_NOATIME);
	int access = open_is_writable(flags) ? O_RDWR : O_RDONLY;
	int fd;

	fd = inode_open(fs, pin, access | take);
	if (fd == -EACCES && (flags & O_ACCMODE) == O_WRONLY) {
		access = O_WRONLY;
		fd = inode_open(fs, pin, access | take);
	}
	/* chattr +a */
	if (fd == -EPERM && (flags & O_APPEND) && open_is_writable(flags))
		fd = inode_open(fs, pin, access | take | O_APPEND);
	if (fd == -EPERM && (flags & O_NOATIME))
		fd = inode_open(fs, pin, access | (take & ~O_NOATIME));
	return fd;
}

static int open_as_caller(fuse_req_t req, const struct pin *pin,
			  const struct fuse_file_info *fi)
{
	bool drops = (fi->flags & O_TRUNC) && file_request_drops(req, fi);
	struct odx_state *odx = fs_of(req)->odx;
	enum creds_writer writer;
	int fd;

	if (fi->flags & O_TRUNC)
		odx_truncate_begin(odx, pin->inode);
	writer = creds_enter_writer(req, pin->fd, drops);
	fd = open_backing(req, pin, fi->flags);
	creds_leave_writer(req, writer);
	if (fi->flags & O_TRUNC)
		odx_truncate_end(odx, pin->inode);
	return fd;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	PIN_AUTO(pin);
	int fd, err;

	if (fi->flags & O_TRUNC)
		err = inode_pin(fs, ino, &pin);
	else
		err = inode_pin_to_open(fs, ino, &pin);
	if (!err && !S_ISREG(inode_type(pin.inode)))
		err = -EINVAL; /* the kernel opens all others by itself */
	if (err) {
		reply_err(req, err);
		return;
	}
	fd = open_as_caller(req, &pin, fi);
	if (fd < 0) {
		reply_err(req, fd);
		return;
	}
	if (fi->flags & O_TRUNC)
		file_changed(pin.inode);
	err = open_handle(req, &pin, fd, fi->flags & O_TRUNC, NULL, fi);
	if (err)
		reply_err(req, err);
	else if (reply_open(req, 0, fi) == -ENOENT)
		handle_close(fs, fi->fh);
}

/*
 * A name that has come since the kernel looked is never opened here: nobody
 * has checked the caller's permissions, and it may be anything.  After ESTALE
 * the kernel looks the name up again and opens what it finds.
 */
static int create_backing(fuse_req_t req, const struct pin *dir,
			  const char *name, mode_t mode, int flags)
{
	int access = open_is_writable(flags) ? O_RDWR : O_RDONLY;
	int fd, err;

	err = creds_enter(req, mode & S_ISGID);
	if (err)
		return err;
	fd = openat(dir->fd, name,
		    access | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    mode & 07777);
	if (fd < 0)
		fd = -errno;
	creds_leave(req);
	if (fd == -EEXIST && !(flags & O_EXCL))
		return -ESTALE;
	return fd;
}

static int create_unnamed(fuse_req_t req, const struct pin *dir, mode_t mode,
			  int flags)
{
	int fd, err;

	err = creds_enter(req, mode & S_ISGID);
	if (err)
		return err;
	fd = openat(dir->fd, ".",
		    O_TMPFILE | O_RDWR | O_CLOEXEC | (flags & O_EXCL),
		    mode & 07777);
	if (fd < 0)
		fd = -errno;
	creds_leave(req);
	return fd;
}

/* Gives the kernel what was made as @fd; takes @fd. */
static void reply_created(fuse_req_t req, const struct pin *dir,
			  const char *name, int fd, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	struct statx made;
	PIN_AUTO(pin);
	int err;

	err = inode_adopt(fs, dir, name, fd, &entry, &made, &pin);
	if (err) {
		close(fd);
		reply_err(req, err);
		return;
	}
	err = open_handle(req, &pin, fd, true, &made, fi);
	if (!err) {
		if (reply_create(req, 0, &entry, fi) != -ENOENT)
			return;
		handle_close(fs, fi->fh);
	} else {
		reply_err(req, err);
	}
	inode_unpin(&pin);
	inode_forget(fs, entry.ino, 1);
}

/* By name, or without one for O_TMPFILE. */
static int make_backing(fuse_req_t req, const struct pin *dir, const char *name,
			mode_t mode, int flags)
{
	if (!name)
		return create_unnamed(req, dir, mode, flags);
	return create_backing(req, dir, name, mode, flags);
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name,
		 mode_t mode, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	PIN_AUTO(dir);
	int fd, err;

	err = inode_pin(fs, parent, &dir);
	if (err) {
		reply_err(req, err);
		return;
	}
	fd = make_backing(req, &dir, name, mode, fi->flags);
	if (fd == -EMFILE && inode_make_room(fs))
		fd = make_backing(req, &dir, name, mode, fi->flags);
	if (fd < 0)
		reply_err(req, fd);
	else
		reply_created(req, &dir, name, fd, fi);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	make(req, parent, name, mode, fi);
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		struct fuse_file_info *fi)
{
	make(req, parent, NULL, mode, fi);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	FILE_AUTO(file);

	(void)ino;
	file = handle_get(fs, fi->fh);
	if (file)
		watch_released(file);
	refusal_forget(fs, fi->fh);
	handle_close(fs, fi->fh);
	reply_err(req, 0);
}
