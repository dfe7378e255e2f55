/* SPDX-License-Identifier: MIT */
/* What the sources of libofflay share; grouped by the .c file that has it. */
#ifndef OFFLAY_PRIVATE_H
#define OFFLAY_PRIVATE_H

#include <linux/fiemap.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "offlay.h"

/* ------------------------------------------------------------------ sys.c */

/* What the engine asks of an open file; a subset of fstat. */
struct sys_file {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes, allocated */
	int64_t ctime_sec;
	uint32_t ctime_nsec;
	uint32_t mode;
};

/* What the engine asks of the filesystem below a file; of statfs. */
struct sys_volume {
	uint64_t fsid;
	uint32_t type;	     /* f_type */
	uint32_t block_size; /* f_bsize, 0 where it is not sensible */
};

/*
 * The one seam for system calls that move data.  Each returns a count or 0,
 * or a negative errno; EINTR is retried behind it.  Fault injection and
 * counters stand in for it.
 */
struct sys_ops {
	/* Shares [src_offset, +length); @length is never 0, which would mean
	 * "to end of file". */
	int (*clone)(void *ctx, int src_fd, uint64_t src_offset,
		     uint64_t length, int dst_fd, uint64_t dst_offset);
	ssize_t (*copy_range)(void *ctx, int src_fd, uint64_t src_offset,
			      int dst_fd, uint64_t dst_offset, size_t length);
	ssize_t (*pread)(void *ctx, int fd, void *buf, size_t size,
			 uint64_t offset);
	ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t size,
			  uint64_t offset);
	/* Makes a hole; never changes the size. */
	int (*punch)(void *ctx, int fd, uint64_t offset, uint64_t length);
	/* Makes the file at least @size long, new bytes zero; never shrinks it
	 * and never changes a byte, whatever others write meanwhile. */
	int (*extend)(void *ctx, int fd, uint64_t size);
	/* SEEK_DATA or SEEK_HOLE; moves the descriptor's own offset. */
	int64_t (*seek)(void *ctx, int fd, uint64_t offset, int whence);
	int (*stat)(void *ctx, int fd, struct sys_file *ret_file);
	int (*volume)(void *ctx, int fd, struct sys_volume *ret_volume);
	/* The open flags, O_APPEND among them. */
	int (*open_flags)(void *ctx, int fd);
	/* Monotonic time in nanoseconds. */
	uint64_t (*now)(void *ctx);
	/* Bytes of a range that are in the page cache, or a negative errno. */
	int64_t (*cached)(void *ctx, int fd, uint64_t offset, uint64_t length);
	/* Advice, so without an answer: drop clean pages; begin to write dirty
	 * ones back, and wait for the end of it. */
	void (*drop)(void *ctx, int fd, uint64_t offset, uint64_t length);
	void (*write_back)(void *ctx, int fd, uint64_t offset, uint64_t length,
			   bool wait);
};

extern const struct sys_ops sys_kernel_ops;

/* ------------------------------------------------------------ copy_pair.c */

/* Two superblocks, as well as they can be told apart from user space. */
struct copy_pair_key {
	uint64_t src_dev, src_fsid;
	uint64_t dst_dev, dst_fsid;
	uint32_t src_type, dst_type;
};

/*
 * What is known of copying from one superblock to another.  An errno is set
 * while the method is not worth trying.
 */
struct copy_pair {
	struct copy_pair_key key;
	uint32_t block; /* block size with which a clone worked, 0 unknown */
	int clone_errno;
	int offload_errno;
	uint64_t clone_until, offload_until; /* when to try again */
	uint64_t used; /* age, for replacement; 0 is a free slot */
};

#define COPY_PAIRS 64

/* What a filesystem has said of itself a moment ago. */
struct copy_volume {
	uint64_t dev;
	uint64_t until; /* nanoseconds, as of sys_ops.now; 0: unused */
	struct sys_volume volume;
};

/* The files of one copy, and those of another. */
#define COPY_VOLUMES 4

struct copy_pairs {
	pthread_mutex_t lock; /* guards all below */
	uint64_t clock;
	struct copy_pair slots[COPY_PAIRS];
	struct copy_volume volumes[COPY_VOLUMES];
	unsigned int next_volume;
};

/*
 * Many small files are copied one after another, and on FUSE or the network
 * asking is a request of its own.  Numbers of devices are used again, so the
 * answer is kept for 100 ms.
 */
bool copy_volume_find(struct copy_pairs *pairs, uint64_t dev, uint64_t now,
		      struct sys_volume *ret_volume);
void copy_volume_keep(struct copy_pairs *pairs, uint64_t dev, uint64_t now,
		      const struct sys_volume *volume);

void copy_pair_look_up(struct copy_pairs *pairs,
		       const struct copy_pair_key *key, uint64_t now,
		       struct copy_pair *ret_pair);
void copy_pair_cloned(struct copy_pairs *pairs, const struct copy_pair_key *key,
		      uint32_t block);
void copy_pair_declined(struct copy_pairs *pairs,
			const struct copy_pair_key *key,
			enum offlay_method method, int err, uint64_t now);

/* ----------------------------------------------------------- copy_cache.c */

struct copy_job;

/* When a copy is huge, and what it may leave in the page cache then. */
struct copy_cache_limits {
	uint64_t huge;	 /* bytes of data in the source */
	uint64_t window; /* is dropped at once */
	uint64_t lag;	 /* of the destination, before it is dropped */
};

/* One run of the mover, as its pages are concerned. */
struct copy_cache {
	struct copy_job *job;
	bool is_huge;
	bool is_open;	 /* a window is, from @start */
	bool was_cached; /* the source's part of it, before the copy */
	uint64_t start;	 /* from the start of the job's range */
};

void copy_cache_limits_init(struct copy_cache_limits *limits);
/* @length: how much the mover is to move, at most */
void copy_cache_init(struct copy_cache *cache, struct copy_job *job,
		     uint64_t length);
/* Around each piece of data that is moved, with its position in the range. */
void copy_cache_before(struct copy_cache *cache, uint64_t at);
void copy_cache_after(struct copy_cache *cache, uint64_t at);
void copy_cache_done(struct copy_cache *cache, uint64_t at);

/* ----------------------------------------------------------------- copy.c */

#define COPY_FLAGS (OFFLAY_COPY_ZEROS_TO_HOLES | OFFLAY_COPY_CLONE_ONLY)

/*
 * Buffers of the data mover.  Whoever finds none free makes do with a small
 * one on the stack, so that memory is bounded and a copy that hangs on a dead
 * server keeps nobody waiting.
 */
#define COPY_BUFFERS	  16
#define COPY_BUFFER_SIZE  (256u << 10)
#define COPY_BUFFER_SMALL (64u << 10)

struct copy_buffers {
	pthread_mutex_t lock; /* guards all below */
	unsigned int made;    /* of at most COPY_BUFFERS */
	unsigned int free_count;
	void *free[COPY_BUFFERS];
};

struct offlay_engine {
	const struct sys_ops *ops;
	void *ctx; /* of ops */
	struct copy_cache_limits cache;
	struct copy_pairs pairs;
	struct copy_buffers buffers;
};

/* NULL where there is none to be had; else give it back. */
void *copy_buffer_take(struct copy_buffers *buffers);
void copy_buffer_give(struct copy_buffers *buffers, void *buffer);

int copy_engine_new(const struct sys_ops *ops, void *ctx,
		    struct offlay_engine **ret_engine);

/* One call of offlay_copy_range(), from start to end in one thread. */
struct copy_job {
	struct offlay_engine *engine;
	int src_fd, dst_fd;
	uint64_t src_offset, dst_offset;
	uint64_t length; /* of the range, within the source */
	unsigned int methods;
	unsigned int flags;
	uint64_t budget;	  /* bytes that may still be moved by hand */
	struct sys_file src, dst; /* as last looked at */
	struct sys_volume src_volume, dst_volume;
	struct copy_pair_key key;
	struct copy_pair pair; /* a copy taken at the start */
	struct offlay_result result;
};

/*
 * What the caller of one copy knows already: both files, looked at just now,
 * and their filesystems.  What is NULL is asked for.
 */
struct copy_known {
	const struct sys_file *src, *dst;
	const struct sys_volume *src_volume, *dst_volume;
};

/* offlay_copy_range() for those who know more. */
int copy_range_known(struct offlay_engine *engine,
		     const struct offlay_range *range,
		     const struct copy_known *known,
		     struct offlay_result *ret_result);

/* Looks at both files again and shortens the range to the source's end. */
int copy_look_again(struct copy_job *job);

static inline uint64_t copy_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Errnos (positive) that mean "try the next method". */
bool copy_is_decline(int err);
/* Does that errno of a method let the next one of this job be tried? */
bool copy_goes_on(const struct copy_job *job, int err);

/*
 * The methods.  Each returns 0 when the call is over (something was copied,
 * or the source has ended), -EOPNOTSUPP when it declined, with the reason in
 * the result, or another negative errno.
 */
int copy_clone(struct copy_job *job);
int copy_range(struct copy_job *job);
/* Does a filesystem of this type (f_type) pass copies on to somebody else? */
bool copy_range_has_server(uint32_t type);
int copy_data(struct copy_job *job);

/* ----------------------------------------------------------- copy_clone.c */

/* How a range is cut for cloning; all lengths, in the order of the range. */
struct copy_clone_plan {
	uint64_t head;	 /* copied */
	uint64_t middle; /* cloned; 0 where nothing can be */
	uint64_t tail;	 /* copied */
};

/* Pure: @block is a power of two. */
struct copy_clone_plan copy_clone_plan(uint64_t src_offset, uint64_t dst_offset,
				       uint64_t length, uint64_t src_size,
				       uint64_t dst_size, uint32_t block);

/* ------------------------------------------------------------ copy_data.c */

/*
 * Moves the next @length bytes of the job's range.  Return: 0 with the job's
 * result advanced, perhaps by less (then its stop or the budget says why, or
 * the source ended), or a negative errno with nothing advanced.
 */
int copy_data_move(struct copy_job *job, uint64_t length);

/* ---------------------------------------------------------------- facts.c */

/*
 * Keeping a verdict.  A verdict stays true while its file's stamp is equal to
 * one taken before the facts were gathered, provided that
 *  - a stamp taken after gathering was equal, too,
 *  - the stamp is settled: a change within one tick of the clock may leave no
 *    trace, so a file that changed just now is judged again, and
 *  - nobody can write to the file without going through the keeper: a store
 *    to a mapped page shows in ctime only when the page was clean.
 * What leaves no trace at all is a tool that rearranges extents without
 * changing data (btrfs defragment -c, deduplication).
 *
 * A copy made by the keeper changes the stamp of its own destination.  One
 * that goes on where the last one ended is one copy to the caller, who fails
 * on an error after some bytes: judge the destination at its first range only
 * (FIEMAP_FLAG_SYNC would also write out every range that was just moved).
 */
struct facts_stamp {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	int64_t mtime_sec, ctime_sec;
	uint32_t mtime_nsec, ctime_nsec;
};

int facts_stamp_read(int fd, struct facts_stamp *ret_stamp);
/* The stamp at the time of this statx(2). */
void facts_stamp_of(const struct statx *stx, struct facts_stamp *ret_stamp);
bool facts_stamp_equal(const struct facts_stamp *a,
		       const struct facts_stamp *b);
/* @now: CLOCK_REALTIME_COARSE, taken before the stamp. */
bool facts_stamp_is_settled(const struct facts_stamp *stamp,
			    const struct timespec *now);

/*
 * Is the file in use as swap space?  Costs a few system calls, so gathering
 * leaves it out; the backing says ETXTBSY in time.
 */
int facts_find_swap(int fd, bool *ret_is_swap);

/*
 * Is the file on a volume that cannot offload, with neither shared extents nor
 * a server that copies?  False where that cannot be seen.
 */
int facts_find_volume(int fd, uint32_t fs_type, bool *ret_is_unable);

/* The attributes that gathering begins with, and that make a stamp. */
int facts_look(int fd, struct statx *ret_stx);

/* What is asked about a file, and what the asker knows already. */
struct facts_query {
	int fd;
	enum offlay_side side;
	unsigned int deny;	 /* OFFLAY_DENY_*, kinds that matter */
	const struct statx *stx; /* facts_look() just now; NULL: not done */
	uint32_t fs_type;	 /* f_type, 0 if unknown */
	bool policy_only;	 /* not what only a pair can be refused for */
	bool is_new; /* made just now: has only what it has inherited */
	/*
	 * Not NULL: nothing is written out to find out about blocks that are
	 * allocated and may have been written just now.  Set to true where
	 * there are any, and else left alone.
	 */
	bool *ret_doubt;
};

/* offlay_facts_gather() for those who know more. */
int facts_gather(const struct facts_query *query,
		 struct offlay_facts *ret_facts);

/* Errors (negative) of a probe that mean: no such thing on this file. */
bool facts_is_absent(int err);

/* ------------------------------------------------------------ facts_dos.c */

#define FACTS_DOS_SPARSE     0x200u
#define FACTS_DOS_COMPRESSED 0x800u
#define FACTS_DOS_ENCRYPTED  0x4000u

/* Of user.DOSATTRIB: bytes from outside.  Return: 0 or -EINVAL. */
int facts_dos_parse(const void *value, size_t size, uint32_t *ret_attributes);
int facts_dos_read(int fd, uint32_t fs_type, uint32_t *ret_attributes);
/* Does a new file have those of its directory? */
bool facts_dos_inherits(uint32_t fs_type);

/* ---------------------------------------------------------- facts_holes.c */

/* Adds evidence of a hole to @facts; @ret_doubt as for facts_gather(). */
int facts_holes_probe(int fd, enum offlay_side side, struct offlay_facts *facts,
		      bool *ret_doubt);

/* -------------------------------------------------------- facts_extents.c */

#define FACTS_BATCH 64

/* Some extents of a file. */
struct facts_batch {
	uint32_t count;
	uint64_t next; /* where to go on; UINT64_MAX behind the last of all */
	union {
		struct fiemap map; /* ends with the extents */
		char room[sizeof(struct fiemap) +
			  FACTS_BATCH * sizeof(struct fiemap_extent)];
	};
};

/* Up to @count extents of a range; none where the backing cannot tell. */
int facts_batch_read(int fd, uint64_t from, uint64_t to, uint32_t count,
		     uint32_t flags, struct facts_batch *ret_batch);

/* Adds evidence of compressed (or encrypted) extents to @facts. */
int facts_extents_probe(int fd, struct offlay_facts *facts);
/* The same of the first few extents on disk now; writes no dirty data out. */
int facts_extents_peek(int fd, struct offlay_facts *facts);

/* -------------------------------------------------------- facts_explain.c */

struct offlay_ioc_explain;

/* Fills all but refuse and offload, which are the mount's. */
void facts_explain_pack(const struct offlay_facts *src,
			const struct offlay_facts *dst, unsigned int deny,
			struct offlay_ioc_explain *ret_explain);
/* What offlay_reason_describe() needs, for either side. */
void facts_explain_unpack(const struct offlay_ioc_explain *explain,
			  struct offlay_facts *ret_src,
			  struct offlay_facts *ret_dst);

/* ---------------------------------------------------------------- clone.c */

/*
 * What the public functions ask of a mount, once the kernel itself has said
 * EOPNOTSUPP to the ioctl of the VFS: the descriptors lie on one mount, and
 * that is one of FUSE.  -ENOTTY: it is not one of offlayfs.
 * @size_limit: RLIMIT_FSIZE of whoever it is for, UINT64_MAX for the caller
 */
int clone_on_mount(int src_fd, uint64_t src_offset, int dst_fd,
		   uint64_t dst_offset, uint64_t length, uint64_t size_limit);
/* As offlay_dedupe_range(), with the checks of the destination. */
int clone_dedupe_on_mount(int src_fd, uint64_t src_offset, int dst_fd,
			  uint64_t dst_offset, uint64_t length,
			  uint64_t size_limit, uint64_t *ret_deduped);

/* Extents of a file on a mount, piece by piece. */
struct clone_walk {
	int fd;
	uint64_t end;
	uint32_t room; /* for how many more; 0 from the start: count them */
	bool counts;
	bool has_ended;
	struct offlay_ioc_extents piece;
};

void clone_walk_init(struct clone_walk *walk, int fd,
		     const struct offlay_map *map);
/*
 * The next @piece: its extents, or their number where it only counts.
 * Return: 0, also with none of them at the end; a negative errno, where
 * piece.map_flags holds what was not understood (-EBADR).
 */
int clone_walk_next(struct clone_walk *walk);
/* Is it on a filesystem of FUSE, to which the private ioctls may be sent? */
bool clone_is_fuse(int fd);

#endif
