// SPDX-License-Identifier: MIT
/* Reads files of /proc. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

#define FIELD_STATE	3
#define FIELD_PARENT	4
#define FIELD_PROCESSOR 39

/* "PID (NAME) STATE PPID ...", and a name may hold anything. */
bool proc_stat_field(const char *text, unsigned int field, long *ret_value)
{
	const char *at = strrchr(text, ')');
	char *end;
	long value;

	for (unsigned int i = FIELD_STATE; at && i <= field; i++)
		at = strchr(at + 1, ' ');
	if (!at)
		return false;
	value = strtol(at, &end, 10);
	/* What is not followed by anything may have been cut off. */
	if (end == at || (*end != ' ' && *end != '\n'))
		return false;
	*ret_value = value;
	return true;
}

ssize_t proc_read(int proc_fd, const char *path, char *text, size_t size)
{
	ssize_t n;
	int fd;

	text[0] = '\0';
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		n = -errno;
	else
		text[n] = '\0';
	close(fd);
	return n;
}

static bool read_field(int proc_fd, pid_t pid, unsigned int field,
		       long *ret_value)
{
	char path[48], text[1024];

	/* Of the one thread: that of a process adds up all of its threads. */
	snprintf(path, sizeof(path), "%d/task/%d/stat", pid, pid);
	return proc_read(proc_fd, path, text, sizeof(text)) > 0 &&
	       proc_stat_field(text, field, ret_value);
}

pid_t proc_parent(int proc_fd, pid_t pid)
{
	long parent = 0;

	if (!read_field(proc_fd, pid, FIELD_PARENT, &parent) || parent < 0 ||
	    parent > INT_MAX)
		return 0;
	return (pid_t)parent;
}

int proc_processor(int proc_fd, pid_t pid)
{
	long cpu = -1;

	if (!read_field(proc_fd, pid, FIELD_PROCESSOR, &cpu) || cpu < 0 ||
	    cpu > INT_MAX)
		return -1;
	return (int)cpu;
}
