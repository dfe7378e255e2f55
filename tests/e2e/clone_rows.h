/* SPDX-License-Identifier: MIT */
/* One line a case of clone, dedupe and extent map, to be compared as text. */
#ifndef E2E_CLONE_ROWS_H
#define E2E_CLONE_ROWS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define KIB 1024ull
#define MIB (1024 * KIB)

/* The directory, on the backing itself. */
extern const char *rows_backing;
/* By the library's calls, else by the ioctls themselves. */
extern bool rows_by_library;

/* Prints "NAME: " and the rest, and a newline. */
void row(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The errno's name behind NAME, "0" for 0. */
void row_errno(const char *name, int err);

/* Opens a name in the directory that was given; ends the program if it fails. */
int row_open(const char *name, int flags);
/* A file of random data of a seed, synced. */
void row_file(const char *name, uint64_t size, unsigned int seed);
/* What the file holds, as a short text: its size and a hash of its bytes. */
void row_content(const char *name, const char *file);
/* Ends the program where @is_true is false. */
void row_must(bool is_true, const char *what);
/* Runs @fn in a child, as this user unless 0. */
void row_child(uid_t uid, void (*fn)(void));

/* Each returns 0 or a negative errno. */
int row_clone(int src, uint64_t src_offset, int dst, uint64_t dst_offset,
	      uint64_t length);
int row_dedupe(int src, uint64_t src_offset, int dst, uint64_t dst_offset,
	       uint64_t length, uint64_t *ret_deduped);

/* clone_rows_clone.c, clone_rows_dedupe.c, clone_rows_map.c */
void rows_clone(void);
void rows_clone_limits(void);
void rows_clone_swap(void);
void rows_dedupe(void);
void rows_map(void);

#endif
