// SPDX-License-Identifier: MIT
/* What structures in a program's memory ask for, as the VFS reads them. */
#include <errno.h>
#include <string.h>

#include "run.h"

/* Linux shortens a request to this. */
#define DEDUPE_MAX (1ull << 30)

int run_args_dedupe_size(unsigned int count, size_t page, size_t *ret_size)
{
	size_t size = sizeof(struct file_dedupe_range) +
		      count * sizeof(struct file_dedupe_range_info);

	if (size > page)
		return -ENOMEM;
	*ret_size = size;
	return 0;
}

int run_args_dedupe_check(const struct file_dedupe_range *range,
			  uint64_t src_size)
{
	uint64_t max = INT64_MAX;

	if (range->src_offset > max || range->src_length > max ||
	    range->src_length > max - range->src_offset)
		return -EINVAL;
	return range->src_offset + range->src_length > src_size ? -EINVAL : 0;
}

void run_args_dedupe_reset(struct file_dedupe_range *range)
{
	if (range->src_length > DEDUPE_MAX)
		range->src_length = DEDUPE_MAX;
	for (unsigned int i = 0; i < range->dest_count; i++) {
		range->info[i].bytes_deduped = 0;
		range->info[i].status = FILE_DEDUPE_RANGE_SAME;
	}
}

void run_args_dedupe_set(struct file_dedupe_range_info *info, int err,
			 uint64_t deduped)
{
	if (err == -EBADE)
		info->status = FILE_DEDUPE_RANGE_DIFFERS;
	else if (err)
		info->status = err;
	else
		info->bytes_deduped = deduped;
}

int run_args_map_check(const struct fiemap *map)
{
	uint32_t max = UINT32_MAX / sizeof(struct fiemap_extent);

	return map->fm_extent_count > max ? -EINVAL : 0;
}
