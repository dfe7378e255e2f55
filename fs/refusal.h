/* SPDX-License-Identifier: MIT */
/* How a refused copy reaches its caller; see refusal.c. */
#ifndef OFFLAY_REFUSAL_H
#define OFFLAY_REFUSAL_H

#include "fs.h"
#include "refusal_table.h"

/*
 * Refuses the copy that @req asks for; which of EOPNOTSUPP (then the caller
 * sees @err) and EINVAL is the errno to answer now.
 */
int refusal_begin(fuse_req_t req, struct file *src, uint64_t src_offset,
		  uint64_t src_fh, struct file *dst, uint64_t dst_offset,
		  uint64_t dst_fh, uint64_t length, int err);
/* Does a refusal wait for the next request of this thread? */
bool refusal_is_pending(fuse_req_t req);
/*
 * Certain: refuse it with @ret_err.  Likely: serve it, but it is no access to
 * the file.
 */
enum refusal_answer refusal_on_read(fuse_req_t req, struct file *file,
				    uint64_t fh, bool fills_cache,
				    int *ret_err);
/* Return: 0, or the negative errno of a refusal. */
int refusal_on_write(fuse_req_t req, struct file *file, uint64_t fh,
		     uint64_t offset, const void *data, size_t size);
/* The handle is about to be closed. */
void refusal_forget(struct fs *fs, uint64_t fh);

#endif
