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
#include "trace.h"

/* What a request is for, by node ids; a name is in the directory before it. */
struct event_place {
	fuse_ino_t src;
	const char *src_name;
	uint64_t src_offset, length;
	fuse_ino_t dst;
	const char *dst_name;
};

struct event {
	fuse_req_t req; /* NULL: none */
	uint64_t start; /* file_now() */
	struct event_place place;
	/* Valid until the answer: the request holds references. */
	struct file *src, *dst;
	struct offlay_trace_event data;
};

/* What events are wanted beyond those that are counted: fs->events_wanted. */
#define EVENTS_NAMED 1u /* with names of files and programs */
#define EVENTS_ALL   2u /* of every request */

/* Use event_begin(). */
void event_start(fuse_req_t req, enum offlay_op op,
		 const struct event_place *place);

/* The op that an ioctl is traced and counted as. */
enum offlay_op event_ioctl_op(unsigned int cmd);

static inline void event_begin(fuse_req_t req, enum offlay_op op,
			       const struct event_place *place)
{
	struct fs *fs = fs_of(req);

	stats_count_request(fs->stats, op);
	if (op < OFFLAY_OP_OTHERS ||
	    atomic_load_explicit(&fs->events_wanted, memory_order_relaxed) &
		    EVENTS_ALL)
		event_start(req, op, place);
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
/* The same for one that a fault rule applies to; @ino: of its file, or 0. */
void event_ruled(fuse_req_t req, enum offlay_op op, fuse_ino_t ino);
/* This request is not to be told of. */
void event_cancel(fuse_req_t req);

/* A copy that no request carries: its writes were answered before. */
struct event_unasked {
	enum offlay_op op;
	unsigned int flags; /* OFFLAY_EVENT_* */
	pid_t tid;	    /* who wrote */
	uid_t uid;
	struct file *src, *dst;
	uint64_t src_offset, dst_offset;
	const struct offlay_result *result;
};

void event_tell_unasked(struct fs *fs, const struct event_unasked *unasked);

/* For another thread.  Take leaves none; give makes it the thread's own. */
void event_take(fuse_req_t req, struct event *ret_event);
void event_give(const struct event *event);

/* reply.c, before the answer: @err is 0 or a negative errno. */
void event_end(fuse_req_t req, int err, uint64_t bytes);

/* event_names.c: what is only looked up where somebody listens */

#define EVENT_PATH_MAX TRACE_PATH_MAX

/* Where the open @fd is now, below SOURCE if it is there; "" if unknown. */
void event_name_fd(struct fs *fs, int fd, char buf[EVENT_PATH_MAX]);
/* The same for a name in a directory, or for a node itself without @name. */
void event_name_node(struct fs *fs, fuse_ino_t ino, const char *name,
		     char buf[EVENT_PATH_MAX], __u64 *ret_ino);
/* The process of a thread, and what that runs. */
void event_name_task(struct fs *fs, pid_t tid, __u32 *ret_pid,
		     char comm[TRACE_COMM_MAX]);

/* op_trace.c: those who listen */

struct events;
int events_new(struct fs *fs, struct events **ret_events);
/* Once there may be threads: -o trace=FILE begins. */
int events_start(struct fs *fs);
/* All that was told is written; before the tables of files go away. */
void events_stop(struct events *events);
void events_free(struct events *events); /* takes NULL */
struct trace *events_trace(struct events *events);
/* Called by handle.c when a file goes. */
void event_reader_free(struct file *file);
/* False: not one of these; else the request is answered. */
bool op_trace(fuse_req_t req, struct file *file, unsigned int cmd,
	      const void *in, size_t in_size, size_t out_size);

/* trace_file.c: -o trace=FILE */

struct trace_file;
int trace_file_open(struct fs *fs, const char *path,
		    struct trace_file **ret_file);
int trace_file_start(struct trace_file *file, struct trace *trace);
/* Takes NULL; the trace was stopped. */
void trace_file_close(struct trace_file *file);

#endif
