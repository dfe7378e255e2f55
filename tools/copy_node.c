// SPDX-License-Identifier: MIT
/* Copies symbolic links and special files, and tells the kinds apart. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "copy.h"

static int fail(struct copy_worker *worker, const struct copy_entry *entry,
		enum offlay_side side, int err, const char *what)
{
	copy_report_failure(worker->run, entry, side, err, what);
	return err ? err : -EEXIST;
}

/* Not reported: -EEXIST has a second try. */
static int make_node(struct copy_worker *worker, const struct copy_entry *entry,
		     const struct stat *src)
{
	const struct copy_dir *dir = entry->dir;
	char target[PATH_MAX];
	ssize_t length;
	mode_t mode = src->st_mode & (S_IFMT | 0777);

	if (!S_ISLNK(src->st_mode)) {
		if (worker->run->options->preserve)
			mode = (src->st_mode & S_IFMT) | 0600;
		return mknodat(dir->dst_fd, entry->dst_name, mode, src->st_rdev)
			       ? -errno
			       : 0;
	}
	length = readlinkat(dir->src_fd, entry->src_name, target,
			    sizeof(target));
	if (length < 0)
		return -errno;
	if ((size_t)length == sizeof(target))
		return -ENAMETOOLONG;
	target[length] = '\0';
	return symlinkat(target, dir->dst_fd, entry->dst_name) ? -errno : 0;
}

/* Something is there: 0 if it was taken away, 1 if it stays. */
static int clear_place(struct copy_worker *worker,
		       const struct copy_entry *entry, const struct stat *src)
{
	struct stat dst;

	if (worker->run->options->no_clobber) {
		atomic_fetch_add(&worker->run->totals.skipped, 1);
		return 1;
	}
	if (fstatat(entry->dir->dst_fd, entry->dst_name, &dst,
		    AT_SYMLINK_NOFOLLOW))
		return fail(worker, entry, OFFLAY_DESTINATION, -errno,
			    "cannot examine");
	if (S_ISDIR(dst.st_mode))
		return fail(worker, entry, OFFLAY_DESTINATION, 0,
			    "is a directory and is not replaced by a file");
	if (copy_same_inode(&dst, src))
		return fail(worker, entry, OFFLAY_DESTINATION, 0,
			    "is the same file as the source");
	if (unlinkat(entry->dir->dst_fd, entry->dst_name, 0))
		return fail(worker, entry, OFFLAY_DESTINATION, -errno,
			    "cannot remove");
	return 0;
}

static int give_attributes(struct copy_worker *worker,
			   const struct copy_entry *entry,
			   const struct stat *src, int src_fd, int dst_fd)
{
	struct copy_attr attr;
	struct stat dst;
	const char *what;
	int err;

	err = copy_attr_list(worker, src_fd, &attr);
	if (err)
		return fail(worker, entry, OFFLAY_SOURCE, err,
			    "cannot list the extended attributes of");
	if (fstat(dst_fd, &dst))
		return fail(worker, entry, OFFLAY_DESTINATION, -errno,
			    "cannot examine");
	err = copy_attr_apply(
		worker, src_fd, src, &attr, dst_fd, &dst,
		!S_ISLNK(src->st_mode) && entry->dir->has_default_acl, &what);
	return err ? fail(worker, entry, OFFLAY_DESTINATION, err, what) : 0;
}

/* O_PATH, since opening a device or a FIFO does things. */
static int finish_node(struct copy_worker *worker,
		       const struct copy_entry *entry, const struct stat *src)
{
	const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	int src_fd, dst_fd, err;

	if (!worker->run->options->preserve)
		return 0;
	src_fd = openat(entry->dir->src_fd, entry->src_name, flags);
	if (src_fd < 0)
		return fail(worker, entry, OFFLAY_SOURCE, -errno,
			    "cannot open");
	dst_fd = openat(entry->dir->dst_fd, entry->dst_name, flags);
	if (dst_fd < 0)
		err = fail(worker, entry, OFFLAY_DESTINATION, -errno,
			   "cannot open");
	else
		err = give_attributes(worker, entry, src, src_fd, dst_fd);
	close(src_fd);
	if (dst_fd >= 0)
		close(dst_fd);
	return err;
}

/* Returns 1 where something was there and stays. */
static int copy_new_node(struct copy_worker *worker,
			 const struct copy_entry *entry, const struct stat *src)
{
	struct copy_totals *totals = &worker->run->totals;
	int err = make_node(worker, entry, src);

	if (err == -EEXIST) {
		err = clear_place(worker, entry, src);
		if (err)
			return err;
		err = make_node(worker, entry, src);
	}
	if (err)
		return fail(worker, entry, OFFLAY_DESTINATION, err,
			    "cannot create");
	atomic_fetch_add(S_ISLNK(src->st_mode) ? &totals->symlinks
					       : &totals->specials,
			 1);
	if (worker->run->options->verbose)
		copy_report_done(entry,
				 S_ISLNK(src->st_mode) ? "symbolic link"
						       : "special file",
				 "");
	return finish_node(worker, entry, src);
}

static int copy_node(struct copy_worker *worker, const struct copy_entry *entry,
		     const struct stat *src)
{
	enum copy_link_claim claim = COPY_LINK_FIRST;
	bool is_linked = worker->run->links && src->st_nlink > 1;
	int err = 0;

	if (is_linked)
		err = copy_link_claim(worker, entry, src, &claim);
	if (err || claim == COPY_LINK_MADE)
		return err;
	err = copy_new_node(worker, entry, src);
	if (is_linked)
		copy_link_settle(worker, entry, src, err);
	return err < 0 ? err : 0;
}

/**
 * copy_entry() - copy one name that is not a directory
 * @worker: calling thread
 * @entry: what and where to; its type is believed where it is a regular file
 *	and looked up else
 *
 * Return: 0 or -errno, which was reported.
 */
int copy_entry(struct copy_worker *worker, const struct copy_entry *entry)
{
	int flags = worker->run->options->recursive ? AT_SYMLINK_NOFOLLOW : 0;
	struct stat src;

	if (entry->type == DT_REG)
		return copy_file(worker, entry);
	if (fstatat(entry->dir->src_fd, entry->src_name, &src, flags))
		return fail(worker, entry, OFFLAY_SOURCE, -errno,
			    "cannot examine");
	if (S_ISREG(src.st_mode) || !worker->run->options->recursive)
		return copy_file(worker, entry);
	if (S_ISDIR(src.st_mode))
		return fail(worker, entry, OFFLAY_SOURCE, 0,
			    "became a directory while it was copied");
	return copy_node(worker, entry, &src);
}
