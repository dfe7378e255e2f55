// SPDX-License-Identifier: MIT
/* Tests of fs/cookie.c: who may use a cookie, how often and how long. */
#include <criterion/criterion.h>
#include <errno.h>

#include "cookie.h"

#define NSEC 1000000ull

static struct cookie_table table;

static void begin(void)
{
	cookie_table_init(&table);
}

static void end(void)
{
	cookie_table_done(&table);
}

TestSuite(cookie, .init = begin, .fini = end);

static void make(uint64_t fh, uid_t uid, uint64_t now, uint64_t ret_cookie[2])
{
	uint64_t random[2] = { fh * 77, ~fh };

	cr_assert_eq(cookie_make(&table, fh, uid, now, random, ret_cookie), 0);
}

Test(cookie, is_good_once)
{
	uint64_t cookie[2], fh = 0;

	make(5, 1000, 1, cookie);
	cr_expect_eq(cookie_use(&table, cookie, 1000, 2, &fh), 0);
	cr_expect_eq(fh, 5);
	cr_expect_eq(cookie_use(&table, cookie, 1000, 2, &fh), -ESTALE);
}

Test(cookie, is_good_for_its_user_alone)
{
	uint64_t cookie[2], fh;

	make(5, 1000, 1, cookie);
	cr_expect_eq(cookie_use(&table, cookie, 1001, 2, &fh), -ESTALE);
	cr_expect_eq(cookie_use(&table, cookie, 0, 2, &fh), -ESTALE);
	cr_expect_eq(cookie_use(&table, cookie, 1000, 2, &fh), 0);
}

Test(cookie, ends_with_its_time)
{
	uint64_t cookie[2], fh;

	make(5, 1000, 1, cookie);
	cr_expect_eq(cookie_use(&table, cookie, 1000, 1 + COOKIE_MSEC * NSEC,
				&fh),
		     -ESTALE);
	make(6, 1000, 1, cookie);
	cr_expect_eq(cookie_use(&table, cookie, 1000, COOKIE_MSEC * NSEC, &fh),
		     0);
}

Test(cookie, has_bits_that_all_count)
{
	uint64_t cookie[2], wrong[2], fh;

	make(5, 1000, 1, cookie);
	for (unsigned int bit = 0; bit < 128; bit++) {
		wrong[0] = cookie[0];
		wrong[1] = cookie[1];
		wrong[bit / 64] ^= 1ull << (bit % 64);
		cr_expect_eq(cookie_use(&table, wrong, 1000, 2, &fh), -ESTALE,
			     "bit %u", bit);
	}
	cr_expect_eq(cookie_use(&table, cookie, 1000, 2, &fh), 0);
	wrong[0] = wrong[1] = 0;
	cr_expect_eq(cookie_use(&table, wrong, 0, 2, &fh), -ESTALE);
}

/* The one who asks for too many loses the own oldest, nobody else's. */
Test(cookie, makes_room_at_the_users_own_expense)
{
	static uint64_t cookies[COOKIE_USER_MAX + 1][2];
	uint64_t other[2], fh;

	make(1, 7, 1, other);
	for (uint64_t i = 0; i <= COOKIE_USER_MAX; i++)
		make(10 + i, 1000, 2 + i, cookies[i]);
	cr_expect_eq(cookie_use(&table, other, 7, 500, &fh), 0);
	cr_expect_eq(cookie_use(&table, cookies[0], 1000, 500, &fh), -ESTALE);
	for (uint64_t i = 1; i <= COOKIE_USER_MAX; i++) {
		cr_assert_eq(cookie_use(&table, cookies[i], 1000, 500, &fh), 0);
		cr_expect_eq(fh, 10 + i);
	}
}

Test(cookie, has_a_limit_for_all_users_together)
{
	uint64_t cookie[2], random[2] = { 1, 2 };

	for (uint64_t i = 0; i < COOKIE_SLOTS; i++)
		make(i, (uid_t)(i / COOKIE_USER_MAX), 1, cookie);
	cr_expect_eq(cookie_make(&table, 1, 99, 2, random, cookie), -ENOMEM);
	/* Until the time of the others is over. */
	cr_expect_eq(cookie_make(&table, 1, 99, 1 + COOKIE_MSEC * NSEC, random,
				 cookie),
		     0);
}
