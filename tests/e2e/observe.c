// SPDX-License-Identifier: MIT
/* A mount with known files, known work on it, and what the tool says then. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe.h"
#include "sample.h"

#define WAIT_MS 10000

void observe_open(enum mount_mode mode, const char *options,
		  struct observe_place *ret_place)
{
	struct observe_place *place = ret_place;
	char path[PATH_MAX];
	int fd;

	if (!backing_is_selected(BACKING_BTRFS))
		volume_skip("btrfs", "not selected");
	volume_get(BACKING_BTRFS, 0, &place->volume);
	volume_dir(&place->volume, "observe", place->dir);
	volume_path(path, place->dir, "data");
	sample_file(path, OBSERVE_SIZE, 1);
	volume_path(path, place->dir, "holes");
	sample_file(path, OBSERVE_SIZE / 2, 2);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && ftruncate(fd, OBSERVE_SIZE) == 0 &&
		  pwrite(fd, "end", 3, OBSERVE_SIZE - 3) == 3);
	close(fd);
	sync();
	mount_open_mode(place->dir, mode, options, &place->mount);
}

void observe_close(struct observe_place *place)
{
	mount_close(&place->mount);
}

static int open_file(const struct observe_place *place, const char *name,
		     int flags)
{
	char path[PATH_MAX];

	volume_path(path, place->mount.point, name);
	return open(path, flags | O_CLOEXEC, 0644);
}

int observe_file(const struct observe_place *place, const char *name, int flags)
{
	int fd = open_file(place, name, flags);

	cr_assert_geq(fd, 0, "%s: %s", name, strerror(errno));
	return fd;
}

ssize_t observe_copy(int src, off_t src_at, int dst, off_t dst_at,
		     size_t length)
{
	ssize_t n = copy_file_range(src, &src_at, dst, &dst_at, length, 0);

	return n < 0 ? -errno : n;
}

struct worker {
	const struct observe_place *place;
	unsigned int rounds, number;
	unsigned int wrong; /* answers that were not as they should be */
};

/* Asserts are for the test's own thread. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	char name[16];
	int data, holes, dst;
	ssize_t n;

	snprintf(name, sizeof(name), "dst-%u", worker->number);
	data = open_file(worker->place, "data", O_RDONLY);
	holes = open_file(worker->place, "holes", O_RDONLY);
	dst = open_file(worker->place, name, O_RDWR | O_CREAT);
	for (unsigned int i = 0; i < worker->rounds; i++) {
		n = observe_copy(data, 0, dst, 0, OBSERVE_SIZE);
		worker->wrong += n != (ssize_t)OBSERVE_SIZE;
		n = observe_copy(data, 1, dst, 1, OBSERVE_ODD);
		worker->wrong += n != (ssize_t)OBSERVE_ODD;
		n = observe_copy(holes, 0, dst, 0, OBSERVE_SIZE);
		worker->wrong += n != -EOPNOTSUPP && n != -EINVAL;
	}
	close(data);
	close(holes);
	close(dst);
	return NULL;
}

void observe_work(const struct observe_place *place, unsigned int rounds)
{
	struct worker workers[OBSERVE_THREADS];
	pthread_t threads[OBSERVE_THREADS];

	for (unsigned int i = 0; i < OBSERVE_THREADS; i++) {
		workers[i] = (struct worker){ place, rounds, i, 0 };
		cr_assert_eq(pthread_create(&threads[i], NULL, work,
					    &workers[i]),
			     0);
	}
	for (unsigned int i = 0; i < OBSERVE_THREADS; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(workers[i].wrong, 0, "thread %u", i);
	}
}

void observe_stats(const struct observe_place *place,
		   struct offlay_ioc_stats *ret_stats)
{
	int fd = open(place->mount.point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->version = OFFLAY_ABI_VERSION;
	cr_assert_eq(ioctl(fd, OFFLAY_IOC_STATS, ret_stats), 0, "%s",
		     strerror(errno));
	close(fd);
}

void observe_wait_readers(const struct observe_place *place, uint64_t n)
{
	struct offlay_ioc_stats stats;

	for (int ms = 0; ms < WAIT_MS; ms += 10) {
		observe_stats(place, &stats);
		if (stats.gauges[OFFLAY_GAUGE_TRACE_READERS] == n)
			return;
		process_sleep_ms(10);
	}
	cr_assert_fail(
		"%llu readers, not %llu",
		(unsigned long long)stats.gauges[OFFLAY_GAUGE_TRACE_READERS],
		(unsigned long long)n);
}

int observe_tool(const struct observe_place *place, const struct user *user,
		 const char *line, struct command_result *ret)
{
	char script[1024];
	char *argv[] = {
		"sh", "-c", script, "sh", (char *)(uintptr_t)place->mount.point,
		NULL
	};

	snprintf(script, sizeof(script), "%s %s", mount_tool_path(), line);
	return command_run(argv, user, 60, ret);
}

pid_t observe_start(const struct observe_place *place, const char *line,
		    const char *out)
{
	char script[1024];
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(script, sizeof(script), "exec %s %s >'%s'", mount_tool_path(),
		 line, out);
	execl("/bin/sh", "sh", "-c", script, "sh", place->mount.point, NULL);
	_exit(127);
}

uint64_t observe_lines(const char *path, const char *part)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	uint64_t n = 0;

	if (!file)
		return 0;
	while (getline(&line, &size, file) > 0)
		n += strstr(line, part) != NULL;
	free(line);
	fclose(file);
	return n;
}

void observe_wait_lines(const char *path, const char *part, uint64_t n)
{
	uint64_t seen = 0;

	for (int ms = 0; ms < WAIT_MS; ms += 50) {
		seen = observe_lines(path, part);
		if (seen >= n)
			break;
		process_sleep_ms(50);
	}
	cr_assert_eq(seen, n, "%s: %llu lines with %s, not %llu", path,
		     (unsigned long long)seen, part, (unsigned long long)n);
}

void observe_json(const char *path, const char *program, const char *expected)
{
	struct command_result result;
	char script[4096];

	snprintf(script, sizeof(script),
		 "import json, sys\n"
		 "events = [json.loads(line) for line in open(sys.argv[1])]\n"
		 "%s\n",
		 program);
	COMMAND(&result, "python3", "-c", script, (char *)(uintptr_t)path);
	cr_assert_eq(result.status, 0, "%s: %s", path, result.err);
	cr_assert_str_eq(result.out, expected);
}
