/* SPDX-License-Identifier: MIT */
/* Copies by read and write: watch*.c. */
#ifndef OFFLAY_WATCH_H
#define OFFLAY_WATCH_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "file.h"
#include "gather.h"
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
/* The same of programs that nothing is expected of until it was seen once. */
bool watch_habit_expects(struct watch_habits *habits, uint64_t key);
/* It was seen; of a program that is known already that says nothing new. */
void watch_habit_begin(struct watch_habits *habits, uint64_t key);
void watch_habit_learn(struct watch_habits *habits, uint64_t key, bool copies);

/* ----------------------------------------------------------- watch_first.c */

/*
 * A program may open the destination first.  No source says then that a copy is
 * coming, and the kernel cannot bring writes here later; so it is the next time
 * that it is seen: a program that has opened a source while an empty file of
 * its own was waiting is expected to do so again.
 */
struct watch_first {
	struct file *file; /* NULL: none */
	struct watch_who who;
	uint64_t habit;
};

/* The last ones that were opened. */
#define WATCH_FIRSTS 16u

struct watch_firsts {
	pthread_mutex_t lock; /* guards all below */
	struct watch_first slots[WATCH_FIRSTS];
	unsigned int n; /* ever */
};

void watch_firsts_init(struct watch_firsts *firsts);
void watch_firsts_done(struct watch_firsts *firsts);
void watch_first_add(struct watch_firsts *firsts, struct file *file,
		     const struct watch_who *who, uint64_t habit);
/* Before @file goes. */
void watch_first_remove(struct watch_firsts *firsts, const struct file *file);
/*
 * Those that are empty, of whoever may know that @who opens a source; their
 * files may be gone.  Return: how many.
 */
unsigned int watch_first_list(struct watch_firsts *firsts,
			      const struct watch_who *who,
			      struct watch_first *ret_firsts);

/* ----------------------------------------------------------- watch_share.c */

/* The source that a stream compares with. */
struct watch_bond {
	struct file *src;	  /* with a reference; NULL: none */
	int fd;			  /* of its own: it carries the lease */
	bool judged;		  /* @stamp is of a source that may be shared */
	struct facts_stamp stamp; /* without blocks */
	uid_t uid;		  /* whose write it was made for */
	gid_t gid;
};

/* A part of a file that was gathered, and who wrote the last of it. */
struct watch_part {
	struct gather_slot *slot;
	struct watch_who who;
	uint64_t begun; /* file_now() */
};

/* One write of the caller's, or several that were gathered. */
struct watch_write {
	fuse_req_t req; /* NULL: was answered before */
	struct file *dst;
	const struct fuse_file_info *fi; /* with @req */
	const struct watch_who *who;	 /* without */
	const unsigned char *data;
	const struct watch_part *parts; /* instead of @data, or NULL */
	size_t size;
	uint64_t offset;
	struct file **ret_src; /* with @req: a reference to what was shared */
};

int watch_bond_make(struct watch_bond *bond, struct file *src,
		    const struct fuse_ctx *caller);
/* May @caller, too, know what is in it?  Else it has to be looked for anew. */
bool watch_bond_is_for(const struct watch_bond *bond,
		       const struct fuse_ctx *caller);
/*
 * OFFLAY_ACCEL_SHARED where it may be shared as it is now.  That may have to
 * wait for the disk, without any lease.
 */
enum offlay_accel watch_bond_judge(struct watch_bond *bond);
void watch_bond_end(struct watch_bond *bond);
/* Bytes; less of a write says nothing about where it comes from. */
#define WATCH_PROBE_MIN 512u

/*
 * Is the first whole block of the write the source's, with this shift?  Of a
 * write without one its beginning is looked at.
 */
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

/* ---------------------------------------------------------- watch_gather.c */

/*
 * Writes that go on where the last one ended are answered at once.  What they
 * wrote is compared and cloned in parts of GATHER_SIZE, while the program reads
 * on: by a thread that does nothing else, or by the writer's where that one
 * does not keep up.
 *
 * What anybody can observe stays as if they had been written:
 *  - A write lease on the destination: the kernel grants it only while nobody
 *    else has the file open, on the backing or through any mount, and whoever
 *    opens it then waits until everything is in it.
 *  - Any request for the inode comes after everything is in it: watch_settle().
 *  - None waits for longer than WATCH_GATHER_AGE.
 *  - Room on the disk is looked for before, and an error is told by the next
 *    write, fsync or close.
 *  - They survive the daemon: gather.h.
 * What is left is stat(2) on the backing itself, which may see the file as it
 * was up to WATCH_GATHER_AGE before.
 */

/* So many full parts of one file may wait; a power of two. */
#define WATCH_GATHER_PARTS 16u

struct watch_gathered {
	bool active; /* nobody else can see the file: it has the lease */
	struct gather_file *file; /* for the keeper */
	struct watch_part last;	  /* is being filled; no slot: none yet */
	int64_t shift;
	uint64_t next; /* where the next write goes, in the file */
	uint64_t end;  /* where the last part is full */
	/*
	 * Full parts, the oldest first.  They are given with the stream's
	 * lock, and taken with the next one.
	 */
	struct watch_part full[WATCH_GATHER_PARTS];
	atomic_uint given, taken; /* ever */
	atomic_size_t waiting;	  /* bytes of those between */
	/*
	 * Guards @err and, while there are full parts, all of the stream that
	 * putting them into the file needs.  To be taken after the stream's.
	 */
	pthread_mutex_t lock;
	int err;	       /* nothing is put into the file after it */
	uint64_t paused_until; /* file_now() */
	atomic_bool halted;    /* what comes next is to be looked at anew */
};

/* Nanoseconds. */
#define WATCH_GATHER_AGE 100000000ull

struct watch_stream;

void watch_gathered_init(struct watch_gathered *gathered);
/* All is settled. */
void watch_gathered_done(struct watch_gathered *gathered);
/* The following with the stream's lock. */

/* May @write, which comes from the bond's file at @shift, be gathered? */
bool watch_gather_begin(struct watch_stream *stream,
			const struct watch_write *write, int64_t shift);
/* Return: so many bytes of @write were taken; 0: it must be settled first. */
size_t watch_gather_add(struct watch_stream *stream,
			const struct watch_write *write);
/* Everything is in the file afterwards, or lost.  Return: stream->err */
int watch_gather_settle(struct watch_stream *stream);
/*
 * The same where it has waited too long, or somebody waits for it; unless
 * another thread is at it.
 */
void watch_gather_settle_due(struct watch_stream *stream);
/* Without it: puts full parts into the file; false: there were none. */
bool watch_gather_share(struct watch_stream *stream);

/* ---------------------------------------------------------- watch_settle.c */

/* Who gathers, and the threads that look after it. */
struct watch_gathers;

int watch_gathers_new(struct fs *fs, struct watch_gathers **ret_gathers);
/* From now on nothing is gathered; takes NULL. */
void watch_gathers_stop(struct watch_gathers *gathers);
void watch_gathers_free(struct watch_gathers *gathers); /* takes NULL */
/* Memory with a keeper for the open @fd, looked after; or NULL. */
struct gather_slot *watch_gathers_take(struct watch_gathers *gathers, int fd);
/* With the stream's lock; NULL: there are too many. */
struct gather_file *watch_gathers_add(struct watch_gathers *gathers,
				      struct watch_stream *stream);
void watch_gathers_remove(struct watch_gathers *gathers,
			  const struct watch_stream *stream);
/* Some part is full. */
void watch_gathers_wake(struct watch_gathers *gathers);
/* Some stream has a source that was closed: watch_unbind_idle(). */
void watch_gathers_rouse(struct watch_gathers *gathers);

/* ------------------------------------------------------------ watch_find.c */

/* Streams with a source at once: each holds one more descriptor. */
#define WATCH_BONDS 32u

struct watch_bonded {
	struct watch_stream *stream; /* NULL: free */
	struct file *src;
	uint64_t released; /* file_now(); 0: its program has it open */
};

struct watch_bonds {
	pthread_mutex_t lock; /* guards all below */
	struct watch_bonded slots[WATCH_BONDS];
	atomic_uint n_released; /* read without the lock */
};

void watch_bonds_init(struct watch_bonds *bonds);
void watch_bonds_done(struct watch_bonds *bonds);
/* With the stream's lock, or at its end: it has no source any more. */
void watch_unbind(struct watch_state *watch, struct watch_stream *stream);
/* Its program has closed @src: nobody is to begin with it any more. */
void watch_released(struct file *src);
/*
 * Streams keep such a source open only while they go on with it: what it takes
 * on the disk is to be free when it is removed.
 */
void watch_unbind_idle(struct watch_state *watch);

/*
 * The shift to try; false if there is none.  Mostly it goes on where it went
 * before; or this is the beginning of another source.
 */
bool watch_find_source(struct watch_stream *stream,
		       const struct watch_write *write, int64_t *ret_shift);
/* For a destination that was opened first: has a source been opened by now? */
bool watch_is_early(struct watch_stream *stream,
		    const struct watch_write *write);

/* ----------------------------------------------------------------- watch.c */

struct watch_state {
	struct watch_sources sources;
	struct watch_habits habits;
	struct watch_firsts firsts;
	struct watch_gathers *gathers;
	struct watch_bonds bonds;
};

static inline bool watch_any_released(const struct watch_state *watch)
{
	return atomic_load(&watch->bonds.n_released);
}

/* Flags under which a write promises more than a clone does. */
#define WATCH_OTHER_WRITES (O_APPEND | O_DIRECT | O_DSYNC)

/* A destination that may be the target of a copy loop. */
struct watch_stream {
	pthread_mutex_t lock; /* guards all below */
	struct file *file;    /* that it is part of */
	struct match match;
	struct watch_bond bond;
	pid_t pgid;
	uint64_t habit;
	bool unexpected;       /* watched because its writes come here anyway */
	bool early;	       /* there was no source yet */
	unsigned int searches; /* in vain, in what was read last */
	uint64_t last_hit;     /* file_now() */
	bool judged;	       /* may be shared into */
	bool unlike;	       /* some write was not the source's, or small */
	bool gathers; /* as it was opened: nobody else can see the file */
	int err;      /* of answered writes that are lost; it stays */
	struct watch_gathered gathered;
};

int watch_state_new(struct fs *fs, struct watch_state **ret_watch);
/* Before the tables of files and inodes go away; takes NULL. */
void watch_state_stop(struct watch_state *watch);
void watch_state_free(struct watch_state *watch); /* takes NULL */
struct watch_sources *watch_sources(struct fs *fs);
struct watch_gathers *watch_gathers(struct fs *fs);

/* How a new handle is to be opened, as far as copies by hand are concerned. */
struct watch_wish {
	bool writes;  /* must come here */
	bool gathers; /* they may be answered before they are in the file */
};

struct watch_opening {
	bool fresh;  /* there is no data in the file */
	bool anyway; /* writes come here without a wish */
	uint64_t size;
};

/* Called while a handle is being opened. */
struct watch_wish watch_open(struct file *file,
			     const struct watch_opening *opening,
			     const struct fuse_ctx *caller);
/* The handle that wished for it is the only one that can see the file. */
void watch_may_gather(struct file *file);
/* At the end of a handle, with file->io. */
void watch_close(struct file *file);
/* ----------------------------------------------------------- watch_write.c */

/* Instead of file_write(), for a handle with a stream. */
ssize_t watch_write(const struct watch_write *write);
/*
 * With the stream's lock: writes or shares all of @write, which comes from the
 * bond's file at @shift.  Less than that, or a negative errno.
 */
ssize_t watch_write_from(struct watch_stream *stream,
			 const struct watch_write *write, int64_t shift);
/*
 * The same for @n_parts parts that follow each other, with one clone.
 * Return: of how many this is the end; 0: they are to be looked at one by one.
 */
unsigned int watch_write_parts(struct watch_stream *stream,
			       const struct watch_part *parts,
			       unsigned int n_parts, int64_t shift,
			       int *ret_err);

#endif
