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
#include "watch_habit.h"
#include "watch_source.h"

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
