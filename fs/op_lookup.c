/* SPDX-License-Identifier: MIT */
/* Names to inodes, and the kernel's count of them. */
#include <errno.h>
#include <string.h>

#include "fs.h"

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	PIN_AUTO(pin);
	int err;

	/* Only for NFS export, which is not negotiated; ".." could escape. */
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		reply_err(req, -ESTALE);
		return;
	}
	err = inode_pin(fs, parent, &pin);
	if (!err)
		err = inode_lookup(fs, &pin, name, &entry);
	reply_entry(req, err, &entry);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	inode_forget(fs_of(req), ino, nlookup);
	reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets)
{
	size_t i;

	for (i = 0; i < count; i++)
		inode_forget(fs_of(req), forgets[i].ino, forgets[i].nlookup);
	reply_none(req);
}
