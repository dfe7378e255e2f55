// SPDX-License-Identifier: MIT
/*
 * Drops pages that the kernel caches against its own rules.
 *
 * sendfile(2) and splice(2) from a handle with passthrough and direct I/O read
 * by way of the mount's page cache (until some kernel after 6.18), and nobody
 * keeps that cache equal to the backing.  So each page goes away as soon as it
 * was delivered.  A thread of its own does it: the kernel waits for locked
 * pages, and they may be waiting for the very thread that would drop them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "file.h"
#include "thread.h"

struct page_dropper {
	struct fs *fs;
	pthread_mutex_t lock; /* guards all below and each file's drop */
	pthread_cond_t wake;
	struct file *first; /* to do; each holds a reference */
	pthread_t thread;
	bool running;
	bool stop;
};

int page_dropper_new(struct fs *fs, struct page_dropper **ret_dropper)
{
	struct page_dropper *dropper;

	dropper = calloc(1, sizeof(*dropper));
	if (!dropper)
		return -ENOMEM;
	dropper->fs = fs;
	pthread_mutex_init(&dropper->lock, NULL);
	pthread_cond_init(&dropper->wake, NULL);
	*ret_dropper = dropper;
	return 0;
}

/* The next file and what to drop; NULL when it is time to end. */
static struct file *take(struct page_dropper *dropper,
			 struct page_drop *ret_drop)
{
	struct page_drop *drop;
	struct file *file;

	pthread_mutex_lock(&dropper->lock);
	while (!dropper->first && !dropper->stop)
		pthread_cond_wait(&dropper->wake, &dropper->lock);
	file = dropper->first;
	if (file) {
		drop = &file->io->drop;
		dropper->first = drop->next;
		*ret_drop = *drop;
		drop->queued = false;
	}
	pthread_mutex_unlock(&dropper->lock);
	return file;
}

/* Some may be there a moment longer: a reader has them in hand. */
static void drop_done(struct file *file, unsigned int fills)
{
	struct inode_io *io = file->io->inode;

	atomic_store(&io->filled, file_now());
	atomic_fetch_sub(&io->filling, fills);
}

static void *work(void *arg)
{
	struct page_dropper *dropper = arg;
	struct page_drop drop;
	struct file *file;

	thread_roams();
	while ((file = take(dropper, &drop))) {
		/* ENOENT: the kernel has forgotten the inode, pages and all. */
		fuse_lowlevel_notify_inval_inode(
			dropper->fs->se, inode_nodeid(file->inode),
			(off_t)drop.start, (off_t)(drop.end - drop.start));
		drop_done(file, drop.fills);
		handle_put(file);
	}
	return NULL;
}

void page_fill(struct file *file)
{
	atomic_fetch_add(&file->io->inode->filling, 1);
}

uint64_t page_fill_age(struct file *file)
{
	struct inode_io *io = file->io->inode;

	if (atomic_load(&io->filling))
		return 0;
	return file_now() - atomic_load(&io->filled);
}

void page_drop(struct file *file, uint64_t offset, uint64_t length)
{
	struct page_dropper *dropper = copy_page_dropper(file->fs);
	struct page_drop *drop = &file->io->drop;
	uint64_t end = offset + length;

	pthread_mutex_lock(&dropper->lock);
	if (!dropper->running && !dropper->stop)
		dropper->running =
			!pthread_create(&dropper->thread, NULL, work, dropper);
	if (!dropper->running || !length) {
		pthread_mutex_unlock(&dropper->lock);
		drop_done(file, 1);
		return;
	}
	if (drop->queued) {
		drop->start = offset < drop->start ? offset : drop->start;
		drop->end = end > drop->end ? end : drop->end;
		drop->fills++;
	} else {
		atomic_fetch_add(&file->refs, 1);
		*drop = (struct page_drop){ .next = dropper->first,
					    .start = offset,
					    .end = end,
					    .fills = 1,
					    .queued = true };
		dropper->first = file;
	}
	pthread_cond_signal(&dropper->wake);
	pthread_mutex_unlock(&dropper->lock);
}

void page_dropper_stop(struct page_dropper *dropper)
{
	bool running;

	pthread_mutex_lock(&dropper->lock);
	dropper->stop = true;
	running = dropper->running;
	pthread_cond_signal(&dropper->wake);
	pthread_mutex_unlock(&dropper->lock);
	if (running)
		pthread_join(dropper->thread, NULL);
	dropper->running = false;
}

void page_dropper_free(struct page_dropper *dropper)
{
	if (!dropper)
		return;
	page_dropper_stop(dropper);
	pthread_cond_destroy(&dropper->wake);
	pthread_mutex_destroy(&dropper->lock);
	free(dropper);
}
