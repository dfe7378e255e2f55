// SPDX-License-Identifier: MIT
/* Finding a mount in a text like /proc/self/mountinfo; no system calls. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* "36 35 98:0 / /mnt rw,noatime shared:1 - fuse.offlayfs /srv rw" */
bool run_mounts_parse(const char *text, uint64_t id, bool *ret_is_ours)
{
	static const char type[] = "fuse.offlayfs ";
	const char *line = text, *end, *dash;

	for (; *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		if (strtoull(line, NULL, 10) != id)
			continue;
		dash = strstr(line, " - ");
		if (!dash || dash > end)
			return false;
		*ret_is_ours = !strncmp(dash + 3, type, sizeof(type) - 1);
		return true;
	}
	return false;
}
