// SPDX-License-Identifier: MIT
/* Copying by sharing extents: whole blocks cloned, unaligned edges copied. */
#include <errno.h>
#include <linux/magic.h>

#include "private.h"

/* Block sizes to try where the filesystem does not say. */
#define CLONE_BLOCK_FIRST (4u << 10)
#define CLONE_BLOCK_LAST  (1u << 20)

/* How often a range is cut anew because a file changed its size meanwhile. */
#define CLONE_REPLANS 8

/*
 * A clone may end off a block's boundary only where the source ends, and only
 * if the destination does not go on behind it.
 */
struct copy_clone_plan copy_clone_plan(uint64_t src_offset, uint64_t dst_offset,
				       uint64_t length, uint64_t src_size,
				       uint64_t dst_size, uint32_t block)
{
	struct copy_clone_plan plan = { 0 };
	uint64_t mask = (uint64_t)block - 1;
	uint64_t rest;

	if ((src_offset ^ dst_offset) & mask) {
		plan.head = length;
		return plan;
	}
	plan.head = copy_min(-src_offset & mask, length);
	rest = length - plan.head;
	if (src_offset + length != src_size || dst_offset + length < dst_size)
		plan.tail = rest & mask;
	plan.middle = rest - plan.tail;
	return plan;
}

static struct copy_clone_plan job_plan(const struct copy_job *job,
				       uint32_t block)
{
	uint64_t done = job->result.copied;

	return copy_clone_plan(job->src_offset + done, job->dst_offset + done,
			       job->length - done, job->src.size, job->dst.size,
			       block);
}

/* What to begin with: what worked before, if it is not too coarse here. */
static uint32_t first_block(const struct copy_job *job)
{
	uint32_t block = job->pair.block;

	if (block && job_plan(job, block).middle)
		return block;
	return job->dst_volume.block_size ? job->dst_volume.block_size
					  : CLONE_BLOCK_FIRST;
}

/*
 * The next coarser alignment that cuts the range differently, or 0.  Another
 * cut with the same middle would only be refused again.
 */
static uint32_t coarser_block(const struct copy_job *job, uint32_t block)
{
	struct copy_clone_plan now = job_plan(job, block);

	while (block < CLONE_BLOCK_LAST) {
		struct copy_clone_plan next;

		block = block * 4 < CLONE_BLOCK_LAST ? block * 4
						     : CLONE_BLOCK_LAST;
		next = job_plan(job, block);
		if (next.middle == 0)
			return 0;
		if (next.middle != now.middle)
			return block;
	}
	return 0;
}

/* Has one of the files changed its size since the range was cut? */
static int sizes_changed(struct copy_job *job, bool *ret_changed)
{
	uint64_t src_size = job->src.size, dst_size = job->dst.size;
	int err;

	err = copy_look_again(job);
	if (err)
		return err;
	*ret_changed = job->src.size != src_size || job->dst.size != dst_size;
	return 0;
}

/*
 * Errnos that say nothing about the two files, only about where they are.  A
 * mount of offlayfs may refuse one file and take the next.
 */
static bool speaks_of_superblocks(const struct copy_job *job, int err)
{
	if (err == EOPNOTSUPP && job->dst_volume.type == FUSE_SUPER_MAGIC)
		return false;
	return err == EXDEV || err == EOPNOTSUPP || err == ENOTTY ||
	       err == ENOSYS;
}

/*
 * No clone after all.  What the head moved stays, and the rest follows by the
 * same means: a clone that declined late may have changed the destination,
 * which is made good by copying its range again.  If that fails at once, the
 * error is reported and not the head, for the same reason.
 */
static int clone_declined(struct copy_job *job, int err)
{
	struct offlay_engine *engine = job->engine;

	job->result.declined_clone = err;
	if (speaks_of_superblocks(job, err) && job->pair.clone_errno == 0)
		copy_pair_declined(&engine->pairs, &job->key,
				   OFFLAY_METHOD_CLONE, err,
				   engine->ops->now(engine->ctx));
	if (job->result.copied)
		return copy_data_move(job, job->length - job->result.copied);
	return -EOPNOTSUPP;
}

/* Copies one edge; @ret_whole tells whether all of it arrived. */
static int clone_edge(struct copy_job *job, uint64_t length, bool *ret_whole)
{
	uint64_t want = job->result.copied + length;
	int err;

	*ret_whole = true;
	if (length == 0)
		return 0;
	err = copy_data_move(job, length);
	*ret_whole = err == 0 && job->result.copied == want;
	return err;
}

/*
 * Head, middle, tail, in the order of the range: whatever fails or kills us in
 * between, the destination holds a correct prefix and a reader who follows it
 * never sees a gap.  The price is that a clone may decline after the head.
 */
static int clone_once(struct copy_job *job, uint32_t block, int *ret_declined)
{
	struct offlay_engine *engine = job->engine;
	struct copy_clone_plan plan = job_plan(job, block);
	bool whole;
	int err;

	*ret_declined = 0;
	err = clone_edge(job, plan.head, &whole);
	if (err || !whole)
		return err;
	err = engine->ops->clone(engine->ctx, job->src_fd,
				 job->src_offset + job->result.copied,
				 plan.middle, job->dst_fd,
				 job->dst_offset + job->result.copied);
	if (err && copy_goes_on(job, -err)) {
		*ret_declined = -err;
		return 0;
	}
	if (err)
		return err;
	job->result.copied += plan.middle;
	job->result.cloned += plan.middle;
	if (job->pair.block != block)
		copy_pair_cloned(&engine->pairs, &job->key, block);
	err = clone_edge(job, plan.tail, &whole);
	if (err) {
		job->result.stop = -err;
		err = 0;
	}
	return err;
}

int copy_clone(struct copy_job *job)
{
	bool may_copy_edges = job->methods & OFFLAY_METHOD_DATA;
	uint32_t block = first_block(job);
	int replans = 0;

	if (job->pair.clone_errno)
		return clone_declined(job, job->pair.clone_errno);
	for (;;) {
		struct copy_clone_plan plan = job_plan(job, block);
		bool changed;
		int declined, err;

		if (plan.middle == 0 ||
		    (!may_copy_edges && (plan.head || plan.tail)))
			return clone_declined(job, EINVAL);
		err = clone_once(job, block, &declined);
		if (err || !declined)
			return err;
		if (declined != EINVAL)
			return clone_declined(job, declined);
		err = sizes_changed(job, &changed);
		if (err)
			return err;
		if (job->length <= job->result.copied)
			return 0; /* the source ends before the range now */
		if (changed && replans++ < CLONE_REPLANS)
			continue;
		block = coarser_block(job, block);
		if (block == 0)
			return clone_declined(job, EINVAL);
	}
}
