// SPDX-License-Identifier: MIT
/* Tests of fs/handover.c: to whom the processor is lent, and when it is not. */
#include <criterion/criterion.h>

#include "handover.h"

#define MSEC 1000000ull
#define A    100
#define B    200

static struct handover shared;
static struct handover_thread thread;
static uint64_t now;

static void init(void)
{
	shared = (struct handover){ .possible = true };
	thread = (struct handover_thread){ .shared = &shared };
	now = 1000 * MSEC;
}

TestSuite(handover, .init = init);

static enum handover_step ask(pid_t caller, bool was_waiting)
{
	const struct handover_request request = {
		.caller = caller,
		.was_waiting = was_waiting,
		.now = now,
	};

	now += MSEC / 10;
	return handover_next(&thread, &request);
}

/* Until a caller has been alone for long enough. */
static void alone(pid_t caller)
{
	cr_assert_eq(ask(caller, false), HANDOVER_NONE);
}

static void near(pid_t caller)
{
	alone(caller);
	cr_assert_eq(ask(caller, false), HANDOVER_LOOK);
	cr_assert(handover_found(&thread, true, now));
	cr_assert_eq(ask(caller, true), HANDOVER_LEND);
}

Test(handover, lends_to_a_caller_that_stays)
{
	near(A);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(ask(A, true), HANDOVER_LEND);
}

Test(handover, looks_again_where_it_had_to_sleep)
{
	near(A);
	cr_assert_eq(ask(A, false), HANDOVER_LOOK);
	cr_assert_not(handover_found(&thread, false, now));
	cr_assert_eq(ask(A, true), HANDOVER_LOOK);
}

Test(handover, lends_nothing_to_callers_that_take_turns)
{
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(ask(i % 2 ? A : B, true), HANDOVER_NONE);
}

Test(handover, does_not_count_what_nobody_waits_for)
{
	near(A);
	cr_assert_eq(ask(HANDOVER_NOBODY, true), HANDOVER_NONE);
	cr_assert_eq(ask(A, true), HANDOVER_LEND);
}

Test(handover, lends_nothing_where_somebody_unknown_waits)
{
	near(A);
	thread.lent_nsec = MSEC;
	cr_assert_eq(ask(HANDOVER_UNKNOWN, true), HANDOVER_NONE);
	cr_assert_not(thread.stays);
	cr_assert_gt(atomic_load(&shared.off_until), now);
	now = atomic_load(&shared.off_until);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(ask(HANDOVER_UNKNOWN, true), HANDOVER_NONE);
		cr_assert_eq(ask(A, true), HANDOVER_NONE);
	}
}

static enum handover_step ask_for_pages(pid_t caller)
{
	const struct handover_request request = { .caller = caller,
						  .is_for_pages = true,
						  .was_waiting = true,
						  .now = now };

	return handover_next(&thread, &request);
}

/* Pages may be read ahead, or somebody may wait for them. */
Test(handover, takes_pages_of_others_for_somebody_who_waits)
{
	near(A);
	cr_assert_eq(ask_for_pages(A), HANDOVER_NONE);
	cr_assert_eq(ask(A, true), HANDOVER_LEND);
	cr_assert_eq(ask_for_pages(B), HANDOVER_NONE);
	cr_assert_not(thread.is_near);
	cr_assert_eq(ask(A, true), HANDOVER_NONE);
}

Test(handover, begins_anew_with_a_caller_elsewhere)
{
	near(A);
	cr_assert_eq(ask(B, false), HANDOVER_LOOK);
	cr_assert_not(handover_found(&thread, false, now));
	cr_assert_not(thread.stays);
	cr_assert_eq(ask(B, true), HANDOVER_LOOK);
	cr_assert_not(handover_found(&thread, false, now));
	cr_assert(thread.stays);
	cr_assert_eq(ask(B, false), HANDOVER_LOOK);
	cr_assert(handover_found(&thread, true, now));
	cr_assert_eq(ask(B, true), HANDOVER_LEND);
}

/* As where one program waits for what another one does for it. */
Test(handover, lends_to_callers_of_one_processor)
{
	near(A);
	for (int i = 0; i < 100; i++) {
		thread.lent_nsec = MSEC;
		cr_assert_eq(ask(B, i % 2), HANDOVER_LOOK);
		cr_assert(handover_found(&thread, true, now));
		cr_assert_eq(ask(B, true), HANDOVER_LEND);
		cr_assert_eq(ask(A, true), HANDOVER_LOOK);
		cr_assert(handover_found(&thread, true, now));
	}
	cr_assert_eq(atomic_load(&shared.off_until), 0);
}

static unsigned int skipped(pid_t caller)
{
	unsigned int count = 0;

	while (ask(caller, false) == HANDOVER_NONE)
		cr_assert(++count < 1000);
	return count;
}

/* It goes there, and the caller is elsewhere again. */
static void follow_in_vain(pid_t caller)
{
	cr_assert_not(handover_found(&thread, false, now));
	cr_assert(thread.stays);
	cr_assert_eq(ask(caller, false), HANDOVER_LOOK);
	cr_assert_not(handover_found(&thread, false, now));
	cr_assert_not(thread.stays);
}

Test(handover, follows_in_vain_less_and_less_often)
{
	static const unsigned int skips[] = { 1, 3, 7, 15, 31, 63, 63 };

	alone(A);
	cr_assert_eq(ask(A, false), HANDOVER_LOOK);
	for (size_t i = 0; i < sizeof(skips) / sizeof(*skips); i++) {
		follow_in_vain(A);
		cr_assert_eq(skipped(A), skips[i]);
	}
	/* Once not in vain. */
	cr_assert_not(handover_found(&thread, false, now));
	cr_assert_eq(ask(A, false), HANDOVER_LOOK);
	cr_assert(handover_found(&thread, true, now));
	for (int i = 0; i < 4; i++)
		cr_assert_eq(ask(A, true), HANDOVER_LEND);
	cr_assert_eq(ask(A, false), HANDOVER_LOOK);
	follow_in_vain(A);
	cr_assert_eq(skipped(A), 1);
}

Test(handover, gives_up_where_it_cannot_go)
{
	alone(A);
	cr_assert_eq(ask(A, false), HANDOVER_LOOK);
	handover_missed(&thread);
	cr_assert_not(thread.stays);
	cr_assert_eq(skipped(A), 1);
	handover_missed(&thread);
	cr_assert_eq(skipped(A), 3);
}

/* How long nothing is lent from now on, in milliseconds. */
static uint64_t pause_ms(pid_t caller)
{
	uint64_t start = now;

	while (ask(caller, true) == HANDOVER_NONE)
		cr_assert(now < start + 60000 * MSEC);
	return (now - start) / MSEC;
}

Test(handover, stops_where_another_caller_had_to_wait)
{
	static const struct {
		pid_t caller;
		bool was_waiting;
		uint64_t lent_nsec;
		bool pauses;
	} rows[] = {
		{ B, true, MSEC, true },
		{ B, true, MSEC / 10, false },
		{ B, false, MSEC, false },
		{ A, true, MSEC, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		init();
		near(A);
		thread.lent_nsec = rows[i].lent_nsec;
		if (ask(rows[i].caller, rows[i].was_waiting) == HANDOVER_LOOK)
			handover_found(&thread, false, now);
		cr_expect_eq(atomic_load(&shared.off_until) > now,
			     rows[i].pauses, "row %zu", i);
	}
}

Test(handover, pauses_longer_each_time_others_had_to_wait)
{
	uint64_t last = 0;

	near(A);
	for (int i = 0; i < 12; i++) {
		uint64_t pause;

		atomic_store(&thread.rescued, true);
		pause = pause_ms(A);
		cr_expect_geq(pause, last > 5000 ? 9990 : last * 19 / 10);
		cr_expect_leq(pause, 10001);
		last = pause;
	}
	cr_expect_geq(last, 9990);
	/* After a long time without: as the first time. */
	now += 1000000 * MSEC;
	atomic_store(&thread.rescued, true);
	cr_expect_leq(pause_ms(A), 51);
}

Test(handover, pauses_briefly_where_a_caller_was_only_busy)
{
	near(A);
	for (int i = 0; i < 12; i++) {
		uint64_t start = now;

		atomic_store(&thread.rescued, true);
		while (ask(A, false) == HANDOVER_NONE)
			cr_assert(now < start + 1000 * MSEC);
		cr_expect_leq((now - start) / MSEC, 101, "%d", i);
		handover_found(&thread, true, now);
	}
}

/* Of two threads that were rescued at once, say. */
Test(handover, shortens_no_pause_by_another_harm)
{
	uint64_t until;

	near(A);
	for (int i = 0; i < 6; i++) {
		atomic_store(&thread.rescued, true);
		pause_ms(A);
	}
	atomic_store(&thread.rescued, true);
	ask(A, true);
	until = atomic_load(&shared.off_until);
	cr_assert_gt(until, now + 1000 * MSEC);
	atomic_store(&thread.rescued, true);
	ask(A, false);
	cr_assert_eq(atomic_load(&shared.off_until), until);
	atomic_store(&thread.rescued, true);
	ask(A, true);
	cr_assert_gt(atomic_load(&shared.off_until), until);
}

/* As short programs do that run one after another. */
Test(handover, follows_callers_that_leave_soon_less_often)
{
	unsigned int moves = 0;

	for (pid_t pid = 1; pid < 300; pid++) {
		bool is_here = false;

		for (int i = 0; i < 4; i++) {
			if (ask(pid, false) != HANDOVER_LOOK)
				continue;
			if (handover_found(&thread, is_here, now) || is_here)
				continue;
			is_here = thread.stays;
			moves += is_here;
		}
	}
	cr_assert_gt(moves, 3);
	cr_assert_leq(moves, 30, "%u", moves);
}
