/* SPDX-License-Identifier: MIT */
/*
 * event.c: what is said of the request that a thread is answering.
 *
 * ops.c begins the event, whoever learns something about the request adds it,
 * and reply.c ends it: then it is counted, and goes to those who listen.  It
 * belongs to the thread: a request that is answered by another one takes its
 * event along, event_take() and event_give().
 */
#ifndef OFFLAY_EVENT_H
#define OFFLAY_EVENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "offlay.h"
#include "offlay_trace.h"
#include "stats.h"

struct event {
	fuse_req_t req; /* NULL: none */
	uint64_t start; /* file_now() */
	/* Valid until the answer: the request holds references. */
	struct file *src, *dst;
	struct offlay_trace_event data;
};

/* What events are wanted beyond those that are counted: fs->events_wanted. */
#define EVENTS_NAMED 1u /* with names of files and programs */
#define EVENTS_ALL   2u /* of every request */

/* Use event_begin(). */
void event_start(fuse_req_t req, enum offlay_op op);

/* The op that an ioctl is traced and counted as. */
enum offlay_op event_ioctl_op(unsigned int cmd);

static inline void event_begin(fuse_req_t req, enum offlay_op op)
{
	struct fs *fs = fs_of(req);

	stats_count_request(fs->stats, op);
	if (op < OFFLAY_OP_OTHERS ||
	    atomic_load_explicit(&fs->events_wanted, memory_order_relaxed) &
		    EVENTS_ALL)
		event_start(req, op);
}

/*
 * Facts about the current request; without an event of its own nothing
 * happens.  The files stay open until the answer; either may be NULL.
 */
void event_files(fuse_req_t req, struct file *src, struct file *dst);
void event_range(fuse_req_t req, uint64_t src_offset, uint64_t dst_offset,
		 uint64_t length);
void event_verdict(fuse_req_t req, enum offlay_verdict_kind verdict,
		   uint32_t src_reasons, uint32_t dst_reasons);
/* May come several times for one request: bytes add up. */
void event_copied(fuse_req_t req, const struct offlay_result *result);
/* Where the answer does not say how many were done. */
void event_bytes(fuse_req_t req, uint64_t bytes);
/*
 * The request turned out to concern copying (an accelerated write, the edge
 * of a refused copy): it is an event now, if it was none.
 */
void event_upgrade(fuse_req_t req, enum offlay_op op, unsigned int flags);
/* This request is not to be told of. */
void event_cancel(fuse_req_t req);

/* For another thread.  Take leaves none; give makes it the thread's own. */
void event_take(fuse_req_t req, struct event *ret_event);
void event_give(const struct event *event);

/* reply.c, before the answer: @err is 0 or a negative errno. */
void event_end(fuse_req_t req, int err, uint64_t bytes);

#endif
