// SPDX-License-Identifier: MIT
/* Running commands under "offlay run" on a mount. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run_place.h"

void run_mount(struct clone_place *place, const char *options)
{
	clone_file(place, "src", 256 * KIB, 3);
	mount_open(place->dir, options, &place->mount);
}

static void write_script(const struct clone_place *place, const char *script,
			 char *ret_text, size_t size)
{
	snprintf(ret_text, size,
		 "RUN='%s run'; ASKER=%s; BARE='%s'; cd '%s'; %s",
		 mount_tool_path(), getenv("OFFLAY_RUN_ASKER"),
		 place ? place->dir : "/", place ? place->mount.point : "/",
		 script);
}

void run_sh(const struct clone_place *place, const struct user *user,
	    const char *script, int status, struct command_result *ret)
{
	char text[PATH_MAX * 3];
	char *argv[] = { "sh", "-ec", text, NULL };
	struct command_result result;
	int got;

	write_script(place, script, text, sizeof(text));
	got = command_run(argv, user, 120, &result);
	cr_expect_eq(got, status, "%s: status %d, not %d: %s%s", script, got,
		     status, result.out, result.err);
	if (ret)
		*ret = result;
}

pid_t run_start(const struct clone_place *place, const char *script)
{
	char text[PATH_MAX * 3];
	pid_t pid;

	write_script(place, script, text, sizeof(text));
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		setpgid(0, 0);
		execlp("sh", "sh", "-ec", text, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static bool is_run(const char *pid)
{
	char path[300], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return !strcmp(text, mount_tool_path());
}

/* By the path of the tool, which is this build's own. */
unsigned int run_count_processes(void)
{
	DIR *proc = opendir("/proc");
	unsigned int n = 0;
	struct dirent *entry;

	cr_assert_not_null(proc);
	while ((entry = readdir(proc)))
		n += entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		     is_run(entry->d_name);
	closedir(proc);
	return n;
}

/* Processes of a proxy: its child is the supervisor, and that one's child. */
pid_t run_child_of(pid_t pid)
{
	char path[64];
	int child = 0;
	FILE *file;

	for (int i = 0; i < 500 && !child; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid,
			 pid);
		file = fopen(path, "re");
		if (file && fscanf(file, "%d", &child) != 1)
			child = 0;
		if (file)
			fclose(file);
		if (!child)
			process_sleep_ms(2);
	}
	return child;
}

/* Until it is no longer a copy of us. */
void run_wait_started(pid_t proxy)
{
	char path[64], file[PATH_MAX];
	pid_t command = run_child_of(run_child_of(proxy));
	ssize_t n;

	cr_assert_gt(command, 0);
	snprintf(path, sizeof(path), "/proc/%d/exe", command);
	for (int i = 0; i < 5000; i++) {
		n = readlink(path, file, sizeof(file) - 1);
		file[n < 0 ? 0 : n] = '\0';
		if (strcmp(file, mount_tool_path()))
			return;
		process_sleep_ms(2);
	}
	cr_assert_fail("%s is still %s", path, file);
}
