/* SPDX-License-Identifier: MIT */
/* What a file under random operations should hold. */
#include <string.h>
#include "random_shadow.h"

void shadow_grow(struct subject *file, size_t size)
{
	if (size <= file->size)
		return;
	memset(file->shadow + file->size, 0, size - file->size);
	file->size = size;
}

void shadow_truncate(struct subject *file, size_t size)
{
	shadow_grow(file, size);
	file->size = size;
}

size_t first_difference(const unsigned char *a, const unsigned char *b,
			size_t n)
{
	size_t i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}
