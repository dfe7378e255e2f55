/* SPDX-License-Identifier: MIT */
/* The one table of operations, and what comes before each of them. */
#include "fs.h"
#include "rules.h"
#include "settle.h"

/* Where a request is at work, as far as the kernel has said it. */
#define PLACE(...)	 (&(struct event_place){ __VA_ARGS__ })
#define ON(ino)		 PLACE(.src = (ino))
#define IN(parent, name) PLACE(.src = (parent), .src_name = (name))
#define OF(ino, offset, len)                                  \
	PLACE(.src = (ino), .src_offset = (uint64_t)(offset), \
	      .length = (uint64_t)(len))

/*
 * What was written to a file comes before whatever is asked of it.  Nobody can
 * read such a file, and its writes go on where they were.
 */
static void settle(fuse_req_t req, const struct event_place *place)
{
	if (!place->src_name && place->src)
		watch_settle(fs_of(req), place->src);
	if (!place->dst_name && place->dst)
		watch_settle(fs_of(req), place->dst);
}

/*
 * Every request is an event.  And it ends a refusal that is armed for its
 * thread, but for those that the refused system call itself sends: READ,
 * WRITE and GETXATTR (of security.capability); and RELEASE, which comes from
 * nobody.
 */
#define TOLD(op, OP, place, params, args)                \
	static void seen_##op params                     \
	{                                                \
		event_begin(req, OFFLAY_OP_##OP, place); \
		op_##op args;                            \
	}

#define SEEN(op, OP, place, params, args)                \
	static void seen_##op params                     \
	{                                                \
		event_begin(req, OFFLAY_OP_##OP, place); \
		settle(req, place);                      \
		refusal_see(req);                        \
		op_##op args;                            \
	}

/* The same where fault rules have a say. */
#define RULED(op, OP, place, params, args)               \
	static void seen_##op params                     \
	{                                                \
		event_begin(req, OFFLAY_OP_##OP, place); \
		settle(req, place);                      \
		refusal_see(req);                        \
		if (!rules_##op args)                    \
			op_##op args;                    \
	}

#define RULED_TOLD(op, OP, place, params, args)          \
	static void seen_##op params                     \
	{                                                \
		event_begin(req, OFFLAY_OP_##OP, place); \
		if (!rules_##op args)                    \
			op_##op args;                    \
	}

/* What these are depends on what they are asked for. */
#define OFFLAY_OP_BY_SIZE \
	(to_set & FUSE_SET_ATTR_SIZE ? OFFLAY_OP_TRUNCATE : OFFLAY_OP_SETATTR)
#define OFFLAY_OP_BY_COMMAND event_ioctl_op(cmd)

/* clang-format off */
SEEN(lookup, LOOKUP, IN(parent, name), (fuse_req_t req, fuse_ino_t parent,
     const char *name), (req, parent, name))
SEEN(getattr, GETATTR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     struct fuse_file_info *fi), (req, ino, fi))
RULED(setattr, BY_SIZE, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     struct stat *attr, int to_set, struct fuse_file_info *fi), (req, ino,
     attr, to_set, fi))
SEEN(readlink, READLINK, ON(ino), (fuse_req_t req, fuse_ino_t ino), (req, ino))
SEEN(access, ACCESS, ON(ino), (fuse_req_t req, fuse_ino_t ino, int mask), (req,
     ino, mask))
SEEN(statfs, STATFS, ON(ino), (fuse_req_t req, fuse_ino_t ino), (req, ino))
SEEN(mknod, MKNOD, IN(parent, name), (fuse_req_t req, fuse_ino_t parent,
     const char *name, mode_t mode, dev_t rdev), (req, parent, name, mode,
     rdev))
SEEN(mkdir, MKDIR, IN(parent, name), (fuse_req_t req, fuse_ino_t parent,
     const char *name, mode_t mode), (req, parent, name, mode))
SEEN(symlink, SYMLINK, IN(parent, name), (fuse_req_t req, const char *target,
     fuse_ino_t parent, const char *name), (req, target, parent, name))
SEEN(link, LINK, PLACE(.src = ino, .dst = newparent, .dst_name = newname),
     (fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
     const char *newname), (req, ino, newparent, newname))
SEEN(unlink, UNLINK, IN(parent, name), (fuse_req_t req, fuse_ino_t parent,
     const char *name), (req, parent, name))
SEEN(rmdir, RMDIR, IN(parent, name), (fuse_req_t req, fuse_ino_t parent,
     const char *name), (req, parent, name))
SEEN(rename, RENAME, PLACE(.src = parent, .src_name = name, .dst = newparent,
     .dst_name = newname), (fuse_req_t req, fuse_ino_t parent,
     const char *name, fuse_ino_t newparent, const char *newname,
     unsigned int flags), (req, parent, name, newparent, newname, flags))
SEEN(opendir, OPENDIR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     struct fuse_file_info *fi), (req, ino, fi))
SEEN(readdir, READDIR, ON(ino), (fuse_req_t req, fuse_ino_t ino, size_t size,
     off_t off, struct fuse_file_info *fi), (req, ino, size, off, fi))
SEEN(readdirplus, READDIR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     size_t size, off_t off, struct fuse_file_info *fi), (req, ino, size, off,
     fi))
SEEN(releasedir, RELEASEDIR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     struct fuse_file_info *fi), (req, ino, fi))
SEEN(fsyncdir, FSYNCDIR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     int datasync, struct fuse_file_info *fi), (req, ino, datasync, fi))
SEEN(setxattr, SETXATTR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     const char *name, const char *value, size_t size, int flags), (req, ino,
     name, value, size, flags))
SEEN(listxattr, LISTXATTR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     size_t size), (req, ino, size))
SEEN(removexattr, REMOVEXATTR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     const char *name), (req, ino, name))
RULED(open, OPEN, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     struct fuse_file_info *fi), (req, ino, fi))
RULED(create, CREATE, IN(parent, name), (fuse_req_t req, fuse_ino_t parent,
     const char *name, mode_t mode, struct fuse_file_info *fi), (req, parent,
     name, mode, fi))
RULED(tmpfile, CREATE, ON(parent), (fuse_req_t req, fuse_ino_t parent,
     mode_t mode, struct fuse_file_info *fi), (req, parent, mode, fi))
SEEN(flush, FLUSH, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     struct fuse_file_info *fi), (req, ino, fi))
RULED(fsync, FSYNC, ON(ino), (fuse_req_t req, fuse_ino_t ino, int datasync,
     struct fuse_file_info *fi), (req, ino, datasync, fi))
SEEN(fallocate, FALLOCATE, OF(ino, offset, length), (fuse_req_t req,
     fuse_ino_t ino, int mode, off_t offset, off_t length,
     struct fuse_file_info *fi), (req, ino, mode, offset, length, fi))
SEEN(lseek, LSEEK, OF(ino, off, 0), (fuse_req_t req, fuse_ino_t ino, off_t off,
     int whence, struct fuse_file_info *fi), (req, ino, off, whence, fi))
RULED(ioctl, BY_COMMAND, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     unsigned int cmd, void *arg, struct fuse_file_info *fi,
     unsigned int flags, const void *in_buf, size_t in_bufsz,
     size_t out_bufsz), (req, ino, cmd, arg, fi, flags, in_buf, in_bufsz,
     out_bufsz))
TOLD(forget, FORGET, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     uint64_t nlookup), (req, ino, nlookup))
TOLD(forget_multi, FORGET, PLACE(.length = count), (fuse_req_t req,
     size_t count, struct fuse_forget_data *forgets), (req, count, forgets))
TOLD(getxattr, GETXATTR, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     const char *name, size_t size), (req, ino, name, size))
TOLD(release, RELEASE, ON(ino), (fuse_req_t req, fuse_ino_t ino,
     struct fuse_file_info *fi), (req, ino, fi))
RULED_TOLD(read, READ, OF(ino, off, size), (fuse_req_t req, fuse_ino_t ino,
     size_t size, off_t off, struct fuse_file_info *fi), (req, ino, size, off,
     fi))
RULED_TOLD(write_buf, WRITE, OF(ino, off, fuse_buf_size(in)), (fuse_req_t req,
     fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
     struct fuse_file_info *fi), (req, ino, in, off, fi))
RULED_TOLD(copy_file_range, COPY, PLACE(.src = ino_in, .dst = ino_out),
     (fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
     struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
     struct fuse_file_info *fi_out, size_t len, int flags), (req, ino_in,
     off_in, fi_in, ino_out, off_out, fi_out, len, flags))
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
SEEN(statx, GETATTR, ON(ino), (fuse_req_t req, fuse_ino_t ino, int flags,
     int mask, struct fuse_file_info *fi), (req, ino, flags, mask, fi))
#endif
/* clang-format on */

/*
 * Locks are not in it: the kernel then keeps flock(2), fcntl(2) and OFD locks
 * itself, with deadlock detection and release on close as on any local
 * filesystem.  Nor is bmap (no blocks of ours) or poll (regular files).
 */
const struct fuse_lowlevel_ops offlay_ops = {
	.init = fs_init,
	.forget = seen_forget,
	.forget_multi = seen_forget_multi,
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
	.getxattr = seen_getxattr,
	.listxattr = seen_listxattr,
	.removexattr = seen_removexattr,
	.open = seen_open,
	.create = seen_create,
	.tmpfile = seen_tmpfile,
	.release = seen_release,
	.flush = seen_flush,
	.fsync = seen_fsync,
	.read = seen_read,
	.write_buf = seen_write_buf,
	.fallocate = seen_fallocate,
	.lseek = seen_lseek,
	.copy_file_range = seen_copy_file_range,
	.ioctl = seen_ioctl,
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
	.statx = seen_statx,
#endif
};
