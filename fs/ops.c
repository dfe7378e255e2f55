/* SPDX-License-Identifier: MIT */
/* The one table of operations, and what comes before each of them. */
#include "fs.h"

/*
 * Any request of a thread ends a refusal that is armed for it, but for those
 * that the refused system call itself sends: READ, WRITE and GETXATTR (of
 * security.capability); and RELEASE, which comes from nobody.
 */
#define SEEN(op, params, args)       \
	static void seen_##op params \
	{                            \
		refusal_see(req);    \
		op_##op args;        \
	}

/* clang-format off */
SEEN(lookup, (fuse_req_t req, fuse_ino_t parent, const char *name),
     (req, parent, name))
SEEN(getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info
     *fi), (req, ino, fi))
SEEN(setattr, (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int
     to_set, struct fuse_file_info *fi), (req, ino, attr, to_set, fi))
SEEN(readlink, (fuse_req_t req, fuse_ino_t ino), (req, ino))
SEEN(access, (fuse_req_t req, fuse_ino_t ino, int mask), (req, ino,
     mask))
SEEN(statfs, (fuse_req_t req, fuse_ino_t ino), (req, ino))
SEEN(mknod, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t
     mode, dev_t rdev), (req, parent, name, mode, rdev))
SEEN(mkdir, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t
     mode), (req, parent, name, mode))
SEEN(symlink, (fuse_req_t req, const char *target, fuse_ino_t parent,
     const char *name), (req, target, parent, name))
SEEN(link, (fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const
     char *newname), (req, ino, newparent, newname))
SEEN(unlink, (fuse_req_t req, fuse_ino_t parent, const char *name),
     (req, parent, name))
SEEN(rmdir, (fuse_req_t req, fuse_ino_t parent, const char *name), (req,
     parent, name))
SEEN(rename, (fuse_req_t req, fuse_ino_t parent, const char *name,
     fuse_ino_t newparent, const char *newname, unsigned int flags),
     (req, parent, name, newparent, newname, flags))
SEEN(opendir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info
     *fi), (req, ino, fi))
SEEN(readdir, (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
     struct fuse_file_info *fi), (req, ino, size, off, fi))
SEEN(readdirplus, (fuse_req_t req, fuse_ino_t ino, size_t size, off_t
     off, struct fuse_file_info *fi), (req, ino, size, off, fi))
SEEN(releasedir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info
     *fi), (req, ino, fi))
SEEN(fsyncdir, (fuse_req_t req, fuse_ino_t ino, int datasync, struct
     fuse_file_info *fi), (req, ino, datasync, fi))
SEEN(setxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, const
     char *value, size_t size, int flags), (req, ino, name, value, size,
     flags))
SEEN(listxattr, (fuse_req_t req, fuse_ino_t ino, size_t size), (req,
     ino, size))
SEEN(removexattr, (fuse_req_t req, fuse_ino_t ino, const char *name),
     (req, ino, name))
SEEN(open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),
     (req, ino, fi))
SEEN(create, (fuse_req_t req, fuse_ino_t parent, const char *name,
     mode_t mode, struct fuse_file_info *fi), (req, parent, name, mode,
     fi))
SEEN(tmpfile, (fuse_req_t req, fuse_ino_t parent, mode_t mode, struct
     fuse_file_info *fi), (req, parent, mode, fi))
SEEN(flush, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),
     (req, ino, fi))
SEEN(fsync, (fuse_req_t req, fuse_ino_t ino, int datasync, struct
     fuse_file_info *fi), (req, ino, datasync, fi))
SEEN(fallocate, (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
     off_t length, struct fuse_file_info *fi), (req, ino, mode, offset,
     length, fi))
SEEN(lseek, (fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
     struct fuse_file_info *fi), (req, ino, off, whence, fi))
SEEN(ioctl, (fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void
     *arg, struct fuse_file_info *fi, unsigned int flags, const void
     *in_buf, size_t in_bufsz, size_t out_bufsz), (req, ino, cmd, arg,
     fi, flags, in_buf, in_bufsz, out_bufsz))
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
SEEN(statx, (fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct
     fuse_file_info *fi), (req, ino, flags, mask, fi))
#endif
/* clang-format on */

/*
 * Locks are not in it: the kernel then keeps flock(2), fcntl(2) and OFD locks
 * itself, with deadlock detection and release on close as on any local
 * filesystem.  Nor is bmap (no blocks of ours) or poll (regular files).
 */
const struct fuse_lowlevel_ops offlay_ops = {
	.init = fs_init,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.lookup = seen_lookup,
	.getattr = seen_getattr,
	.setattr = seen_setattr,
	.readlink = seen_readlink,
	.access = seen_access,
	.statfs = seen_statfs,
	.mknod = seen_mknod,
	.mkdir = seen_mkdir,
	.symlink = seen_symlink,
	.link = seen_link,
	.unlink = seen_unlink,
	.rmdir = seen_rmdir,
	.rename = seen_rename,
	.opendir = seen_opendir,
	.readdir = seen_readdir,
	.readdirplus = seen_readdirplus,
	.releasedir = seen_releasedir,
	.fsyncdir = seen_fsyncdir,
	.setxattr = seen_setxattr,
	.getxattr = op_getxattr,
	.listxattr = seen_listxattr,
	.removexattr = seen_removexattr,
	.open = seen_open,
	.create = seen_create,
	.tmpfile = seen_tmpfile,
	.release = op_release,
	.flush = seen_flush,
	.fsync = seen_fsync,
	.read = op_read,
	.write_buf = op_write_buf,
	.fallocate = seen_fallocate,
	.lseek = seen_lseek,
	.copy_file_range = op_copy_file_range,
	.ioctl = seen_ioctl,
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
	.statx = seen_statx,
#endif
};
