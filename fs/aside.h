/* SPDX-License-Identifier: MIT */
/* Threads for requests that must not run where requests are served. */
#ifndef OFFLAY_ASIDE_H
#define OFFLAY_ASIDE_H

/*
 * The kernel waits for locked and dirty pages when it is told to drop them,
 * and these wait for the threads that serve requests.  Whoever drops pages in
 * the middle of a request does it on one of these threads.
 */
struct aside;

struct aside_job {
	struct aside_job *next;
	void (*run)(struct aside_job *job); /* takes the job */
};

int aside_new(struct aside **ret_aside);
/*
 * Return: 0, or -ENOMEM where there is no thread: the job is still the
 * caller's then.  There are no more jobs than requests in the kernel.
 */
int aside_queue(struct aside *aside, struct aside_job *job);
/* Ends when all jobs have; before the tables of files and inodes go away. */
void aside_stop(struct aside *aside);
void aside_free(struct aside *aside); /* takes NULL */

#endif
