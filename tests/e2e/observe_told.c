// SPDX-License-Identifier: MIT
/* A listing brings what the kernel does not have, and makes it ask no more. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe.h"

#define FILES 100

/* Files as an archive is unpacked: attributes come last. */
static void unpack(const char *dir, int first)
{
	char path[PATH_MAX], name[16];
	int fd;

	for (int i = first; i < first + FILES; i++) {
		snprintf(name, sizeof(name), "f%03d", i);
		volume_path(path, dir, name);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		cr_assert(fd >= 0);
		cr_assert_eq(write(fd, "data", 4), 4);
		cr_assert_eq(fchmod(fd, 0640), 0);
		close(fd);
	}
}

static void list(const char *path, int expected)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct stat st;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != 'f')
			continue;
		cr_assert_eq(fstatat(dirfd(dir), entry->d_name, &st, 0), 0);
		cr_assert_eq(st.st_mode, S_IFREG | 0640);
		cr_assert_eq(st.st_size, 4);
		expected--;
	}
	closedir(dir);
	cr_assert_eq(expected, 0);
}

static void ask_nothing(enum mount_mode mode)
{
	struct observe_place place;
	char out[PATH_MAX], tree[PATH_MAX], back[PATH_MAX];
	int status;
	pid_t pid;

	observe_open(mode, NULL, &place);
	volume_path(tree, place.mount.point, "tree");
	volume_path(back, place.dir, "tree");
	cr_assert_eq(mkdir(tree, 0755), 0);
	unpack(tree, 0);
	unpack(back, FILES);
	process_sleep_ms(20); /* until the last release is there */
	volume_path(out, place.dir, "events");
	pid = observe_start(&place, "trace --follow --json --all \"$1\"", out);
	observe_wait_readers(&place, 1);
	list(tree, 2 * FILES);
	list(tree, 2 * FILES);
	cr_assert_eq(rmdir(tree), -1);
	observe_wait_lines(out, "\"op\": \"rmdir\"", 1);
	kill(pid, SIGTERM);
	cr_assert_eq(process_wait(pid, 5000, &status), 0);
	observe_json(out,
		     "names = [e for e in events if e['op'] in\n"
		     "         ('lookup', 'getattr') and '/f' in\n"
		     "         (e['src']['path'] or '')]\n"
		     "print(len(names), *names[:3])\n"
		     "print(any('readdir' in e['op'] for e in events))",
		     "0\nTrue\n");
	observe_close(&place);
}

Test(told, asks_for_nothing_after_a_listing, .timeout = 60)
{
	ask_nothing(MODE_PASSTHROUGH);
}

Test(told, asks_for_nothing_without_passthrough, .timeout = 60)
{
	ask_nothing(MODE_NO_PASSTHROUGH);
}
