/* SPDX-License-Identifier: MIT */
/* Refused copies whose system calls have not ended: a bounded table, pure. */
#ifndef OFFLAY_REFUSAL_TABLE_H
#define OFFLAY_REFUSAL_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What the kernel shows of a thread's system call: number, arguments, stack
 * and program counter, as text.  Equal lines while a refusal is armed mean
 * that the thread is still in the call that was refused.
 */
#define REFUSAL_CALL_SIZE 192
struct refusal_call {
	char text[REFUSAL_CALL_SIZE]; /* empty: cannot be seen */
};

/* One refused copy whose system call has not ended yet. */
struct refusal {
	pid_t tid; /* 0: a free slot */
	uint64_t src_fh, dst_fh;
	uint64_t src_offset, dst_offset, length;
	uint64_t deadline; /* nanoseconds, CLOCK_MONOTONIC */
	int err;	   /* that the caller is to see, negative */
	struct refusal_call call;
};

#define REFUSAL_SLOTS 64

/* A bounded table; one refusal a thread. */
struct refusal_table {
	pthread_mutex_t lock; /* guards @slots */
	atomic_uint armed;
	struct refusal slots[REFUSAL_SLOTS];
};

/* What a request of a thread means for its armed refusal. */
enum refusal_answer {
	REFUSAL_NONE,	 /* nothing: serve the request */
	REFUSAL_CERTAIN, /* answer it with the refusal */
	REFUSAL_LIKELY,	 /* so, if it carries the source's bytes */
};

/* Pure but for the table: time and system call come from outside. */

void refusal_table_init(struct refusal_table *table);
void refusal_table_done(struct refusal_table *table);
/* Return: false if there is no room. */
bool refusal_arm(struct refusal_table *table, const struct refusal *refusal,
		 uint64_t now);
void refusal_disarm(struct refusal_table *table, pid_t tid);
void refusal_disarm_handle(struct refusal_table *table, uint64_t fh);
/* Is there one that a READ or WRITE of @tid could carry?  Copies it out. */
bool refusal_find(struct refusal_table *table, pid_t tid, uint64_t now,
		  struct refusal *ret_refusal);
enum refusal_answer refusal_judge_read(const struct refusal *refusal,
				       uint64_t fh,
				       const struct refusal_call *call);
enum refusal_answer refusal_judge_write(const struct refusal *refusal,
					uint64_t fh, uint64_t offset,
					uint64_t size,
					const struct refusal_call *call);

#endif
