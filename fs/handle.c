/* SPDX-License-Identifier: MIT */
/* File handles: numbers of a table with generations, and what they open. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "inode.h"

/* A handle is a slot's index below its generation. */
#define INDEX_BITS 32

struct slot {
	struct file *file; /* NULL while free */
	uint32_t generation;
	uint32_t next_free;
};

struct handle_table {
	pthread_mutex_t lock; /* guards all of it */
	struct slot *slots;
	uint32_t n_slots;
	uint32_t first_free; /* n_slots if there is none */
	size_t n_open;
};

int handle_table_new(struct handle_table **ret_table)
{
	struct handle_table *table;

	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	*ret_table = table;
	return 0;
}

void handle_own(struct file *file)
{
	inode_unlend(file->fs->inodes, file->inode, file);
}

void handle_drop(struct file *file)
{
	handle_own(file);
	handle_put(file);
}

size_t handle_table_free(struct handle_table *table)
{
	size_t n_open;
	uint32_t i;

	if (!table)
		return 0;
	n_open = table->n_open;
	for (i = 0; i < table->n_slots; i++) {
		if (!table->slots[i].file)
			continue;
		handle_drop(table->slots[i].file);
	}
	pthread_mutex_destroy(&table->lock);
	free(table->slots);
	free(table);
	return n_open;
}

static int grow(struct handle_table *table)
{
	uint32_t i, n = table->n_slots ? table->n_slots * 2 : 64;
	struct slot *slots;

	slots = realloc(table->slots, n * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (i = table->n_slots; i < n; i++)
		slots[i] = (struct slot){ .generation = 1, .next_free = i + 1 };
	table->slots = slots;
	table->n_slots = n;
	return 0;
}

int handle_new(struct fs *fs, const struct pin *pin, int fd, int flags,
	       struct file **ret_file)
{
	struct file *file;

	file = calloc(1, sizeof(*file));
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	*file = (struct file){
		.fs = fs, .inode = pin->inode, .fd = fd, .flags = flags
	};
	atomic_init(&file->refs, 1);
	inode_lend(fs->inodes, pin->inode, file);
	*ret_file = file;
	return 0;
}

/* A thread that gets the handle from the kernel finds the file by the lock. */
int handle_publish(struct file *file, uint64_t *ret_fh)
{
	struct handle_table *table = file->fs->handles;
	struct slot *slot;
	uint32_t index;

	pthread_mutex_lock(&table->lock);
	if (table->first_free == table->n_slots && grow(table)) {
		pthread_mutex_unlock(&table->lock);
		handle_drop(file);
		return -ENOMEM;
	}
	index = table->first_free;
	slot = &table->slots[index];
	table->first_free = slot->next_free;
	slot->file = file;
	table->n_open++;
	*ret_fh = (uint64_t)slot->generation << INDEX_BITS | index;
	pthread_mutex_unlock(&table->lock);
	return 0;
}

static struct slot *slot_of(struct handle_table *table, uint64_t fh)
{
	uint32_t index = (uint32_t)fh;
	struct slot *slot;

	if (index >= table->n_slots)
		return NULL;
	slot = &table->slots[index];
	if (!slot->file || slot->generation != fh >> INDEX_BITS)
		return NULL;
	return slot;
}

struct file *handle_get(struct fs *fs, uint64_t fh)
{
	struct handle_table *table = fs->handles;
	struct file *file = NULL;
	struct slot *slot;

	pthread_mutex_lock(&table->lock);
	slot = slot_of(table, fh);
	if (slot) {
		file = slot->file;
		atomic_fetch_add(&file->refs, 1);
	}
	pthread_mutex_unlock(&table->lock);
	return file;
}

bool handle_take(struct file *file)
{
	unsigned int refs = atomic_load(&file->refs);

	while (refs)
		if (atomic_compare_exchange_weak(&file->refs, &refs, refs + 1))
			return true;
	return false;
}

void handle_put(struct file *file)
{
	if (atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	file_io_free(file);
	dir_stream_free(file->dir);
	event_reader_free(file);
	close(file->fd);
	inode_unref(file->fs->inodes, file->inode);
	free(file);
}

void handle_close(struct fs *fs, uint64_t fh)
{
	struct handle_table *table = fs->handles;
	struct file *file = NULL;
	struct slot *slot;

	pthread_mutex_lock(&table->lock);
	slot = slot_of(table, fh);
	if (slot) {
		file = slot->file;
		slot->file = NULL;
		slot->generation++;
		slot->next_free = table->first_free;
		table->first_free = (uint32_t)fh;
		table->n_open--;
	}
	pthread_mutex_unlock(&table->lock);
	if (file)
		handle_drop(file);
}
