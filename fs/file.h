/* SPDX-License-Identifier: MIT */
/* Inside of open files: file_io.c, op_file.c, op_io.c, backing.c, op_copy.c. */
#ifndef OFFLAY_FILE_H
#define OFFLAY_FILE_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs.h"
#include "private.h"

/*
 * Who drops suid and sgid of a file that is written to (HANDLE_KILLPRIV_V2)
 *  - Writes that come here say whether the caller lacks CAP_FSETID, and then
 *    they are done without it: the backing's filesystem drops the bits.  So
 *    are truncation, allocation and copies of callers other than root.
 *  - Passthrough writes have the capabilities of whoever attached the backing
 *    file: attached without CAP_FSETID, they drop the bits always.  A caller
 *    with it would have kept them: so where the bits are set at open(2) a
 *    handle for writing is direct.
 *  - The kernel is not told: inode_attr_timeout().
 * File capabilities are dropped by the backing on every write, whoever writes.
 */

/*
 * How the kernel reads and writes an inode.  All opens of one inode are of
 * one mode until the last of them is released: the kernel answers open(2)
 * with EIO where page cache and passthrough meet, or two backing ids.
 */
enum io_mode { IO_NONE, IO_CACHED, IO_PASSTHROUGH };

/* A verdict that was reached, and what the file looked like then. */
struct verdict_kept {
	bool valid;
	uint32_t reasons;
	struct facts_stamp stamp;
};

/* What is known of an inode that was opened at least once. */
struct inode_io {
	/* Guards all but @local, @reflinks, @filling, @filled, @slow. */
	pthread_mutex_t lock;
	enum io_mode mode;
	int backing_id; /* valid while mode is IO_PASSTHROUGH */
	unsigned int opens;
	unsigned int writers;	   /* opens that may write behind our back */
	unsigned int unseen;	   /* opens with file_io.unseen */
	uint64_t changes;	   /* counted by file_changed() */
	struct verdict_kept *kept; /* one a side (enum offlay_side), or NULL */
	bool local;	     /* the backing has no errors to say at close(2) */
	bool reflinks;	     /* the backing has leases and shares extents */
	atomic_uint filling; /* page_fill() without its page_drop() done */
	_Atomic uint64_t filled; /* file_now() when the last one was done */
	atomic_bool slow; /* open so that each read comes here: st_blksize */
};

/* One copy that goes on over several requests. */
struct copy_trail {
	const struct inode *src;     /* NULL: none; only compared */
	uint64_t src_next, dst_next; /* where the next range would begin */
};

/* Cached pages of the kernel that must go; guarded by struct page_dropper. */
struct page_drop {
	struct file *next;
	uint64_t start, end;
	unsigned int fills; /* how many page_fill() it is for */
	bool queued;
};

/* What a handle of a regular file has beyond struct file. */
struct file_io {
	struct inode_io *inode;
	enum io_mode mode; /* as inode->mode at open; does not change */
	bool direct;	   /* reads and writes come here */
	/* Opened beside passthrough; the kernel may not have done it yet. */
	atomic_bool unseen;
	pid_t opener;	 /* the thread that is counted as reading, 0 for none */
	bool ineligible; /* as it was counted */
	atomic_int direct_fd;	 /* backing with O_DIRECT, -1 until needed */
	pthread_mutex_t lock;	 /* guards @trail */
	struct copy_trail trail; /* of the copy into this handle */
	struct page_drop drop;
	struct watch_source *source; /* watch.c: may be copied from, or NULL */
	struct watch_stream *stream; /* may be copied into, or NULL */
};

/*
 * open_mode.c: the one decision how a file is opened (design decision 4).
 */

struct open_case {
	int flags;	   /* of the caller, O_* */
	enum io_mode mode; /* of the inode */
	bool sxid;	   /* the file has suid or sgid */
	bool ineligible;  /* could be refused on a side this handle can be on */
	bool copy_coming; /* a copy loop may write this new file */
	bool gathers;	  /* close(2) may have something to wait for */
	bool clone_only;  /* any copy into it may be refused */
	bool keep_cache;  /* cached pages outlive close and open */
	bool local;	  /* see struct inode_io */
	bool ruled;	  /* a fault rule must see reads or writes */
};

struct open_mode {
	bool direct; /* the daemon sees each read and write */
	bool keep_cache;
	bool noflush;
};

static inline bool open_is_readable(int flags)
{
	return (flags & O_ACCMODE) != O_WRONLY;
}

static inline bool open_is_writable(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* Pure. */
struct open_mode open_mode_choose(const struct open_case *open);

/* blksize.c: called for a handle whose reads will come to the daemon. */
void blksize_grow(struct file *file);

/* file_io.c */

/* What a handle of a regular file has of its own; a negative errno if not. */
int file_io_add(struct file *file);
/*
 * Opens a regular file for reading, for the daemon itself; -EAGAIN where
 * somebody has a lease on it.
 */
int file_open_own(struct fs *fs, fuse_ino_t ino, struct file **ret_file);

/* op_file.c: are there copies that this mount refuses visibly? */
bool open_refuses_visibly(const struct fs *fs);

/* backing.c */

/*
 * Is the handle, which is being opened, to be without passthrough where the
 * inode has it?  @wished: somebody wants that.
 */
bool backing_beside(struct file *file, bool wished);
/* The kernel has used the handle: it has finished its open(2). */
void backing_seen(struct file *file);
/* It is closed. */
void backing_left(struct file *file);

/* Callers of the following hold the inode's lock. */

/* Makes @fd's file the one that the kernel reads and writes for @io. */
int backing_attach(struct fs *fs, struct inode_io *io, int fd);
void backing_detach(struct fs *fs, struct inode_io *io);

/* op_io.c */

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t file_now(void);

/* The backing opened with O_DIRECT, made on demand; or a negative errno. */
int file_direct_fd(struct file *file);

/* Writes as the caller of @req would have; fewer bytes, or a negative errno. */
ssize_t file_write(fuse_req_t req, struct file *file, int fd,
		   const struct fuse_file_info *fi, const void *buf,
		   size_t size, off_t off);
/* The same, long after the caller's request, for writes that drop nothing. */
ssize_t file_write_own(struct file *file, const void *buf, size_t size,
		       off_t off);
/* loop.c: does the request that this thread serves carry KILL_SUIDGID? */
bool loop_kills_suidgid(void);
/*
 * loop.c: the block of memory with @data of the request that this thread serves
 * is the caller's from now on; the thread gets @block for it.  NULL: it cannot
 * be had.
 */
void *loop_trade_block(const void *data, void *block);
/* Is its caller, who opens or writes, one who drops suid and sgid? */
bool file_request_drops(fuse_req_t req, const struct fuse_file_info *fi);
/* Does the caller's write drop suid and sgid? */
bool file_write_drops(fuse_req_t req, const struct fuse_file_info *fi);

/* pages.c */

struct page_dropper;
int page_dropper_new(struct fs *fs, struct page_dropper **ret_dropper);
/* Before the kernel is given pages of @file that are to go away again. */
void page_fill(struct file *file);
/* Nanoseconds that there have been none for sure. */
uint64_t page_fill_age(struct file *file);
/* After page_fill(): makes the kernel forget what it has just been given. */
void page_drop(struct file *file, uint64_t offset, uint64_t length);
/* Finishes what is to do; before the tables of files and inodes go away. */
void page_dropper_stop(struct page_dropper *dropper);
void page_dropper_free(struct page_dropper *dropper); /* takes NULL */

/* rules.c: is there a rule that must see what is read or written so? */
bool rules_open_direct(struct fs *fs, int fd, int flags);

/* What a fault rule orders for one copy. */
struct copy_orders {
	int err; /* negative; the caller sees exactly this, where possible */
	uint32_t src_reasons, dst_reasons; /* as if of policy */
	unsigned int forbidden;		   /* OFFLAY_METHOD_* */
};

/* op_copy.c: copy_file_range under orders. */
void op_copy_ordered(fuse_req_t req, const struct copy_orders *orders,
		     off_t off_in, struct fuse_file_info *fi_in, off_t off_out,
		     struct fuse_file_info *fi_out, size_t len, int flags);

/*
 * op_copy.c: who has files open that could be the source of a copy, and
 * whether that copy would be refused (@ineligible).  Threads without an id
 * are not counted.
 */

void copy_reads_begin(struct fs *fs, pid_t tid, bool ineligible);
void copy_reads_end(struct fs *fs, pid_t tid, bool ineligible);
bool copy_is_coming(struct fs *fs, pid_t tid, bool ineligible);

struct refusal_table *copy_refusals(struct fs *fs);
struct page_dropper *copy_page_dropper(struct fs *fs);
struct verdict_volume *copy_volume(struct fs *fs);
/* O_PATH of /proc, -1 where there is none. */
int copy_proc_fd(struct fs *fs);

/* verdict.c */

/* Does the filesystem mounted as @mnt_id compress what is written to it? */
struct verdict_volume {
	pthread_mutex_t lock; /* guards all below */
	uint64_t mnt_id;
	int64_t until; /* seconds, CLOCK_MONOTONIC_COARSE */
	bool compresses;
};

/* A file as a request has found it. */
struct verdict_look {
	struct statx stx;    /* facts_look() */
	struct timespec now; /* CLOCK_REALTIME_COARSE, before that */
	uint64_t changes;    /* of its inode, before that */
	bool is_new;	     /* was made by this request */
};

/* Of an open file that has its struct file_io. */
int verdict_look(struct file *file, struct verdict_look *ret_look);

/*
 * Everything against @file on one side of a copy.  Costs a system call while
 * the file stays as it is, a few when it has changed.
 */
int verdict_reach(struct file *file, enum offlay_side side,
		  uint32_t *ret_reasons);
/* One range of a copy from @src to @dst. */
struct verdict_range {
	struct file *src, *dst;
	uint64_t src_offset, dst_offset;
};

/* What policy has against either file (OFFLAY_REASONS_POLICY), and by what. */
struct verdict_pair {
	uint32_t src_reasons, dst_reasons;
	struct verdict_look src, dst;
};

/*
 * No reasons where nothing is denied.  The destination is judged at the first
 * range of a copy only: what a copy has written may well be compressed by now,
 * and the caller would fail on an error after progress.
 */
int verdict_reach_pair(const struct verdict_range *range,
		       struct verdict_pair *ret_pair);
/* After @copied bytes of a range, 0 where the copy has failed. */
void verdict_leave_trail(const struct verdict_range *range, uint64_t copied);
/*
 * verdict_reach() at open(2), for the open mode: never makes the backing write
 * anything out, and says true where that leaves a doubt.
 */
bool verdict_doubtful(struct file *file, const struct verdict_look *look,
		      enum offlay_side side);
void verdict_log(struct file *file, enum offlay_side side, uint32_t reasons);

#endif
