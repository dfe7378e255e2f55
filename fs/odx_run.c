// SPDX-License-Identifier: MIT
/* Offload read and write of one open file: facts, checks, and the work. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "op_odx.h"

/* Moved by hand in one call; what is left is for the next. */
#define MOVE_MAX    (64ull << 20)
#define ZERO_BUFFER (256u << 10)

static pid_t caller_of(const struct odx_job *job)
{
	return fuse_req_ctx(job->req)->pid;
}

static uid_t uid_of(const struct odx_job *job)
{
	return fuse_req_ctx(job->req)->uid;
}

/* Pages that the kernel caches: dirty ones come here first, all of them go. */
static void drop_pages(struct odx_job *job, uint64_t offset, uint64_t length)
{
	if (job->file->io && job->file->io->mode == IO_CACHED)
		fuse_lowlevel_notify_inval_inode(job->file->fs->se,
						 inode_nodeid(job->file->inode),
						 (off_t)offset, (off_t)length);
}

/* Its size stays, but not its times and suid bits. */
static void drop_attributes(struct odx_job *job)
{
	fuse_lowlevel_notify_inval_inode(job->file->fs->se,
					 inode_nodeid(job->file->inode), -1, 0);
}

static int gather(struct odx_state *odx, struct odx_job *job,
		  const struct odx_request *request, struct odx_file *ret_file)
{
	struct file *file = job->file;
	bool is_source = request->side == OFFLAY_SOURCE;
	struct odx_file facts = { 0 };
	struct stat st;
	int err = 0;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	facts.is_data = file->io && S_ISREG(st.st_mode);
	facts.is_deleted = !st.st_nlink;
	facts.size = facts.valid = (uint64_t)st.st_size;
	if (facts.is_data && (!is_source || odx->fs->opt.deny))
		err = verdict_reach(file, request->side, &facts.reasons);
	if (!err && facts.is_data)
		err = odx_find_lock(odx, file, caller_of(job), !is_source,
				    request->offset, request->length,
				    &facts.is_locked);
	if (!err && facts.is_data && is_source)
		err = odx_find_valid(file->fd, request->offset, request->length,
				     facts.size, &facts.valid);
	if (!err)
		*ret_file = facts;
	return err;
}

static void note_verdict(struct odx_job *job, enum offlay_side side,
			 uint32_t reasons, const struct offlay_status *status)
{
	enum offlay_verdict_kind verdict = OFFLAY_VERDICT_ELIGIBLE;
	bool is_source = side == OFFLAY_SOURCE;

	reasons &= OFFLAY_REASONS_POLICY;
	if (status == offlay_status_refused(side))
		verdict = OFFLAY_VERDICT_REFUSED;
	event_verdict(job->req, verdict, is_source ? reasons : 0,
		      is_source ? 0 : reasons);
}

/* What the storage said: does it not do such a thing at all? */
static void note_decline(struct odx_job *job, int err)
{
	if (err == -EOPNOTSUPP || err == -EXDEV)
		event_verdict(job->req, OFFLAY_VERDICT_DECLINED, 0, 0);
}

/* Request and file, in that order; @ret_plan: length 0 for an empty one. */
static const struct offlay_status *
check(struct odx_state *odx, struct odx_job *job,
      const struct odx_limits *limits, const struct odx_request *request,
      struct odx_file *ret_file, struct odx_plan *ret_plan)
{
	const struct offlay_status *status;
	unsigned int n;
	int err;

	*ret_plan = (struct odx_plan){ 0 };
	status = odx_check_request(limits, request);
	if (status || !request->length)
		return status;
	/* What the caller has stored by mmap belongs to the file. */
	drop_pages(job, request->offset, request->length);
	err = gather(odx, job, request, ret_file);
	if (err)
		return odx_status_of(err, request->side);
	status = odx_check_file(limits, request, ret_file, ret_plan);
	note_verdict(job, request->side, ret_file->reasons, status);
	if (status)
		return status;
	n = atomic_fetch_add(&odx->requests, 1) + 1;
	if (limits->timeout_every && n % limits->timeout_every == 0)
		return offlay_status_by_ntstatus(ODX_IO_TIMEOUT);
	return NULL;
}

static bool can_read(const struct file *file)
{
	return open_is_readable(file->flags);
}

static bool can_write(const struct file *file)
{
	return open_is_writable(file->flags) && !(file->flags & O_APPEND);
}

/* On the filesystem of the file, which may be mounted below SOURCE. */
static int place_of(const struct odx_state *odx, const struct file *file)
{
	int fd = inode_mount_fd(file->inode);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return fd;
	return odx->dir_fd;
}

static void make_token(struct odx_state *odx, struct odx_job *job,
		       const struct odx_plan *plan, uint64_t copy_max,
		       const struct offlay_status **ret_status)
{
	struct offlay_odx_read_input *in = &job->arg.read.in;
	struct offlay_odx_read_output *out = &job->arg.read.out;
	struct snapshot_range range = {
		.src_fd = job->file->fd,
		.dir_fd = place_of(odx, job->file),
		.offset = in->file_offset,
		.length = plan->length,
		.copy_max = copy_max,
	};
	struct offlay_token token;
	uint64_t length;
	int err;

	err = token_make(odx->table, &range, uid_of(job),
			 in->token_time_to_live, odx_now(), &token, &length);
	if (err) {
		note_decline(job, err);
		*ret_status = odx_status_of(err, OFFLAY_SOURCE);
		return;
	}
	event_bytes(job->req, length);
	odx_wake_sweeper(odx);
	out->token = token;
	out->transfer_length = length;
	if (plan->zero_beyond && length == plan->length)
		out->flags = OFFLAY_ODX_READ_ALL_ZERO_BEYOND;
}

const struct offlay_status *odx_run_read(struct odx_state *odx,
					 struct odx_job *job)
{
	struct offlay_ioc_odx_read *arg = &job->arg.read;
	const struct offlay_status *status;
	struct odx_request request = {
		.side = OFFLAY_SOURCE,
		.may_access = can_read(job->file),
		.is_short = job->is_short,
		.size = arg->in.size,
		.size_needed = sizeof(arg->in),
		.offset = arg->in.file_offset,
		.length = arg->in.copy_length,
	};
	struct odx_limits limits;
	struct odx_file file;
	struct odx_plan plan;

	token_limits_get(odx->table, &limits);
	status = check(odx, job, &limits, &request, &file, &plan);
	if (status)
		return status;
	memset(&arg->out, 0, sizeof(arg->out));
	arg->out.size = sizeof(arg->out);
	if (!plan.length)
		return NULL;
	if (plan.is_zero) {
		token_make_zero(&arg->out.token);
		arg->out.transfer_length = plan.length;
		arg->out.flags = OFFLAY_ODX_READ_ALL_ZERO_BEYOND;
		event_bytes(job->req, plan.length);
		return NULL;
	}
	make_token(odx, job, &plan, limits.copy_max, &status);
	return status;
}

static int write_zeros(int fd, uint64_t offset, uint64_t length,
		       uint64_t *ret_done, struct offlay_result *ret_result)
{
	static const char zeros[ZERO_BUFFER];
	uint64_t done = 0;
	ssize_t n = 0;
	int err;

	err = sys_kernel_ops.punch(NULL, fd, offset, length);
	if (!err) {
		*ret_done = ret_result->holes = length;
		return 0;
	}
	if (!copy_is_decline(-err))
		return err;
	length = copy_min(length, MOVE_MAX);
	while (done < length) {
		n = sys_kernel_ops.pwrite(
			NULL, fd, zeros, copy_min(length - done, sizeof(zeros)),
			offset + done);
		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	if (!done)
		return n < 0 ? (int)n : -EIO;
	*ret_done = ret_result->moved = done;
	return 0;
}

static int write_data(struct odx_state *odx, struct odx_job *job,
		      const struct token_use *use, uint64_t length,
		      uint64_t *ret_done)
{
	const struct offlay_odx_write_input *in = &job->arg.write.in;
	struct offlay_range range = { .src_fd = use->fd,
				      .dst_fd = job->file->fd };
	struct offlay_result result;
	uint64_t done = 0, moved = 0;
	int err = 0;

	if (odx->fs->opt.offload == OFFLOAD_CLONE)
		range.flags = OFFLAY_COPY_CLONE_ONLY;
	while (!err && done < length && moved < MOVE_MAX) {
		range.src_offset = use->at + in->transfer_offset + done;
		range.dst_offset = in->file_offset + done;
		range.length = length - done;
		range.max_move = MOVE_MAX - moved;
		err = offlay_copy_range(odx->engine, &range, &result);
		if (err)
			break;
		event_copied(job->req, &result);
		if (!result.copied)
			err = -EIO; /* the snapshot is never too short */
		done += result.copied;
		moved += result.moved + result.offloaded;
		if (result.stop)
			err = -result.stop;
	}
	if (!done)
		return err;
	*ret_done = done;
	return 0;
}

static int put_locked(struct odx_state *odx, struct odx_job *job,
		      const struct token_use *use, uint64_t length,
		      uint64_t *ret_done)
{
	uint64_t offset = job->arg.write.in.file_offset;
	struct offlay_result zeros = { 0 };
	struct file *file = job->file;
	enum creds_writer writer;
	int err;

	writer = creds_enter_writer(job->req, file->fd,
				    creds_caller_drops_suid(job->req));
	if (use->is_zero)
		err = write_zeros(file->fd, offset, length, ret_done, &zeros);
	else
		err = write_data(odx, job, use, length, ret_done);
	creds_leave_writer(job->req, writer);
	event_copied(job->req, &zeros);
	file_changed(file->inode);
	return err;
}

/* Puts what the plan says to its place; whole sectors count. */
static int put(struct odx_state *odx, struct odx_job *job,
	       const struct token_use *use, const struct odx_plan *plan,
	       uint32_t sector)
{
	struct offlay_ioc_odx_write *arg = &job->arg.write;
	uint64_t offset = arg->in.file_offset, done = 0, length = 0, all = 0;
	pthread_rwlock_t *lock = odx_size_lock(odx, job->file->inode);
	struct stat st;
	int err = 0;

	pthread_rwlock_rdlock(lock);
	/* It may have been cut off since it was looked at. */
	if (fstat(job->file->fd, &st) < 0)
		err = -errno;
	else if (offset >= (uint64_t)st.st_size)
		err = -ENODATA;
	if (!err) {
		/* The last sector may reach behind the end; no byte does. */
		length = copy_min(plan->length, (uint64_t)st.st_size - offset);
		all = copy_min(plan->length, odx_round_up(length, sector));
		err = put_locked(odx, job, use, length, &done);
	}
	pthread_rwlock_unlock(lock);
	drop_pages(job, offset, length);
	drop_attributes(job);
	if (err)
		return err;
	done = done == length ? all : done & ~(uint64_t)(sector - 1);
	if (!done)
		return -EIO;
	arg->out.length_written = done;
	event_bytes(job->req, done);
	return 0;
}

const struct offlay_status *odx_run_write(struct odx_state *odx,
					  struct odx_job *job)
{
	struct offlay_ioc_odx_write *arg = &job->arg.write;
	const struct offlay_status *status;
	struct odx_request request = {
		.side = OFFLAY_DESTINATION,
		.read_only = !open_is_writable(job->file->flags) &&
			     mount_state_read_only(odx->fs),
		.may_access = can_write(job->file),
		.is_short = job->is_short,
		.size = arg->in.size,
		.size_needed = sizeof(arg->in),
		.offset = arg->in.file_offset,
		.length = arg->in.copy_length,
		.transfer_offset = arg->in.transfer_offset,
	};
	struct odx_limits limits;
	struct token_use use;
	struct odx_file file;
	struct odx_plan plan;
	int err;

	token_limits_get(odx->table, &limits);
	status = check(odx, job, &limits, &request, &file, &plan);
	if (status)
		return status;
	memset(&arg->out, 0, sizeof(arg->out));
	arg->out.size = sizeof(arg->out);
	if (!plan.length)
		return NULL;
	err = token_take(odx->table, &arg->in.token, uid_of(job), odx_now(),
			 &use);
	if (err)
		return odx_status_of(err, OFFLAY_DESTINATION);
	status = odx_check_token(&limits, &request, use.length, &plan);
	if (!status) {
		err = put(odx, job, &use, &plan, limits.sector);
		if (err)
			status = odx_status_of(err, OFFLAY_DESTINATION);
		note_decline(job, err);
	}
	token_release(odx->table, &use, odx_now());
	return status;
}
