// SPDX-License-Identifier: MIT
/* Clone, deduplicate and map extents: the ioctls that stand in for the VFS's. */
#include <errno.h>
#include <linux/fiemap.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "op_clone.h"
#include "rules.h"

int clone_state_new(struct fs *fs, struct clone_state **ret_clone)
{
	struct clone_state *clone = calloc(1, sizeof(*clone));
	int err;

	if (!clone)
		return -ENOMEM;
	err = aside_new(&clone->aside);
	if (err) {
		free(clone);
		return err;
	}
	clone->fs = fs;
	cookie_table_init(&clone->cookies);
	pthread_mutex_init(&clone->lock, NULL);
	*ret_clone = clone;
	return 0;
}

void clone_state_stop(struct clone_state *clone)
{
	if (clone)
		aside_stop(clone->aside);
}

void clone_state_free(struct clone_state *clone)
{
	if (!clone)
		return;
	aside_free(clone->aside);
	cookie_table_done(&clone->cookies);
	pthread_mutex_destroy(&clone->lock);
	free(clone);
}

/* A system call for many cookies. */
static int take_random(struct clone_state *clone, uint64_t ret_random[2])
{
	uint64_t *random;
	int err = 0;

	pthread_mutex_lock(&clone->lock);
	if (!clone->n_random && getrandom(clone->random, sizeof(clone->random),
					  0) != sizeof(clone->random))
		err = -EIO;
	else if (!clone->n_random)
		clone->n_random = CLONE_RANDOM;
	if (!err) {
		random = clone->random[--clone->n_random];
		memcpy(ret_random, random, sizeof(*clone->random));
		memset(random, 0, sizeof(*clone->random));
	}
	pthread_mutex_unlock(&clone->lock);
	return err;
}

static int run_name(struct clone_job *job)
{
	struct offlay_ioc_name *arg = &job->arg.name;
	uint64_t random[2], cookie[2];
	int err;

	err = clone_check_regular(job->file);
	if (err)
		return err;
	if (!open_is_readable(job->file->flags))
		return -EBADF;
	err = take_random(job->clone, random);
	if (err)
		return err;
	err = cookie_make(&job->clone->cookies, job->fh,
			  fuse_req_ctx(job->req)->uid, file_now(), random,
			  cookie);
	if (err)
		return err;
	memcpy(arg->cookie, cookie, sizeof(cookie));
	arg->lifetime = COOKIE_MSEC;
	return 0;
}

static bool never(const struct clone_job *job)
{
	(void)job;
	return false;
}

static bool always(const struct clone_job *job)
{
	(void)job;
	return true;
}

static bool if_sync(const struct clone_job *job)
{
	return job->arg.extents.map_flags & FIEMAP_FLAG_SYNC;
}

struct ioctl_kind {
	size_t size;
	size_t reserved, reserved_end; /* all zero between */
	uint32_t flags;		       /* that may be set */
	bool has_source;
	int (*run)(struct clone_job *job);
	/* Does it matter what the kernel has cached? */
	bool (*needs_pages)(const struct clone_job *job);
};

#define KIND(type, end)                                             \
	.size = sizeof(type), .reserved = offsetof(type, reserved), \
	.reserved_end = (end)

static const struct ioctl_kind kinds[] = {
	[_IOC_NR(OFFLAY_IOC_NAME)] = {
		KIND(struct offlay_ioc_name, sizeof(struct offlay_ioc_name)),
		.run = run_name,
		.needs_pages = never,
	},
	[_IOC_NR(OFFLAY_IOC_CLONE)] = {
		KIND(struct offlay_ioc_clone, sizeof(struct offlay_ioc_clone)),
		.flags = OFFLAY_SIZE_LIMIT,
		.has_source = true,
		.run = clone_run,
		.needs_pages = always,
	},
	[_IOC_NR(OFFLAY_IOC_DEDUPE)] = {
		KIND(struct offlay_ioc_dedupe,
		     sizeof(struct offlay_ioc_dedupe)),
		.flags = OFFLAY_SIZE_LIMIT,
		.has_source = true,
		.run = clone_run_dedupe,
		.needs_pages = always,
	},
	[_IOC_NR(OFFLAY_IOC_EXTENTS)] = {
		KIND(struct offlay_ioc_extents,
		     offsetof(struct offlay_ioc_extents, extents)),
		.run = clone_run_extents,
		.needs_pages = if_sync,
	},
};

static const struct ioctl_kind *kind_of(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (nr >= sizeof(kinds) / sizeof(*kinds) || !kinds[nr].run ||
	    cmd != _IOC(_IOC_READ | _IOC_WRITE, OFFLAY_IOC_MAGIC, nr,
			kinds[nr].size))
		return NULL;
	return &kinds[nr];
}

static int check_head(const struct clone_job *job,
		      const struct ioctl_kind *kind)
{
	const unsigned char *bytes = (const unsigned char *)&job->arg;

	if (job->arg.head.version != OFFLAY_ABI_VERSION)
		return -EOPNOTSUPP;
	if (job->arg.head.flags & ~kind->flags)
		return -EINVAL;
	for (size_t i = kind->reserved; i < kind->reserved_end; i++)
		if (bytes[i])
			return -EINVAL;
	return 0;
}

/* @length: done, where there was no error */
static void tell_pair(const struct clone_job *job, int err, uint64_t length,
		      uint32_t src_reasons, uint32_t dst_reasons)
{
	enum offlay_verdict_kind verdict = OFFLAY_VERDICT_ELIGIBLE;
	struct offlay_result result = { .copied = length, .cloned = length };

	src_reasons &= OFFLAY_REASONS_POLICY;
	dst_reasons &= OFFLAY_REASONS_POLICY;
	if (err == -EOPNOTSUPP && (src_reasons || dst_reasons))
		verdict = OFFLAY_VERDICT_REFUSED;
	else if (err == -EOPNOTSUPP || err == -EXDEV)
		verdict = OFFLAY_VERDICT_DECLINED;
	event_verdict(job->req, verdict, src_reasons, dst_reasons);
	if (err)
		return;
	event_copied(job->req, &result);
	event_bytes(job->req, length);
}

/* A length of 0 is to the source's end. */
static uint64_t clone_length(const struct clone_job *job)
{
	const struct offlay_ioc_clone *arg = &job->arg.clone;
	struct stat st;

	if (arg->length || fstat(job->src->fd, &st) ||
	    arg->src_offset >= (uint64_t)st.st_size)
		return arg->length;
	return (uint64_t)st.st_size - arg->src_offset;
}

static void tell(const struct clone_job *job, int err)
{
	const struct offlay_ioc_clone *clone = &job->arg.clone;
	const struct offlay_ioc_dedupe *dedupe = &job->arg.dedupe;
	const struct offlay_ioc_extents *extents = &job->arg.extents;
	uint64_t length;

	switch (job->nr) {
	case _IOC_NR(OFFLAY_IOC_CLONE):
		length = clone_length(job);
		event_files(job->req, job->src, job->file);
		event_range(job->req, clone->src_offset, clone->dst_offset,
			    length);
		tell_pair(job, err, length, clone->src_reasons,
			  clone->dst_reasons);
		break;
	case _IOC_NR(OFFLAY_IOC_DEDUPE):
		event_files(job->req, job->src, job->file);
		event_range(job->req, dedupe->src_offset, dedupe->dst_offset,
			    dedupe->length);
		tell_pair(job, err, dedupe->deduped, dedupe->src_reasons,
			  dedupe->dst_reasons);
		break;
	case _IOC_NR(OFFLAY_IOC_EXTENTS):
		event_files(job->req, job->file, NULL);
		event_range(job->req, extents->start, 0, extents->length);
		break;
	}
}

/* What goes back with an error is for who asks for reasons or bad flags. */
static void end(struct clone_job *job, int err)
{
	tell(job, err);
	reply_ioctl(job->req, 0, err, &job->arg, kinds[job->nr].size);
	if (job->src)
		handle_put(job->src);
	handle_put(job->file);
	free(job);
}

static void answer(struct aside_job *aside)
{
	struct clone_job *job = (struct clone_job *)aside;

	if (job->drops)
		event_give(&job->event);
	end(job, kinds[job->nr].run(job));
}

static int find_source(struct clone_job *job)
{
	uint64_t cookie[2], fh;
	int err;

	memcpy(cookie, job->arg.pair.cookie, sizeof(cookie));
	err = cookie_use(&job->clone->cookies, cookie,
			 fuse_req_ctx(job->req)->uid, file_now(), &fh);
	if (err)
		return err;
	job->src = handle_get(job->clone->fs, fh);
	return job->src ? 0 : -ESTALE;
}

static bool has_pages(const struct file *file)
{
	return file && file->io && file->io->mode == IO_CACHED;
}

static void start(struct clone_job *job)
{
	int err;

	job->drops = kinds[job->nr].needs_pages(job) &&
		     (has_pages(job->file) || has_pages(job->src));
	if (!job->drops) {
		answer(&job->aside);
		return;
	}
	job->aside.run = answer;
	event_take(job->req, &job->event);
	err = aside_queue(job->clone->aside, &job->aside);
	if (!err)
		return;
	event_give(&job->event);
	reply_err(job->req, err);
	if (job->src)
		handle_put(job->src);
	handle_put(job->file);
	free(job);
}

/* A fault rule applies: refuses, fails, or does less. */
static void run_ruled(const struct rules_job *ruled)
{
	struct clone_job *job = ruled->arg;
	const struct fault_hit *hit = &ruled->hit;
	bool is_src = hit->side == OFFLAY_SOURCE;
	uint32_t reason = rules_reason(hit->deny);

	switch (hit->answer) {
	case FAULT_ERRNO:
		end(job, -hit->err);
		return;
	case FAULT_REFUSE:
		if (ruled->op == FAULT_CLONE) {
			job->arg.clone.src_reasons = is_src ? reason : 0;
			job->arg.clone.dst_reasons = is_src ? 0 : reason;
		} else {
			job->arg.dedupe.src_reasons = is_src ? reason : 0;
			job->arg.dedupe.dst_reasons = is_src ? 0 : reason;
		}
		end(job, -EOPNOTSUPP);
		return;
	case FAULT_FORBID:
		if (hit->methods & OFFLAY_METHOD_CLONE) {
			end(job, -EOPNOTSUPP);
			return;
		}
		break;
	case FAULT_SHORT:
		job->arg.dedupe.length = hit->length;
		break;
	default:
		break;
	}
	start(job);
}

static bool is_ruled(struct clone_job *job)
{
	bool is_clone = job->nr == _IOC_NR(OFFLAY_IOC_CLONE);
	struct fault_call call = { .op = is_clone ? FAULT_CLONE : FAULT_DEDUPE,
				   .align = RULES_ALIGN };

	if (!rules_name(job->clone->fs, call.op))
		return false;
	call.length = is_clone ? clone_length(job) : job->arg.dedupe.length;
	return rules_take(job->req, &call, job->src, job->file, run_ruled, job);
}

bool op_clone(fuse_req_t req, struct file *file, uint64_t fh, unsigned int cmd,
	      const void *in, size_t in_size, size_t out_size)
{
	const struct ioctl_kind *kind = kind_of(cmd);
	struct clone_job *job;
	int err;

	if (!kind)
		return false;
	if (in_size < kind->size || out_size < kind->size) {
		reply_err(req, -EINVAL);
		return true;
	}
	job = calloc(1, sizeof(*job));
	if (!job) {
		reply_err(req, -ENOMEM);
		return true;
	}
	*job = (struct clone_job){ .clone = fs_of(req)->clone,
				   .req = req,
				   .file = file,
				   .fh = fh,
				   .nr = _IOC_NR(cmd) };
	memcpy(&job->arg, in, kind->size);
	err = check_head(job, kind);
	if (!err && kind->has_source)
		err = find_source(job);
	if (err) {
		reply_err(req, err);
		free(job);
		return true;
	}
	atomic_fetch_add(&file->refs, 1);
	if (!job->src || !is_ruled(job))
		start(job);
	return true;
}
