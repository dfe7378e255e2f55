// SPDX-License-Identifier: MIT
/* Is this stream of writes a copy of that file?  No system calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "match.h"
#include "private.h"

/* ------------------------------------------------------------ fingerprints */

struct fingerprint {
	uint64_t hash;
	uint64_t offset;
};

struct match_index {
	uint32_t block;
	size_t count;
	struct fingerprint prints[]; /* sorted by hash, then offset */
};

/* Such blocks are everywhere: they lead nowhere. */
static bool is_dull(const unsigned char *block, size_t size)
{
	return memcmp(block, block + 1, size - 1) == 0;
}

static int print_order(const void *a, const void *b)
{
	const struct fingerprint *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

int match_index_new(const void *head, size_t size, uint32_t block,
		    struct match_index **ret_index)
{
	const unsigned char *bytes = head;
	size_t most = (size < MATCH_HEAD ? size : MATCH_HEAD) / block;
	struct match_index *index;

	index = calloc(1, sizeof(*index) + most * sizeof(*index->prints));
	if (!index)
		return -ENOMEM;
	index->block = block;
	for (size_t i = 0; i < most; i++) {
		const unsigned char *at = bytes + i * block;

		if (is_dull(at, block))
			continue;
		index->prints[index->count++] = (struct fingerprint){
			.hash = XXH3_64bits(at, block),
			.offset = (uint64_t)i * block,
		};
	}
	qsort(index->prints, index->count, sizeof(*index->prints), print_order);
	*ret_index = index;
	return 0;
}

void match_index_free(struct match_index *index)
{
	free(index);
}

/* The first offset with this fingerprint. */
static bool find_print(const struct match_index *index, uint64_t hash,
		       uint64_t *ret_offset)
{
	size_t low = 0, high = index->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (index->prints[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == index->count || index->prints[low].hash != hash)
		return false;
	*ret_offset = index->prints[low].offset;
	return true;
}

bool match_index_find(const struct match_index *index, const void *data,
		      size_t size, uint64_t offset, int64_t *ret_shift)
{
	const unsigned char *bytes = data;
	uint64_t mask = (uint64_t)index->block - 1;
	uint64_t at = -offset & mask;

	for (; at + index->block <= size; at += index->block) {
		uint64_t found;

		if (is_dull(bytes + at, index->block) ||
		    !find_print(index, XXH3_64bits(bytes + at, index->block),
				&found))
			continue;
		*ret_shift = (int64_t)(found - (offset + at));
		return true;
	}
	return false;
}

/* ----------------------------------------------------------------- streams */

void match_init(struct match *match, uint32_t block)
{
	*match = (struct match){ .state = MATCH_LOOKING, .block = block };
}

bool match_src_offset(int64_t shift, uint64_t offset, uint64_t *ret_offset)
{
	if (offset > INT64_MAX || (shift < 0 && offset < 0 - (uint64_t)shift))
		return false;
	if (shift > 0 && (uint64_t)shift > INT64_MAX - offset)
		return false;
	*ret_offset = offset + (uint64_t)shift;
	return true;
}

/*
 * Beyond the source's end, and where the destination goes on behind it, whole
 * blocks only: copy_clone_plan() has the rules.
 */
bool match_cut(const struct match *match, const struct match_try *try,
	       struct match_cut *ret_cut)
{
	uint64_t length = try->length, rest = 0;
	struct copy_clone_plan plan;
	bool ends;

	if (try->src_offset >= try->src_size)
		return false;
	if (length > try->src_size - try->src_offset) {
		length = try->src_size - try->src_offset;
		rest = try->length - length;
	}
	plan = copy_clone_plan(try->src_offset, try->dst_offset, length,
			       try->src_size, rest ? UINT64_MAX : try->dst_size,
			       match->block);
	ends = match->state == MATCH_FOLLOWING && !rest && !plan.tail &&
	       try->src_offset + length == try->src_size;
	if (!plan.middle || (plan.middle < MATCH_MIN && !ends))
		return false;
	*ret_cut = (struct match_cut){
		.head = plan.head,
		.middle = plan.middle,
		.tail = plan.tail + rest,
	};
	return true;
}

void match_hit(struct match *match, int64_t shift, uint64_t shared)
{
	match->state = MATCH_FOLLOWING;
	match->shift = shift;
	match->missed = 0;
	match->shared += shared;
}

static void missed(struct match *match, uint64_t length, uint64_t patience)
{
	if (match->state == MATCH_GIVEN_UP)
		return;
	match->missed += length;
	match->state = match->missed < patience ? MATCH_LOOKING
						: MATCH_GIVEN_UP;
}

void match_miss(struct match *match, uint64_t length)
{
	missed(match, length,
	       match->shared ? MATCH_PATIENCE_LONG : MATCH_PATIENCE);
}

void match_busy(struct match *match, int64_t shift, uint64_t length)
{
	missed(match, length, MATCH_PATIENCE_LONG);
	if (match->state == MATCH_LOOKING) {
		match->state = MATCH_FOLLOWING;
		match->shift = shift;
	}
}

void match_give_up(struct match *match)
{
	match->state = MATCH_GIVEN_UP;
}
