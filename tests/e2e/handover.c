// SPDX-License-Identifier: MIT
/* Threads that lend their processor to a caller, and who must not wait for it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mount.h"
#include "volume.h"

#define REQUESTS 3000

/* A request for each: the mount does not cache. */
static void ask(int fd, int count)
{
	struct statx stx;

	for (int i = 0; i < count; i++)
		cr_assert_eq(statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
				   STATX_BASIC_STATS, &stx),
			     0);
}

static int open_file(const struct mount *mount)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, mount->point, "file");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	return fd;
}

static long number_of(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) ? 0
						 : atol(line + strlen(word));
}

static DIR *open_tasks(const struct mount *mount)
{
	char path[64];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)mount->pid);
	tasks = opendir(path);
	cr_assert_not_null(tasks);
	return tasks;
}

/* How often the daemon's threads went to sleep by themselves. */
static long sleeps(const struct mount *mount)
{
	DIR *tasks = open_tasks(mount);
	char path[384], line[256];
	struct dirent *entry;
	long count = 0;

	while ((entry = readdir(tasks))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/status",
			 (int)mount->pid, entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
		while (file && fgets(line, sizeof(line), file))
			count += number_of(line, "voluntary_ctxt_switches:");
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return count;
}

static int policies(const struct mount *mount, int policy)
{
	DIR *tasks = open_tasks(mount);
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.' &&
		    sched_getscheduler(atoi(entry->d_name)) == policy)
			count++;
	closedir(tasks);
	return count;
}

static int processors(void)
{
	cpu_set_t cpus;

	cr_assert_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	return CPU_COUNT(&cpus);
}

static void skip_on_one_processor(void)
{
	if (processors() < 2)
		cr_skip_test("one processor: nothing to hand over\n");
}

static void open_mount(const char *options, struct mount *ret_mount)
{
	char source[PATH_MAX];
	struct volume volume;

	volume_get(BACKING_TMPFS, 0, &volume);
	volume_dir(&volume, "source", source);
	mount_open(source, options, ret_mount);
}

/* What is handed over needs no wake-up: the request waits for the thread. */
Test(handover, spares_the_wake_ups, .timeout = 120)
{
	long long end = process_now_ms() + 60000;
	long least = LONG_MAX;
	struct mount mount;
	int fd;

	skip_on_one_processor();
	open_mount(NULL, &mount);
	fd = open_file(&mount);
	/* Nothing is lent for up to ten seconds where others had to wait. */
	while (least >= 500 && process_now_ms() < end) {
		long before = sleeps(&mount), count;

		ask(fd, REQUESTS);
		count = (sleeps(&mount) - before) * 1000 / REQUESTS;
		if (count < least)
			least = count;
	}
	cr_expect_lt(least, 500, "%ld sleeps for 1000 requests", least);
	close(fd);
	mount_close(&mount);
}

static pid_t start_asking(int fd)
{
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!pid)
		ask(fd, REQUESTS);
	return pid;
}

static void stop_asking(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
}

/* Whether a thread is seen with idle priority while one caller is served. */
static bool lends(const char *options, int ms)
{
	long long end = process_now_ms() + ms;
	struct mount mount;
	bool seen = false;
	pid_t pid;
	int fd;

	open_mount(options, &mount);
	fd = open_file(&mount);
	pid = start_asking(fd);
	while (!seen && process_now_ms() < end) {
		seen = policies(&mount, SCHED_IDLE) > 0;
		process_sleep_ms(1);
	}
	stop_asking(pid);
	process_sleep_ms(50);
	cr_expect_eq(policies(&mount, SCHED_IDLE), 0,
		     "a thread kept idle priority");
	close(fd);
	mount_close(&mount);
	return seen;
}

Test(handover, lends_by_idle_priority_and_takes_it_back, .timeout = 120)
{
	skip_on_one_processor();
	cr_expect(lends(NULL, 20000));
	cr_expect_not(lends("no_handover", 1000));
}

struct pair {
	volatile int ready, done;
};

static struct pair *share_pair(void)
{
	struct pair *pair = mmap(NULL, sizeof(*pair), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(pair, MAP_FAILED);
	return pair;
}

/* Is lent the processor, and does not give it back by itself. */
static void be_busy(int fd, struct pair *pair)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!pair->done) {
		long long end;

		ask(fd, 200);
		pair->ready = 1;
		end = process_now_ms() + 3000;
		while (!pair->done && process_now_ms() < end)
			;
	}
}

/*
 * While one caller computes on the processor that it was lent, another one
 * asks the only thread.
 */
Test(handover, keeps_no_other_caller_waiting, .timeout = 120)
{
	struct pair *pair = share_pair();
	long long worst = 0, total = 0;
	struct mount mount;
	int fd, status;
	pid_t pid;

	skip_on_one_processor();
	open_mount("threads=1", &mount);
	fd = open_file(&mount);
	pid = fork();
	cr_assert(pid >= 0);
	if (!pid) {
		be_busy(fd, pair);
		_exit(0);
	}
	while (!pair->ready)
		process_sleep_ms(1);
	for (int i = 0; i < 300; i++) {
		long long start = process_now_ms(), took;

		ask(fd, 1);
		took = process_now_ms() - start;
		total += took;
		if (took > worst)
			worst = took;
		process_sleep_ms(7);
	}
	pair->done = 1;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_expect_lt(worst, 1000, "one request took %lld ms", worst);
	cr_expect_lt(total, 300 * 20, "300 requests took %lld ms", total);
	close(fd);
	mount_close(&mount);
}

/* An administrator's choice of processors is kept to. */
Test(handover, stays_on_its_processors, .timeout = 60)
{
	cpu_set_t cpus, one, now;
	struct mount mount;
	struct dirent *entry;
	DIR *tasks;
	int cpu = 0, fd;

	skip_on_one_processor();
	cr_assert_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	open_mount(NULL, &mount);
	fd = open_file(&mount);
	ask(fd, 100);
	tasks = open_tasks(&mount);
	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			sched_setaffinity(atoi(entry->d_name), sizeof(one),
					  &one);
	CPU_CLR(cpu, &cpus);
	cr_assert_eq(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
	ask(fd, REQUESTS);
	rewinddir(tasks);
	while ((entry = readdir(tasks))) {
		if (entry->d_name[0] == '.' ||
		    sched_getaffinity(atoi(entry->d_name), sizeof(now), &now))
			continue;
		cr_expect(CPU_EQUAL(&now, &one), "thread %s", entry->d_name);
	}
	closedir(tasks);
	close(fd);
	mount_close(&mount);
}

/* What a thread that keeps to one processor begins does not. */
Test(handover, binds_no_other_threads, .timeout = 60)
{
	char source[PATH_MAX];
	cpu_set_t cpus, now;
	struct dirent *entry;
	struct volume volume;
	struct mount mount;
	int fd, threads = 0;
	DIR *tasks;

	skip_on_one_processor();
	cr_assert_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	volume_get(BACKING_EXT4, 0, &volume);
	volume_dir(&volume, "source", source);
	mount_open(source, NULL, &mount);
	fd = open_file(&mount);
	/* Another thread is begun, to listen during the second. */
	ask(fd, 200);
	cr_assert_eq(fsync(fd), 0);
	process_sleep_ms(200);
	tasks = open_tasks(&mount);
	while ((entry = readdir(tasks))) {
		if (entry->d_name[0] == '.' ||
		    sched_getaffinity(atoi(entry->d_name), sizeof(now), &now))
			continue;
		threads++;
		cr_expect(CPU_EQUAL(&now, &cpus), "thread %s", entry->d_name);
	}
	cr_expect_gt(threads, 3);
	closedir(tasks);
	close(fd);
	mount_close(&mount);
}

/* A user's daemon cannot come back from idle priority, so never goes there. */
Test(handover, leaves_an_unprivileged_daemon_alone, .timeout = 60)
{
	char source[PATH_MAX];
	struct volume volume;
	struct mount mount;
	int fd;

	volume_get(BACKING_TMPFS, 0, &volume);
	volume_dir(&volume, "source", source);
	mount_open_mode(source, MODE_USER, NULL, &mount);
	cr_assert_eq(user_enter(&mount_user), 0);
	fd = open_file(&mount);
	for (int i = 0; i < 20; i++) {
		ask(fd, 100);
		cr_expect_eq(policies(&mount, SCHED_IDLE), 0);
	}
	close(fd);
	cr_assert_eq(user_leave(), 0);
	mount_close(&mount);
}

VOLUME_MAIN;
