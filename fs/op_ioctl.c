// SPDX-License-Identifier: MIT
/* File attributes, as lsattr and chattr use them, and the private ioctls. */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "file.h"
#include "rules.h"
#include "offlay_uapi.h"

/* The flags and the version are declared with a long, and mean an int. */
static size_t attr_size(unsigned int cmd)
{
	switch (cmd) {
	case FS_IOC_GETFLAGS:
	case FS_IOC_SETFLAGS:
	case FS_IOC_GETVERSION:
		return sizeof(unsigned int);
	case FS_IOC_FSGETXATTR:
	case FS_IOC_FSSETXATTR:
		return sizeof(struct fsxattr);
	default:
		return 0;
	}
}

/* The kernel has asked the same; but not where it was asked past it. */
static int check_owner(fuse_req_t req, struct file *file)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	return uid == 0 || uid == st.st_uid ? 0 : -EPERM;
}

static void attr_get(fuse_req_t req, struct file *file, unsigned int cmd,
		     size_t out_size)
{
	/* Room for a backing that does write a long. */
	union {
		unsigned long flags;
		struct fsxattr attr;
	} value;
	size_t size = attr_size(cmd);

	memset(&value, 0, sizeof(value));
	if (out_size < size) {
		reply_err(req, -EINVAL);
		return;
	}
	if (ioctl(file->fd, cmd, &value) < 0)
		reply_err(req, -errno);
	else
		reply_ioctl(req, 0, 0, &value, size);
}

static void attr_set(fuse_req_t req, struct file *file, unsigned int cmd,
		     const void *in, size_t in_size)
{
	union {
		unsigned long flags;
		struct fsxattr attr;
	} value;
	size_t size = attr_size(cmd);
	int err;

	memset(&value, 0, sizeof(value));
	if (in_size < size) {
		reply_err(req, -EINVAL);
		return;
	}
	memcpy(&value, in, size);
	err = check_owner(req, file);
	if (!err && ioctl(file->fd, cmd, &value) < 0)
		err = -errno;
	file_changed(file->inode);
	if (err) {
		reply_err(req, err);
		return;
	}
	/* The change time is new, and to the kernel this was any ioctl. */
	fuse_lowlevel_notify_inval_inode(file->fs->se,
					 inode_nodeid(file->inode), -1, 0);
	reply_ioctl(req, 0, 0, NULL, 0);
}

static int explain_check(const struct offlay_ioc_explain *in)
{
	if (in->version != OFFLAY_ABI_VERSION)
		return -EOPNOTSUPP;
	if (in->flags)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(in->reserved) / sizeof(*in->reserved);
	     i++)
		if (in->reserved[i])
			return -EINVAL;
	return 0;
}

static int explain_fill(struct fs *fs, struct file *file,
			struct offlay_ioc_explain *ret_explain)
{
	struct offlay_facts src, dst;
	bool swap = false, unable = false;
	int err;

	err = offlay_facts_gather(file->fd, OFFLAY_SOURCE, fs->opt.deny, &src);
	if (!err)
		err = offlay_facts_gather(file->fd, OFFLAY_DESTINATION,
					  fs->opt.deny, &dst);
	if (!err && S_ISREG(src.mode))
		err = facts_find_swap(file->fd, &swap);
	if (!err)
		err = facts_find_volume(file->fd, src.fs_type, &unable);
	if (err)
		return err;
	src.swap_file = dst.swap_file = swap;
	src.volume_unable = dst.volume_unable = unable;
	facts_explain_pack(&src, &dst, fs->opt.deny, ret_explain);
	switch (fs->opt.refuse) {
	case REFUSE_VISIBLE:
		ret_explain->refuse = OFFLAY_IOC_REFUSE_VISIBLE;
		break;
	case REFUSE_KERNEL:
		ret_explain->refuse = OFFLAY_IOC_REFUSE_KERNEL;
		break;
	case REFUSE_COPY:
		ret_explain->refuse = OFFLAY_IOC_REFUSE_COPY;
		break;
	}
	ret_explain->offload = fs->opt.offload == OFFLOAD_CLONE
				       ? OFFLAY_IOC_OFFLOAD_CLONE
				       : OFFLAY_IOC_OFFLOAD_AUTO;
	return 0;
}

static void explain(fuse_req_t req, struct file *file, const void *in,
		    size_t in_size, size_t out_size)
{
	struct offlay_ioc_explain value;
	int err;

	if (in_size < sizeof(value) || out_size < sizeof(value)) {
		reply_err(req, -EINVAL);
		return;
	}
	memcpy(&value, in, sizeof(value));
	err = explain_check(&value);
	if (!err)
		err = explain_fill(fs_of(req), file, &value);
	if (err)
		reply_err(req, err);
	else
		reply_ioctl(req, 0, 0, &value, sizeof(value));
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in_buf,
	      size_t in_bufsz, size_t out_bufsz)
{
	FILE_AUTO(file);

	file = handle_get(fs_of(req), fi->fh);
	(void)ino;
	(void)arg;
	(void)flags;
	if (!file) {
		reply_err(req, -EBADF);
		return;
	}
	switch (cmd) {
	case FS_IOC32_GETVERSION:
		attr_get(req, file, FS_IOC_GETVERSION, out_bufsz);
		break;
	case FS_IOC_GETFLAGS:
	case FS_IOC_GETVERSION:
	case FS_IOC_FSGETXATTR:
		attr_get(req, file, cmd, out_bufsz);
		break;
	case FS_IOC_SETFLAGS:
	case FS_IOC_FSSETXATTR:
		attr_set(req, file, cmd, in_buf, in_bufsz);
		break;
	case OFFLAY_IOC_EXPLAIN:
		explain(req, file, in_buf, in_bufsz, out_bufsz);
		break;
	default:
		if (!op_odx(req, file, cmd, in_buf, in_bufsz, out_bufsz) &&
		    !op_trace(req, file, cmd, in_buf, in_bufsz, out_bufsz) &&
		    !op_clone(req, file, fi->fh, cmd, in_buf, in_bufsz,
			      out_bufsz) &&
		    !op_rules(req, cmd, in_buf, in_bufsz, out_bufsz))
			reply_err(req, -ENOTTY);
	}
}
