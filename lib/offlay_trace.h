/* SPDX-License-Identifier: MIT */
/* What a mount tells of itself: events and counters, by private ioctls. */
#ifndef OFFLAY_TRACE_H
#define OFFLAY_TRACE_H

#include "offlay_uapi.h"

/*
 * Both work on any open file or directory of the mount; see offlay-trace(1)
 * and offlay-stats(1).  Numbers below are never given another meaning; what a
 * reader does not know it skips.
 */

/* What was asked.  Those before OFFLAY_OP_OTHERS concern copying. */
enum offlay_op {
	OFFLAY_OP_NONE = 0,
	OFFLAY_OP_COPY = 1, /* copy_file_range(2) */
	OFFLAY_OP_CLONE = 2,
	OFFLAY_OP_DEDUPE = 3,
	OFFLAY_OP_FIEMAP = 4,
	OFFLAY_OP_TOKEN_READ = 5,
	OFFLAY_OP_TOKEN_WRITE = 6,
	OFFLAY_OP_TOKEN_DROP = 7,
	OFFLAY_OP_OTHERS = 8,
	OFFLAY_OP_LOOKUP = 8,
	OFFLAY_OP_FORGET = 9,
	OFFLAY_OP_GETATTR = 10,
	OFFLAY_OP_SETATTR = 11,
	OFFLAY_OP_TRUNCATE = 12,
	OFFLAY_OP_READLINK = 13,
	OFFLAY_OP_ACCESS = 14,
	OFFLAY_OP_STATFS = 15,
	OFFLAY_OP_MKNOD = 16,
	OFFLAY_OP_MKDIR = 17,
	OFFLAY_OP_SYMLINK = 18,
	OFFLAY_OP_LINK = 19,
	OFFLAY_OP_UNLINK = 20,
	OFFLAY_OP_RMDIR = 21,
	OFFLAY_OP_RENAME = 22,
	OFFLAY_OP_OPENDIR = 23,
	OFFLAY_OP_READDIR = 24,
	OFFLAY_OP_RELEASEDIR = 25,
	OFFLAY_OP_FSYNCDIR = 26,
	OFFLAY_OP_SETXATTR = 27,
	OFFLAY_OP_GETXATTR = 28,
	OFFLAY_OP_LISTXATTR = 29,
	OFFLAY_OP_REMOVEXATTR = 30,
	OFFLAY_OP_OPEN = 31,
	OFFLAY_OP_CREATE = 32,
	OFFLAY_OP_RELEASE = 33,
	OFFLAY_OP_FLUSH = 34,
	OFFLAY_OP_FSYNC = 35,
	OFFLAY_OP_READ = 36,
	OFFLAY_OP_WRITE = 37,
	OFFLAY_OP_FALLOCATE = 38,
	OFFLAY_OP_LSEEK = 39,
	OFFLAY_OP_IOCTL = 40,	/* any but those with a number of their own */
	OFFLAY_OP_CONTROL = 41, /* of offlay itself: counters, rules, ... */
	OFFLAY_OP_COUNT = 48	/* room for more */
};

/* What the policy and the storage made of it. */
enum offlay_verdict_kind {
	OFFLAY_VERDICT_NONE = 0, /* not judged */
	OFFLAY_VERDICT_ELIGIBLE = 1,
	OFFLAY_VERDICT_REFUSED = 2,  /* by policy: see the reasons */
	OFFLAY_VERDICT_DECLINED = 3, /* the storage cannot */
	OFFLAY_VERDICT_OVERRULED =
		4 /* ineligible, copied by hand (refuse=copy) */
};

/**
 * struct offlay_trace_event - one request that was answered
 * @size: of the whole record, a multiple of 8: this structure, then @comm_size,
 *	@src_size and @dst_size bytes of text, each with its NUL, then padding
 * @op: enum offlay_op
 * @flags: OFFLAY_EVENT_*
 * @number: counts the events of the mount, from 1
 * @time: when the request came, CLOCK_REALTIME in nanoseconds
 * @nsec: from then to its answer
 * @pid, @tid: process and thread that asked, 0 for unknown
 * @uid: who asked
 * @err: errno of the answer, positive, or 0
 * @verdict: enum offlay_verdict_kind
 * @src_reasons, @dst_reasons: bits 1 << enum offlay_reason
 * @methods: OFFLAY_METHOD_* that did it
 * @declined_clone, @declined_offload: errno with which the storage declined
 * @src_ino, @dst_ino: inodes as the mount shows them, 0 for none; requests of
 *	one file have a source only
 * @src_offset, @dst_offset, @length: as asked
 * @bytes: done; the next four say how, where it was a copy
 */
struct offlay_trace_event {
	__u32 size;
	__u16 op;
	__u16 flags;
	__u64 number;
	__u64 time;
	__u64 nsec;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 err;
	__u32 verdict;
	__u32 src_reasons;
	__u32 dst_reasons;
	__u32 methods;
	__u32 declined_clone;
	__u32 declined_offload;
	__u64 src_ino;
	__u64 dst_ino;
	__u64 src_offset;
	__u64 dst_offset;
	__u64 length;
	__u64 bytes;
	__u64 shared;
	__u64 offloaded;
	__u64 moved;
	__u64 holes;
	__u16 comm_size;
	__u16 src_size;
	__u16 dst_size;
	__u16 reserved16;
	__u64 reserved[2];
};

#define OFFLAY_EVENT_COPYING 0x1u /* concerns copying */
#define OFFLAY_EVENT_ACCEL   0x2u /* a write that was made a clone */
#define OFFLAY_EVENT_EDGE    0x4u /* how a refused copy reached its caller */
#define OFFLAY_EVENT_RULED   0x8u /* a fault rule had a say */

#define OFFLAY_TRACE_DATA 16320

/**
 * struct offlay_ioc_trace - the next events that this handle has not had
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: OFFLAY_TRACE_*
 * @lost: out: events that were overwritten before they could be read, since
 *	the last call
 * @size: out: bytes of @data in use, whole records; 0: nothing new
 *
 * The user who mounted and root only, else EPERM.  The first call makes the
 * handle a reader, which it is until it is closed: while there are readers,
 * events have names of files and programs.  It never waits.
 */
struct offlay_ioc_trace {
	__u32 version;
	__u32 flags;
	__u64 lost;
	__u32 size;
	__u32 reserved[3];
	__u8 data[OFFLAY_TRACE_DATA];
};

#define OFFLAY_TRACE_ALL 0x1u /* every request, not only those that copy */
#define OFFLAY_TRACE_NEW 0x2u /* first call: none from before it */

/* Counters, from the start of the mount. */
enum offlay_stat {
	/* Copies that were asked for (copy, clone, dedupe), by their answer. */
	OFFLAY_STAT_COPIES_CLONED = 0,
	OFFLAY_STAT_COPIES_OFFLOADED = 1,
	OFFLAY_STAT_COPIES_MOVED = 2, /* read and written, or all holes */
	OFFLAY_STAT_COPIES_EMPTY = 3, /* at the source's end */
	OFFLAY_STAT_COPIES_REFUSED = 4,
	OFFLAY_STAT_COPIES_DECLINED = 5,
	OFFLAY_STAT_COPIES_FAILED = 6,
	OFFLAY_STAT_COPIES_DIFFER = 7, /* deduplication of unequal bytes */
	/* Bytes of all requests, tokens and accelerated writes included. */
	OFFLAY_STAT_BYTES_SHARED = 8,
	OFFLAY_STAT_BYTES_OFFLOADED = 9,
	OFFLAY_STAT_BYTES_MOVED = 10,
	OFFLAY_STAT_BYTES_HOLES = 11,
	OFFLAY_STAT_BYTES_REFUSED = 12,
	/* Errnos that refused copies were answered with (see refuse=MODE). */
	OFFLAY_STAT_ANSWERED_EOPNOTSUPP = 13,
	OFFLAY_STAT_ANSWERED_EINVAL = 14,
	/* Reads and writes of the kernel that were refused to that end. */
	OFFLAY_STAT_REFUSED_EDGES = 15,
	/* Reasons of refusals; several may be of one: + enum offlay_reason. */
	OFFLAY_STAT_REFUSED_SRC = 16,
	OFFLAY_STAT_REFUSED_DST = 32,
	/* Offload reads and writes. */
	OFFLAY_STAT_TOKENS_MADE = 48,
	OFFLAY_STAT_TOKENS_WRITTEN = 49,
	OFFLAY_STAT_TOKENS_DROPPED = 50,
	OFFLAY_STAT_TOKENS_REFUSED = 51,
	OFFLAY_STAT_TOKENS_FAILED = 55,
	/* How files were opened. */
	OFFLAY_STAT_OPENS_PASSTHROUGH = 52,
	OFFLAY_STAT_OPENS_DIRECT = 53,
	OFFLAY_STAT_OPENS_CACHED = 54,
	/* Copies by read and write that became clones. */
	OFFLAY_STAT_ACCEL_HITS = 56,
	OFFLAY_STAT_ACCEL_MISSES = 57,
	OFFLAY_STAT_ACCEL_BYTES_SHARED = 58,
	OFFLAY_STAT_ACCEL_BYTES_WRITTEN = 59,
	OFFLAY_STAT_ACCEL_WHY = 64, /* + enum offlay_accel */
	OFFLAY_STAT_RULE_HITS = 80, /* requests that fault rules applied to */
	/* Of the trace. */
	OFFLAY_STAT_EVENTS = 88,
	OFFLAY_STAT_EVENTS_UNWRITTEN = 89, /* lost by -o trace=FILE */
	OFFLAY_STAT_COUNT = 128		   /* room for more */
};

/* What became of a write into a file that may be a copy by read and write. */
enum offlay_accel {
	OFFLAY_ACCEL_SHARED = 0,     /* cloned */
	OFFLAY_ACCEL_SMALL = 1,	     /* too short, or off the source's blocks */
	OFFLAY_ACCEL_DIFFERENT = 2,  /* no source with these bytes was found */
	OFFLAY_ACCEL_BUSY = 3,	     /* somebody may write to the source */
	OFFLAY_ACCEL_COLD = 4,	     /* the source is not in the page cache */
	OFFLAY_ACCEL_BROKEN = 5,     /* the lease was asked back meanwhile */
	OFFLAY_ACCEL_INELIGIBLE = 6, /* by the mount's policy */
	OFFLAY_ACCEL_HOLE = 7,	     /* the source has no data of its own */
	OFFLAY_ACCEL_OVERWRITE = 8,  /* the destination has data there */
	OFFLAY_ACCEL_REFUSED = 9,    /* the backing would not clone */
	OFFLAY_ACCEL_COUNT = 10
};

/* What is now. */
enum offlay_gauge {
	OFFLAY_GAUGE_PASSTHROUGH = 0, /* 1 or 0 */
	OFFLAY_GAUGE_INODES = 1,      /* that the kernel knows */
	OFFLAY_GAUGE_OPEN_FILES = 2,
	OFFLAY_GAUGE_DESCRIPTORS = 3, /* kept for inodes and open files */
	OFFLAY_GAUGE_DESCRIPTORS_MAX = 4,
	OFFLAY_GAUGE_TOKENS = 5,
	OFFLAY_GAUGE_TOKEN_BYTES = 6,
	OFFLAY_GAUGE_TRACE_READERS = 7,
	OFFLAY_GAUGE_UPTIME_NSEC = 8,
	OFFLAY_GAUGE_PID = 9,		  /* of the daemon */
	OFFLAY_GAUGE_RESIDENT_BYTES = 10, /* of the daemon */
	OFFLAY_GAUGE_COUNT = 24
};

/*
 * A histogram of durations: four buckets for each power of two of nanoseconds
 * from OFFLAY_LATENCY_FIRST.  Bucket 0 is what is shorter, the last one what
 * is longer; bucket 1 + 4 * e + q is from FIRST * 2^e * (1 + q/4) up to where
 * the next begins.
 */
#define OFFLAY_LATENCY_FIRST   1024u
#define OFFLAY_LATENCY_BUCKETS 114

struct offlay_latency {
	__u64 count;
	__u64 sum; /* nanoseconds */
	__u64 max;
	__u64 buckets[OFFLAY_LATENCY_BUCKETS];
};

/**
 * struct offlay_ioc_stats - the counters of the mount
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: 0
 * @counters: by enum offlay_stat
 * @requests: that the daemon answered, by enum offlay_op
 * @gauges: by enum offlay_gauge
 * @latencies: of what concerns copying, by enum offlay_op
 *
 * For everybody who may open a file of the mount.
 */
struct offlay_ioc_stats {
	__u32 version;
	__u32 flags;
	__u64 reserved[3];
	__u64 counters[OFFLAY_STAT_COUNT];
	__u64 requests[OFFLAY_OP_COUNT];
	__u64 gauges[OFFLAY_GAUGE_COUNT];
	struct offlay_latency latencies[OFFLAY_OP_OTHERS];
};

#define OFFLAY_IOC_TRACE_READ \
	_IOWR(OFFLAY_IOC_MAGIC, 16, struct offlay_ioc_trace)
#define OFFLAY_IOC_STATS _IOWR(OFFLAY_IOC_MAGIC, 17, struct offlay_ioc_stats)

#endif
