// SPDX-License-Identifier: MIT
/* Copies one regular file: content, check, attributes, and what if not. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "copy.h"
#include "offlay_uapi.h"

/* A clone of any length is one call; bytes moved by hand are seen sooner. */
#define CALL_LENGTH ((uint64_t)1 << 30)
#define CALL_MOVE   ((uint64_t)16 << 20)

/* A resumed copy starts at a multiple of this, so that it can clone on. */
#define RESUME_ALIGN ((uint64_t)1 << 20)

struct file_copy {
	struct copy_worker *worker;
	const struct copy_entry *entry;
	int src_fd;
	struct stat src;
	struct copy_attr attr;
	struct copy_target dst;
	uint64_t done;	      /* bytes from the start that are right */
	bool is_touched;      /* the content of the destination was changed */
	bool is_refused;      /* by the mount, and that was noted */
	bool is_different;    /* --verify says so */
	unsigned int methods; /* that moved bytes */
	char digest[33];
};

static int fail(struct file_copy *file, enum offlay_side side, int err,
		const char *what)
{
	copy_report_failure(file->worker->run, file->entry, side, err, what);
	return err;
}

/*
 * O_NONBLOCK keeps a FIFO from hanging us; on a file that somebody holds a
 * lease on, it makes EAGAIN of what would be a short wait.
 */
static int open_source(struct file_copy *file)
{
	const struct copy_entry *entry = file->entry;
	int dir_fd = entry->dir->src_fd;
	int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (file->worker->run->options->recursive)
		flags |= O_NOFOLLOW;
	file->src_fd = openat(dir_fd, entry->src_name, flags);
	if (file->src_fd < 0 && errno == EAGAIN &&
	    !fstatat(dir_fd, entry->src_name, &file->src, 0) &&
	    S_ISREG(file->src.st_mode))
		file->src_fd =
			openat(dir_fd, entry->src_name, flags & ~O_NONBLOCK);
	if (file->src_fd < 0)
		return fail(file, OFFLAY_SOURCE, -errno, "cannot open");
	if (fstat(file->src_fd, &file->src))
		return fail(file, OFFLAY_SOURCE, -errno, "cannot examine");
	if (S_ISREG(file->src.st_mode))
		return 0;
	fail(file, OFFLAY_SOURCE, 0,
	     S_ISDIR(file->src.st_mode)
		     ? "is a directory (-r copies it)"
		     : "is not a regular file (-r makes another like it)");
	return -EINVAL;
}

static mode_t create_mode(const struct file_copy *file)
{
	const struct copy_run *run = file->worker->run;

	if (!run->options->preserve ||
	    copy_attr_is_plain(run, file->entry->dir, &file->src, &file->attr))
		return file->src.st_mode & 0777;
	return 0600;
}

/*
 * The kernel makes a slow success of a mount's refusal, or the mount says no
 * aloud and the engine copied by hand: either way the mount knows why.
 */
static void note_refusal(struct file_copy *file,
			 const struct offlay_result *result)
{
	struct offlay_ioc_explain src = { .version = OFFLAY_ABI_VERSION };
	struct offlay_ioc_explain dst = { .version = OFFLAY_ABI_VERSION };
	struct copy_totals *totals = &file->worker->run->totals;
	uint32_t reasons;
	int reason;

	if (file->is_refused || !result->moved || !result->declined_offload)
		return;
	if (ioctl(file->src_fd, OFFLAY_IOC_EXPLAIN, &src) ||
	    ioctl(file->dst.fd, OFFLAY_IOC_EXPLAIN, &dst))
		return;
	/* A destination that was given holes here was not refused for them. */
	reasons = src.src_reasons ? src.src_reasons : dst.dst_reasons;
	if (!reasons)
		return;
	file->is_refused = true;
	atomic_fetch_add(&totals->refused, 1);
	for (reason = 0; reason < OFFLAY_REASON_COUNT; reason++)
		if (reasons & (1u << reason))
			atomic_fetch_add(&totals->reasons[reason], 1);
}

static void account(struct file_copy *file, const struct offlay_result *result)
{
	struct copy_totals *totals = &file->worker->run->totals;

	if (result->cloned) {
		atomic_fetch_add(&totals->cloned, result->cloned);
		file->methods |= OFFLAY_METHOD_CLONE;
	}
	if (result->offloaded) {
		atomic_fetch_add(&totals->offloaded, result->offloaded);
		file->methods |= OFFLAY_METHOD_OFFLOAD;
	}
	if (result->moved) {
		atomic_fetch_add(&totals->moved, result->moved);
		file->methods |= OFFLAY_METHOD_DATA;
	}
	if (result->holes)
		atomic_fetch_add(&totals->holes, result->holes);
	note_refusal(file, result);
}

static int write_full(int fd, const char *buf, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t count = pwrite(fd, buf + done, size - done,
				       (off_t)(offset + done));

		if (count < 0)
			return -errno;
		done += (size_t)count;
	}
	return 0;
}

/*
 * A size of 0 is no promise: files of /proc have one and hold text.  They are
 * read to their end as any program would.
 */
static int copy_sizeless(struct file_copy *file)
{
	struct copy_worker *worker = file->worker;
	struct offlay_result result = { 0 };
	int err = copy_worker_buffers(worker);

	while (!err) {
		ssize_t count = pread(file->src_fd, worker->src_buf,
				      COPY_BUFFER, (off_t)file->done);

		if (count < 0)
			return -errno;
		if (!count)
			break;
		file->is_touched = true;
		err = write_full(file->dst.fd, worker->src_buf, (size_t)count,
				 file->done);
		if (err)
			break;
		file->done += (uint64_t)count;
		result.moved += (uint64_t)count;
	}
	account(file, &result);
	return err;
}

static int copy_content(struct file_copy *file)
{
	const struct copy_run *run = file->worker->run;
	const uint64_t size = (uint64_t)file->src.st_size;

	if (!size)
		return copy_sizeless(file);
	while (file->done < size) {
		struct offlay_range range = {
			.src_fd = file->src_fd,
			.dst_fd = file->dst.fd,
			.src_offset = file->done,
			.dst_offset = file->done,
			.length = size - file->done,
			.max_move = CALL_MOVE,
		};
		struct offlay_result result;
		int err;

		if (copy_interrupted())
			return -EINTR;
		if (range.length > CALL_LENGTH)
			range.length = CALL_LENGTH;
		if (run->options->clone_only) {
			range.methods = OFFLAY_METHOD_CLONE;
			range.flags = OFFLAY_COPY_CLONE_ONLY;
		}
		file->is_touched = true;
		err = offlay_copy_range(run->engine, &range, &result);
		if (err)
			return err;
		/* The source was cut short: so is its copy. */
		if (!result.copied)
			break;
		file->done += result.copied;
		account(file, &result);
		if (result.stop)
			return -result.stop;
	}
	return 0;
}

/* Keep what is right of the destination that was found, cut the rest. */
static int prepare(struct file_copy *file)
{
	struct copy_run *run = file->worker->run;
	uint64_t length = (uint64_t)file->dst.st.st_size;
	int err;

	if (file->dst.created || !length)
		return 0;
	if (run->options->resume) {
		if (length > (uint64_t)file->src.st_size)
			length = (uint64_t)file->src.st_size;
		err = copy_check_prefix(file->worker, file->src_fd,
					file->dst.fd, length, &file->done);
		if (err)
			return err;
		if (file->done < (uint64_t)file->src.st_size)
			file->done &= ~(RESUME_ALIGN - 1);
		atomic_fetch_add(&run->totals.resumed, file->done);
	}
	if (file->done == (uint64_t)file->dst.st.st_size)
		return 0;
	file->is_touched = true;
	return ftruncate(file->dst.fd, (off_t)file->done) ? -errno : 0;
}

static int check(struct file_copy *file)
{
	struct copy_run *run = file->worker->run;
	bool same;
	int err;

	if (!run->options->verify)
		return 0;
	err = copy_check_verify(file->worker, file->src_fd, file->dst.fd,
				file->done, &same, file->digest);
	if (err)
		return err;
	if (!same) {
		file->is_different = true;
		return -EIO;
	}
	atomic_fetch_add(&run->totals.verified, file->done);
	return 0;
}

/*
 * Nothing that looks complete and is not may stay: what was created here goes
 * away, unless it can be resumed; what was there before is cut to its right
 * part, since the bytes after it may be anything.
 */
static void abandon(struct file_copy *file, int err)
{
	struct copy_run *run = file->worker->run;
	const char *why = NULL;
	char state[160] = "was not changed";
	bool is_removed = false;

	if (file->is_different) {
		why = "the destination differs from the source "
		      "(was the source changed meanwhile?)";
		file->done = 0;
		err = 0;
	} else if (run->options->clone_only && err == -EOPNOTSUPP) {
		why = "extents cannot be shared";
	}
	if (file->dst.created &&
	    (!run->options->resume || !file->done || file->is_different)) {
		copy_open_forget(file->entry, &file->dst, &is_removed);
		snprintf(state, sizeof(state), "%s",
			 is_removed ? "was removed"
				    : "could not be removed and is incomplete");
	} else if (file->dst.created || file->is_touched) {
		bool is_cut = !ftruncate(file->dst.fd, (off_t)file->done);

		snprintf(state, sizeof(state),
			 "%s the first %" PRIu64 " of %" PRIu64 " bytes%s",
			 is_cut ? "holds" : "is incomplete after", file->done,
			 (uint64_t)file->src.st_size,
			 run->options->resume && is_cut
				 ? "; run it again to go on from there"
				 : "");
	}
	copy_report_abandoned(run, file->entry, why, err, state);
}

static const char *describe(const struct file_copy *file)
{
	if (file->is_refused)
		return "refused by the mount, copied";
	switch (file->methods) {
	case 0:
		return file->src.st_size ? "nothing to move" : "empty";
	case OFFLAY_METHOD_CLONE:
		return "cloned";
	case OFFLAY_METHOD_OFFLOAD:
		return "offloaded";
	case OFFLAY_METHOD_DATA:
		return "copied";
	default:
		return "cloned or offloaded in part, copied in part";
	}
}

/* The attributes come last: with them, a destination is complete. */
static int finish(struct file_copy *file)
{
	const struct copy_run *run = file->worker->run;
	const struct copy_dir *dir = file->entry->dir;
	const char *what;
	int err;

	if (!run->options->preserve)
		return 0;
	err = copy_attr_apply(file->worker, file->src_fd, &file->src,
			      &file->attr, file->dst.fd, &file->dst.st,
			      !file->dst.created || dir->has_default_acl,
			      &what);
	return err ? fail(file, OFFLAY_DESTINATION, err, what) : 0;
}

/* The source is open; makes the destination. */
static int copy_opened(struct file_copy *file)
{
	struct copy_run *run = file->worker->run;
	int err, attr_err;

	if (run->options->preserve) {
		err = copy_attr_list(file->worker, file->src_fd, &file->attr);
		if (err)
			return fail(file, OFFLAY_SOURCE, err,
				    "cannot list the extended attributes of");
	}
	err = copy_open_target(file->worker, file->entry, file->src_fd,
			       &file->src, create_mode(file), &file->dst);
	if (err)
		return err;
	if (file->dst.skipped) {
		atomic_fetch_add(&run->totals.skipped, 1);
		return 0;
	}
	err = prepare(file);
	if (!err)
		err = copy_content(file);
	if (!err)
		err = check(file);
	attr_err = err ? 0 : finish(file);
	/* Some filesystems say only here that there was no room. */
	if (err)
		abandon(file, err);
	if (close(file->dst.fd) && !err) {
		err = -errno;
		return fail(file, OFFLAY_DESTINATION, err, "cannot close");
	}
	if (err)
		return err;
	atomic_fetch_add(&run->totals.files, 1);
	if (run->options->verbose)
		copy_report_done(file->entry, describe(file), file->digest);
	return attr_err;
}

/**
 * copy_file() - copy one regular file
 * @worker: calling thread
 * @entry: what and where to
 *
 * Return: 0 or -errno, which was reported.
 */
int copy_file(struct copy_worker *worker, const struct copy_entry *entry)
{
	struct file_copy file = {
		.worker = worker,
		.entry = entry,
		.src_fd = -1,
	};
	enum copy_link_claim claim = COPY_LINK_FIRST;
	bool is_linked = false;
	int err = open_source(&file);

	if (!err && worker->run->links && file.src.st_nlink > 1) {
		err = copy_link_claim(worker, entry, &file.src, &claim);
		is_linked = !err && claim == COPY_LINK_FIRST;
	}
	if (!err && claim == COPY_LINK_FIRST)
		err = copy_opened(&file);
	if (is_linked)
		copy_link_settle(worker, entry, &file.src,
				 file.dst.skipped ? -EEXIST : err);
	if (file.src_fd >= 0)
		close(file.src_fd);
	return err;
}
