// SPDX-License-Identifier: MIT
/* Tests of fs/watch_first.c: which empty files wait for a source. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "watch_habit.h"

static const struct watch_who me = { .tid = 5, .pgid = 5, .uid = 8, .gid = 9 };

static struct watch_first found[WATCH_FIRSTS];
static struct watch_firsts firsts;

static void set_up(void)
{
	watch_firsts_init(&firsts);
}

static void tear_down(void)
{
	watch_firsts_done(&firsts);
}

TestSuite(watch_first, .init = set_up, .fini = tear_down);

static struct file new_file(void)
{
	return (struct file){ .fd = fileno(tmpfile()) };
}

Test(watch_first, finds_what_is_empty)
{
	struct file empty = new_file(), written = new_file();

	watch_first_add(&firsts, &empty, &me, 77);
	watch_first_add(&firsts, &written, &me, 78);
	cr_assert_eq(write(written.fd, "x", 1), 1);
	cr_assert_eq(watch_first_list(&firsts, &me, found), 1);
	cr_expect_eq(found[0].habit, 77);
	cr_expect_eq(found[0].who.tid, 5);
	watch_first_remove(&firsts, &empty);
	cr_assert_eq(watch_first_list(&firsts, &me, found), 0);
}

Test(watch_first, tells_nobody_what_he_may_not_know)
{
	const struct {
		struct watch_who opens, makes;
		bool finds;
	} rows[] = {
		{ me, me, true },
		{ { 6, 5, 8, 9 }, me, true },
		{ { 6, 6, 8, 9 }, me, false }, /* another group */
		{ { 6, 5, 7, 9 }, me, false }, /* user */
		{ { 6, 5, 8, 8 }, me, false }, /* group of users */
		{ me, { 6, 5, 0, 0 }, true },  /* root may */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct file file = new_file();

		watch_first_add(&firsts, &file, &rows[i].makes, 1);
		cr_expect_eq(watch_first_list(&firsts, &rows[i].opens, found),
			     rows[i].finds, "row %zu", i);
		watch_first_remove(&firsts, &file);
	}
}

Test(watch_first, keeps_the_last_ones)
{
	struct file files[WATCH_FIRSTS + 3];

	for (unsigned int i = 0; i < WATCH_FIRSTS + 3; i++) {
		files[i] = new_file();
		watch_first_add(&firsts, &files[i], &me, i);
	}
	cr_assert_eq(watch_first_list(&firsts, &me, found), WATCH_FIRSTS);
	for (unsigned int i = 0; i < WATCH_FIRSTS; i++)
		cr_expect_geq(found[i].habit, 3);
	/* One that has left already. */
	watch_first_remove(&firsts, &files[0]);
	cr_assert_eq(watch_first_list(&firsts, &me, found), WATCH_FIRSTS);
}
