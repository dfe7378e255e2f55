/* SPDX-License-Identifier: MIT */
/* How a refused copy reaches its caller; see refusal.c. */
#ifndef OFFLAY_REFUSAL_H
#define OFFLAY_REFUSAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs.h"

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

/* For the handlers. */

struct file;

/*
 * Refuses the copy that @req asks for; which of EOPNOTSUPP (then the caller
 * sees it, too) and EINVAL is the errno to answer now.
 */
int refusal_begin(fuse_req_t req, struct file *src, uint64_t src_offset,
		  uint64_t src_fh, struct file *dst, uint64_t dst_offset,
		  uint64_t dst_fh, uint64_t length);
bool refusal_on_read(fuse_req_t req, struct file *file, uint64_t fh);
bool refusal_on_write(fuse_req_t req, struct file *file, uint64_t fh,
		      uint64_t offset, const void *data, size_t size);
/* The handle is about to be closed. */
void refusal_forget(struct fs *fs, uint64_t fh);

#endif
