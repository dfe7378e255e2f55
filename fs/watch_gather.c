// SPDX-License-Identifier: MIT
/* Writes of copies by hand, joined and answered before they are compared. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <syslog.h>

#include "lease.h"
#include "watch.h"

/* Bytes that must be free on the disk: writing all of it must not fail. */
#define ROOM_MIN ((64ull << 20) + (uint64_t)GATHER_SLOTS * FS_MAX_WRITE)

/*
 * Bytes; so much is not copied any more, but stays where it was received.  What
 * smaller writes have filled is shared by the writer's thread.
 */
#define TRADE_MIN (64u << 10)

/* After somebody has come who had to wait, or who would not (O_NONBLOCK). */
#define PAUSE_NSEC 200000000ull

/* Bytes that a thread is woken for, and that are shared at once. */
#define WAKE_MIN  (512u << 10)
#define SHARE_MAX (1u << 20)

void watch_gathered_init(struct watch_gathered *gathered)
{
	*gathered = (struct watch_gathered){ .active = false };
	pthread_mutex_init(&gathered->lock, NULL);
}

void watch_gathered_done(struct watch_gathered *gathered)
{
	pthread_mutex_destroy(&gathered->lock);
}

/* ------------------------------------------------------- into the file */

/* A short write is followed by the error. */
static int write_part(struct watch_stream *stream,
		      const struct watch_part *part)
{
	const struct gather_slot *slot = part->slot;
	uint32_t length = atomic_load(&slot->length), done = 0;
	ssize_t n = 0;

	while (done < length) {
		n = watch_write_from(stream,
				     &(struct watch_write){
					     .dst = stream->file,
					     .who = &part->who,
					     .data = slot->data + done,
					     .size = length - done,
					     .offset = slot->offset + done,
				     },
				     stream->gathered.shift);
		if (n <= 0)
			return n ? (int)n : -EIO;
		done += (uint32_t)n;
	}
	return 0;
}

/* It is in the file, or lost. */
static void free_part(struct watch_stream *stream,
		      const struct watch_part *part)
{
	struct watch_gathered *gathered = &stream->gathered;

	atomic_store(&gathered->file->size,
		     part->slot->offset + atomic_load(&part->slot->length));
	if (gathered->err || stream->match.state != MATCH_FOLLOWING ||
	    !stream->bond.judged)
		atomic_store(&gathered->halted, true);
	atomic_store(&part->slot->length, 0);
	gather_put(part->slot);
}

static bool is_ours(const struct watch_gathered *gathered)
{
	return gather_is_ours(gathered->file,
			      atomic_load(&gathered->file->size));
}

static void tell_lost(struct watch_gathered *gathered,
		      const struct watch_part *part)
{
	uint32_t length = atomic_load(&part->slot->length);

	atomic_store(&gathered->file->failed, true);
	if (length)
		log_msg(LOG_ERR, "%u bytes of a file cannot be written: %s",
			length, strerror(-gathered->err));
}

/*
 * With the lock of what is gathered.  After an error nothing more is written:
 * the file ends there, as if the program had ended with it.
 */
static void end_part(struct watch_stream *stream, const struct watch_part *part)
{
	struct watch_gathered *gathered = &stream->gathered;

	if (!gathered->err && !is_ours(gathered))
		gathered->err = -EIO;
	if (!gathered->err)
		gathered->err = write_part(stream, part);
	if (gathered->err)
		tell_lost(gathered, part);
	free_part(stream, part);
}

static unsigned int count_full(const struct watch_gathered *gathered)
{
	return atomic_load(&gathered->given) - atomic_load(&gathered->taken);
}

/* The oldest ones, SHARE_MAX bytes of them; at least one, if there is one. */
static unsigned int list_full(const struct watch_gathered *gathered,
			      struct watch_part *ret_parts)
{
	unsigned int first = atomic_load(&gathered->taken), n = 0;
	unsigned int count = count_full(gathered);
	size_t size = 0;

	while (n < count) {
		ret_parts[n] = gathered->full[(first + n) % WATCH_GATHER_PARTS];
		size += atomic_load(&ret_parts[n].slot->length);
		if (n && size > SHARE_MAX)
			break;
		n++;
	}
	return n;
}

/* Of the oldest @n parts so many are in the file then. */
static unsigned int end_parts(struct watch_stream *stream,
			      const struct watch_part *parts, unsigned int n)
{
	struct watch_gathered *gathered = &stream->gathered;
	unsigned int ended = 0;

	if (n > 1 && !gathered->err && is_ours(gathered))
		ended = watch_write_parts(stream, parts, n, gathered->shift,
					  &gathered->err);
	if (!ended) {
		end_part(stream, &parts[0]);
		return 1;
	}
	if (gathered->err)
		tell_lost(gathered, &parts[0]);
	for (unsigned int i = 0; i < ended; i++)
		free_part(stream, &parts[i]);
	return ended;
}

/* With the lock of what is gathered: several together, or only the oldest. */
static bool end_full(struct watch_stream *stream)
{
	struct watch_gathered *gathered = &stream->gathered;
	struct watch_part parts[WATCH_GATHER_PARTS];
	uint32_t sizes[WATCH_GATHER_PARTS];
	unsigned int n = list_full(gathered, parts), ended;

	if (!n)
		return false;
	for (unsigned int i = 0; i < n; i++)
		sizes[i] = atomic_load(&parts[i].slot->length);
	ended = end_parts(stream, parts, n);
	for (unsigned int i = 0; i < ended; i++)
		atomic_fetch_sub(&gathered->waiting, sizes[i]);
	atomic_fetch_add(&gathered->taken, ended);
	return true;
}

bool watch_gather_share(struct watch_stream *stream)
{
	struct watch_gathered *gathered = &stream->gathered;
	bool shared;

	if (!count_full(gathered))
		return false;
	pthread_mutex_lock(&gathered->lock);
	shared = end_full(stream);
	pthread_mutex_unlock(&gathered->lock);
	return shared;
}

/* With both locks; gives that of what is gathered back. */
static void settle(struct watch_stream *stream)
{
	struct watch_gathered *gathered = &stream->gathered;
	struct fs *fs = stream->file->fs;

	while (end_full(stream))
		;
	if (gathered->last.slot)
		end_part(stream, &gathered->last);
	gathered->last.slot = NULL;
	if (gathered->err)
		stream->err = gathered->err;
	atomic_store(&gathered->halted, false);
	if (!lease_is_whole(stream->file->fd, F_WRLCK))
		gathered->paused_until = file_now() + PAUSE_NSEC;
	pthread_mutex_unlock(&gathered->lock);
	gathered->active = false;
	lease_give(stream->file->fd);
	watch_gathers_remove(fs->watch->gathers, stream);
	if (stream->match.state == MATCH_GIVEN_UP)
		watch_unbind(fs->watch, stream);
}

int watch_gather_settle(struct watch_stream *stream)
{
	if (stream->gathered.active) {
		pthread_mutex_lock(&stream->gathered.lock);
		settle(stream);
	}
	return stream->err;
}

static bool is_due(const struct watch_stream *stream)
{
	const struct watch_gathered *gathered = &stream->gathered;
	const struct watch_part *oldest = &gathered->last;
	unsigned int taken = atomic_load(&gathered->taken);

	if (!gathered->active)
		return false;
	if (atomic_load(&gathered->given) != taken)
		oldest = &gathered->full[taken % WATCH_GATHER_PARTS];
	return file_now() - oldest->begun > WATCH_GATHER_AGE ||
	       !lease_is_whole(stream->file->fd, F_WRLCK);
}

void watch_gather_settle_due(struct watch_stream *stream)
{
	if (is_due(stream) &&
	    pthread_mutex_trylock(&stream->gathered.lock) == 0)
		settle(stream);
}

/* -------------------------------------------------------------- gathering */

/*
 * Only at the end of the file, so that until it is settled it is shorter and
 * nothing else; and where nothing about the file may change by a write but
 * its data and times.
 */
static bool is_plain_end(int fd, uint64_t offset, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (st.st_mode & (S_ISUID | S_ISGID)) ||
	    offset < (uint64_t)st.st_size)
		return false;
	*ret_size = (uint64_t)st.st_size;
	return true;
}

/* Does a write promise no more than it does elsewhere? */
static bool is_plain_file(int fd)
{
	struct statvfs st;
	int flags = 0;

	/* mount -o sync, chattr +S, and capabilities, which a write drops. */
	return fstatvfs(fd, &st) == 0 && !(st.f_flag & ST_SYNCHRONOUS) &&
	       (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ||
		!(flags & FS_SYNC_FL)) &&
	       fgetxattr(fd, "security.capability", NULL, 0) < 0;
}

static bool has_room(int fd)
{
	struct statvfs st;

	return fstatvfs(fd, &st) == 0 &&
	       (uint64_t)st.f_bavail * st.f_frsize >= ROOM_MIN;
}

/*
 * False: there is no memory, or no room on the disk, or what comes now is from
 * elsewhere.
 */
static bool begin_part(struct watch_stream *stream,
		       const struct watch_write *write)
{
	struct watch_gathered *gathered = &stream->gathered;
	struct watch_gathers *gathers = watch_gathers(stream->file->fs);
	int fd = stream->file->fd;
	struct gather_slot *slot = NULL;

	if (!has_room(fd) ||
	    (write->size >= stream->match.block &&
	     !watch_bond_probe(&stream->bond, write, stream->match.block,
			       gathered->shift)))
		return false;
	if (count_full(gathered) < WATCH_GATHER_PARTS)
		slot = watch_gathers_take(gathers, fd);
	if (!slot && watch_gather_share(stream))
		slot = watch_gathers_take(gathers, fd);
	if (!slot)
		return false;
	slot->offset = gathered->next;
	gathered->last.slot = slot;
	gathered->last.begun = file_now();
	gathered->end = (gathered->next | (GATHER_SIZE - 1)) + 1;
	return true;
}

static void drop_part(struct watch_gathered *gathered)
{
	gather_put(gathered->last.slot);
	gathered->last.slot = NULL;
}

bool watch_gather_begin(struct watch_stream *stream,
			const struct watch_write *write, int64_t shift)
{
	struct watch_gathers *gathers = watch_gathers(write->dst->fs);
	struct watch_gathered *gathered = &stream->gathered;
	int fd = write->dst->fd;
	uint64_t size;

	if (!stream->gathers || !stream->bond.judged ||
	    (shift & (int64_t)(stream->match.block - 1)) ||
	    file_now() < gathered->paused_until ||
	    !is_plain_end(fd, write->offset, &size) || !is_plain_file(fd))
		return false;
	gathered->shift = shift;
	gathered->next = write->offset;
	if (!begin_part(stream, write))
		return false;
	/* The keeper has to know of a lease before there is one. */
	gathered->file = watch_gathers_add(gathers, stream);
	if (gathered->file && lease_take(fd, F_WRLCK)) {
		gathered->active = is_plain_end(fd, write->offset, &size);
		atomic_store(&gathered->file->size, size);
		if (!gathered->active)
			lease_give(fd);
	}
	if (gathered->active)
		return true;
	if (gathered->file)
		watch_gathers_remove(gathers, stream);
	drop_part(gathered);
	return false;
}

/*
 * Small writes take longer than what is to be done here with all of them.  To
 * wake a thread for it would cost more than it can gain: the writer leaves its
 * processor for the one that has just become idle, again and again.
 */
static void give_part(struct watch_stream *stream, size_t size)
{
	struct watch_gathered *gathered = &stream->gathered;
	unsigned int given = atomic_load(&gathered->given);
	size_t waiting = atomic_load(&gathered->last.slot->length);

	waiting += atomic_fetch_add(&gathered->waiting, waiting);
	gathered->full[given % WATCH_GATHER_PARTS] = gathered->last;
	gathered->last = (struct watch_part){ .begun = file_now() };
	atomic_store(&gathered->given, given + 1);
	if (size < TRADE_MIN && waiting >= GATHER_SIZE)
		watch_gather_share(stream);
	else if (waiting >= WAKE_MIN)
		watch_gathers_wake(watch_gathers(stream->file->fs));
}

/* A whole part, in the memory that it was received into. */
static bool trade_block(struct watch_stream *stream,
			const struct watch_write *write)
{
	struct watch_gathered *gathered = &stream->gathered;
	struct gather_slot *slot = gathered->last.slot;
	unsigned char *block;

	if (write->size < TRADE_MIN || atomic_load(&slot->length) ||
	    ((write->offset | write->size) & (stream->match.block - 1)))
		return false;
	block = loop_trade_block(write->data, slot->block);
	if (!block)
		return false;
	slot->block = block;
	slot->data = block + (write->data - block);
	gathered->end = write->offset + write->size;
	return true;
}

/* Return: so many bytes of @write are in the last part now. */
static size_t fill_part(struct watch_stream *stream,
			const struct watch_write *write)
{
	const struct watch_gathered *gathered = &stream->gathered;
	struct gather_slot *slot = gathered->last.slot;
	uint32_t length = atomic_load(&slot->length);
	size_t size = write->size;

	if (!trade_block(stream, write)) {
		if (size > gathered->end - gathered->next)
			size = (size_t)(gathered->end - gathered->next);
		memcpy(slot->data + length, write->data, size);
	}
	atomic_store(&slot->length, length + (uint32_t)size);
	return size;
}

size_t watch_gather_add(struct watch_stream *stream,
			const struct watch_write *write)
{
	struct watch_gathered *gathered = &stream->gathered;
	const struct fuse_ctx *caller = fuse_req_ctx(write->req);
	uint64_t so_far;
	size_t size;

	if (write->offset != gathered->next ||
	    !watch_bond_is_for(&stream->bond, caller) ||
	    !lease_is_whole(write->dst->fd, F_WRLCK) ||
	    !is_plain_end(write->dst->fd, gathered->next, &so_far) ||
	    (!gathered->last.slot && !begin_part(stream, write)) ||
	    atomic_load(&gathered->halted))
		return 0;
	size = fill_part(stream, write);
	gathered->next += size;
	gathered->last.who = (struct watch_who){
		.tid = caller->pid,
		.uid = caller->uid,
	};
	if (gathered->next == gathered->end)
		give_part(stream, write->size);
	return size;
}
