/* SPDX-License-Identifier: MIT */
/* Attributes of inodes, and of the whole filesystem. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* the same on every architecture */
#endif

#define SET_TIMES                                                              \
	(FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | \
	 FUSE_SET_ATTR_MTIME_NOW)

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat attr;
	PIN_AUTO(pin);
	int err;

	(void)fi;
	err = inode_pin(fs, ino, &pin);
	if (!err)
		err = inode_getattr(fs, &pin, &attr);
	reply_attr(req, err, &attr);
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
	      struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct statx stx;
	struct stat attr;
	PIN_AUTO(pin);
	int err;

	(void)fi;
	(void)flags;
	err = inode_pin(fs, ino, &pin);
	if (!err)
		err = inode_statx(&pin, (unsigned int)mask | STATX_BASIC_STATS,
				  &stx);
	if (err) {
		reply_err(req, err);
		return;
	}
	inode_show(fs, &pin, &stx, &attr);
	stx.stx_ino = attr.st_ino;
	stx.stx_mode = attr.st_mode;
	stx.stx_blksize = (uint32_t)attr.st_blksize;
	if (!attr.st_rdev)
		stx.stx_rdev_major = stx.stx_rdev_minor = 0;
	reply_statx(req, &stx);
}
#endif

static int set_mode(const struct pin *pin, mode_t mode)
{
	char path[FD_PATH_SIZE];

	if (syscall(SYS_fchmodat2, pin->fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOSYS && errno != EINVAL)
		return -errno;
	return chmod(inode_fd_path(pin, path), mode) ? -errno : 0;
}

/* Whether sgid stays depends on who asks, as with a write. */
static int set_owner(fuse_req_t req, const struct pin *pin,
		     const struct stat *attr, int to_set)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
	bool drops = S_ISREG(inode_type(pin->inode)) &&
		     creds_caller_drops_suid(req);
	enum creds_writer writer = creds_enter_writer(req, pin->fd, drops);
	int err = 0;

	if (fchownat(pin->fd, "", uid, gid,
		     AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		err = -errno;
	creds_leave_writer(req, writer);
	return err;
}

/*
 * By name and by handle differ: truncate(2) to the same size leaves the times
 * alone where ftruncate(2) changes them.
 */
static int set_size(fuse_req_t req, const struct pin *pin, off_t size,
		    bool drop_suid, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	char path[FD_PATH_SIZE];
	enum creds_writer writer;
	FILE_AUTO(file);
	int err;

	file = fi ? handle_get(fs, fi->fh) : NULL;
	odx_truncate_begin(fs->odx, pin->inode);
	writer = creds_enter_writer(req, pin->fd, drop_suid);
	if (file)
		err = ftruncate(file->fd, size) ? -errno : 0;
	else
		err = truncate(inode_fd_path(pin, path), size) ? -errno : 0;
	creds_leave_writer(req, writer);
	odx_truncate_end(fs->odx, pin->inode);
	file_changed(pin->inode);
	return err;
}

static int set_times(const struct pin *pin, const struct stat *attr, int to_set)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_nsec = UTIME_OMIT } };
	char path[FD_PATH_SIZE];

	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		times[0] = attr->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		times[1] = attr->st_mtim;
	if (utimensat(pin->fd, "", times, AT_EMPTY_PATH) == 0)
		return 0;
	/* Kernels before 5.8 do not know the flag. */
	if (errno != EINVAL)
		return -errno;
	return utimensat(AT_FDCWD, inode_fd_path(pin, path), times, 0) ? -errno
								       : 0;
}

/* The owner first: it drops suid, which a mode may set again. */
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat result;
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs, ino, &pin);
	/*
	 * Nothing to set is chown(-1, -1), or a write to a file that had
	 * security.capability: so it must not do what chown does.
	 */
	if (!err && to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		err = set_owner(req, &pin, attr, to_set);
	if (!err && to_set & FUSE_SET_ATTR_SIZE)
		err = set_size(req, &pin, attr->st_size,
			       to_set & FUSE_SET_ATTR_KILL_SUID, fi);
	if (!err && to_set & FUSE_SET_ATTR_MODE)
		err = set_mode(&pin, attr->st_mode & 07777);
	if (!err && to_set & SET_TIMES)
		err = set_times(&pin, attr, to_set);
	if (!err)
		err = inode_getattr(fs, &pin, &result);
	reply_attr(req, err, &result);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	ssize_t n = 0;
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs_of(req), ino, &pin);
	if (!err) {
		n = readlinkat(pin.fd, "", target, sizeof(target));
		if (n < 0)
			err = -errno;
		else if ((size_t)n == sizeof(target))
			err = -ENAMETOOLONG;
	}
	if (!err)
		target[n] = '\0';
	reply_readlink(req, err, target);
}

/* Only where the kernel does not check itself (no default_permissions). */
void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	char path[FD_PATH_SIZE];
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs_of(req), ino, &pin);
	if (!err &&
	    faccessat(AT_FDCWD, inode_fd_path(&pin, path), mask, AT_EACCESS))
		err = -errno;
	reply_err(req, err);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs_of(req), ino ? ino : FUSE_ROOT_ID, &pin);
	if (!err && fstatvfs(pin.fd, &st))
		err = -errno;
	reply_statfs(req, err, &st);
}
