/* SPDX-License-Identifier: MIT */
/* What the files of "offlay copy" share; grouped by the .c file that has it. */
#ifndef OFFLAY_COPY_H
#define OFFLAY_COPY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "offlay.h"

struct copy_options {
	bool recursive;
	bool preserve; /* mode, owner, times, xattrs, ACLs */
	bool links;    /* hard links stay hard links */
	bool clone_only;
	bool verify;
	bool resume;
	bool force;	 /* a destination that cannot be opened is replaced */
	bool no_clobber; /* a destination that exists stays */
	bool verbose;
	bool quiet;
	bool progress;
};

/* What was done so far; every thread adds, the progress line reads. */
struct copy_totals {
	atomic_uint_fast64_t files, directories, symlinks, specials, links;
	atomic_uint_fast64_t skipped, refused;
	atomic_uint_fast64_t cloned, offloaded, moved, holes, resumed;
	atomic_uint_fast64_t verified;
	atomic_uint_fast64_t reasons[OFFLAY_REASON_COUNT];
};

struct copy_link_table;
struct copy_pool;

/* One command. */
struct copy_run {
	const struct copy_options *options;
	struct offlay_engine *engine;
	struct copy_link_table *links; /* NULL without -a */
	struct copy_pool *pool;	       /* NULL until the first directory */
	struct copy_totals totals;
	uint64_t expected; /* bytes, where known before; else 0 */
	uid_t uid;	   /* effective, of this process */
	gid_t gid;
	atomic_bool failed; /* something was reported */
};

/* One thread's scratch memory, made at first use. */
struct copy_worker {
	struct copy_run *run;
	char *names;		 /* XATTR_LIST_MAX */
	char *value;		 /* XATTR_SIZE_MAX */
	char *src_buf, *dst_buf; /* COPY_BUFFER each */
};
#define COPY_BUFFER ((size_t)256 << 10)

/* copy_names.c: names of directory entries. */
struct copy_name {
	uint64_t ino;
	size_t at;	    /* in bytes */
	unsigned char type; /* DT_* */
};
struct copy_names {
	struct copy_name *items;
	size_t count, room;
	char *bytes;
	size_t bytes_used, bytes_room;
};
int copy_names_add(struct copy_names *names, const char *name, uint64_t ino,
		   unsigned char type);
void copy_names_sort(struct copy_names *names);
void copy_names_done(struct copy_names *names);

/*
 * A directory that is being copied, or the place where an argument lives: then
 * src_fd or dst_fd may be AT_FDCWD.  It lasts until everything below it is
 * done, and then gets its attributes.
 */
struct copy_dir {
	struct copy_dir *parent;   /* holds a reference */
	char *src_name, *dst_name; /* below the parent */
	int src_fd, dst_fd;	   /* -1 while the walk is far below */
	struct stat src;	   /* of the source directory */
	dev_t dst_dev;
	ino_t dst_ino;
	gid_t new_gid;	      /* group that a new entry of dst_fd gets */
	bool created;	      /* the destination is new */
	bool has_default_acl; /* the destination has one */
	atomic_uint refs;
	unsigned int batches; /* not finished; guarded by the pool's lock */
	struct copy_names subdirs; /* of the walk, as all below */
	size_t next_subdir;
	struct copy_dir *below; /* the one that is walked now */
};

/* One name to copy; the directory outlives it. */
struct copy_entry {
	struct copy_dir *dir;
	const char *src_name, *dst_name;
	unsigned char type; /* DT_* as far as known */
};

/* cmd_copy.c */
bool copy_interrupted(void);

/* copy_report.c: what went wrong, with both paths however deep they are. */
char *copy_report_path(const struct copy_entry *entry, enum offlay_side side);
void copy_report_failure(struct copy_run *run, const struct copy_entry *entry,
			 enum offlay_side side, int err, const char *what);
void copy_report_abandoned(struct copy_run *run, const struct copy_entry *entry,
			   const char *why, int err, const char *state);
void copy_report_done(const struct copy_entry *entry, const char *how,
		      const char *digest);
void copy_report_summary(const struct copy_run *run, double seconds);

/* copy_file.c: one regular file. */
int copy_file(struct copy_worker *worker, const struct copy_entry *entry);

/* copy_open.c: the destination of one regular file. */
struct copy_target {
	int fd;
	struct stat st; /* when it was opened */
	bool created;
	bool skipped; /* exists, and --no-clobber */
};
int copy_open_target(struct copy_worker *worker, const struct copy_entry *entry,
		     int src_fd, const struct stat *src, mode_t mode,
		     struct copy_target *ret_target);
void copy_open_forget(const struct copy_entry *entry,
		      const struct copy_target *target, bool *ret_removed);

/* copy_node.c: symbolic links, special files, and any name by its kind. */
int copy_entry(struct copy_worker *worker, const struct copy_entry *entry);

/* copy_attr.c: mode, owner, times, extended attributes, ACLs. */
struct copy_attr {
	size_t names_size; /* of worker->names */
	bool has_acl;
	bool has_others; /* extended attributes that are no ACL */
};
int copy_attr_list(struct copy_worker *worker, int fd,
		   struct copy_attr *ret_attr);
bool copy_attr_is_plain(const struct copy_run *run, const struct copy_dir *dir,
			const struct stat *src, const struct copy_attr *attr);
int copy_attr_apply(struct copy_worker *worker, int src_fd,
		    const struct stat *src, const struct copy_attr *attr,
		    int dst_fd, const struct stat *dst, bool may_have_acl,
		    const char **ret_what);
int copy_attr_default_acl(int dst_fd);
void copy_attr_drop_acl(int dst_fd);

/* copy_same.c: is it one file? */
bool copy_same_inode(const struct stat *a, const struct stat *b);
bool copy_same_file_below(int src_fd, int dst_fd);
struct copy_identity {
	dev_t dev;
	uint64_t ino;		      /* 0 for nothing */
	struct statx_timestamp birth; /* 0 where it is not told */
	struct statx_timestamp changed;
	bool is_layered;
};
void copy_same_remember(int fd, struct copy_identity *ret_id);
bool copy_same_dir(const struct copy_identity *met,
		   const struct copy_identity *made);

/* copy_check.c: comparing a source and a destination. */
int copy_check_prefix(struct copy_worker *worker, int src_fd, int dst_fd,
		      uint64_t length, uint64_t *ret_same);
int copy_check_verify(struct copy_worker *worker, int src_fd, int dst_fd,
		      uint64_t length, bool *ret_same, char ret_digest[33]);

/* copy_link.c: hard links within one run. */
enum copy_link_claim {
	COPY_LINK_FIRST, /* copy it, then call copy_link_settle() */
	COPY_LINK_MADE,	 /* the destination is linked already */
};
int copy_link_new(struct copy_link_table **ret_table);
void copy_link_free(struct copy_link_table *table);
int copy_link_claim(struct copy_worker *worker, const struct copy_entry *entry,
		    const struct stat *src, enum copy_link_claim *ret_claim);
void copy_link_settle(struct copy_worker *worker,
		      const struct copy_entry *entry, const struct stat *src,
		      int err);

/* copy_tree.c: walks a directory. */
int copy_tree(struct copy_worker *worker, const struct copy_entry *entry,
	      const struct stat *src);
void copy_tree_unref(struct copy_worker *worker, struct copy_dir *dir);

/* copy_pool.c: threads that copy the names that the walk finds. */
int copy_pool_new(struct copy_run *run, struct copy_pool **ret_pool);
void copy_pool_free(struct copy_pool *pool);
int copy_pool_submit(struct copy_worker *worker, struct copy_dir *dir,
		     struct copy_names *names);
void copy_pool_settle(struct copy_pool *pool, const struct copy_dir *dir);
void copy_pool_dir_opened(struct copy_pool *pool);
void copy_pool_dir_closed(struct copy_pool *pool);

/* copy_progress.c */
struct copy_progress;
int copy_progress_start(const struct copy_run *run,
			struct copy_progress **ret_progress);
void copy_progress_stop(struct copy_progress *progress);
void copy_progress_line(uint64_t done, uint64_t expected, uint64_t files,
			double seconds, char *buf, size_t size);

/* copy_worker.c */
int copy_worker_attrs(struct copy_worker *worker);
int copy_worker_buffers(struct copy_worker *worker);
void copy_worker_done(struct copy_worker *worker);

#endif
