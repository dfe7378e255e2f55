// SPDX-License-Identifier: MIT
/* Goes to the caller's processor, and lends it: the system calls. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "file.h"
#include "handover.h"
#include "proc.h"
#include "thread.h"

/*
 * To lend takes so long where nobody takes the processor: what waits then was
 * there before, as the parts of one large read or write are.
 */
#define LENT_NSEC 3000

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

	*handover = (struct handover){ .penalty = 0 };
	pthread_mutex_init(&handover->lock, NULL);
	if (!fs->opt.handover || sched_getscheduler(0) != SCHED_OTHER ||
	    sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) < 2)
		return;
	/* One that cannot come back must not be one that serves. */
	if (pthread_create(&thread, NULL, try_policies, &possible))
		return;
	pthread_join(thread, NULL);
	atomic_store(&handover->possible, possible);
	fs->quick = possible;
}

void handover_done(struct handover *handover)
{
	pthread_mutex_destroy(&handover->lock);
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

/* ------------------------------------------------------------- processors */

static bool stay_on(struct handover_thread *thread, int cpu)
{
	cpu_set_t allowed, one;
	bool stays;

	pthread_mutex_lock(&thread->lock);
	stays = thread->cpu == cpu;
	if (!stays && cpu < CPU_SETSIZE && thread_allowed(&allowed) &&
	    CPU_ISSET(cpu, &allowed)) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		stays = !sched_setaffinity(thread->tid, sizeof(one), &one);
		if (stays)
			thread->cpu = cpu;
	}
	pthread_mutex_unlock(&thread->lock);
	return stays;
}

/* Called with the thread's lock held. */
static void roam(struct handover_thread *thread)
{
	cpu_set_t allowed;

	if (thread->cpu >= 0 && thread_allowed(&allowed) &&
	    !sched_setaffinity(thread->tid, sizeof(allowed), &allowed))
		thread->cpu = -1;
}

/* The lock may be held by one that waits for its new processor. */
void handover_roam(struct handover_thread *thread)
{
	if (pthread_mutex_trylock(&thread->lock))
		return;
	if (thread->cpu >= 0)
		atomic_store(&thread->roamed, true);
	roam(thread);
	pthread_mutex_unlock(&thread->lock);
}

static void roam_now(struct handover_thread *thread)
{
	pthread_mutex_lock(&thread->lock);
	roam(thread);
	pthread_mutex_unlock(&thread->lock);
}

void handover_leave(struct handover_thread *thread)
{
	handover_forget_place(thread);
	roam_now(thread);
}

/* --------------------------------------------------------------- requests */

void handover_forget_answer(struct handover_thread *thread)
{
	thread->lends = false;
	thread->next_cpu = -1;
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
	bool was_lent = thread->lent_nsec > LENT_NSEC;
	bool stayed = thread->stays;
	enum handover_step step;

	if (!atomic_load(&thread->shared->possible))
		return false;
	if (atomic_exchange(&thread->roamed, false))
		handover_forget_place(thread);
	step = handover_next(thread, request);
	thread->lends = step == HANDOVER_LEND ||
			(step == HANDOVER_LOOK && look(thread, request));
	if (stayed && !thread->stays)
		roam_now(thread);
	return was_lent && thread->lends;
}

/* ---------------------------------------------------------------- answers */

bool handover_rescue(struct handover_thread *thread)
{
	unsigned int lent = atomic_load(&thread->lent);
	bool is_same = lent == thread->lent_seen;

	thread->lent_seen = lent;
	if (lent % 2 == 0 || !is_same)
		return false;
	set_policy(thread->tid, SCHED_OTHER);
	handover_roam(thread);
	return !atomic_exchange(&thread->rescued, true);
}

void handover_begin(void)
{
	if (!self || !self->lends)
		return;
	self->lends = false;
	self->lent_since = file_now();
	atomic_fetch_add(&self->lent, 1);
	set_policy(0, SCHED_IDLE);
}

static void take_back(struct handover_thread *thread)
{
	if (!set_policy(0, SCHED_OTHER)) {
		/* Somebody has lowered our limits; the watchdog tries, too. */
		if (atomic_exchange(&thread->shared->possible, false))
			log_msg(LOG_ERR, "cannot leave idle priority: %s",
				strerror(errno));
		return;
	}
	atomic_fetch_add(&thread->lent, 1);
	thread->lent_nsec = file_now() - thread->lent_since;
}

/* To go somewhere takes longer than most answers: so it comes after them. */
void handover_end(void)
{
	int cpu;

	if (!self)
		return;
	if (atomic_load(&self->lent) % 2)
		take_back(self);
	cpu = self->next_cpu;
	self->next_cpu = -1;
	if (cpu < 0 || stay_on(self, cpu))
		return;
	roam_now(self);
	handover_missed(self);
}
