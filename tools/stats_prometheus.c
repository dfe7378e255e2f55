// SPDX-License-Identifier: MIT
/* The counters of a mount in Prometheus' text format, version 0.0.4. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "mount_stats.h"
#include "stats.h"
#include "trace.h"

/* The value of a label: UTF-8, whatever the path is made of. */
static void put_value(const char *text)
{
	const unsigned char *in = (const unsigned char *)text;

	while (*in) {
		size_t length = json_utf8_length(in);

		if (!length) {
			fputs("\xef\xbf\xbd", stdout); /* U+FFFD */
			length = 1;
		} else if (*in == '\n') {
			fputs("\\n", stdout);
		} else {
			if (*in == '"' || *in == '\\')
				putchar('\\');
			fwrite(in, 1, length, stdout);
		}
		in += length;
	}
}

/* A family of metrics, of which only the labels differ. */
struct family {
	const char *mount;
	const char *name;
};

static void begin(struct family *family, const char *name, const char *type,
		  const char *help)
{
	/* Groups of one family are one family. */
	if (family->name && !strcmp(family->name, name))
		return;
	family->name = name;
	printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The name and labels of a sample; the caller prints its value. */
static void sample(const struct family *family, const char *suffix,
		   const char *label, const char *value)
{
	printf("%s%s{mount=\"", family->name, suffix);
	put_value(family->mount);
	putchar('"');
	if (label)
		printf(",%s=\"%s\"", label, value);
}

static void put_number(uint64_t value)
{
	printf("} %" PRIu64 "\n", value);
}

static void put_seconds(uint64_t nsec)
{
	printf("%" PRIu64 ".%09u", nsec / 1000000000,
	       (unsigned int)(nsec % 1000000000));
}

static void print_gauges(struct family *family,
			 const struct offlay_ioc_stats *stats)
{
	const struct stats_gauge *gauge;

	for (size_t i = 0; (gauge = stats_gauge_at(i)); i++) {
		uint64_t value = stats->gauges[gauge->gauge];

		begin(family, gauge->family, "gauge", gauge->help);
		sample(family, "", NULL, NULL);
		if (gauge->unit != STATS_NSEC) {
			put_number(value);
			continue;
		}
		fputs("} ", stdout);
		put_seconds(value);
		putchar('\n');
	}
}

static void print_groups(struct family *family,
			 const struct offlay_ioc_stats *stats)
{
	const struct stats_group *group;
	const struct stats_word *word;

	for (size_t i = 0; (group = stats_group_at(i)); i++) {
		begin(family, group->family, "counter", group->help);
		for (word = group->words; word->name; word++) {
			sample(family, "", group->label, word->name);
			if (*group->extra)
				printf(",%s", group->extra);
			put_number(stats->counters[word->stat]);
		}
	}
}

static void print_requests(struct family *family,
			   const struct offlay_ioc_stats *stats)
{
	begin(family, "offlay_requests_total", "counter",
	      "Requests of the kernel that the daemon answered.");
	for (unsigned int op = 1; op <= OFFLAY_OP_CONTROL; op++) {
		sample(family, "", "op", trace_op_name(op));
		put_number(stats->requests[op]);
	}
}

/* Whole powers of two are enough here. */
static void print_histogram(const struct family *family, unsigned int op,
			    const struct offlay_latency *latency)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < OFFLAY_LATENCY_BUCKETS - 1; i++) {
		sum += latency->buckets[i];
		if (i % 4)
			continue;
		sample(family, "_bucket", "op", trace_op_name(op));
		fputs(",le=\"", stdout);
		put_seconds(stats_bucket_start(i + 1));
		putchar('"');
		put_number(sum);
	}
	sample(family, "_bucket", "op", trace_op_name(op));
	fputs(",le=\"+Inf\"", stdout);
	put_number(latency->count);
	sample(family, "_sum", "op", trace_op_name(op));
	fputs("} ", stdout);
	put_seconds(latency->sum);
	putchar('\n');
	sample(family, "_count", "op", trace_op_name(op));
	put_number(latency->count);
}

void stats_print_prometheus(const char *mount,
			    const struct offlay_ioc_stats *stats)
{
	struct family family = { .mount = mount };

	print_gauges(&family, stats);
	print_groups(&family, stats);
	print_requests(&family, stats);
	begin(&family, "offlay_duration_seconds", "histogram",
	      "Time to answer a request that concerns copying.");
	for (unsigned int op = 1; op < OFFLAY_OP_OTHERS; op++)
		print_histogram(&family, op, &stats->latencies[op]);
}
