// SPDX-License-Identifier: MIT
/* One table: errno, Win32 code and NTSTATUS, with their names and advice. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "private.h"

#define ROW(err_, win32_, win32_name_, ntstatus_, ntstatus_name_, why_, \
	    advice_)                                                    \
	{                                                               \
		.err = err_, .win32 = win32_, .ntstatus = ntstatus_,    \
		.err_name = #err_, .win32_name = "ERROR_" win32_name_,  \
		.ntstatus_name = "STATUS_" ntstatus_name_, .why = why_, \
		.advice = advice_,                                      \
	}

enum row {
	ROW_NOT_SUPPORTED,
	ROW_READ_FLT,
	ROW_WRITE_FLT,
	ROW_READ_FILE,
	ROW_WRITE_FILE,
};

/*
 * Codes: MS-ERREF; when each comes: MS-FSA 2.1.5.10.20 and .21.  Where several
 * rows have one errno or Win32 code, the first is the plain meaning.
 */
static const struct offlay_status table[] = {
	[ROW_NOT_SUPPORTED] = ROW(
		EOPNOTSUPP, 50, "NOT_SUPPORTED", 0xC00000BB, "NOT_SUPPORTED",
		"the filesystem has no way to do this",
		"copy by reading and writing; 'offlay doctor' says what the "
		"filesystem can do"),
	[ROW_READ_FLT] = ROW(
		EOPNOTSUPP, 4440, "OFFLOAD_READ_FLT_NOT_SUPPORTED", 0xC000A2A1,
		"OFFLOAD_READ_FLT_NOT_SUPPORTED",
		"the source's volume, or a layer above it, cannot offload",
		"copy by reading and writing, or put the files on btrfs or XFS "
		"with reflink"),
	[ROW_WRITE_FLT] = ROW(
		EOPNOTSUPP, 4441, "OFFLOAD_WRITE_FLT_NOT_SUPPORTED", 0xC000A2A2,
		"OFFLOAD_WRITE_FLT_NOT_SUPPORTED",
		"the destination's volume, or a layer above it, cannot offload",
		"copy by reading and writing, or put the files on btrfs or XFS "
		"with reflink"),
	[ROW_READ_FILE] = ROW(
		EOPNOTSUPP, 4442, "OFFLOAD_READ_FILE_NOT_SUPPORTED", 0xC000A2A3,
		"OFFLOAD_READ_FILE_NOT_SUPPORTED",
		"the source is sparse, encrypted or compressed",
		"copy by reading and writing; 'offlay explain' names the "
		"reason; mount with -o deny=none or refuse=copy to allow it"),
	[ROW_WRITE_FILE] = ROW(
		EOPNOTSUPP, 4443, "OFFLOAD_WRITE_FILE_NOT_SUPPORTED",
		0xC000A2A4, "OFFLOAD_WRITE_FILE_NOT_SUPPORTED",
		"the destination is sparse, encrypted or compressed",
		"copy by reading and writing; 'offlay explain' names the "
		"reason; mount with -o deny=none or refuse=copy to allow it"),
	ROW(EOPNOTSUPP, 316, "DEVICE_FEATURE_NOT_SUPPORTED", 0xC0000463,
	    "DEVICE_FEATURE_NOT_SUPPORTED",
	    "the storage lacks the feature that was asked for",
	    "copy by reading and writing"),
	ROW(ESTALE, 315, "INVALID_TOKEN", 0xC0000465, "INVALID_TOKEN",
	    "the token is unknown, has expired, or belongs to another session",
	    "read the source again for a new token"),
	ROW(EINVAL, 87, "INVALID_PARAMETER", 0xC000000D, "INVALID_PARAMETER",
	    "an offset or length is not a multiple of the sector size, or a "
	    "structure is wrong",
	    "align offset and length to the sector size; check the size field"),
	ROW(EINVAL, 1289, "BEYOND_VDL", 0xC0000432, "BEYOND_VDL",
	    "the range begins behind the file's valid data",
	    "treat the range as zeros"),
	ROW(ENODATA, 38, "HANDLE_EOF", 0xC0000011, "END_OF_FILE",
	    "the offset is at or behind the end of the file",
	    "give the destination its final size before writing to it"),
	ROW(EAGAIN, 33, "LOCK_VIOLATION", 0xC0000054, "FILE_LOCK_CONFLICT",
	    "another process has locked a part of the range",
	    "try again when the lock is gone"),
	ROW(ENOTTY, 1, "INVALID_FUNCTION", 0xC0000010, "INVALID_DEVICE_REQUEST",
	    "this filesystem does not know the request at all",
	    "copy by reading and writing; the file is not on an offlayfs mount"),
	ROW(EMSGSIZE, 122, "INSUFFICIENT_BUFFER", 0xC0000023,
	    "BUFFER_TOO_SMALL", "the caller's buffer is too short",
	    "pass a buffer of the structure's full size"),
	ROW(EROFS, 19, "WRITE_PROTECT", 0xC00000A2, "MEDIA_WRITE_PROTECTED",
	    "the destination's volume is read-only",
	    "mount it read-write, or choose another destination"),
	ROW(EACCES, 5, "ACCESS_DENIED", 0xC0000022, "ACCESS_DENIED",
	    "the caller may not do this to the file",
	    "check owner, mode and access list"),
	ROW(ENOENT, 5, "ACCESS_DENIED", 0xC0000123, "FILE_DELETED",
	    "the file was deleted while it was open", "open the file anew"),
	ROW(ENOSPC, 112, "DISK_FULL", 0xC000007F, "DISK_FULL",
	    "the destination's volume has no space left", "free some space"),
	ROW(EDQUOT, 1295, "DISK_QUOTA_EXCEEDED", 0xC0000802,
	    "DISK_QUOTA_EXCEEDED", "the owner's quota is used up",
	    "free some space, or have the quota raised"),
	ROW(EFBIG, 223, "FILE_TOO_LARGE", 0xC0000904, "FILE_TOO_LARGE",
	    "the file would grow beyond its limit",
	    "raise the file size limit (ulimit -f), or split the file"),
	ROW(EIO, 1117, "IO_DEVICE", 0xC0000185, "IO_DEVICE_ERROR",
	    "the storage failed to read or write",
	    "look into the kernel's log; do not trust the destination"),
	ROW(ENOMEM, 1450, "NO_SYSTEM_RESOURCES", 0xC000009A,
	    "INSUFFICIENT_RESOURCES",
	    "the user or the mount has as many tokens, or bytes held by "
	    "tokens, as its limits allow",
	    "drop tokens that are not needed, wait until they expire, or "
	    "raise the limits (-o tokens=)"),
	ROW(ETIMEDOUT, 121, "SEM_TIMEOUT", 0xC00000B5, "IO_TIMEOUT",
	    "the storage did not answer in time", "try again"),
	ROW(EXDEV, 17, "NOT_SAME_DEVICE", 0xC00000D4, "NOT_SAME_DEVICE",
	    "source and destination are on two filesystems",
	    "copy by reading and writing"),
};

#define TABLE_SIZE (sizeof(table) / sizeof(*table))

const struct offlay_status *offlay_status_at(size_t index)
{
	return index < TABLE_SIZE ? &table[index] : NULL;
}

const struct offlay_status *offlay_status_by_errno(int err)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (table[i].err == err)
			return &table[i];
	return NULL;
}

const struct offlay_status *offlay_status_by_win32(uint32_t win32)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (table[i].win32 == win32)
			return &table[i];
	return NULL;
}

const struct offlay_status *offlay_status_by_ntstatus(uint32_t ntstatus)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (table[i].ntstatus == ntstatus)
			return &table[i];
	return NULL;
}

/* With or without the prefix that every name of its kind has. */
static bool is_name(const char *full, const char *prefix, const char *name)
{
	return !strcasecmp(full, name) ||
	       !strcasecmp(full + strlen(prefix), name);
}

const struct offlay_status *offlay_status_by_name(const char *name)
{
	/* Whole names of one kind first: some short ones have two owners. */
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (is_name(table[i].ntstatus_name, "STATUS_", name))
			return &table[i];
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (is_name(table[i].win32_name, "ERROR_", name) ||
		    !strcasecmp(table[i].err_name, name))
			return &table[i];
	return NULL;
}

const struct offlay_status *offlay_status_refused(enum offlay_side side)
{
	return &table[side == OFFLAY_SOURCE ? ROW_READ_FILE : ROW_WRITE_FILE];
}

const struct offlay_status *offlay_status_volume(enum offlay_side side)
{
	return &table[side == OFFLAY_SOURCE ? ROW_READ_FLT : ROW_WRITE_FLT];
}

const char *offlay_errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "E?";
}
