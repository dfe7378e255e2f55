/* SPDX-License-Identifier: MIT */
/* Fault rules of a mount; grouped by the .c file that has it. */
#ifndef OFFLAY_RULES_H
#define OFFLAY_RULES_H

#include <limits.h>

#include "fault.h"
#include "fs.h"
#include "event.h"

/* ------------------------------------- for main.c, ops.c and op_ioctl.c */

/* Takes @set, which may be NULL. */
int rules_new(struct fs *fs, struct fault_set *set, struct rules **ret_rules);
/* Answers what waits, before the session and the tables go away. */
void rules_stop(struct rules *rules); /* takes NULL */
void rules_free(struct rules *rules); /* takes NULL */
/* As op_odx(). */
bool op_rules(fuse_req_t req, unsigned int cmd, const void *in, size_t in_size,
	      size_t out_size);
/*
 * Before the handler of the same name, with its arguments.  True: a rule
 * applies, and the request is answered, or will be.
 */
bool rules_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			   struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			   off_t off_out, struct fuse_file_info *fi_out,
			   size_t len, int flags);
bool rules_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
bool rules_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in,
		     off_t off, struct fuse_file_info *fi);
bool rules_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi);
bool rules_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
bool rules_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		  mode_t mode, struct fuse_file_info *fi);
bool rules_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		   struct fuse_file_info *fi);
bool rules_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		   int to_set, struct fuse_file_info *fi);
bool rules_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		 struct fuse_file_info *fi, unsigned int flags,
		 const void *in_buf, size_t in_bufsz, size_t out_bufsz);

/* --------------------------------------------------------- for the others */

struct rules {
	struct fs *fs;
	uid_t owner;	      /* who mounted */
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;  /* for those that wait, and for rules_stop() */
	struct fault_set *set;
	uint64_t generation; /* of @set */
	unsigned int waiting;
	bool stop;
	/* A text that is not all here yet. */
	char *text;	  /* OFFLAY_RULES_TEXT_MAX bytes, or NULL */
	uint64_t uploads; /* that were begun; the last one is @text's */
	size_t size;
};

/* One request that a rule applies to, and what its handler was called with. */
struct rules_job {
	fuse_req_t req;
	struct fs *fs;
	enum fault_op op;
	struct fault_hit hit;
	uint64_t generation; /* of the rule */
	fuse_ino_t ino, dst_ino;
	struct fuse_file_info fi, dst_fi;
	bool has_fi;
	off_t off, dst_off;
	size_t size;
	int number;		/* flags of a copy, to_set, datasync */
	mode_t mode;		/* create */
	const char *name;	/* create; NULL for O_TMPFILE */
	struct stat attr;	/* truncate */
	const void *data;	/* of a write or ioctl, @size bytes */
	struct fuse_bufvec *in; /* of a write that does not wait */
	unsigned int cmd;	/* of an ioctl */
	size_t out_size;
	/* In place of all that: does what the rule says, by @arg. */
	void (*run)(const struct rules_job *job);
	void *arg;
	struct event event; /* once it has to wait */
	void *kept; /* what @name and @data are in, once it has to wait */
};

/* rules.c */

/* Could a rule apply to @op?  One load where there are none. */
static inline bool rules_name(struct fs *fs, enum fault_op op)
{
	return atomic_load_explicit(&fs->ruled_ops, memory_order_relaxed) &
	       FAULT_BIT(op);
}

/* Takes @set, NULL for none; whoever waits by an old rule goes on. */
void rules_replace(struct rules *rules, struct fault_set *set);
bool rules_match(struct rules *rules, const struct fault_call *call,
		 struct fault_hit *ret_hit, uint64_t *ret_generation);
/*
 * Below the mount, without a slash before it, as far as it is known: else
 * NULL.  @fd: of the backing, O_PATH will do.
 */
const char *rules_path(struct fs *fs, int fd, char buf[PATH_MAX]);

/* rules_take.c */

/* Of O_DIRECT, whatever the device's sector is; of tokens and of blocks. */
#define RULES_ALIGN 4096

/*
 * For a request that has its own state: asks the rules about @call, whose
 * names are those of @src and @dst, and has @run called with @arg where one
 * applies, now or later.  False: none does.
 */
bool rules_take(fuse_req_t req, struct fault_call *call, struct file *src,
		struct file *dst, void (*run)(const struct rules_job *job),
		void *arg);

/* rules_seam.c */

/* The copy engine's clone: as the kernel's, unless a rule says otherwise. */
int rules_clone(void *ctx, int src_fd, uint64_t src_offset, uint64_t length,
		int dst_fd, uint64_t dst_offset);

/* rules_wait.c */

/* Lets @job wait as its rule says, on a thread of its own, and runs it. */
void rules_wait(const struct rules_job *job);

/* rules_run.c: does what the rule says and answers the request. */
void rules_run(const struct rules_job *job);
/* OFFLAY_DENY_* as a bit of reasons. */
uint32_t rules_reason(unsigned int deny);

#endif
