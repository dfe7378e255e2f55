/* SPDX-License-Identifier: MIT */
/* The private ioctls of an offlayfs mount: versioned and pointer-free. */
#ifndef OFFLAY_UAPI_H
#define OFFLAY_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Every structure begins with its version and flags; fields named reserved
 * must be zero (EINVAL), unknown flags are EINVAL, an unknown version is
 * EOPNOTSUPP.  All numbers are in the machine's byte order.
 */
#define OFFLAY_IOC_MAGIC   0xF1
#define OFFLAY_ABI_VERSION 1

/**
 * struct offlay_ioc_explain - what this mount would say of this open file
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: 0
 * @deny: out: OFFLAY_DENY_* of the mount
 * @refuse, @offload: out: OFFLAY_IOC_REFUSE_*, OFFLAY_IOC_OFFLOAD_*
 * @src_reasons, @dst_reasons: out: bits 1 << enum offlay_reason
 * @sparse, @dst_sparse: out: OFFLAY_BY_*, as source and as destination
 * @encrypted, @compressed: out: OFFLAY_BY_*, for either side
 * @inode_flags, @dos_attributes: out: FS_*_FL, FILE_ATTRIBUTE_*
 * @fs_type, @mode: out: statfs f_type and st_mode of the backing's file
 * @swap_file: out: 1 if it is in use as swap space
 * @hole_offset, @hole_length: out: first hole of a sparse source
 * @dst_hole_offset, @dst_hole_length: out: the same of a sparse destination
 * @extent_offset, @extent_length: out: first compressed extent
 * @volume: out: OFFLAY_IOC_VOLUME_UNABLE where the backing offloads nothing
 */
struct offlay_ioc_explain {
	__u32 version;
	__u32 flags;
	__u32 deny;
	__u32 refuse;
	__u32 offload;
	__u32 src_reasons;
	__u32 dst_reasons;
	__u32 sparse;
	__u32 encrypted;
	__u32 compressed;
	__u32 inode_flags;
	__u32 dos_attributes;
	__u32 dst_sparse;
	__u32 fs_type;
	__u32 mode;
	__u32 swap_file;
	__u64 size;
	__u64 hole_offset;
	__u64 hole_length;
	__u64 dst_hole_offset;
	__u64 dst_hole_length;
	__u64 extent_offset;
	__u64 extent_length;
	__u64 volume;
	__u64 reserved[4];
};

#define OFFLAY_IOC_VOLUME_UNABLE  (1u << 0)
#define OFFLAY_IOC_REFUSE_VISIBLE 0
#define OFFLAY_IOC_REFUSE_KERNEL  1
#define OFFLAY_IOC_REFUSE_COPY	  2
#define OFFLAY_IOC_OFFLOAD_AUTO	  0
#define OFFLAY_IOC_OFFLOAD_CLONE  1

#define OFFLAY_IOC_EXPLAIN _IOWR(OFFLAY_IOC_MAGIC, 1, struct offlay_ioc_explain)

/*
 * Offloaded data transfer: the structures of MS-FSCC 2.3.41 to 2.3.44 behind a
 * header of ours; see offlay-odx(7).  The ioctl fails with an errno, and the
 * reply, which is filled in then, too, says the same as Win32 code and
 * NTSTATUS.  A command with a shorter size is answered as Windows answers a
 * short buffer.
 */

/**
 * struct offlay_token - what a token looks like on the wire, 512 bytes
 * @type: OFFLAY_TOKEN_TYPE_*, big-endian
 * @reserved: 0
 * @id_length: bytes of @id in use, big-endian
 * @id: opaque
 */
struct offlay_token {
	__be32 type;
	__be16 reserved;
	__be16 id_length;
	__u8 id[504];
};

/* A point-in-time copy, the kind that offlayfs makes. */
#define OFFLAY_TOKEN_TYPE_DATA 0x00800000u
/* Stands for zeros, without any id (MS-FSCC 2.1.11). */
#define OFFLAY_TOKEN_TYPE_ZERO 0xFFFF0001u
/* Well known: the first 16 bits of the id say what (the WDK's spelling). */
#define OFFLAY_TOKEN_TYPE_KNOWN 0xFFFFFFFFu
#define OFFLAY_TOKEN_KNOWN_ZERO 0x0001u
#define OFFLAY_TOKEN_ID_LENGTH	504

/**
 * struct offlay_ioc_status - out: one answer in three languages, 0 for success
 * @err: errno, positive; ioctl(2) fails with the same
 * @win32, @ntstatus: the codes
 */
struct offlay_ioc_status {
	__u32 err;
	__u32 win32;
	__u32 ntstatus;
	__u32 reserved;
};

/* MS-FSCC 2.3.41 */
struct offlay_odx_read_input {
	__u32 size; /* of this structure */
	__u32 flags;
	__u32 token_time_to_live; /* milliseconds, 0 for the mount's default */
	__u32 reserved;
	__u64 file_offset;
	__u64 copy_length;
};

/* MS-FSCC 2.3.42 */
struct offlay_odx_read_output {
	__u32 size;
	__u32 flags; /* OFFLAY_ODX_READ_* */
	__u64 transfer_length;
	struct offlay_token token;
};

/* Behind what the token stands for the file holds nothing but zeros. */
#define OFFLAY_ODX_READ_ALL_ZERO_BEYOND 0x1u

/* MS-FSCC 2.3.43 */
struct offlay_odx_write_input {
	__u32 size;
	__u32 flags;
	__u64 file_offset;
	__u64 copy_length;
	__u64 transfer_offset;
	struct offlay_token token;
};

/* MS-FSCC 2.3.44 */
struct offlay_odx_write_output {
	__u32 size;
	__u32 flags;
	__u64 length_written;
};

struct offlay_ioc_odx_read {
	__u32 version;
	__u32 flags; /* in: 0 */
	struct offlay_ioc_status status;
	struct offlay_odx_read_input in;
	struct offlay_odx_read_output out;
};

struct offlay_ioc_odx_write {
	__u32 version;
	__u32 flags; /* in: 0 */
	struct offlay_ioc_status status;
	struct offlay_odx_write_input in;
	struct offlay_odx_write_output out;
};

/* Forgets a token before its time; any open file of the mount will do. */
struct offlay_ioc_odx_drop {
	__u32 version;
	__u32 flags; /* in: 0 */
	struct offlay_ioc_status status;
	struct offlay_token token;
};

/**
 * struct offlay_ioc_odx_volume - what a mount offers, and how that is changed
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: 0 to ask, OFFLAY_ODX_SET to replace all limits first (the user
 *	who mounted and root only)
 * @status: out
 * @odx_flags: OFFLAY_ODX_*_ON
 * @sector: logical sector in bytes, 512 or 4096
 * @transfer_max: most bytes that one token stands for
 * @copy_max: the same where the backing cannot clone and the bytes are copied;
 *	0: no tokens there
 * @bytes_max, @user_bytes_max: held by all tokens of the mount, of one user
 * @tokens_max, @user_tokens_max: number of tokens
 * @ttl_default, @ttl_max: milliseconds without use
 * @timeout_every: each so manieth offload request times out; 0 for none
 * @forget_every: each so manieth token that is presented is forgotten
 * @tokens, @bytes: out: alive now, and what they hold
 */
struct offlay_ioc_odx_volume {
	__u32 version;
	__u32 flags;
	struct offlay_ioc_status status;
	__u32 odx_flags;
	__u32 sector;
	__u64 transfer_max;
	__u64 copy_max;
	__u64 bytes_max;
	__u64 user_bytes_max;
	__u32 tokens_max;
	__u32 user_tokens_max;
	__u32 ttl_default;
	__u32 ttl_max;
	__u32 timeout_every;
	__u32 forget_every;
	__u64 tokens;
	__u64 bytes;
	__u64 reserved[4];
};

#define OFFLAY_ODX_SET 0x1u

#define OFFLAY_ODX_ON	    0x1u /* the feature is there at all */
#define OFFLAY_ODX_READ_ON  0x2u
#define OFFLAY_ODX_WRITE_ON 0x4u

#define OFFLAY_IOC_ODX_READ \
	_IOWR(OFFLAY_IOC_MAGIC, 2, struct offlay_ioc_odx_read)
#define OFFLAY_IOC_ODX_WRITE \
	_IOWR(OFFLAY_IOC_MAGIC, 3, struct offlay_ioc_odx_write)
#define OFFLAY_IOC_ODX_DROP \
	_IOWR(OFFLAY_IOC_MAGIC, 4, struct offlay_ioc_odx_drop)
#define OFFLAY_IOC_ODX_VOLUME \
	_IOWR(OFFLAY_IOC_MAGIC, 5, struct offlay_ioc_odx_volume)

/*
 * FICLONERANGE, FIDEDUPERANGE and FIEMAP, which the kernel does not pass on to
 * a FUSE server.  Each is asked on one open file; the other one of a pair, the
 * source, is named by a cookie that was given for it shortly before.  The mount
 * does what it does for a copy_file_range(2) between the two: it judges both
 * files, keeps to the caller's RLIMIT_FSIZE, drops suid, sgid and capabilities,
 * and makes the kernel forget what it has cached of the destination.
 *
 * Left to whoever asks: O_APPEND set or cleared by fcntl(2), which a mount does
 * not hear of, and fstat(2) of a destination that has grown, after which the
 * kernel knows its size.  libofflay does both, and so does "offlay run".
 */

/**
 * struct offlay_ioc_name - names an open file to a request on another
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: 0
 * @cookie: out: good for one request of the same user
 * @lifetime: out: milliseconds; it also ends with the open file
 *
 * EBADF where the file is not open for reading.
 */
struct offlay_ioc_name {
	__u32 version;
	__u32 flags;
	__u64 cookie[2];
	__u32 lifetime;
	__u32 reserved32;
	__u64 reserved[3];
};

/* @size_limit counts, too: of somebody on whose behalf this is asked. */
#define OFFLAY_SIZE_LIMIT 0x1u

/**
 * struct offlay_ioc_clone - shares a range of extents with this file
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: OFFLAY_SIZE_LIMIT or 0
 * @cookie: of the source; ESTALE where it is not good, or no longer
 * @src_offset, @length, @dst_offset: bytes, as in FICLONERANGE; a length of 0
 *	is to the source's end
 * @src_reasons, @dst_reasons: out, with EOPNOTSUPP: bits 1 << enum
 *	offlay_reason, why this mount refused either file
 * @size_limit: in: with OFFLAY_SIZE_LIMIT, bytes as of RLIMIT_FSIZE
 * @dst_size: out: size of this file afterwards
 *
 * All or an error, after which the destination's range may have changed.
 */
struct offlay_ioc_clone {
	__u32 version;
	__u32 flags;
	__u64 cookie[2];
	__u64 src_offset;
	__u64 length;
	__u64 dst_offset;
	__u32 src_reasons;
	__u32 dst_reasons;
	__u64 size_limit;
	__u64 dst_size;
	__u64 reserved[1];
};

/**
 * struct offlay_ioc_dedupe - shares extents of equal bytes with this file
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: OFFLAY_SIZE_LIMIT or 0
 * @cookie: of the source
 * @src_offset, @length, @dst_offset: bytes, as in FIDEDUPERANGE
 * @deduped: out: bytes that are shared now
 * @differs: out: 1 where the bytes are not equal, and nothing was done
 * @src_reasons, @dst_reasons, @size_limit: as for a clone
 */
struct offlay_ioc_dedupe {
	__u32 version;
	__u32 flags;
	__u64 cookie[2];
	__u64 src_offset;
	__u64 length;
	__u64 dst_offset;
	__u64 deduped;
	__u32 differs;
	__u32 src_reasons;
	__u32 dst_reasons;
	__u32 reserved32;
	__u64 size_limit;
	__u64 reserved[1];
};

/**
 * struct offlay_extent - as struct fiemap_extent
 * @logical, @physical, @length: bytes
 * @flags: FIEMAP_EXTENT_*
 */
struct offlay_extent {
	__u64 logical;
	__u64 physical;
	__u64 length;
	__u64 reserved64[2];
	__u32 flags;
	__u32 reserved[3];
};

#define OFFLAY_EXTENTS_MAX 128

/**
 * struct offlay_ioc_extents - the extents of this file, as FIEMAP
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: 0
 * @start, @length: in: bytes; UINT64_MAX - @start for all the rest
 * @map_flags: in: FIEMAP_FLAG_*; out: with EBADR those that were not understood
 * @count: in: how many to return, 0 to count them all
 * @mapped: out: how many there are in @extents, or in all where @count is 0
 */
struct offlay_ioc_extents {
	__u32 version;
	__u32 flags;
	__u64 start;
	__u64 length;
	__u32 map_flags;
	__u32 count;
	__u32 mapped;
	__u32 reserved32;
	__u64 reserved[3];
	struct offlay_extent extents[OFFLAY_EXTENTS_MAX];
};

#define OFFLAY_IOC_NAME	   _IOWR(OFFLAY_IOC_MAGIC, 6, struct offlay_ioc_name)
#define OFFLAY_IOC_CLONE   _IOWR(OFFLAY_IOC_MAGIC, 7, struct offlay_ioc_clone)
#define OFFLAY_IOC_DEDUPE  _IOWR(OFFLAY_IOC_MAGIC, 8, struct offlay_ioc_dedupe)
#define OFFLAY_IOC_EXTENTS _IOWR(OFFLAY_IOC_MAGIC, 9, struct offlay_ioc_extents)

/*
 * Fault rules; see offlay-rules(5).  Any open file of the mount will do.
 * Setting and clearing is for the user who mounted and for root (EPERM).
 */

#define OFFLAY_RULES_TEXT_MAX 65536 /* bytes of all rules */
#define OFFLAY_RULES_PART     8192
#define OFFLAY_RULES_LINE     1008

/**
 * struct offlay_ioc_rules_set - replaces all rules, or none where one is wrong
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: OFFLAY_RULES_MORE where this is not the last part of the text
 * @upload: in: 0 with the first part; out: to be given with the next one
 *	(ESTALE where somebody else has begun meanwhile)
 * @offset: in: of this part; parts follow each other
 * @length: in: of this part
 * @line, @column, @message: out, with EINVAL: where the text is wrong and what
 *	is expected there; 0 and empty where it is not the text that is wrong
 */
struct offlay_ioc_rules_set {
	__u32 version;
	__u32 flags;
	__u64 upload;
	__u32 offset;
	__u32 length;
	__u32 line;
	__u32 column;
	char message[208];
	__u64 reserved[2];
	char text[OFFLAY_RULES_PART];
};

#define OFFLAY_RULES_MORE 0x1u

/**
 * struct offlay_ioc_rules_list - one rule, and what it has done
 * @version: OFFLAY_ABI_VERSION
 * @flags: in: 0
 * @index: in: from 0
 * @count: out: how many rules there are
 * @generation: out: changes whenever the rules are replaced
 * @calls: out: that were for this rule, by operation and file
 * @hits: out: of them, that it answered
 * @bytes: out: that were moved by its calls
 * @line: out: of the text, 0 where there is no such rule
 * @waiting: out: requests that wait now, by all rules
 * @text: out: the rule as it was written, terminated
 */
struct offlay_ioc_rules_list {
	__u32 version;
	__u32 flags;
	__u32 index;
	__u32 count;
	__u64 generation;
	__u64 calls;
	__u64 hits;
	__u64 bytes;
	__u32 line;
	__u32 waiting;
	__u64 reserved[2];
	char text[OFFLAY_RULES_LINE];
};

/* Takes all rules away; requests that wait by one go on. */
struct offlay_ioc_rules_clear {
	__u32 version;
	__u32 flags; /* in: 0 */
	__u64 reserved[2];
};

#define OFFLAY_IOC_RULES_SET \
	_IOWR(OFFLAY_IOC_MAGIC, 24, struct offlay_ioc_rules_set)
#define OFFLAY_IOC_RULES_LIST \
	_IOWR(OFFLAY_IOC_MAGIC, 25, struct offlay_ioc_rules_list)
#define OFFLAY_IOC_RULES_CLEAR \
	_IOWR(OFFLAY_IOC_MAGIC, 26, struct offlay_ioc_rules_clear)

#endif
