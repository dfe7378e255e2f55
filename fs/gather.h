/* SPDX-License-Identifier: MIT */
/* Written bytes that wait to be compared, and who writes them if we die. */
#ifndef OFFLAY_GATHER_H
#define OFFLAY_GATHER_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * A program that copies in small writes has them answered before they are in
 * the file, so that they can be compared and cloned together.  What was
 * answered must not be lost with the daemon: the bytes are in memory that it
 * shares with a keeper, a process that only waits for the daemon's end.  It
 * has the same table of descriptors, and then writes what is still here.
 */

/* Bytes of one slot. */
#define GATHER_SIZE (256u << 10)

/* Files at once. */
#define GATHER_SLOTS 16u

struct gather_slot {
	/*
	 * So many bytes of @data the file does not have yet.  What they are
	 * and where they go does not change while it is more than 0.
	 */
	_Atomic uint32_t length;
	atomic_int fd; /* the file, which may have a lease; -1: a free slot */
	uint64_t offset;
	unsigned char *data; /* GATHER_SIZE bytes */
};

struct gather;

int gather_new(struct gather **ret_gather);
/* No slot is taken any more; takes NULL. */
void gather_free(struct gather *gather);
/*
 * An empty slot for the open @fd; where its bytes go is the caller's to set.
 * Return: 0, -EAGAIN where none is free, or -EOPNOTSUPP without a keeper; the
 * first time that there is none with the reason instead, -ECHILD if it ended.
 */
int gather_take(struct gather *gather, int fd, struct gather_slot **ret_slot);
/* Of an empty slot. */
void gather_put(struct gather_slot *slot);

#endif
