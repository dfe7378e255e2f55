// SPDX-License-Identifier: MIT
/* Does the filesystem that a file is on share extents at all? */
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "private.h"

/* Deduplicates the first bytes of a file with themselves. */
struct dedupe {
	union {
		struct file_dedupe_range range; /* ends with what follows */
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	};
};

#define SOME_BYTES 65536

/*
 * The kernel says EOPNOTSUPP where nothing is behind it, for the whole call or
 * for the range.  Else it says EINVAL, since the two ranges overlap, and so
 * nothing changes in any case.
 */
static bool declines(int fd, uint64_t size)
{
	struct dedupe dedupe = { 0 };

	dedupe.range.src_length = size < SOME_BYTES ? size : SOME_BYTES;
	dedupe.range.dest_count = size ? 1 : 0;
	dedupe.range.info[0].dest_fd = fd;
	if (ioctl(fd, FIDEDUPERANGE, &dedupe.range) < 0)
		return errno == EOPNOTSUPP;
	return size && dedupe.range.info[0].status == -EOPNOTSUPP;
}

int facts_find_volume(int fd, uint32_t fs_type, bool *ret_is_unable)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_is_unable = S_ISREG(st.st_mode) &&
			 !copy_range_has_server(fs_type) &&
			 declines(fd, (uint64_t)st.st_size);
	return 0;
}
