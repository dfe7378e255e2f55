// SPDX-License-Identifier: MIT
/* Reads files of /proc. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

/* Of a process with more of them not all are looked at. */
#define DESCRIPTORS_MAX 128

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

/* "NAME:\tNUMBER\n" */
static bool find_number(const char *text, const char *name,
			unsigned long long *ret_number)
{
	const char *at = strstr(text, name);
	char end;

	/* What is not followed by anything may have been cut off. */
	return at && (at == text || at[-1] == '\n') &&
	       sscanf(at + strlen(name), ":\t%llu%c", ret_number, &end) == 2 &&
	       end == '\n';
}

bool proc_position(const char *text, uint64_t ino, uint64_t *ret_position)
{
	unsigned long long number, position;

	if (!find_number(text, "pos", &position) || !position ||
	    !find_number(text, "ino", &number) || number != ino)
		return false;
	*ret_position = position;
	return true;
}

bool proc_find_position(int proc_fd, pid_t pid, uint64_t ino,
			uint64_t *ret_position)
{
	char path[32], text[512];
	struct dirent *entry;
	unsigned int left = DESCRIPTORS_MAX;
	bool found = false;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%d/fdinfo", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while (!found && left-- && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' &&
			proc_read(fd, entry->d_name, text, sizeof(text)) > 0 &&
			proc_position(text, ino, ret_position);
	closedir(dir);
	return found;
}
