// SPDX-License-Identifier: MIT
/* Small writes of copies by hand, joined before they are compared. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <time.h>

#include "lease.h"
#include "settle.h"
#include "thread.h"
#include "watch.h"

/* How often somebody looks for what has waited too long, or is waited for. */
#define TICK_NSEC 2000000

/* So many times more, after there was nothing to look for. */
#define IDLE_TICKS 25

/* Bytes that must be free on the disk: writing them later must not fail. */
#define ROOM_MIN (64ull << 20)

struct watch_gathers {
	struct fs *fs;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;  /* there may be something to look after */
	pthread_cond_t gone;  /* one of @streams gathers no more */
	struct gather *store; /* made on demand */
	struct watch_stream *streams[GATHER_SLOTS];
	pthread_t thread;
	bool running;
	bool asleep; /* until it is woken */
	bool stopped;
};

int watch_gathers_new(struct fs *fs, struct watch_gathers **ret_gathers)
{
	struct watch_gathers *gathers = calloc(1, sizeof(*gathers));
	pthread_condattr_t attr;

	if (!gathers)
		return -ENOMEM;
	gathers->fs = fs;
	pthread_mutex_init(&gathers->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&gathers->wake, &attr);
	pthread_cond_init(&gathers->gone, NULL);
	pthread_condattr_destroy(&attr);
	*ret_gathers = gathers;
	return 0;
}

/* ------------------------------------------------------------ who gathers */

static bool list_add(struct watch_gathers *gathers, struct watch_stream *stream)
{
	bool added = false;

	pthread_mutex_lock(&gathers->lock);
	for (unsigned int i = 0; i < GATHER_SLOTS && !added; i++) {
		if (gathers->streams[i] || gathers->stopped)
			continue;
		gathers->streams[i] = stream;
		added = true;
	}
	if (added) {
		atomic_fetch_add(&gathers->fs->gathering, 1);
		if (gathers->asleep)
			pthread_cond_signal(&gathers->wake);
	}
	pthread_mutex_unlock(&gathers->lock);
	return added;
}

static void list_remove(struct watch_gathers *gathers,
			const struct watch_stream *stream)
{
	pthread_mutex_lock(&gathers->lock);
	for (unsigned int i = 0; i < GATHER_SLOTS; i++)
		if (gathers->streams[i] == stream)
			gathers->streams[i] = NULL;
	atomic_fetch_sub(&gathers->fs->gathering, 1);
	pthread_cond_broadcast(&gathers->gone);
	pthread_mutex_unlock(&gathers->lock);
}

static bool gathers_for(const struct watch_stream *stream, fuse_ino_t ino)
{
	return stream && (!ino || inode_nodeid(stream->file->inode) == ino);
}

/*
 * The file of one that gathers, with a reference; NULL: none there.  One that
 * is being closed settles by itself: @waits until it has.
 */
static struct file *list_file(struct watch_gathers *gathers, unsigned int i,
			      fuse_ino_t ino, bool waits)
{
	struct file *file = NULL;

	pthread_mutex_lock(&gathers->lock);
	while (gathers_for(gathers->streams[i], ino)) {
		if (handle_take(gathers->streams[i]->file))
			file = gathers->streams[i]->file;
		if (file || !waits)
			break;
		pthread_cond_wait(&gathers->gone, &gathers->lock);
	}
	pthread_mutex_unlock(&gathers->lock);
	return file;
}

/* -------------------------------------------------------------- gathering */

/*
 * Only at the end of the file, so that until it is settled it is shorter and
 * nothing else; and where nothing about the file may change by a write but
 * its data and times.
 */
static bool is_plain_end(int fd, uint64_t offset)
{
	struct stat st;

	return fstat(fd, &st) == 0 && !(st.st_mode & (S_ISUID | S_ISGID)) &&
	       offset >= (uint64_t)st.st_size;
}

static bool has_room(int fd)
{
	struct statvfs st;

	return fstatvfs(fd, &st) == 0 &&
	       (uint64_t)st.f_bavail * st.f_frsize >= ROOM_MIN;
}

static bool start_thread(struct watch_gathers *gathers);

/* With memory, a keeper, and somebody who looks after it; or NULL. */
static struct gather_slot *take_slot(struct watch_gathers *gathers, int fd)
{
	struct gather_slot *slot = NULL;
	struct gather *store;
	bool ready;
	int err;

	pthread_mutex_lock(&gathers->lock);
	ready = !gathers->stopped &&
		(gathers->store || gather_new(&gathers->store) == 0) &&
		start_thread(gathers);
	store = gathers->store;
	pthread_mutex_unlock(&gathers->lock);
	if (!ready)
		return NULL;
	err = gather_take(store, fd, &slot);
	if (err && err != -EAGAIN && err != -EOPNOTSUPP)
		log_msg(LOG_WARNING,
			"small writes are not gathered from now on: %s",
			err == -ECHILD ? "their keeper has ended"
				       : strerror(-err));
	return err ? NULL : slot;
}

bool watch_gather_begin(struct watch_stream *stream,
			const struct watch_write *write, int64_t shift)
{
	struct watch_gathers *gathers = watch_gathers(write->dst->fs);
	int fd = write->dst->fd;
	struct gather_slot *slot;

	if (!stream->gathers || write->size >= WATCH_GATHER_BELOW ||
	    (shift & (int64_t)(stream->match.block - 1)) ||
	    !is_plain_end(fd, write->offset) || !has_room(fd))
		return false;
	slot = take_slot(gathers, fd);
	if (!slot)
		return false;
	if (!lease_take(fd, F_WRLCK)) {
		gather_put(slot);
		return false;
	}
	slot->offset = write->offset;
	stream->gathered = (struct watch_gathered){
		.slot = slot,
		.shift = shift,
		.end = (write->offset | (GATHER_SIZE - 1)) + 1,
		.begun = file_now(),
	};
	if (list_add(gathers, stream))
		return true;
	stream->gathered.slot = NULL;
	lease_give(fd);
	gather_put(slot);
	return false;
}

size_t watch_gather_add(struct watch_stream *stream,
			const struct watch_write *write)
{
	struct watch_gathered *gathered = &stream->gathered;
	struct gather_slot *slot = gathered->slot;
	uint32_t length = atomic_load(&slot->length);
	uint64_t next = slot->offset + length;
	size_t size = write->size;

	if (write->offset != next || next == gathered->end ||
	    !lease_is_whole(write->dst->fd, F_WRLCK) ||
	    !is_plain_end(write->dst->fd, next))
		return 0;
	if (size > gathered->end - next)
		size = (size_t)(gathered->end - next);
	memcpy(slot->data + length, write->data, size);
	atomic_store(&slot->length, length + (uint32_t)size);
	gathered->last = file_now();
	gathered->who = (struct watch_who){
		.tid = fuse_req_ctx(write->req)->pid,
		.uid = fuse_req_ctx(write->req)->uid,
	};
	return size;
}

/* A short write is followed by the error. */
static int write_out(struct watch_stream *stream)
{
	const struct watch_gathered *gathered = &stream->gathered;
	const struct gather_slot *slot = gathered->slot;
	uint32_t length = atomic_load(&slot->length), done = 0;
	ssize_t n = 0;

	while (done < length) {
		n = watch_write_from(stream,
				     &(struct watch_write){
					     .dst = stream->file,
					     .data = slot->data + done,
					     .size = length - done,
					     .offset = slot->offset + done,
				     },
				     gathered->shift);
		if (n <= 0)
			return n ? (int)n : -EIO;
		done += (uint32_t)n;
	}
	return 0;
}

int watch_gather_settle(struct watch_stream *stream)
{
	struct watch_gathers *gathers = watch_gathers(stream->file->fs);
	struct gather_slot *slot = stream->gathered.slot;
	int err;

	if (!slot)
		return 0;
	err = write_out(stream);
	if (err)
		log_msg(LOG_ERR, "%u bytes of a file cannot be written: %s",
			atomic_load(&slot->length), strerror(-err));
	atomic_store(&slot->length, 0);
	stream->gathered.slot = NULL;
	lease_give(stream->file->fd);
	list_remove(gathers, stream);
	gather_put(slot);
	return err;
}

/* ----------------------------------------------- settling for somebody else */

/* Keeps the error for the writer. */
static void settle_file(struct file *file)
{
	struct watch_stream *stream = file->io->stream;
	int err;

	pthread_mutex_lock(&stream->lock);
	err = watch_gather_settle(stream);
	if (err)
		stream->err = err;
	pthread_mutex_unlock(&stream->lock);
}

void watch_settle_some(struct fs *fs, fuse_ino_t ino)
{
	struct watch_gathers *gathers = watch_gathers(fs);

	for (unsigned int i = 0; i < GATHER_SLOTS; i++) {
		struct file *file = list_file(gathers, i, ino, true);

		if (!file)
			continue;
		settle_file(file);
		handle_put(file);
	}
}

int watch_error(struct file *file)
{
	struct watch_stream *stream = file->io ? file->io->stream : NULL;
	int err;

	if (!stream)
		return 0;
	pthread_mutex_lock(&stream->lock);
	err = watch_gather_settle(stream);
	if (!err)
		err = stream->err;
	stream->err = 0;
	pthread_mutex_unlock(&stream->lock);
	return err;
}

/* Has it waited too long, or does somebody wait for it? */
static bool is_due(const struct watch_stream *stream)
{
	const struct watch_gathered *gathered = &stream->gathered;
	uint64_t now = file_now();

	return gathered->slot && (now - gathered->last > WATCH_GATHER_IDLE ||
				  now - gathered->begun > WATCH_GATHER_AGE ||
				  !lease_is_whole(stream->file->fd, F_WRLCK));
}

/* Whoever has the lock looks for himself. */
static void settle_due(struct watch_gathers *gathers)
{
	for (unsigned int i = 0; i < GATHER_SLOTS; i++) {
		struct file *file = list_file(gathers, i, 0, false);
		struct watch_stream *stream;
		int err;

		if (!file)
			continue;
		stream = file->io->stream;
		if (pthread_mutex_trylock(&stream->lock) == 0) {
			err = is_due(stream) ? watch_gather_settle(stream) : 0;
			if (err)
				stream->err = err;
			pthread_mutex_unlock(&stream->lock);
		}
		handle_put(file);
	}
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
		if (idle < IDLE_TICKS || atomic_load(&gathers->fs->gathering)) {
			wait_tick(gathers);
		} else {
			gathers->asleep = true;
			pthread_cond_wait(&gathers->wake, &gathers->lock);
			gathers->asleep = false;
		}
		idle = atomic_load(&gathers->fs->gathering) ? 0 : idle + 1;
		pthread_mutex_unlock(&gathers->lock);
		settle_due(gathers);
		pthread_mutex_lock(&gathers->lock);
	}
	pthread_mutex_unlock(&gathers->lock);
	return NULL;
}

/* With the lock. */
static bool start_thread(struct watch_gathers *gathers)
{
	if (!gathers->running)
		gathers->running = pthread_create(&gathers->thread, NULL,
						  look_after, gathers) == 0;
	return gathers->running;
}

void watch_gathers_stop(struct watch_gathers *gathers)
{
	bool running;

	if (!gathers)
		return;
	pthread_mutex_lock(&gathers->lock);
	gathers->stopped = true;
	running = gathers->running;
	gathers->running = false;
	pthread_cond_signal(&gathers->wake);
	pthread_mutex_unlock(&gathers->lock);
	if (running)
		pthread_join(gathers->thread, NULL);
	watch_settle(gathers->fs, 0);
}

void watch_gathers_free(struct watch_gathers *gathers)
{
	if (!gathers)
		return;
	gather_free(gathers->store);
	pthread_cond_destroy(&gathers->gone);
	pthread_cond_destroy(&gathers->wake);
	pthread_mutex_destroy(&gathers->lock);
	free(gathers);
}
