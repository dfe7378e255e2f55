// SPDX-License-Identifier: MIT
/* Leases on files of the backing. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <syslog.h>

#include "fs.h"
#include "lease.h"

bool lease_take(int fd, int type)
{
	return fcntl(fd, F_SETLEASE, type) == 0;
}

bool lease_is_whole(int fd, int type)
{
	return fcntl(fd, F_GETLEASE) == type;
}

void lease_give(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_UNLCK) < 0 && errno != EAGAIN)
		log_msg(LOG_ERR, "cannot give a lease back: %s",
			strerror(errno));
}
