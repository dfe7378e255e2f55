// SPDX-License-Identifier: MIT
/* offlay doctor: whether programs can be run with clones on a mount. */
#include <errno.h>

#include "doctor.h"
#include "offlay.h"
#include "run.h"

static const char *advice_for(int err)
{
	switch (err) {
	case -EBUSY:
		return "do it outside of offlay run, or of the container whose "
		       "filter has a listener";
	case -EPERM:
		return "set kernel.yama.ptrace_scope to 0 or 1, and give the "
		       "container CAP_SYS_PTRACE or a seccomp profile that "
		       "allows pidfd_getfd and process_vm_readv";
	default:
		return "a kernel with CONFIG_SECCOMP_FILTER, 5.9 or newer, and "
		       "a container that allows seccomp";
	}
}

void doctor_run(struct doctor *doctor)
{
	const char *step;
	int err = run_probe(&step);

	if (err)
		doctor_find(doctor, "offlay run", DOCTOR_NO, advice_for(err),
			    "%s: %s", step, offlay_errno_name(-err));
	else
		doctor_find(doctor, "offlay run", DOCTOR_YES, NULL,
			    "a program and its requests can be watched");
}
