// SPDX-License-Identifier: MIT
/* Which file a write comes from. */
#include <pthread.h>

#include "watch.h"

/* Each takes as long as some writes do. */
#define SEARCHES_MAX 4

/* ------------------------------------------------- streams that have a source */

void watch_bonds_init(struct watch_bonds *bonds)
{
	*bonds = (struct watch_bonds){ .n_released = 0 };
	pthread_mutex_init(&bonds->lock, NULL);
}

void watch_bonds_done(struct watch_bonds *bonds)
{
	pthread_mutex_destroy(&bonds->lock);
}

static bool take_slot(struct watch_bonds *bonds, struct watch_stream *stream,
		      struct file *src)
{
	bool taken = false;

	pthread_mutex_lock(&bonds->lock);
	for (unsigned int i = 0; i < WATCH_BONDS && !taken; i++) {
		taken = !bonds->slots[i].stream;
		if (taken)
			bonds->slots[i] = (struct watch_bonded){
				.stream = stream,
				.src = src,
			};
	}
	pthread_mutex_unlock(&bonds->lock);
	return taken;
}

/* With the lock. */
static void release_slot(struct watch_bonds *bonds, struct watch_bonded *slot)
{
	if (slot->released)
		return;
	slot->released = file_now();
	atomic_fetch_add(&bonds->n_released, 1);
}

/* Of what @stream has a source in, or of all that have @src. */
static void release_slots(struct watch_state *watch,
			  const struct watch_stream *stream,
			  const struct file *src)
{
	struct watch_bonds *bonds = &watch->bonds;

	pthread_mutex_lock(&bonds->lock);
	for (unsigned int i = 0; i < WATCH_BONDS; i++)
		if (bonds->slots[i].stream &&
		    (bonds->slots[i].stream == stream ||
		     bonds->slots[i].src == src))
			release_slot(bonds, &bonds->slots[i]);
	pthread_mutex_unlock(&bonds->lock);
	if (atomic_load(&bonds->n_released))
		watch_gathers_rouse(watch->gathers);
}

static void put_slot(struct watch_bonds *bonds,
		     const struct watch_stream *stream)
{
	pthread_mutex_lock(&bonds->lock);
	for (unsigned int i = 0; i < WATCH_BONDS; i++) {
		if (bonds->slots[i].stream != stream)
			continue;
		if (bonds->slots[i].released)
			atomic_fetch_sub(&bonds->n_released, 1);
		bonds->slots[i] = (struct watch_bonded){ .stream = NULL };
	}
	pthread_mutex_unlock(&bonds->lock);
}

void watch_unbind(struct watch_state *watch, struct watch_stream *stream)
{
	if (!stream->bond.src)
		return;
	put_slot(&watch->bonds, stream);
	watch_bond_end(&stream->bond);
}

void watch_released(struct file *src)
{
	struct watch_state *watch = src->fs->watch;

	if (!src->io || !src->io->source)
		return;
	watch_source_remove(&watch->sources, src->io->source);
	src->io->source = NULL;
	release_slots(watch, NULL, src);
}

static bool is_over(const struct watch_bonded *slot, uint64_t last,
		    uint64_t now)
{
	return slot->released && now - slot->released > WATCH_CLOSED_AGE &&
	       now - last > WATCH_CLOSED_AGE;
}

/* The file of a stream whose source was released, with a reference; or NULL. */
static struct file *released_in(struct watch_bonds *bonds,
				const struct watch_bonded *slot)
{
	struct file *file = NULL;

	pthread_mutex_lock(&bonds->lock);
	/* One that is being closed lets it go by itself. */
	if (slot->stream && is_over(slot, 0, file_now()) &&
	    handle_take(slot->stream->file))
		file = slot->stream->file;
	pthread_mutex_unlock(&bonds->lock);
	return file;
}

/* Whoever has its lock uses it. */
static void unbind_idle(struct watch_state *watch, struct watch_stream *stream,
			const struct watch_bonded *slot)
{
	bool over;

	if (pthread_mutex_trylock(&stream->lock))
		return;
	pthread_mutex_lock(&watch->bonds.lock);
	over = slot->stream == stream &&
	       is_over(slot, stream->last_hit, file_now());
	pthread_mutex_unlock(&watch->bonds.lock);
	if (over && !stream->gathered.active)
		watch_unbind(watch, stream);
	pthread_mutex_unlock(&stream->lock);
}

void watch_unbind_idle(struct watch_state *watch)
{
	if (!watch_any_released(watch))
		return;
	for (unsigned int i = 0; i < WATCH_BONDS; i++) {
		const struct watch_bonded *slot = &watch->bonds.slots[i];
		struct file *file = released_in(&watch->bonds, slot);

		if (!file)
			continue;
		unbind_idle(watch, file->io->stream, slot);
		handle_put(file);
	}
}

/* ------------------------------------------------------- finding a source */

/* Takes the reference to @src. */
static bool make_bond(struct watch_state *watch, struct watch_stream *stream,
		      struct file *src, const struct fuse_ctx *caller)
{
	if (stream->bond.src == src &&
	    watch_bond_is_for(&stream->bond, caller)) {
		handle_put(src);
		return true;
	}
	watch_unbind(watch, stream);
	if (take_slot(&watch->bonds, stream, src)) {
		if (watch_bond_make(&stream->bond, src, caller) == 0)
			return true;
		put_slot(&watch->bonds, stream);
	}
	handle_put(src);
	return false;
}

/*
 * At the same offset, then wherever its beginning is found in the write, then
 * from where it was read last.
 */
static bool fits(struct watch_stream *stream, const struct watch_write *write,
		 const struct watch_candidate *candidate, int64_t *ret_shift)
{
	struct fs *fs = write->dst->fs;
	const struct watch_quest quest = {
		.tid = fuse_req_ctx(write->req)->pid,
		.pgid = stream->pgid,
		.fd = stream->bond.fd,
		.block = stream->match.block,
		.data = write->data,
		.size = write->size,
		.offset = write->offset,
	};

	*ret_shift = 0;
	if (watch_bond_probe(&stream->bond, write, quest.block, 0) ||
	    watch_source_find(fs, candidate, &quest, ret_shift))
		return true;
	if (write->size < quest.block || stream->searches == SEARCHES_MAX)
		return false;
	stream->searches++;
	return watch_source_find_read(fs, candidate, &quest, ret_shift);
}

static struct watch_who who_writes(const struct watch_stream *stream,
				   const struct watch_write *write)
{
	const struct fuse_ctx *caller = fuse_req_ctx(write->req);

	return (struct watch_who){
		.tid = caller->pid,
		.pgid = stream->pgid,
		.uid = caller->uid,
		.gid = caller->gid,
	};
}

static bool look_for_source(struct watch_stream *stream,
			    const struct watch_write *write, int64_t *ret_shift)
{
	struct watch_candidate candidates[WATCH_CANDIDATES];
	struct fs *fs = write->dst->fs;
	struct watch_who who = who_writes(stream, write);
	/* To open them takes time: what they begin with would come first. */
	const struct watch_ask ask = {
		.take = true,
		.closed = !stream->match.missed,
	};
	bool found = false;
	unsigned int n;

	n = watch_source_list(fs, &who, &ask, candidates);
	for (unsigned int i = 0; i < n; i++) {
		struct file *src = candidates[i].file;

		if (found || src->inode == write->dst->inode) {
			handle_put(src);
			continue;
		}
		if (!make_bond(fs->watch, stream, src,
			       fuse_req_ctx(write->req)))
			continue;
		if (candidates[i].ino)
			release_slots(fs->watch, stream, NULL);
		found = fits(stream, write, &candidates[i], ret_shift);
	}
	return found;
}

bool watch_find_source(struct watch_stream *stream,
		       const struct watch_write *write, int64_t *ret_shift)
{
	struct match *match = &stream->match;
	bool follows = match->state == MATCH_FOLLOWING;

	*ret_shift = match->shift;
	if (stream->bond.src && (follows || match->shared) &&
	    watch_bond_is_for(&stream->bond, fuse_req_ctx(write->req)) &&
	    ((follows && write->size < WATCH_PROBE_MIN) ||
	     watch_bond_probe(&stream->bond, write, match->block,
			      match->shift)))
		return true;
	return look_for_source(stream, write, ret_shift);
}

bool watch_is_early(struct watch_stream *stream,
		    const struct watch_write *write)
{
	struct watch_candidate candidates[WATCH_CANDIDATES];
	struct fs *fs = write->dst->fs;
	const struct watch_ask ask = { .closed = true };
	struct watch_who who;

	if (stream->early && watch_sources_any(watch_sources(fs))) {
		who = who_writes(stream, write);
		stream->early = !watch_source_list(fs, &who, &ask, candidates);
	}
	return stream->early;
}
