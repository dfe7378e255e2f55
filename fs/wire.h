/* SPDX-License-Identifier: MIT */
/* What the header of a request says before libfuse reads it. */
#ifndef OFFLAY_WIRE_H
#define OFFLAY_WIRE_H

#include <stdbool.h>

#include <linux/fuse.h>

enum wire_kind {
	WIRE_CALLER, /* somebody waits for the answer */
	WIRE_PAGES, /* for the page cache: read ahead, written back, or missed */
	WIRE_NOBODY, /* sent without anybody waiting */
};

enum wire_kind wire_kind(const struct fuse_in_header *in);
bool wire_takes_long(const struct fuse_in_header *in);
bool wire_kills_suidgid(const struct fuse_in_header *in);

/*
 * A libfuse before 3.18 answers COPY_FILE_RANGE_64 with ENOSYS, and the kernel
 * asks again with COPY_FILE_RANGE; but of two callers at once the second turns
 * copies off for the whole mount.  So it is asked as the latter.  The two carry
 * the same; a count that fits 32 bits is answered by the same bytes, too, where
 * the low ones come first.
 */
void wire_ask_the_old_way(struct fuse_in_header *in);

#endif
