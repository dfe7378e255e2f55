// SPDX-License-Identifier: MIT
/* When to look for the caller, and when to lend it the processor. */
#include "handover.h"

/* Requests in a row that make a caller the only one. */
#define RUN_MIN 3

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

/* Has somebody waited while the processor was lent the last time? */
static void look_back(struct handover_thread *thread,
		      const struct handover_request *request, pid_t last)
{
	bool rescued = atomic_exchange(&thread->rescued, false);
	uint64_t lent = thread->lent_nsec;

	thread->lent_nsec = 0;
	if (rescued)
		harmed(thread->shared, request->now,
		       request->was_waiting ? PENALTY_MAX : PENALTY_MILD);
	else if (lent > HARM_NSEC && request->was_waiting &&
		 request->caller != last)
		harmed(thread->shared, request->now, PENALTY_MAX);
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

static enum handover_step next_of_run(struct handover_thread *thread,
				      bool was_waiting)
{
	if (was_waiting && thread->is_near)
		return HANDOVER_LEND;
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
	pid_t last;

	if (request->caller <= 0)
		return HANDOVER_NONE;
	last = atomic_exchange(&shared->caller, request->caller);
	look_back(thread, request, last);
	if (last != request->caller) {
		atomic_store(&shared->run, 1);
		forget_place(thread);
		return HANDOVER_NONE;
	}
	if (atomic_fetch_add(&shared->run, 1) + 1 < RUN_MIN)
		return HANDOVER_NONE;
	if (request->now < atomic_load(&shared->off_until)) {
		forget_place(thread);
		return HANDOVER_NONE;
	}
	return next_of_run(thread, request->was_waiting);
}

bool handover_found(struct handover_thread *thread, bool is_here)
{
	bool has_moved = thread->has_moved;

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
