// SPDX-License-Identifier: MIT
/* Creating or opening the destination of a file, and what is refused there. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "copy.h"

/* Longer than any block: a clone that starts at a multiple of it is aligned. */
#define PROBE_ALIGN ((uint64_t)1 << 20)

static int open_flags(const struct copy_run *run)
{
	int flags = O_CLOEXEC | O_NOCTTY;

	/* What is compared must be read back. */
	return flags |
	       (run->options->verify || run->options->resume ? O_RDWR
							     : O_WRONLY);
}

static int fail(struct copy_worker *worker, const struct copy_entry *entry,
		int err, const char *what)
{
	copy_report_failure(worker->run, entry, OFFLAY_DESTINATION, err, what);
	return err ? err : -EEXIST;
}

/* -EEXIST is left to the caller; all else is reported. */
static int create(struct copy_worker *worker, const struct copy_entry *entry,
		  mode_t mode, struct copy_target *ret_target)
{
	struct copy_target target = { .created = true };

	target.fd = openat(entry->dir->dst_fd, entry->dst_name,
			   open_flags(worker->run) | O_CREAT | O_EXCL, mode);
	if (target.fd < 0 && errno == EEXIST)
		return -EEXIST;
	if (target.fd < 0)
		return fail(worker, entry, -errno, "cannot create");
	if (fstat(target.fd, &target.st)) {
		int err = -errno;

		close(target.fd);
		return fail(worker, entry, err, "cannot examine");
	}
	*ret_target = target;
	return 0;
}

static int replace(struct copy_worker *worker, const struct copy_entry *entry,
		   mode_t mode, struct copy_target *ret_target)
{
	int err;

	if (unlinkat(entry->dir->dst_fd, entry->dst_name, 0) && errno != ENOENT)
		return fail(worker, entry, -errno, "cannot remove");
	err = create(worker, entry, mode, ret_target);
	if (err == -EEXIST)
		return fail(worker, entry, err, "cannot create");
	return err;
}

/*
 * With --clone-only a destination that cannot share keeps its content: before
 * anything is cut, a piece of the source is cloned past the destination's end
 * and taken away again.
 */
static int probe_clone(struct copy_worker *worker, int src_fd,
		       const struct stat *src, int dst_fd,
		       const struct stat *dst)
{
	struct offlay_range range = {
		.src_fd = src_fd,
		.dst_fd = dst_fd,
		.dst_offset = ((uint64_t)dst->st_size + PROBE_ALIGN - 1) &
			      ~(PROBE_ALIGN - 1),
		.length = (uint64_t)src->st_size,
		.methods = OFFLAY_METHOD_CLONE,
		.flags = OFFLAY_COPY_CLONE_ONLY,
	};
	struct offlay_result result;
	int err;

	if (!src->st_size)
		return 0;
	if (range.length > PROBE_ALIGN)
		range.length = PROBE_ALIGN;
	err = offlay_copy_range(worker->run->engine, &range, &result);
	if (ftruncate(dst_fd, dst->st_size) && !err)
		err = -errno;
	return err;
}

/* May this destination's content be replaced by that source's? */
static int check_existing(struct copy_worker *worker,
			  const struct copy_entry *entry,
			  const struct stat *src, const struct stat *dst)
{
	if (S_ISDIR(dst->st_mode))
		return fail(worker, entry, 0,
			    "is a directory and is not replaced by a file");
	if (copy_same_inode(src, dst))
		return fail(worker, entry, 0, "is the same file as the source");
	if (!S_ISREG(dst->st_mode) && !S_ISLNK(dst->st_mode))
		return fail(worker, entry, 0,
			    "is not a regular file and is not replaced by one");
	return 0;
}

static int open_existing(struct copy_worker *worker,
			 const struct copy_entry *entry, int src_fd,
			 const struct stat *src, bool follow, mode_t mode,
			 struct copy_target *ret_target)
{
	const struct copy_options *options = worker->run->options;
	struct copy_target target = { 0 };
	int err;

	/* Without O_NONBLOCK a FIFO put there in between would hang us. */
	target.fd = openat(entry->dir->dst_fd, entry->dst_name,
			   open_flags(worker->run) | O_NONBLOCK |
				   (follow ? 0 : O_NOFOLLOW));
	if (target.fd < 0 && options->force)
		return replace(worker, entry, mode, ret_target);
	if (target.fd < 0)
		return fail(worker, entry, -errno, "cannot open");
	if (fstat(target.fd, &target.st))
		err = fail(worker, entry, -errno, "cannot examine");
	else
		err = check_existing(worker, entry, src, &target.st);
	if (!err && copy_same_file_below(src_fd, target.fd))
		err = fail(worker, entry, 0,
			   "is the same file as the source, seen through "
			   "another mount");
	if (!err && options->clone_only) {
		err = probe_clone(worker, src_fd, src, target.fd, &target.st);
		if (err)
			copy_report_abandoned(worker->run, entry,
					      "extents cannot be shared", err,
					      "was not changed");
	}
	if (err) {
		close(target.fd);
		return err;
	}
	*ret_target = target;
	return 0;
}

/**
 * copy_open_target() - create the destination of a file, or open it
 * @worker: calling thread
 * @entry: where
 * @src_fd, @src: the source, open
 * @mode: of a new file
 * @ret_target: set on success; its descriptor is the caller's, -1 if skipped
 *
 * An existing file keeps its content so far.  Below a directory a symbolic
 * link is replaced, never written through; one that was named is followed.
 *
 * Return: 0 or -errno, which was reported.
 */
int copy_open_target(struct copy_worker *worker, const struct copy_entry *entry,
		     int src_fd, const struct stat *src, mode_t mode,
		     struct copy_target *ret_target)
{
	const struct copy_options *options = worker->run->options;
	int dir_fd = entry->dir->dst_fd;
	bool follow = false;
	struct stat st;
	int err = create(worker, entry, mode, ret_target);

	if (err != -EEXIST)
		return err;
	if (options->no_clobber) {
		*ret_target = (struct copy_target){ .fd = -1, .skipped = true };
		return 0;
	}
	if (fstatat(dir_fd, entry->dst_name, &st, AT_SYMLINK_NOFOLLOW))
		return fail(worker, entry, -errno, "cannot examine");
	if (S_ISLNK(st.st_mode) && !options->recursive) {
		follow = true;
		if (fstatat(dir_fd, entry->dst_name, &st, 0))
			return fail(worker, entry, -errno,
				    "cannot follow the symbolic link");
	}
	err = check_existing(worker, entry, src, &st);
	if (err)
		return err;
	/* Writing into it would change the file's other names as well. */
	if (S_ISLNK(st.st_mode) ||
	    (options->links && st.st_nlink > 1 && !options->resume))
		return replace(worker, entry, mode, ret_target);
	return open_existing(worker, entry, src_fd, src, follow, mode,
			     ret_target);
}

/**
 * copy_open_forget() - remove a destination that was created here
 * @entry: where
 * @target: destination
 * @ret_removed: is it gone?  A name that now means another file is left.
 */
void copy_open_forget(const struct copy_entry *entry,
		      const struct copy_target *target, bool *ret_removed)
{
	int dir_fd = entry->dir->dst_fd;
	struct stat st;

	*ret_removed =
		!fstatat(dir_fd, entry->dst_name, &st, AT_SYMLINK_NOFOLLOW) &&
		copy_same_inode(&st, &target->st) &&
		!unlinkat(dir_fd, entry->dst_name, 0);
}
