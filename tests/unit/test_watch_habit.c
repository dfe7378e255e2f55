// SPDX-License-Identifier: MIT
/* Tests of fs/watch_habit.c: whose files are watched, and whose are not. */
#include <criterion/criterion.h>

#include "watch_habit.h"

static unsigned int skipped(struct watch_habits *habits, uint64_t key)
{
	unsigned int count = 0;

	while (!watch_habit_allows(habits, key))
		count++;
	return count;
}

Test(watch_habit, lets_a_program_alone_for_longer_and_longer)
{
	static const unsigned int skips[] = { 4, 16, 64, 256, 256 };
	struct watch_habits habits;

	watch_habits_init(&habits);
	for (size_t i = 0; i < sizeof(skips) / sizeof(*skips); i++) {
		cr_assert(watch_habit_allows(&habits, 7));
		watch_habit_learn(&habits, 7, false);
		cr_assert_eq(skipped(&habits, 7), skips[i]);
	}
	watch_habits_done(&habits);
}

Test(watch_habit, forgives_one_that_copies)
{
	struct watch_habits habits;

	watch_habits_init(&habits);
	for (int i = 0; i < 3; i++)
		watch_habit_learn(&habits, 7, false);
	watch_habit_learn(&habits, 7, true);
	cr_assert_eq(skipped(&habits, 7), 0);
	watch_habit_learn(&habits, 7, false);
	cr_assert_eq(skipped(&habits, 7), 4);
	watch_habits_done(&habits);
}

Test(watch_habit, remembers_who_runs_what_for_a_moment)
{
	struct watch_habits habits;
	uint64_t key = 0;

	watch_habits_init(&habits);
	cr_assert(!watch_habit_find(&habits, 5, 1000, &key));
	watch_habit_keep(&habits, 5, 1000, 77);
	cr_assert(watch_habit_find(&habits, 5, 1000 + 9999999, &key));
	cr_assert_eq(key, 77);
	cr_assert(!watch_habit_find(&habits, 5, 1000 + 10000000, &key));
	cr_assert(!watch_habit_find(&habits, 5 + WATCH_RUNNERS, 1000, &key));
	watch_habits_done(&habits);
}

Test(watch_habit, tells_programs_apart)
{
	struct watch_habits habits;

	watch_habits_init(&habits);
	watch_habit_learn(&habits, 7, false);
	cr_assert(watch_habit_allows(&habits, 8));
	cr_assert(watch_habit_allows(&habits, 7 + WATCH_HABITS));
	/* The same slot: the new one is known, the old one forgotten. */
	watch_habit_learn(&habits, 7 + WATCH_HABITS, false);
	cr_assert(watch_habit_allows(&habits, 7));
	cr_assert(!watch_habit_allows(&habits, 7 + WATCH_HABITS));
	watch_habits_done(&habits);
}

Test(watch_habit, expects_only_what_was_seen)
{
	struct watch_habits habits;

	watch_habits_init(&habits);
	cr_assert(!watch_habit_expects(&habits, 7));
	watch_habit_begin(&habits, 7);
	cr_assert(watch_habit_expects(&habits, 7));
	cr_assert(watch_habit_expects(&habits, 7));
	cr_assert(!watch_habit_expects(&habits, 8));
	watch_habit_learn(&habits, 7, false);
	for (int i = 0; i < 4; i++) {
		/* That it is seen again makes nothing undone. */
		watch_habit_begin(&habits, 7);
		cr_assert(!watch_habit_expects(&habits, 7));
	}
	cr_assert(watch_habit_expects(&habits, 7));
	watch_habits_done(&habits);
}
