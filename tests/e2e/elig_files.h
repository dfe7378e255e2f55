/* SPDX-License-Identifier: MIT */
/* Real files of every kind that offlay-eligibility(7) lists. */
#ifndef E2E_ELIG_FILES_H
#define E2E_ELIG_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "volume.h"

#define ELIG_BLOCK 65536

/**
 * elig_volume() - the shared volume for these tests, with a key for fscrypt
 * @ret_volume: ext4 can encrypt; "encrypted" below its root is encrypted there
 */
void elig_volume(enum backing backing, struct volume *ret_volume);

/**
 * elig_make() - make a file as a row of the manual page's first table says
 * @volume: from elig_volume()
 * @row: text of the table's first column
 * @path: file to make on the backing; replaced if it exists.  For the
 *	encrypted kind it must be below elig_dir() with @encrypted
 *
 * Return: 0, or why this backing or kernel cannot have such a file:
 * -EOPNOTSUPP; fails the test where the row is not known.
 */
int elig_make(const struct volume *volume, const char *row, const char *path);

bool elig_is_encrypted(const char *row);

/* Overwrites all of a file with data that does not compress, and syncs. */
void elig_fill(const char *path, uint64_t size, unsigned char seed);

#endif
