// SPDX-License-Identifier: MIT
/* offlay stats: exact counts of known work, in every format. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "observe.h"
#include "offlay_odx.h"
#include "sample.h"

#define EACH(stats, stat) ((stats).counters[OFFLAY_STAT_##stat])

static void expect_work(const struct offlay_ioc_stats *stats, uint64_t n)
{
	const struct offlay_latency *latency =
		&stats->latencies[OFFLAY_OP_COPY];

	cr_expect_eq(stats->requests[OFFLAY_OP_COPY], 3 * n);
	cr_expect_eq(EACH(*stats, COPIES_CLONED), 2 * n);
	cr_expect_eq(EACH(*stats, COPIES_REFUSED), n);
	cr_expect_eq(EACH(*stats, COPIES_MOVED), 0);
	cr_expect_eq(EACH(*stats, COPIES_FAILED), 0);
	cr_expect_eq(EACH(*stats, BYTES_SHARED),
		     n * (OBSERVE_SIZE + OBSERVE_ODD_MID));
	cr_expect_eq(EACH(*stats, BYTES_MOVED),
		     n * (OBSERVE_ODD - OBSERVE_ODD_MID));
	cr_expect_eq(EACH(*stats, BYTES_REFUSED), n * OBSERVE_SIZE);
	cr_expect_eq(EACH(*stats, REFUSED_SRC), n, "sparse sources");
	cr_expect_eq(EACH(*stats, REFUSED_DST), 0, "sparse destinations");
	cr_expect_eq(EACH(*stats, ANSWERED_EOPNOTSUPP) +
			     EACH(*stats, ANSWERED_EINVAL),
		     n);
	cr_expect_eq(latency->count, 3 * n);
	cr_expect_gt(latency->sum, 0);
	cr_expect_leq(latency->max, latency->sum);
	cr_expect_eq(stats->requests[OFFLAY_OP_CREATE], OBSERVE_THREADS);
	cr_expect_eq(stats->requests[OFFLAY_OP_OPEN], 2 * OBSERVE_THREADS);
	cr_expect_eq(EACH(*stats, OPENS_PASSTHROUGH) +
			     EACH(*stats, OPENS_DIRECT) +
			     EACH(*stats, OPENS_CACHED),
		     3 * OBSERVE_THREADS);
}

static void count_in_mode(enum mount_mode mode)
{
	unsigned int rounds = (unsigned int)sample_amount(10, 50, 500);
	struct offlay_ioc_stats stats;
	struct observe_place place;

	observe_open(mode, NULL, &place);
	observe_work(&place, rounds);
	observe_stats(&place, &stats);
	expect_work(&stats, (uint64_t)rounds * OBSERVE_THREADS);
	cr_expect_eq(stats.gauges[OFFLAY_GAUGE_PASSTHROUGH],
		     mode == MODE_PASSTHROUGH);
	cr_expect_eq(EACH(stats, OPENS_CACHED) == 0, mode == MODE_PASSTHROUGH);
	cr_expect_eq(stats.gauges[OFFLAY_GAUGE_PID], (uint64_t)place.mount.pid);
	cr_expect_gt(stats.gauges[OFFLAY_GAUGE_RESIDENT_BYTES], 1 << 20);
	cr_expect_gt(stats.gauges[OFFLAY_GAUGE_DESCRIPTORS_MAX], 0);
	/* The root, the two sources and the eight copies. */
	cr_expect_eq(stats.gauges[OFFLAY_GAUGE_INODES], 3 + OBSERVE_THREADS);
	observe_close(&place);
}

Test(stats, counts_eight_threads_exactly, .timeout = 120)
{
	count_in_mode(MODE_PASSTHROUGH);
}

Test(stats, counts_eight_threads_exactly_without_passthrough, .timeout = 120)
{
	count_in_mode(MODE_NO_PASSTHROUGH);
}

/* Ineligible, and copied by hand all the same. */
Test(stats, counts_what_is_copied_by_hand, .timeout = 60)
{
	struct offlay_ioc_stats stats;
	struct observe_place place;
	int src, dst;

	observe_open(MODE_PASSTHROUGH, "refuse=copy", &place);
	src = observe_file(&place, "holes", O_RDONLY);
	dst = observe_file(&place, "copy", O_RDWR | O_CREAT);
	cr_assert_eq(observe_copy(src, 0, dst, 0, OBSERVE_SIZE), OBSERVE_SIZE);
	observe_stats(&place, &stats);
	cr_expect_eq(EACH(stats, COPIES_MOVED), 1);
	cr_expect_eq(EACH(stats, COPIES_REFUSED), 0);
	cr_expect_eq(EACH(stats, REFUSED_SRC), 0);
	/* Half of it is a hole, but for the block at its end. */
	cr_expect_eq(EACH(stats, BYTES_MOVED) + EACH(stats, BYTES_HOLES),
		     OBSERVE_SIZE);
	cr_expect_eq(EACH(stats, BYTES_HOLES), OBSERVE_SIZE / 2 - 4096);
	close(src);
	close(dst);
	observe_close(&place);
}

/* The storage cannot share what is not aligned, and nothing else is allowed. */
Test(stats, counts_what_the_storage_declines, .timeout = 60)
{
	struct offlay_ioc_stats stats;
	struct observe_place place;
	int src, dst;

	observe_open(MODE_PASSTHROUGH, "offload=clone", &place);
	src = observe_file(&place, "data", O_RDONLY);
	dst = observe_file(&place, "copy", O_RDWR | O_CREAT);
	cr_assert_eq(observe_copy(src, 0, dst, 0, OBSERVE_SIZE), OBSERVE_SIZE);
	cr_assert_lt(observe_copy(src, 1, dst, 2, OBSERVE_ODD), 0);
	observe_stats(&place, &stats);
	cr_expect_eq(EACH(stats, COPIES_CLONED), 1);
	cr_expect_eq(EACH(stats, COPIES_DECLINED), 1);
	cr_expect_eq(EACH(stats, COPIES_REFUSED), 0);
	cr_expect_eq(EACH(stats, BYTES_REFUSED), OBSERVE_ODD);
	close(src);
	close(dst);
	observe_close(&place);
}

static void count_tokens(enum mount_mode mode)
{
	struct offlay_odx_range range = { .length = OBSERVE_SIZE };
	struct offlay_ioc_stats stats;
	struct observe_place place;
	struct offlay_token token;
	uint64_t length;
	uint32_t flags;
	int src, dst, holes;

	observe_open(mode, NULL, &place);
	src = observe_file(&place, "data", O_RDONLY);
	holes = observe_file(&place, "holes", O_RDONLY);
	dst = observe_file(&place, "copy", O_RDWR | O_CREAT);
	cr_assert_eq(ftruncate(dst, OBSERVE_SIZE), 0);
	cr_assert_eq(
		offlay_odx_read(src, &range, &token, &length, &flags, NULL), 0);
	observe_stats(&place, &stats);
	cr_expect_eq(stats.gauges[OFFLAY_GAUGE_TOKENS], 1);
	cr_expect_eq(stats.gauges[OFFLAY_GAUGE_TOKEN_BYTES], OBSERVE_SIZE);
	cr_assert_eq(offlay_odx_write(dst, &range, &token, &length, NULL), 0);
	cr_assert_eq(offlay_odx_drop(dst, &token, NULL), 0);
	cr_assert_eq(offlay_odx_drop(dst, &token, NULL), -ESTALE);
	cr_assert_eq(offlay_odx_read(holes, &range, &token, &length, NULL,
				     NULL),
		     -EOPNOTSUPP);
	observe_stats(&place, &stats);
	cr_expect_eq(EACH(stats, TOKENS_MADE), 1);
	cr_expect_eq(EACH(stats, TOKENS_WRITTEN), 1);
	cr_expect_eq(EACH(stats, TOKENS_DROPPED), 1);
	cr_expect_eq(EACH(stats, TOKENS_FAILED), 1);
	cr_expect_eq(EACH(stats, TOKENS_REFUSED), 1);
	cr_expect_eq(EACH(stats, REFUSED_SRC), 1);
	cr_expect_eq(EACH(stats, BYTES_SHARED), OBSERVE_SIZE);
	cr_expect_eq(EACH(stats, BYTES_REFUSED), OBSERVE_SIZE);
	cr_expect_eq(stats.requests[OFFLAY_OP_TOKEN_READ], 2);
	cr_expect_eq(stats.latencies[OFFLAY_OP_TOKEN_DROP].count, 2);
	cr_expect_eq(stats.gauges[OFFLAY_GAUGE_TOKENS], 0);
	close(src);
	close(dst);
	close(holes);
	observe_close(&place);
}

Test(stats, counts_tokens, .timeout = 60)
{
	count_tokens(MODE_PASSTHROUGH);
}

/* There another thread than the one that got the request answers it. */
Test(stats, counts_tokens_without_passthrough, .timeout = 60)
{
	count_tokens(MODE_NO_PASSTHROUGH);
}

static void count_clones(enum mount_mode mode)
{
	struct offlay_ioc_stats stats;
	struct observe_place place;
	uint64_t deduped;
	int src, dst, holes;

	observe_open(mode, NULL, &place);
	src = observe_file(&place, "data", O_RDONLY);
	holes = observe_file(&place, "holes", O_RDONLY);
	dst = observe_file(&place, "copy", O_RDWR | O_CREAT);
	cr_assert_eq(offlay_clone_range(src, 0, dst, 0, 0), 0);
	cr_assert_eq(offlay_clone_range(holes, 0, dst, 0, 4096), -EOPNOTSUPP);
	cr_assert_eq(offlay_dedupe_range(src, 0, dst, 0, 65536, &deduped), 0);
	cr_assert_eq(offlay_dedupe_range(src, 0, dst, 65536, 65536, &deduped),
		     -EBADE);
	observe_stats(&place, &stats);
	cr_expect_eq(EACH(stats, COPIES_CLONED), 2);
	cr_expect_eq(EACH(stats, COPIES_REFUSED), 1);
	cr_expect_eq(EACH(stats, COPIES_DIFFER), 1);
	cr_expect_eq(EACH(stats, BYTES_SHARED), OBSERVE_SIZE + 65536);
	cr_expect_eq(EACH(stats, BYTES_REFUSED), 4096);
	cr_expect_eq(stats.requests[OFFLAY_OP_CLONE], 2);
	cr_expect_eq(stats.requests[OFFLAY_OP_DEDUPE], 2);
	cr_expect_eq(stats.latencies[OFFLAY_OP_CLONE].count, 2);
	close(src);
	close(dst);
	close(holes);
	observe_close(&place);
}

Test(stats, counts_clones, .timeout = 60)
{
	count_clones(MODE_PASSTHROUGH);
}

Test(stats, counts_clones_without_passthrough, .timeout = 60)
{
	count_clones(MODE_NO_PASSTHROUGH);
}

Test(stats, prints_a_table_and_json, .timeout = 60)
{
	char path[PATH_MAX], line[PATH_MAX + 64];
	struct command_result result;
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	observe_work(&place, 2);
	observe_tool(&place, NULL, "stats \"$1\" | tr -s ' '", &result);
	cr_expect_str_empty(result.err);
	cr_expect_not_null(strstr(result.out, "Copies\n cloned 32\n"), "%s",
			   result.out);
	cr_expect_not_null(strstr(result.out, "Sources refused\n sparse 16\n"),
			   "%s", result.out);
	cr_expect_null(strstr(result.out, "Tokens\n"));
	/* Any file of the mount stands for it. */
	volume_path(path, place.dir, "json");
	snprintf(line, sizeof(line),
		 "stats --json \"$1/data\" | tr -d '\\n' "
		 ">'%s'",
		 path);
	cr_assert_eq(observe_tool(&place, NULL, line, &result), 0);
	observe_json(path,
		     "e = events[0]\n"
		     "print(e['copies']['cloned'], e['copies']['refused'],\n"
		     "      e['bytes']['shared'], e['refused_sources'],\n"
		     "      e['passthrough'], e['requests']['copy'],\n"
		     "      e['latencies']['copy']['count'],\n"
		     "      e['latencies']['copy']['p50_usec'] > 0,\n"
		     "      e['latencies']['copy']['p99_usec'] >=\n"
		     "      e['latencies']['copy']['p50_usec'],\n"
		     "      sum(n for low, high, n in\n"
		     "          e['latencies']['copy']['histogram']\n"
		     "          if low < high))",
		     "32 16 18284544 {'sparse': 16, 'encrypted': 0, "
		     "'compressed': 0} True 48 48 True True 48\n");
	observe_close(&place);
}

Test(stats, prints_what_prometheus_reads, .timeout = 60)
{
	static const struct {
		const char *name, *labels;
		double value;
	} rows[] = {
		{ "copies_total", "result=\"cloned\"", 16 },
		{ "duration_seconds_count", "op=\"copy\"", 24 },
		{ "refusals_total", "reason=\"sparse\",side=\"source\"", 8 },
	};
	char text[sizeof(((struct command_result *)0)->out) * 4];
	char path[PATH_MAX], line[PATH_MAX + 64], name[PATH_MAX + 128];
	struct command_result result;
	struct observe_place place;
	ssize_t n;
	int fd;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	observe_work(&place, 1);
	volume_path(path, place.dir, "exposition");
	snprintf(line, sizeof(line), "stats --prometheus \"$1\" >'%s'", path);
	cr_assert_eq(observe_tool(&place, NULL, line, &result), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	cr_assert_gt(n, 1000);
	text[n] = '\0';
	cr_expect(exposition_is_valid(text, name, sizeof(name)), "%s", name);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(name, sizeof(name), "offlay_%s{mount=\"%s\",%s}",
			 rows[i].name, place.mount.point, rows[i].labels);
		cr_expect_eq(exposition_value(text, name), rows[i].value, "%s",
			     name);
	}
	observe_close(&place);
}

/* The reader of the last test turns down what is no exposition. */
Test(stats, knows_a_broken_exposition)
{
#define HEAD	  "# HELP a x\n# TYPE a counter\n"
#define HISTOGRAM "# HELP a x\n# TYPE a histogram\n"
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ HEAD "a{b=\"c\\\\\\\"\\n\"} 1\n", true },
		{ HEAD "a 1\na{b=\"\"} 1.5e3\n", true },
		{ HISTOGRAM "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\n"
			    "a_sum 3\na_count 2\n",
		  true },
		{ "a 1\n", false },
		{ HEAD "a 1", false },
		{ HEAD "b 1\n", false },
		{ HEAD "a_total 1\n", false },
		{ HEAD "a -1\n", false },
		{ HEAD "a x\n", false },
		{ HEAD "a 1\na 2\n", false },
		{ HEAD "a{b=c} 1\n", false },
		{ HEAD "a{b=\"\\x\"} 1\n", false },
		{ HEAD "a{1=\"c\"} 1\n", false },
		{ "# TYPE a counter\na 1\n", false },
		{ "# HELP a x\n# TYPE a number\na 1\n", false },
		{ HEAD "a 1\n" HEAD "a{b=\"c\"} 1\n", false },
		{ HISTOGRAM "a_bucket{le=\"1\"} 1\na_sum 3\na_count 1\n",
		  false },
		{ HISTOGRAM "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n",
		  false },
		{ HISTOGRAM "a_bucket{le=\"+Inf\"} 2\na_sum 3\na_count 1\n",
		  false },
		{ HISTOGRAM "a_bucket 2\n", false },
	};
	char why[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(exposition_is_valid(rows[i].text, why,
						 sizeof(why)),
			     rows[i].good, "row %zu", i);
}

Test(stats, answers_a_wrong_question_with_its_error, .timeout = 60)
{
	struct offlay_ioc_stats stats = { .version = OFFLAY_ABI_VERSION + 1 };
	struct command_result result;
	struct observe_place place;
	int fd;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	fd = observe_file(&place, "data", O_RDONLY);
	cr_expect(ioctl(fd, OFFLAY_IOC_STATS, &stats) < 0 &&
		  errno == EOPNOTSUPP);
	stats.version = OFFLAY_ABI_VERSION;
	stats.flags = 1;
	cr_expect(ioctl(fd, OFFLAY_IOC_STATS, &stats) < 0 && errno == EINVAL);
	stats.flags = 0;
	stats.reserved[2] = 1;
	cr_expect(ioctl(fd, OFFLAY_IOC_STATS, &stats) < 0 && errno == EINVAL);
	close(fd);
	cr_expect_eq(observe_tool(&place, NULL, "stats", &result), 2);
	cr_expect_eq(observe_tool(&place, NULL, "stats \"$1\" /", &result), 2);
	cr_expect_eq(observe_tool(&place, NULL, "stats --no \"$1\"", &result),
		     2);
	cr_expect_eq(observe_tool(&place, NULL, "stats /tmp", &result), 1);
	cr_expect_not_null(strstr(result.err, "not on an offlayfs mount"));
	cr_expect_eq(observe_tool(&place, NULL, "stats \"$1\" >/dev/full",
				  &result),
		     1);
	observe_close(&place);
}

/* Counters name nobody, so that everybody may see them. */
Test(stats, are_for_everybody, .timeout = 60)
{
	struct user other = { .uid = 4711, .gid = 4711 };
	struct command_result result;
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	cr_expect_eq(observe_tool(&place, &other, "stats \"$1\"", &result), 0,
		     "%s", result.err);
	observe_close(&place);
}

VOLUME_MAIN;
