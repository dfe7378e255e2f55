// SPDX-License-Identifier: MIT
/*
 * How a refusal reaches the caller.
 *
 * The kernel takes EOPNOTSUPP for COPY_FILE_RANGE as "copy by splice", inside
 * the same system call and thread.  So the READ of the source or the WRITE of
 * the destination that this splice sends is answered with EOPNOTSUPP again,
 * and that ends the system call, before a byte is written.
 *
 * A read or write that the program makes itself must never be hit.  While a
 * request is being answered its thread waits in its system call, and
 * /proc/TID/syscall shows in which: the same call with the same stack as when
 * the copy was refused is the same call.  Where that file cannot be read, the
 * order of requests has to do: right after the refused copy the thread sends
 * nothing but READs of that source and then one WRITE, at the copy's offset,
 * of the source's bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "refusal.h"

/* Long enough for a slow disk below; see refusal_judge_write(). */
#define ARMED_NSEC 5000000000ull

/*
 * While pages of the source are in the page cache, the splice sends no READ.
 * Whoever has put some there, not longer ago than this, may do it again before
 * the splice looks.
 */
#define FILLED_NSEC 10000000000ull

/*
 * How long to look at a thread that has not gone to sleep yet, nanoseconds:
 * first again at once, then now and then.
 */
#define LOOK_FIRST 100000ull
#define LOOK_MAX   500000000ull

/* False when it is time to give up. */
static bool wait_to_look(uint64_t start)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t passed = file_now() - start;

	if (passed < LOOK_FIRST)
		sched_yield();
	else
		nanosleep(&moment, NULL);
	return passed < LOOK_MAX;
}

/*
 * Reads the system call that thread @tid waits in; empty if it cannot be seen.
 * The thread may not have gone to sleep yet after sending its request: then it
 * is "running" until it has, which is long where many want the processor.
 */
static void call_read(struct fs *fs, pid_t tid, struct refusal_call *ret_call)
{
	uint64_t start = file_now();
	char path[32];
	ssize_t n;
	int fd;

	ret_call->text[0] = '\0';
	snprintf(path, sizeof(path), "%d/syscall", tid);
	fd = openat(copy_proc_fd(fs), path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	do {
		n = pread(fd, ret_call->text, sizeof(ret_call->text) - 1, 0);
	} while (n > 0 && ret_call->text[0] == 'r' && wait_to_look(start));
	close(fd);
	if (n < 0)
		n = 0;
	ret_call->text[n] = '\0';
	/* A number above 0: read(2) on most, or no system call at all. */
	if (atoi(ret_call->text) <= 0)
		ret_call->text[0] = '\0';
}

static bool holds_bytes(int fd, uint64_t offset, const void *data, size_t size)
{
	char buf[65536];
	size_t done = 0, part;
	ssize_t n;

	while (done < size) {
		part = size - done < sizeof(buf) ? size - done : sizeof(buf);
		n = pread(fd, buf, part, (off_t)(offset + done));
		if (n <= 0 || memcmp(buf, (const char *)data + done, (size_t)n))
			return false;
		done += (size_t)n;
	}
	return true;
}

/*
 * Will the splice have to read from here?  Not what is in the page cache, and
 * that is not known where others may be putting it there right now.
 */
static bool sees_reads(struct file *src)
{
	struct inode_io *io = src->io->inode;
	bool alone;

	if (!src->io->direct || page_fill_age(src) <= FILLED_NSEC)
		return false;
	pthread_mutex_lock(&io->lock);
	alone = io->opens == 1;
	pthread_mutex_unlock(&io->lock);
	return alone;
}

int refusal_begin(fuse_req_t req, struct file *src, uint64_t src_offset,
		  uint64_t src_fh, struct file *dst, uint64_t dst_offset,
		  uint64_t dst_fh, uint64_t length, int err)
{
	struct fs *fs = fs_of(req);
	uint64_t now = file_now();
	struct refusal refusal = {
		.tid = fuse_req_ctx(req)->pid,
		.src_fh = src_fh,
		.dst_fh = dst_fh,
		.src_offset = src_offset,
		.dst_offset = dst_offset,
		.length = length,
		.deadline = now + ARMED_NSEC,
		.err = err,
	};
	bool sees_write = dst->io->direct || dst->io->mode == IO_CACHED;
	bool sees_read = sees_reads(src);

	if (refusal.tid > 0 && (sees_write || sees_read))
		call_read(fs, refusal.tid, &refusal.call);
	if (refusal.tid > 0 &&
	    (sees_write || (sees_read && refusal.call.text[0])) &&
	    refusal_arm(copy_refusals(fs), &refusal, now))
		return -EOPNOTSUPP;
	return -EINVAL;
}

/*
 * A READ for the page cache, from a thread that has left the refused call:
 * read ahead by that call, unless it belongs to one that reads by splice.
 */
static bool is_read_ahead(const struct refusal_call *call)
{
	switch (atoi(call->text)) {
	case 0:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_io_uring_enter:
		return false;
	default:
		return true;
	}
}

enum refusal_answer refusal_on_read(fuse_req_t req, struct file *file,
				    uint64_t fh, bool fills_cache, int *ret_err)
{
	struct fs *fs = fs_of(req);
	pid_t tid = fuse_req_ctx(req)->pid;
	struct refusal refusal;
	struct refusal_call call;

	if (!refusal_find(copy_refusals(fs), tid, file_now(), &refusal))
		return REFUSAL_NONE;
	if (fh != refusal.src_fh) {
		refusal_disarm(copy_refusals(fs), tid);
		return REFUSAL_NONE;
	}
	/* An error in the page cache would not be the copy's alone. */
	if (!file->io->direct || !refusal.call.text[0])
		return REFUSAL_LIKELY;
	call_read(fs, tid, &call);
	if (!call.text[0])
		return REFUSAL_LIKELY;
	if (refusal_judge_read(&refusal, fh, &call) == REFUSAL_CERTAIN ||
	    (fills_cache && is_read_ahead(&call))) {
		*ret_err = refusal.err;
		return REFUSAL_CERTAIN;
	}
	refusal_disarm(copy_refusals(fs), tid);
	return REFUSAL_NONE;
}

static bool carries_source(struct fs *fs, const struct refusal *refusal,
			   const void *data, size_t size)
{
	FILE_AUTO(src);

	src = handle_get(fs, refusal->src_fh);
	return src && holds_bytes(src->fd, refusal->src_offset, data, size);
}

int refusal_on_write(fuse_req_t req, struct file *file, uint64_t fh,
		     uint64_t offset, const void *data, size_t size)
{
	struct fs *fs = fs_of(req);
	pid_t tid = fuse_req_ctx(req)->pid;
	struct refusal refusal;
	struct refusal_call call = { "" };
	enum refusal_answer answer;

	(void)file;
	if (!refusal_find(copy_refusals(fs), tid, file_now(), &refusal))
		return 0;
	refusal_disarm(copy_refusals(fs), tid);
	if (refusal.call.text[0])
		call_read(fs, tid, &call);
	answer = refusal_judge_write(&refusal, fh, offset, size, &call);
	if (answer == REFUSAL_LIKELY &&
	    carries_source(fs, &refusal, data, size))
		answer = REFUSAL_CERTAIN;
	return answer == REFUSAL_CERTAIN ? refusal.err : 0;
}

bool refusal_is_pending(fuse_req_t req)
{
	struct refusal refusal;

	return refusal_find(copy_refusals(fs_of(req)), fuse_req_ctx(req)->pid,
			    file_now(), &refusal);
}

void refusal_see(fuse_req_t req)
{
	struct fs *fs = fs_of(req);

	refusal_disarm(copy_refusals(fs), fuse_req_ctx(req)->pid);
}

void refusal_forget(struct fs *fs, uint64_t fh)
{
	refusal_disarm_handle(copy_refusals(fs), fh);
}
