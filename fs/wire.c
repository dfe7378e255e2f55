// SPDX-License-Identifier: MIT
/* Requests as the kernel sends them; no system calls. */
#include <endian.h>

#include "fs.h"
#include "wire.h"

/* Not in kernel headers before 6.18. */
#define COPY_FILE_RANGE_64 53

enum wire_kind wire_kind(const struct fuse_in_header *in)
{
	const void *arg = in + 1;

	switch (in->opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return WIRE_NOBODY;
	case FUSE_READ:
		/* A read by a caller has an owner. */
		if (((const struct fuse_read_in *)arg)->read_flags &
		    FUSE_READ_LOCKOWNER)
			return WIRE_CALLER;
		return WIRE_PAGES;
	case FUSE_WRITE:
		if (((const struct fuse_write_in *)arg)->write_flags &
		    FUSE_WRITE_CACHE)
			return WIRE_PAGES;
		return WIRE_CALLER;
	default:
		return WIRE_CALLER;
	}
}

bool wire_takes_long(const struct fuse_in_header *in)
{
	switch (in->opcode) {
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_SYNCFS:
		return true;
	default:
		return false;
	}
}

bool wire_kills_suidgid(const struct fuse_in_header *in)
{
	const void *arg = in + 1;

	switch (in->opcode) {
	case FUSE_OPEN:
		return ((const struct fuse_open_in *)arg)->open_flags &
		       FUSE_OPEN_KILL_SUIDGID;
	case FUSE_WRITE:
		return ((const struct fuse_write_in *)arg)->write_flags &
		       FUSE_WRITE_KILL_SUIDGID;
	default:
		return false;
	}
}

void wire_ask_the_old_way(struct fuse_in_header *in)
{
	if (!HAVE_FUSE_COPY_64 && __BYTE_ORDER == __LITTLE_ENDIAN &&
	    in->opcode == COPY_FILE_RANGE_64)
		in->opcode = FUSE_COPY_FILE_RANGE;
}
