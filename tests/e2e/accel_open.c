// SPDX-License-Identifier: MIT
/* A file whose writes may be gathered is opened by others. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "accel_scene.h"
#include "sample.h"

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

Test(accel_open, lets_everybody_open_a_new_file, .timeout = 600)
{
	scene_on_each(create_among_openers);
}

/*
 * Who opens it before the first write has it beside passthrough, too; and the
 * kernel refuses passthrough (EIO) once such a handle is mapped.
 */
static void map_before_the_first_write(struct scene *scene, int prot)
{
	int flags = prot & PROT_WRITE ? O_RDWR : O_RDONLY;
	int mapped, other;
	unsigned char *map;
	char path[PATH_MAX];

	scene_copy_begin(scene);
	scene_path(scene, path, "dst");
	mapped = open(path, flags);
	cr_assert(mapped >= 0);
	map = mmap(NULL, PIECE, prot, MAP_SHARED, mapped, 0);
	scene_copy_some(scene, 1);
	if (map != MAP_FAILED)
		cr_expect_eq(map[5], scene->buf[5]);
	scene_copy_some(scene, 40);
	for (int i = 0; i < 3; i++) {
		other = open(path, flags);
		cr_assert(other >= 0, "open %d: %s", i, strerror(errno));
		scene_expect_start(scene, other, "another reader");
	}
	if (map != MAP_FAILED)
		munmap(map, PIECE);
	close(mapped);
	scene_copy_end(scene);
	scene_expect_start(scene, open(path, O_RDONLY), "after all");
}

static void map_for_each_access(struct scene *scene)
{
	map_before_the_first_write(scene, PROT_READ);
	map_before_the_first_write(scene, PROT_READ | PROT_WRITE);
}

Test(accel_open, lets_others_open_what_is_mapped, .timeout = 60)
{
	scene_on_each(map_for_each_access);
}
