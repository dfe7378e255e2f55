/* SPDX-License-Identifier: MIT */
/* The inode table itself: chains, lifetimes, and idle descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include <xxhash.h>

#include "inode.h"

#define BUCKETS_MIN 1024u
/* Descriptors that are neither inodes' nor files': sockets, logs, mounts. */
#define FDS_RESERVED 64u
#define FDS_IDLE_MAX 1024u

/* ----------------------------------------------------------- hash chains */

static struct inode **id_bucket(struct inode_table *table, uint64_t id)
{
	return &table->by_id[id & (table->n_buckets - 1)];
}

/* By number: the lives of one number are together, and few. */
static struct inode **key_bucket(struct inode_table *table, uint64_t dev,
				 uint64_t ino)
{
	return &table->by_key[XXH3_64bits_withSeed(&ino, sizeof(ino), dev) &
			      (table->n_buckets - 1)];
}

static void unchain_id(struct inode_table *table, struct inode *inode)
{
	struct inode **at = id_bucket(table, inode->id);

	while (*at != inode)
		at = &(*at)->id_next;
	*at = inode->id_next;
}

static void unchain_key(struct inode_table *table, struct inode *inode)
{
	struct inode **at = key_bucket(table, inode->dev, inode->ino);

	if (!inode->hashed)
		return;
	while (*at != inode)
		at = &(*at)->key_next;
	*at = inode->key_next;
	inode->hashed = false;
}

static void chain(struct inode_table *table, struct inode *inode)
{
	struct inode **at = id_bucket(table, inode->id);

	inode->id_next = *at;
	*at = inode;
	if (inode->hashed) {
		at = key_bucket(table, inode->dev, inode->ino);
		inode->key_next = *at;
		*at = inode;
	}
}

/* Keeps about one inode a bucket; without memory the chains grow longer. */
static void resize(struct inode_table *table, uint32_t n_buckets)
{
	struct inode **by_id, **by_key, **old_id = table->by_id;
	struct inode *inode, *next;
	uint32_t i, old_n = table->n_buckets;

	by_id = calloc(n_buckets, sizeof(*by_id));
	by_key = calloc(n_buckets, sizeof(*by_key));
	if (!by_id || !by_key) {
		free(by_id);
		free(by_key);
		return;
	}
	free(table->by_key);
	table->by_id = by_id;
	table->by_key = by_key;
	table->n_buckets = n_buckets;
	for (i = 0; i < old_n; i++) {
		for (inode = old_id[i]; inode; inode = next) {
			next = inode->id_next;
			chain(table, inode);
		}
	}
	free(old_id);
	if (n_buckets < old_n)
		malloc_trim(0);
}

struct inode *table_find_id(struct inode_table *table, uint64_t id)
{
	struct inode *inode = *id_bucket(table, id);

	while (inode && inode->id != id)
		inode = inode->id_next;
	return inode;
}

struct inode *table_find_number(struct inode_table *table, uint64_t dev,
				uint64_t ino)
{
	struct inode *inode = *key_bucket(table, dev, ino);

	while (inode && (inode->ino != ino || inode->dev != dev))
		inode = inode->key_next;
	return inode;
}

static uint64_t found_dev(const struct found *found)
{
	return makedev(found->stx.stx_dev_major, found->stx.stx_dev_minor);
}

/*
 * Identity is the handle, which tells two lives of one inode number apart.
 * Without one the number and the birth time must do; an inode whose
 * descriptor is open cannot have been replaced.
 */
static bool is_same(const struct inode *inode, const struct found *found)
{
	const struct handle *handle = &found->handle;

	return inode->ino == found->stx.stx_ino &&
	       inode->type == (found->stx.stx_mode & S_IFMT) &&
	       inode->handle_size == handle->size &&
	       (!handle->size ||
		(inode->handle_type == handle->type &&
		 memcmp(inode->handle, handle->bytes, handle->size) == 0)) &&
	       (handle->size || inode->btime == resolve_btime(&found->stx)) &&
	       inode->dev == found_dev(found);
}

static struct inode *find_first(struct inode_table *table,
				const struct found *found)
{
	return *key_bucket(table, found_dev(found), found->stx.stx_ino);
}

struct inode *table_find_same(struct inode_table *table,
			      const struct found *found)
{
	struct inode *inode = find_first(table, found);

	while (inode && !is_same(inode, found))
		inode = inode->key_next;
	return inode;
}

static bool is_same_life(const struct inode *inode, const struct found *found)
{
	return inode->ino == found->stx.stx_ino &&
	       inode->dev == found_dev(found) &&
	       inode->type == (found->stx.stx_mode & S_IFMT) &&
	       inode->btime == resolve_btime(&found->stx);
}

struct inode *table_find_life(struct inode_table *table,
			      const struct found *found)
{
	struct inode *inode = find_first(table, found);

	if (!resolve_btime(&found->stx))
		return table_find_same(table, found);
	while (inode && !is_same_life(inode, found))
		inode = inode->key_next;
	return inode;
}

/* ----------------------------------------------------- idle descriptors */

/*
 * The last descriptor of what was removed on the backing frees its blocks, for
 * seconds if they are many.  Nobody waits for the lock that long.
 */
static void close_unlocked(struct inode_table *table, int fd)
{
	if (table->n_closing < TABLE_CLOSING_MAX)
		table->closing[table->n_closing++] = fd;
	else
		close(fd);
}

void table_unlock(struct inode_table *table)
{
	unsigned int n = table->n_closing;
	int fds[TABLE_CLOSING_MAX];

	memcpy(fds, table->closing, n * sizeof(*fds));
	table->n_closing = 0;
	pthread_mutex_unlock(&table->lock);
	while (n)
		close(fds[--n]);
}

void table_fd_busy(struct inode_table *table, struct inode *inode)
{
	if (!inode->in_lru)
		return;
	*(inode->lru_prev ? &inode->lru_prev->lru_next : &table->lru_first) =
		inode->lru_next;
	*(inode->lru_next ? &inode->lru_next->lru_prev : &table->lru_last) =
		inode->lru_prev;
	inode->in_lru = false;
	table->n_idle--;
}

static void lru_add(struct inode_table *table, struct inode *inode)
{
	inode->lru_next = NULL;
	inode->lru_prev = table->lru_last;
	*(table->lru_last ? &table->lru_last->lru_next : &table->lru_first) =
		inode;
	table->lru_last = inode;
	inode->in_lru = true;
	table->n_idle++;
}

unsigned int table_fd_max_idle(const struct inode_table *table)
{
	unsigned int used = table->n_files + table->n_sticky + FDS_RESERVED;
	unsigned int left = used < table->fds_max ? table->fds_max - used : 0;

	return left / 2 < FDS_IDLE_MAX ? left / 2 : FDS_IDLE_MAX;
}

void table_fd_shrink(struct inode_table *table, unsigned int keep)
{
	struct inode *inode;

	while (table->n_idle > keep) {
		inode = table->lru_first;
		table_fd_busy(table, inode);
		close_unlocked(table, inode->fd);
		inode->fd = -1;
	}
}

/*
 * An idle O_PATH descriptor of a directory is worth keeping.  One of another
 * object would keep the space of a file that is removed on the backing; it
 * is kept only where opening it again is slow and may fail.
 */
void table_fd_idle(struct inode_table *table, struct inode *inode)
{
	if (inode->fd < 0 || inode->sticky || inode->pins)
		return;
	if (inode->type != S_IFDIR && inode->handle_size) {
		close_unlocked(table, inode->fd);
		inode->fd = -1;
		return;
	}
	lru_add(table, inode);
	table_fd_shrink(table, table_fd_max_idle(table));
}

/* ------------------------------------------------------------- lifetime */

void table_drop_if_unused(struct inode_table *table, struct inode *inode)
{
	struct inode *parent;

	while (inode && !inode->refs && !inode->nlookup) {
		parent = inode->parent;
		table_fd_busy(table, inode);
		unchain_id(table, inode);
		unchain_key(table, inode);
		table->n_inodes--;
		table->n_sticky -= inode->sticky;
		if (inode->fd >= 0)
			close_unlocked(table, inode->fd);
		free(inode->name);
		inode_io_free(inode->io);
		free(inode);
		if (table->n_buckets > BUCKETS_MIN &&
		    table->n_inodes < table->n_buckets / 8)
			resize(table, table->n_buckets / 4);
		if (parent)
			parent->refs--;
		inode = parent;
	}
}

static struct inode *new_inode(const struct found *found)
{
	struct inode *inode;

	inode = calloc(1, sizeof(*inode) + found->handle.size);
	if (!inode)
		return NULL;
	inode->fd = -1;
	inode->mount = found->mount;
	inode->dev = found_dev(found);
	inode->ino = found->stx.stx_ino;
	inode->btime = resolve_btime(&found->stx);
	inode->type = found->stx.stx_mode & S_IFMT;
	inode->hashed = true;
	inode->handle_type = found->handle.type;
	inode->handle_size = found->handle.size;
	memcpy(inode->handle, found->handle.bytes, found->handle.size);
	return inode;
}

/* The inode of what was found, made if it is new; takes found->fd. */
int table_insert(struct inode_table *table, struct found *found,
		 struct inode **ret_inode)
{
	struct inode *inode = table_find_same(table, found);

	if (!inode) {
		inode = new_inode(found);
		if (!inode)
			return -ENOMEM;
		if (table->n_inodes >= table->n_buckets)
			resize(table, table->n_buckets * 2);
		inode->id = ++table->last_id;
		if (!inode->handle_size)
			table->by_name = true;
		chain(table, inode);
		table->n_inodes++;
	}
	if (inode->fd < 0 && found->fd >= 0 && !inode->handle_size) {
		inode->fd = found->fd;
		found->fd = -1;
	}
	*ret_inode = inode;
	return 0;
}

/* ------------------------------------------------------------- the table */

static unsigned int fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	return limit.rlim_cur < 1u << 30 ? limit.rlim_cur : 1u << 30;
}

static int add_root(struct inode_table *table, int root_fd)
{
	struct found found;
	struct inode *root;
	int err;

	err = resolve_fd(table->resolver, root_fd, &found);
	if (err)
		return err;
	err = table_insert(table, &found, &root);
	found_done(&found);
	if (err)
		return err;
	if (root->fd < 0)
		root->fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
	if (root->fd < 0)
		return -errno;
	root->sticky = true;
	root->nlookup = 1;
	root->refs = 1;
	table->n_sticky = 1;
	table->root = root;
	return 0;
}

int inode_table_new(struct fs *fs, int root_fd, struct inode_table **ret_table)
{
	struct inode_table *table;
	int err;

	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	table->fs = fs;
	table->fds_max = fd_limit();
	table->last_id = FUSE_ROOT_ID - 1;
	table->n_buckets = BUCKETS_MIN;
	table->by_id = calloc(BUCKETS_MIN, sizeof(*table->by_id));
	table->by_key = calloc(BUCKETS_MIN, sizeof(*table->by_key));
	err = table->by_id && table->by_key ? 0 : -ENOMEM;
	if (!err)
		err = resolver_new(fs, root_fd, &table->resolver);
	if (!err)
		err = add_root(table, root_fd);
	if (err) {
		inode_table_free(table);
		return err;
	}
	*ret_table = table;
	return 0;
}

void inode_table_free(struct inode_table *table)
{
	unsigned int used = 0;
	struct inode *inode;
	uint32_t i;

	if (!table)
		return;
	for (i = 0; table->by_id && i < table->n_buckets; i++) {
		while ((inode = table->by_id[i])) {
			table->by_id[i] = inode->id_next;
			used += inode->pins > 0 || inode->files;
			if (inode->fd >= 0)
				close(inode->fd);
			free(inode->name);
			inode_io_free(inode->io);
			free(inode);
		}
	}
	log_msg(used ? LOG_WARNING : LOG_INFO,
		"inode table freed: %u inodes remembered, %u still in use",
		table->n_inodes, used);
	resolver_free(table->resolver);
	free(table->by_id);
	free(table->by_key);
	pthread_mutex_destroy(&table->lock);
	free(table);
}
