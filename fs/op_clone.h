/* SPDX-License-Identifier: MIT */
/* Inside of clone, deduplication and extents: op_clone.c, clone_run.c. */
#ifndef OFFLAY_OP_CLONE_H
#define OFFLAY_OP_CLONE_H

#include "aside.h"
#include "cookie.h"
#include "file.h"
#include "offlay_uapi.h"

#define CLONE_RANDOM 64

struct clone_state {
	struct fs *fs;
	struct aside *aside;
	struct cookie_table cookies;
	pthread_mutex_t lock;		  /* guards all below */
	uint64_t random[CLONE_RANDOM][2]; /* for cookies; each is used once */
	unsigned int n_random;
};

/* One ioctl; @arg is what came, and becomes what goes back. */
struct clone_job {
	struct aside_job aside; /* first */
	struct clone_state *clone;
	fuse_req_t req;
	struct file *file;  /* that was asked on; a reference */
	struct file *src;   /* that the cookie names, or NULL; a reference */
	uint64_t fh;	    /* of @file */
	unsigned int nr;    /* of the ioctl */
	bool drops;	    /* the kernel caches pages of one of the files */
	struct event event; /* while it waits, where it @drops */
	union {
		struct {
			uint32_t version;
			uint32_t flags;
		} head;
		/* How those with a source begin. */
		struct {
			uint32_t version;
			uint32_t flags;
			__u64 cookie[2];
		} pair;
		struct offlay_ioc_name name;
		struct offlay_ioc_clone clone;
		struct offlay_ioc_dedupe dedupe;
		struct offlay_ioc_extents extents;
	} arg;
};

/* clone_run.c: each returns 0 or a negative errno, for ioctl(2). */

int clone_run(struct clone_job *job);
int clone_run_dedupe(struct clone_job *job);
int clone_run_extents(struct clone_job *job);
/* -EISDIR, -EINVAL: as the VFS says of what is no regular file. */
int clone_check_regular(const struct file *file);

/*
 * clone_limit.c: how far the caller @pid may write, or UINT64_MAX where there
 * is no limit, or nobody can know (another pid namespace, no /proc).
 */
uint64_t clone_size_limit(struct fs *fs, pid_t pid);

#endif
