// SPDX-License-Identifier: MIT
/* Remembers the first copy of each hard-linked file, and links the others. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"

/* A source file that has several names. */
struct link_entry {
	dev_t dev;
	ino_t ino;
	nlink_t seen; /* names that were met */
	char *path;   /* of its first copy; NULL while that is being made */
	dev_t dst_dev;
	ino_t dst_ino;
};

struct copy_link_table {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t settled;
	void *root; /* of tsearch() */
};

static int compare(const void *a, const void *b)
{
	const struct link_entry *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static void free_entry(void *arg)
{
	struct link_entry *link = arg;

	free(link->path);
	free(link);
}

int copy_link_new(struct copy_link_table **ret_table)
{
	struct copy_link_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	pthread_cond_init(&table->settled, NULL);
	*ret_table = table;
	return 0;
}

void copy_link_free(struct copy_link_table *table)
{
	if (!table)
		return;
	tdestroy(table->root, free_entry);
	pthread_cond_destroy(&table->settled);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static struct link_entry *find(struct copy_link_table *table,
			       const struct stat *src)
{
	struct link_entry key = { .dev = src->st_dev, .ino = src->st_ino };
	struct link_entry **found = tfind(&key, &table->root, compare);

	return found ? *found : NULL;
}

static int insert(struct copy_link_table *table, const struct stat *src)
{
	struct link_entry *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->dev = src->st_dev;
	link->ino = src->st_ino;
	link->seen = 1;
	if (!tsearch(link, &table->root, compare)) {
		free(link);
		return -ENOMEM;
	}
	return 0;
}

static void remove_entry(struct copy_link_table *table, struct link_entry *link)
{
	tdelete(link, &table->root, compare);
	free_entry(link);
}

/* linkat() from a path of any length, taken in pieces of PATH_MAX. */
static int link_path(char *path, int dir_fd, const char *name)
{
	int at_fd = AT_FDCWD, err = 0;

	while (strlen(path) >= PATH_MAX) {
		char *cut = memrchr(path, '/', PATH_MAX - 1);
		int fd;

		if (!cut) {
			err = -ENAMETOOLONG;
			break;
		}
		*cut = '\0';
		fd = openat(at_fd, *path ? path : "/",
			    O_PATH | O_DIRECTORY | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
		*cut = '/';
		if (err)
			break;
		if (at_fd >= 0)
			close(at_fd);
		at_fd = fd;
		path = cut + 1;
	}
	if (!err && linkat(at_fd, path, dir_fd, name, 0))
		err = -errno;
	if (at_fd >= 0)
		close(at_fd);
	return err;
}

static bool is_link(const struct link_entry *link,
		    const struct copy_entry *entry)
{
	struct stat st;

	return !fstatat(entry->dir->dst_fd, entry->dst_name, &st,
			AT_SYMLINK_NOFOLLOW) &&
	       st.st_dev == link->dst_dev && st.st_ino == link->dst_ino;
}

/*
 * Links one more name to the first copy.  Failure is no error: the name gets
 * a copy of its own then (too many links, a filesystem without them, the
 * first copy renamed meanwhile).
 */
static bool make_link(struct copy_worker *worker,
		      const struct copy_entry *entry,
		      const struct link_entry *link)
{
	struct copy_totals *totals = &worker->run->totals;
	int dir_fd = entry->dir->dst_fd;
	int err = link_path(link->path, dir_fd, entry->dst_name);

	if (err == -EEXIST && worker->run->options->no_clobber) {
		atomic_fetch_add(&totals->skipped, 1);
		return true;
	}
	if (err == -EEXIST && !is_link(link, entry) &&
	    !unlinkat(dir_fd, entry->dst_name, 0))
		err = link_path(link->path, dir_fd, entry->dst_name);
	if (err && err != -EEXIST)
		return false;
	/* A path can lead elsewhere by now; an inode number cannot. */
	if (!is_link(link, entry)) {
		if (!err)
			unlinkat(dir_fd, entry->dst_name, 0);
		return false;
	}
	atomic_fetch_add(&totals->links, 1);
	if (worker->run->options->verbose)
		copy_report_done(entry, "hard link", "");
	return true;
}

/**
 * copy_link_claim() - what to do with a file that has several names
 * @worker: calling thread
 * @entry: one of its names
 * @src: the file
 * @ret_claim: set on success
 *
 * Waits while another thread makes the first copy.
 *
 * Return: 0 or -ENOMEM, which was reported.
 */
int copy_link_claim(struct copy_worker *worker, const struct copy_entry *entry,
		    const struct stat *src, enum copy_link_claim *ret_claim)
{
	struct copy_link_table *table = worker->run->links;
	enum copy_link_claim claim = COPY_LINK_FIRST;
	struct link_entry *link;
	int err = 0;

	pthread_mutex_lock(&table->lock);
	for (;;) {
		link = find(table, src);
		if (!link || link->path)
			break;
		pthread_cond_wait(&table->settled, &table->lock);
	}
	if (!link) {
		err = insert(table, src);
	} else if (make_link(worker, entry, link)) {
		claim = COPY_LINK_MADE;
		if (++link->seen >= src->st_nlink)
			remove_entry(table, link);
	} else {
		/* This name's copy is what the next ones are linked to. */
		link->seen++;
		free(link->path);
		link->path = NULL;
	}
	pthread_mutex_unlock(&table->lock);
	if (err)
		copy_report_failure(worker->run, entry, OFFLAY_SOURCE, err,
				    "cannot remember the hard links of");
	else
		*ret_claim = claim;
	return err;
}

/**
 * copy_link_settle() - the copy that COPY_LINK_FIRST asked for is made
 * @err: 0, or not 0 where the next name must be copied as the first one
 */
void copy_link_settle(struct copy_worker *worker,
		      const struct copy_entry *entry, const struct stat *src,
		      int err)
{
	struct copy_link_table *table = worker->run->links;
	char *path = copy_report_path(entry, OFFLAY_DESTINATION);
	struct link_entry *link;
	struct stat dst;

	if (!err && fstatat(entry->dir->dst_fd, entry->dst_name, &dst,
			    AT_SYMLINK_NOFOLLOW))
		err = -errno;
	pthread_mutex_lock(&table->lock);
	link = find(table, src);
	if (err || !path || link->seen >= src->st_nlink) {
		remove_entry(table, link);
		free(path);
	} else {
		link->path = path;
		link->dst_dev = dst.st_dev;
		link->dst_ino = dst.st_ino;
	}
	pthread_cond_broadcast(&table->settled);
	pthread_mutex_unlock(&table->lock);
}
