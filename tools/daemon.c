// SPDX-License-Identifier: MIT
/* Finding offlayfs, and mounts that last as long as the subcommand. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"

#define END_MS	2000 /* for the daemon to unmount */
#define TICK_MS 10

static void sleep_tick(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = TICK_MS * 1000000L }, NULL);
}

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

bool daemon_find_in_path(const char *name, char *ret_path, size_t size)
{
	const char *list = getenv("PATH");

	while (list && *list) {
		size_t length = strcspn(list, ":");

		if (length &&
		    snprintf(ret_path, size, "%.*s/%s", (int)length, list,
			     name) < (int)size &&
		    is_program(ret_path))
			return true;
		list += length + (list[length] == ':');
	}
	return false;
}

bool daemon_find(char *ret_path, size_t size)
{
	static const char *const places[] = { "offlayfs", "../fs/offlayfs",
					      "../sbin/offlayfs" };
	const char *named = getenv("OFFLAYFS");
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	if (named && *named)
		return snprintf(ret_path, size, "%s", named) < (int)size &&
		       is_program(ret_path);
	for (i = 0; length > 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		self[length] = '\0';
		*(strrchr(self, '/') + 1) = '\0';
		if (snprintf(ret_path, size, "%s%s", self, places[i]) <
			    (int)size &&
		    is_program(ret_path))
			return true;
	}
	return daemon_find_in_path("offlayfs", ret_path, size);
}

pid_t daemon_start(const char *daemon, const char *options, const char *source,
		   const char *point, int stderr_fd)
{
	pid_t pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	/* It unmounts then, which SIGKILL would not let it. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(stderr_fd, STDERR_FILENO);
	execl(daemon, daemon, "-f", "-o", options, source, point, (char *)NULL);
	_exit(127);
}

int daemon_wait_mounted(pid_t pid, const char *point, dev_t before,
			int limit_ms)
{
	struct stat st;
	int status, waited;

	for (waited = 0; waited < limit_ms; waited += TICK_MS) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return -ECHILD;
		if (!stat(point, &st) && st.st_dev != before)
			return 0;
		sleep_tick();
	}
	return -ETIME;
}

static bool has_ended(pid_t pid, int limit_ms)
{
	int waited;

	for (waited = 0; waited < limit_ms; waited += TICK_MS) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		sleep_tick();
	}
	return false;
}

/* The mount of a user is undone by a helper that is set-user-ID root. */
static void unmount(const char *point)
{
	pid_t pid;

	if (!umount2(point, MNT_DETACH) || errno != EPERM)
		return;
	pid = fork();
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-uzq", point,
		       (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

void daemon_stop(pid_t pid, const char *point)
{
	kill(pid, SIGTERM);
	if (has_ended(pid, END_MS))
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unmount(point);
}
