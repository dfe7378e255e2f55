// SPDX-License-Identifier: MIT
/* Who gathers, and the threads that put it into the files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "settle.h"
#include "thread.h"
#include "watch.h"

/* How often somebody looks for what has waited too long, or is waited for. */
#define TICK_NSEC 2000000

/* So many times more, after there was nothing to look for. */
#define IDLE_TICKS 25

struct watch_gathers {
	struct fs *fs;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;  /* there may be something to look after */
	pthread_cond_t full;  /* or to share */
	pthread_cond_t gone;  /* one of @streams gathers no more */
	struct gather *store; /* or NULL; not guarded: never changes */
	struct watch_stream *streams[GATHER_SLOTS];
	pthread_t looker, sharer;
	pid_t sharer_tid;   /* 0: it has not begun */
	int writer_cpu;	    /* that the sharer keeps away from, or -1 */
	bool looks, shares; /* they run */
	bool asleep;	    /* the looker, until it is woken */
	bool idle;	    /* the sharer */
	bool any_full;
	bool stopped;
};

/* With all that comes with the data of the longest write. */
#define REQUEST_SIZE (FS_MAX_WRITE + (64u << 10))

int watch_gathers_new(struct fs *fs, struct watch_gathers **ret_gathers)
{
	struct watch_gathers *gathers = calloc(1, sizeof(*gathers));
	pthread_condattr_t attr;

	if (!gathers)
		return -ENOMEM;
	if (fs->opt.accel && gather_new(REQUEST_SIZE, &gathers->store))
		log_msg(LOG_WARNING, "writes are not gathered: no memory");
	gathers->fs = fs;
	gathers->writer_cpu = -1;
	pthread_mutex_init(&gathers->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&gathers->wake, &attr);
	pthread_cond_init(&gathers->full, NULL);
	pthread_cond_init(&gathers->gone, NULL);
	pthread_condattr_destroy(&attr);
	*ret_gathers = gathers;
	return 0;
}

/* ------------------------------------------------------------ who gathers */

struct gather_file *watch_gathers_add(struct watch_gathers *gathers,
				      struct watch_stream *stream)
{
	struct gather_file *file = NULL;

	pthread_mutex_lock(&gathers->lock);
	for (unsigned int i = 0; i < GATHER_SLOTS && !file; i++) {
		if (gathers->streams[i] || gathers->stopped)
			continue;
		gathers->streams[i] = stream;
		file = &gather_files(gathers->store)[i];
		atomic_store(&file->failed, false);
		atomic_store(&file->fd, stream->file->fd);
	}
	if (file) {
		atomic_fetch_add(&gathers->fs->gathering, 1);
		if (gathers->asleep)
			pthread_cond_signal(&gathers->wake);
	}
	pthread_mutex_unlock(&gathers->lock);
	return file;
}

void watch_gathers_remove(struct watch_gathers *gathers,
			  const struct watch_stream *stream)
{
	pthread_mutex_lock(&gathers->lock);
	for (unsigned int i = 0; i < GATHER_SLOTS; i++) {
		if (gathers->streams[i] != stream)
			continue;
		gathers->streams[i] = NULL;
		atomic_store(&gather_files(gathers->store)[i].fd, -1);
	}
	atomic_fetch_add(&gathers->fs->settled, 1);
	atomic_fetch_sub(&gathers->fs->gathering, 1);
	pthread_cond_broadcast(&gathers->gone);
	pthread_mutex_unlock(&gathers->lock);
}

/*
 * The processor that the writer runs on is lent to it (handover.h): who serves
 * it has no priority there, and must not wait for another thread of ours.
 */
static void leave_writer(struct watch_gathers *gathers)
{
	int cpu = sched_getcpu();
	cpu_set_t cpus;

	if (!gathers->fs->quick || !gathers->sharer_tid ||
	    cpu == gathers->writer_cpu || cpu < 0 || cpu >= CPU_SETSIZE ||
	    !thread_allowed(&cpus))
		return;
	CPU_CLR(cpu, &cpus);
	if (CPU_COUNT(&cpus) &&
	    !sched_setaffinity(gathers->sharer_tid, sizeof(cpus), &cpus))
		gathers->writer_cpu = cpu;
}

void watch_gathers_wake(struct watch_gathers *gathers)
{
	pthread_mutex_lock(&gathers->lock);
	leave_writer(gathers);
	gathers->any_full = true;
	if (gathers->idle)
		pthread_cond_signal(&gathers->full);
	pthread_mutex_unlock(&gathers->lock);
}

/* Whose writes; 0 stands for anything. */
struct whose {
	fuse_ino_t nodeid;
	uint64_t dev, ino; /* the backing's */
};

static const struct whose anybodys;

static bool gathers_for(const struct watch_stream *stream,
			const struct whose *whose)
{
	const struct inode *inode = stream ? stream->file->inode : NULL;

	return inode &&
	       (!whose->nodeid || inode_nodeid(inode) == whose->nodeid) &&
	       (!whose->ino || (inode_ino(inode) == whose->ino &&
				inode_dev(inode) == whose->dev));
}

/*
 * The file of the next one that gathers, from @next on, with a reference; NULL:
 * there is none any more.  One that is being closed settles by itself: @waits
 * until it has.
 */
static struct file *next_file(struct watch_gathers *gathers, unsigned int *next,
			      const struct whose *whose, bool waits)
{
	struct file *file = NULL;

	pthread_mutex_lock(&gathers->lock);
	while (*next < GATHER_SLOTS && !file) {
		struct watch_stream *stream = gathers->streams[*next];

		if (gathers_for(stream, whose) && handle_take(stream->file))
			file = stream->file;
		else if (waits && gathers_for(stream, whose)) {
			pthread_cond_wait(&gathers->gone, &gathers->lock);
			continue;
		}
		++*next;
	}
	pthread_mutex_unlock(&gathers->lock);
	return file;
}

/* ----------------------------------------------- settling for somebody else */

static void settle_file(struct file *file)
{
	struct watch_stream *stream = file->io->stream;

	pthread_mutex_lock(&stream->lock);
	watch_gather_settle(stream);
	pthread_mutex_unlock(&stream->lock);
}

static void settle_for(struct fs *fs, const struct whose *whose)
{
	struct watch_gathers *gathers = watch_gathers(fs);
	unsigned int next = 0;
	struct file *file;

	while ((file = next_file(gathers, &next, whose, true))) {
		settle_file(file);
		handle_put(file);
	}
}

void watch_settle_some(struct fs *fs, fuse_ino_t ino)
{
	settle_for(fs, &(struct whose){ .nodeid = ino });
}

void watch_settle_name(struct fs *fs, const struct pin *parent,
		       const char *name)
{
	struct whose whose;
	struct statx stx;

	if (!atomic_load(&fs->gathering) ||
	    statx(parent->fd, name, AT_SYMLINK_NOFOLLOW, STATX_INO, &stx) < 0)
		return;
	whose = (struct whose){
		.dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.ino = stx.stx_ino,
	};
	settle_for(fs, &whose);
}

int watch_error(struct file *file)
{
	struct watch_stream *stream = file->io ? file->io->stream : NULL;
	int err;

	if (!stream)
		return 0;
	pthread_mutex_lock(&stream->lock);
	err = watch_gather_settle(stream);
	pthread_mutex_unlock(&stream->lock);
	return err;
}

/* ------------------------------------------------------------- the threads */

/* Whoever has the lock looks for himself, sooner or later. */
static void settle_due(struct watch_gathers *gathers)
{
	unsigned int next = 0;
	struct file *file;

	while ((file = next_file(gathers, &next, &anybodys, false))) {
		struct watch_stream *stream = file->io->stream;

		if (pthread_mutex_trylock(&stream->lock) == 0) {
			watch_gather_settle_due(stream);
			pthread_mutex_unlock(&stream->lock);
		}
		handle_put(file);
	}
}

static bool is_idle(const struct watch_gathers *gathers)
{
	return !atomic_load(&gathers->fs->gathering) &&
	       !watch_any_released(gathers->fs->watch);
}

static void wait_tick(struct watch_gathers *gathers)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TICK_NSEC;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&gathers->wake, &gathers->lock, &until);
}

static void *look_after(void *arg)
{
	struct watch_gathers *gathers = arg;
	unsigned int idle = 0;

	thread_roams();
	pthread_mutex_lock(&gathers->lock);
	while (!gathers->stopped) {
		if (idle < IDLE_TICKS || !is_idle(gathers)) {
			wait_tick(gathers);
		} else {
			if (gathers->store)
				gather_trim(gathers->store);
			gathers->asleep = true;
			pthread_cond_wait(&gathers->wake, &gathers->lock);
			gathers->asleep = false;
		}
		idle = is_idle(gathers) ? idle + 1 : 0;
		pthread_mutex_unlock(&gathers->lock);
		settle_due(gathers);
		watch_unbind_idle(gathers->fs->watch);
		pthread_mutex_lock(&gathers->lock);
	}
	pthread_mutex_unlock(&gathers->lock);
	return NULL;
}

/* A part of each file in turn. */
static bool share_some(struct watch_gathers *gathers)
{
	unsigned int next = 0;
	bool shared = false;
	struct file *file;

	while ((file = next_file(gathers, &next, &anybodys, false))) {
		shared |= watch_gather_share(file->io->stream);
		handle_put(file);
	}
	return shared;
}

static void *share(void *arg)
{
	struct watch_gathers *gathers = arg;

	thread_roams();
	pthread_mutex_lock(&gathers->lock);
	gathers->sharer_tid = gettid();
	while (!gathers->stopped) {
		if (!gathers->any_full) {
			gathers->idle = true;
			pthread_cond_wait(&gathers->full, &gathers->lock);
			gathers->idle = false;
			continue;
		}
		gathers->any_full = false;
		pthread_mutex_unlock(&gathers->lock);
		while (share_some(gathers))
			;
		pthread_mutex_lock(&gathers->lock);
	}
	pthread_mutex_unlock(&gathers->lock);
	return NULL;
}

/* With the lock. */
static void start_looker(struct watch_gathers *gathers)
{
	if (!gathers->looks)
		gathers->looks = pthread_create(&gathers->looker, NULL,
						look_after, gathers) == 0;
}

void watch_gathers_rouse(struct watch_gathers *gathers)
{
	pthread_mutex_lock(&gathers->lock);
	if (!gathers->stopped) {
		start_looker(gathers);
		if (gathers->asleep)
			pthread_cond_signal(&gathers->wake);
	}
	pthread_mutex_unlock(&gathers->lock);
}

/* With the lock.  Without a sharer the writers' threads share. */
static bool start_threads(struct watch_gathers *gathers)
{
	start_looker(gathers);
	if (!gathers->shares)
		gathers->shares = pthread_create(&gathers->sharer, NULL, share,
						 gathers) == 0;
	return gathers->looks;
}

struct gather_slot *watch_gathers_take(struct watch_gathers *gathers, int fd)
{
	struct gather_slot *slot;
	bool ready;
	int err;

	if (!gathers->store)
		return NULL;
	/* The keeper is begun first, with as few threads as can be. */
	err = gather_take(gathers->store, fd, &slot);
	if (err) {
		if (err != -EAGAIN && err != -EOPNOTSUPP)
			log_msg(LOG_WARNING,
				"writes are not gathered from now on: %s",
				err == -ECHILD ? "their keeper has ended"
					       : strerror(-err));
		return NULL;
	}
	pthread_mutex_lock(&gathers->lock);
	ready = !gathers->stopped && start_threads(gathers);
	pthread_mutex_unlock(&gathers->lock);
	if (ready)
		return slot;
	gather_put(slot);
	return NULL;
}

void *watch_spare_block(struct fs *fs)
{
	struct gather *store = fs->watch ? watch_gathers(fs)->store : NULL;

	return store ? gather_spare(store) : NULL;
}

void watch_gathers_stop(struct watch_gathers *gathers)
{
	bool looks, shares;

	if (!gathers)
		return;
	pthread_mutex_lock(&gathers->lock);
	gathers->stopped = true;
	looks = gathers->looks;
	shares = gathers->shares;
	gathers->looks = gathers->shares = false;
	pthread_cond_signal(&gathers->wake);
	pthread_cond_signal(&gathers->full);
	pthread_mutex_unlock(&gathers->lock);
	if (looks)
		pthread_join(gathers->looker, NULL);
	if (shares)
		pthread_join(gathers->sharer, NULL);
	watch_settle(gathers->fs, 0);
}

void watch_gathers_free(struct watch_gathers *gathers)
{
	if (!gathers)
		return;
	gather_free(gathers->store);
	pthread_cond_destroy(&gathers->gone);
	pthread_cond_destroy(&gathers->full);
	pthread_cond_destroy(&gathers->wake);
	pthread_mutex_destroy(&gathers->lock);
	free(gathers);
}
