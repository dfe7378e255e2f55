// SPDX-License-Identifier: MIT
/* The ladder of copy methods: what is asked, their order, what is reported. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "private.h"

static const struct {
	enum offlay_method method;
	int (*run)(struct copy_job *job);
} ladder[] = {
	{ OFFLAY_METHOD_CLONE, copy_clone },
	{ OFFLAY_METHOD_OFFLOAD, copy_range },
	{ OFFLAY_METHOD_DATA, copy_data },
};

/* Makes an engine whose system calls are @ops, which outlive it. */
int copy_engine_new(const struct sys_ops *ops, void *ctx,
		    struct offlay_engine **ret_engine)
{
	struct offlay_engine *engine;

	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return -ENOMEM;
	engine->ops = ops;
	engine->ctx = ctx;
	copy_cache_limits_init(&engine->cache);
	pthread_mutex_init(&engine->pairs.lock, NULL);
	pthread_mutex_init(&engine->buffers.lock, NULL);
	*ret_engine = engine;
	return 0;
}

int offlay_engine_new(struct offlay_engine **ret_engine)
{
	return copy_engine_new(&sys_kernel_ops, NULL, ret_engine);
}

void offlay_engine_free(struct offlay_engine *engine)
{
	if (!engine)
		return;
	while (engine->buffers.free_count)
		free(engine->buffers.free[--engine->buffers.free_count]);
	pthread_mutex_destroy(&engine->buffers.lock);
	pthread_mutex_destroy(&engine->pairs.lock);
	free(engine);
}

void *copy_buffer_take(struct copy_buffers *buffers)
{
	void *buffer = NULL;
	bool make = false;

	pthread_mutex_lock(&buffers->lock);
	if (buffers->free_count) {
		buffer = buffers->free[--buffers->free_count];
	} else if (buffers->made < COPY_BUFFERS) {
		buffers->made++;
		make = true;
	}
	pthread_mutex_unlock(&buffers->lock);
	if (!make)
		return buffer;
	buffer = malloc(COPY_BUFFER_SIZE);
	if (!buffer) {
		pthread_mutex_lock(&buffers->lock);
		buffers->made--;
		pthread_mutex_unlock(&buffers->lock);
	}
	return buffer;
}

void copy_buffer_give(struct copy_buffers *buffers, void *buffer)
{
	pthread_mutex_lock(&buffers->lock);
	buffers->free[buffers->free_count++] = buffer;
	pthread_mutex_unlock(&buffers->lock);
}

/*
 * EAGAIN is ZFS with the source not yet on disk, ENOSYS a sandbox.  Everything
 * that is not listed is the file's own trouble and goes to the caller: EIO,
 * ENOSPC, EDQUOT, EFBIG would come again by hand, after much work.
 */
bool copy_is_decline(int err)
{
	switch (err) {
	case EOPNOTSUPP:
	case ENOTTY:
	case ENOSYS:
	case EXDEV:
	case EINVAL:
	case ETXTBSY:
	case EAGAIN:
		return true;
	default:
		return false;
	}
}

/*
 * EPERM and EACCES are how sandboxes and security modules forbid a call that
 * they do not know.  If the file is what they mean, moving data meets them
 * again at once; where none may be moved, they are the answer.
 */
bool copy_goes_on(const struct copy_job *job, int err)
{
	if (err == EPERM || err == EACCES)
		return job->methods & OFFLAY_METHOD_DATA;
	return copy_is_decline(err);
}

static int look(const struct copy_job *job, int fd,
		const struct sys_file *known, struct sys_file *ret_file)
{
	if (!known)
		return job->engine->ops->stat(job->engine->ctx, fd, ret_file);
	*ret_file = *known;
	return 0;
}

static int look_at_both(struct copy_job *job, const struct copy_known *known)
{
	int err;

	err = look(job, job->src_fd, known->src, &job->src);
	if (!err)
		err = look(job, job->dst_fd, known->dst, &job->dst);
	if (err)
		return err;
	if (job->src_offset >= job->src.size)
		job->length = 0;
	else
		job->length =
			copy_min(job->length, job->src.size - job->src_offset);
	return 0;
}

int copy_look_again(struct copy_job *job)
{
	const struct copy_known nothing = { 0 };

	return look_at_both(job, &nothing);
}

static bool same_file(const struct copy_job *job)
{
	return job->src.dev == job->dst.dev && job->src.ino == job->dst.ino;
}

/* The kernel's own checks for copy_file_range(2), in its order. */
static int job_check(const struct copy_job *job, uint64_t asked)
{
	if (S_ISDIR(job->src.mode) || S_ISDIR(job->dst.mode))
		return -EISDIR;
	if (!S_ISREG(job->src.mode) || !S_ISREG(job->dst.mode))
		return -EINVAL;
	if (job->src_offset > INT64_MAX || job->dst_offset > INT64_MAX)
		return -EINVAL;
	if (asked > UINT64_MAX - job->src_offset ||
	    asked > UINT64_MAX - job->dst_offset)
		return -EOVERFLOW;
	if (job->length > INT64_MAX - job->dst_offset)
		return -EFBIG;
	if (same_file(job) && job->length &&
	    job->src_offset < job->dst_offset + job->length &&
	    job->dst_offset < job->src_offset + job->length)
		return -EINVAL;
	return 0;
}

static int look_at_volume(const struct copy_job *job, int fd,
			  const struct sys_file *file,
			  const struct sys_volume *known,
			  struct sys_volume *ret_volume)
{
	struct offlay_engine *engine = job->engine;
	uint64_t now;
	int err;

	if (known) {
		*ret_volume = *known;
		return 0;
	}
	now = engine->ops->now(engine->ctx);
	if (copy_volume_find(&engine->pairs, file->dev, now, ret_volume))
		return 0;
	err = engine->ops->volume(engine->ctx, fd, ret_volume);
	if (!err)
		copy_volume_keep(&engine->pairs, file->dev, now, ret_volume);
	return err;
}

static int job_learn_pair(struct copy_job *job, const struct copy_known *known)
{
	struct offlay_engine *engine = job->engine;
	int err;

	err = look_at_volume(job, job->src_fd, &job->src, known->src_volume,
			     &job->src_volume);
	if (!err)
		err = look_at_volume(job, job->dst_fd, &job->dst,
				     known->dst_volume, &job->dst_volume);
	if (err)
		return err;
	job->key = (struct copy_pair_key){
		.src_dev = job->src.dev,
		.src_fsid = job->src_volume.fsid,
		.src_type = job->src_volume.type,
		.dst_dev = job->dst.dev,
		.dst_fsid = job->dst_volume.fsid,
		.dst_type = job->dst_volume.type,
	};
	copy_pair_look_up(&engine->pairs, &job->key,
			  engine->ops->now(engine->ctx), &job->pair);
	return 0;
}

static int job_init(struct copy_job *job, struct offlay_engine *engine,
		    const struct offlay_range *range,
		    const struct copy_known *known)
{
	int flags, err;

	*job = (struct copy_job){
		.engine = engine,
		.src_fd = range->src_fd,
		.dst_fd = range->dst_fd,
		.src_offset = range->src_offset,
		.dst_offset = range->dst_offset,
		.length = range->length,
		.methods = range->methods ? range->methods : OFFLAY_METHOD_ALL,
		.flags = range->flags,
		.budget = range->max_move ? range->max_move : UINT64_MAX,
	};
	if (job->methods & ~(unsigned int)OFFLAY_METHOD_ALL ||
	    job->flags & ~COPY_FLAGS)
		return -EINVAL;
	if (job->flags & OFFLAY_COPY_CLONE_ONLY)
		job->methods &= OFFLAY_METHOD_CLONE;
	err = look_at_both(job, known);
	if (err)
		return err;
	err = job_check(job, range->length);
	if (err)
		return err;
	/* pwrite() to an O_APPEND descriptor ignores its offset. */
	flags = engine->ops->open_flags(engine->ctx, job->dst_fd);
	if (flags < 0)
		return flags;
	if (flags & O_APPEND)
		return -EBADF;
	return job->length ? job_learn_pair(job, known) : 0;
}

int copy_range_known(struct offlay_engine *engine,
		     const struct offlay_range *range,
		     const struct copy_known *known,
		     struct offlay_result *ret_result)
{
	struct copy_job job;
	int err;

	err = job_init(&job, engine, range, known);
	if (err)
		return err;
	if (job.length == 0) {
		*ret_result = job.result;
		return 0;
	}
	err = -EOPNOTSUPP;
	for (size_t i = 0; i < sizeof(ladder) / sizeof(ladder[0]); i++) {
		if (!(job.methods & ladder[i].method))
			continue;
		err = ladder[i].run(&job);
		if (err != -EOPNOTSUPP || job.result.copied)
			break;
	}
	if (err == 0 || err == -EOPNOTSUPP)
		*ret_result = job.result;
	return err;
}

int offlay_copy_range(struct offlay_engine *engine,
		      const struct offlay_range *range,
		      struct offlay_result *ret_result)
{
	const struct copy_known nothing = { 0 };

	return copy_range_known(engine, range, &nothing, ret_result);
}
