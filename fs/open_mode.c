// SPDX-License-Identifier: MIT
/* The one decision how a file is opened; no system calls. */
#include <fcntl.h>

#include "file.h"

/*
 * Passthrough alone where nothing speaks against it.  O_APPEND and O_DIRECT
 * do: the kernel opens the backing with the flags of open(2) and never looks
 * again, while fcntl(F_SETFL) may take both away.
 */
struct open_mode open_mode_choose(const struct open_case *open)
{
	bool writable = open_is_writable(open->flags);
	bool appends = writable && (open->flags & O_APPEND);
	struct open_mode mode = { .noflush = open->local && !open->gathers };

	if (open->mode != IO_PASSTHROUGH) {
		/* Only we can append where somebody else appends, too. */
		mode.direct = appends || open->ruled;
		mode.keep_cache = open->keep_cache && !mode.direct;
		return mode;
	}
	mode.direct = appends || (open->flags & O_DIRECT) || open->ineligible ||
		      open->copy_coming || open->ruled ||
		      (writable && (open->sxid || open->clone_only));
	return mode;
}
