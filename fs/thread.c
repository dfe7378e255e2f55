// SPDX-License-Identifier: MIT
/* Which processors the daemon's threads may use. */
#include <unistd.h>

#include "thread.h"

bool thread_allowed(cpu_set_t *ret_allowed)
{
	return !sched_getaffinity(getpid(), sizeof(*ret_allowed), ret_allowed);
}

void thread_roams(void)
{
	cpu_set_t allowed;

	if (thread_allowed(&allowed))
		sched_setaffinity(0, sizeof(allowed), &allowed);
}
