/* SPDX-License-Identifier: MIT */
/* The only place where errors change sign; every request ends here once. */
#include <errno.h>
#include <syslog.h>

#include "fs.h"
#include "handover.h"

/* The kernel takes 512 and more for its own restart codes: the caller hangs. */
#define ERRNO_END 512

static int wire_errno(int err)
{
	if (err >= 0 || err <= -ERRNO_END)
		return EIO;
	return -err;
}

/* Right before each reply, with no lock held. */
static void begin(fuse_req_t req, int err, uint64_t bytes)
{
	event_end(req, err, bytes);
	handover_begin();
}

/* A reply fails with ENOENT where the caller was killed meanwhile: normal. */
static int replied(int ret)
{
	handover_end();
	if (ret && ret != -ENOENT)
		log_msg(LOG_WARNING, "a reply to the kernel failed: %d", ret);
	return ret;
}

void reply_err(fuse_req_t req, int err)
{
	begin(req, err, 0);
	replied(fuse_reply_err(req, err ? wire_errno(err) : 0));
}

/* An answer that did not arrive leaves the kernel without the lookup. */
void reply_entry(fuse_req_t req, int err, const struct fuse_entry_param *entry)
{
	struct fs *fs = fs_of(req);

	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, 0);
	if (replied(fuse_reply_entry(req, entry)) == -ENOENT)
		inode_forget(fs, entry->ino, 1);
}

void reply_attr(fuse_req_t req, int err, const struct stat *attr)
{
	double timeout;

	if (err) {
		reply_err(req, err);
		return;
	}
	timeout = inode_attr_timeout(fs_of(req), attr->st_mode);
	begin(req, 0, 0);
	replied(fuse_reply_attr(req, attr, timeout));
}

int reply_create(fuse_req_t req, int err, const struct fuse_entry_param *entry,
		 const struct fuse_file_info *fi)
{
	if (err) {
		reply_err(req, err);
		return 0;
	}
	begin(req, 0, 0);
	return replied(fuse_reply_create(req, entry, fi));
}

int reply_open(fuse_req_t req, int err, const struct fuse_file_info *fi)
{
	if (err) {
		reply_err(req, err);
		return 0;
	}
	begin(req, 0, 0);
	return replied(fuse_reply_open(req, fi));
}

void reply_buf(fuse_req_t req, int err, const void *buf, size_t size)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, size);
	replied(fuse_reply_buf(req, buf, size));
}

void reply_data(fuse_req_t req, int err, struct fuse_bufvec *data)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, fuse_buf_size(data));
	replied(fuse_reply_data(req, data, 0));
}

void reply_write(fuse_req_t req, int err, size_t count)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, count);
	replied(fuse_reply_write(req, count));
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
void reply_statx(fuse_req_t req, struct statx *stx)
{
	begin(req, 0, 0);
	replied(fuse_reply_statx(
		req, 0, stx, inode_attr_timeout(fs_of(req), stx->stx_mode)));
}
#endif

void reply_lseek(fuse_req_t req, int err, off_t offset)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, 0);
	replied(fuse_reply_lseek(req, offset));
}

void reply_xattr(fuse_req_t req, int err, size_t size)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, 0);
	replied(fuse_reply_xattr(req, size));
}

void reply_statfs(fuse_req_t req, int err, const struct statvfs *st)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, 0);
	replied(fuse_reply_statfs(req, st));
}

void reply_readlink(fuse_req_t req, int err, const char *target)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, 0, 0);
	replied(fuse_reply_readlink(req, target));
}

/* @result is what ioctl(2) returns: a negative errno may carry data, too. */
void reply_ioctl(fuse_req_t req, int err, int result, const void *buf,
		 size_t size)
{
	if (err) {
		reply_err(req, err);
		return;
	}
	begin(req, result < 0 ? result : 0, 0);
	replied(fuse_reply_ioctl(req, result, buf, size));
}

void reply_none(fuse_req_t req)
{
	event_end(req, 0, 0);
	fuse_reply_none(req);
}
