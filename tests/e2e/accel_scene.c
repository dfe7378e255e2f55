// SPDX-License-Identifier: MIT
/* What the tests of gathered writes share. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "accel_scene.h"
#include "sample.h"

void scene_open(struct scene *scene, enum backing backing)
{
	char path[PATH_MAX];
	int fd;

	volume_get(backing, 0, &scene->volume);
	volume_dir(&scene->volume, "gather", scene->dir);
	volume_path(path, scene->dir, "src");
	scene->piece = PIECE;
	sample_file(path, SIZE, 3);
	fd = open(path, O_RDONLY);
	cr_assert_eq(pread(fd, scene->buf, SIZE, 0), SIZE);
	cr_assert_eq(fsync(fd), 0);
	close(fd);
	mount_open(scene->dir, "accel", &scene->mount);
	mount_open(scene->dir, "accel", &scene->other);
}

void scene_close(struct scene *scene)
{
	mount_close(&scene->mount);
	mount_close(&scene->other);
}

void scene_on_each(void (*run)(struct scene *scene))
{
	static const enum backing backings[] = { BACKING_BTRFS, BACKING_XFS };
	static struct scene scene;

	for (size_t i = 0; i < 2; i++) {
		if (!backing_is_selected(backings[i]))
			continue;
		scene_open(&scene, backings[i]);
		run(&scene);
		scene_close(&scene);
	}
}

void scene_copy_begin(struct scene *scene)
{
	static unsigned int count;
	char path[PATH_MAX], name[16];

	/* A program of its own: no other speaks for it, and none has it open. */
	snprintf(name, sizeof(name), "copier %u", count++);
	prctl(PR_SET_NAME, name);
	usleep(20000);

	volume_path(path, scene->mount.point, "src");
	scene->src = open(path, O_RDONLY);
	volume_path(path, scene->mount.point, "dst");
	unlink(path);
	scene->dst = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	cr_assert(scene->src >= 0 && scene->dst >= 0);
	scene->at = 0;
}

void scene_copy_some(struct scene *scene, unsigned int pieces)
{
	while (pieces--) {
		cr_assert_eq(write(scene->dst, scene->buf + scene->at,
				   scene->piece),
			     (ssize_t)scene->piece);
		scene->at += scene->piece;
	}
}

void scene_copy_end(struct scene *scene)
{
	cr_assert_eq(close(scene->src), 0);
	cr_assert_eq(close(scene->dst), 0);
}

void scene_expect_start(const struct scene *scene, int fd, const char *who)
{
	static unsigned char now[SIZE];

	cr_assert_geq(fd, 0, "%s: %s", who, strerror(errno));
	cr_expect_eq(pread(fd, now, SIZE, 0), (ssize_t)scene->at, "%s: size",
		     who);
	cr_expect_eq(memcmp(now, scene->buf, scene->at), 0, "%s: bytes", who);
	close(fd);
}

void scene_path(const struct scene *scene, char path[PATH_MAX],
		const char *name)
{
	volume_path(path, scene->mount.point, name);
}

bool scene_is_gathered(const struct scene *scene)
{
	char path[PATH_MAX];
	struct stat st;

	volume_path(path, scene->dir, "dst");
	return stat(path, &st) == 0 && (uint64_t)st.st_size < scene->at;
}

void scene_look_below(struct scene *scene)
{
	char path[PATH_MAX];

	volume_path(path, scene->dir, "dst");
	scene_expect_start(scene, open(path, O_RDONLY),
			   "reader of the backing");
}
