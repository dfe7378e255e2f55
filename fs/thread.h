/* SPDX-License-Identifier: MIT */
/* Which processors the daemon's threads may use. */
#ifndef OFFLAY_THREAD_H
#define OFFLAY_THREAD_H

#include <sched.h>
#include <stdbool.h>

/*
 * The first thread never keeps to a processor: what it may use is what whoever
 * started the daemon, or an administrator since, has chosen.
 */
bool thread_allowed(cpu_set_t *ret_allowed);

/*
 * First thing in a new thread: it begins with the processors of the one that
 * made it, which may keep to one (handover.h).
 */
void thread_roams(void);

#endif
