// SPDX-License-Identifier: MIT
/* Tests of lib/stats.c: what is counted, where, and that nothing is lost. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

#include "offlay.h"
#include "stats.h"

#define THREADS 8
#define ROUNDS	20000

static struct stats *stats;
static struct offlay_ioc_stats all;

static void begin(void)
{
	cr_assert_eq(stats_new(&stats), 0);
}

static void end(void)
{
	stats_free(stats);
}

TestSuite(stats, .init = begin, .fini = end);

static uint64_t sum_of_counters(void)
{
	uint64_t sum = 0;

	stats_read(stats, &all);
	for (unsigned int i = 0; i < OFFLAY_STAT_COUNT; i++)
		sum += all.counters[i];
	return sum;
}

/* Counts one event and says whether it is one of @stat and nothing else. */
static void expect_one(const char *row, const struct offlay_trace_event *event,
		       enum offlay_stat stat)
{
	uint64_t before = stats_get(stats, stat), others = sum_of_counters();

	stats_count_event(stats, event);
	cr_expect_eq(stats_get(stats, stat), before + 1, "%s", row);
	cr_expect_eq(sum_of_counters(), others + 1, "%s", row);
}

Test(stats, counts_a_request_once_by_its_outcome)
{
	const struct {
		const char *row;
		struct offlay_trace_event event;
		enum offlay_stat stat;
	} rows[] = {
		{ "cloned",
		  { .op = OFFLAY_OP_COPY,
		    .bytes = 10,
		    .shared = 5,
		    .moved = 5 },
		  OFFLAY_STAT_COPIES_CLONED },
		{ "offloaded",
		  { .op = OFFLAY_OP_COPY, .bytes = 10, .offloaded = 10 },
		  OFFLAY_STAT_COPIES_OFFLOADED },
		{ "moved",
		  { .op = OFFLAY_OP_COPY,
		    .bytes = 10,
		    .shared = 4,
		    .moved = 6 },
		  OFFLAY_STAT_COPIES_MOVED },
		{ "holes",
		  { .op = OFFLAY_OP_COPY, .bytes = 10, .holes = 10 },
		  OFFLAY_STAT_COPIES_MOVED },
		{ "empty", { .op = OFFLAY_OP_COPY }, OFFLAY_STAT_COPIES_EMPTY },
		{ "failed",
		  { .op = OFFLAY_OP_CLONE, .err = EIO },
		  OFFLAY_STAT_COPIES_FAILED },
		{ "eligible, and failed",
		  { .op = OFFLAY_OP_COPY,
		    .err = ENOSPC,
		    .verdict = OFFLAY_VERDICT_ELIGIBLE },
		  OFFLAY_STAT_COPIES_FAILED },
		{ "refused, but at the end",
		  { .op = OFFLAY_OP_COPY, .verdict = OFFLAY_VERDICT_REFUSED },
		  OFFLAY_STAT_COPIES_EMPTY },
		{ "dedupe",
		  { .op = OFFLAY_OP_DEDUPE, .bytes = 1, .shared = 1 },
		  OFFLAY_STAT_COPIES_CLONED },
		{ "dedupe of unequal bytes",
		  { .op = OFFLAY_OP_DEDUPE },
		  OFFLAY_STAT_COPIES_DIFFER },
		{ "token made",
		  { .op = OFFLAY_OP_TOKEN_READ, .bytes = 1 },
		  OFFLAY_STAT_TOKENS_MADE },
		{ "token written",
		  { .op = OFFLAY_OP_TOKEN_WRITE, .bytes = 1 },
		  OFFLAY_STAT_TOKENS_WRITTEN },
		{ "token dropped",
		  { .op = OFFLAY_OP_TOKEN_DROP },
		  OFFLAY_STAT_TOKENS_DROPPED },
		{ "token unknown",
		  { .op = OFFLAY_OP_TOKEN_DROP, .err = ESTALE },
		  OFFLAY_STAT_TOKENS_FAILED },
		{ "ruled",
		  { .op = OFFLAY_OP_FSYNC,
		    .err = EIO,
		    .flags = OFFLAY_EVENT_RULED },
		  OFFLAY_STAT_RULE_HITS },
		{ "edge",
		  { .op = OFFLAY_OP_WRITE,
		    .err = EOPNOTSUPP,
		    .flags = OFFLAY_EVENT_EDGE },
		  OFFLAY_STAT_REFUSED_EDGES },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		expect_one(rows[i].row, &rows[i].event, rows[i].stat);
}

Test(stats, adds_bytes_of_what_copies_and_of_nothing_else)
{
	struct offlay_trace_event event = { .op = OFFLAY_OP_WRITE,
					    .shared = 1,
					    .offloaded = 20,
					    .moved = 300,
					    .holes = 4000 };

	stats_count_event(stats, &event);
	cr_expect_eq(sum_of_counters(), 0);
	event.flags = OFFLAY_EVENT_COPYING;
	stats_count_event(stats, &event);
	stats_count_event(stats, &event);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_BYTES_SHARED), 2);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_BYTES_OFFLOADED), 40);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_BYTES_MOVED), 600);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_BYTES_HOLES), 8000);
	cr_expect_eq(sum_of_counters(), 8642);
}

Test(stats, counts_every_reason_of_a_refusal_on_its_side)
{
	struct offlay_trace_event event = {
		.op = OFFLAY_OP_COPY,
		.flags = OFFLAY_EVENT_COPYING,
		.err = EOPNOTSUPP,
		.verdict = OFFLAY_VERDICT_REFUSED,
		.src_reasons = 1u << OFFLAY_REASON_SPARSE |
			       1u << OFFLAY_REASON_COMPRESSED,
		.dst_reasons = 1u << OFFLAY_REASON_ENCRYPTED,
		.length = 1000,
	};

	stats_count_event(stats, &event);
	event.err = EINVAL;
	event.src_reasons = 0;
	stats_count_event(stats, &event);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_COPIES_REFUSED), 2);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_BYTES_REFUSED), 2000);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_ANSWERED_EOPNOTSUPP), 1);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_ANSWERED_EINVAL), 1);
	cr_expect_eq(stats_get(stats,
			       OFFLAY_STAT_REFUSED_SRC + OFFLAY_REASON_SPARSE),
		     1);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_REFUSED_SRC +
					      OFFLAY_REASON_COMPRESSED),
		     1);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_REFUSED_DST +
					      OFFLAY_REASON_ENCRYPTED),
		     2);
	cr_expect_eq(sum_of_counters(), 2 + 2000 + 2 + 4);
	event.verdict = OFFLAY_VERDICT_DECLINED;
	stats_count_event(stats, &event);
	cr_expect_eq(stats_get(stats, OFFLAY_STAT_COPIES_DECLINED), 1);
}

/* A file that is ineligible, and copied all the same, is no refusal. */
Test(stats, does_not_count_overruled_reasons)
{
	struct offlay_trace_event event = {
		.op = OFFLAY_OP_COPY,
		.verdict = OFFLAY_VERDICT_OVERRULED,
		.src_reasons = 1u << OFFLAY_REASON_SPARSE,
		.bytes = 7,
		.moved = 7,
	};

	expect_one("overruled", &event, OFFLAY_STAT_COPIES_MOVED);
}

static void *add_many(void *arg)
{
	struct offlay_trace_event event = { .op = OFFLAY_OP_COPY,
					    .flags = OFFLAY_EVENT_COPYING,
					    .bytes = 3,
					    .shared = 3 };

	(void)arg;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		event.nsec = i;
		stats_count_event(stats, &event);
		stats_count_request(stats, OFFLAY_OP_COPY);
	}
	return NULL;
}

Test(stats, loses_nothing_with_many_threads)
{
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, add_many, NULL),
			     0);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	stats_read(stats, &all);
	cr_expect_eq(all.counters[OFFLAY_STAT_COPIES_CLONED], THREADS * ROUNDS);
	cr_expect_eq(all.counters[OFFLAY_STAT_BYTES_SHARED],
		     3 * THREADS * ROUNDS);
	cr_expect_eq(all.requests[OFFLAY_OP_COPY], THREADS * ROUNDS);
	cr_expect_eq(all.latencies[OFFLAY_OP_COPY].count, THREADS * ROUNDS);
	cr_expect_eq(all.latencies[OFFLAY_OP_COPY].max, ROUNDS - 1);
	cr_expect_eq(all.latencies[OFFLAY_OP_COPY].sum,
		     (uint64_t)THREADS * ROUNDS * (ROUNDS - 1) / 2);
	cr_expect_eq(all.latencies[OFFLAY_OP_CLONE].count, 0);
}

Test(stats, puts_a_duration_into_the_bucket_that_holds_it)
{
	cr_expect_eq(stats_bucket(0), 0);
	cr_expect_eq(stats_bucket(1023), 0);
	cr_expect_eq(stats_bucket(1024), 1);
	cr_expect_eq(stats_bucket(1279), 1);
	cr_expect_eq(stats_bucket(1280), 2);
	cr_expect_eq(stats_bucket(UINT64_MAX), OFFLAY_LATENCY_BUCKETS - 1);
	for (unsigned int i = 0; i < OFFLAY_LATENCY_BUCKETS; i++) {
		cr_expect_eq(stats_bucket(stats_bucket_start(i)), i);
		if (i)
			cr_expect_eq(stats_bucket(stats_bucket_start(i) - 1),
				     i - 1);
	}
}

Test(stats, finds_quantiles_within_a_quarter)
{
	static struct offlay_latency latency;

	cr_expect_eq(stats_quantile(&latency, 0.5), 0);
	for (uint64_t nsec = 1; nsec <= 1000000; nsec += 7) {
		latency.buckets[stats_bucket(nsec)]++;
		latency.count++;
		latency.max = nsec;
	}
	for (unsigned int i = 1; i < 100; i++) {
		double share = i / 100.0, exact = share * 1000000;
		uint64_t found = stats_quantile(&latency, share);

		cr_expect((double)found >= exact * 0.99 &&
				  (double)found <= exact * 1.26,
			  "%u %%: %llu", i, (unsigned long long)found);
	}
	cr_expect_eq(stats_quantile(&latency, 1), latency.max);
}

/* One slow copy is not above what the longest one took. */
Test(stats, gives_no_quantile_above_the_longest)
{
	static struct offlay_latency latency;

	latency.count = latency.buckets[stats_bucket(5000)] = 1;
	latency.max = 5000;
	cr_expect_eq(stats_quantile(&latency, 0.5), 5000);
	cr_expect_eq(stats_quantile(&latency, 0.99), 5000);
	latency.buckets[OFFLAY_LATENCY_BUCKETS - 1] = 9;
	latency.count = 10;
	latency.max = UINT64_MAX;
	cr_expect_eq(stats_quantile(&latency, 0.99), UINT64_MAX);
}
