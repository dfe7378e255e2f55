/* SPDX-License-Identifier: MIT */
/* Running commands and acting as other users. */
#ifndef E2E_PROCESS_H
#define E2E_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid;
	size_t n_groups;
	gid_t groups[4];
};

struct command_result {
	/* Exit code, 128 + signal, or -1 where it timed out and was killed. */
	int status;
	/* What it wrote, cut where it is longer; always terminated. */
	char out[16384];
	char err[4096];
};

/**
 * command_run() - run a program to its end and keep its output
 * @argv: NULL-terminated; found by PATH
 * @user: who runs it, or NULL for the caller
 * @timeout_s: seconds after which it is killed
 * @ret: result, or NULL
 *
 * Return: exit code as in struct command_result.
 */
int command_run(char *const argv[], const struct user *user, int timeout_s,
		struct command_result *ret);

/* command_run() with the words of one call and a minute of time. */
#define COMMAND(ret, ...) \
	command_run((char *[]){ __VA_ARGS__, NULL }, NULL, 60, (ret))

/**
 * user_become() - turn the calling process into this user, for good
 * @user: user
 *
 * Return: 0 or -errno.
 */
int user_become(const struct user *user);

/**
 * user_enter() - have the calling thread act as this user until user_leave()
 * @user: user
 *
 * All three ids change: a FUSE mount lets nobody in whose saved id is another
 * user's.  What brings root back are capabilities that are kept, but not in
 * force.
 *
 * Return: 0 or -errno.
 */
int user_enter(const struct user *user);

/**
 * user_leave() - be root again after user_enter()
 *
 * Return: 0 or -errno.
 */
int user_leave(void);

/**
 * user_call() - call a function as this user in a child process
 * @user: user, or NULL for the caller itself
 * @fn: its result must be between 0 and 255 or a negative errno
 * @arg: for @fn
 * @timeout_s: seconds after which the child is killed
 *
 * Return: what @fn returned, -EINTR where it died, -ETIME where it timed out.
 */
int user_call(const struct user *user, int (*fn)(void *arg), void *arg,
	      int timeout_s);

/**
 * process_wait() - wait for a child for a limited time
 * @pid: child
 * @timeout_ms: limit in milliseconds
 * @ret_status: as of waitpid()
 *
 * Return: 0 or -ETIME.
 */
int process_wait(pid_t pid, int timeout_ms, int *ret_status);

/* Milliseconds of CLOCK_MONOTONIC. */
long long process_now_ms(void);

/* Sleep for some milliseconds. */
void process_sleep_ms(int ms);

/* "EEXIST" for 17 and -17, "0" for 0; never NULL. */
const char *errno_name(long err);

#endif
