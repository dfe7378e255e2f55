// SPDX-License-Identifier: MIT
/* RLIMIT_FSIZE of a caller, which the kernel checks for its own clones only. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "op_clone.h"
#include "proc.h"

/* The line comes second: "Max file size  unlimited  unlimited  bytes". */
#define LIMITS_SIZE 512

/* The caller may be one that we may not ask about: then it is read. */
static uint64_t read_limit(struct fs *fs, pid_t pid)
{
	static const char word[] = "Max file size";
	char name[32], text[LIMITS_SIZE];
	uint64_t limit = UINT64_MAX;
	const char *line;

	snprintf(name, sizeof(name), "%d/limits", (int)pid);
	if (proc_read(copy_proc_fd(fs), name, text, sizeof(text)) <= 0)
		return UINT64_MAX;
	line = strstr(text, word);
	if (line && sscanf(line + sizeof(word) - 1, "%" SCNu64, &limit) != 1)
		limit = UINT64_MAX;
	return limit;
}

uint64_t clone_size_limit(struct fs *fs, pid_t pid)
{
	struct rlimit limit;

	if (!pid)
		return UINT64_MAX;
	if (prlimit(pid, RLIMIT_FSIZE, NULL, &limit))
		return read_limit(fs, pid);
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}
