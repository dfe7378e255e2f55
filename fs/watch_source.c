// SPDX-License-Identifier: MIT
/* Who has which files open that a copy may be reading from. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"
#include "watch_source.h"

/* Bytes that a program may have read before it writes the first of them. */
#define READ_AHEAD (256u << 10)

/* How far up ancestors are asked for. */
#define GENERATIONS 3

void watch_sources_init(struct watch_sources *sources)
{
	*sources = (struct watch_sources){ .last_id = 0 };
	pthread_mutex_init(&sources->lock, NULL);
}

void watch_sources_done(struct watch_sources *sources)
{
	pthread_mutex_destroy(&sources->lock);
}

static struct watch_source **bucket_of(struct watch_sources *sources,
				       pid_t pgid)
{
	return &sources->buckets[(unsigned int)pgid % WATCH_BUCKETS];
}

struct watch_source *watch_source_add(struct watch_sources *sources,
				      struct file *file,
				      const struct watch_who *who)
{
	struct watch_source *source, **bucket = bucket_of(sources, who->pgid);

	source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	source->file = file;
	source->who = *who;
	pthread_mutex_lock(&sources->lock);
	source->id = ++sources->last_id;
	sources->count++;
	source->next = *bucket;
	if (*bucket)
		(*bucket)->prev = source;
	*bucket = source;
	pthread_mutex_unlock(&sources->lock);
	return source;
}

static void remember(struct watch_sources *sources,
		     const struct watch_source *source)
{
	sources->closed[sources->n_closed++ % WATCH_CLOSED] =
		(struct watch_closed){
			.ino = inode_nodeid(source->file->inode),
			.id = source->id,
			.closed = file_now(),
			.who = source->who,
		};
}

/* The @i-th, the last one first; NULL: there is none any more. */
static const struct watch_closed *closed_at(const struct watch_sources *sources,
					    unsigned int i)
{
	const struct watch_closed *closed;

	if (i >= WATCH_CLOSED || i >= sources->n_closed)
		return NULL;
	closed = &sources->closed[(sources->n_closed - 1 - i) % WATCH_CLOSED];
	return file_now() - closed->closed < WATCH_CLOSED_AGE ? closed : NULL;
}

void watch_source_remove(struct watch_sources *sources,
			 struct watch_source *source)
{
	if (!source)
		return;
	pthread_mutex_lock(&sources->lock);
	remember(sources, source);
	sources->count--;
	if (source->prev)
		source->prev->next = source->next;
	else
		*bucket_of(sources, source->who.pgid) = source->next;
	if (source->next)
		source->next->prev = source->prev;
	pthread_mutex_unlock(&sources->lock);
	match_index_free(source->index);
	free(source);
}

bool watch_sources_any(struct watch_sources *sources)
{
	bool any;

	pthread_mutex_lock(&sources->lock);
	any = sources->count || closed_at(sources, 0);
	pthread_mutex_unlock(&sources->lock);
	return any;
}

static bool is_in_process_of(struct fs *fs, pid_t tid, pid_t other)
{
	char path[48];

	if (tid == other)
		return true;
	snprintf(path, sizeof(path), "%d/task/%d", other, tid);
	return faccessat(copy_proc_fd(fs), path, F_OK, 0) == 0;
}

bool watch_is_below(struct fs *fs, pid_t tid, pid_t other)
{
	for (int i = 0; i <= GENERATIONS && tid > 1; i++) {
		if (is_in_process_of(fs, tid, other))
			return true;
		tid = proc_parent(copy_proc_fd(fs), tid);
	}
	return false;
}

/* With the lock; after the @count that are there. */
static unsigned int list_closed(const struct watch_sources *sources,
				const struct watch_who *who,
				struct watch_candidate *ret_list,
				unsigned int count)
{
	const struct watch_closed *closed;

	for (unsigned int i = 0;
	     count < WATCH_CANDIDATES && (closed = closed_at(sources, i)); i++)
		if (watch_may_know(who, &closed->who))
			ret_list[count++] = (struct watch_candidate){
				.ino = closed->ino,
				.id = closed->id,
				.tid = closed->who.tid,
			};
	return count;
}

/* With the lock; after the @count that are there. */
static unsigned int list_open(struct watch_sources *sources,
			      const struct watch_who *who,
			      const struct watch_ask *ask, bool by_itself,
			      struct watch_candidate *ret_list,
			      unsigned int count)
{
	struct watch_source *source;

	for (source = *bucket_of(sources, who->pgid);
	     source && count < WATCH_CANDIDATES; source = source->next) {
		if ((source->who.tid == who->tid) != by_itself ||
		    !watch_may_know(who, &source->who) ||
		    (ask->take && !handle_take(source->file)))
			continue;
		ret_list[count++] = (struct watch_candidate){
			.file = ask->take ? source->file : NULL,
			.id = source->id,
			.tid = source->who.tid,
		};
	}
	return count;
}

/* Its own ones come before those of others, of which there may be many. */
static unsigned int list_group(struct watch_sources *sources,
			       const struct watch_who *who,
			       const struct watch_ask *ask,
			       struct watch_candidate *ret_list)
{
	unsigned int count;

	pthread_mutex_lock(&sources->lock);
	count = list_open(sources, who, ask, true, ret_list, 0);
	count = list_open(sources, who, ask, false, ret_list, count);
	if (ask->closed)
		count = list_closed(sources, who, ret_list, count);
	pthread_mutex_unlock(&sources->lock);
	return count;
}

/* May it be copied from?  Opens it where it is to be taken. */
static bool is_candidate(struct fs *fs, const struct watch_who *who, bool take,
			 struct watch_candidate *candidate)
{
	if (!candidate->ino)
		return fs->quick ||
		       watch_is_below(fs, who->tid, candidate->tid);
	return is_in_process_of(fs, who->tid, candidate->tid) &&
	       (!take ||
		file_open_own(fs, candidate->ino, &candidate->file) == 0);
}

unsigned int watch_source_list(struct fs *fs, const struct watch_who *who,
			       const struct watch_ask *ask,
			       struct watch_candidate *ret_candidates)
{
	struct watch_candidate list[WATCH_CANDIDATES];
	unsigned int count, kept = 0;

	count = list_group(watch_sources(fs), who, ask, list);
	for (unsigned int i = 0; i < count; i++) {
		if (is_candidate(fs, who, ask->take, &list[i]))
			ret_candidates[kept++] = list[i];
		else if (list[i].file)
			handle_put(list[i].file);
	}
	return kept;
}

static struct watch_source *find(struct watch_sources *sources, pid_t pgid,
				 uint64_t id)
{
	struct watch_source *source = *bucket_of(sources, pgid);

	while (source && source->id != id)
		source = source->next;
	return source;
}

/* Of @size bytes at @offset; without the lock: it reads. */
static struct match_index *make_index(int fd, uint32_t block, uint64_t offset,
				      size_t size)
{
	struct match_index *index = NULL;
	void *bytes = malloc(size);
	ssize_t n;

	if (!bytes)
		return NULL;
	n = pread(fd, bytes, size, (off_t)offset);
	if (n > 0 && match_index_new(bytes, (size_t)n, block, &index))
		index = NULL;
	free(bytes);
	return index;
}

static bool is_indexed(struct watch_sources *sources, pid_t pgid, uint64_t id)
{
	struct watch_source *source;
	bool indexed;

	pthread_mutex_lock(&sources->lock);
	source = find(sources, pgid, id);
	indexed = !source || source->index;
	pthread_mutex_unlock(&sources->lock);
	return indexed;
}

bool watch_source_find(struct fs *fs, const struct watch_candidate *candidate,
		       const struct watch_quest *quest, int64_t *ret_shift)
{
	struct watch_sources *sources = watch_sources(fs);
	struct match_index *index = NULL;
	struct watch_source *source;
	bool found;

	if (!is_indexed(sources, quest->pgid, candidate->id))
		index = make_index(quest->fd, quest->block, 0, MATCH_HEAD);
	pthread_mutex_lock(&sources->lock);
	source = find(sources, quest->pgid, candidate->id);
	if (source && !source->index) {
		source->index = index;
		index = NULL;
	}
	found = source && source->index &&
		match_index_find(source->index, quest->data, quest->size,
				 quest->offset, ret_shift);
	pthread_mutex_unlock(&sources->lock);
	match_index_free(index);
	return found;
}

/* Where a descriptor for it stands. */
static bool find_position(struct fs *fs,
			  const struct watch_candidate *candidate, pid_t tid,
			  uint64_t *ret_position)
{
	struct file *file = candidate->file;
	struct pin pin = { .inode = file->inode, .fd = file->fd };
	int proc = copy_proc_fd(fs);
	struct stat st;

	if (inode_getattr(fs, &pin, &st))
		return false;
	return proc_find_position(proc, tid, st.st_ino, ret_position) ||
	       (candidate->tid != tid &&
		proc_find_position(proc, candidate->tid, st.st_ino,
				   ret_position));
}

bool watch_source_find_read(struct fs *fs,
			    const struct watch_candidate *candidate,
			    const struct watch_quest *quest, int64_t *ret_shift)
{
	uint32_t block = quest->block;
	struct match_index *index;
	uint64_t position, start = 0;
	bool found;

	if (!find_position(fs, candidate, quest->tid, &position))
		return false;
	if (position > quest->size + READ_AHEAD)
		start = position - quest->size - READ_AHEAD;
	start &= ~(uint64_t)(block - 1);
	index = make_index(quest->fd, block, start,
			   READ_AHEAD + 2 * (size_t)block);
	if (!index)
		return false;
	found = match_index_find(index, quest->data, quest->size, quest->offset,
				 ret_shift);
	if (found)
		*ret_shift += (int64_t)start;
	match_index_free(index);
	return found;
}
