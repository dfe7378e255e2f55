// SPDX-License-Identifier: MIT
/* What the engine remembers of each pair of superblocks: a bounded table. */
#include <string.h>

#include "private.h"

/* How long a method that declined for a whole pair is left alone. */
#define PAIR_RETRY_NS (30ull * 1000 * 1000 * 1000)

/* How long a filesystem is not asked again what it is. */
#define VOLUME_NS (100ull * 1000 * 1000)

static bool key_equal(const struct copy_pair_key *a,
		      const struct copy_pair_key *b)
{
	return a->src_dev == b->src_dev && a->src_fsid == b->src_fsid &&
	       a->dst_dev == b->dst_dev && a->dst_fsid == b->dst_fsid &&
	       a->src_type == b->src_type && a->dst_type == b->dst_type;
}

/* The slot of @key, made by replacing the one unused longest; lock held. */
static struct copy_pair *pair_slot(struct copy_pairs *pairs,
				   const struct copy_pair_key *key)
{
	struct copy_pair *oldest = &pairs->slots[0];

	for (size_t i = 0; i < COPY_PAIRS; i++) {
		struct copy_pair *slot = &pairs->slots[i];

		if (slot->used && key_equal(&slot->key, key)) {
			slot->used = ++pairs->clock;
			return slot;
		}
		if (slot->used < oldest->used)
			oldest = slot;
	}
	*oldest = (struct copy_pair){ .key = *key, .used = ++pairs->clock };
	return oldest;
}

/* What is known now; declines that have aged are forgotten. */
void copy_pair_look_up(struct copy_pairs *pairs,
		       const struct copy_pair_key *key, uint64_t now,
		       struct copy_pair *ret_pair)
{
	struct copy_pair *slot;

	pthread_mutex_lock(&pairs->lock);
	slot = pair_slot(pairs, key);
	if (now >= slot->clone_until)
		slot->clone_errno = 0;
	if (now >= slot->offload_until)
		slot->offload_errno = 0;
	*ret_pair = *slot;
	pthread_mutex_unlock(&pairs->lock);
}

/* A clone worked with @block as the alignment. */
void copy_pair_cloned(struct copy_pairs *pairs, const struct copy_pair_key *key,
		      uint32_t block)
{
	struct copy_pair *slot;

	pthread_mutex_lock(&pairs->lock);
	slot = pair_slot(pairs, key);
	slot->block = block;
	slot->clone_errno = 0;
	pthread_mutex_unlock(&pairs->lock);
}

/*
 * @method declined with @err, one that speaks of the superblocks and not of
 * the two files.  A pair that has cloned before is not given up for it: then
 * the reason was in the files after all.
 */
void copy_pair_declined(struct copy_pairs *pairs,
			const struct copy_pair_key *key,
			enum offlay_method method, int err, uint64_t now)
{
	struct copy_pair *slot;

	pthread_mutex_lock(&pairs->lock);
	slot = pair_slot(pairs, key);
	if (method == OFFLAY_METHOD_CLONE && slot->block == 0) {
		slot->clone_errno = err;
		slot->clone_until = now + PAIR_RETRY_NS;
	} else if (method == OFFLAY_METHOD_OFFLOAD) {
		slot->offload_errno = err;
		slot->offload_until = now + PAIR_RETRY_NS;
	}
	pthread_mutex_unlock(&pairs->lock);
}

bool copy_volume_find(struct copy_pairs *pairs, uint64_t dev, uint64_t now,
		      struct sys_volume *ret_volume)
{
	bool found = false;

	pthread_mutex_lock(&pairs->lock);
	for (size_t i = 0; i < COPY_VOLUMES && !found; i++) {
		const struct copy_volume *kept = &pairs->volumes[i];

		found = kept->dev == dev && now < kept->until;
		if (found)
			*ret_volume = kept->volume;
	}
	pthread_mutex_unlock(&pairs->lock);
	return found;
}

void copy_volume_keep(struct copy_pairs *pairs, uint64_t dev, uint64_t now,
		      const struct sys_volume *volume)
{
	pthread_mutex_lock(&pairs->lock);
	pairs->volumes[pairs->next_volume++ % COPY_VOLUMES] =
		(struct copy_volume){ dev, now + VOLUME_NS, *volume };
	pthread_mutex_unlock(&pairs->lock);
}
