// SPDX-License-Identifier: MIT
/* Worker threads: as few as keep up, and the one that is warm comes first. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "file.h"
#include "handover.h"
#include "settle.h"
#include "thread.h"
#include "wire.h"

/*
 * The kernel hands a request to whoever has waited longest: with several
 * threads in read(2) each request wakes the one whose stack and caches are
 * coldest.  So one thread listens, works, and listens again, and the others
 * are parked, the last one on top.  A second listener is wanted
 *  - at once for requests that are known to take long,
 *  - when requests were found waiting several times in a row,
 *  - when a request takes longer than a tick of the watchdog: no request may
 *    have to wait for another one, which could even be waiting for it.
 */

#define TICK_NSEC	 2000000
#define TICKS_UNTIL_IDLE 20
/*
 * A read(2) that takes no longer than this did not sleep; the data of a write
 * comes along, in about so many bytes a nanosecond.
 */
#define NO_WAIT_NSEC   3000
#define BYTES_PER_NSEC 8
#define STREAK	       3

struct worker {
	struct loop *loop;
	struct worker *next;   /* of all */
	struct worker *parked; /* below this one */
	pthread_t thread;
	pthread_cond_t wake;
	bool go; /* guarded by the loop's lock */
	unsigned int streak;
	struct handover_thread handover;
	struct fuse_buf buf;
	const void *request; /* that is served, in memory; or NULL */
	bool has_block;	     /* @buf's memory may be traded */
};

struct loop {
	struct fs *fs;
	struct fuse_session *se;
	struct handover handover;
	pthread_t owner; /* gets END_SIGNAL */
	atomic_uint listening;
	atomic_ulong received;
	atomic_bool watched; /* the watchdog is awake */
	atomic_bool stop;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t watch;
	bool connected; /* INIT was answered; libfuse wants it done alone */
	struct worker *workers;
	struct worker *parked;
	unsigned int n_workers, n_max;
	int err;
};

#define END_SIGNAL SIGUSR1

/* The thread that runs; NULL in threads of libfuse. */
static _Thread_local struct worker *self;

bool loop_kills_suidgid(void)
{
	return self && self->request && wire_kills_suidgid(self->request);
}

void *loop_trade_block(const void *data, void *block)
{
	unsigned char *mem = self && self->has_block ? self->buf.mem : NULL;

	if (!mem || (const unsigned char *)data < mem ||
	    (const unsigned char *)data >= mem + self->buf.size)
		return NULL;
	self->buf.mem = block;
	return mem;
}

/* ------------------------------------------------------------- listeners */

static int start_worker(struct loop *loop);

/* Called with the lock held. */
static void add_listener(struct loop *loop)
{
	struct worker *worker = loop->parked;

	if (atomic_load(&loop->stop) || !loop->connected)
		return;
	if (worker) {
		loop->parked = worker->parked;
		worker->go = true;
		atomic_fetch_add(&loop->listening, 1);
		pthread_cond_signal(&worker->wake);
	} else if (loop->n_workers < loop->n_max) {
		atomic_fetch_add(&loop->listening, 1);
		if (start_worker(loop))
			atomic_fetch_sub(&loop->listening, 1);
	}
}

static void want_listener(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	if (!atomic_load(&loop->listening))
		add_listener(loop);
	pthread_mutex_unlock(&loop->lock);
}

/*
 * A request was received; does another one have to be listened for now?
 * @waited: until it came, in nanoseconds
 */
static bool is_overrun(struct worker *worker, uint64_t waited, uint64_t now)
{
	const struct fuse_in_header *in = worker->buf.mem;
	struct handover_request request = {
		.caller = HANDOVER_NOBODY,
		.was_waiting = waited <=
			       NO_WAIT_NSEC + in->len / BYTES_PER_NSEC,
		.now = now,
	};
	enum wire_kind kind;

	if (worker->buf.flags & FUSE_BUF_IS_FD)
		return true;
	kind = wire_kind(in);
	if (kind != WIRE_NOBODY)
		request.caller = in->pid ? (pid_t)in->pid : HANDOVER_UNKNOWN;
	request.is_for_pages = kind == WIRE_PAGES;
	if (handover_received(&worker->handover, &request) ||
	    (kind != WIRE_NOBODY && !request.was_waiting))
		worker->streak = 0;
	else if (kind != WIRE_NOBODY && worker->streak < STREAK)
		worker->streak++;
	if (kind == WIRE_NOBODY)
		return false;
	return worker->streak == STREAK || wire_takes_long(in);
}

static void wake_watchdog(struct loop *loop)
{
	if (atomic_exchange(&loop->watched, true))
		return;
	pthread_mutex_lock(&loop->lock);
	pthread_cond_signal(&loop->watch);
	pthread_mutex_unlock(&loop->lock);
}

/* The next listener, or parked while there is one; false at the end. */
static bool listen_again(struct worker *worker)
{
	struct loop *loop = worker->loop;
	unsigned int none = 0;

	if (atomic_load(&loop->stop))
		return false;
	if (atomic_compare_exchange_strong(&loop->listening, &none, 1))
		return true;
	handover_leave(&worker->handover);
	pthread_mutex_lock(&loop->lock);
	none = 0;
	if (!atomic_compare_exchange_strong(&loop->listening, &none, 1)) {
		worker->go = false;
		worker->parked = loop->parked;
		loop->parked = worker;
		while (!worker->go && !atomic_load(&loop->stop))
			pthread_cond_wait(&worker->wake, &loop->lock);
		worker->streak = 0;
	}
	pthread_mutex_unlock(&loop->lock);
	return !atomic_load(&loop->stop);
}

static void end(struct loop *loop, int err)
{
	pthread_mutex_lock(&loop->lock);
	if (!atomic_exchange(&loop->stop, true)) {
		loop->err = err;
		pthread_kill(loop->owner, END_SIGNAL);
	}
	pthread_mutex_unlock(&loop->lock);
}

/* Only a thread that waits for a request may be cancelled. */
static int receive(struct worker *worker)
{
	int ret;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	ret = fuse_session_receive_buf(worker->loop->se, &worker->buf);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return ret;
}

static void set_connected(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->connected = true;
	pthread_mutex_unlock(&loop->lock);
}

/* The first request makes sure of how long one may be. */
static void take_block(struct worker *worker)
{
	void *block = watch_spare_block(worker->loop->fs);

	if (!block)
		return;
	free(worker->buf.mem);
	worker->buf.mem = block;
	worker->has_block = true;
}

static void serve(struct worker *worker)
{
	struct loop *loop = worker->loop;

	worker->request = NULL;
	if (!(worker->buf.flags & FUSE_BUF_IS_FD)) {
		worker->request = worker->buf.mem;
		wire_ask_the_old_way(worker->buf.mem);
	}
	fuse_session_process_buf(loop->se, &worker->buf);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct loop *loop = worker->loop;
	unsigned long number;

	thread_roams();
	self = worker;
	if (atomic_load(&loop->received))
		take_block(worker);
	handover_enter(&worker->handover);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	do {
		uint64_t start = file_now();
		int ret;

		do
			ret = receive(worker);
		while (ret == -EINTR || ret == -EAGAIN);
		if (ret <= 0) {
			end(loop, ret);
			return NULL;
		}
		number = atomic_fetch_add(&loop->received, 1);
		handover_forget_answer(&worker->handover);
		if (atomic_fetch_sub(&loop->listening, 1) == 1) {
			uint64_t now = file_now();

			if (is_overrun(worker, now - start, now))
				want_listener(loop);
			wake_watchdog(loop);
		}
		serve(worker);
		if (!number) {
			set_connected(loop);
			take_block(worker);
		}
	} while (listen_again(worker));
	return NULL;
}

/* Called with the lock held. */
static int start_worker(struct loop *loop)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int err;

	if (!worker)
		return -ENOMEM;
	worker->loop = loop;
	handover_thread_init(&worker->handover, &loop->handover, loop->fs);
	pthread_cond_init(&worker->wake, NULL);
	err = pthread_create(&worker->thread, NULL, work, worker);
	if (err) {
		log_msg(LOG_WARNING, "cannot start a thread: %s",
			strerror(err));
		pthread_cond_destroy(&worker->wake);
		handover_thread_done(&worker->handover);
		free(worker);
		return -err;
	}
	worker->next = loop->workers;
	loop->workers = worker;
	loop->n_workers++;
	return 0;
}

/* -------------------------------------------------------------- watchdog */

static void sleep_tick(struct loop *loop)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TICK_NSEC;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&loop->watch, &loop->lock, &until);
}

/*
 * Sleeps while a thread listens and nothing comes.  Whoever takes the last
 * listener away looks at @watched after it, as this looks at @listening after
 * @watched: one of the two sees the other.
 */
static bool may_sleep(struct loop *loop)
{
	atomic_store(&loop->watched, false);
	if (atomic_load(&loop->listening))
		return true;
	atomic_store(&loop->watched, true);
	return false;
}

/* Those that had lent their processor before the last tick. */
static bool rescue(struct loop *loop)
{
	struct worker *worker;
	bool rescued = false;

	for (worker = loop->workers; worker; worker = worker->next)
		rescued |= handover_rescue(&worker->handover);
	return rescued;
}

static bool is_lent(const struct loop *loop)
{
	const struct worker *worker;
	bool lent = false;

	for (worker = loop->workers; worker; worker = worker->next)
		lent |= atomic_load(&worker->handover.lent) % 2;
	return lent;
}

/* Who calls next may do it from anywhere. */
static void roam(struct loop *loop)
{
	struct worker *worker;

	for (worker = loop->workers; worker; worker = worker->next)
		handover_roam(&worker->handover);
}

static void *watch(void *arg)
{
	struct loop *loop = arg;
	unsigned long seen = 0;
	unsigned int idle = 0;

	thread_roams();
	pthread_mutex_lock(&loop->lock);
	while (!atomic_load(&loop->stop)) {
		unsigned long received;

		if (idle >= TICKS_UNTIL_IDLE && !is_lent(loop) &&
		    may_sleep(loop)) {
			roam(loop);
			while (!atomic_load(&loop->watched) &&
			       !atomic_load(&loop->stop))
				pthread_cond_wait(&loop->watch, &loop->lock);
			idle = 0;
		}
		sleep_tick(loop);
		if (atomic_load(&loop->stop)) /* the workers go */
			break;
		received = atomic_load(&loop->received);
		idle = received == seen ? idle + 1 : 0;
		/* Who was helped may be on its way. */
		if (!rescue(loop) && received == seen &&
		    !atomic_load(&loop->listening))
			add_listener(loop);
		seen = received;
	}
	pthread_mutex_unlock(&loop->lock);
	return NULL;
}

/* ------------------------------------------------------------------ loop */

static int loop_init(struct loop *loop, struct fs *fs)
{
	pthread_condattr_t clock;
	int err;

	*loop = (struct loop){ .fs = fs,
			       .se = fs->se,
			       .owner = pthread_self(),
			       .n_max = fs->opt.max_threads };
	handover_init(&loop->handover, fs);
	atomic_init(&loop->watched, true);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	err = pthread_cond_init(&loop->watch, &clock);
	pthread_condattr_destroy(&clock);
	return -err;
}

static void stop_workers(struct loop *loop)
{
	struct worker *worker, *next;

	pthread_mutex_lock(&loop->lock);
	atomic_store(&loop->stop, true);
	pthread_cond_signal(&loop->watch);
	for (worker = loop->workers; worker; worker = worker->next) {
		pthread_cond_signal(&worker->wake);
		pthread_cancel(worker->thread);
	}
	pthread_mutex_unlock(&loop->lock);
	/* None is added any more. */
	for (worker = loop->workers; worker; worker = next) {
		next = worker->next;
		pthread_join(worker->thread, NULL);
		pthread_cond_destroy(&worker->wake);
		handover_thread_done(&worker->handover);
		if (!worker->has_block)
			free(worker->buf.mem);
		free(worker);
	}
}

/* Until a signal ends it, or the kernel hangs up. */
static void wait_for_end(const sigset_t *ending)
{
	int signal;

	while (sigwait(ending, &signal))
		;
}

static int run(struct loop *loop, struct fs *fs, const sigset_t *ending,
	       void (*stop)(struct fs *fs))
{
	pthread_t watchdog;
	int err;

	err = -pthread_create(&watchdog, NULL, watch, loop);
	if (err)
		return err;
	pthread_mutex_lock(&loop->lock);
	atomic_store(&loop->listening, 1);
	err = start_worker(loop);
	pthread_mutex_unlock(&loop->lock);
	if (!err) {
		wait_for_end(ending);
		stop(fs);
		fuse_session_exit(loop->se);
	}
	stop_workers(loop);
	pthread_join(watchdog, NULL);
	return err ? err : loop->err;
}

int loop_run(struct fs *fs, const sigset_t *ending_signals,
	     void (*stop)(struct fs *fs))
{
	sigset_t ending = *ending_signals;
	struct loop loop;
	int err;

	err = loop_init(&loop, fs);
	if (err)
		return err;
	sigaddset(&ending, END_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &ending, NULL);
	err = run(&loop, fs, &ending, stop);
	handover_done(&loop.handover);
	pthread_cond_destroy(&loop.watch);
	pthread_mutex_destroy(&loop.lock);
	return err;
}
