// SPDX-License-Identifier: MIT
/* Tests of lib/trace.c: nothing is lost unsaid, and nothing is out of order. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

#define SIZE	32768
#define BUFFER	16320
#define THREADS 8
#define ROUNDS	5000

static struct trace *trace;
static char buf[BUFFER];

static void begin(void)
{
	cr_assert_eq(trace_new(SIZE, &trace), 0);
}

static void end(void)
{
	trace_free(trace);
}

TestSuite(trace, .init = begin, .fini = end, .timeout = 60);

/* @length tells the events apart. */
static void add(uint64_t length, bool copying, const char *src)
{
	struct trace_record record = {
		.event.length = length, .comm = "cp", .src = src, .dst = ""
	};

	record.event.op = copying ? OFFLAY_OP_COPY : OFFLAY_OP_READ;
	record.event.flags = copying ? OFFLAY_EVENT_COPYING : 0;
	trace_add(trace, &record);
}

/* Reads to the end; expects the lengths to rise by @step. */
static uint64_t drain(struct trace_reader *reader, uint64_t first,
		      uint64_t step, uint64_t *ret_lost)
{
	struct trace_record record;
	uint64_t n = 0, lost;
	size_t size, at;

	*ret_lost = 0;
	while ((size = trace_read(trace, reader, buf, sizeof(buf), &lost))) {
		*ret_lost += lost;
		if (!n)
			first += lost * step;
		for (at = 0; trace_next(buf, size, &at, &record) > 0; n++)
			cr_assert_eq(record.event.length, first + n * step,
				     "record %llu is %llu",
				     (unsigned long long)n,
				     (unsigned long long)record.event.length);
		cr_assert_eq(at, size);
	}
	*ret_lost += lost;
	return n;
}

Test(trace, gives_back_what_was_added)
{
	struct trace_reader reader;
	struct trace_record record;
	uint64_t lost;
	size_t size, at = 0;

	trace_reader_init(trace, &reader, false, true);
	cr_expect_eq(trace_read(trace, &reader, buf, sizeof(buf), &lost), 0);
	add(7, true, "dir/file");
	size = trace_read(trace, &reader, buf, sizeof(buf), &lost);
	cr_expect_eq(lost, 0);
	cr_assert_eq(trace_next(buf, size, &at, &record), 1);
	cr_expect_eq(record.event.number, 1);
	cr_expect_eq(record.event.length, 7);
	cr_expect_str_eq(record.comm, "cp");
	cr_expect_str_eq(record.src, "dir/file");
	cr_expect_str_eq(record.dst, "");
	cr_expect_eq(trace_next(buf, size, &at, &record), 0);
	cr_expect_eq(trace_read(trace, &reader, buf, sizeof(buf), &lost), 0);
}

Test(trace, says_how_many_a_slow_reader_has_lost)
{
	struct trace_reader reader, late;
	uint64_t lost, n;

	trace_reader_init(trace, &reader, true, true);
	for (unsigned int i = 0; i < 1000; i++)
		add(i, true, "some/name");
	n = drain(&reader, 0, 1, &lost);
	cr_expect_gt(n, 100);
	cr_expect_eq(n + lost, 1000);
	cr_expect_eq(drain(&reader, 1000, 1, &lost), 0);
	cr_expect_eq(lost, 0);
	/* Who comes now finds the same, and has lost nothing. */
	trace_reader_init(trace, &late, true, false);
	cr_expect_eq(drain(&late, 1000 - n, 1, &lost), n);
	cr_expect_eq(lost, 0);
}

Test(trace, counts_for_each_reader_only_what_it_wants)
{
	struct trace_reader reader;
	uint64_t lost, n;

	trace_reader_init(trace, &reader, false, true);
	for (unsigned int i = 0; i < 3000; i++)
		add(i, i % 3 == 0, "x");
	n = drain(&reader, 0, 3, &lost);
	cr_expect_gt(n, 20);
	cr_expect_eq(n + lost, 1000);
	/* Pushed out by others alone: nothing of its own is lost. */
	for (unsigned int i = 0; i < 3000; i++)
		add(i, false, "y");
	cr_expect_eq(drain(&reader, 0, 1, &lost), 0);
	cr_expect_eq(lost, 0);
	/* Its only event is pushed out, and nothing came after it. */
	add(1, true, "z");
	for (unsigned int i = 0; i < 3000; i++)
		add(i, false, "y");
	cr_expect_eq(drain(&reader, 0, 1, &lost), 0);
	cr_expect_eq(lost, 1);
}

Test(trace, takes_records_of_every_size_around_the_end_of_the_ring)
{
	struct trace_reader reader;
	char name[TRACE_PATH_MAX + 100];
	uint64_t lost;

	memset(name, 'n', sizeof(name));
	trace_reader_init(trace, &reader, true, true);
	for (unsigned int i = 0; i < 5000; i++) {
		size_t len = (i * 37) % (sizeof(name) - 1);

		name[len] = '\0';
		add(i, true, name);
		cr_assert_eq(drain(&reader, i, 1, &lost), 1);
		cr_assert_eq(lost, 0);
		name[len] = 'n';
	}
}

Test(trace, cuts_a_text_that_is_too_long)
{
	struct trace_reader reader;
	struct trace_record record;
	char name[TRACE_PATH_MAX * 2];
	size_t size, at = 0;
	uint64_t lost;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	record =
		(struct trace_record){ .comm = name, .src = name, .dst = name };
	trace_reader_init(trace, &reader, true, true);
	trace_add(trace, &record);
	size = trace_read(trace, &reader, buf, sizeof(buf), &lost);
	cr_assert_eq(trace_next(buf, size, &at, &record), 1);
	cr_expect_eq(strlen(record.comm), TRACE_COMM_MAX - 1);
	cr_expect_eq(strlen(record.src), TRACE_PATH_MAX - 1);
	cr_expect_eq(strlen(record.dst), TRACE_PATH_MAX - 1);
	cr_expect_leq(size, TRACE_RECORD_MAX);
}

static void *add_many(void *arg)
{
	for (uint64_t i = 0; i < ROUNDS; i++)
		add(i, true, arg);
	return NULL;
}

/* Readers while eight threads add: seen and lost make up the whole. */
Test(trace, accounts_for_every_event_of_many_threads)
{
	static char names[THREADS][8];
	struct trace_reader reader;
	struct trace_record record;
	pthread_t threads[THREADS];
	uint64_t seen = 0, lost = 0, missed, last = 0;
	size_t size, at;

	trace_reader_init(trace, &reader, false, true);
	for (unsigned int i = 0; i < THREADS; i++) {
		snprintf(names[i], sizeof(names[i]), "t%u", i);
		cr_assert_eq(pthread_create(&threads[i], NULL, add_many,
					    names[i]),
			     0);
	}
	while (seen + lost < THREADS * ROUNDS) {
		size = trace_read(trace, &reader, buf, sizeof(buf), &missed);
		lost += missed;
		for (at = 0; trace_next(buf, size, &at, &record) > 0; seen++) {
			cr_assert_gt(record.event.number, last);
			last = record.event.number;
		}
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(seen + lost, THREADS * ROUNDS);
	cr_expect_eq(trace_read(trace, &reader, buf, sizeof(buf), &missed), 0);
	cr_expect_eq(missed, 0);
}

static void *wait_for_more(void *arg)
{
	struct trace_reader *reader = arg;

	return trace_wait(trace, reader) ? "more" : "stop";
}

Test(trace, wakes_who_waits)
{
	struct trace_reader reader;
	pthread_t thread;
	uint64_t lost;
	void *woken;

	trace_reader_init(trace, &reader, false, true);
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_more, &reader), 0);
	add(0, true, "");
	pthread_join(thread, &woken);
	cr_expect_str_eq(woken, "more");
	drain(&reader, 0, 1, &lost);
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_more, &reader), 0);
	trace_stop(trace);
	pthread_join(thread, &woken);
	cr_expect_str_eq(woken, "stop");
}

/* What comes from outside may be anything. */
Test(trace, turns_down_records_that_are_none)
{
	struct trace_reader reader;
	struct trace_record record;
	char bytes[1024];
	uint64_t lost;
	size_t size, at;

	trace_reader_init(trace, &reader, true, true);
	add(1, true, "a/name");
	size = trace_read(trace, &reader, buf, sizeof(buf), &lost);
	for (size_t cut = 1; cut < size; cut++) {
		at = 0;
		cr_expect_eq(trace_next(buf, cut, &at, &record), -EBADMSG);
	}
	for (size_t i = 0; i < size; i++) {
		memcpy(bytes, buf, size);
		bytes[i] = (char)0xff;
		at = 0;
		if (trace_next(bytes, size, &at, &record) == 1)
			cr_expect_leq(record.dst + strlen(record.dst),
				      bytes + size);
	}
	memset(bytes, 0, sizeof(bytes));
	at = 0;
	cr_expect_eq(trace_next(bytes, sizeof(bytes), &at, &record), -EBADMSG);
}
