// SPDX-License-Identifier: MIT
/* Writes into files that are watched: shared, gathered or written. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "watch.h"

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

static void tell_unasked(const struct watch_stream *stream,
			 const struct watch_write *write, uint64_t skip,
			 uint64_t src_offset,
			 const struct offlay_result *result)
{
	struct event_unasked event = {
		.op = OFFLAY_OP_WRITE,
		.flags = OFFLAY_EVENT_ACCEL,
		.tid = write->who->tid,
		.uid = write->who->uid,
		.src = stream->bond.src,
		.dst = write->dst,
		.src_offset = src_offset,
		.dst_offset = write->offset + skip,
		.result = result,
	};

	event_tell_unasked(write->dst->fs, &event);
}

/* A write that was made a clone is told of as a copy. */
static void tell(const struct watch_stream *stream,
		 const struct watch_write *write, uint64_t skip,
		 uint64_t src_offset, uint64_t length)
{
	struct offlay_result result = { .copied = length, .cloned = length };

	if (!write->req) {
		tell_unasked(stream, write, skip, src_offset, &result);
		return;
	}
	event_upgrade(write->req, OFFLAY_OP_WRITE, OFFLAY_EVENT_ACCEL);
	atomic_fetch_add(&stream->bond.src->refs, 1);
	if (*write->ret_src)
		handle_put(*write->ret_src);
	*write->ret_src = stream->bond.src;
	event_files(write->req, stream->bond.src, write->dst);
	event_range(write->req, src_offset, write->offset + skip, length);
	event_copied(write->req, &result);
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
	if (!write->req)
		return file_write_own(write->dst, write->data + skip, length,
				      (off_t)(write->offset + skip));
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
		stream->searches = 0;
		stream->last_hit = file_now();
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
	if (write->req && stream->match.state == MATCH_GIVEN_UP)
		watch_unbind(write->dst->fs->watch, stream);
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
	learn(stream, write, outcome, stream->match.shift, write->size);
	return write_part(write, 0, write->size);
}

ssize_t watch_write_from(struct watch_stream *stream,
			 const struct watch_write *write, int64_t shift)
{
	struct match_cut cut;
	uint64_t src_offset;

	if (stream->match.state == MATCH_GIVEN_UP)
		return write_part(write, 0, write->size);
	if (!cut_write(stream, write, shift, &cut, &src_offset))
		return write_plain(stream, write, OFFLAY_ACCEL_SMALL);
	return write_cut(stream, write, &cut, shift, src_offset);
}

/* With the same outcome as one after the other. */
static void tell_of_parts(struct watch_stream *stream,
			  const struct watch_part *parts, unsigned int n_parts,
			  int64_t shift, uint64_t src_offset)
{
	for (unsigned int i = 0; i < n_parts; i++) {
		struct watch_write write = {
			.dst = stream->file,
			.who = &parts[i].who,
			.size = atomic_load(&parts[i].slot->length),
			.offset = parts[i].slot->offset,
		};

		count(&write, OFFLAY_ACCEL_SHARED, write.size);
		tell(stream, &write, 0, src_offset, write.size);
		learn(stream, &write, OFFLAY_ACCEL_SHARED, shift, write.size);
		src_offset += write.size;
	}
}

/* It is written, whatever it is. */
static int write_part_plain(struct watch_stream *stream,
			    const struct watch_part *part,
			    enum offlay_accel outcome)
{
	struct watch_write write = {
		.dst = stream->file,
		.who = &part->who,
		.data = part->slot->data,
		.size = atomic_load(&part->slot->length),
		.offset = part->slot->offset,
	};
	ssize_t n = write_plain(stream, &write, outcome);
	size_t done = 0;

	/* A short write is followed by the error. */
	while (n > 0 && (done += (size_t)n) < write.size)
		n = write_part(&write, done, write.size - done);
	if (done == write.size)
		return 0;
	return n ? (int)n : -EIO;
}

unsigned int watch_write_parts(struct watch_stream *stream,
			       const struct watch_part *parts,
			       unsigned int n_parts, int64_t shift,
			       int *ret_err)
{
	struct watch_write write = {
		.dst = stream->file,
		.parts = parts,
		.offset = parts->slot->offset,
	};
	enum offlay_accel outcome;
	struct match_cut cut;
	uint64_t src_offset;

	for (unsigned int i = 0; i < n_parts; i++)
		write.size += atomic_load(&parts[i].slot->length);
	if (stream->match.state != MATCH_FOLLOWING ||
	    !cut_write(stream, &write, shift, &cut, &src_offset) ||
	    cut.middle != write.size || !may_share_into(stream, write.dst))
		return 0;
	outcome = watch_share(&stream->bond, &write, 0, write.size, src_offset);
	switch (outcome) {
	case OFFLAY_ACCEL_SHARED:
		file_changed(write.dst->inode);
		tell_of_parts(stream, parts, n_parts, shift, src_offset);
		return n_parts;
	case OFFLAY_ACCEL_BROKEN:
	case OFFLAY_ACCEL_REFUSED:
	case OFFLAY_ACCEL_INELIGIBLE:
		/* Looked at again it would be something else. */
		*ret_err = write_part_plain(stream, parts, outcome);
		return 1;
	default:
		return 0;
	}
}

/* There was nothing that it could have been compared with. */
static ssize_t write_early(struct watch_stream *stream,
			   const struct watch_write *write)
{
	stream->unlike = true;
	match_miss(&stream->match, write->size);
	return write_part(write, 0, write->size);
}

/* What is not gathered now: written, shared, or the first to be gathered. */
static ssize_t write_first(struct watch_stream *stream,
			   const struct watch_write *write)
{
	enum offlay_accel outcome;
	int64_t shift;
	size_t n;
	int err;

	if (stream->match.state == MATCH_GIVEN_UP)
		return write_part(write, 0, write->size);
	if (watch_is_early(stream, write))
		return write_early(stream, write);
	if (write->size < WATCH_PROBE_MIN &&
	    stream->match.state != MATCH_FOLLOWING)
		return write_plain(stream, write, OFFLAY_ACCEL_SMALL);
	if (!watch_find_source(stream, write, &shift))
		return write_plain(stream, write, OFFLAY_ACCEL_DIFFERENT);
	if (stream->gathers) {
		outcome = watch_bond_judge(&stream->bond);
		if (outcome == OFFLAY_ACCEL_INELIGIBLE ||
		    outcome == OFFLAY_ACCEL_REFUSED)
			return write_plain(stream, write, outcome);
	}
	if (watch_gather_begin(stream, write, shift)) {
		n = watch_gather_add(stream, write);
		if (n)
			return (ssize_t)n;
		/* Somebody has opened the file just now. */
		err = watch_gather_settle(stream);
		if (err)
			return err;
	}
	return watch_write_from(stream, write, shift);
}

/* With the stream's lock. */
static ssize_t write_watched(struct watch_stream *stream,
			     const struct watch_write *write)
{
	size_t done = 0;
	ssize_t n;
	int err;

	while (done < write->size) {
		struct watch_write rest = *write;

		rest.data += done;
		rest.size -= done;
		rest.offset += done;
		n = stream->gathered.active
			    ? (ssize_t)watch_gather_add(stream, &rest)
			    : 0;
		if (!n) {
			/* Of this write, too, there may have been some. */
			err = watch_gather_settle(stream);
			if (err)
				return err;
			n = write_first(stream, &rest);
		}
		if (n <= 0)
			return done ? (ssize_t)done : n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* After an error of earlier writes nothing is written any more. */
static ssize_t write_after(struct watch_stream *stream,
			   const struct watch_write *write)
{
	if (write->fi->flags & WATCH_OTHER_WRITES)
		watch_gather_settle(stream);
	if (stream->err)
		return stream->err;
	if (write->fi->flags & WATCH_OTHER_WRITES)
		return write_part(write, 0, write->size);
	return write_watched(stream, write);
}

ssize_t watch_write(const struct watch_write *write)
{
	struct watch_stream *stream = write->dst->io->stream;
	ssize_t n;

	pthread_mutex_lock(&stream->lock);
	n = write_after(stream, write);
	pthread_mutex_unlock(&stream->lock);
	return n;
}
