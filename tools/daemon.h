/* SPDX-License-Identifier: MIT */
/* Finding offlayfs, and mounts that last as long as the subcommand. */
#ifndef OFFLAY_TOOLS_DAEMON_H
#define OFFLAY_TOOLS_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The daemon: what $OFFLAYFS names; else beside this program, where it was
 * built, or where programs are.
 */
bool daemon_find(char *ret_path, size_t size);
bool daemon_find_in_path(const char *name, char *ret_path, size_t size);

/*
 * Runs the daemon in the foreground; it unmounts when this process dies.
 * Return: its process, or a negative errno.
 */
pid_t daemon_start(const char *daemon, const char *options, const char *source,
		   const char *point, int stderr_fd);
/* @before: st_dev of the empty mount point.  -ECHILD where the daemon ended. */
int daemon_wait_mounted(pid_t pid, const char *point, dev_t before,
			int limit_ms);
/* Takes the mount down, by force if need be, and waits for the daemon. */
void daemon_stop(pid_t pid, const char *point);

#endif
