/* SPDX-License-Identifier: MIT */
/* Cookies: names of open files that are short-lived and cannot be guessed. */
#ifndef OFFLAY_COOKIE_H
#define OFFLAY_COOKIE_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#define COOKIE_SLOTS	1024
#define COOKIE_USER_MAX 256 /* of one user; the oldest makes room */
#define COOKIE_MSEC	10000u

struct cookie_slot {
	uint64_t cookie[2];
	uint64_t fh;
	uint64_t until; /* nanoseconds; 0 is a free slot */
	uid_t uid;
};

/*
 * A cookie does not hold its file: the handle is a number, which is no longer
 * one when the file has been closed.
 */
struct cookie_table {
	pthread_mutex_t lock; /* guards all below */
	struct cookie_slot slots[COOKIE_SLOTS];
};

void cookie_table_init(struct cookie_table *table);
void cookie_table_done(struct cookie_table *table);

/*
 * Makes @random, 128 bits of it, a cookie of @uid for @fh; @now: monotonic
 * nanoseconds.  Return: 0, or -ENOMEM where other users have taken all.
 */
int cookie_make(struct cookie_table *table, uint64_t fh, uid_t uid,
		uint64_t now, const uint64_t random[2], uint64_t ret_cookie[2]);
/* Once only.  Return: 0, or -ESTALE. */
int cookie_use(struct cookie_table *table, const uint64_t cookie[2], uid_t uid,
	       uint64_t now, uint64_t *ret_fh);

#endif
