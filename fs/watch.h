/* SPDX-License-Identifier: MIT */
/* Copies by read and write: watch.c, watch_share.c and watch_source.c. */
#ifndef OFFLAY_WATCH_H
#define OFFLAY_WATCH_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "file.h"
#include "match.h"
#include "offlay_trace.h"

/*
 * A program that copies opens the source, then makes the destination, and
 * writes what it has read.  The destination is opened so that its writes come
 * here; each is compared with the source and, where every byte is the same,
 * cloned from it instead of written.
 *
 * What makes that safe is a read lease on the source, held from before the
 * comparison until after the clone: the kernel grants one only while nobody
 * has the file open for writing, and whoever opens it for writing (or
 * truncates it) waits until it is given back.  It is held by one thread,
 * inside one request, on a descriptor that nobody else uses; so nothing waits
 * longer than one comparison and one clone, and this daemon's own open(2) of
 * the source cannot wait for itself.
 */

/* ---------------------------------------------------------- watch_source.c */

/* Who opens, reads or writes. */
struct watch_who {
	pid_t tid, pgid;
	uid_t uid;
};

/* A handle that a copy may read from; part of struct file_io. */
struct watch_source {
	struct watch_source *prev, *next; /* newest first */
	struct file *file;
	struct match_index *index; /* of its beginning, made on demand */
	uint64_t id;		   /* never given twice */
	struct watch_who who;	   /* opened it */
};

#define WATCH_BUCKETS 64

struct watch_sources {
	pthread_mutex_t lock; /* guards all below and each source */
	uint64_t last_id;
	unsigned int count;
	struct watch_source *buckets[WATCH_BUCKETS]; /* by process group */
};

/* As many are looked at for one write, newest first. */
#define WATCH_CANDIDATES 8

struct watch_candidate {
	struct file *file; /* with a reference, if asked for */
	uint64_t id;
	pid_t tid;
};

void watch_sources_init(struct watch_sources *sources);
void watch_sources_done(struct watch_sources *sources);
struct watch_source *watch_source_add(struct watch_sources *sources,
				      struct file *file,
				      const struct watch_who *who);
/* Does anybody hold one? */
bool watch_sources_any(struct watch_sources *sources);
/* Takes NULL. */
void watch_source_remove(struct watch_sources *sources,
			 struct watch_source *source);
/*
 * Sources that @who may be copying, because this thread, its process or an
 * ancestor of the same user has opened them.  What others have open it must
 * not even be able to guess, by whether extents are shared.  Return: how many.
 */
unsigned int watch_source_list(struct fs *fs, const struct watch_who *who,
			       bool take,
			       struct watch_candidate *ret_candidates);
/* Where @data might come from; @fd is the candidate's own descriptor. */
bool watch_source_find(struct watch_sources *sources,
		       const struct watch_candidate *candidate, pid_t pgid,
		       int fd, uint32_t block, const void *data, size_t size,
		       uint64_t offset, int64_t *ret_shift);

/* ----------------------------------------------------------- watch_habit.c */

/* What programs of one name did with the files that were watched. */
struct watch_habit {
	uint64_t key;	   /* of its name */
	unsigned int skip; /* files that are not to be watched now */
	unsigned int next; /* how many after the next that comes to nothing */
};

/* One program takes the place of another of the same slot. */
#define WATCH_HABITS 256

/* The program that a thread was found to run a moment ago. */
struct watch_runner {
	pid_t tid;
	uint64_t key;
	uint64_t until; /* file_now() */
};

#define WATCH_RUNNERS 64

struct watch_habits {
	pthread_mutex_t lock; /* guards all below */
	struct watch_habit slots[WATCH_HABITS];
	struct watch_runner runners[WATCH_RUNNERS];
};

void watch_habits_init(struct watch_habits *habits);
void watch_habits_done(struct watch_habits *habits);
/*
 * Asking for a thread's program costs more than all the rest, so the answer is
 * kept for 10 ms: who executes another program meanwhile is taken for the old
 * one.
 */
bool watch_habit_find(struct watch_habits *habits, pid_t tid, uint64_t now,
		      uint64_t *ret_key);
void watch_habit_keep(struct watch_habits *habits, pid_t tid, uint64_t now,
		      uint64_t key);
/* May the next file be watched?  Each call is about one file. */
bool watch_habit_allows(struct watch_habits *habits, uint64_t key);
void watch_habit_learn(struct watch_habits *habits, uint64_t key, bool copies);

/* ----------------------------------------------------------- watch_share.c */

/* The source that a stream compares with. */
struct watch_bond {
	struct file *src;	  /* with a reference; NULL: none */
	int fd;			  /* of its own: it carries the lease */
	bool judged;		  /* @stamp is of a source that may be shared */
	struct facts_stamp stamp; /* without blocks */
};

/* One write of the caller's. */
struct watch_write {
	fuse_req_t req;
	struct file *dst;
	const struct fuse_file_info *fi;
	const unsigned char *data;
	size_t size;
	uint64_t offset;
	struct file **ret_src; /* a reference to what was shared, or NULL */
};

int watch_bond_make(struct watch_bond *bond, struct file *src);
void watch_bond_end(struct watch_bond *bond);
/* Is the first whole block of the write the source's, with this shift? */
bool watch_bond_probe(const struct watch_bond *bond,
		      const struct watch_write *write, uint32_t block,
		      int64_t shift);
/*
 * Shares @length bytes of @write, from @skip on, with the source at
 * @src_offset; unless it returns OFFLAY_ACCEL_SHARED all of them must be written.
 */
enum offlay_accel watch_share(struct watch_bond *bond,
			      const struct watch_write *write, uint64_t skip,
			      uint64_t length, uint64_t src_offset);

/* ----------------------------------------------------------------- watch.c */

struct watch_stream;

struct watch_sources *watch_sources(struct fs *fs);

/* Called while a handle is being opened; true: its writes must come here. */
bool watch_open(struct file *file, bool fresh, uint64_t size,
		const struct fuse_ctx *caller);
/* At the end of a handle, with file->io. */
void watch_close(struct file *file);
/* Instead of file_write(), for a handle with a stream. */
ssize_t watch_write(const struct watch_write *write);

#endif
