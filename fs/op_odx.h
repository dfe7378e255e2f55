/* SPDX-License-Identifier: MIT */
/* Inside of offloaded data transfer: op_odx.c, odx_run.c, odx_locks.c. */
#ifndef OFFLAY_OP_ODX_H
#define OFFLAY_OP_ODX_H

#include "file.h"
#include "odx.h"

/* Files share them by their node ids. */
#define ODX_SIZE_LOCKS 64

struct odx_state {
	struct fs *fs;
	struct token_table *table;
	struct offlay_engine *engine;
	int dir_fd;	      /* SOURCE, where snapshots are made */
	uid_t owner;	      /* who mounted */
	atomic_uint requests; /* that reached the storage */
	_Atomic uint64_t dev; /* st_dev of the mount; 0 until asked for */
	/*
	 * Each guards its files' sizes: shared while an offload write puts its
	 * bytes, exclusive while a file is cut off.  Nobody waits for the
	 * kernel's pages meanwhile, since these wait for requests.
	 */
	pthread_rwlock_t size_locks[ODX_SIZE_LOCKS];
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;  /* for @worker */
	pthread_cond_t tick;  /* for @sweeper */
	struct odx_job *first, **last;
	pthread_t worker, sweeper;
	uint64_t made; /* tokens, so that @sweeper misses none */
	bool has_worker, has_sweeper, stop;
};

/* One ioctl; @arg is what came, and becomes what goes back. */
struct odx_job {
	struct odx_job *next;
	fuse_req_t req;
	struct file *file;  /* a reference */
	unsigned int nr;    /* of the ioctl */
	size_t size;	    /* of the caller's structure */
	bool is_short;	    /* @size is less than it should be */
	struct event event; /* while it waits for @worker */
	union {
		/* How each of them begins. */
		struct {
			uint32_t version;
			uint32_t flags;
			struct offlay_ioc_status status;
		} head;
		struct offlay_ioc_odx_read read;
		struct offlay_ioc_odx_write write;
		struct offlay_ioc_odx_drop drop;
		struct offlay_ioc_odx_volume volume;
	} arg;
};

uint64_t odx_now(void);
static inline pthread_rwlock_t *odx_size_lock(struct odx_state *odx,
					      const struct inode *inode)
{
	return &odx->size_locks[inode_nodeid(inode) % ODX_SIZE_LOCKS];
}
/* A token was made: it will have to expire. */
void odx_wake_sweeper(struct odx_state *odx);

/* odx_run.c: fill the reply.  Return: the refusal, or NULL. */
const struct offlay_status *odx_run_read(struct odx_state *odx,
					 struct odx_job *job);
const struct offlay_status *odx_run_write(struct odx_state *odx,
					  struct odx_job *job);

/*
 * odx_locks.c: does another than the caller @pid hold a byte-range lock
 * through the mount that forbids this access?  The kernel keeps these locks to
 * itself, so its list is read.  Whole-file locks of flock(2) do not count; one
 * of an open file description (F_OFD_SETLK) belongs to each process that has
 * the description.
 */
int odx_find_lock(struct odx_state *odx, struct file *file, pid_t pid,
		  bool to_write, uint64_t offset, uint64_t length,
		  bool *ret_is_locked);

#endif
