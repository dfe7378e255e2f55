// SPDX-License-Identifier: MIT
/* When to look for the caller, and when to lend it the processor. */
#include "handover.h"

/* Requests in a row that make a caller the only one. */
#define RUN_MIN 2

/* For so long others may have waited without its being anybody's fault. */
#define HARM_NSEC 200000ull

/* How long nothing is lent after others had to wait. */
#define PENALTY_MIN 50000000ull
#define PENALTY_MAX 10000000000ull
/* Where a caller was only busy for long, and nobody may have waited. */
#define PENALTY_MILD 200000000ull

/* After moves that came to nothing, callers that are not looked for. */
#define SKIPS_MAX 63

static void harmed(struct handover *handover, uint64_t now, uint64_t most)
{
	uint64_t penalty = atomic_load(&handover->penalty);
	uint64_t until = atomic_load(&handover->off_until);

	penalty = until && now - until < 8 * penalty ? 2 * penalty
						     : PENALTY_MIN;
	if (penalty > most)
		penalty = most;
	atomic_store(&handover->penalty, penalty);
	atomic_store(&handover->off_until, now + penalty);
}

/*
 * Has somebody waited while the processor was lent the last time?  Who ran on
 * that very processor meanwhile has not: that is for handover_found() to say.
 */
static void look_back(struct handover_thread *thread,
		      const struct handover_request *request, bool is_other)
{
	bool rescued = atomic_exchange(&thread->rescued, false);

	if (rescued)
		harmed(thread->shared, request->now,
		       request->was_waiting ? PENALTY_MAX : PENALTY_MILD);
	thread->is_other = is_other;
	thread->is_late = is_other && request->was_waiting &&
			  thread->lent_nsec > HARM_NSEC;
	thread->lent_nsec = 0;
}

static void forget_place(struct handover_thread *thread)
{
	thread->is_near = false;
	thread->has_moved = false;
	thread->stays = false;
}

void handover_missed(struct handover_thread *thread)
{
	forget_place(thread);
	thread->misses = 2 * thread->misses + 1;
	if (thread->misses > SKIPS_MAX)
		thread->misses = SKIPS_MAX;
	thread->skips = thread->misses;
}

/* How many requests have come from callers that did not overlap. */
static unsigned int count_run(struct handover_thread *thread)
{
	if (!thread->is_other || thread->is_near)
		return atomic_fetch_add(&thread->shared->run, 1) + 1;
	atomic_store(&thread->shared->run, 1);
	return 1;
}

enum handover_step handover_next(struct handover_thread *thread,
				 const struct handover_request *request)
{
	struct handover *shared = thread->shared;
	pid_t last;

	if (request->caller <= 0)
		return HANDOVER_NONE;
	last = atomic_exchange(&shared->caller, request->caller);
	look_back(thread, request, last != request->caller);
	if (count_run(thread) < RUN_MIN ||
	    request->now < atomic_load(&shared->off_until)) {
		forget_place(thread);
		return HANDOVER_NONE;
	}
	/* A program may have woken another one, or begun it, where it ran. */
	if (thread->is_other)
		return HANDOVER_LOOK;
	if (request->was_waiting && thread->is_near)
		return HANDOVER_LEND;
	thread->is_near = false;
	if (thread->skips) {
		thread->skips--;
		return HANDOVER_NONE;
	}
	return HANDOVER_LOOK;
}

static void found_other(struct handover_thread *thread, uint64_t now)
{
	if (thread->is_late)
		harmed(thread->shared, now, PENALTY_MAX);
	atomic_store(&thread->shared->run, 1);
	forget_place(thread);
}

bool handover_found(struct handover_thread *thread, bool is_here, uint64_t now)
{
	bool has_moved = thread->has_moved;

	if (thread->is_other && !is_here) {
		found_other(thread, now);
		return false;
	}
	/* Each time that it moves costs, and the caller is elsewhere again. */
	if (has_moved && !is_here) {
		handover_missed(thread);
		return false;
	}
	if (has_moved)
		thread->misses = 0;
	thread->is_near = is_here;
	thread->has_moved = !is_here;
	thread->stays = true;
	return is_here;
}
