/* SPDX-License-Identifier: MIT */
/* Writes that were answered before they were in the file: watch_gather.c. */
#ifndef OFFLAY_SETTLE_H
#define OFFLAY_SETTLE_H

#include "fs.h"

/* Use watch_settle(). */
void watch_settle_some(struct fs *fs, fuse_ino_t ino);
/*
 * Puts into files what was written to them and answered, before anybody can
 * look: into one, or into all (0).
 */
static inline void watch_settle(struct fs *fs, fuse_ino_t ino)
{
	if (atomic_load(&fs->gathering))
		watch_settle_some(fs, ino);
}
/* The same for what has this name. */
void watch_settle_name(struct fs *fs, const struct pin *parent,
		       const char *name);
/*
 * What became of such writes to a handle: 0, or a negative errno, again and
 * again.  A child's close(2) must not be the only one to learn of it.
 */
int watch_error(struct file *file);
/*
 * Memory for a thread to receive requests into, for good: loop_trade_block().
 * NULL: there is none.
 */
void *watch_spare_block(struct fs *fs);

#endif
