/* SPDX-License-Identifier: MIT */
/* Written bytes that wait to be compared, and who writes them if we die. */
#ifndef OFFLAY_GATHER_H
#define OFFLAY_GATHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A program that copies has its writes answered before they are in the file,
 * so that they can be compared and cloned together, and while it goes on.  What
 * was answered must not be lost with the daemon: the bytes are in memory that
 * it shares with a keeper, a process that only waits for the daemon's end.  It
 * has the same table of descriptors, and then writes what is still here.
 */

/* Bytes that are joined in one slot. */
#define GATHER_SIZE (256u << 10)

/* At once. */
#define GATHER_SLOTS 64u

/* Blocks for threads to receive requests into. */
#define GATHER_SPARE 64u

struct gather_slot {
	/*
	 * So many bytes of @data the file does not have yet.  What they are
	 * and where they go does not change while it is more than 0.
	 */
	_Atomic uint32_t length;
	atomic_int fd; /* the file, which may have a lease; -1: a free slot */
	uint64_t offset;
	unsigned char *data;  /* in @block */
	unsigned char *block; /* of the slot; may be traded while it is empty */
};

/* A file with slots, or at least with a lease; the keeper gives that back. */
struct gather_file {
	atomic_int fd;	       /* -1: none */
	atomic_bool failed;    /* nothing is written into it any more */
	_Atomic uint64_t size; /* without what is in slots */
};

/*
 * May what is in slots be put into it?  Not where the lease ran out because we
 * were stopped for too long (lease-break-time), and somebody has written or
 * truncated the file meanwhile: on a plain filesystem these bytes would have
 * come before.  Only what is safe after fork(2).
 *
 * @most: as large it may be without anybody else
 */
bool gather_is_ours(const struct gather_file *file, uint64_t most);

struct gather;

/* @block: bytes of a whole request, GATHER_SIZE at least */
int gather_new(size_t block, struct gather **ret_gather);
/* No slot is taken any more, and no block used; takes NULL. */
void gather_free(struct gather *gather);
/* GATHER_SLOTS of them; who has which is the caller's to say. */
struct gather_file *gather_files(struct gather *gather);
/* For good; NULL: none is left. */
void *gather_spare(struct gather *gather);
/*
 * An empty slot for the open @fd; where its bytes go is the caller's to set.
 * Return: 0, -EAGAIN where none is free, or -EOPNOTSUPP without a keeper; the
 * first time that there is none with the reason instead, -ECHILD if it ended.
 */
int gather_take(struct gather *gather, int fd, struct gather_slot **ret_slot);
/* Of an empty slot. */
void gather_put(struct gather_slot *slot);
/* Gives the memory of free slots back. */
void gather_trim(struct gather *gather);

#endif
