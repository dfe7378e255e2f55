// SPDX-License-Identifier: MIT
/* The counters of a mount as a table, and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount_stats.h"
#include "stats.h"
#include "tools.h"
#include "trace.h"

const char *stats_time(uint64_t nsec, char buf[STATS_TIME_MAX])
{
	static const struct {
		uint64_t nsec;
		const char *name;
	} units[] = { { 86400000000000, "d" },
		      { 3600000000000, "h" },
		      { 60000000000, "min" },
		      { 1000000000, "s" },
		      { 1000000, "ms" },
		      { 1000, "us" },
		      { 1, "ns" } };
	size_t i = 0;

	while (units[i].nsec > 1 && nsec < units[i].nsec)
		i++;
	snprintf(buf, STATS_TIME_MAX, "%.*f %s", units[i].nsec > 1 ? 1 : 0,
		 (double)nsec / (double)units[i].nsec, units[i].name);
	return buf;
}

static const char *number_of(uint64_t value, enum stats_unit unit,
			     char buf[STATS_TIME_MAX])
{
	switch (unit) {
	case STATS_BYTES:
		return text_size(value, buf);
	case STATS_NSEC:
		return stats_time(value, buf);
	case STATS_SWITCH:
		return value ? "on" : "off";
	default:
		snprintf(buf, STATS_TIME_MAX, "%" PRIu64, value);
		return buf;
	}
}

static void print_row(const char *name, uint64_t value, enum stats_unit unit)
{
	char buf[STATS_TIME_MAX];

	printf("  %-20s %14s\n", name, number_of(value, unit, buf));
}

static uint64_t sum_of(const struct stats_group *group,
		       const struct offlay_ioc_stats *stats)
{
	uint64_t sum = 0;

	for (const struct stats_word *word = group->words; word->name; word++)
		sum += stats->counters[word->stat];
	return sum;
}

static void print_groups(const struct offlay_ioc_stats *stats)
{
	const struct stats_group *group;

	for (size_t i = 0; (group = stats_group_at(i)); i++) {
		/* The first two say what is there, others what happened. */
		if (i > 1 && !sum_of(group, stats))
			continue;
		printf("%s\n", group->title);
		for (const struct stats_word *word = group->words; word->name;
		     word++)
			if (i <= 1 || stats->counters[word->stat])
				print_row(word->name,
					  stats->counters[word->stat],
					  group->is_bytes ? STATS_BYTES
							  : STATS_NUMBER);
	}
}

static uint64_t mean_of(const struct offlay_latency *latency)
{
	return latency->count ? latency->sum / latency->count : 0;
}

static void print_latencies(const struct offlay_ioc_stats *stats)
{
	char mean[STATS_TIME_MAX], p50[STATS_TIME_MAX], p99[STATS_TIME_MAX];
	char max[STATS_TIME_MAX];

	printf("%-22s %14s %10s %10s %10s %10s\n", "Latencies", "count", "mean",
	       "p50", "p99", "longest");
	for (unsigned int op = 1; op < OFFLAY_OP_OTHERS; op++) {
		const struct offlay_latency *latency = &stats->latencies[op];
		uint64_t count = latency->count;

		if (!count)
			continue;
		printf("  %-20s %14" PRIu64 " %10s %10s %10s %10s\n",
		       trace_op_name(op), count,
		       stats_time(mean_of(latency), mean),
		       stats_time(stats_quantile(latency, 0.5), p50),
		       stats_time(stats_quantile(latency, 0.99), p99),
		       stats_time(latency->max, max));
	}
}

void stats_print_table(const char *mount, const struct offlay_ioc_stats *stats)
{
	const struct stats_gauge *gauge;
	char *quoted = text_quote(mount);

	printf("%s\n", quoted);
	free(quoted);
	for (size_t i = 0; (gauge = stats_gauge_at(i)); i++)
		print_row(gauge->title, stats->gauges[gauge->gauge],
			  gauge->unit);
	print_groups(stats);
	print_latencies(stats);
	puts("Requests");
	for (unsigned int op = 0; op < OFFLAY_OP_COUNT; op++)
		if (stats->requests[op])
			print_row(trace_op_name(op), stats->requests[op],
				  STATS_NUMBER);
}

static void json_group(const struct stats_group *group,
		       const struct offlay_ioc_stats *stats)
{
	const char *separator = "";

	printf(",\n  \"%s\": {", group->key);
	for (const struct stats_word *word = group->words; word->name; word++) {
		uint64_t value = stats->counters[word->stat];

		printf("%s\"%s\": %" PRIu64, separator, word->name, value);
		separator = ", ";
	}
	putchar('}');
}

static void json_usec(const char *name, uint64_t nsec)
{
	printf(", \"%s_usec\": %" PRIu64 ".%03u", name, nsec / 1000,
	       (unsigned int)(nsec % 1000));
}

/* The buckets that anything is in. */
static void json_histogram(const struct offlay_latency *latency)
{
	const char *separator = "";

	fputs(", \"histogram\": [", stdout);
	for (unsigned int i = 0; i < OFFLAY_LATENCY_BUCKETS; i++) {
		uint64_t from = stats_bucket_start(i), count, to;

		count = latency->buckets[i];
		to = i < OFFLAY_LATENCY_BUCKETS - 1 ? stats_bucket_start(i + 1)
						    : latency->max;
		if (!count)
			continue;
		printf("%s[%" PRIu64 ".%03u, %" PRIu64 ".%03u, %" PRIu64 "]",
		       separator, from / 1000, (unsigned int)(from % 1000),
		       to / 1000, (unsigned int)(to % 1000), count);
		separator = ", ";
	}
	putchar(']');
}

static void json_latencies(const struct offlay_ioc_stats *stats)
{
	const char *separator = "";

	fputs(",\n  \"latencies\": {", stdout);
	for (unsigned int op = 1; op < OFFLAY_OP_OTHERS; op++) {
		const struct offlay_latency *latency = &stats->latencies[op];
		uint64_t count = latency->count;

		printf("%s\n    \"%s\": {\"count\": %" PRIu64, separator,
		       trace_op_name(op), count);
		json_usec("mean", mean_of(latency));
		json_usec("p50", stats_quantile(latency, 0.5));
		json_usec("p99", stats_quantile(latency, 0.99));
		json_usec("max", latency->max);
		json_histogram(latency);
		putchar('}');
		separator = ",";
	}
	fputs("\n  }", stdout);
}

static void json_requests(const struct offlay_ioc_stats *stats)
{
	const char *separator = "";

	fputs(",\n  \"requests\": {", stdout);
	for (unsigned int op = 1; op <= OFFLAY_OP_CONTROL; op++) {
		uint64_t n = stats->requests[op];

		printf("%s\"%s\": %" PRIu64, separator, trace_op_name(op), n);
		separator = ", ";
	}
	putchar('}');
}

void stats_print_json(const char *mount, const struct offlay_ioc_stats *stats)
{
	const struct stats_group *group;
	const struct stats_gauge *gauge;

	fputs("{\n  \"mount\": ", stdout);
	text_json(stdout, mount);
	for (size_t i = 0; (gauge = stats_gauge_at(i)); i++) {
		uint64_t value = stats->gauges[gauge->gauge];

		printf(",\n  \"%s\": ", gauge->key);
		if (gauge->unit == STATS_SWITCH)
			fputs(value ? "true" : "false", stdout);
		else if (gauge->unit == STATS_NSEC)
			printf("%" PRIu64 ".%09u", value / 1000000000,
			       (unsigned int)(value % 1000000000));
		else
			printf("%" PRIu64, value);
	}
	for (size_t i = 0; (group = stats_group_at(i)); i++)
		json_group(group, stats);
	json_latencies(stats);
	json_requests(stats);
	puts("\n}");
}
