// SPDX-License-Identifier: MIT
/* Watches what is written into new files, for programs that copy by hand. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <xxhash.h>

#include "proc.h"
#include "watch.h"

/* Streams with a source at once: each holds one more descriptor. */
#define BONDS_MAX 32

/* No larger blocks are compared. */
#define BLOCK_MAX (64u << 10)

/* Flags under which a write promises more than a clone does. */
#define OTHER_WRITES (O_APPEND | O_DIRECT | O_DSYNC)

/* A destination that may be the target of a copy loop. */
struct watch_stream {
	pthread_mutex_t lock; /* guards all below */
	struct match match;
	struct watch_bond bond;
	pid_t pgid;
	uint64_t program; /* for its habits */
	bool judged;	  /* may be shared into */
	bool unlike;	  /* some write was not the source's, or small */
};

struct watch_state {
	struct watch_sources sources;
	struct watch_habits habits;
	atomic_uint bonds;
};

int watch_state_new(struct watch_state **ret_watch)
{
	struct watch_state *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	/* A lease that is asked back sends it, and it would end the daemon. */
	signal(SIGIO, SIG_IGN);
	watch_sources_init(&watch->sources);
	watch_habits_init(&watch->habits);
	*ret_watch = watch;
	return 0;
}

void watch_state_free(struct watch_state *watch)
{
	if (!watch)
		return;
	watch_habits_done(&watch->habits);
	watch_sources_done(&watch->sources);
	free(watch);
}

struct watch_sources *watch_sources(struct fs *fs)
{
	return &fs->watch->sources;
}

/* The one place that knows of every decision. */
static void count(const struct watch_write *write, enum offlay_accel outcome,
		  uint64_t bytes)
{
	struct stats *stats = write->dst->fs->stats;
	bool shared = outcome == OFFLAY_ACCEL_SHARED;

	stats_add(stats,
		  shared ? OFFLAY_STAT_ACCEL_HITS : OFFLAY_STAT_ACCEL_MISSES,
		  1);
	stats_add(stats,
		  shared ? OFFLAY_STAT_ACCEL_BYTES_SHARED
			 : OFFLAY_STAT_ACCEL_BYTES_WRITTEN,
		  bytes);
	stats_add(stats, OFFLAY_STAT_ACCEL_WHY + outcome, 1);
}

/* A write that was made a clone is told of as a copy. */
static void tell(const struct watch_stream *stream,
		 const struct watch_write *write, uint64_t skip,
		 uint64_t src_offset, uint64_t length)
{
	struct offlay_result result = { .copied = length, .cloned = length };

	event_upgrade(write->req, OFFLAY_OP_WRITE, OFFLAY_EVENT_ACCEL);
	atomic_fetch_add(&stream->bond.src->refs, 1);
	*write->ret_src = stream->bond.src;
	event_files(write->req, stream->bond.src, write->dst);
	event_range(write->req, src_offset, write->offset + skip, length);
	event_copied(write->req, &result);
}

/* ---------------------------------------------------------- opening a file */

/* By the name of the thread's program; 0 if unknown. */
static uint64_t program_of(struct fs *fs, pid_t tid)
{
	uint64_t now = file_now(), key;
	char path[32], name[64];
	ssize_t n;

	if (watch_habit_find(&fs->watch->habits, tid, now, &key))
		return key;
	snprintf(path, sizeof(path), "%d/comm", tid);
	n = proc_read(copy_proc_fd(fs), path, name, sizeof(name));
	if (n < 0)
		return 0;
	key = n > 0 ? XXH3_64bits(name, (size_t)n) : 0;
	watch_habit_keep(&fs->watch->habits, tid, now, key);
	return key;
}

static bool add_stream(struct file *file, const struct watch_who *who)
{
	struct watch_candidate candidates[WATCH_CANDIDATES];
	struct fs *fs = file->fs;
	struct watch_stream *stream;
	uint64_t program;
	uint32_t block;

	if (!watch_source_list(fs, who, false, candidates))
		return false;
	program = program_of(fs, who->tid);
	if (!watch_habit_allows(&fs->watch->habits, program))
		return false;
	block = inode_volume_of(file->inode, file->fd).block_size;
	if (!block || block > BLOCK_MAX)
		return false;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return false;
	pthread_mutex_init(&stream->lock, NULL);
	match_init(&stream->match, block);
	stream->pgid = who->pgid;
	stream->program = program;
	file->io->stream = stream;
	return true;
}

bool watch_open(struct file *file, bool fresh, uint64_t size,
		const struct fuse_ctx *caller)
{
	struct watch_sources *sources = watch_sources(file->fs);
	bool writable = open_is_writable(file->flags);
	struct watch_who who = { .tid = caller->pid, .uid = caller->uid };

	if (!file->fs->opt.accel || !file->io->inode->reflinks || who.tid <= 0)
		return false;
	if (writable ? !fresh || (file->flags & OTHER_WRITES) ||
			       !watch_sources_any(sources)
		     : size < file->fs->opt.accel_min)
		return false;
	who.pgid = getpgid(who.tid);
	if (who.pgid < 0) /* 0: of a group that was made in another namespace */
		return false;
	if (writable)
		return add_stream(file, &who);
	file->io->source = watch_source_add(sources, file, &who);
	return false;
}

static void end_bond(struct watch_state *watch, struct watch_stream *stream)
{
	if (!stream->bond.src)
		return;
	watch_bond_end(&stream->bond);
	atomic_fetch_sub(&watch->bonds, 1);
}

void watch_close(struct file *file)
{
	struct watch_state *watch = file->fs->watch;
	struct watch_stream *stream = file->io->stream;

	watch_source_remove(&watch->sources, file->io->source);
	if (!stream)
		return;
	if (stream->match.shared || stream->unlike)
		watch_habit_learn(&watch->habits, stream->program,
				  stream->match.shared);
	end_bond(watch, stream);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}

/* ------------------------------------------------------- finding a source */

/* Takes the reference to @src. */
static bool make_bond(struct watch_state *watch, struct watch_stream *stream,
		      struct file *src)
{
	if (stream->bond.src == src) {
		handle_put(src);
		return true;
	}
	end_bond(watch, stream);
	if (atomic_fetch_add(&watch->bonds, 1) < BONDS_MAX &&
	    watch_bond_make(&stream->bond, src) == 0)
		return true;
	atomic_fetch_sub(&watch->bonds, 1);
	handle_put(src);
	return false;
}

/* At the same offset, then wherever its beginning is found in the write. */
static bool fits(struct watch_stream *stream, const struct watch_write *write,
		 const struct watch_candidate *candidate, int64_t *ret_shift)
{
	uint32_t block = stream->match.block;

	*ret_shift = 0;
	if (watch_bond_probe(&stream->bond, write, block, 0))
		return true;
	return watch_source_find(watch_sources(write->dst->fs), candidate,
				 stream->pgid, stream->bond.fd, block,
				 write->data, write->size, write->offset,
				 ret_shift);
}

static bool look_for_source(struct watch_stream *stream,
			    const struct watch_write *write, int64_t *ret_shift)
{
	struct watch_candidate candidates[WATCH_CANDIDATES];
	struct fs *fs = write->dst->fs;
	struct watch_who who = {
		.tid = fuse_req_ctx(write->req)->pid,
		.pgid = stream->pgid,
		.uid = fuse_req_ctx(write->req)->uid,
	};
	bool found = false;
	unsigned int n;

	n = watch_source_list(fs, &who, true, candidates);
	for (unsigned int i = 0; i < n; i++) {
		struct file *src = candidates[i].file;

		if (found || src->inode == write->dst->inode)
			handle_put(src);
		else if (make_bond(fs->watch, stream, src))
			found = fits(stream, write, &candidates[i], ret_shift);
	}
	return found;
}

/* The shift to try; false if there is none. */
static bool find_source(struct watch_stream *stream,
			const struct watch_write *write, int64_t *ret_shift)
{
	struct match *match = &stream->match;

	*ret_shift = match->shift;
	if (match->state == MATCH_FOLLOWING)
		return stream->bond.src;
	/* Mostly it goes on where it went before. */
	if (match->shared && stream->bond.src &&
	    watch_bond_probe(&stream->bond, write, match->block, match->shift))
		return true;
	return look_for_source(stream, write, ret_shift);
}

/* -------------------------------------------------------- writing and sharing */

static bool cut_write(struct watch_stream *stream,
		      const struct watch_write *write, int64_t shift,
		      struct match_cut *ret_cut, uint64_t *ret_src_offset)
{
	struct match_try try = {
		.dst_offset = write->offset,
		.length = write->size,
	};
	struct stat src, dst;

	if (!match_src_offset(shift, write->offset, &try.src_offset) ||
	    fstat(stream->bond.fd, &src) < 0 || fstat(write->dst->fd, &dst) < 0)
		return false;
	try.src_size = (uint64_t)src.st_size;
	try.dst_size = (uint64_t)dst.st_size;
	*ret_src_offset = try.src_offset;
	return match_cut(&stream->match, &try, ret_cut);
}

static ssize_t write_part(const struct watch_write *write, uint64_t skip,
			  uint64_t length)
{
	return file_write(write->req, write->dst, write->dst->fd, write->fi,
			  write->data + skip, length,
			  (off_t)(write->offset + skip));
}

/* The destination is judged once: what is copied into it may change it. */
static bool may_share_into(struct watch_stream *stream, struct file *dst)
{
	uint32_t reasons;

	if (stream->judged)
		return true;
	stream->judged = verdict_reach(dst, OFFLAY_DESTINATION, &reasons) ==
				 0 &&
			 !(reasons & OFFLAY_REASONS_POLICY);
	return stream->judged;
}

/* What the next write can expect after this one. */
static void learn(struct watch_stream *stream, const struct watch_write *write,
		  enum offlay_accel outcome, int64_t shift, uint64_t length)
{
	switch (outcome) {
	case OFFLAY_ACCEL_SHARED:
		match_hit(&stream->match, shift, length);
		break;
	case OFFLAY_ACCEL_BUSY:
	case OFFLAY_ACCEL_COLD:
	case OFFLAY_ACCEL_BROKEN:
	case OFFLAY_ACCEL_HOLE:
		match_busy(&stream->match, shift, write->size);
		break;
	case OFFLAY_ACCEL_INELIGIBLE:
	case OFFLAY_ACCEL_REFUSED:
		match_give_up(&stream->match);
		break;
	default:
		stream->unlike = true;
		match_miss(&stream->match, write->size);
	}
	if (stream->match.state == MATCH_GIVEN_UP)
		end_bond(write->dst->fs->watch, stream);
}

/* In the order of the range, as a plain write has it. */
static ssize_t write_cut(struct watch_stream *stream,
			 const struct watch_write *write,
			 const struct match_cut *cut, int64_t shift,
			 uint64_t src_offset)
{
	uint64_t end = cut->head + cut->middle;
	enum offlay_accel outcome = OFFLAY_ACCEL_INELIGIBLE;
	ssize_t n = 0;

	if (cut->head) {
		n = write_part(write, 0, cut->head);
		if (n < 0 || (uint64_t)n < cut->head)
			return n;
	}
	if (may_share_into(stream, write->dst))
		outcome = watch_share(&stream->bond, write, cut->head,
				      cut->middle, src_offset + cut->head);
	count(write, outcome, cut->middle);
	if (outcome != OFFLAY_ACCEL_SHARED) {
		end = cut->head;
	} else {
		file_changed(write->dst->inode);
		tell(stream, write, cut->head, src_offset + cut->head,
		     cut->middle);
	}
	learn(stream, write, outcome, shift, cut->middle);
	if (end == write->size)
		return (ssize_t)end;
	n = write_part(write, end, write->size - end);
	if (n < 0)
		return end ? (ssize_t)end : n;
	return (ssize_t)end + n;
}

static ssize_t write_plain(struct watch_stream *stream,
			   const struct watch_write *write,
			   enum offlay_accel outcome)
{
	count(write, outcome, write->size);
	learn(stream, write, outcome, 0, write->size);
	return write_part(write, 0, write->size);
}

/* With the stream's lock. */
static ssize_t write_watched(struct watch_stream *stream,
			     const struct watch_write *write)
{
	struct match_cut cut;
	uint64_t src_offset;
	int64_t shift;

	if (write->size < stream->match.block &&
	    stream->match.state != MATCH_FOLLOWING)
		return write_plain(stream, write, OFFLAY_ACCEL_SMALL);
	if (!find_source(stream, write, &shift))
		return write_plain(stream, write, OFFLAY_ACCEL_DIFFERENT);
	if (!cut_write(stream, write, shift, &cut, &src_offset))
		return write_plain(stream, write, OFFLAY_ACCEL_SMALL);
	return write_cut(stream, write, &cut, shift, src_offset);
}

ssize_t watch_write(const struct watch_write *write)
{
	struct watch_stream *stream = write->dst->io->stream;
	ssize_t n;

	if (write->fi->flags & OTHER_WRITES)
		return write_part(write, 0, write->size);
	pthread_mutex_lock(&stream->lock);
	if (stream->match.state == MATCH_GIVEN_UP) {
		pthread_mutex_unlock(&stream->lock);
		return write_part(write, 0, write->size);
	}
	n = write_watched(stream, write);
	pthread_mutex_unlock(&stream->lock);
	return n;
}
