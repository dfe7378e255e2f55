/* SPDX-License-Identifier: MIT */
/* Lending the processor to the caller that waits: handover.c, handover_run.c. */
#ifndef OFFLAY_HANDOVER_H
#define OFFLAY_HANDOVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A request and its answer are two wake-ups.  Left alone, the scheduler spreads
 * the pair over two processors, since the other one is idle at that moment, and
 * each wake-up has to bring a processor out of its sleep: a few microseconds on
 * bare metal, 30 and more in a virtual machine, where the answer itself takes
 * five.
 *
 * So a thread that serves one caller again and again goes to the processor that
 * the caller runs on and stays there, and answers at idle priority (SCHED_IDLE):
 * a processor that only such a thread uses is idle for the scheduler, and the
 * caller stays, too.  It runs at once; when it sleeps for its next request, the
 * thread gets the processor back and finds the request waiting; and where it had
 * gone to sleep itself, it is woken on the processor that runs already.
 *
 * What must not happen is that others wait meanwhile for a thread that does not
 * get the processor: so it is lent only to a caller that is alone, or to those
 * that run on this one processor, is taken back by the watchdog of loop.c, and
 * is not lent for a while when that was necessary.
 */

/* Shared by the threads that serve one mount. */
struct handover {
	atomic_bool possible;
	atomic_int caller; /* the last one that waited for an answer */
	atomic_uint run;   /* requests of callers that did not overlap */
	_Atomic uint64_t off_until; /* nanoseconds, CLOCK_MONOTONIC */
	pthread_mutex_t lock;	    /* guards all below and writing off_until */
	uint64_t penalty;	    /* nanoseconds; of the last time */
};

/* One a thread. */
struct handover_thread {
	struct handover *shared;
	struct fs *fs;
	pid_t tid;
	atomic_uint lent;	/* odd while it has idle priority */
	unsigned int lent_seen; /* of @lent, by the watchdog */
	atomic_bool rescued;	/* had to be given its own priority back */
	atomic_bool roamed;	/* by another thread */
	bool is_near;	    /* runs where the caller runs, as far as known */
	bool has_moved;	    /* went there, and it has not paid yet */
	bool stays;	    /* keeps to one processor, or is to */
	bool is_other;	    /* the caller is not that of the last request */
	bool is_late;	    /* and may have waited for long */
	bool lends;	    /* with the answer to this request */
	unsigned int gains; /* lent so often since it moved */
	unsigned int misses, skips;
	uint64_t lent_since, lent_nsec; /* the last time */
	int next_cpu;			/* to go to after the answer, or -1 */
	pthread_mutex_t lock;		/* guards all below */
	int cpu;			/* kept to, or -1 */
};

/* ------------------------------------------- handover.c: no system calls */

enum handover_step {
	HANDOVER_NONE, /* serve as it is */
	HANDOVER_LOOK, /* see where the caller runs: handover_found() */
	HANDOVER_LEND, /* near the caller: lend with the answer */
};

#define HANDOVER_NOBODY	 0  /* nobody waits for the answer */
#define HANDOVER_UNKNOWN -1 /* somebody of another pid namespace does */

/* A request that was received. */
struct handover_request {
	pid_t caller;	   /* or HANDOVER_* */
	bool is_for_pages; /* so that the caller may not be waiting */
	bool was_waiting;  /* the thread did not have to sleep for it */
	uint64_t now;	   /* nanoseconds, CLOCK_MONOTONIC */
};

enum handover_step handover_next(struct handover_thread *thread,
				 const struct handover_request *request);
/*
 * After HANDOVER_LOOK: true to lend now, the caller being here.  Elsewhere
 * @stays says whether to go there.
 */
bool handover_found(struct handover_thread *thread, bool is_here, uint64_t now);
/* It cannot be gone to, or it is not known where. */
void handover_missed(struct handover_thread *thread);
void handover_forget_place(struct handover_thread *thread);

/* --------------------------------------------------------- handover_run.c */

void handover_init(struct handover *handover, struct fs *fs);
void handover_done(struct handover *handover);
/* Before the thread is started, and after it has ended. */
void handover_thread_init(struct handover_thread *thread,
			  struct handover *handover, struct fs *fs);
void handover_thread_done(struct handover_thread *thread);
/* By the thread itself, before its first request. */
void handover_enter(struct handover_thread *thread);
/* For each request: whether the one before was answered here or not. */
void handover_forget_answer(struct handover_thread *thread);
/*
 * A request is about to be served, while no other thread listens.  True where
 * it is waiting because the caller was lent the processor, so that it is no
 * sign of a second caller.
 */
bool handover_received(struct handover_thread *thread,
		       const struct handover_request *request);
/* By the thread itself, before it is parked. */
void handover_leave(struct handover_thread *thread);

/*
 * By the watchdog, at each tick: gives a thread that has lent its processor
 * since the last tick its priority back, and lets it run anywhere.  True where
 * that was done now, for the first time.
 */
bool handover_rescue(struct handover_thread *thread);
/* By the watchdog, when the mount is idle: it may be woken anywhere again. */
void handover_roam(struct handover_thread *thread);

/*
 * Around the answer to a request, by whichever thread; no lock may be held.
 */
void handover_begin(void);
void handover_end(void);

#endif
