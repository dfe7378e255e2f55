/* SPDX-License-Identifier: MIT */
/* A copy in small writes that stands still: accel_scene.c. */
#ifndef E2E_ACCEL_SCENE_H
#define E2E_ACCEL_SCENE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "mount.h"
#include "volume.h"

#define MIB   (1u << 20)
#define PIECE 4096u	  /* of each write, if not scene->piece */
#define LARGE (64u << 10) /* is not copied any more */
#define SIZE  (6u << 20)  /* of the source */

/* A copy that stands still after some small writes. */
struct scene {
	struct volume volume;
	struct mount mount, other; /* two over one directory */
	char dir[PATH_MAX];
	int src, dst;
	size_t piece; /* of each write */
	uint64_t at;  /* so much is written */
	unsigned char buf[SIZE];
};

/* Writes are of PIECE at first. */
void scene_open(struct scene *scene, enum backing backing);
void scene_close(struct scene *scene);
/* In a scene of its own on each backing that is selected. */
void scene_on_each(void (*run)(struct scene *scene));
/* By a program that was never seen before. */
void scene_copy_begin(struct scene *scene);
void scene_copy_some(struct scene *scene, unsigned int pieces);
void scene_copy_end(struct scene *scene);
/* @fd, which is closed, has exactly what was written. */
void scene_expect_start(const struct scene *scene, int fd, const char *who);
/* The same on the backing. */
void scene_look_below(struct scene *scene);
void scene_path(const struct scene *scene, char path[PATH_MAX],
		const char *name);
/* Is anything of the copy not in the file yet?  The only way to know it. */
bool scene_is_gathered(const struct scene *scene);

#endif
