// SPDX-License-Identifier: MIT
/* Gathered writes outlive the daemon. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "accel_scene.h"

static const enum backing backings[] = { BACKING_BTRFS, BACKING_XFS };

/* ------------------------------------------------------------------ the keeper */

/* A process of this name whose parent is @parent, or 0. */
static pid_t look_for_keeper(pid_t parent)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	pid_t found = 0;

	while ((entry = readdir(proc)) && !found) {
		char path[300], name[32] = "";
		int pid, ppid = 0;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		file = atoi(entry->d_name) ? fopen(path, "r") : NULL;
		if (!file)
			continue;
		if (fscanf(file, "%d (%31[^)]) %*c %d", &pid, name, &ppid) ==
			    3 &&
		    ppid == parent && !strcmp(name, "offlay-keeper"))
			found = pid;
		fclose(file);
	}
	closedir(proc);
	return found;
}

/* It has been started, but may not have its name yet. */
static pid_t find_keeper(pid_t parent)
{
	pid_t keeper = 0;

	for (int i = 0; i < 1000 && !keeper; i++) {
		keeper = look_for_keeper(parent);
		if (!keeper)
			usleep(1000);
	}
	return keeper;
}

/* Whether or not somebody has asked how. */
static bool has_ended(pid_t pid)
{
	char path[64], target[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	for (int i = 0; i < 5000; i++) {
		if (readlink(path, target, sizeof(target)) < 0)
			return true;
		usleep(1000);
	}
	return false;
}

/* What was answered is there as soon as the mount has gone. */
static void kill_the_daemon(struct scene *scene, unsigned int pieces)
{
	char path[PATH_MAX];
	pid_t keeper;

	scene_copy_begin(scene);
	scene_copy_some(scene, 1);
	keeper = find_keeper(scene->mount.pid);
	cr_assert(keeper);
	usleep(150000);
	scene_copy_some(scene, pieces);
	cr_assert(scene_is_gathered(scene));
	cr_assert_eq(kill(scene->mount.pid, SIGKILL), 0);
	cr_assert(has_ended(keeper));
	volume_path(path, scene->dir, "dst");
	scene_expect_start(scene, open(path, O_RDONLY), "after the daemon");
	close(scene->src);
	close(scene->dst);
	mount_kill(&scene->mount);
}

Test(accel_keeper, outlives_the_daemon, .timeout = 120)
{
	static struct scene scene;

	for (size_t i = 0; i < 2; i++) {
		if (!backing_is_selected(backings[i]))
			continue;
		/* Large ones wait for each other until there are 512 KiB. */
		for (unsigned int pieces = 1; pieces < 64; pieces += 10) {
			scene_open(&scene, backings[i]);
			scene.piece = pieces % 20 > 10 ? LARGE : PIECE;
			kill_the_daemon(&scene, scene.piece == LARGE
							? pieces / 10
							: pieces);
			mount_close(&scene.other);
		}
	}
}

static void kill_when_all_is_shared(struct scene *scene)
{
	char path[PATH_MAX];
	int fd;

	scene->piece = 8 * LARGE;
	scene_copy_begin(scene);
	scene_copy_some(scene, 8);
	for (int i = 0; i < 80 && scene_is_gathered(scene); i++)
		usleep(1000);
	cr_assert_eq(kill(scene->mount.pid, SIGKILL), 0);
	usleep(300000);
	/* It would wait for lease-break-time. */
	volume_path(path, scene->dir, "dst");
	fd = open(path, O_RDONLY | O_NONBLOCK);
	cr_expect_geq(fd, 0, "%s", strerror(errno));
	scene_expect_start(scene, fd, "after the daemon");
	close(scene->src);
	close(scene->dst);
	mount_kill(&scene->mount);
}

/* The lease lasts longer than what it was taken for. */
Test(accel_keeper, gives_a_lease_back, .timeout = 120)
{
	static struct scene scene;

	for (size_t i = 0; i < 2; i++) {
		if (!backing_is_selected(backings[i]))
			continue;
		scene_open(&scene, backings[i]);
		kill_when_all_is_shared(&scene);
		mount_close(&scene.other);
	}
}

/* On XFS; the copy is done when it returns. */
static pid_t copy_with_keeper(struct scene *scene)
{
	pid_t keeper;

	if (!backing_is_selected(BACKING_XFS))
		volume_skip("xfs", "not selected");
	scene_open(scene, BACKING_XFS);
	scene_copy_begin(scene);
	scene_copy_some(scene, 3);
	keeper = find_keeper(scene->mount.pid);
	cr_assert(keeper);
	scene_copy_end(scene);
	return keeper;
}

/* Without a keeper nothing is answered that is not in the file. */
Test(accel_keeper, needs_a_keeper, .timeout = 60)
{
	static struct scene scene;
	pid_t keeper;

	keeper = copy_with_keeper(&scene);
	cr_assert_eq(kill(keeper, SIGKILL), 0);
	scene_copy_begin(&scene);
	scene_copy_some(&scene, 3);
	cr_expect_not(scene_is_gathered(&scene));
	scene_look_below(&scene);
	scene_copy_end(&scene);
	scene_close(&scene);
}

Test(accel_keeper, leaves_no_keeper_behind, .timeout = 60)
{
	static struct scene scene;
	pid_t keeper;

	keeper = copy_with_keeper(&scene);
	scene_close(&scene);
	cr_expect(has_ended(keeper));
}
