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
	__u64 reserved[5];
};

#define OFFLAY_IOC_REFUSE_VISIBLE 0
#define OFFLAY_IOC_REFUSE_KERNEL  1
#define OFFLAY_IOC_REFUSE_COPY	  2
#define OFFLAY_IOC_OFFLOAD_AUTO	  0
#define OFFLAY_IOC_OFFLOAD_CLONE  1

#define OFFLAY_IOC_EXPLAIN _IOWR(OFFLAY_IOC_MAGIC, 1, struct offlay_ioc_explain)

#endif
