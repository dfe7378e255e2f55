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

void handover_thread_init(struct handover_thread *thread,
			  struct handover *handover, struct fs *fs)
{
	*thread = (struct handover_thread){
		.shared = handover, .fs = fs, .next_cpu = -1, .cpu = -1
	};
	pthread_mutex_init(&thread->lock, NULL);
}

void handover_thread_done(struct handover_thread *thread)
{
	pthread_mutex_destroy(&thread->lock);
}

void handover_enter(struct handover_thread *thread)
{
	thread->tid = gettid();
	self = thread;
}

/*
 * The first thread never keeps to a processor: what it may use is what whoever
 * started the daemon, or an administrator since, has chosen.
 */
static bool read_allowed(cpu_set_t *ret_allowed)
{
	return sched_getaffinity(getpid(), sizeof(*ret_allowed), ret_allowed) ==
	       0;
}

static bool stay_on(struct handover_thread *thread, int cpu)
{
	cpu_set_t allowed, one;
	bool stays;

	pthread_mutex_lock(&thread->lock);
	stays = cpu < CPU_SETSIZE && read_allowed(&allowed) &&
		CPU_ISSET(cpu, &allowed);
	if (stays && thread->cpu != cpu) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		stays = !sched_setaffinity(thread->tid, sizeof(one), &one);
		if (stays)
			thread->cpu = cpu;
	}
	pthread_mutex_unlock(&thread->lock);
	return stays;
}

void handover_roam(struct handover_thread *thread)
{
	cpu_set_t allowed;

	pthread_mutex_lock(&thread->lock);
	if (thread->cpu >= 0 && read_allowed(&allowed))
		sched_setaffinity(thread->tid, sizeof(allowed), &allowed);
	thread->cpu = -1;
	pthread_mutex_unlock(&thread->lock);
}

static bool look(struct handover_thread *thread,
		 const struct handover_request *request)
{
	int cpu = proc_processor(copy_proc_fd(thread->fs), request->caller);
	bool lends;

	if (cpu < 0) {
		handover_missed(thread);
		return false;
	}
	lends = handover_found(thread, cpu == sched_getcpu(), request->now);
	if (thread->stays)
		thread->next_cpu = cpu;
	return lends;
}

bool handover_received(struct handover_thread *thread,
		       const struct handover_request *request)
{
	bool again = request->caller > 0 &&
		     request->caller == atomic_load(&thread->shared->caller);
	bool stayed = thread->stays;
	enum handover_step step;

	thread->lends = false;
	if (!thread->shared->possible) {
		if (request->caller > 0)
			atomic_store(&thread->shared->caller, request->caller);
		return again;
	}
	step = handover_next(thread, request);
	thread->lends = step == HANDOVER_LEND ||
			(step == HANDOVER_LOOK && look(thread, request));
	if (stayed && !thread->stays)
		handover_roam(thread);
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

static void take_back(struct handover_thread *thread)
{
	set_policy(0, SCHED_OTHER);
	atomic_store(&thread->lent, false);
	thread->lent_nsec = file_now() - thread->lent_since;
}

/* To go somewhere takes longer than most answers: so it comes after them. */
void handover_end(void)
{
	int cpu;

	if (!self)
		return;
	if (atomic_load(&self->lent))
		take_back(self);
	cpu = self->next_cpu;
	self->next_cpu = -1;
	if (cpu < 0 || stay_on(self, cpu))
		return;
	handover_roam(self);
	handover_missed(self);
}
