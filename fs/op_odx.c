// SPDX-License-Identifier: MIT
/* The ioctls of offloaded data transfer: who runs them, and what goes back. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "op_odx.h"
#include "thread.h"

#define NSEC	  1000000000ull
#define TICK_NSEC 100000000ull /* expiry is no more exact than this */

uint64_t odx_now(void)
{
	return sys_kernel_ops.now(NULL);
}

int odx_state_new(struct fs *fs, int source_fd, struct odx_state **ret_odx)
{
	struct odx_state *odx = calloc(1, sizeof(*odx));
	pthread_condattr_t clock;
	int err;

	if (!odx)
		return -ENOMEM;
	odx->fs = fs;
	odx->owner = geteuid();
	odx->last = &odx->first;
	odx->dir_fd = fcntl(source_fd, F_DUPFD_CLOEXEC, 0);
	err = odx->dir_fd < 0 ? -errno : 0;
	if (!err)
		err = token_table_new(&fs->opt.tokens, &odx->table);
	if (!err)
		err = offlay_engine_new(&odx->engine);
	for (size_t i = 0; i < ODX_SIZE_LOCKS; i++)
		pthread_rwlock_init(&odx->size_locks[i], NULL);
	pthread_mutex_init(&odx->lock, NULL);
	pthread_cond_init(&odx->wake, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&odx->tick, &clock);
	pthread_condattr_destroy(&clock);
	if (err) {
		odx_state_free(odx);
		return err;
	}
	/* Sent when a lease of ours is in somebody's way. */
	signal(SIGIO, SIG_IGN);
	*ret_odx = odx;
	return 0;
}

void odx_state_stop(struct odx_state *odx)
{
	if (!odx)
		return;
	pthread_mutex_lock(&odx->lock);
	odx->stop = true;
	pthread_cond_broadcast(&odx->wake);
	pthread_cond_broadcast(&odx->tick);
	pthread_mutex_unlock(&odx->lock);
	if (odx->has_worker)
		pthread_join(odx->worker, NULL);
	if (odx->has_sweeper)
		pthread_join(odx->sweeper, NULL);
	odx->has_worker = odx->has_sweeper = false;
}

void odx_state_free(struct odx_state *odx)
{
	uint64_t tokens, bytes;

	if (!odx)
		return;
	if (odx->table) {
		token_count(odx->table, &tokens, &bytes);
		if (tokens)
			log_msg(LOG_INFO, "%llu tokens were still alive",
				(unsigned long long)tokens);
	}
	token_table_free(odx->table);
	offlay_engine_free(odx->engine);
	if (odx->dir_fd >= 0)
		close(odx->dir_fd);
	pthread_cond_destroy(&odx->wake);
	pthread_cond_destroy(&odx->tick);
	for (size_t i = 0; i < ODX_SIZE_LOCKS; i++)
		pthread_rwlock_destroy(&odx->size_locks[i]);
	pthread_mutex_destroy(&odx->lock);
	free(odx);
}

void odx_truncate_begin(struct odx_state *odx, const struct inode *inode)
{
	pthread_rwlock_wrlock(odx_size_lock(odx, inode));
}

void odx_truncate_end(struct odx_state *odx, const struct inode *inode)
{
	pthread_rwlock_unlock(odx_size_lock(odx, inode));
}

static void *sweep(void *arg)
{
	struct odx_state *odx = arg;
	struct timespec until;
	uint64_t next, now, made;

	thread_roams();
	pthread_mutex_lock(&odx->lock);
	while (!odx->stop) {
		made = odx->made;
		pthread_mutex_unlock(&odx->lock);
		now = odx_now();
		next = token_expire(odx->table, now);
		if (next && next < now + TICK_NSEC)
			next = now + TICK_NSEC;
		until.tv_sec = (time_t)(next / NSEC);
		until.tv_nsec = (long)(next % NSEC);
		pthread_mutex_lock(&odx->lock);
		if (odx->stop || odx->made != made)
			continue;
		if (next)
			pthread_cond_timedwait(&odx->tick, &odx->lock, &until);
		else
			pthread_cond_wait(&odx->tick, &odx->lock);
	}
	pthread_mutex_unlock(&odx->lock);
	return NULL;
}

void odx_wake_sweeper(struct odx_state *odx)
{
	pthread_mutex_lock(&odx->lock);
	if (!odx->has_sweeper && !odx->stop)
		odx->has_sweeper =
			!pthread_create(&odx->sweeper, NULL, sweep, odx);
	odx->made++;
	pthread_cond_signal(&odx->tick);
	pthread_mutex_unlock(&odx->lock);
}

static const struct offlay_status *run_drop(struct odx_state *odx,
					    struct odx_job *job)
{
	int err;

	if (job->is_short)
		return offlay_status_by_ntstatus(ODX_BUFFER_TOO_SMALL);
	err = token_drop(odx->table, &job->arg.drop.token,
			 fuse_req_ctx(job->req)->uid, odx_now());
	return err ? odx_status_of(err, OFFLAY_SOURCE) : NULL;
}

static const struct offlay_status *run_volume(struct odx_state *odx,
					      struct odx_job *job)
{
	struct offlay_ioc_odx_volume *arg = &job->arg.volume;
	uid_t uid = fuse_req_ctx(job->req)->uid;
	struct odx_limits limits;
	uint64_t tokens, bytes;
	bool sets;

	if (job->is_short)
		return offlay_status_by_ntstatus(ODX_BUFFER_TOO_SMALL);
	sets = arg->flags & OFFLAY_ODX_SET;
	if (sets) {
		if (uid != 0 && uid != odx->owner)
			return offlay_status_by_ntstatus(ODX_ACCESS_DENIED);
		odx_limits_unpack(arg, &limits);
		if (odx_limits_check(&limits))
			return offlay_status_by_ntstatus(ODX_INVALID_PARAMETER);
		token_limits_set(odx->table, &limits);
		atomic_store(&odx->requests, 0);
	}
	token_limits_get(odx->table, &limits);
	odx_limits_pack(&limits, arg);
	token_count(odx->table, &tokens, &bytes);
	arg->tokens = tokens;
	arg->bytes = bytes;
	return NULL;
}

static const struct ioctl_kind {
	size_t size;
	uint32_t flags; /* that may be set */
	const struct offlay_status *(*run)(struct odx_state *odx,
					   struct odx_job *job);
} kinds[] = {
	[_IOC_NR(OFFLAY_IOC_ODX_READ)] = { sizeof(struct offlay_ioc_odx_read),
					   0, odx_run_read },
	[_IOC_NR(OFFLAY_IOC_ODX_WRITE)] = { sizeof(struct offlay_ioc_odx_write),
					    0, odx_run_write },
	[_IOC_NR(OFFLAY_IOC_ODX_DROP)] = { sizeof(struct offlay_ioc_odx_drop),
					   0, run_drop },
	[_IOC_NR(OFFLAY_IOC_ODX_VOLUME)] = { sizeof(struct
						    offlay_ioc_odx_volume),
					     OFFLAY_ODX_SET, run_volume },
};

static const struct ioctl_kind *kind_of(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (_IOC_TYPE(cmd) != OFFLAY_IOC_MAGIC ||
	    _IOC_DIR(cmd) != (_IOC_READ | _IOC_WRITE) ||
	    nr >= sizeof(kinds) / sizeof(*kinds) || !kinds[nr].run ||
	    _IOC_SIZE(cmd) > kinds[nr].size)
		return NULL;
	return &kinds[nr];
}

static bool are_zero(const __u64 *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (values[i])
			return false;
	return true;
}

/* What the ABI, not the protocol, asks of every structure. */
static int check_head(const struct odx_job *job)
{
	const struct offlay_ioc_odx_volume *volume = &job->arg.volume;

	if (job->arg.head.version != OFFLAY_ABI_VERSION)
		return -EOPNOTSUPP;
	if (job->arg.head.flags & ~kinds[job->nr].flags)
		return -EINVAL;
	if (job->nr == _IOC_NR(OFFLAY_IOC_ODX_VOLUME) &&
	    !are_zero(volume->reserved,
		      sizeof(volume->reserved) / sizeof(*volume->reserved)))
		return -EINVAL;
	return 0;
}

static void note_request(const struct odx_job *job)
{
	const struct offlay_odx_read_input *read = &job->arg.read.in;
	const struct offlay_odx_write_input *write = &job->arg.write.in;

	if (job->is_short)
		return;
	switch (job->nr) {
	case _IOC_NR(OFFLAY_IOC_ODX_READ):
		event_files(job->req, job->file, NULL);
		event_range(job->req, read->file_offset, 0, read->copy_length);
		break;
	case _IOC_NR(OFFLAY_IOC_ODX_WRITE):
		event_files(job->req, NULL, job->file);
		event_range(job->req, write->transfer_offset,
			    write->file_offset, write->copy_length);
		break;
	}
}

static void answer(struct odx_state *odx, struct odx_job *job)
{
	const struct offlay_status *status;
	int err = check_head(job);

	note_request(job);
	if (err) {
		status = offlay_status_by_errno(-err);
		if (err == -EINVAL)
			status = offlay_status_by_ntstatus(
				ODX_INVALID_PARAMETER);
	} else {
		status = kinds[job->nr].run(odx, job);
	}
	odx_status_pack(status, &job->arg.head.status);
	reply_ioctl(job->req, 0, status ? -status->err : 0, &job->arg,
		    job->size);
	handle_put(job->file);
}

static void *work(void *arg)
{
	struct odx_state *odx = arg;
	struct odx_job *job;

	thread_roams();
	pthread_mutex_lock(&odx->lock);
	for (;;) {
		while (!odx->first && !odx->stop)
			pthread_cond_wait(&odx->wake, &odx->lock);
		job = odx->first;
		if (!job)
			break;
		odx->first = job->next;
		if (!odx->first)
			odx->last = &odx->first;
		pthread_mutex_unlock(&odx->lock);
		event_give(&job->event);
		answer(odx, job);
		free(job);
		pthread_mutex_lock(&odx->lock);
	}
	pthread_mutex_unlock(&odx->lock);
	return NULL;
}

/*
 * For another thread: the kernel waits for locked and dirty pages when it is
 * told to drop them, and these wait for the threads that serve requests.
 * There are no more jobs than requests in the kernel.
 */
static int queue(struct odx_state *odx, const struct odx_job *job)
{
	struct odx_job *copy = malloc(sizeof(*copy));
	int err = 0;

	if (!copy)
		return -ENOMEM;
	*copy = *job;
	pthread_mutex_lock(&odx->lock);
	if (!odx->has_worker && !odx->stop)
		odx->has_worker =
			!pthread_create(&odx->worker, NULL, work, odx);
	if (odx->has_worker && !odx->stop) {
		event_take(job->req, &copy->event);
		*odx->last = copy;
		odx->last = &copy->next;
		pthread_cond_signal(&odx->wake);
	} else {
		err = -ENOMEM;
	}
	pthread_mutex_unlock(&odx->lock);
	if (err)
		free(copy);
	return err;
}

bool op_odx(fuse_req_t req, struct file *file, unsigned int cmd, const void *in,
	    size_t in_size, size_t out_size)
{
	struct odx_state *odx = fs_of(req)->odx;
	const struct ioctl_kind *kind = kind_of(cmd);
	struct odx_job job = { .req = req, .nr = _IOC_NR(cmd) };
	int err;

	if (!kind)
		return false;
	job.size = in_size;
	job.is_short = in_size < kind->size;
	if (in_size != _IOC_SIZE(cmd) || out_size < in_size ||
	    in_size < sizeof(job.arg.head)) {
		reply_err(req, -EMSGSIZE);
		return true;
	}
	memcpy(&job.arg, in, in_size);
	atomic_fetch_add(&file->refs, 1);
	job.file = file;
	if (!file->io || file->io->mode != IO_CACHED) {
		answer(odx, &job);
		return true;
	}
	err = queue(odx, &job);
	if (err) {
		handle_put(file);
		reply_err(req, err);
	}
	return true;
}
