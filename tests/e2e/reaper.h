/* SPDX-License-Identifier: MIT */
/* A process that cleans up when the test program is gone, however it went. */
#ifndef E2E_REAPER_H
#define E2E_REAPER_H

#include <sys/types.h>

struct reaper {
	pid_t pid;
	/* Write end of a pipe; the reaper starts when its last copy closes. */
	int fd;
};

/**
 * reaper_start() - fork the reaper of a scratch directory
 * @scratch: absolute path; all mounts below it and itself will be removed
 * @ret_reaper: set on success
 *
 * Return: 0 or -errno.
 */
int reaper_start(const char *scratch, struct reaper *ret_reaper);

/**
 * reaper_finish() - let the reaper work and wait for it
 * @reaper: reaper
 *
 * Return: 0 if nothing was left over, else the number of left mounts and
 * daemons that it had to remove by force.
 */
int reaper_finish(struct reaper *reaper);

/**
 * reaper_note_daemon() - have the reaper kill this daemon if it is still there
 * @scratch: scratch directory
 * @pid: daemon
 */
void reaper_note_daemon(const char *scratch, pid_t pid);

/**
 * reaper_note_setting() - write a value to a kernel setting until the end
 * @scratch: scratch directory
 * @path: file under /sys or /proc
 * @value: what to write now; the reaper writes the old value back
 *
 * Return: 0 or -errno.
 */
int reaper_note_setting(const char *scratch, const char *path,
			const char *value);

#endif
