/* SPDX-License-Identifier: MIT */
/* A file under random operations, and its copy in memory. */
#ifndef E2E_RANDOM_SHADOW_H
#define E2E_RANDOM_SHADOW_H

#include <limits.h>
#include <stddef.h>

#define N_HANDLES 3

/* A file under test and what it should hold. */
struct subject {
	char path[PATH_MAX];
	char back_path[PATH_MAX];
	int fds[N_HANDLES];
	int flags[N_HANDLES];
	size_t size;
	unsigned char *shadow;
};

/* Zeros up to @size, if the file is shorter. */
void shadow_grow(struct subject *file, size_t size);
void shadow_truncate(struct subject *file, size_t size);
/* The first place where @n bytes differ, @n if none does. */
size_t first_difference(const unsigned char *a, const unsigned char *b,
			size_t n);

#endif
