// SPDX-License-Identifier: MIT
/* One event a request: gathered along its way, counted before its answer. */
#include <string.h>
#include <time.h>

#include "file.h"

/* The request that this thread is answering, where that is an event. */
static _Thread_local struct event current;

/* Those with a number are traced as what they do; all others as ioctls. */
static const enum offlay_op ioctl_ops[] = {
	[_IOC_NR(OFFLAY_IOC_ODX_READ)] = OFFLAY_OP_TOKEN_READ,
	[_IOC_NR(OFFLAY_IOC_ODX_WRITE)] = OFFLAY_OP_TOKEN_WRITE,
	[_IOC_NR(OFFLAY_IOC_ODX_DROP)] = OFFLAY_OP_TOKEN_DROP,
	[_IOC_NR(OFFLAY_IOC_NAME)] = OFFLAY_OP_CONTROL,
	[_IOC_NR(OFFLAY_IOC_CLONE)] = OFFLAY_OP_CLONE,
	[_IOC_NR(OFFLAY_IOC_DEDUPE)] = OFFLAY_OP_DEDUPE,
	[_IOC_NR(OFFLAY_IOC_EXTENTS)] = OFFLAY_OP_FIEMAP,
	[_IOC_NR(OFFLAY_IOC_TRACE_READ)] = OFFLAY_OP_CONTROL,
	[_IOC_NR(OFFLAY_IOC_STATS)] = OFFLAY_OP_CONTROL,
};

enum offlay_op event_ioctl_op(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (_IOC_TYPE(cmd) != OFFLAY_IOC_MAGIC ||
	    nr >= sizeof(ioctl_ops) / sizeof(*ioctl_ops) || !ioctl_ops[nr])
		return OFFLAY_OP_IOCTL;
	return ioctl_ops[nr];
}

void event_start(fuse_req_t req, enum offlay_op op,
		 const struct event_place *place)
{
	current.req = req;
	current.start = file_now();
	current.place = *place;
	current.src = current.dst = NULL;
	memset(&current.data, 0, sizeof(current.data));
	current.data.op = (__u16)op;
	current.data.src_offset = place->src_offset;
	current.data.length = place->length;
	if (op < OFFLAY_OP_OTHERS)
		current.data.flags = OFFLAY_EVENT_COPYING;
}

void event_files(fuse_req_t req, struct file *src, struct file *dst)
{
	if (current.req != req)
		return;
	current.src = src;
	current.dst = dst;
}

void event_range(fuse_req_t req, uint64_t src_offset, uint64_t dst_offset,
		 uint64_t length)
{
	if (current.req != req)
		return;
	current.data.src_offset = src_offset;
	current.data.dst_offset = dst_offset;
	current.data.length = length;
}

void event_verdict(fuse_req_t req, enum offlay_verdict_kind verdict,
		   uint32_t src_reasons, uint32_t dst_reasons)
{
	if (current.req != req)
		return;
	current.data.verdict = verdict;
	current.data.src_reasons = src_reasons;
	current.data.dst_reasons = dst_reasons;
}

void event_copied(fuse_req_t req, const struct offlay_result *result)
{
	struct offlay_trace_event *data = &current.data;

	if (current.req != req)
		return;
	data->shared += result->cloned;
	data->offloaded += result->offloaded;
	data->moved += result->moved;
	data->holes += result->holes;
	if (result->declined_clone)
		data->declined_clone = (__u32)result->declined_clone;
	if (result->declined_offload)
		data->declined_offload = (__u32)result->declined_offload;
	if (data->shared)
		data->methods |= OFFLAY_METHOD_CLONE;
	if (data->offloaded)
		data->methods |= OFFLAY_METHOD_OFFLOAD;
	if (data->moved || data->holes)
		data->methods |= OFFLAY_METHOD_DATA;
}

void event_bytes(fuse_req_t req, uint64_t bytes)
{
	if (current.req == req)
		current.data.bytes = bytes;
}

void event_upgrade(fuse_req_t req, enum offlay_op op, unsigned int flags)
{
	const struct event_place nowhere = { 0 };

	if (current.req != req)
		event_start(req, op, &nowhere);
	current.data.op = (__u16)op;
	current.data.flags |= (__u16)(flags | OFFLAY_EVENT_COPYING);
}

void event_ruled(fuse_req_t req, enum offlay_op op, fuse_ino_t ino)
{
	event_upgrade(req, op, OFFLAY_EVENT_RULED);
	if (!current.src && !current.place.src)
		current.place.src = ino;
}

void event_cancel(fuse_req_t req)
{
	if (current.req == req)
		current.req = NULL;
}

void event_take(fuse_req_t req, struct event *ret_event)
{
	ret_event->req = NULL;
	if (current.req != req)
		return;
	*ret_event = current;
	/* Names are the other thread's; a directory alone says nothing. */
	if (ret_event->place.src_name)
		ret_event->place.src = 0;
	if (ret_event->place.dst_name)
		ret_event->place.dst = 0;
	ret_event->place.src_name = ret_event->place.dst_name = NULL;
	current.req = NULL;
}

void event_give(const struct event *event)
{
	current = *event;
}

static __u64 ino_of(struct fs *fs, const struct file *file)
{
	return inode_shown_ino(fs, inode_dev(file->inode),
			       inode_ino(file->inode));
}

static void name_side(struct fs *fs, const struct file *file, fuse_ino_t node,
		      const char *name, char buf[EVENT_PATH_MAX],
		      __u64 *ret_ino)
{
	if (file)
		event_name_fd(fs, file->fd, buf);
	else if (node)
		event_name_node(fs, node, name, buf, ret_ino);
}

/* For those who listen: names of everything, as long as they last. */
static void tell_named(struct fs *fs, struct trace_record *record)
{
	char src[EVENT_PATH_MAX] = "", dst[EVENT_PATH_MAX] = "";
	char comm[TRACE_COMM_MAX] = "";

	event_name_task(fs, (pid_t)record->event.tid, &record->event.pid, comm);
	/* A copy's files say more than the node that the kernel named. */
	if (current.src || !current.dst)
		name_side(fs, current.src, current.place.src,
			  current.place.src_name, src, &record->event.src_ino);
	name_side(fs, current.dst, current.place.dst, current.place.dst_name,
		  dst, &record->event.dst_ino);
	record->comm = comm;
	record->src = src;
	record->dst = dst;
	trace_add(events_trace(fs->events), record);
}

static void tell(struct fs *fs, pid_t tid, uid_t uid)
{
	struct trace_record record = {
		.event = current.data, .comm = "", .src = "", .dst = ""
	};
	unsigned int wanted = atomic_load(&fs->events_wanted);
	struct timespec now;

	if (!(record.event.flags & OFFLAY_EVENT_COPYING) &&
	    !(wanted & EVENTS_ALL))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	record.event.time = (__u64)now.tv_sec * 1000000000 +
			    (__u64)now.tv_nsec - record.event.nsec;
	record.event.tid = (__u32)tid;
	record.event.uid = uid;
	if (current.src)
		record.event.src_ino = ino_of(fs, current.src);
	if (current.dst)
		record.event.dst_ino = ino_of(fs, current.dst);
	stats_add(fs->stats, OFFLAY_STAT_EVENTS, 1);
	if (wanted & EVENTS_NAMED)
		tell_named(fs, &record);
	else
		trace_add(events_trace(fs->events), &record);
}

void event_end(fuse_req_t req, int err, uint64_t bytes)
{
	struct offlay_trace_event *data = &current.data;
	struct fs *fs = fs_of(req);

	if (current.req != req)
		return;
	current.req = NULL;
	data->nsec = file_now() - current.start;
	data->err = (__u32)-err;
	if (bytes)
		data->bytes = bytes;
	stats_count_event(fs->stats, data);
	tell(fs, fuse_req_ctx(req)->pid, fuse_req_ctx(req)->uid);
}

void event_tell_unasked(struct fs *fs, const struct event_unasked *unasked)
{
	struct event asked = current;

	current = (struct event){
		.src = unasked->src,
		.dst = unasked->dst,
		.data = {
			.op = (__u16)unasked->op,
			.flags = (__u16)(unasked->flags |
					 OFFLAY_EVENT_COPYING),
			.src_offset = unasked->src_offset,
			.dst_offset = unasked->dst_offset,
			.length = unasked->result->copied,
			.bytes = unasked->result->copied,
		},
	};
	event_copied(NULL, unasked->result);
	stats_count_event(fs->stats, &current.data);
	tell(fs, unasked->tid, unasked->uid);
	current = asked;
}
