// SPDX-License-Identifier: MIT
/* A list of directory entries: one block of bytes, ordered by inode number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"

static int grow(void **array, size_t *room, size_t want, size_t size)
{
	size_t new_room = *room ? *room : 64;
	void *grown;

	while (new_room < want)
		new_room *= 2;
	if (new_room == *room)
		return 0;
	grown = reallocarray(*array, new_room, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = new_room;
	return 0;
}

/**
 * copy_names_add() - append one entry
 * @name: copied
 *
 * Return: 0 or -ENOMEM.
 */
int copy_names_add(struct copy_names *names, const char *name, uint64_t ino,
		   unsigned char type)
{
	size_t size = strlen(name) + 1;
	int err;

	err = grow((void **)&names->items, &names->room, names->count + 1,
		   sizeof(names->items[0]));
	if (!err)
		err = grow((void **)&names->bytes, &names->bytes_room,
			   names->bytes_used + size, 1);
	if (err)
		return err;
	memcpy(names->bytes + names->bytes_used, name, size);
	names->items[names->count++] = (struct copy_name){
		.ino = ino,
		.at = names->bytes_used,
		.type = type,
	};
	names->bytes_used += size;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct copy_name *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/**
 * copy_names_sort() - order by inode number, which is near the order on disk
 */
void copy_names_sort(struct copy_names *names)
{
	if (names->count > 1)
		qsort(names->items, names->count, sizeof(names->items[0]),
		      compare);
}

/**
 * copy_names_done() - free what the list holds
 */
void copy_names_done(struct copy_names *names)
{
	free(names->items);
	free(names->bytes);
	*names = (struct copy_names){ 0 };
}
