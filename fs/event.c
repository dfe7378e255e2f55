// SPDX-License-Identifier: MIT
/* One event a request: gathered along its way, counted before its answer. */
#include <string.h>

#include "file.h"

/* The request that this thread is answering, where that is an event. */
static _Thread_local struct event current;

/* Those with a number are traced as what they do; all others as ioctls. */
static const enum offlay_op ioctl_ops[] = {
	[_IOC_NR(OFFLAY_IOC_ODX_READ)] = OFFLAY_OP_TOKEN_READ,
	[_IOC_NR(OFFLAY_IOC_ODX_WRITE)] = OFFLAY_OP_TOKEN_WRITE,
	[_IOC_NR(OFFLAY_IOC_ODX_DROP)] = OFFLAY_OP_TOKEN_DROP,
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

void event_start(fuse_req_t req, enum offlay_op op)
{
	current.req = req;
	current.start = file_now();
	current.src = current.dst = NULL;
	memset(&current.data, 0, sizeof(current.data));
	current.data.op = (__u16)op;
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
	if (current.req != req)
		event_start(req, op);
	current.data.op = (__u16)op;
	current.data.flags |= (__u16)(flags | OFFLAY_EVENT_COPYING);
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
	current.req = NULL;
}

void event_give(const struct event *event)
{
	current = *event;
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
}
