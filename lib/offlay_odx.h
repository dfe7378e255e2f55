/* SPDX-License-Identifier: MIT */
/* Offloaded data transfer for programs: tokens on an offlayfs mount. */
#ifndef OFFLAY_ODX_H
#define OFFLAY_ODX_H

#include "offlay.h"
#include "offlay_uapi.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * All of these return 0 or a negative errno, and set *@ret_status, where it is
 * not NULL, to the same answer as a row of the status table: NULL for success,
 * or where the error has no row.  See offlay-odx(7).  A descriptor that is not
 * on an offlayfs mount gives -ENOTTY.  Safe to call from several threads.
 */

/**
 * struct offlay_odx_range - what to read or write
 * @offset: in the file; a multiple of the volume's sector
 * @length: bytes; a multiple of the sector
 * @token_offset: where in the token's data a write begins; unused by a read
 * @ttl: milliseconds that a token lives without use, 0 for the mount's
 *	default; unused by a write
 */
struct offlay_odx_range {
	uint64_t offset;
	uint64_t length;
	uint64_t token_offset;
	uint32_t ttl;
};

/**
 * offlay_odx_volume() - what the mount of an open file offers
 * @fd: any open file or directory of the mount
 * @ret_volume: set on success
 */
OFFLAY_PUBLIC int offlay_odx_volume(int fd,
				    struct offlay_ioc_odx_volume *ret_volume,
				    const struct offlay_status **ret_status);

/**
 * offlay_odx_set_volume() - change what the mount offers
 * @volume: the new limits; its counts are ignored
 *
 * For root and the user who mounted, else -EACCES.
 */
OFFLAY_PUBLIC int
offlay_odx_set_volume(int fd, const struct offlay_ioc_odx_volume *volume,
		      const struct offlay_status **ret_status);

/**
 * offlay_odx_read() - get a token for a range of a file as it is now
 * @fd: open for reading
 * @ret_token: set on success
 * @ret_length: set on success: bytes that the token stands for, perhaps fewer
 *	than asked for
 * @ret_flags: set on success: OFFLAY_ODX_READ_*
 */
OFFLAY_PUBLIC int offlay_odx_read(int fd, const struct offlay_odx_range *range,
				  struct offlay_token *ret_token,
				  uint64_t *ret_length, uint32_t *ret_flags,
				  const struct offlay_status **ret_status);

/**
 * offlay_odx_write() - put the data of a token into a file
 * @fd: open for writing, not O_APPEND; the file is never extended
 * @ret_length: set on success: bytes written, perhaps fewer than asked for
 */
OFFLAY_PUBLIC int offlay_odx_write(int fd, const struct offlay_odx_range *range,
				   const struct offlay_token *token,
				   uint64_t *ret_length,
				   const struct offlay_status **ret_status);

/**
 * offlay_odx_drop() - forget a token before it expires
 * @fd: any open file or directory of the mount
 */
OFFLAY_PUBLIC int offlay_odx_drop(int fd, const struct offlay_token *token,
				  const struct offlay_status **ret_status);

/**
 * struct offlay_odx_copied - how a copy was done
 * @offloaded: bytes that tokens carried
 * @moved: bytes copied by hand
 * @status: the refusal that ended the offload, NULL if there was none or it
 *	has no row
 * @err: its errno, positive; 0 if there was none
 */
struct offlay_odx_copied {
	uint64_t offloaded;
	uint64_t moved;
	const struct offlay_status *status;
	int err;
};

/**
 * offlay_odx_copy() - copy a file as CopyFile does
 * @src_fd: regular file, open for reading
 * @dst_fd: regular file, open for writing; becomes as long as the source
 * @ret_copied: set on success
 *
 * Files of 256 KiB and more are offloaded in chunks of 256 MiB.  On any
 * refusal the rest is copied by hand, from where the offload stopped, by
 * offlay_copy_range().
 *
 * Return: 0, or the error of reading or writing by hand, or of setting the
 * size.
 */
OFFLAY_PUBLIC int offlay_odx_copy(int src_fd, int dst_fd,
				  struct offlay_odx_copied *ret_copied);

#ifdef __cplusplus
}
#endif
#endif
