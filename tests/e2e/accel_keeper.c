// SPDX-License-Identifier: MIT
/* Gathered writes outlive the daemon; and files are opened while they wait. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "accel_scene.h"
#include "sample.h"

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
	usleep(50000);
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
		for (unsigned int pieces = 1; pieces < 64; pieces += 20) {
			scene_open(&scene, backings[i]);
			kill_the_daemon(&scene, pieces);
			mount_close(&scene.other);
		}
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

/* -------------------------------------------------------- opens at one moment */

struct openers {
	char path[PATH_MAX];
	atomic_uint opened;
	atomic_bool stop;
	atomic_int err;
};

static void *open_again_and_again(void *arg)
{
	struct openers *openers = arg;
	char byte;

	while (!atomic_load(&openers->stop)) {
		int fd = open(openers->path, O_RDONLY);

		if (fd < 0 && errno != ENOENT)
			atomic_store(&openers->err, errno);
		if (fd < 0)
			continue;
		if (read(fd, &byte, 1) < 0)
			atomic_store(&openers->err, errno);
		atomic_fetch_add(&openers->opened, 1);
		close(fd);
	}
	return NULL;
}

/*
 * The kernel refuses (EIO) an open beside passthrough once another has begun
 * passthrough, whichever of them the daemon has answered first.
 */
static void create_among_openers(struct scene *scene)
{
	struct openers openers = { .stop = false };
	pthread_t threads[2];
	int src;

	scene_path(scene, openers.path, "src");
	src = open(openers.path, O_RDONLY);
	cr_assert(src >= 0);
	scene_path(scene, openers.path, "contended");
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL,
					    open_again_and_again, &openers),
			     0);
	for (unsigned int i = 0; i < sample_amount(1500, 4000, 100000); i++) {
		int fd = open(openers.path,
			      O_WRONLY | O_CREAT | (i % 4 ? 0 : O_TRUNC), 0644);

		cr_assert_geq(fd, 0, "round %u: %s", i, strerror(errno));
		cr_assert_eq(write(fd, scene->buf, PIECE), PIECE);
		cr_assert_eq(close(fd), 0);
		if (i % 2)
			cr_assert_eq(unlink(openers.path), 0);
	}
	atomic_store(&openers.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	close(src);
	cr_expect_eq(atomic_load(&openers.err), 0, "%s",
		     strerror(atomic_load(&openers.err)));
	cr_expect_gt(atomic_load(&openers.opened), 100u);
}

Test(accel_keeper, lets_everybody_open_a_new_file, .timeout = 600)
{
	static struct scene scene;

	for (size_t i = 0; i < 2; i++) {
		if (!backing_is_selected(backings[i]))
			continue;
		scene_open(&scene, backings[i]);
		create_among_openers(&scene);
		scene_close(&scene);
	}
}
