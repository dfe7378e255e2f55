/* SPDX-License-Identifier: MIT */
/* A process that cleans up when the test program is gone, however it went. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mountinfo.h"
#include "process.h"
#include "reaper.h"

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

static int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

void reaper_note_daemon(const char *scratch, pid_t pid)
{
	char path[PATH_MAX], link[64], exe[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	if (n < 0)
		return;
	exe[n] = '\0';
	snprintf(path, sizeof(path), "%s/daemons/%d", scratch, (int)pid);
	write_file(path, exe);
}

int reaper_note_setting(const char *scratch, const char *path,
			const char *value)
{
	char old[256], note[PATH_MAX], text[PATH_MAX + 260];
	const char *name = strrchr(path, '/') + 1;
	int err, fd;
	ssize_t n;

	err = read_file(path, old, sizeof(old));
	if (err)
		return err;
	snprintf(note, sizeof(note), "%s/settings/%s", scratch, name);
	if (access(note, F_OK) != 0) {
		snprintf(text, sizeof(text), "%s %s", path, old);
		write_file(note, text);
	}
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, value, strlen(value));
	err = n < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Kill the daemons noted that still run the program they ran when noted. */
static int kill_daemons(const char *scratch)
{
	char path[PATH_MAX], link[64], exe[PATH_MAX], noted[PATH_MAX];
	struct dirent *entry;
	int left = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/daemons", scratch);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);
		ssize_t n;

		if (pid <= 1)
			continue;
		snprintf(path, sizeof(path), "%s/daemons/%s", scratch,
			 entry->d_name);
		snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
		n = readlink(link, exe, sizeof(exe) - 1);
		if (n < 0 || read_file(path, noted, sizeof(noted)))
			continue;
		exe[n] = '\0';
		if (strcmp(exe, noted) != 0)
			continue;
		fprintf(stderr, "left over: daemon %d\n", (int)pid);
		kill(pid, SIGKILL);
		left++;
	}
	closedir(dir);
	return left;
}

static void restore_settings(const char *scratch)
{
	char path[PATH_MAX], text[PATH_MAX + 260];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/settings", scratch);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char *space;

		snprintf(path, sizeof(path), "%s/settings/%s", scratch,
			 entry->d_name);
		if (entry->d_name[0] == '.' ||
		    read_file(path, text, sizeof(text)))
			continue;
		space = strchr(text, ' ');
		if (!space)
			continue;
		*space = '\0';
		write_file(text, space + 1);
	}
	closedir(dir);
}

static int unmount_below(const char *scratch)
{
	struct mountinfo_list list;
	int left = 0;

	if (mountinfo_below(scratch, &list))
		return 0;
	for (size_t i = list.n; i-- > 0;) {
		if (strncmp(list.at[i].type, "fuse", 4) == 0) {
			fprintf(stderr, "left over: mount %s\n",
				list.at[i].path);
			umount2(list.at[i].path, MNT_DETACH);
			left++;
			continue;
		}
		for (int try = 0; umount2(list.at[i].path, 0); try++) {
			if (errno != EBUSY || try == 20) {
				umount2(list.at[i].path, MNT_DETACH);
				break;
			}
			process_sleep_ms(50);
		}
	}
	mountinfo_done(&list);
	return left;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	if (remove(path) != 0)
		perror(path);
	return 0;
}

static int clean_up(const char *scratch)
{
	int left;

	left = kill_daemons(scratch);
	restore_settings(scratch);
	left += unmount_below(scratch);
	nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return left;
}

static void reaper_run(const char *scratch, int fd)
{
	char byte;
	int left;

	/* Not in the program's process group: a killed group must not take
	 * the reaper with it. */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	left = clean_up(scratch);
	_exit(left > 99 ? 99 : left);
}

int reaper_start(const char *scratch, struct reaper *ret_reaper)
{
	char path[PATH_MAX];
	int fds[2];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/daemons", scratch);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/settings", scratch);
	mkdir(path, 0700);
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(fds[1]);
		reaper_run(scratch, fds[0]);
	}
	close(fds[0]);
	ret_reaper->pid = pid;
	ret_reaper->fd = fds[1];
	return 0;
}

int reaper_finish(struct reaper *reaper)
{
	int status = 0;

	close(reaper->fd);
	while (waitpid(reaper->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
