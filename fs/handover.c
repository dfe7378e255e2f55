// SPDX-License-Identifier: MIT
/* When to look for the caller, and when to lend it the processor. */
#include "handover.h"

/* Requests in a row that make a caller the only one. */
#define RUN_MIN 2

/* For so long others may have waited without its being anybody's fault. */
#define HARM_NSEC 200000ull

/* How long nothing is lent after others had to wait: doubled each time. */
#define PENALTY_MIN 50000000ull
#define PENALTY_MAX 10000000000ull
/* Where a caller was only busy for long, and nobody may have waited. */
#define PENALTY_MILD 100000000ull

/* It has paid to go somewhere when so many answers have lent the processor. */
#define GAINS_MIN 4
/* After moves that came to nothing, callers that are not looked for. */
#define SKIPS_MAX 63

/* Called with the lock held. */
static void pause_until(struct handover *handover, uint64_t until)
{
	if (until > atomic_load(&handover->off_until))
		atomic_store(&handover->off_until, until);
}

static void harmed(struct handover *handover, uint64_t now)
{
	uint64_t until;
	bool is_recent;

	pthread_mutex_lock(&handover->lock);
	until = atomic_load(&handover->off_until);
	is_recent = now < until || now - until < 8 * handover->penalty;
	handover->penalty = is_recent ? 2 * handover->penalty : 0;
	if (handover->penalty < PENALTY_MIN)
		handover->penalty = PENALTY_MIN;
	if (handover->penalty > PENALTY_MAX)
		handover->penalty = PENALTY_MAX;
	pause_until(handover, now + handover->penalty);
	pthread_mutex_unlock(&handover->lock);
}

static void busy(struct handover *handover, uint64_t now)
{
	pthread_mutex_lock(&handover->lock);
	pause_until(handover, now + PENALTY_MILD);
	pthread_mutex_unlock(&handover->lock);
}

/*
 * Has somebody waited while the processor was lent the last time?  Who ran on
 * that very processor meanwhile has not: that is for handover_found() to say.
 */
static void look_back(struct handover_thread *thread,
		      const struct handover_request *request, bool is_other)
{
	if (atomic_exchange(&thread->rescued, false)) {
		if (request->was_waiting)
			harmed(thread->shared, request->now);
		else
			busy(thread->shared, request->now);
	}
	thread->is_other = is_other;
	thread->is_late = is_other && request->was_waiting &&
			  thread->lent_nsec > HARM_NSEC;
}

void handover_forget_place(struct handover_thread *thread)
{
	thread->is_near = false;
	thread->has_moved = false;
	thread->stays = false;
}

void handover_missed(struct handover_thread *thread)
{
	handover_forget_place(thread);
	thread->misses = 2 * thread->misses + 1;
	if (thread->misses > SKIPS_MAX)
		thread->misses = SKIPS_MAX;
	thread->skips = thread->misses;
}

/* Each time that it moves costs, and the caller is elsewhere already. */
static void leave_place(struct handover_thread *thread)
{
	if (thread->has_moved)
		handover_missed(thread);
	else
		handover_forget_place(thread);
}

/* Somebody waits who is not on this processor, or may not be. */
static void overlapped(struct handover_thread *thread, uint64_t now,
		       unsigned int run)
{
	if (thread->is_late)
		harmed(thread->shared, now);
	atomic_store(&thread->shared->run, run);
	leave_place(thread);
}

/*
 * How many requests have come from callers that did not overlap, as far as
 * known: who comes next may be where the last one was.
 */
static unsigned int count_run(struct handover_thread *thread)
{
	if (!thread->is_other || thread->is_near || thread->has_moved)
		return atomic_fetch_add(&thread->shared->run, 1) + 1;
	atomic_store(&thread->shared->run, 1);
	return 1;
}

static enum handover_step lend(struct handover_thread *thread)
{
	if (thread->has_moved && ++thread->gains >= GAINS_MIN) {
		thread->has_moved = false;
		thread->misses = 0;
	}
	return HANDOVER_LEND;
}

static enum handover_step next_of_caller(struct handover_thread *thread,
					 const struct handover_request *request)
{
	if (count_run(thread) < RUN_MIN ||
	    request->now < atomic_load(&thread->shared->off_until)) {
		leave_place(thread);
		return HANDOVER_NONE;
	}
	/* A program may have woken another one, or begun it, where it ran. */
	if (thread->is_other)
		return HANDOVER_LOOK;
	if (request->was_waiting && thread->is_near)
		return lend(thread);
	thread->is_near = false;
	if (thread->skips) {
		thread->skips--;
		return HANDOVER_NONE;
	}
	return HANDOVER_LOOK;
}

enum handover_step handover_next(struct handover_thread *thread,
				 const struct handover_request *request)
{
	struct handover *shared = thread->shared;
	enum handover_step step = HANDOVER_NONE;
	pid_t last = atomic_load(&shared->caller);

	/* What the caller's own reading ahead brings says nothing, either. */
	if (request->caller == HANDOVER_NOBODY ||
	    (request->is_for_pages && request->caller == last)) {
		thread->lent_nsec = 0;
		return HANDOVER_NONE;
	}
	look_back(thread, request, request->caller != last);
	atomic_store(&shared->caller, request->caller);
	if (request->caller == HANDOVER_UNKNOWN || request->is_for_pages)
		overlapped(thread, request->now, 0);
	else
		step = next_of_caller(thread, request);
	thread->lent_nsec = 0;
	return step;
}

bool handover_found(struct handover_thread *thread, bool is_here, uint64_t now)
{
	if (is_here) {
		thread->is_near = true;
		thread->stays = true;
		return true;
	}
	if (thread->is_other) {
		overlapped(thread, now, 1);
		return false;
	}
	if (thread->has_moved) {
		handover_missed(thread);
		return false;
	}
	thread->is_near = false;
	thread->has_moved = true;
	thread->gains = 0;
	thread->stays = true;
	return false;
}
