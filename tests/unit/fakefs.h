/* SPDX-License-Identifier: MIT */
/* A filesystem in memory behind struct sys_ops, with the kernel's clone rules. */
#ifndef OFFLAY_TEST_FAKEFS_H
#define OFFLAY_TEST_FAKEFS_H

#include "private.h"

#define FAKE_FILES   3
#define FAKE_BYTES   640
#define FAKE_BLOCKS  160
#define FAKE_FD(i)   ((i) + 10)
#define FAKE_NO_CALL (-1)

enum fake_call {
	FAKE_CLONE,
	FAKE_COPY_RANGE,
	FAKE_PREAD,
	FAKE_PWRITE,
	FAKE_PUNCH,
	FAKE_EXTEND,
	FAKE_SEEK,
	FAKE_STAT,
	FAKE_VOLUME,
	FAKE_FLAGS,
	FAKE_CACHED,
	FAKE_DROP,
	FAKE_WRITE_BACK,
	FAKE_CALLS
};

struct fake_file {
	uint8_t data[FAKE_BYTES];
	bool written[FAKE_BLOCKS]; /* SEEK_DATA finds it */
	bool allocated[FAKE_BLOCKS];
	unsigned int extent[FAKE_BLOCKS]; /* equal and not 0: shared */
	uint64_t size;
	uint64_t dev, ino;
	uint32_t mode;
	int open_flags;
	bool nodatasum; /* a clone between unlike files is EINVAL */
	uint32_t ctime;
	/* A byte each: in the page cache, written back. */
	bool cached[FAKE_BYTES], clean[FAKE_BYTES];
};

struct fake {
	struct fake_file files[FAKE_FILES];
	uint32_t block;	     /* the filesystem's own, a power of two */
	uint32_t told_block; /* what statfs says, 0 for nothing */
	uint32_t type;
	uint64_t fsid;
	uint64_t now;
	uint64_t space;	 /* blocks that may still be allocated */
	int clone_errno; /* 0 where clones work */
	int range_errno; /* for copy_range */
	bool no_seek, no_punch, no_extend;
	size_t most; /* most bytes a read or write moves, 0 for any */

	/* The call with this number, counted from 0, goes wrong. */
	int fault_at;
	bool fault_stays;   /* and all later ones of its kind */
	int fault_errno;    /* 0: a short count, or nothing, see fault_bytes */
	size_t fault_bytes; /* a failing clone shares this much before; a
			       short call moves this much */
	/* Runs before the call with this number. */
	int meddle_at;
	void (*meddle)(struct fake *fake);

	/* What happened. */
	int calls;
	int counts[FAKE_CALLS];
	int first[FAKE_CALLS];	   /* number of the first of each kind */
	enum fake_call fault_call; /* what the fault hit */
	bool faulted;
	unsigned int next_extent;
	/* Runs after each call that changed a file. */
	void (*changed)(struct fake *fake, void *arg);
	void *changed_arg;
};

extern const struct sys_ops fake_ops;

void fake_init(struct fake *fake, uint32_t block);
/* Fills [0, size) of a file with bytes that tell file and place, never 0. */
void fake_fill(struct fake *fake, int file, uint64_t size, uint8_t seed);
void fake_make_hole(struct fake *fake, int file, uint64_t offset,
		    uint64_t length);
void fake_set_size(struct fake *fake, int file, uint64_t size);
/* How many of the bytes lie in blocks that both files share at that place. */
uint64_t fake_shared(const struct fake *fake, int src, uint64_t src_offset,
		     int dst, uint64_t dst_offset, uint64_t length);

#endif
