/* SPDX-License-Identifier: MIT */
/* Counters of a mount: adding to them, and reading them all. */
#ifndef OFFLAY_STATS_H
#define OFFLAY_STATS_H

#include <stdint.h>

#include "offlay_trace.h"

struct stats;

int stats_new(struct stats **ret_stats);
void stats_free(struct stats *stats); /* takes NULL */

/*
 * Any thread, any time; relaxed atomics, of one cache line for a few threads.
 * Whoever has seen an answer finds it counted.
 */
void stats_add(struct stats *stats, enum offlay_stat stat, uint64_t n);
void stats_count_request(struct stats *stats, enum offlay_op op);
/* All that one answered request says, but for the request itself. */
void stats_count_event(struct stats *stats,
		       const struct offlay_trace_event *event);

uint64_t stats_get(struct stats *stats, enum offlay_stat stat);
/* Counters, requests and latencies; the rest stays as it is. */
void stats_read(struct stats *stats, struct offlay_ioc_stats *ret_stats);

/* Pure: where a duration belongs, and where that bucket begins. */
unsigned int stats_bucket(uint64_t nsec);
uint64_t stats_bucket_start(unsigned int bucket);
/*
 * Pure: nanoseconds that a share (0 to 1) of all were not longer than, by the
 * end of the bucket, at most the longest; 0 where nothing was counted.
 */
uint64_t stats_quantile(const struct offlay_latency *latency, double share);

#endif
