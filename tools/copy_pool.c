// SPDX-License-Identifier: MIT
/* Threads that copy the names that the walk of a tree finds. */
#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "copy.h"
#include "mount_stats.h"

/* Fewer than two would not overlap anything; more fight over directories. */
#define POOL_THREADS_MIN 2
#define POOL_THREADS_MAX 4
/* What the walk may be ahead by; bounds memory and open directories. */
#define POOL_NAMES   4096
#define POOL_BATCHES 64
#define POOL_SHARE   16
/* Directories with open descriptors, two each; far below RLIMIT_NOFILE. */
#define POOL_DIRS 160

/* Names of one directory, taken one by one. */
struct copy_batch {
	struct copy_batch *next;
	struct copy_dir *dir; /* holds a reference */
	struct copy_names names;
	size_t taken;
	size_t busy; /* names that are worked on */
};

struct copy_pool {
	struct copy_run *run;
	pthread_mutex_t lock; /* guards all below, and copy_dir.batches */
	pthread_cond_t work;  /* there are names, or is_closed */
	pthread_cond_t room;  /* something was finished */
	struct copy_batch *first, **last;
	size_t queued_names, queued_batches;
	bool is_full; /* the walk waits for room in the queue */
	unsigned int open_dirs;
	bool is_closed;
	bool is_decided; /* of the walk: there are as many threads as ever */
	unsigned int n_threads;
	pthread_t threads[POOL_THREADS_MAX];
};

/*
 * How many names a thread takes at once: few, so that large files spread over
 * the threads, but not one by one, so that the lock is not what they do.
 */
static size_t share(const struct copy_pool *pool,
		    const struct copy_batch *batch)
{
	size_t share = (batch->names.count - batch->taken) /
		       (4 * (pool->n_threads + 1));

	if (share < 1)
		return 1;
	return share < POOL_SHARE ? share : POOL_SHARE;
}

/* Waits for names; NULL when there will be none. */
static struct copy_batch *take(struct copy_pool *pool, size_t *ret_first,
			       size_t *ret_count)
{
	struct copy_batch *batch;

	while (!pool->first && !pool->is_closed)
		pthread_cond_wait(&pool->work, &pool->lock);
	batch = pool->first;
	if (!batch)
		return NULL;
	*ret_first = batch->taken;
	*ret_count = share(pool, batch);
	batch->taken += *ret_count;
	batch->busy += *ret_count;
	pool->queued_names -= *ret_count;
	if (batch->taken == batch->names.count) {
		pool->first = batch->next;
		if (!pool->first)
			pool->last = &pool->first;
		pool->queued_batches--;
	}
	/* Half empty, not a little: the walk is not woken for one name. */
	if (pool->is_full && pool->queued_names <= POOL_NAMES / 2 &&
	    pool->queued_batches <= POOL_BATCHES / 2) {
		pool->is_full = false;
		pthread_cond_signal(&pool->room);
	}
	return batch;
}

/* The lock is dropped for what follows the last name of a batch. */
static void put(struct copy_worker *worker, struct copy_pool *pool,
		struct copy_batch *batch, size_t count)
{
	batch->busy -= count;
	if (batch->busy || batch->taken < batch->names.count)
		return;
	batch->dir->batches--;
	pthread_cond_signal(&pool->room);
	pthread_mutex_unlock(&pool->lock);
	copy_tree_unref(worker, batch->dir);
	copy_names_done(&batch->names);
	free(batch);
	pthread_mutex_lock(&pool->lock);
}

static void copy_share(struct copy_worker *worker,
		       const struct copy_batch *batch, size_t first,
		       size_t count)
{
	const struct copy_name *name = &batch->names.items[first];

	/* Interrupted, the rest of the queue is let go. */
	for (; count && !copy_interrupted(); count--, name++) {
		const struct copy_entry entry = {
			.dir = batch->dir,
			.src_name = batch->names.bytes + name->at,
			.dst_name = batch->names.bytes + name->at,
			.type = name->type,
		};

		copy_entry(worker, &entry);
	}
}

static void *work(void *arg)
{
	struct copy_pool *pool = arg;
	struct copy_worker worker = { .run = pool->run };
	struct copy_batch *batch;
	size_t first, count;

	pthread_mutex_lock(&pool->lock);
	while ((batch = take(pool, &first, &count))) {
		pthread_mutex_unlock(&pool->lock);
		copy_share(&worker, batch, first, count);
		pthread_mutex_lock(&pool->lock);
		put(&worker, pool, batch, count);
	}
	pthread_mutex_unlock(&pool->lock);
	copy_worker_done(&worker);
	return NULL;
}

/* 0 where it is not known. */
static unsigned long type_of(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 ? 0 : (unsigned long)fs.f_type;
}

static bool is_on_mount(int fd)
{
	struct offlay_ioc_stats stats;

	return type_of(fd) == FUSE_SUPER_MAGIC &&
	       mount_ask_stats(fd, &stats) == 0;
}

/*
 * Each file takes a few requests to an offlayfs, which answers one caller at a
 * time much faster than several that take turns.
 */
static unsigned int wanted_threads(const struct copy_dir *dir)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (is_on_mount(dir->src_fd) || is_on_mount(dir->dst_fd))
		return 0;
	/* All of a subvolume's names and files are in one tree with one lock. */
	if (type_of(dir->dst_fd) == BTRFS_SUPER_MAGIC)
		return 1;
	if (cpus < POOL_THREADS_MIN)
		return POOL_THREADS_MIN;
	return cpus > POOL_THREADS_MAX ? POOL_THREADS_MAX : (unsigned int)cpus;
}

/**
 * copy_pool_new() - a pool that has no threads yet
 * @run: command
 * @ret_pool: set on success
 *
 * Return: 0 or -ENOMEM.
 */
int copy_pool_new(struct copy_run *run, struct copy_pool **ret_pool)
{
	struct copy_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->run = run;
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->room, NULL);
	*ret_pool = pool;
	return 0;
}

/**
 * copy_pool_free() - wait until everything is copied, and end the threads
 * @pool: pool, or NULL
 */
void copy_pool_free(struct copy_pool *pool)
{
	unsigned int i;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->is_closed = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (i = 0; i < pool->n_threads; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->room);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* As many as there can be; the walk copies by itself where there are none. */
static void start_threads(struct copy_pool *pool, unsigned int want)
{
	int err = 0;

	pthread_mutex_lock(&pool->lock);
	while (!err && pool->n_threads < want) {
		err = pthread_create(&pool->threads[pool->n_threads], NULL,
				     work, pool);
		pool->n_threads += !err;
	}
	pthread_mutex_unlock(&pool->lock);
}

static void copy_now(struct copy_worker *worker, struct copy_dir *dir,
		     struct copy_names *names)
{
	struct copy_batch batch = { .dir = dir, .names = *names };

	*names = (struct copy_names){ 0 };
	copy_share(worker, &batch, 0, batch.names.count);
	copy_names_done(&batch.names);
}

/**
 * copy_pool_submit() - have names copied
 * @worker: of the calling thread, the only one that submits
 * @dir: where they are; a reference is taken
 * @names: taken over and emptied on success
 *
 * The first directory decides whether threads copy them, or the caller.
 * Waits while enough is queued.
 *
 * Return: 0 or -ENOMEM.
 */
int copy_pool_submit(struct copy_worker *worker, struct copy_dir *dir,
		     struct copy_names *names)
{
	struct copy_pool *pool = worker->run->pool;
	struct copy_batch *batch;

	if (!names->count)
		return 0;
	copy_names_sort(names);
	if (!pool->is_decided)
		start_threads(pool, wanted_threads(dir));
	pool->is_decided = true;
	if (!pool->n_threads) {
		copy_now(worker, dir, names);
		return 0;
	}
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return -ENOMEM;
	batch->dir = dir;
	batch->names = *names;
	*names = (struct copy_names){ 0 };
	atomic_fetch_add(&dir->refs, 1);

	pthread_mutex_lock(&pool->lock);
	pool->is_full = pool->queued_names >= POOL_NAMES ||
			pool->queued_batches >= POOL_BATCHES;
	while (pool->is_full)
		pthread_cond_wait(&pool->room, &pool->lock);
	dir->batches++;
	*pool->last = batch;
	pool->last = &batch->next;
	pool->queued_names += batch->names.count;
	pool->queued_batches++;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

/**
 * copy_pool_settle() - wait until no name of a directory is worked on
 */
void copy_pool_settle(struct copy_pool *pool, const struct copy_dir *dir)
{
	pthread_mutex_lock(&pool->lock);
	while (dir->batches)
		pthread_cond_wait(&pool->room, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

/**
 * copy_pool_dir_opened() - one more directory has open descriptors
 *
 * Waits while there are too many that the walk has left already.  The walk
 * itself keeps far fewer, so the wait ends.
 */
void copy_pool_dir_opened(struct copy_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	while (pool->open_dirs >= POOL_DIRS)
		pthread_cond_wait(&pool->room, &pool->lock);
	pool->open_dirs++;
	pthread_mutex_unlock(&pool->lock);
}

/**
 * copy_pool_dir_closed() - its descriptors are closed
 */
void copy_pool_dir_closed(struct copy_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->open_dirs--;
	pthread_cond_signal(&pool->room);
	pthread_mutex_unlock(&pool->lock);
}
