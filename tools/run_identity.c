// SPDX-License-Identifier: MIT
/* A mount judges a request by who sends it: so it is sent as the program. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define GROUPS_MAX 256
#define NAME_SIZE  16

struct identity {
	unsigned int uid, gid; /* of the filesystem */
	int n_groups;
	gid_t groups[GROUPS_MAX];
};

static void parse_groups(const char *text, struct identity *identity)
{
	char *end;

	for (;;) {
		unsigned long value = strtoul(text, &end, 10);

		if (end == text || identity->n_groups == GROUPS_MAX)
			return;
		identity->groups[identity->n_groups++] = (gid_t)value;
		text = end;
	}
}

static int read_identity(pid_t tid, struct identity *ret_identity)
{
	struct identity identity = { .uid = ~0u, .gid = ~0u };
	char name[64], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)tid);
	file = fopen(name, "re");
	if (!file)
		return -ESRCH;
	while (getline(&line, &size, file) > 0) {
		sscanf(line, "Uid: %*u %*u %*u %u", &identity.uid);
		sscanf(line, "Gid: %*u %*u %*u %u", &identity.gid);
		if (!strncmp(line, "Groups:", 7))
			parse_groups(line + 7, &identity);
	}
	free(line);
	fclose(file);
	if (identity.uid == ~0u || identity.gid == ~0u)
		return -ESRCH;
	*ret_identity = identity;
	return 0;
}

/*
 * What a trace of the mount shows is the name of the thread that asks it.  Who
 * asks many times is looked up once a second.
 */
static void take_name(pid_t tid)
{
	static _Thread_local pid_t last_tid;
	static _Thread_local time_t last_time;
	char path[64], name[NAME_SIZE + 1];
	struct timespec now;
	ssize_t n;
	int fd;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (tid == last_tid && now.tv_sec == last_time)
		return;
	last_tid = tid;
	last_time = now.tv_sec;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, name, sizeof(name));
	close(fd);
	if (n <= 0)
		return;
	name[n - 1] = '\0'; /* the newline */
	prctl(PR_SET_NAME, name, 0, 0, 0);
}

/* Linux 6.13: ids without reading a file.  Is it root who asks? */
struct pidfd_info {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid;
	uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	uint32_t spare;
};
#define GET_INFO   _IOWR(0xFF, 11, struct pidfd_info)
#define INFO_CREDS 0x2u

static bool is_root(const struct run_target *target)
{
	struct pidfd_info info = { .mask = INFO_CREDS };

	return ioctl(target->pidfd, GET_INFO, &info) == 0 &&
	       (info.mask & INFO_CREDS) && info.fsuid == 0;
}

/* Raw system calls: the C library's would change all threads. */
bool run_identity_take(const struct run_target *target)
{
	struct identity identity;

	take_name(target->tid);
	if (!target->supervisor->can_switch || is_root(target) ||
	    read_identity(target->tid, &identity) || !run_target_waits(target))
		return false;
	if (identity.uid == 0)
		return false;
	syscall(SYS_setgroups, identity.n_groups, identity.groups);
	setfsgid(identity.gid);
	setfsuid(identity.uid);
	return true;
}

void run_identity_drop(bool is_taken)
{
	if (!is_taken)
		return;
	setfsuid(0);
	setfsgid(0);
	syscall(SYS_setgroups, 0, NULL);
}
