/* SPDX-License-Identifier: MIT */
/* The public interface of libofflay: facts, verdicts, copies, statuses. */
#ifndef OFFLAY_H
#define OFFLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offlay_uapi.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OFFLAY_PUBLIC __attribute__((visibility("default")))
#else
#define OFFLAY_PUBLIC
#endif

/*
 * Conventions: functions return 0 or a negative errno; outputs come last, are
 * named ret_ and stay untouched on failure.  Offsets and lengths are bytes.
 * The library never logs, never exits, and keeps no global state; everything
 * is safe to call from several threads on different or the same descriptors.
 */

/* ------------------------------------------------------------------ facts */

/* Which side of a copy a file is on; judged differently (sparse). */
enum offlay_side {
	OFFLAY_SOURCE = 0,
	OFFLAY_DESTINATION = 1,
};

/* What a policy may deny. */
#define OFFLAY_DENY_SPARSE     (1u << 0)
#define OFFLAY_DENY_ENCRYPTED  (1u << 1)
#define OFFLAY_DENY_COMPRESSED (1u << 2)
#define OFFLAY_DENY_ALL \
	(OFFLAY_DENY_SPARSE | OFFLAY_DENY_ENCRYPTED | OFFLAY_DENY_COMPRESSED)

/* How it is known that a file is sparse, encrypted or compressed. */
#define OFFLAY_BY_HOLE	 (1u << 0) /* SEEK_HOLE/SEEK_DATA found a hole */
#define OFFLAY_BY_STATX	 (1u << 1) /* a statx attribute */
#define OFFLAY_BY_FLAGS	 (1u << 2) /* FS_IOC_GETFLAGS */
#define OFFLAY_BY_EXTENT (1u << 3) /* a FIEMAP extent */
#define OFFLAY_BY_DOS	 (1u << 4) /* user.DOSATTRIB or system.ntfs_attrib */

/**
 * struct offlay_facts - what is known of one open file
 *
 * Filled by offlay_facts_gather() from the descriptor alone; plain data, so
 * that tests can make any file up.  The three kinds say by which evidence
 * (OFFLAY_BY_*) the file is of the kind, 0 for not.
 */
struct offlay_facts {
	uint64_t dev; /* st_dev of the file */
	uint64_t ino;
	uint64_t size;	 /* bytes */
	uint64_t blocks; /* units of 512 bytes */
	int64_t mtime_sec, ctime_sec;
	uint32_t mtime_nsec, ctime_nsec;
	uint32_t mode;		 /* st_mode */
	uint32_t fs_type;	 /* statfs f_type */
	uint32_t inode_flags;	 /* FS_*_FL where known, else 0 */
	uint32_t dos_attributes; /* FILE_ATTRIBUTE_*, 0 where none */
	uint32_t sparse;	 /* OFFLAY_BY_* */
	uint32_t encrypted;
	uint32_t compressed;
	uint64_t hole_offset, hole_length;     /* first offending hole */
	uint64_t extent_offset, extent_length; /* first compressed extent */
	/* Not looked for by offlay_facts_gather(): */
	bool swap_file;
	bool volume_unable; /* the filesystem offloads nothing */
};

/**
 * offlay_facts_gather() - learn what decides whether a file may be offloaded
 * @fd: open file, owned by the caller, in any mode but O_PATH; its offset
 *	moves (SEEK_HOLE), so pass one that nobody reads by offset
 * @side: which side of a copy the file is on
 * @deny: OFFLAY_DENY_*: kinds that matter; others cost nothing
 * @ret_facts: set on success
 *
 * Uses the fewest system calls that the answer needs and stops at the first
 * hit of each kind.  Where data may be stored compressed, dirty data is written
 * out first, as a clone would do.  An attribute that the filesystem does not
 * have, or does not show to the caller, is absent and no error.
 *
 * Return: 0, or a negative errno: of statx or fstatfs, or one that means a
 * broken file, such as -EIO; -ENOMEM.
 */
OFFLAY_PUBLIC int offlay_facts_gather(int fd, enum offlay_side side,
				      unsigned int deny,
				      struct offlay_facts *ret_facts);

/* ---------------------------------------------------------------- verdict */

/* Why a file may not take part in an offload; bits of offlay_verdict. */
enum offlay_reason {
	OFFLAY_REASON_SPARSE,
	OFFLAY_REASON_ENCRYPTED,
	OFFLAY_REASON_COMPRESSED,
	OFFLAY_REASON_NOT_REGULAR,
	OFFLAY_REASON_IMMUTABLE,   /* destination only */
	OFFLAY_REASON_APPEND_ONLY, /* destination only */
	OFFLAY_REASON_SWAP_FILE,
	OFFLAY_REASON_CHECKSUMS,	/* pair: nodatasum against datasum */
	OFFLAY_REASON_OTHER_FILESYSTEM, /* pair */
	OFFLAY_REASON_COUNT
};

/* The reasons that a policy can take away; the others are the backing's. */
#define OFFLAY_REASONS_POLICY                                         \
	(1u << OFFLAY_REASON_SPARSE | 1u << OFFLAY_REASON_ENCRYPTED | \
	 1u << OFFLAY_REASON_COMPRESSED)

/**
 * struct offlay_verdict - every reason against one file on one side
 * @reasons: bit (1 << enum offlay_reason) for each; 0 means eligible
 */
struct offlay_verdict {
	uint32_t reasons;
};

/**
 * offlay_eligible() - judge one file; pure
 * @facts: as gathered for @side
 * @side: which side of a copy the file is on
 * @deny: OFFLAY_DENY_*: which kinds count as reasons
 *
 * Return: every reason against the file, none if it is eligible.
 */
OFFLAY_PUBLIC struct offlay_verdict
offlay_eligible(const struct offlay_facts *facts, enum offlay_side side,
		unsigned int deny);

/**
 * offlay_eligible_pair() - reasons that only the two files together have
 * @src, @dst: facts of either file
 *
 * Pure.  These forbid shared extents, not a copy by other means.  Two
 * filesystems are named where they are certain: where st_dev tells subvolumes
 * or layers apart, nothing is said, and the backing has to be tried.
 *
 * Return: the reasons, none if nothing speaks against the pair.
 */
OFFLAY_PUBLIC struct offlay_verdict
offlay_eligible_pair(const struct offlay_facts *src,
		     const struct offlay_facts *dst);

/** offlay_reason_name() - short stable name, such as "sparse"; never NULL */
OFFLAY_PUBLIC const char *offlay_reason_name(enum offlay_reason reason);

#define OFFLAY_DESCRIBE_SIZE 96

/**
 * offlay_reason_describe() - one clause that says why, with the numbers
 * @reason: one that a verdict on @facts holds
 * @facts: as they were judged
 * @size: room in @buf; OFFLAY_DESCRIBE_SIZE is always enough
 * @buf: gets e.g. "hole of 4096 bytes at 8192"; always terminated
 */
OFFLAY_PUBLIC void offlay_reason_describe(enum offlay_reason reason,
					  const struct offlay_facts *facts,
					  char *buf, size_t size);

/**
 * offlay_deny_parse() - read "sparse:encrypted:compressed", "none" or "all"
 * @text: words separated by colons or commas
 * @ret_deny: set on success: OFFLAY_DENY_*
 * @ret_bad: set on failure: into @text, at the word that is wrong
 *
 * Return: 0 or -EINVAL.
 */
OFFLAY_PUBLIC int offlay_deny_parse(const char *text, unsigned int *ret_deny,
				    const char **ret_bad);

/* ------------------------------------------------------------------- copy */

/* How bytes travelled; also the set of methods that a caller allows. */
enum offlay_method {
	OFFLAY_METHOD_NONE = 0,
	OFFLAY_METHOD_CLONE = 1 << 0,	/* extents are shared */
	OFFLAY_METHOD_OFFLOAD = 1 << 1, /* the storage copied by itself */
	OFFLAY_METHOD_DATA = 1 << 2,	/* read and written here */
};
#define OFFLAY_METHOD_ALL \
	(OFFLAY_METHOD_CLONE | OFFLAY_METHOD_OFFLOAD | OFFLAY_METHOD_DATA)

/*
 * The engine remembers, for each pair of superblocks, which methods work and
 * with which block size.  One engine may be shared by any number of threads.
 */
struct offlay_engine;

/** offlay_engine_new() - Return: 0 or -ENOMEM; free with offlay_engine_free */
OFFLAY_PUBLIC int offlay_engine_new(struct offlay_engine **ret_engine);
/** offlay_engine_free() - takes NULL; no copy may be running */
OFFLAY_PUBLIC void offlay_engine_free(struct offlay_engine *engine);

/* Where data is moved, allocated blocks of zeros become holes, too. */
#define OFFLAY_COPY_ZEROS_TO_HOLES (1u << 0)
/*
 * Success must mean shared extents for every byte (offload=clone); edges that
 * cannot be shared make it -EOPNOTSUPP before anything is changed.
 */
#define OFFLAY_COPY_CLONE_ONLY (1u << 1)

/**
 * struct offlay_range - what to copy
 * @src_fd, @dst_fd: owned by the caller; opened for reading and for writing,
 *	destination not O_APPEND, neither O_DIRECT; may be the same file with
 *	disjoint ranges.
 *	Their own file offsets may move (SEEK_DATA), so give descriptors that
 *	nobody reads or writes by offset
 * @length: bytes; ends early at the source's end of file
 * @methods: OFFLAY_METHOD_* that may be used, 0 for all; without
 *	OFFLAY_METHOD_DATA a range with unaligned edges is not cloned
 * @flags: OFFLAY_COPY_*
 * @max_move: most bytes to move by hand in this call, 0 for no limit; keeps a
 *	request short enough to be killed.  Clones and holes do not count; a
 *	server-side copy then ends after about 100 ms
 */
struct offlay_range {
	int src_fd;
	int dst_fd;
	uint64_t src_offset;
	uint64_t dst_offset;
	uint64_t length;
	unsigned int methods;
	unsigned int flags;
	uint64_t max_move;
};

/**
 * struct offlay_result - what a copy did
 * @copied: bytes of the range that now hold the source's bytes, from its
 *	start; 0 only where @src_offset is at or past the source's end
 * @cloned, @offloaded, @moved, @holes: how these were done, sum is @copied
 * @stop: 0, or the errno (positive) that ended the copy after @copied bytes;
 *	the range behind them may have changed
 * @declined_clone, @declined_offload: errno (positive) with which the method
 *	declined, 0 if it did not or was not tried
 */
struct offlay_result {
	uint64_t copied;
	uint64_t cloned;
	uint64_t offloaded;
	uint64_t moved;
	uint64_t holes;
	int stop;
	int declined_clone;
	int declined_offload;
};

/**
 * offlay_copy_range() - copy a byte range, sharing extents where possible
 * @engine: remembers which methods work per pair of filesystems
 * @range: what to copy
 * @ret_result: set on success; on -EOPNOTSUPP, too, where its declined_ members
 *	say why
 *
 * Tries the methods in order; once one has moved a byte, only the rest of its
 * own plan (a clone's unaligned edges) runs in the same call.  The range is
 * filled from its start to its end.  Safe to call from several threads.
 *
 * Return: 0 with @ret_result->copied bytes (short counts are normal, 0 is end
 * of file); -EOPNOTSUPP if every allowed method declined; -EINVAL, -EISDIR,
 * -EBADF, -EOVERFLOW or -EFBIG as copy_file_range(2); else the first real
 * error, and then the destination's range may have changed.
 */
OFFLAY_PUBLIC int offlay_copy_range(struct offlay_engine *engine,
				    const struct offlay_range *range,
				    struct offlay_result *ret_result);

/* ------------------------------------------- clone, deduplicate, extents */

/*
 * FICLONERANGE, FIDEDUPERANGE and FIEMAP, which the kernel does not pass on to
 * a mount of offlayfs; there they are asked of the mount itself.  They work on
 * and off a mount, with the errors of the ioctls.
 */

/**
 * offlay_clone_range() - share a range of extents, all of it or an error
 * @src_fd, @src_offset: from where; open for reading
 * @dst_fd, @dst_offset: to where; open for writing, not O_APPEND
 * @length: bytes, 0 for all up to the source's end of file
 *
 * Offsets are those of whole blocks, and so is the length, but where it ends
 * at the source's end.  After an error the destination's range may have
 * changed.
 *
 * Return: 0 or a negative errno as of ioctl_ficlonerange(2); on a mount
 * -EOPNOTSUPP, too, where it refuses one of the files.
 */
OFFLAY_PUBLIC int offlay_clone_range(int src_fd, uint64_t src_offset,
				     int dst_fd, uint64_t dst_offset,
				     uint64_t length);

/**
 * offlay_dedupe_range() - share the extents of two ranges that are equal
 * @src_fd, @src_offset: one; open for reading
 * @dst_fd, @dst_offset: the other, which becomes the first
 * @length: bytes
 * @ret_deduped: set on success: bytes that are shared now; may be fewer
 *
 * The kernel compares and shares under locks: no byte changes.
 *
 * Return: 0, -EBADE where the bytes differ, or a negative errno, as of
 * ioctl_fideduperange(2) or in the status of its destination.
 */
OFFLAY_PUBLIC int offlay_dedupe_range(int src_fd, uint64_t src_offset,
				      int dst_fd, uint64_t dst_offset,
				      uint64_t length, uint64_t *ret_deduped);

/**
 * struct offlay_map - what of a file's extents is asked for
 * @start, @length: bytes; UINT64_MAX - @start for all the rest
 * @flags: FIEMAP_FLAG_*
 * @room: for how many extents there is room, 0 to count them
 */
struct offlay_map {
	uint64_t start;
	uint64_t length;
	uint32_t flags;
	uint32_t room;
};

/**
 * offlay_extents_map() - the extents of a file, in order
 * @fd: open in any mode but O_PATH
 * @map: what is asked for
 * @ret_extents: the first @ret_count are set; NULL where @map->room is 0
 * @ret_count: set on success: how many there are, at most the room
 *
 * Return: 0 or a negative errno as of FIEMAP: -EBADR for a flag that the
 * filesystem does not know, -EFBIG for a start behind all files' end,
 * -EOPNOTSUPP where there are no extents to tell.
 */
OFFLAY_PUBLIC int offlay_extents_map(int fd, const struct offlay_map *map,
				     struct offlay_extent *ret_extents,
				     uint32_t *ret_count);

/* ----------------------------------------------------------------- status */

/**
 * struct offlay_status - one row of the table errno <-> Win32 <-> NTSTATUS
 * @err: positive errno
 */
struct offlay_status {
	int err;
	uint32_t win32;
	uint32_t ntstatus;
	const char *err_name;
	const char *win32_name;
	const char *ntstatus_name;
	const char *why;    /* when it comes */
	const char *advice; /* what to do */
};

/**
 * offlay_status_by_errno() - by positive errno; the plain meaning where several
 * rows share it; NULL where none has it
 */
OFFLAY_PUBLIC const struct offlay_status *offlay_status_by_errno(int err);
/** offlay_status_by_win32() - NULL where the code is not in the table */
OFFLAY_PUBLIC const struct offlay_status *
offlay_status_by_win32(uint32_t win32);
/** offlay_status_by_ntstatus() - NULL where the code is not in the table */
OFFLAY_PUBLIC const struct offlay_status *
offlay_status_by_ntstatus(uint32_t ntstatus);
/**
 * offlay_status_by_name() - by any of the three names, in any case, with or
 * without ERROR_ or STATUS_; NULL where no row has it
 */
OFFLAY_PUBLIC const struct offlay_status *
offlay_status_by_name(const char *name);
/** offlay_status_at() - the table's rows in order, NULL past the end */
OFFLAY_PUBLIC const struct offlay_status *offlay_status_at(size_t index);
/** offlay_status_refused() - the row for a refused file on one side (4442/3) */
OFFLAY_PUBLIC const struct offlay_status *
offlay_status_refused(enum offlay_side side);
/** offlay_status_volume() - the row for a volume that cannot (4440/1) */
OFFLAY_PUBLIC const struct offlay_status *
offlay_status_volume(enum offlay_side side);
/** offlay_errno_name() - "EOPNOTSUPP" for 95; "E?" where unknown */
OFFLAY_PUBLIC const char *offlay_errno_name(int err);

#ifdef __cplusplus
}
#endif
#endif
