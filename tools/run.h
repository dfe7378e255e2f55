/* SPDX-License-Identifier: MIT */
/* Inside of offlay run; grouped by the .c file that has it. */
#ifndef OFFLAY_TOOLS_RUN_H
#define OFFLAY_TOOLS_RUN_H

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "private.h"

/*
 * Four processes.  The proxy is the one that was started: it passes signals,
 * stops and the exit status on, and nothing else.  Its child, the supervisor,
 * answers the requests; its child again is the command, in the proxy's process
 * group.  A fourth, the witness, tells the proxy which signals the group has
 * had already.  The supervisor is an ancestor of every process that may ask, since
 * some machines (Yama) let nobody else look into them; orphans become its
 * children.  It stays until the last of them has ended.
 */

/* Exit codes, as of env(1) and others that start a command. */
enum run_exit {
	RUN_FAILED = 125,
	RUN_NOT_EXECUTABLE = 126,
	RUN_NOT_FOUND = 127,
};

struct run_options {
	bool verbose;
	char **command; /* NULL-terminated */
};

/* run_filter.c */

/*
 * Makes this process and all that it will start ask a supervisor about the
 * four requests.  Without privileges it sets no_new_privs, for good.
 * Return: 0; -EBUSY where another filter of this process has a listener.
 */
int run_filter_install(int *ret_listener);

/* run_fds.c */

/* Sends or receives one descriptor with a byte.  Return: 0 or -errno. */
int run_fd_send(int sock, int fd);
int run_fd_receive(int sock, int *ret_fd);
/* Closes all descriptors but these; the standard ones become /dev/null. */
void run_fds_keep(const int *fds, size_t n, bool keep_stderr);

/* run_proxy.c */

/* What the supervisor tells the proxy. */
enum run_event {
	RUN_STARTED, /* value: process id; the proxy answers with a byte */
	RUN_CHANGED, /* value: as of waitpid(2) */
	RUN_ENDED,   /* the same, and the supervisor ends, too */
};

struct run_message {
	int event;
	int value;
};

/*
 * Stands for the command until that has ended, and ends as it did.
 * @sock: to the supervisor @pid; @mask: to be restored
 */
int run_proxy(int sock, pid_t pid, const sigset_t *mask);

/* run_witness.c */

/* Blocked signals stay so in it.  It ends with this process. */
int run_witness_start(int *ret_sock);
/* Did a signal that has come here come to the whole process group? */
bool run_witness_saw(int sock, int number);

/* run_supervisor.c */

/* Starts the command and answers its requests; never returns. */
void run_supervise(int sock, const struct run_options *options,
		   const sigset_t *mask) __attribute__((noreturn));

/* run_workers.c */

struct run_supervisor {
	int listener;
	bool verbose;
	bool can_switch; /* privileged: requests are sent as the program */
	struct run_mounts *mounts;
};

/* Threads that answer what comes from the listener, for ever. */
int run_workers_start(struct run_supervisor *supervisor);

/* run_target.c: the program that asks, from outside */

struct run_target {
	const struct run_supervisor *supervisor;
	uint64_t id; /* of its request */
	pid_t tid;
	int pidfd;
};

/* -ESRCH where it is gone. */
int run_target_open(const struct run_supervisor *supervisor, uint64_t id,
		    pid_t tid, struct run_target *ret_target);
void run_target_close(struct run_target *target);
/* Is it still waiting for this request to be answered? */
bool run_target_waits(const struct run_target *target);
/*
 * A descriptor of its own number; to be closed before the answer.  Ids are
 * given anew some time after a process has ended: what was fetched by id counts
 * only if the request is still waiting afterwards, and so does all that was
 * fetched before.  The first of these leaves that to whatever comes next.
 */
int run_target_fetch_fd(const struct run_target *target, int fd, int *ret_fd);
int run_target_fd(const struct run_target *target, int fd, int *ret_fd);
/* All or -EFAULT. */
int run_target_read(const struct run_target *target, uint64_t address,
		    void *buf, size_t size);
int run_target_write(const struct run_target *target, uint64_t address,
		     const void *buf, size_t size);
/* RLIMIT_FSIZE, UINT64_MAX for none. */
uint64_t run_target_size_limit(const struct run_target *target);
void run_target_signal(const struct run_target *target, int signal);

/* run_identity.c: on whose behalf this thread speaks to a mount */

/* Return: is there something to drop? */
bool run_identity_take(const struct run_target *target);
void run_identity_drop(bool is_taken);

/* run_mounts.c: which mounts are ours; remembered by ids never used again */

int run_mounts_new(struct run_mounts **ret_mounts);
/*
 * Is it a file or directory of ours?
 * @tid: who has it open, so in whose namespace the mount may be
 */
bool run_mounts_has(struct run_mounts *mounts, int fd, pid_t tid);

/* run_mountinfo.c: is mount @id one of offlayfs?  False: it is not there. */
bool run_mounts_parse(const char *text, uint64_t id, bool *ret_is_ours);

/* run_args.c: what the structures in a program's memory ask for; pure */

/* Bytes of a request with @count destinations, or -ENOMEM. */
int run_args_dedupe_size(unsigned int count, size_t page, size_t *ret_size);
/* How the VFS checks the range of a source of @src_size bytes. */
int run_args_dedupe_check(const struct file_dedupe_range *range,
			  uint64_t src_size);
/* Before any destination is asked. */
void run_args_dedupe_reset(struct file_dedupe_range *range);
void run_args_dedupe_set(struct file_dedupe_range_info *info, int err,
			 uint64_t deduped);
int run_args_map_check(const struct fiemap *map);

/* run_answer.c */

/*
 * Does what is asked for.  Return: true with the answer for ioctl(2) in
 * @ret_err, or false where the kernel is to go on by itself.
 */
bool run_answer(struct run_target *target, const struct seccomp_data *data,
		int *ret_err);

/* run_probe.c */

/*
 * Can "offlay run" work here?  Tries it with a child.
 * Return: 0, or a negative errno with the step that failed in @ret_step.
 */
int run_probe(const char **ret_step);

#endif
