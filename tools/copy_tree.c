// SPDX-License-Identifier: MIT
/* Walks a directory of any depth: makes directories, hands out the names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"

/* The walk keeps this many of its directories open, from the deepest up. */
#define WALK_OPEN 32
/* Names handed out at once. */
#define WALK_NAMES 1024

struct walk {
	struct copy_worker *worker;
	struct copy_dir *top;
	struct copy_identity own; /* the top's destination, if it is new */
	struct copy_dir *oldest;  /* the uppermost that is open */
	unsigned int open;	  /* from there down */
	bool is_lost; /* a directory above could not be opened again */
};

static int fail(struct walk *walk, const struct copy_entry *entry,
		enum offlay_side side, int err, const char *what)
{
	copy_report_failure(walk->worker->run, entry, side, err, what);
	return err ? err : -EEXIST;
}

static int open_dir(int at_fd, const char *name, int flags)
{
	int fd =
		openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);

	return fd < 0 ? -errno : fd;
}

static void close_fds(struct copy_pool *pool, struct copy_dir *dir)
{
	if (dir->src_fd >= 0)
		close(dir->src_fd);
	if (dir->dst_fd >= 0)
		close(dir->dst_fd);
	if (dir->src_fd >= 0 || dir->dst_fd >= 0)
		copy_pool_dir_closed(pool);
	dir->src_fd = dir->dst_fd = -1;
}

static struct copy_entry entry_of(const struct copy_dir *dir)
{
	return (struct copy_entry){
		.dir = dir->parent,
		.src_name = dir->src_name,
		.dst_name = dir->dst_name,
		.type = DT_DIR,
	};
}

/* What a directory gets when everything below it is done. */
static void finish_dir(struct copy_worker *worker, struct copy_dir *dir)
{
	struct copy_entry entry = entry_of(dir);
	struct copy_run *run = worker->run;
	const char *what = "cannot examine";
	struct copy_attr attr;
	struct stat dst;
	int err;

	if (dir->dst_fd < 0 || dir->src_fd < 0)
		return;
	if (!run->options->preserve) {
		/* It was made so that it could be filled. */
		if (dir->created && (dir->src.st_mode & 0700) != 0700 &&
		    !fstat(dir->dst_fd, &dst))
			fchmod(dir->dst_fd, (dst.st_mode & 07077) |
						    (dir->src.st_mode & 0700));
		return;
	}
	err = copy_attr_list(worker, dir->src_fd, &attr);
	if (!err && fstat(dir->dst_fd, &dst))
		err = -errno;
	if (!err)
		err = copy_attr_apply(worker, dir->src_fd, &dir->src, &attr,
				      dir->dst_fd, &dst, !dir->created, &what);
	if (err)
		copy_report_failure(run, &entry, OFFLAY_DESTINATION, err, what);
}

/**
 * copy_tree_unref() - drop a reference; the last one completes the directory
 * @worker: calling thread
 * @dir: directory; those above it follow where this was their last reference
 */
void copy_tree_unref(struct copy_worker *worker, struct copy_dir *dir)
{
	/* The place of the arguments has no parent and is not completed. */
	while (dir->parent && atomic_fetch_sub(&dir->refs, 1) == 1) {
		struct copy_dir *parent = dir->parent;

		finish_dir(worker, dir);
		close_fds(worker->run->pool, dir);
		copy_names_done(&dir->subdirs);
		free(dir->src_name);
		free(dir->dst_name);
		free(dir);
		dir = parent;
	}
}

static struct copy_dir *new_dir(const struct copy_entry *entry)
{
	struct copy_dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	dir->src_fd = dir->dst_fd = -1;
	dir->src_name = strdup(entry->src_name);
	dir->dst_name = strdup(entry->dst_name);
	if (!dir->src_name || !dir->dst_name) {
		free(dir->src_name);
		free(dir->dst_name);
		free(dir);
		return NULL;
	}
	dir->parent = entry->dir;
	atomic_fetch_add(&entry->dir->refs, 1);
	atomic_init(&dir->refs, 1);
	return dir;
}

/* The copy of a tree into itself would find itself, and again. */
static bool is_own_copy(const struct walk *walk, const struct copy_dir *dir)
{
	struct copy_identity id;

	if (!walk->own.ino)
		return false;
	copy_same_remember(dir->src_fd, &id);
	return copy_same_dir(&id, &walk->own);
}

static int open_source(struct walk *walk, const struct copy_entry *entry,
		       struct copy_dir *dir)
{
	dir->src_fd = open_dir(entry->dir->src_fd, entry->src_name, O_NOFOLLOW);
	if (dir->src_fd < 0)
		return fail(walk, entry, OFFLAY_SOURCE, dir->src_fd,
			    "cannot open");
	if (fstat(dir->src_fd, &dir->src))
		return fail(walk, entry, OFFLAY_SOURCE, -errno,
			    "cannot examine");
	if (is_own_copy(walk, dir))
		return fail(walk, entry, OFFLAY_SOURCE, 0,
			    "is the copy itself and is left out");
	return 0;
}

static int make_destination(struct walk *walk, const struct copy_entry *entry,
			    struct copy_dir *dir)
{
	bool preserve = walk->worker->run->options->preserve;
	mode_t mode = preserve ? 0700 : (dir->src.st_mode & 0777) | 0700;
	int err;

	if (!mkdirat(entry->dir->dst_fd, entry->dst_name, mode))
		dir->created = true;
	else if (errno != EEXIST)
		return fail(walk, entry, OFFLAY_DESTINATION, -errno,
			    "cannot create directory");
	dir->dst_fd = open_dir(entry->dir->dst_fd, entry->dst_name, O_NOFOLLOW);
	err = dir->dst_fd;
	if (err == -ENOTDIR || err == -ELOOP)
		return fail(walk, entry, OFFLAY_DESTINATION, 0,
			    "is not a directory and is not replaced by one");
	if (err < 0)
		return fail(walk, entry, OFFLAY_DESTINATION, err,
			    "cannot open");
	return 0;
}

static int examine_destination(struct walk *walk,
			       const struct copy_entry *entry,
			       struct copy_dir *dir)
{
	const struct copy_run *run = walk->worker->run;
	struct stat dst;

	if (fstat(dir->dst_fd, &dst))
		return fail(walk, entry, OFFLAY_DESTINATION, -errno,
			    "cannot examine");
	if (copy_same_inode(&dir->src, &dst))
		return fail(walk, entry, OFFLAY_DESTINATION, 0,
			    "is the same directory as the source");
	dir->dst_dev = dst.st_dev;
	dir->dst_ino = dst.st_ino;
	dir->new_gid = dst.st_mode & S_ISGID ? dst.st_gid : run->gid;
	if (!run->options->preserve)
		return 0;
	if (dir->created && entry->dir->has_default_acl)
		copy_attr_drop_acl(dir->dst_fd);
	else
		dir->has_default_acl = copy_attr_default_acl(dir->dst_fd);
	return 0;
}

static unsigned char type_of(const struct copy_dir *dir,
			     const struct dirent64 *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN ||
	    fstatat(dir->src_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
		return entry->d_type;
	return IFTODT(st.st_mode);
}

static int sort_out(struct walk *walk, struct copy_dir *dir,
		    const struct dirent64 *entry, struct copy_names *files)
{
	unsigned char type;
	int err;

	if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
		return 0;
	type = type_of(dir, entry);
	err = copy_names_add(type == DT_DIR ? &dir->subdirs : files,
			     entry->d_name, entry->d_ino, type);
	if (!err && files->count == WALK_NAMES)
		err = copy_pool_submit(walk->worker, dir, files);
	return err;
}

/* Files go to the pool at once, directories wait for the walk. */
static int read_names(struct walk *walk, struct copy_dir *dir)
{
	_Alignas(struct dirent64) char buf[32768];
	struct copy_names files = { 0 };
	ssize_t size = 0, at;
	int err = 0;

	while (!err && !copy_interrupted()) {
		size = getdents64(dir->src_fd, buf, sizeof(buf));
		if (size <= 0)
			break;
		for (at = 0; !err && at < size;) {
			const struct dirent64 *entry = (void *)(buf + at);

			err = sort_out(walk, dir, entry, &files);
			at += entry->d_reclen;
		}
	}
	if (size < 0)
		err = -errno;
	if (!err)
		err = copy_pool_submit(walk->worker, dir, &files);
	copy_names_done(&files);
	copy_names_sort(&dir->subdirs);
	return err;
}

/* Lets go of descriptors far above; the names there must be done first. */
static void park(struct walk *walk)
{
	struct copy_pool *pool = walk->worker->run->pool;
	struct copy_dir *dir = walk->oldest;

	copy_pool_settle(pool, dir);
	close_fds(pool, dir);
	walk->oldest = dir->below;
	walk->open--;
}

static int reopen(int below_fd, dev_t dev, ino_t ino)
{
	int fd = open_dir(below_fd, "..", 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (!fstat(fd, &st) && st.st_dev == dev && st.st_ino == ino)
		return fd;
	close(fd);
	return -ESTALE;
}

/* Back from @below: opens its parent again by "..", if it is still that. */
static void unpark(struct walk *walk, struct copy_dir *dir,
		   const struct copy_dir *below)
{
	struct copy_entry entry = entry_of(dir);

	if (below->src_fd < 0 || below->dst_fd < 0)
		return;
	copy_pool_dir_opened(walk->worker->run->pool);
	dir->src_fd = reopen(below->src_fd, dir->src.st_dev, dir->src.st_ino);
	if (dir->src_fd < 0)
		fail(walk, &entry, OFFLAY_SOURCE, dir->src_fd,
		     "cannot return to");
	dir->dst_fd = reopen(below->dst_fd, dir->dst_dev, dir->dst_ino);
	if (dir->dst_fd < 0)
		fail(walk, &entry, OFFLAY_DESTINATION, dir->dst_fd,
		     "cannot return to");
	if (dir->src_fd < 0 || dir->dst_fd < 0) {
		walk->is_lost = true;
		if (dir->src_fd < 0 && dir->dst_fd < 0)
			copy_pool_dir_closed(walk->worker->run->pool);
		return;
	}
	walk->oldest = dir;
	walk->open++;
}

/* Makes and opens one directory and hands out its names; NULL on failure. */
static struct copy_dir *enter(struct walk *walk, const struct copy_entry *entry)
{
	struct copy_run *run = walk->worker->run;
	struct copy_dir *dir = new_dir(entry);
	int err;

	if (!dir) {
		fail(walk, entry, OFFLAY_SOURCE, -ENOMEM, "cannot copy");
		return NULL;
	}
	copy_pool_dir_opened(run->pool);
	err = open_source(walk, entry, dir);
	if (!err)
		err = make_destination(walk, entry, dir);
	if (!err)
		err = examine_destination(walk, entry, dir);
	if (err) {
		/* Not its attributes: only what was copied gets them. */
		if (dir->src_fd < 0 && dir->dst_fd < 0)
			copy_pool_dir_closed(run->pool);
		close_fds(run->pool, dir);
		copy_tree_unref(walk->worker, dir);
		return NULL;
	}
	atomic_fetch_add(&run->totals.directories, 1);
	if (run->options->verbose)
		copy_report_done(entry, "directory", "");
	if (!walk->top) {
		walk->top = dir;
		if (dir->created)
			copy_same_remember(dir->dst_fd, &walk->own);
	}
	err = read_names(walk, dir);
	if (err)
		fail(walk, entry, OFFLAY_SOURCE, err, "cannot read directory");
	return dir;
}

static struct copy_dir *descend(struct walk *walk, struct copy_dir *dir)
{
	const struct copy_name *name = &dir->subdirs.items[dir->next_subdir++];
	struct copy_entry entry = {
		.dir = dir,
		.src_name = dir->subdirs.bytes + name->at,
		.dst_name = dir->subdirs.bytes + name->at,
		.type = DT_DIR,
	};
	struct copy_dir *below = enter(walk, &entry);

	if (!below)
		return dir;
	dir->below = below;
	if (++walk->open > WALK_OPEN)
		park(walk);
	return below;
}

static struct copy_dir *ascend(struct walk *walk, struct copy_dir *dir)
{
	struct copy_dir *parent = dir->parent;

	if (dir == walk->top)
		parent = NULL;
	else if (parent->src_fd < 0)
		unpark(walk, parent, dir);
	if (!walk->is_lost)
		walk->open--;
	copy_tree_unref(walk->worker, dir);
	return parent;
}

static void walk_all(struct walk *walk, struct copy_dir *dir)
{
	walk->oldest = dir;
	walk->open = 1;
	while (dir) {
		if (dir->next_subdir < dir->subdirs.count && !walk->is_lost &&
		    !copy_interrupted())
			dir = descend(walk, dir);
		else
			dir = ascend(walk, dir);
	}
}

/* Is this place inside the source?  @dir_fd is taken. */
static bool is_inside(int dir_fd, const struct stat *src)
{
	struct stat here, above;
	bool is_found = false;
	int up_fd;

	if (fstat(dir_fd, &here)) {
		close(dir_fd);
		return false;
	}
	while (!(is_found = copy_same_inode(&here, src))) {
		up_fd = open_dir(dir_fd, "..", 0);
		if (up_fd < 0)
			break;
		close(dir_fd);
		dir_fd = up_fd;
		if (fstat(dir_fd, &above) || copy_same_inode(&here, &above))
			break;
		here = above;
	}
	close(dir_fd);
	return is_found;
}

static int check_place(struct walk *walk, const struct copy_entry *entry,
		       const struct stat *src)
{
	char *name = strdup(entry->dst_name);
	char *slash;
	int dir_fd;

	if (!name)
		return fail(walk, entry, OFFLAY_SOURCE, -ENOMEM, "cannot copy");
	slash = strrchr(name, '/');
	if (slash)
		slash[slash == name] = '\0';
	dir_fd = open_dir(entry->dir->dst_fd, slash ? name : ".", 0);
	free(name);
	/* What is wrong with it is said when the directory is made. */
	if (dir_fd >= 0 && is_inside(dir_fd, src))
		return fail(walk, entry, OFFLAY_SOURCE, 0,
			    "is not copied into itself");
	return 0;
}

/**
 * copy_tree() - copy a directory and everything below it
 * @worker: calling thread
 * @entry: an argument; its directory is the place of the arguments
 * @src: of the source
 *
 * Returns when every directory was walked; names may still be worked on by the
 * pool of the command.
 *
 * Return: 0 or -errno, which was reported.
 */
int copy_tree(struct copy_worker *worker, const struct copy_entry *entry,
	      const struct stat *src)
{
	struct walk walk = { .worker = worker };
	struct copy_run *run = worker->run;
	struct copy_dir *dir;
	int err;

	err = check_place(&walk, entry, src);
	if (err)
		return err;
	if (!run->pool) {
		err = copy_pool_new(run, &run->pool);
		if (err)
			return fail(&walk, entry, OFFLAY_SOURCE, err,
				    "cannot copy");
	}
	dir = enter(&walk, entry);
	if (!dir)
		return -EEXIST;
	walk_all(&walk, dir);
	return 0;
}
