/* SPDX-License-Identifier: MIT */
/* How much of a file's data is shared, asked by FIEMAP on the backing. */
#ifndef E2E_EXTENTS_H
#define E2E_EXTENTS_H

#include <stdint.h>

struct extent_usage {
	uint64_t shared;
	uint64_t exclusive;
	/* Of both, bytes in extents that were allocated and never written. */
	uint64_t unwritten;
	/* Of both, bytes in compressed or encrypted extents. */
	uint64_t encoded;
	unsigned int n_extents;
};

/**
 * extents_usage() - count a file's shared and exclusive bytes
 * @path: file on the backing; FIEMAP does not reach a FUSE server
 * @ret_usage: set on success; lengths in bytes, rounded as the backing rounds
 *
 * Syncs the file first.
 *
 * Return: 0 or -errno; -EOPNOTSUPP on tmpfs.
 */
int extents_usage(const char *path, struct extent_usage *ret_usage);

#endif
