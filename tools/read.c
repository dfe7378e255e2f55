// SPDX-License-Identifier: MIT
/* Reading files whole pieces at a time. */
#include <errno.h>
#include <unistd.h>

#include "tools.h"

/**
 * read_fully() - read at an offset, again after short reads and signals
 * @fd: open for reading; its own offset does not move
 * @buf: room for @size bytes
 * @size: bytes wanted
 * @offset: where, in bytes
 *
 * Return: the bytes read, fewer than @size only at the end of the file; or a
 * negative errno.
 */
ssize_t read_fully(int fd, char *buf, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t count = pread(fd, buf + done, size - done,
				      (off_t)(offset + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (!count)
			break;
		done += (size_t)count;
	}
	return (ssize_t)done;
}
