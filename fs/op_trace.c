// SPDX-License-Identifier: MIT
/* Those who listen to events, and the ioctls that give out what is known. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "odx.h"
#include "op_odx.h"
#include "proc.h"

/* All events together; the memory is used as they come. */
#define RING_SIZE (1u << 20)

/* A file handle that was asked for events. */
struct event_reader {
	struct trace_reader at;
	bool all;
};

struct events {
	struct trace *trace;
	struct trace_file *file; /* NULL without -o trace= */
	uint64_t start;		 /* file_now() */
	uid_t owner;		 /* who mounted */
	pthread_mutex_t lock;	 /* guards all below, and each file's reader */
	unsigned int readers, readers_of_all;
};

int events_new(struct fs *fs, struct events **ret_events)
{
	struct events *events = calloc(1, sizeof(*events));
	int err;

	if (!events)
		return -ENOMEM;
	pthread_mutex_init(&events->lock, NULL);
	events->start = file_now();
	events->owner = geteuid();
	err = trace_new(RING_SIZE, &events->trace);
	if (!err && fs->opt.trace)
		err = trace_file_open(fs, fs->opt.trace, &events->file);
	if (err) {
		events_free(events);
		return err;
	}
	*ret_events = events;
	return 0;
}

/* One reader more or less; callers hold the lock. */
static void count_reader(struct fs *fs, bool all, int n)
{
	struct events *events = fs->events;
	unsigned int wanted = 0;

	events->readers += (unsigned int)n;
	if (all)
		events->readers_of_all += (unsigned int)n;
	if (events->readers)
		wanted |= EVENTS_NAMED;
	if (events->readers_of_all)
		wanted |= EVENTS_ALL;
	atomic_store(&fs->events_wanted, wanted);
}

int events_start(struct fs *fs)
{
	struct events *events = fs->events;

	if (!events->file)
		return 0;
	pthread_mutex_lock(&events->lock);
	count_reader(fs, fs->opt.trace_all, 1);
	pthread_mutex_unlock(&events->lock);
	return trace_file_start(events->file, events->trace);
}

void events_stop(struct events *events)
{
	if (!events)
		return;
	trace_stop(events->trace);
	trace_file_close(events->file);
	events->file = NULL;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	trace_file_close(events->file);
	trace_free(events->trace);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

struct trace *events_trace(struct events *events)
{
	return events->trace;
}

void event_reader_free(struct file *file)
{
	struct events *events = file->fs->events;

	if (!file->reader)
		return;
	pthread_mutex_lock(&events->lock);
	count_reader(file->fs, file->reader->all, -1);
	pthread_mutex_unlock(&events->lock);
	free(file->reader);
}

/* The reader that @file is from its first call on. */
static int reader_of(struct file *file, unsigned int flags,
		     struct event_reader **ret_reader)
{
	struct events *events = file->fs->events;
	struct event_reader *reader;
	int err = 0;

	pthread_mutex_lock(&events->lock);
	reader = file->reader;
	if (!reader) {
		reader = calloc(1, sizeof(*reader));
		if (reader) {
			reader->all = flags & OFFLAY_TRACE_ALL;
			trace_reader_init(events->trace, &reader->at,
					  reader->all,
					  flags & OFFLAY_TRACE_NEW);
			count_reader(file->fs, reader->all, 1);
			file->reader = reader;
		} else {
			err = -ENOMEM;
		}
	} else if (reader->all != !!(flags & OFFLAY_TRACE_ALL)) {
		err = -EINVAL;
	}
	pthread_mutex_unlock(&events->lock);
	*ret_reader = reader;
	return err;
}

static bool are_zero(const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const char *)bytes)[i])
			return false;
	return true;
}

static int check_trace(const struct events *events, fuse_req_t req,
		       const struct offlay_ioc_trace *in)
{
	uid_t uid = fuse_req_ctx(req)->uid;

	if (in->version != OFFLAY_ABI_VERSION)
		return -EOPNOTSUPP;
	if (in->flags & ~(OFFLAY_TRACE_ALL | OFFLAY_TRACE_NEW) ||
	    !are_zero(in->reserved, sizeof(in->reserved)))
		return -EINVAL;
	/* Names of other users' files are in it. */
	return uid == 0 || uid == events->owner ? 0 : -EPERM;
}

static void read_trace(fuse_req_t req, struct file *file, const void *in)
{
	struct events *events = fs_of(req)->events;
	struct offlay_ioc_trace head;
	struct offlay_ioc_trace *value;
	struct event_reader *reader;
	uint64_t lost;
	int err;

	memcpy(&head, in, offsetof(struct offlay_ioc_trace, data));
	/* Or each look would give the next one something to see. */
	event_cancel(req);
	err = check_trace(events, req, &head);
	if (!err)
		err = reader_of(file, head.flags, &reader);
	value = err ? NULL : calloc(1, sizeof(*value));
	if (!err && !value)
		err = -ENOMEM;
	if (err) {
		reply_err(req, err);
		return;
	}
	value->version = head.version;
	value->flags = head.flags;
	value->size = (__u32)trace_read(events->trace, &reader->at, value->data,
					sizeof(value->data), &lost);
	value->lost = lost;
	reply_ioctl(req, 0, 0, value, sizeof(*value));
	free(value);
}

static __u64 resident_bytes(struct fs *fs)
{
	unsigned long pages = 0;
	char text[64];

	if (proc_read(copy_proc_fd(fs), "self/statm", text, sizeof(text)) > 0)
		sscanf(text, "%*u %lu", &pages);
	return (__u64)pages * (__u64)sysconf(_SC_PAGESIZE);
}

static void read_gauges(struct fs *fs, __u64 gauges[OFFLAY_GAUGE_COUNT])
{
	struct events *events = fs->events;
	uint64_t tokens, bytes;

	inode_count(fs, gauges);
	token_count(fs->odx->table, &tokens, &bytes);
	gauges[OFFLAY_GAUGE_TOKENS] = tokens;
	gauges[OFFLAY_GAUGE_TOKEN_BYTES] = bytes;
	gauges[OFFLAY_GAUGE_PASSTHROUGH] = atomic_load(&fs->passthrough);
	gauges[OFFLAY_GAUGE_UPTIME_NSEC] = file_now() - events->start;
	gauges[OFFLAY_GAUGE_PID] = (__u64)getpid();
	gauges[OFFLAY_GAUGE_RESIDENT_BYTES] = resident_bytes(fs);
	pthread_mutex_lock(&events->lock);
	gauges[OFFLAY_GAUGE_TRACE_READERS] = events->readers;
	pthread_mutex_unlock(&events->lock);
}

static void read_stats(fuse_req_t req, const void *in)
{
	struct fs *fs = fs_of(req);
	struct offlay_ioc_stats value;

	memcpy(&value, in, offsetof(struct offlay_ioc_stats, counters));
	if (value.version != OFFLAY_ABI_VERSION) {
		reply_err(req, -EOPNOTSUPP);
		return;
	}
	if (value.flags || !are_zero(value.reserved, sizeof(value.reserved))) {
		reply_err(req, -EINVAL);
		return;
	}
	memset(value.gauges, 0, sizeof(value.gauges));
	stats_read(fs->stats, &value);
	read_gauges(fs, value.gauges);
	reply_ioctl(req, 0, 0, &value, sizeof(value));
}

bool op_trace(fuse_req_t req, struct file *file, unsigned int cmd,
	      const void *in, size_t in_size, size_t out_size)
{
	if (cmd != OFFLAY_IOC_TRACE_READ && cmd != OFFLAY_IOC_STATS)
		return false;
	if (in_size != _IOC_SIZE(cmd) || out_size < in_size)
		reply_err(req, -EINVAL);
	else if (cmd == OFFLAY_IOC_STATS)
		read_stats(req, in);
	else
		read_trace(req, file, in);
	return true;
}
