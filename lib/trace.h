/* SPDX-License-Identifier: MIT */
/* Events of a mount: the ring that holds them, their records, their words. */
#ifndef OFFLAY_TRACE_INSIDE_H
#define OFFLAY_TRACE_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "offlay_trace.h"

/* ---------------------------------------------------------------- trace.c */

/*
 * A ring of fixed size.  Whoever adds an event never waits for a reader: the
 * oldest records go, and each reader hears how many it has missed.
 */
struct trace;

/* One reader's place; its fields are guarded by the ring's lock. */
struct trace_reader {
	bool all;	 /* every event, not only those that concern copying */
	uint64_t at;	 /* in bytes, of all that were ever added */
	uint64_t passed; /* events of its kind before @at */
};

/* A record in memory; the texts are "" where not known. */
struct trace_record {
	struct offlay_trace_event event;
	const char *comm, *src, *dst;
};

/* Longer texts are cut. */
#define TRACE_COMM_MAX 64
#define TRACE_PATH_MAX 4096
#define TRACE_RECORD_MAX                                      \
	(sizeof(struct offlay_trace_event) + TRACE_COMM_MAX + \
	 2 * TRACE_PATH_MAX + 8)

/* @size: bytes, a power of two, at least twice TRACE_RECORD_MAX */
int trace_new(size_t size, struct trace **ret_trace);
void trace_free(struct trace *trace); /* takes NULL */

/* Numbers the event and adds it; sizes are set here.  Any thread. */
void trace_add(struct trace *trace, const struct trace_record *record);

/* @from_now: nothing that was added before. */
void trace_reader_init(struct trace *trace, struct trace_reader *reader,
		       bool all, bool from_now);
/*
 * The next records, as many as fit into @buf, which has room for one at least.
 * @ret_lost: events that this reader missed since the last call.
 * Return: bytes; 0 where there is nothing new.
 */
size_t trace_read(struct trace *trace, struct trace_reader *reader, void *buf,
		  size_t size, uint64_t *ret_lost);
/* Sleeps until there is more.  Return: false after trace_stop(). */
bool trace_wait(struct trace *trace, const struct trace_reader *reader);
/* Wakes all who wait, for good. */
void trace_stop(struct trace *trace);

/*
 * Takes the record at *@at out of what trace_read() gave, or what pretends to
 * be that, and moves on.  Return: 1, 0 at the end, -EBADMSG.
 */
int trace_next(const void *data, size_t size, size_t *at,
	       struct trace_record *ret_record);

/* ---------------------------------------------------------- trace_words.c */

const char *trace_op_name(unsigned int op); /* "copy"; "op99"-like: "?" */
/* Return: 0 or -EINVAL. */
int trace_op_parse(const char *name, unsigned int *ret_op);
const char *trace_verdict_name(unsigned int verdict);

/* One word: how it came out. */
enum trace_result {
	TRACE_CLONED,
	TRACE_OFFLOADED,
	TRACE_MOVED,
	TRACE_REFUSED,
	TRACE_DECLINED,
	TRACE_FAILED,
	TRACE_OK, /* anything that is no copy */
	TRACE_RESULTS
};
enum trace_result trace_result_of(const struct offlay_trace_event *event);
const char *trace_result_name(enum trace_result result);
int trace_result_parse(const char *name, enum trace_result *ret_result);

/* One object on one line, without its newline. */
void trace_json(FILE *out, const struct trace_record *record);

#endif
