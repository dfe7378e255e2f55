/* SPDX-License-Identifier: MIT */
/* Running commands under "offlay run" on a mount. */
#ifndef E2E_RUN_PLACE_H
#define E2E_RUN_PLACE_H

#include "clone_place.h"
#include "process.h"

/* Mounts the place's directory, with a file "src" of 256 KiB in it. */
void run_mount(struct clone_place *place, const char *options);

/**
 * run_sh() - run a script in a mount's directory, and expect its status
 * @place: whose mount, with $BARE as the same directory on the backing; NULL
 *	for any directory
 * @user: who runs it, or NULL for root
 * @script: for sh -e; $RUN is "offlay run", $ASKER the program run_asker
 * @status: or the test fails
 * @ret: what it wrote, or NULL
 */
void run_sh(const struct clone_place *place, const struct user *user,
	    const char *script, int status, struct command_result *ret);

/*
 * The same, not waited for: the process of the shell's "exec", which leads a
 * group of its own.
 */
pid_t run_start(const struct clone_place *place, const char *script);

/* Its first child, or 0 where it has none within a second. */
pid_t run_child_of(pid_t pid);
/* Waits until "offlay run", which is this process, has started its command. */
void run_wait_started(pid_t proxy);

/* How many processes of "offlay run" there are, below this test. */
unsigned int run_count_processes(void);

#endif
