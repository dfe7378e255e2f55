// SPDX-License-Identifier: MIT
/* What the tests of copies by read and write ask of a mount and a file. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "accel.h"
#include "offlay_uapi.h"

void accel_counters(const struct mount *mount,
		    struct offlay_ioc_stats *ret_stats)
{
	int fd = open(mount->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->version = OFFLAY_ABI_VERSION;
	cr_assert(fd >= 0 && ioctl(fd, OFFLAY_IOC_STATS, ret_stats) == 0,
		  "counters: %s", strerror(errno));
	close(fd);
}

uint64_t accel_counter(const struct mount *mount, unsigned int stat)
{
	struct offlay_ioc_stats stats;

	accel_counters(mount, &stats);
	return stats.counters[stat];
}

int64_t accel_first_hole(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t hole;

	if (fd < 0)
		return -errno;
	/* Data that is only in the page cache is told of in another way. */
	fsync(fd);
	hole = lseek(fd, 0, SEEK_HOLE);
	if (hole < 0)
		hole = -errno;
	close(fd);
	return hole;
}
