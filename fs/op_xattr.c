/* SPDX-License-Identifier: MIT */
/* Extended attributes of every namespace, and POSIX ACLs. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <linux/limits.h>

#include "fs.h"

#define ACL_ACCESS "system.posix_acl_access"
#define TRUSTED	   "trusted."

/*
 * By /proc/self/fd, which leads to the object itself, symlinks included: the
 * calls on descriptors refuse O_PATH ones.  They cost a quarter, and before
 * its first write(2) to a file the kernel asks for file capabilities.
 */
static ssize_t get(const struct pin *pin, const char *name, void *value,
		   size_t size)
{
	char path[FD_PATH_SIZE];
	ssize_t n;

	if (pin->lender)
		n = fgetxattr(pin->fd, name, value, size);
	else
		n = getxattr(inode_fd_path(pin, path), name, value, size);
	return n < 0 ? -errno : n;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char *value = NULL;
	ssize_t n = 0;
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs_of(req), ino, &pin);
	if (!err && size) {
		value = malloc(size);
		if (!value)
			err = -ENOMEM;
	}
	if (!err) {
		n = get(&pin, name, value, size);
		if (n < 0)
			err = (int)n;
	}
	if (size)
		reply_buf(req, err, value, (size_t)n);
	else
		reply_xattr(req, err, (size_t)n);
	free(value);
}

/* trusted.* is there only for those who may read it. */
static size_t hide_trusted(char *list, size_t size)
{
	size_t in = 0, out = 0, len;

	for (in = 0; in < size; in += len) {
		len = strnlen(list + in, size - in - 1) + 1;
		if (strncmp(list + in, TRUSTED, strlen(TRUSTED)) == 0)
			continue;
		memmove(list + out, list + in, len);
		out += len;
	}
	return out;
}

/* The whole list, whatever its size; -errno. */
static ssize_t read_list(const struct pin *pin, char **ret_list)
{
	char path[FD_PATH_SIZE], *list;
	ssize_t n;

	list = malloc(XATTR_LIST_MAX);
	if (!list)
		return -ENOMEM;
	n = listxattr(inode_fd_path(pin, path), list, XATTR_LIST_MAX);
	if (n < 0) {
		n = -errno;
		free(list);
		return n;
	}
	*ret_list = list;
	return n;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct fs *fs = fs_of(req);
	char *list = NULL;
	ssize_t n = 0;
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs, ino, &pin);
	if (!err) {
		n = read_list(&pin, &list);
		if (n < 0)
			err = (int)n;
	}
	if (!err && fs->privileged && fuse_req_ctx(req)->uid != 0)
		n = (ssize_t)hide_trusted(list, (size_t)n);
	if (!err && size && (size_t)n > size)
		err = -ERANGE;
	if (size)
		reply_buf(req, err, list, (size_t)n);
	else
		reply_xattr(req, err, (size_t)n);
	free(list);
}

/*
 * Setting an access ACL may have to drop S_ISGID, which depends on the
 * caller's groups: the backing must see the caller.  The owner alone (or a
 * CAP_FOWNER, whose S_ISGID stays) gets this far.
 */
static bool is_for_caller(fuse_req_t req, const struct pin *pin,
			  const char *name)
{
	struct statx stx;

	return strcmp(name, ACL_ACCESS) == 0 && fs_of(req)->privileged &&
	       inode_statx(pin, STATX_UID, &stx) == 0 &&
	       stx.stx_uid == fuse_req_ctx(req)->uid && stx.stx_uid != 0;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags)
{
	char path[FD_PATH_SIZE];
	bool for_caller;
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs_of(req), ino, &pin);
	if (err) {
		reply_err(req, err);
		return;
	}
	for_caller = is_for_caller(req, &pin, name);
	if (for_caller)
		err = creds_enter(req, true);
	if (!err) {
		if (setxattr(inode_fd_path(&pin, path), name, value, size,
			     flags))
			err = -errno;
		if (for_caller)
			creds_leave(req);
	}
	file_changed(pin.inode);
	reply_err(req, err);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[FD_PATH_SIZE];
	PIN_AUTO(pin);
	int err;

	err = inode_pin(fs_of(req), ino, &pin);
	if (!err && removexattr(inode_fd_path(&pin, path), name))
		err = -errno;
	if (!err)
		file_changed(pin.inode);
	reply_err(req, err);
}
