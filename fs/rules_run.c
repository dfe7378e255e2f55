// SPDX-License-Identifier: MIT
/* What becomes of a request that a fault rule applies to. */
#include <errno.h>
#include <string.h>

#include "file.h"
#include "odx.h"
#include "offlay_uapi.h"
#include "rules.h"

uint32_t rules_reason(unsigned int deny)
{
	switch (deny) {
	case OFFLAY_DENY_SPARSE:
		return 1u << OFFLAY_REASON_SPARSE;
	case OFFLAY_DENY_ENCRYPTED:
		return 1u << OFFLAY_REASON_ENCRYPTED;
	default:
		return 1u << OFFLAY_REASON_COMPRESSED;
	}
}

static void run_copy(const struct rules_job *job)
{
	struct fuse_file_info src = job->fi, dst = job->dst_fi;
	struct copy_orders orders = { 0 };
	size_t size = job->size;

	switch (job->hit.answer) {
	case FAULT_ERRNO:
		if (!fault_is_hidden(job->hit.err)) {
			reply_err(job->req, -job->hit.err);
			return;
		}
		orders.err = -job->hit.err;
		break;
	case FAULT_ZERO:
		reply_write(job->req, 0, 0);
		return;
	case FAULT_SHORT:
		size = job->hit.length;
		break;
	case FAULT_REFUSE:
		if (job->hit.side == OFFLAY_SOURCE)
			orders.src_reasons = rules_reason(job->hit.deny);
		else
			orders.dst_reasons = rules_reason(job->hit.deny);
		break;
	case FAULT_FORBID:
		orders.forbidden = job->hit.methods;
		break;
	case FAULT_PLAIN:
		break;
	}
	op_copy_ordered(job->req, &orders, job->off, &src, job->dst_off, &dst,
			size, job->number);
}

static void run_read(const struct rules_job *job)
{
	struct fuse_file_info fi = job->fi;
	size_t size = job->size;

	switch (job->hit.answer) {
	case FAULT_ERRNO:
		reply_err(job->req, -job->hit.err);
		return;
	case FAULT_ZERO:
		/* In the page cache it would be the end of the file. */
		if (!fi.lock_owner)
			break;
		reply_buf(job->req, 0, NULL, 0);
		return;
	case FAULT_SHORT:
		size = job->hit.length;
		break;
	default:
		break;
	}
	op_read(job->req, job->ino, size, job->off, &fi);
}

static void run_write(const struct rules_job *job)
{
	struct fuse_bufvec cut = FUSE_BUFVEC_INIT(job->size), *in = job->in;
	struct fuse_file_info fi = job->fi;

	if (job->hit.answer == FAULT_ERRNO || job->hit.answer == FAULT_ZERO) {
		reply_write(job->req, -job->hit.err, 0);
		return;
	}
	cut.buf[0].mem = (void *)(uintptr_t)job->data;
	if (in && in->count == 1)
		cut = *in;
	if ((!in || in->count == 1)) {
		in = &cut;
		if (job->hit.answer == FAULT_SHORT)
			cut.buf[0].size = job->hit.length;
	}
	op_write_buf(job->req, job->ino, in, job->off, &fi);
}

static void answer_token(const struct rules_job *job, void *arg,
			 const struct offlay_status *status)
{
	struct {
		uint32_t version;
		uint32_t flags;
		struct offlay_ioc_status status;
	} head;

	memcpy(&head, arg, sizeof(head));
	odx_status_pack(status, &head.status);
	memcpy(arg, &head, sizeof(head));
	reply_ioctl(job->req, 0, -status->err, arg, job->size);
}

static void run_token(const struct rules_job *job)
{
	enum offlay_side side = job->op == FAULT_TOKEN_READ
					? OFFLAY_SOURCE
					: OFFLAY_DESTINATION;
	struct fuse_file_info fi = job->fi;
	union {
		struct offlay_ioc_odx_read read;
		struct offlay_ioc_odx_write write;
	} arg;

	memcpy(&arg, job->data, job->size);
	switch (job->hit.answer) {
	case FAULT_ERRNO:
		answer_token(job, &arg, odx_status_of(-job->hit.err, side));
		return;
	case FAULT_REFUSE:
		answer_token(job, &arg, offlay_status_refused(side));
		return;
	case FAULT_SHORT:
	case FAULT_ZERO:
		if (side == OFFLAY_SOURCE)
			arg.read.in.copy_length = job->hit.length;
		else
			arg.write.in.copy_length = job->hit.length;
		break;
	default:
		break;
	}
	op_ioctl(job->req, job->ino, job->cmd, NULL, &fi, 0, &arg, job->size,
		 job->out_size);
}

/* Those that fail, or do not. */
static void run_plain(const struct rules_job *job)
{
	struct fuse_file_info fi = job->fi;
	struct stat attr = job->attr;

	switch (job->op) {
	case FAULT_FSYNC:
		op_fsync(job->req, job->ino, job->number, &fi);
		break;
	case FAULT_OPEN:
		op_open(job->req, job->ino, &fi);
		break;
	case FAULT_CREATE:
		if (job->name)
			op_create(job->req, job->ino, job->name, job->mode,
				  &fi);
		else
			op_tmpfile(job->req, job->ino, job->mode, &fi);
		break;
	default:
		op_setattr(job->req, job->ino, &attr, job->number,
			   job->has_fi ? &fi : NULL);
	}
}

void rules_run(const struct rules_job *job)
{
	if (job->run) {
		job->run(job);
		return;
	}
	switch (job->op) {
	case FAULT_COPY:
		run_copy(job);
		break;
	case FAULT_READ:
		run_read(job);
		break;
	case FAULT_WRITE:
		run_write(job);
		break;
	case FAULT_TOKEN_READ:
	case FAULT_TOKEN_WRITE:
		run_token(job);
		break;
	default:
		if (job->hit.answer == FAULT_ERRNO)
			reply_err(job->req, -job->hit.err);
		else
			run_plain(job);
	}
}
