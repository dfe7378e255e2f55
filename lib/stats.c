// SPDX-License-Identifier: MIT
/* Counters of a mount that many threads add to at once. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "offlay.h"
#include "stats.h"

#define SHARDS_BITS 4
#define SHARDS	    (1u << SHARDS_BITS)
#define CACHE_LINE  64

struct shard {
	_Alignas(CACHE_LINE) _Atomic uint64_t counters[OFFLAY_STAT_COUNT];
	_Atomic uint64_t requests[OFFLAY_OP_COUNT];
};

/* Copies are rare beside what they cost: one for all threads. */
struct latency {
	_Atomic uint64_t sum, max;
	_Atomic uint64_t buckets[OFFLAY_LATENCY_BUCKETS];
};

struct stats {
	struct shard shards[SHARDS];
	struct latency latencies[OFFLAY_OP_OTHERS];
};

int stats_new(struct stats **ret_stats)
{
	struct stats *stats = aligned_alloc(CACHE_LINE, sizeof(*stats));

	if (!stats)
		return -ENOMEM;
	*stats = (struct stats){ 0 };
	*ret_stats = stats;
	return 0;
}

void stats_free(struct stats *stats)
{
	free(stats);
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Threads have their stacks, and so their ids, far apart. */
static struct shard *shard_of(struct stats *stats)
{
	uint64_t id = (uint64_t)(uintptr_t)pthread_self();

	id = (id >> 12) * 0x9E3779B97F4A7C15u;
	return &stats->shards[id >> (64 - SHARDS_BITS)];
}

void stats_add(struct stats *stats, enum offlay_stat stat, uint64_t n)
{
	add(&shard_of(stats)->counters[stat], n);
}

void stats_count_request(struct stats *stats, enum offlay_op op)
{
	add(&shard_of(stats)->requests[op], 1);
}

unsigned int stats_bucket(uint64_t nsec)
{
	unsigned int exponent, quarter, bucket;

	if (nsec < OFFLAY_LATENCY_FIRST)
		return 0;
	exponent = 63 - (unsigned int)__builtin_clzll(nsec);
	quarter = (unsigned int)(nsec >> (exponent - 2)) & 3;
	exponent -= 63 - (unsigned int)__builtin_clzll(OFFLAY_LATENCY_FIRST);
	bucket = 1 + 4 * exponent + quarter;
	return bucket < OFFLAY_LATENCY_BUCKETS ? bucket
					       : OFFLAY_LATENCY_BUCKETS - 1;
}

uint64_t stats_bucket_start(unsigned int bucket)
{
	unsigned int quarter;

	if (!bucket)
		return 0;
	quarter = (bucket - 1) % 4;
	return ((uint64_t)OFFLAY_LATENCY_FIRST << (bucket - 1) / 4) / 4 *
	       (4 + quarter);
}

static void count_latency(struct latency *latency, uint64_t nsec)
{
	uint64_t max =
		atomic_load_explicit(&latency->max, memory_order_relaxed);

	add(&latency->buckets[stats_bucket(nsec)], 1);
	add(&latency->sum, nsec);
	while (nsec > max &&
	       !atomic_compare_exchange_weak_explicit(&latency->max, &max, nsec,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
}

static void count_reasons(struct stats *stats, enum offlay_stat first,
			  uint32_t reasons)
{
	for (unsigned int i = 0; i < OFFLAY_REASON_COUNT; i++)
		if (reasons & 1u << i)
			stats_add(stats, first + i, 1);
}

static void count_refused(struct stats *stats,
			  const struct offlay_trace_event *event)
{
	stats_add(stats, OFFLAY_STAT_BYTES_REFUSED, event->length);
	count_reasons(stats, OFFLAY_STAT_REFUSED_SRC, event->src_reasons);
	count_reasons(stats, OFFLAY_STAT_REFUSED_DST, event->dst_reasons);
	if (event->err == EOPNOTSUPP)
		stats_add(stats, OFFLAY_STAT_ANSWERED_EOPNOTSUPP, 1);
	else if (event->err == EINVAL)
		stats_add(stats, OFFLAY_STAT_ANSWERED_EINVAL, 1);
}

static bool is_turned_down(const struct offlay_trace_event *event)
{
	return event->err && (event->verdict == OFFLAY_VERDICT_REFUSED ||
			      event->verdict == OFFLAY_VERDICT_DECLINED);
}

static void count_bytes(struct stats *stats,
			const struct offlay_trace_event *event)
{
	const struct {
		enum offlay_stat stat;
		uint64_t n;
	} bytes[] = {
		{ OFFLAY_STAT_BYTES_SHARED, event->shared },
		{ OFFLAY_STAT_BYTES_OFFLOADED, event->offloaded },
		{ OFFLAY_STAT_BYTES_MOVED, event->moved },
		{ OFFLAY_STAT_BYTES_HOLES, event->holes },
	};

	for (unsigned int i = 0; i < sizeof(bytes) / sizeof(*bytes); i++)
		if (bytes[i].n)
			stats_add(stats, bytes[i].stat, bytes[i].n);
}

/* A copy counts once: by what did most of its bytes, sharing first. */
static enum offlay_stat outcome_of(const struct offlay_trace_event *event)
{
	if (is_turned_down(event))
		return event->verdict == OFFLAY_VERDICT_REFUSED
			       ? OFFLAY_STAT_COPIES_REFUSED
			       : OFFLAY_STAT_COPIES_DECLINED;
	if (event->err)
		return OFFLAY_STAT_COPIES_FAILED;
	if (!event->bytes)
		return event->op == OFFLAY_OP_DEDUPE ? OFFLAY_STAT_COPIES_DIFFER
						     : OFFLAY_STAT_COPIES_EMPTY;
	if (event->shared >= event->offloaded + event->moved + event->holes)
		return OFFLAY_STAT_COPIES_CLONED;
	if (event->offloaded >= event->moved + event->holes)
		return OFFLAY_STAT_COPIES_OFFLOADED;
	return OFFLAY_STAT_COPIES_MOVED;
}

static enum offlay_stat token_outcome_of(const struct offlay_trace_event *event)
{
	if (is_turned_down(event))
		return OFFLAY_STAT_TOKENS_REFUSED;
	if (event->err)
		return OFFLAY_STAT_TOKENS_FAILED;
	if (event->op == OFFLAY_OP_TOKEN_READ)
		return OFFLAY_STAT_TOKENS_MADE;
	if (event->op == OFFLAY_OP_TOKEN_WRITE)
		return OFFLAY_STAT_TOKENS_WRITTEN;
	return OFFLAY_STAT_TOKENS_DROPPED;
}

void stats_count_event(struct stats *stats,
		       const struct offlay_trace_event *event)
{
	if (event->op < OFFLAY_OP_OTHERS)
		count_latency(&stats->latencies[event->op], event->nsec);
	switch (event->op) {
	case OFFLAY_OP_COPY:
	case OFFLAY_OP_CLONE:
	case OFFLAY_OP_DEDUPE:
		stats_add(stats, outcome_of(event), 1);
		break;
	case OFFLAY_OP_TOKEN_READ:
	case OFFLAY_OP_TOKEN_WRITE:
	case OFFLAY_OP_TOKEN_DROP:
		stats_add(stats, token_outcome_of(event), 1);
		break;
	default:
		break;
	}
	if (event->flags & OFFLAY_EVENT_EDGE)
		stats_add(stats, OFFLAY_STAT_REFUSED_EDGES, 1);
	if (event->flags & OFFLAY_EVENT_RULED)
		stats_add(stats, OFFLAY_STAT_RULE_HITS, 1);
	if (event->flags & OFFLAY_EVENT_COPYING)
		count_bytes(stats, event);
	if (is_turned_down(event))
		count_refused(stats, event);
}

uint64_t stats_get(struct stats *stats, enum offlay_stat stat)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < SHARDS; i++)
		sum += atomic_load_explicit(&stats->shards[i].counters[stat],
					    memory_order_relaxed);
	return sum;
}

static void read_latency(struct latency *latency,
			 struct offlay_latency *ret_latency)
{
	ret_latency->count = 0;
	ret_latency->sum =
		atomic_load_explicit(&latency->sum, memory_order_relaxed);
	ret_latency->max =
		atomic_load_explicit(&latency->max, memory_order_relaxed);
	for (unsigned int i = 0; i < OFFLAY_LATENCY_BUCKETS; i++) {
		ret_latency->buckets[i] = atomic_load_explicit(
			&latency->buckets[i], memory_order_relaxed);
		ret_latency->count += ret_latency->buckets[i];
	}
}

void stats_read(struct stats *stats, struct offlay_ioc_stats *ret_stats)
{
	for (unsigned int i = 0; i < OFFLAY_STAT_COUNT; i++)
		ret_stats->counters[i] = stats_get(stats, i);
	for (unsigned int i = 0; i < OFFLAY_OP_COUNT; i++) {
		ret_stats->requests[i] = 0;
		for (unsigned int j = 0; j < SHARDS; j++)
			ret_stats->requests[i] += atomic_load_explicit(
				&stats->shards[j].requests[i],
				memory_order_relaxed);
	}
	for (unsigned int i = 0; i < OFFLAY_OP_OTHERS; i++)
		read_latency(&stats->latencies[i], &ret_stats->latencies[i]);
}

uint64_t stats_quantile(const struct offlay_latency *latency, double share)
{
	double wanted = (double)latency->count * share;
	uint64_t seen = 0, end;
	unsigned int i;

	if (!latency->count)
		return 0;
	for (i = 0; i < OFFLAY_LATENCY_BUCKETS - 1; i++) {
		seen += latency->buckets[i];
		if (seen && (double)seen >= wanted)
			break;
	}
	if (i == OFFLAY_LATENCY_BUCKETS - 1)
		return latency->max;
	end = stats_bucket_start(i + 1);
	return end < latency->max ? end : latency->max;
}
