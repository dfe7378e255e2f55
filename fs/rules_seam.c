// SPDX-License-Identifier: MIT
/* Fault rules for the clones that the copy engine makes. */
#include <errno.h>
#include <sys/stat.h>

#include "file.h"
#include "rules.h"

/*
 * What the engine would remember for all files of these two filesystems, and
 * what it would try again with other blocks, comes as the decline of these two
 * files alone.
 */
static int clone_errno(const struct fault_hit *hit)
{
	switch (hit->answer) {
	case FAULT_ERRNO:
		return copy_is_decline(hit->err) ? -EAGAIN : -hit->err;
	case FAULT_REFUSE:
		return -EAGAIN;
	case FAULT_FORBID:
		return hit->methods & OFFLAY_METHOD_CLONE ? -EAGAIN : 0;
	default:
		return 0;
	}
}

int rules_clone(void *ctx, int src_fd, uint64_t src_offset, uint64_t length,
		int dst_fd, uint64_t dst_offset)
{
	struct fault_call call = { .op = FAULT_CLONE, .length = length };
	char src_path[PATH_MAX], dst_path[PATH_MAX];
	struct fault_hit hit;
	struct fs *fs = ctx;
	uint64_t generation;
	int err = 0;

	if (rules_name(fs, FAULT_CLONE)) {
		call.src = rules_path(fs, src_fd, src_path);
		call.dst = rules_path(fs, dst_fd, dst_path);
		if (rules_match(fs->rules, &call, &hit, &generation)) {
			stats_add(fs->stats, OFFLAY_STAT_RULE_HITS, 1);
			err = clone_errno(&hit);
		}
	}
	return err ? err
		   : sys_kernel_ops.clone(NULL, src_fd, src_offset, length,
					  dst_fd, dst_offset);
}
