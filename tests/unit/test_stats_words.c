// SPDX-License-Identifier: MIT
/* Tests of tools/stats_words.c: each counter once, by a name that fits. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

#include "mount_stats.h"
#include "offlay.h"

static bool is_name(const char *text)
{
	for (; *text; text++)
		if (!islower((unsigned char)*text) && *text != '_')
			return false;
	return true;
}

Test(stats_words, name_every_counter_once)
{
	const struct stats_group *group;
	unsigned int seen[OFFLAY_STAT_COUNT] = { 0 };

	for (size_t i = 0; (group = stats_group_at(i)); i++) {
		cr_expect(is_name(group->key), "%s", group->key);
		cr_expect(is_name(group->family), "%s", group->family);
		cr_expect_eq(strncmp(group->family, "offlay_", 7), 0);
		cr_expect_str_eq(group->family + strlen(group->family) - 6,
				 "_total");
		cr_expect(is_name(group->label), "%s", group->label);
		for (const struct stats_word *word = group->words; word->name;
		     word++) {
			cr_assert_lt(word->stat, OFFLAY_STAT_COUNT);
			seen[word->stat]++;
		}
	}
	for (unsigned int i = 0; i < OFFLAY_STAT_COUNT; i++)
		cr_expect_leq(seen[i], 1, "counter %u", i);
	cr_expect_eq(seen[OFFLAY_STAT_COPIES_CLONED], 1);
}

/* What a policy denies, and nothing else, is counted as a reason. */
Test(stats_words, name_the_reasons_of_a_policy)
{
	const struct stats_group *group;
	uint32_t reasons[2] = { 0 };

	for (size_t i = 0; (group = stats_group_at(i)); i++) {
		bool is_src = strstr(group->extra, "source") != NULL;
		unsigned int first = is_src ? OFFLAY_STAT_REFUSED_SRC
					    : OFFLAY_STAT_REFUSED_DST;

		if (strcmp(group->family, "offlay_refusals_total"))
			continue;
		for (const struct stats_word *word = group->words; word->name;
		     word++) {
			cr_expect_str_eq(
				word->name,
				offlay_reason_name(word->stat - first));
			reasons[is_src] |= 1u << (word->stat - first);
		}
	}
	cr_expect_eq(reasons[0], OFFLAY_REASONS_POLICY);
	cr_expect_eq(reasons[1], OFFLAY_REASONS_POLICY);
}

Test(stats_words, name_every_gauge_once)
{
	const struct stats_gauge *gauge;
	unsigned int seen[OFFLAY_GAUGE_COUNT] = { 0 };

	for (size_t i = 0; (gauge = stats_gauge_at(i)); i++) {
		cr_assert_lt(gauge->gauge, OFFLAY_GAUGE_COUNT);
		cr_expect(is_name(gauge->key), "%s", gauge->key);
		cr_expect(is_name(gauge->family), "%s", gauge->family);
		seen[gauge->gauge]++;
	}
	for (unsigned int i = 0; i <= OFFLAY_GAUGE_RESIDENT_BYTES; i++)
		cr_expect_eq(seen[i], 1, "gauge %u", i);
}

Test(stats_words, put_times_in_a_unit_that_fits)
{
	char buf[STATS_TIME_MAX];

	cr_expect_str_eq(stats_time(0, buf), "0 ns");
	cr_expect_str_eq(stats_time(999, buf), "999 ns");
	cr_expect_str_eq(stats_time(1000, buf), "1.0 us");
	cr_expect_str_eq(stats_time(1500000, buf), "1.5 ms");
	cr_expect_str_eq(stats_time(90000000000, buf), "1.5 min");
	cr_expect_str_eq(stats_time(UINT64_MAX, buf), "213504.0 d");
}
