/* SPDX-License-Identifier: MIT */
/* Starting offlayfs on a directory and taking it down again. */
#ifndef E2E_MOUNT_H
#define E2E_MOUNT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>
#include "process.h"

enum mount_mode {
	MODE_PASSTHROUGH,
	MODE_NO_PASSTHROUGH,
	MODE_IO_URING,
	/* Mounted by an unprivileged user through fusermount3. */
	MODE_USER,
	MODE_COUNT,
};

struct mount_spec {
	/* For -o, or NULL. */
	const char *options;
	/* Who mounts, or NULL for root. */
	const struct user *user;
	/* Soft and hard RLIMIT_NOFILE of the daemon, or 0 for the test's. */
	rlim_t nofile;
};

struct mount {
	char source[PATH_MAX];
	char point[PATH_MAX];
	/* What the daemon writes to stdout and stderr. */
	char log[PATH_MAX];
	pid_t pid;
	uid_t uid;
};

/**
 * mount_start() - run offlayfs in the foreground and wait for its mount
 * @source: directory to show
 * @spec: how, or NULL for root without options
 * @ret_mount: set on success
 *
 * The mount point is a fresh directory.  The daemon gets SIGTERM when the
 * process that called this ends.
 *
 * Return: 0, or -ECHILD where the daemon ended instead of mounting, or -ETIME.
 */
int mount_start(const char *source, const struct mount_spec *spec,
		struct mount *ret_mount);

/**
 * mount_open() - mount_start() with options, failing the test if it fails
 * @source: directory to show
 * @options: for -o, or NULL
 * @ret_mount: set on success
 */
void mount_open(const char *source, const char *options,
		struct mount *ret_mount);

/**
 * mount_open_mode() - mount in one of the modes; skips where it is missing
 * @source: directory to show; given to the user in MODE_USER
 * @mode: mode
 * @options: further options, or NULL
 * @ret_mount: set on success
 */
void mount_open_mode(const char *source, enum mount_mode mode,
		     const char *options, struct mount *ret_mount);

/**
 * mount_close() - unmount and assert that the daemon exited with 0
 * @mount: mount
 *
 * Fails the test where the daemon does not end within ten seconds, ends with
 * another status, or leaves the mount behind; its log is printed then.
 */
void mount_close(struct mount *mount);

/**
 * mount_kill() - take the mount down by force; for teardown after a failure
 * @mount: mount; nothing happens where it is closed already
 */
void mount_kill(struct mount *mount);

/**
 * mount_log_has() - does the daemon's log contain this text?
 * @mount: mount, open or closed
 * @text: what to look for
 */
bool mount_log_has(const struct mount *mount, const char *text);

/* Print the daemon's log to stderr. */
void mount_print_log(const struct mount *mount);

/* The daemon's resident memory in KiB. */
long mount_rss_kib(const struct mount *mount);

/* "passthrough", "no_passthrough", "io_uring", "user" */
const char *mode_name(enum mount_mode mode);

/* Why this mode cannot be tried on this machine, or NULL if it can. */
const char *mode_missing(enum mount_mode mode);

/* The user of MODE_USER. */
extern const struct user mount_user;

/* Path of the daemon, $OFFLAYFS; and of the tool, $OFFLAY. */
const char *mount_daemon_path(void);
const char *mount_tool_path(void);

#endif
