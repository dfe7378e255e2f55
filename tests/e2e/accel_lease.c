// SPDX-License-Identifier: MIT
/* What a copy holds on to, and who comes to it meanwhile. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "accel_scene.h"
#include "extents.h"
#include "process.h"

/* ------------------------------------------------------------ who will not wait */

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Another program comes again and again, while the copy goes on. */
static void open_without_waiting(struct scene *scene)
{
	double until = seconds() + 0.15;
	unsigned int opened = 0;
	char path[PATH_MAX];

	scene_copy_begin(scene);
	scene_copy_some(scene, 20);
	volume_path(path, scene->dir, "dst");
	while (seconds() < until) {
		int fd = open(path, O_RDONLY | O_NONBLOCK);

		cr_assert(fd >= 0 || errno == EAGAIN);
		opened += fd >= 0;
		if (fd >= 0)
			close(fd);
		usleep(5000);
		if (scene->at < SIZE / 2)
			scene_copy_some(scene, 5);
	}
	/* The first one or two fail. */
	cr_expect_gt(opened, 10u, "%u", opened);
	scene_copy_end(scene);
	scene_look_below(scene);
}

Test(accel_lease, lets_others_in_who_do_not_wait, .timeout = 60)
{
	scene_on_each(open_without_waiting);
}

/* ------------------------------------------------- writes that promise more */

static void sync_the_file(const char *path)
{
	int fd = open(path, O_RDONLY), flags = 0;

	cr_assert_eq(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
	flags |= FS_SYNC_FL;
	cr_assert_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	close(fd);
}

static void give_capabilities(const char *path)
{
	static const unsigned char value[20] = { 1, 0, 0, 2, 0, 4 };

	cr_assert_eq(setxattr(path, "security.capability", value, sizeof(value),
			      0),
		     0, "%s", strerror(errno));
}

static void expect_no_gathering(struct scene *scene)
{
	static void (*const marks[])(const char *path) = {
		sync_the_file,
		give_capabilities,
	};
	char path[PATH_MAX];

	volume_path(path, scene->dir, "dst");
	for (size_t i = 0; i < 2; i++) {
		scene_copy_begin(scene);
		marks[i](path);
		scene_copy_some(scene, 1);
		cr_expect_lt(getxattr(path, "security.capability", NULL, 0), 0);
		for (int pieces = 0; pieces < 10; pieces++) {
			scene_copy_some(scene, 1);
			if (!i)
				cr_expect_not(scene_is_gathered(scene));
		}
		scene_copy_end(scene);
		scene_look_below(scene);
	}
}

Test(accel_lease, gathers_nothing_that_must_be_on_the_disk, .timeout = 60)
{
	scene_on_each(expect_no_gathering);
}

/* ---------------------------------------------------- a lease that runs out */

#define BREAK_TIME "/proc/sys/fs/lease-break-time"

static void set_break_time(int value)
{
	FILE *file = fopen(BREAK_TIME, "w");

	cr_assert(file);
	fprintf(file, "%d\n", value);
	cr_assert_eq(fclose(file), 0);
}

static int break_time(void)
{
	FILE *file = fopen(BREAK_TIME, "r");
	int value = 0;

	cr_assert(file && fscanf(file, "%d", &value) == 1);
	fclose(file);
	return value;
}

/* On a busy machine it may have looked after them just before. */
static void stop_while_gathered(struct scene *scene)
{
	int tries = 0;

	do {
		cr_assert_lt(tries++, 20);
		kill(scene->mount.pid, SIGCONT);
		scene_copy_some(scene, 20);
		cr_assert_eq(kill(scene->mount.pid, SIGSTOP), 0);
		process_sleep_ms(20);
	} while (!scene_is_gathered(scene));
}

/* The daemon stands still for longer than others wait for it. */
static void run_out(struct scene *scene)
{
	static char now[256];
	char path[PATH_MAX];
	int fd, err;

	scene_copy_begin(scene);
	scene_copy_some(scene, 70);
	usleep(150000);
	stop_while_gathered(scene);
	volume_path(path, scene->dir, "dst");
	fd = open(path, O_WRONLY | O_TRUNC);
	err = errno;
	if (fd >= 0) {
		cr_expect_eq(write(fd, "new", 3), 3);
		close(fd);
	}
	cr_assert_eq(kill(scene->mount.pid, SIGCONT), 0);
	cr_assert_geq(fd, 0, "%s", strerror(err));
	usleep(300000);
	/* What came after must not come before. */
	fd = open(path, O_RDONLY);
	cr_expect_eq(read(fd, now, sizeof(now)), 3);
	cr_expect_eq(memcmp(now, "new", 3), 0);
	close(fd);
	cr_expect_eq(fsync(scene->dst), -1);
	cr_expect_eq(errno, EIO);
	cr_expect_eq(close(scene->dst), -1);
	cr_expect_eq(errno, EIO);
	close(scene->src);
}

Test(accel_lease, leaves_alone_what_others_have_made_meanwhile, .timeout = 60)
{
	int before = break_time();

	set_break_time(1);
	scene_on_each(run_out);
	set_break_time(before);
}

/* ------------------------------------------------------------ removed sources */

/* Descriptors of the daemon for what has no name any more. */
static unsigned int count_removed(const struct scene *scene)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct dirent *entry;
	unsigned int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)scene->mount.pid);
	dir = opendir(path);
	cr_assert(dir);
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target,
				       sizeof(target) - 1);

		target[n < 0 ? 0 : n] = '\0';
		count += strstr(target, "/src (deleted)") != NULL;
	}
	closedir(dir);
	return count;
}

/* The destination stays open for whatever may come. */
static void remove_the_source(struct scene *scene)
{
	char path[PATH_MAX];

	scene->piece = LARGE;
	scene_copy_begin(scene);
	scene_copy_some(scene, 50);
	cr_assert_eq(close(scene->src), 0);
	scene_path(scene, path, "src");
	cr_assert_eq(unlink(path), 0);
	for (int i = 0; i < 300 && count_removed(scene); i++)
		usleep(10000);
	cr_expect_eq(count_removed(scene), 0, "%u descriptors",
		     count_removed(scene));
	scene_copy_some(scene, 1);
	cr_assert_eq(close(scene->dst), 0);
	scene_look_below(scene);
}

Test(accel_lease, lets_a_removed_source_go, .timeout = 60)
{
	scene_on_each(remove_the_source);
}

/* -------------------------------------------------------------- who may know */

/* Equal bytes by whoever may not read the source. */
static void write_as_another(struct scene *scene)
{
	struct extent_usage usage;
	char path[PATH_MAX];
	int status;
	pid_t pid;

	scene->piece = LARGE;
	scene_copy_begin(scene);
	scene_copy_some(scene, 16);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (setresgid(4242, 4242, 4242) || setresuid(4242, 4242, 4242))
			_exit(1);
		_exit(pwrite(scene->dst, scene->buf + scene->at, MIB,
			     (off_t)scene->at) != MIB);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	scene->at += MIB;
	scene_copy_end(scene);
	scene_look_below(scene);
	volume_path(path, scene->dir, "dst");
	cr_assert_eq(extents_usage(path, &usage), 0);
	cr_expect_eq(usage.shared, MIB, "%llu bytes shared",
		     (unsigned long long)usage.shared);
}

Test(accel_lease, asks_again_who_writes, .timeout = 60)
{
	scene_on_each(write_as_another);
}
