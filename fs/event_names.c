// SPDX-License-Identifier: MIT
/* Names for events: of files by their descriptors, of programs by their ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "proc.h"

static const char deleted[] = " (deleted)";

/* The kernel's remark at the end of a path that leads nowhere any more. */
static void strip_deleted(int fd, char *path, size_t len)
{
	size_t end = sizeof(deleted) - 1;
	struct stat st;

	if (len > end && !strcmp(path + len - end, deleted) &&
	    !fstat(fd, &st) && !st.st_nlink)
		path[len - end] = '\0';
}

void event_name_fd(struct fs *fs, int fd, char buf[EVENT_PATH_MAX])
{
	size_t root = strlen(fs->opt.source);
	char link[FD_PATH_SIZE];
	ssize_t len;

	snprintf(link, sizeof(link), "self/fd/%d", fd);
	len = readlinkat(copy_proc_fd(fs), link, buf, EVENT_PATH_MAX - 1);
	buf[len < 0 ? 0 : len] = '\0';
	if (len <= 0)
		return;
	strip_deleted(fd, buf, (size_t)len);
	if (root == 1) /* SOURCE is / */
		root = 0;
	if (strncmp(buf, fs->opt.source, root) ||
	    (root && buf[root] && buf[root] != '/'))
		return;
	if (buf[root] == '/' && buf[root + 1])
		memmove(buf, buf + root + 1, strlen(buf + root + 1) + 1);
	else
		strcpy(buf, ".");
}

static void add_name(char buf[EVENT_PATH_MAX], const char *name)
{
	size_t len;

	if (!strcmp(buf, "."))
		buf[0] = '\0';
	len = strlen(buf);
	snprintf(buf + len, EVENT_PATH_MAX - len, "%s%s", len ? "/" : "", name);
}

void event_name_node(struct fs *fs, fuse_ino_t ino, const char *name,
		     char buf[EVENT_PATH_MAX], __u64 *ret_ino)
{
	PIN_AUTO(pin);

	buf[0] = '\0';
	if (inode_pin(fs, ino, &pin))
		return;
	event_name_fd(fs, pin.fd, buf);
	if (name)
		add_name(buf, name);
	else
		*ret_ino = inode_shown_ino(fs, inode_dev(pin.inode),
					   inode_ino(pin.inode));
}

/* The value of "Key:\tvalue" in @text, to the end of its line, or NULL. */
static char *field(char *text, const char *key)
{
	char *value = strstr(text, key);

	if (!value)
		return NULL;
	value += strlen(key);
	value[strcspn(value, "\n")] = '\0';
	return value;
}

void event_name_task(struct fs *fs, pid_t tid, __u32 *ret_pid,
		     char comm[TRACE_COMM_MAX])
{
	char path[32], text[512];
	char *name, *tgid;

	if (tid <= 0)
		return;
	snprintf(path, sizeof(path), "%d/status", tid);
	if (proc_read(copy_proc_fd(fs), path, text, sizeof(text)) <= 0)
		return;
	/* From its end: each field cuts the text off behind it. */
	tgid = field(text, "\nTgid:\t");
	if (tgid)
		*ret_pid = (__u32)strtoul(tgid, NULL, 10);
	name = field(text, "Name:\t");
	if (name)
		snprintf(comm, TRACE_COMM_MAX, "%s", name);
}
