// SPDX-License-Identifier: MIT
/* Keeping huge copies from filling the page cache with what nobody rereads. */
#include <unistd.h>

#include "private.h"

#define CACHE_HUGE_MIN	  (1ull << 30)
#define CACHE_HUGE_FACTOR 8 /* part of memory that makes a copy huge */
#define CACHE_WINDOW	  (8ull << 20)
#define CACHE_LAG	  (64ull << 20)

/*
 * From about this size on the kernel holds writers back to the speed of the
 * disk anyway, so waiting for the disk costs nothing.
 */
void copy_cache_limits_init(struct copy_cache_limits *limits)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			  (uint64_t)sysconf(_SC_PAGESIZE);

	*limits = (struct copy_cache_limits){
		.huge = memory / CACHE_HUGE_FACTOR,
		.window = CACHE_WINDOW,
		.lag = CACHE_LAG,
	};
	if (limits->huge < CACHE_HUGE_MIN)
		limits->huge = CACHE_HUGE_MIN;
}

/*
 * A sparse file is as large as its data, whatever its size.  The edges of a
 * clone are no flood.
 */
void copy_cache_init(struct copy_cache *cache, struct copy_job *job,
		     uint64_t length)
{
	const struct copy_cache_limits *limits = &job->engine->cache;

	*cache = (struct copy_cache){
		.job = job,
		.is_huge = length >= limits->window &&
			   job->src.blocks * 512 >= limits->huge,
	};
}

/*
 * Whose pages they are is asked before they are read.  Reading ahead of the
 * last window may have brought some in; they are ours if they are few.
 */
void copy_cache_before(struct copy_cache *cache, uint64_t at)
{
	struct copy_job *job = cache->job;
	struct offlay_engine *engine = job->engine;
	uint64_t length;
	int64_t cached;

	if (!cache->is_huge || cache->is_open)
		return;
	cache->is_open = true;
	cache->start = at;
	length = copy_min(engine->cache.window, job->length - at);
	cached = engine->ops->cached(engine->ctx, job->src_fd,
				     job->src_offset + at, length);
	cache->was_cached = cached < 0 || (uint64_t)cached > length / 2;
}

/*
 * The destination is written back at once and dropped @lag later, when that
 * has ended or the disk is slower than we are.  Copies come in many calls: the
 * bytes that lie @lag behind are often those of an earlier one.
 */
static void close_window(struct copy_cache *cache, uint64_t at)
{
	struct copy_job *job = cache->job;
	struct offlay_engine *engine = job->engine;
	const struct sys_ops *ops = engine->ops;
	uint64_t lag = engine->cache.lag;
	uint64_t length = at - cache->start;
	uint64_t dst = job->dst_offset + cache->start;

	cache->is_open = false;
	if (length == 0)
		return;
	if (!cache->was_cached)
		ops->drop(engine->ctx, job->src_fd,
			  job->src_offset + cache->start, length);
	ops->write_back(engine->ctx, job->dst_fd, dst, length, false);
	if (dst < lag)
		return;
	ops->write_back(engine->ctx, job->dst_fd, dst - lag, length, true);
	ops->drop(engine->ctx, job->dst_fd, dst - lag, length);
}

void copy_cache_after(struct copy_cache *cache, uint64_t at)
{
	if (cache->is_open &&
	    at - cache->start >= cache->job->engine->cache.window)
		close_window(cache, at);
}

void copy_cache_done(struct copy_cache *cache, uint64_t at)
{
	if (cache->is_open)
		close_window(cache, at);
}
