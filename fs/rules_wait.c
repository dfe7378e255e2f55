// SPDX-License-Identifier: MIT
/*
 * Requests that a fault rule keeps waiting.
 *
 * Each has a thread of its own, so that those that serve requests stay free:
 * the one that clears the rules must come through.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "file.h"
#include "proc.h"
#include "rules.h"
#include "thread.h"

#define WAITING_MAX 256
#define STACK_SIZE  (1u << 20)
#define NSEC	    1000000000ull
#define MSEC	    1000000ull
/* How often a request that hangs looks whether its caller was interrupted. */
#define LOOK_NSEC (50 * MSEC)

/* Hexadecimal, of a line of /proc/TID/status. */
static uint64_t signals_of(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

/*
 * Has the caller a signal to see to, or is it to die?  FUSE_INTERRUPT would
 * tell, and cost every request of every mount a lock in libfuse.
 */
static bool is_interrupted(struct fs *fs, pid_t tid)
{
	char path[32], status[4096];
	uint64_t pending;
	ssize_t n;

	if (tid <= 0)
		return false;
	snprintf(path, sizeof(path), "%d/status", tid);
	n = proc_read(copy_proc_fd(fs), path, status, sizeof(status));
	if (n <= 0)
		return n == -ENOENT || n == -ESRCH;
	pending = signals_of(status, "\nSigPnd:") |
		  signals_of(status, "\nShdPnd:");
	return pending & ~signals_of(status, "\nSigBlk:") &
	       ~signals_of(status, "\nSigIgn:");
}

static struct timespec timespec_of(uint64_t nsec)
{
	return (struct timespec){ .tv_sec = (time_t)(nsec / NSEC),
				  .tv_nsec = (long)(nsec % NSEC) };
}

enum end { TIME_IS_UP, CLEARED, INTERRUPTED };

/* Until the next look at the caller, or the end; woken by clear and stop. */
static enum end wait_a_while(struct rules *rules, const struct rules_job *job,
			     uint64_t until)
{
	struct timespec time = timespec_of(until);
	enum end how = TIME_IS_UP;

	pthread_mutex_lock(&rules->lock);
	if (!rules->stop && rules->generation == job->generation)
		pthread_cond_timedwait(&rules->wake, &rules->lock, &time);
	if (rules->stop)
		how = INTERRUPTED;
	else if (rules->generation != job->generation)
		how = CLEARED;
	pthread_mutex_unlock(&rules->lock);
	return how;
}

static enum end wait_for_end(struct rules *rules, const struct rules_job *job)
{
	bool hangs = job->hit.hangs, ends = job->hit.wait || !hangs;
	uint64_t now = file_now(), end = now + job->hit.wait * MSEC;
	pid_t tid = fuse_req_ctx(job->req)->pid;
	enum end how = TIME_IS_UP;

	while (how == TIME_IS_UP && (!ends || now < end)) {
		uint64_t until = hangs ? now + LOOK_NSEC : end;

		if (ends && end < until)
			until = end;
		how = wait_a_while(rules, job, until);
		if (how == TIME_IS_UP && hangs && is_interrupted(job->fs, tid))
			how = INTERRUPTED;
		now = file_now();
	}
	return how;
}

static void *wait_and_run(void *arg)
{
	struct rules_job *job = arg;
	struct rules *rules = job->fs->rules;

	thread_roams();
	event_give(&job->event);
	switch (wait_for_end(rules, job)) {
	case INTERRUPTED:
		job->hit.answer = FAULT_ERRNO;
		job->hit.err = EINTR;
		/* Tokens have no word for it. */
		if (job->run)
			job->run(job);
		else
			reply_err(job->req, -EINTR);
		break;
	case CLEARED:
		job->hit.answer = FAULT_PLAIN;
		rules_run(job);
		break;
	case TIME_IS_UP:
		rules_run(job);
	}
	free(job->kept);
	free(job);
	pthread_mutex_lock(&rules->lock);
	rules->waiting--;
	pthread_cond_broadcast(&rules->wake);
	pthread_mutex_unlock(&rules->lock);
	return NULL;
}

/* Name and data are the caller's: they have to be kept. */
static struct rules_job *job_keep(const struct rules_job *job)
{
	size_t name_size = job->name ? strlen(job->name) + 1 : 0;
	size_t size = job->data || job->in ? job->size : 0;
	struct rules_job *kept = malloc(sizeof(*kept));
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(size);
	char *memory = malloc(size + name_size + 1);
	bool failed = !kept || !memory;

	if (!failed && job->in) {
		out.buf[0].mem = memory;
		failed = fuse_buf_copy(&out, job->in, 0) != (ssize_t)size;
	}
	if (failed) {
		free(memory);
		free(kept);
		return NULL;
	}
	*kept = *job;
	kept->kept = memory;
	kept->in = NULL;
	if (job->data)
		memcpy(memory, job->data, size);
	if (size)
		kept->data = memory;
	if (name_size)
		kept->name = memcpy(memory + size, job->name, name_size);
	return kept;
}

static int start(struct rules_job *job)
{
	struct rules *rules = job->fs->rules;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_mutex_lock(&rules->lock);
	err = rules->waiting < WAITING_MAX && !rules->stop ? 0 : -EAGAIN;
	if (!err)
		rules->waiting++;
	pthread_mutex_unlock(&rules->lock);
	if (err)
		return err;
	event_take(job->req, &job->event);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	err = -pthread_create(&thread, &attr, wait_and_run, job);
	pthread_attr_destroy(&attr);
	if (err) {
		event_give(&job->event);
		pthread_mutex_lock(&rules->lock);
		rules->waiting--;
		pthread_mutex_unlock(&rules->lock);
	}
	return err;
}

void rules_wait(const struct rules_job *job)
{
	struct rules_job *kept = job_keep(job);
	int err = kept ? start(kept) : -ENOMEM;

	if (!err)
		return;
	log_msg(LOG_WARNING, "rule in line %u: no room to wait: %s",
		job->hit.line, strerror(-err));
	if (kept) {
		free(kept->kept);
		free(kept);
	}
	rules_run(job);
}
