// SPDX-License-Identifier: MIT
/* A bounded ring of events: added by many, read by some, waited for by none. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

/* Records looked at before others get the lock. */
#define STEPS 256

struct trace {
	pthread_mutex_t lock; /* guards all below, and the readers */
	pthread_cond_t more;
	uint64_t size;		     /* of @bytes, a power of two */
	uint64_t head;		     /* bytes ever added */
	uint64_t tail;		     /* where the oldest record begins */
	uint64_t number;	     /* of the last event */
	uint64_t gone, gone_copying; /* events before @tail */
	uint64_t copying;	     /* events that concern copying, ever */
	bool stop;
	unsigned char bytes[];
};

int trace_new(size_t size, struct trace **ret_trace)
{
	struct trace *trace = calloc(1, sizeof(*trace) + size);

	if (!trace)
		return -ENOMEM;
	pthread_mutex_init(&trace->lock, NULL);
	pthread_cond_init(&trace->more, NULL);
	trace->size = size;
	*ret_trace = trace;
	return 0;
}

void trace_free(struct trace *trace)
{
	if (!trace)
		return;
	pthread_cond_destroy(&trace->more);
	pthread_mutex_destroy(&trace->lock);
	free(trace);
}

static void put(struct trace *trace, const void *data, size_t size)
{
	uint64_t at = trace->head & (trace->size - 1);
	size_t first = size < trace->size - at ? size : trace->size - at;

	memcpy(trace->bytes + at, data, first);
	memcpy(trace->bytes, (const char *)data + first, size - first);
	trace->head += size;
}

static void get(const struct trace *trace, uint64_t from, void *data,
		size_t size)
{
	uint64_t at = from & (trace->size - 1);
	size_t first = size < trace->size - at ? size : trace->size - at;

	memcpy(data, trace->bytes + at, first);
	memcpy((char *)data + first, trace->bytes, size - first);
}

/* Size, op and flags: never split, as records are multiples of eight. */
struct head {
	uint32_t size;
	uint16_t op;
	uint16_t flags;
};

static struct head head_at(const struct trace *trace, uint64_t at)
{
	struct head head;

	get(trace, at, &head, sizeof(head));
	return head;
}

static void make_room(struct trace *trace, uint64_t size)
{
	struct head head;

	while (trace->head + size - trace->tail > trace->size) {
		head = head_at(trace, trace->tail);
		trace->tail += head.size;
		trace->gone++;
		trace->gone_copying += head.flags & OFFLAY_EVENT_COPYING;
	}
}

static uint16_t text_size(const char *text, size_t max)
{
	return (uint16_t)(strnlen(text, max - 1) + 1);
}

static void put_text(struct trace *trace, const char *text, uint16_t size)
{
	put(trace, text, size - 1u);
	put(trace, "", 1);
}

void trace_add(struct trace *trace, const struct trace_record *record)
{
	static const char padding[8];
	struct offlay_trace_event event = record->event;
	uint32_t size;

	event.comm_size = text_size(record->comm, TRACE_COMM_MAX);
	event.src_size = text_size(record->src, TRACE_PATH_MAX);
	event.dst_size = text_size(record->dst, TRACE_PATH_MAX);
	size = (uint32_t)sizeof(event) + event.comm_size + event.src_size +
	       event.dst_size;
	event.size = (size + 7) & ~7u;
	pthread_mutex_lock(&trace->lock);
	make_room(trace, event.size);
	event.number = ++trace->number;
	trace->copying += event.flags & OFFLAY_EVENT_COPYING;
	put(trace, &event, sizeof(event));
	put_text(trace, record->comm, event.comm_size);
	put_text(trace, record->src, event.src_size);
	put_text(trace, record->dst, event.dst_size);
	put(trace, padding, event.size - size);
	pthread_cond_broadcast(&trace->more);
	pthread_mutex_unlock(&trace->lock);
}

void trace_reader_init(struct trace *trace, struct trace_reader *reader,
		       bool all, bool from_now)
{
	pthread_mutex_lock(&trace->lock);
	reader->all = all;
	if (from_now) {
		reader->at = trace->head;
		reader->passed = all ? trace->number : trace->copying;
	} else {
		reader->at = trace->tail;
		reader->passed = all ? trace->gone : trace->gone_copying;
	}
	pthread_mutex_unlock(&trace->lock);
}

/* Goes on where the ring begins, if the reader has fallen behind that. */
static uint64_t catch_up(struct trace *trace, struct trace_reader *reader)
{
	uint64_t gone = reader->all ? trace->gone : trace->gone_copying;
	uint64_t lost;

	if (reader->at >= trace->tail)
		return 0;
	lost = gone - reader->passed;
	reader->at = trace->tail;
	reader->passed = gone;
	return lost;
}

size_t trace_read(struct trace *trace, struct trace_reader *reader, void *buf,
		  size_t size, uint64_t *ret_lost)
{
	unsigned int steps = 0;
	uint64_t lost = 0;
	struct head head;
	size_t done = 0;

	pthread_mutex_lock(&trace->lock);
	for (;;) {
		lost += catch_up(trace, reader);
		if (reader->at == trace->head)
			break;
		head = head_at(trace, reader->at);
		if (reader->all || head.flags & OFFLAY_EVENT_COPYING) {
			if (head.size > size - done)
				break;
			get(trace, reader->at, (char *)buf + done, head.size);
			done += head.size;
			reader->passed++;
		}
		reader->at += head.size;
		if (++steps % STEPS == 0) {
			pthread_mutex_unlock(&trace->lock);
			pthread_mutex_lock(&trace->lock);
		}
	}
	pthread_mutex_unlock(&trace->lock);
	*ret_lost = lost;
	return done;
}

bool trace_wait(struct trace *trace, const struct trace_reader *reader)
{
	bool more;

	pthread_mutex_lock(&trace->lock);
	while (reader->at == trace->head && !trace->stop)
		pthread_cond_wait(&trace->more, &trace->lock);
	more = !trace->stop;
	pthread_mutex_unlock(&trace->lock);
	return more;
}

void trace_stop(struct trace *trace)
{
	pthread_mutex_lock(&trace->lock);
	trace->stop = true;
	pthread_cond_broadcast(&trace->more);
	pthread_mutex_unlock(&trace->lock);
}

/* A text of @size bytes, the last one a NUL and no other. */
static bool is_text(const char *text, size_t size)
{
	return size && strnlen(text, size) == size - 1;
}

int trace_next(const void *data, size_t size, size_t *at,
	       struct trace_record *ret_record)
{
	const char *from = (const char *)data + *at;
	size_t left = size - *at, texts;
	struct trace_record record;

	if (!left)
		return 0;
	if (left < sizeof(record.event))
		return -EBADMSG;
	memcpy(&record.event, from, sizeof(record.event));
	texts = (size_t)record.event.comm_size + record.event.src_size +
		record.event.dst_size;
	if (record.event.size > left || record.event.size % 8 ||
	    record.event.size < sizeof(record.event) + texts)
		return -EBADMSG;
	record.comm = from + sizeof(record.event);
	record.src = record.comm + record.event.comm_size;
	record.dst = record.src + record.event.src_size;
	if (!is_text(record.comm, record.event.comm_size) ||
	    !is_text(record.src, record.event.src_size) ||
	    !is_text(record.dst, record.event.dst_size))
		return -EBADMSG;
	*at += record.event.size;
	*ret_record = record;
	return 1;
}
