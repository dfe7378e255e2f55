// SPDX-License-Identifier: MIT
/* Worker threads: as few as keep up, and the one that is warm comes first. */
#include <endian.h>
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
 * comes along, at so many bytes a nanosecond at least.
 */
#define NO_WAIT_NSEC   3000
#define BYTES_PER_NSEC 8
#define STREAK	       3

/* Not in kernel headers before 6.18. */
#define COPY_FILE_RANGE_64 53

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

/* Holds the request that this thread serves; NULL in threads of libfuse. */
static _Thread_local const struct fuse_buf *serving;

bool loop_kills_suidgid(void)
{
	const struct fuse_in_header *in;
	const void *arg;

	if (!serving || (serving->flags & FUSE_BUF_IS_FD))
		return false;
	in = serving->mem;
	arg = in + 1;
	switch (in->opcode) {
	case FUSE_OPEN:
		return ((const struct fuse_open_in *)arg)->open_flags &
		       FUSE_OPEN_KILL_SUIDGID;
	case FUSE_WRITE:
		return ((const struct fuse_write_in *)arg)->write_flags &
		       FUSE_WRITE_KILL_SUIDGID;
	default:
		return false;
	}
}

static uint64_t now_nsec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
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

static bool takes_long(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_SYNCFS:
		return true;
	default:
		return false;
	}
}

/* Sent without anybody waiting: no sign of a second caller. */
static bool is_from_nobody(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
	       opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR;
}

/* Pages that the kernel reads ahead or writes back keep no caller waiting. */
static bool is_for_pages(const struct fuse_in_header *in)
{
	const void *arg = in + 1;

	switch (in->opcode) {
	case FUSE_READ:
		return !(((const struct fuse_read_in *)arg)->read_flags &
			 FUSE_READ_LOCKOWNER);
	case FUSE_WRITE:
		return ((const struct fuse_write_in *)arg)->write_flags &
		       FUSE_WRITE_CACHE;
	default:
		return false;
	}
}

/*
 * A request was received; does another one have to be listened for now?
 * @waited: until it came, in nanoseconds
 */
static bool is_overrun(struct worker *worker, uint64_t waited, uint64_t now)
{
	const struct fuse_in_header *in = worker->buf.mem;
	struct handover_request request = {
		.was_waiting = waited <=
			       NO_WAIT_NSEC + in->len / BYTES_PER_NSEC,
		.now = now,
	};
	bool again;

	if (worker->buf.flags & FUSE_BUF_IS_FD)
		return true;
	if (!is_from_nobody(in->opcode) && !is_for_pages(in))
		request.caller = (pid_t)in->pid;
	again = handover_received(&worker->handover, &request);
	if (is_from_nobody(in->opcode))
		return false;
	if (again || !request.was_waiting)
		worker->streak = 0;
	else if (worker->streak < STREAK)
		worker->streak++;
	return worker->streak == STREAK || takes_long(in->opcode);
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
	handover_roam(&worker->handover);
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

/*
 * A libfuse before 3.18 answers COPY_FILE_RANGE_64 with ENOSYS, and the kernel
 * asks again with COPY_FILE_RANGE; but of two callers at once the second turns
 * copies off for the whole mount.  So it is asked as the latter.  The two carry
 * the same; a count that fits 32 bits is answered by the same bytes, too, where
 * the low ones come first.
 */
static void ask_the_old_way(const struct fuse_buf *buf)
{
	struct fuse_in_header *in = buf->mem;

	if (!HAVE_FUSE_COPY_64 && __BYTE_ORDER == __LITTLE_ENDIAN &&
	    !(buf->flags & FUSE_BUF_IS_FD) && in->opcode == COPY_FILE_RANGE_64)
		in->opcode = FUSE_COPY_FILE_RANGE;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct loop *loop = worker->loop;
	unsigned long number;

	serving = &worker->buf;
	handover_enter(&worker->handover);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	do {
		uint64_t start = now_nsec();
		int ret;

		do
			ret = receive(worker);
		while (ret == -EINTR || ret == -EAGAIN);
		if (ret <= 0) {
			end(loop, ret);
			return NULL;
		}
		number = atomic_fetch_add(&loop->received, 1);
		if (atomic_fetch_sub(&loop->listening, 1) == 1) {
			uint64_t now = now_nsec();

			if (is_overrun(worker, now - start, now))
				want_listener(loop);
			wake_watchdog(loop);
		}
		ask_the_old_way(&worker->buf);
		fuse_session_process_buf(loop->se, &worker->buf);
		if (!number)
			set_connected(loop);
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

/* No thread listens; one that has lent its processor may be on its way. */
static void help(struct loop *loop)
{
	struct worker *worker;
	bool rescued = false;

	for (worker = loop->workers; worker; worker = worker->next)
		rescued |= handover_rescue(&worker->handover);
	if (!rescued)
		add_listener(loop);
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

	pthread_mutex_lock(&loop->lock);
	while (!atomic_load(&loop->stop)) {
		unsigned long received;

		if (idle >= TICKS_UNTIL_IDLE && may_sleep(loop)) {
			roam(loop);
			while (!atomic_load(&loop->watched) &&
			       !atomic_load(&loop->stop))
				pthread_cond_wait(&loop->watch, &loop->lock);
			idle = 0;
		}
		sleep_tick(loop);
		received = atomic_load(&loop->received);
		idle = received == seen ? idle + 1 : 0;
		if (received == seen && !atomic_load(&loop->listening))
			help(loop);
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
	pthread_cond_destroy(&loop.watch);
	pthread_mutex_destroy(&loop.lock);
	return err;
}
