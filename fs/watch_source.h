/* SPDX-License-Identifier: MIT */
/* What copies by read and write may read from: watch_source.c. */
#ifndef OFFLAY_WATCH_SOURCE_H
#define OFFLAY_WATCH_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "file.h"
#include "match.h"

/* Who opens, reads or writes. */
struct watch_who {
	pid_t tid, pgid;
	uid_t uid;
	gid_t gid;
};

/* Whoever may look at a process may know what it has open. */
static inline bool watch_may_know(const struct watch_who *who,
				  const struct watch_who *other)
{
	return who->pgid == other->pgid &&
	       (!who->uid ||
		(who->uid == other->uid && who->gid == other->gid));
}

/* A handle that a copy may read from; part of struct file_io. */
struct watch_source {
	struct watch_source *prev, *next; /* newest first */
	struct file *file;
	struct match_index *index; /* of its beginning, made on demand */
	uint64_t id;		   /* never given twice */
	struct watch_who who;	   /* opened it */
};

/* One that was closed: some programs write all that they have read at once. */
struct watch_closed {
	fuse_ino_t ino;
	uint64_t id;	 /* as it was */
	uint64_t closed; /* file_now() */
	struct watch_who who;
};

#define WATCH_BUCKETS 64

/* So many are remembered, for so long: nanoseconds. */
#define WATCH_CLOSED	 16u
#define WATCH_CLOSED_AGE 1000000000ull

struct watch_sources {
	pthread_mutex_t lock; /* guards all below and each source */
	uint64_t last_id;
	unsigned int count;
	struct watch_source *buckets[WATCH_BUCKETS]; /* by process group */
	struct watch_closed closed[WATCH_CLOSED];    /* a ring */
	unsigned int n_closed;			     /* ever */
};

/* As many are looked at for one write, newest first. */
#define WATCH_CANDIDATES 8

struct watch_candidate {
	struct file *file; /* with a reference, if asked for */
	fuse_ino_t ino;	   /* of one that was closed, else 0 */
	uint64_t id;
	pid_t tid;
};

struct watch_ask {
	bool take;   /* with references */
	bool closed; /* those, too, that were closed just now */
};

/* Of a mount. */
struct watch_sources *watch_sources(struct fs *fs);
void watch_sources_init(struct watch_sources *sources);
void watch_sources_done(struct watch_sources *sources);
struct watch_source *watch_source_add(struct watch_sources *sources,
				      struct file *file,
				      const struct watch_who *who);
/* Is @tid of the process that thread @other is of, or below it? */
bool watch_is_below(struct fs *fs, pid_t tid, pid_t other);
/* Does anybody hold one, or has just closed it? */
bool watch_sources_any(struct watch_sources *sources);
/* Takes NULL. */
void watch_source_remove(struct watch_sources *sources,
			 struct watch_source *source);
/*
 * Sources that @who may be copying, because a process of its process group and
 * user has them open: this one, an ancestor, or where requests are quick any,
 * as the other end of a pipe; or because its own process has just closed them.
 * What others have open it must not even be able to guess, by whether extents
 * are shared.  Return: how many, those that are still open first.
 */
unsigned int watch_source_list(struct fs *fs, const struct watch_who *who,
			       const struct watch_ask *ask,
			       struct watch_candidate *ret_candidates);
/* What is looked for in a source. */
struct watch_quest {
	pid_t tid, pgid; /* of who writes it */
	int fd;		 /* the source */
	uint32_t block;
	const void *data;
	size_t size;
	uint64_t offset; /* in the destination */
};

/* In its beginning. */
bool watch_source_find(struct fs *fs, const struct watch_candidate *candidate,
		       const struct watch_quest *quest, int64_t *ret_shift);

/*
 * In what was read of it last, by the writer or by who opened it, as the
 * positions of their descriptors say: a part of a file is copied, or its parts
 * go to files of their own.
 */
bool watch_source_find_read(struct fs *fs,
			    const struct watch_candidate *candidate,
			    const struct watch_quest *quest,
			    int64_t *ret_shift);

#endif
