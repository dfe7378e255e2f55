// SPDX-License-Identifier: MIT
/* Goes to the caller's processor, and lends it: the system calls. */
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <unistd.h>

#include "file.h"
#include "handover.h"
#include "proc.h"

/* Of the thread that runs; NULL in threads that serve no caller. */
static _Thread_local struct handover_thread *self;

static const struct sched_param no_priority;

static bool set_policy(pid_t tid, int policy)
{
	return sched_setscheduler(tid, policy, &no_priority) == 0;
}

/* To leave idle priority again takes CAP_SYS_NICE, or an RLIMIT_NICE of 20. */
static void *try_policies(void *arg)
{
	bool *ret_possible = arg;

	*ret_possible = set_policy(0, SCHED_IDLE) && set_policy(0, SCHED_OTHER);
	return NULL;
}

void handover_init(struct handover *handover, struct fs *fs)
{
	bool possible = false;
	pthread_t thread;
	cpu_set_t cpus;

	*handover = (struct handover){ .possible = false };
	if (!fs->opt.handover || sched_getscheduler(0) != SCHED_OTHER ||
	    sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) < 2)
		return;
	/* One that cannot come back must not be one that serves. */
	if (pthread_create(&thread, NULL, try_policies, &possible))
		return;
	pthread_join(thread, NULL);
	handover->possible = possible;
}

void handover_enter(struct handover_thread *thread, struct handover *handover,
		    struct fs *fs)
{
	*thread = (struct handover_thread){ .shared = handover,
					    .fs = fs,
					    .tid = gettid() };
	self = thread;
}

/* Only to a processor that this thread may use, and only for now. */
static enum handover_place go_to(int cpu)
{
	cpu_set_t all, one;

	if (cpu == sched_getcpu())
		return HANDOVER_HERE;
	if (cpu < 0 || cpu >= CPU_SETSIZE ||
	    sched_getaffinity(0, sizeof(all), &all) || !CPU_ISSET(cpu, &all))
		return HANDOVER_AWAY;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return HANDOVER_AWAY;
	sched_setaffinity(0, sizeof(all), &all);
	return HANDOVER_MOVED;
}

bool handover_received(struct handover_thread *thread,
		       const struct handover_request *request)
{
	bool again = request->caller > 0 &&
		     request->caller == atomic_load(&thread->shared->caller);
	enum handover_step step;

	thread->lends = false;
	if (!thread->shared->possible)
		return again;
	step = handover_next(thread, request);
	if (step == HANDOVER_LOOK)
		thread->lends = handover_found(
			thread, go_to(proc_processor(copy_proc_fd(thread->fs),
						     request->caller)));
	else
		thread->lends = step == HANDOVER_LEND;
	return again;
}

bool handover_rescue(struct handover_thread *thread)
{
	if (!atomic_load(&thread->lent) ||
	    !set_policy(thread->tid, SCHED_OTHER))
		return false;
	atomic_store(&thread->rescued, true);
	return true;
}

void handover_begin(void)
{
	if (!self || !self->lends)
		return;
	self->lends = false;
	self->lent_since = file_now();
	atomic_store(&self->lent, true);
	set_policy(0, SCHED_IDLE);
}

void handover_end(void)
{
	if (!self || !atomic_load(&self->lent))
		return;
	set_policy(0, SCHED_OTHER);
	atomic_store(&self->lent, false);
	self->lent_nsec = file_now() - self->lent_since;
}
