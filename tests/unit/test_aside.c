// SPDX-License-Identifier: MIT
/* Tests of fs/aside.c: jobs run elsewhere, side by side, and all of them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "aside.h"

#define JOBS 200

static atomic_uint n_run, n_inside;
static pthread_t caller;

static void run(struct aside_job *job)
{
	(void)job;
	cr_expect(!pthread_equal(caller, pthread_self()));
	atomic_fetch_add(&n_run, 1);
}

Test(aside, runs_each_job_before_it_ends)
{
	static struct aside_job jobs[JOBS];
	struct aside *aside;

	caller = pthread_self();
	cr_assert_eq(aside_new(&aside), 0);
	for (int i = 0; i < JOBS; i++) {
		jobs[i].run = run;
		cr_assert_eq(aside_queue(aside, &jobs[i]), 0);
	}
	aside_stop(aside);
	cr_expect_eq(atomic_load(&n_run), JOBS);
	cr_expect_eq(aside_queue(aside, &jobs[0]), -ENOMEM);
	aside_free(aside);
	aside_free(NULL);
}

/* Ends only when both are inside. */
static void meet(struct aside_job *job)
{
	(void)job;
	atomic_fetch_add(&n_inside, 1);
	while (atomic_load(&n_inside) < 2)
		usleep(100);
}

Test(aside, runs_jobs_side_by_side, .timeout = 30)
{
	struct aside_job jobs[2] = { { .run = meet }, { .run = meet } };
	struct aside *aside;

	cr_assert_eq(aside_new(&aside), 0);
	cr_assert_eq(aside_queue(aside, &jobs[0]), 0);
	cr_assert_eq(aside_queue(aside, &jobs[1]), 0);
	aside_free(aside);
	cr_expect_eq(atomic_load(&n_inside), 2);
}
