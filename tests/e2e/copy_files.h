/* SPDX-License-Identifier: MIT */
/* Files of the copy engine's tests on real filesystems, and a model of them. */
#ifndef E2E_COPY_FILES_H
#define E2E_COPY_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "offlay.h"
#include "volume.h"

/* A file and what it must contain. */
struct copy_file {
	char path[PATH_MAX];
	int fd;
	uint64_t size;
	uint64_t room;	      /* of @bytes */
	unsigned char *bytes; /* zero from @size on */
};

void copy_file_open(struct copy_file *file, const char *dir, const char *name,
		    uint64_t room);
void copy_file_close(struct copy_file *file);

/* Makes the file @size long and fills it with random bytes, none of them 0. */
void copy_file_fill(struct copy_file *file, uint64_t size, uint64_t seed);
void copy_file_punch(struct copy_file *file, uint64_t offset, uint64_t length);

/* What a copy of @copied bytes makes of the destination. */
void copy_file_apply(struct copy_file *dst, uint64_t dst_offset,
		     const struct copy_file *src, uint64_t src_offset,
		     uint64_t copied);

/* Does the file on disk have the size and the bytes of the model? */
bool copy_file_is_as_modelled(const struct copy_file *file);

/* Bytes of [offset, +length) in extents that are shared with others. */
uint64_t copy_file_shared(const struct copy_file *file, uint64_t offset,
			  uint64_t length);

/* Bytes of a range that the engine must clone with blocks of 4 KiB. */
uint64_t copy_due_for_clone(uint64_t src_offset, uint64_t dst_offset,
			    uint64_t length, uint64_t src_size,
			    uint64_t dst_size);

/* Each selected backing in turn, with a directory of its own on it. */
void copy_each_backing(void (*run)(enum backing backing, const char *dir));

#endif
