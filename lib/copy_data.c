// SPDX-License-Identifier: MIT
/* Moving data by reading and writing, with holes kept as holes. */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <unistd.h>

#include "private.h"

/* Alignment of writes and of holes where the filesystem names no block. */
#define DATA_BLOCK 4096u

/* How often the end of a file's data is asked while the file keeps changing. */
#define DATA_ASKS 8

/*
 * One run of the mover.  Positions count from the start of the job's range.
 * A hole behind the destination's end is only noted, as @pending bytes before
 * the current position, and comes into being with the next write or at last.
 */
struct mover {
	struct copy_job *job;
	const struct sys_ops *ops;
	void *ctx;
	uint64_t end; /* position to stop at */
	uint64_t pending;
	uint64_t dst_size; /* as far as known; only ever too small */
	bool seeks;	   /* the source can tell holes from data */
	bool punches;	   /* the destination can have holes made */
	bool ended;	   /* the source ended before @end */
	uint32_t block;	   /* of the destination; at most @buf_size */
	char *buf;
	size_t buf_size;
	struct copy_cache cache;
};

/* What comes next in the source, @length > 0 bytes of it. */
struct piece {
	uint64_t length;
	bool is_hole;
};

static uint64_t position(const struct mover *m)
{
	return m->job->result.copied + m->pending;
}

static bool is_unsupported(int err)
{
	return err == -EINVAL || err == -EOPNOTSUPP || err == -ENOSYS ||
	       err == -ENOTTY || err == -ESPIPE;
}

/* All that is pending and @n more hole bytes are in the destination now. */
static void hole_done(struct mover *m, uint64_t n)
{
	m->job->result.copied += m->pending + n;
	m->job->result.holes += m->pending + n;
	m->pending = 0;
}

/* Writes @n bytes of the buffer, the first at the current position. */
static int write_buffer(struct mover *m, const char *buf, size_t n)
{
	struct copy_job *job = m->job;
	size_t done = 0;

	while (done < n) {
		uint64_t offset = job->dst_offset + position(m);
		ssize_t w = m->ops->pwrite(m->ctx, job->dst_fd, buf + done,
					   n - done, offset);

		if (w < 0)
			return (int)w;
		if (w == 0)
			return -EIO;
		hole_done(m, 0);
		job->result.copied += (uint64_t)w;
		job->result.moved += (uint64_t)w;
		job->budget -= copy_min(job->budget, (uint64_t)w);
		done += (size_t)w;
		if (offset + (uint64_t)w > m->dst_size)
			m->dst_size = offset + (uint64_t)w;
	}
	return 0;
}

/* Zeros by writing, for a destination that cannot have a hole made. */
static int write_zeros(struct mover *m, uint64_t length)
{
	memset(m->buf, 0, m->buf_size);
	while (length && m->job->budget) {
		uint64_t n =
			copy_min(copy_min(length, m->buf_size), m->job->budget);
		int err = write_buffer(m, m->buf, (size_t)n);

		if (err)
			return err;
		length -= n;
	}
	return 0;
}

/* Is [offset, +length) of the destination a hole already? */
static bool is_hole(const struct mover *m, uint64_t offset, uint64_t length)
{
	int64_t data = m->ops->seek(m->ctx, m->job->dst_fd, offset, SEEK_DATA);

	return data == -ENXIO ||
	       (data >= 0 && (uint64_t)data >= offset + length);
}

/* A hole of the source over bytes that the destination has. */
static int clear_inside(struct mover *m, uint64_t length)
{
	uint64_t offset = m->job->dst_offset + position(m);
	int err = 0;

	if (is_hole(m, offset, length)) {
		hole_done(m, length);
		return 0;
	}
	if (m->punches)
		err = m->ops->punch(m->ctx, m->job->dst_fd, offset, length);
	if (m->punches && err == 0) {
		hole_done(m, length);
		return 0;
	}
	if (err && !is_unsupported(err))
		return err;
	m->punches = false;
	return write_zeros(m, length);
}

/*
 * XFS allocates ahead of a file that grows, by as much as it is large.  Where a
 * hole comes, the next write would fill all that with zeros and keep it.
 */
static void give_back(struct mover *m, uint64_t offset, uint64_t length)
{
	if (m->punches && m->job->dst_volume.type == XFS_SUPER_MAGIC)
		m->ops->punch(m->ctx, m->job->dst_fd, offset, length);
}

static int make_hole(struct mover *m, uint64_t length)
{
	uint64_t offset = m->job->dst_offset + position(m);
	uint64_t inside = 0;
	int err;

	if (offset < m->dst_size)
		inside = copy_min(length, m->dst_size - offset);
	if (inside) {
		err = clear_inside(m, inside);
		if (err || m->job->budget == 0)
			return err;
	}
	if (!inside && !m->pending && offset == m->dst_size && offset)
		give_back(m, offset, length);
	m->pending += length - inside;
	return 0;
}

static int extend_by_writing(struct mover *m, uint64_t end)
{
	ssize_t w = m->ops->pwrite(m->ctx, m->job->dst_fd, "", 1, end - 1);

	return w < 0 ? (int)w : w == 0 ? -EIO : 0;
}

/* XFS writes out all that is dirty before it makes a file longer. */
static int extend(struct mover *m, uint64_t end)
{
	int err = -EOPNOTSUPP;

	if (m->job->dst_volume.type != XFS_SUPER_MAGIC)
		err = m->ops->extend(m->ctx, m->job->dst_fd, end);
	return is_unsupported(err) ? extend_by_writing(m, end) : err;
}

/*
 * Extends the destination over the pending hole.  The extension allocates the
 * last block; it is given back where the hole holds all of it.
 */
static int settle_pending(struct mover *m)
{
	struct copy_job *job = m->job;
	uint64_t end = job->dst_offset + position(m);
	int err;

	if (m->pending == 0)
		return 0;
	err = extend(m, end);
	if (err)
		return err;
	if (m->punches && end % m->block == 0 && m->pending >= m->block)
		m->ops->punch(m->ctx, job->dst_fd, end - m->block, m->block);
	hole_done(m, 0);
	return 0;
}

static bool same_moment(const struct sys_file *a, const struct sys_file *b)
{
	return a->size == b->size && a->ctime_sec == b->ctime_sec &&
	       a->ctime_nsec == b->ctime_nsec;
}

/*
 * SEEK_DATA finds no data: either all the rest is a hole, or the file ends
 * before.  Only while nothing changes is it known which; a file that was cut
 * off and grew again in between would be given zeros that it never had.
 * @ret_length: of the hole; 0 where the file ends or nobody can say.
 */
static int last_hole(struct mover *m, uint64_t offset, bool *ret_known,
		     uint64_t *ret_length)
{
	struct sys_file before, after;
	int64_t data;
	int err;

	*ret_known = false;
	*ret_length = 0;
	for (int i = 0; i < DATA_ASKS; i++) {
		err = m->ops->stat(m->ctx, m->job->src_fd, &before);
		if (err)
			return err;
		data = m->ops->seek(m->ctx, m->job->src_fd, offset, SEEK_DATA);
		if (data != -ENXIO)
			return data < 0 ? (int)data : 0;
		err = m->ops->stat(m->ctx, m->job->src_fd, &after);
		if (err)
			return err;
		if (!same_moment(&before, &after))
			continue;
		*ret_known = true;
		if (after.size > offset)
			*ret_length = after.size - offset;
		return 0;
	}
	return 0;
}

static int piece_without_data(struct mover *m, uint64_t offset, uint64_t rest,
			      struct piece *ret_piece)
{
	uint64_t length;
	bool known;
	int err;

	err = last_hole(m, offset, &known, &length);
	if (err)
		return err;
	if (known && length == 0) {
		m->ended = true;
		return 0;
	}
	ret_piece->is_hole = known;
	/* Unknown: a buffer of it is read, which is always the truth. */
	ret_piece->length = copy_min(rest, known ? length : m->buf_size);
	return 0;
}

/* Data or hole at the current position, and how much of it. */
static int next_piece(struct mover *m, struct piece *ret_piece)
{
	uint64_t offset = m->job->src_offset + position(m);
	uint64_t rest = m->end - position(m);
	int64_t data, hole;

	*ret_piece = (struct piece){ .length = rest };
	if (!m->seeks)
		return 0;
	data = m->ops->seek(m->ctx, m->job->src_fd, offset, SEEK_DATA);
	if (data == -ENXIO)
		return piece_without_data(m, offset, rest, ret_piece);
	if (is_unsupported((int)data)) {
		m->seeks = false;
		return 0;
	}
	if (data < 0)
		return (int)data;
	if ((uint64_t)data > offset) {
		ret_piece->is_hole = true;
		ret_piece->length = copy_min(rest, (uint64_t)data - offset);
		return 0;
	}
	hole = m->ops->seek(m->ctx, m->job->src_fd, offset, SEEK_HOLE);
	if (hole > 0 && (uint64_t)hole > offset)
		ret_piece->length = copy_min(rest, (uint64_t)hole - offset);
	else if (hole < 0 && hole != -ENXIO && !is_unsupported((int)hole))
		return (int)hole;
	else
		ret_piece->length = copy_min(rest, m->buf_size);
	return 0;
}

static bool is_zero(const char *buf, size_t n)
{
	return buf[0] == 0 && memcmp(buf, buf + 1, n - 1) == 0;
}

/* Like write_buffer(), but whole blocks of zeros become holes. */
static int write_sparse(struct mover *m, const char *buf, size_t n)
{
	size_t at = 0;

	while (at < n) {
		uint64_t offset = m->job->dst_offset + position(m);
		size_t len =
			(size_t)copy_min(n - at, m->block - offset % m->block);
		bool zero = is_zero(buf + at, len);
		int err;

		while (at + len < n) {
			size_t more = (size_t)copy_min(n - at - len, m->block);

			if (is_zero(buf + at + len, more) != zero)
				break;
			len += more;
		}
		err = zero ? make_hole(m, len) : write_buffer(m, buf + at, len);
		if (err || m->job->budget == 0)
			return err;
		at += len;
	}
	return 0;
}

/* Reads and writes up to @length bytes of data at the current position. */
static int move_piece(struct mover *m, uint64_t length)
{
	struct copy_job *job = m->job;
	uint64_t stop = position(m) + length;

	while (position(m) < stop && job->budget) {
		uint64_t at = position(m);
		uint64_t past = (job->dst_offset + at) % m->block;
		uint64_t want = copy_min(stop - at, m->buf_size - past);
		ssize_t n;
		int err;

		want = copy_min(want, job->budget);
		copy_cache_before(&m->cache, at);
		n = m->ops->pread(m->ctx, job->src_fd, m->buf, (size_t)want,
				  job->src_offset + at);
		if (n < 0)
			return (int)n;
		if (n == 0) {
			m->ended = true;
			return 0;
		}
		if (job->flags & OFFLAY_COPY_ZEROS_TO_HOLES)
			err = write_sparse(m, m->buf, (size_t)n);
		else
			err = write_buffer(m, m->buf, (size_t)n);
		if (err)
			return err;
		copy_cache_after(&m->cache, position(m));
	}
	return 0;
}

static int move_all(struct mover *m)
{
	while (position(m) < m->end && m->job->budget && !m->ended) {
		struct piece piece = { 0 };
		int err;

		err = next_piece(m, &piece);
		if (err)
			return err;
		if (m->ended)
			break;
		err = piece.is_hole ? make_hole(m, piece.length)
				    : move_piece(m, piece.length);
		if (err)
			return err;
	}
	return 0;
}

static int move_with_buffer(struct copy_job *job, uint64_t length, void *buf,
			    size_t buf_size)
{
	uint64_t start = job->result.copied;
	struct mover m = {
		.job = job,
		.ops = job->engine->ops,
		.ctx = job->engine->ctx,
		.end = start + length,
		.seeks = true,
		.punches = true,
		.block = job->dst_volume.block_size ? job->dst_volume.block_size
						    : DATA_BLOCK,
		.buf = buf,
		.buf_size = buf_size,
	};
	struct sys_file dst;
	int err, settle_err;

	/* A clone that declined may have extended the destination. */
	err = m.ops->stat(m.ctx, job->dst_fd, &dst);
	if (err)
		return err;
	m.dst_size = dst.size;
	copy_cache_init(&m.cache, job, length);
	err = move_all(&m);
	copy_cache_done(&m.cache, position(&m));
	settle_err = settle_pending(&m);
	if (err == 0)
		err = settle_err;
	if (job->result.copied == start)
		return err;
	job->result.stop = -err;
	return 0;
}

int copy_data_move(struct copy_job *job, uint64_t length)
{
	struct copy_buffers *buffers = &job->engine->buffers;
	char small[COPY_BUFFER_SMALL];
	void *large = NULL;
	int err;

	if (length > sizeof(small))
		large = copy_buffer_take(buffers);
	if (!large)
		return move_with_buffer(job, length, small, sizeof(small));
	err = move_with_buffer(job, length, large, COPY_BUFFER_SIZE);
	copy_buffer_give(buffers, large);
	return err;
}

int copy_data(struct copy_job *job)
{
	return copy_data_move(job, job->length);
}
