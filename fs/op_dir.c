/* SPDX-License-Identifier: MIT */
/* Names that come, go and move. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs.h"
#include "settle.h"

/*
 * What a new object needs: its directory, and the caller's ids around the
 * call that makes it.  Groups decide only whether S_ISGID may stay.
 */
static int begin_make(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		      struct pin *ret_pin)
{
	int err;

	err = inode_pin(fs_of(req), parent, ret_pin);
	if (err)
		return err;
	return creds_enter(req, mode & S_ISGID);
}

static void end_make(fuse_req_t req, const struct pin *parent, const char *name,
		     int err)
{
	struct fuse_entry_param entry;

	if (!err)
		err = inode_lookup(fs_of(req), parent, name, &entry);
	reply_entry(req, err, &entry);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	PIN_AUTO(pin);
	int err;

	err = begin_make(req, parent, mode, &pin);
	if (!err) {
		err = mknodat(pin.fd, name, mode, rdev) ? -errno : 0;
		creds_leave(req);
	}
	end_make(req, &pin, name, err);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	PIN_AUTO(pin);
	int err;

	err = begin_make(req, parent, mode, &pin);
	if (!err) {
		err = mkdirat(pin.fd, name, mode) ? -errno : 0;
		creds_leave(req);
	}
	end_make(req, &pin, name, err);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name)
{
	PIN_AUTO(pin);
	int err;

	err = begin_make(req, parent, 0, &pin);
	if (!err) {
		err = symlinkat(target, pin.fd, name) ? -errno : 0;
		creds_leave(req);
	}
	end_make(req, &pin, name, err);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
	     const char *newname)
{
	struct fs *fs = fs_of(req);
	char path[FD_PATH_SIZE];
	PIN_AUTO(pin);
	PIN_AUTO(dir);
	int err;

	err = inode_pin(fs, ino, &pin);
	if (!err)
		err = inode_pin(fs, newparent, &dir);
	/* Through /proc, for a link to an O_PATH descriptor wants privilege. */
	if (!err && linkat(AT_FDCWD, inode_fd_path(&pin, path), dir.fd, newname,
			   AT_SYMLINK_FOLLOW))
		err = -errno;
	end_make(req, &dir, newname, err);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name,
			int flags)
{
	struct fs *fs = fs_of(req);
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs, parent, &pin);
	if (!err) {
		inode_vanishing(fs, &pin, name);
		err = unlinkat(pin.fd, name, flags) ? -errno : 0;
	}
	reply_err(req, err);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, 0);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, AT_REMOVEDIR);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	struct fs *fs = fs_of(req);
	PIN_AUTO(from);
	PIN_AUTO(to);
	int err;

	err = inode_pin(fs, parent, &from);
	if (!err)
		err = inode_pin(fs, newparent, &to);
	if (!err) {
		/* Filesystems write out what takes the place of something. */
		watch_settle_name(fs, &from, name);
		if (flags & RENAME_EXCHANGE)
			watch_settle_name(fs, &to, newname);
		if (!(flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)))
			inode_vanishing(fs, &to, newname);
		err = syscall(SYS_renameat2, from.fd, name, to.fd, newname,
			      flags)
			      ? -errno
			      : 0;
	}
	if (!err) {
		inode_moved(fs, &to, newname);
		if (flags & RENAME_EXCHANGE)
			inode_moved(fs, &from, name);
	}
	reply_err(req, err);
}
