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
	bool possible;	   /* constant while they run */
	atomic_int caller; /* the last one that waited for an answer */
	atomic_uint run;   /* requests of callers that did not overlap */
	_Atomic uint64_t off_until; /* nanoseconds, CLOCK_MONOTONIC */
	_Atomic uint64_t penalty;   /* nanoseconds; of the last time */
};

/* One a thread. */
struct handover_thread {
	struct handover *shared;
	struct fs *fs;
	pid_t tid;
	atomic_bool lent;    /* it has idle priority */
	atomic_bool rescued; /* and had to be given its own back */
	bool is_near;	     /* runs where the caller runs, as far as known */
	bool has_moved;	     /* went there, not known yet whether in vain */
	bool stays;	     /* keeps to one processor, or is to */
	bool is_other;	     /* the caller is not that of the last request */
	bool is_late;	     /* and may have waited for long */
	bool lends;	     /* with the answer to this request */
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

/* A request that was received. */
struct handover_request {
	pid_t caller;	  /* 0: nobody waits, or it is not known who */
	bool was_waiting; /* the thread did not have to sleep for it */
	uint64_t now;	  /* nanoseconds, CLOCK_MONOTONIC */
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

/* --------------------------------------------------------- handover_run.c */

void handover_init(struct handover *handover, struct fs *fs);
/* Before the thread is started, and after it has ended. */
void handover_thread_init(struct handover_thread *thread,
			  struct handover *handover, struct fs *fs);
void handover_thread_done(struct handover_thread *thread);
/* By the thread itself, before its first request. */
void handover_enter(struct handover_thread *thread);
/* By any thread: @thread may run anywhere again. */
void handover_roam(struct handover_thread *thread);
/*
 * A request is about to be served; true where it is of the caller that was
 * served before it, so that it is no sign of a second one.
 */
bool handover_received(struct handover_thread *thread,
		       const struct handover_request *request);
/* By another thread: true where @thread had lent its processor. */
bool handover_rescue(struct handover_thread *thread);

/*
 * Around the answer to a request, by whichever thread; no lock may be held.
 */
void handover_begin(void);
void handover_end(void);

#endif
