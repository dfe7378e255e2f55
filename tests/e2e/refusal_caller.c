// SPDX-License-Identifier: MIT
/* Who asks: repeats, forks, other pid namespaces, killed and mapped callers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "refusal.h"
#include "sample.h"

#define BLOCK 4096

struct files {
	struct refusal_place place;
	int src, dst;
	uint64_t hash; /* of the destination */
	struct stat st;
};

static void files_open(const struct refusal_case *where, struct files *files)
{
	char path[PATH_MAX];

	refusal_place_open(where, &files->place);
	refusal_make(&files->place, "src", true);
	refusal_make(&files->place, "dst", false);
	files->src = refusal_open(&files->place, "src", O_RDONLY);
	files->dst = refusal_open(&files->place, "dst", O_RDWR);
	cr_assert_eq(sample_hash(files->dst, &files->hash), 0);
	volume_path(path, files->place.below, "dst");
	cr_assert_eq(stat(path, &files->st), 0);
}

/* Not a byte, not the size, not a time. */
static void files_check(const struct files *files, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	uint64_t hash;
	int fd;

	volume_path(path, files->place.below, "dst");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(sample_hash(fd, &hash), 0);
	cr_expect_eq(hash, files->hash, "%s: the backing's data changed", name);
	close(fd);
	cr_assert_eq(sample_hash(files->dst, &hash), 0);
	cr_expect_eq(hash, files->hash, "%s: the mount's data changed", name);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_size, files->st.st_size, "%s", name);
	cr_expect_eq(memcmp(&st.st_mtim, &files->st.st_mtim,
			    sizeof(st.st_mtim)),
		     0, "%s: mtime changed", name);
	cr_expect_eq(memcmp(&st.st_ctim, &files->st.st_ctim,
			    sizeof(st.st_ctim)),
		     0, "%s: ctime changed", name);
}

static void files_close(struct files *files)
{
	close(files->src);
	close(files->dst);
	refusal_place_close(&files->place);
}

static ssize_t copy_once(const struct files *files)
{
	return refusal_copy(files->src, 0, files->dst, 0, REFUSAL_SIZE);
}

/* Runs @each in every case, between opening and closing the files. */
static void in_each_case(void (*each)(struct files *files, const char *name))
{
	const struct refusal_case *where = NULL;

	while ((where = refusal_next_case(where)) != NULL) {
		struct files files;

		files_open(where, &files);
		each(&files, refusal_case_name(where));
		files_close(&files);
	}
}

static void ask_often(struct files *files, const char *name)
{
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(copy_once(files), -EOPNOTSUPP, "%s, time %d", name,
			     i);
	files_check(files, name);
}

Test(refusal, a_thousand_repeats_are_refused_and_change_nothing, .timeout = 120)
{
	in_each_case(ask_often);
}

static void ask_everywhere(struct files *files, const char *name)
{
	static const struct {
		off_t src, dst;
		size_t length;
	} rows[] = {
		{ 0, 0, 1 },
		{ 1, 1, 1 },
		{ 0, 1, BLOCK },
		{ 12345, 54321, 77777 },
		{ REFUSAL_SIZE / 2 + 5, 0, BLOCK }, /* of the hole */
		{ REFUSAL_SIZE - 1, 0, 100 },	    /* shortened to one byte */
		{ 0, REFUSAL_SIZE, BLOCK },	    /* would grow the file */
		{ 0, 10 * REFUSAL_SIZE, BLOCK },
		{ 0, 0, SIZE_MAX >> 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(refusal_copy(files->src, rows[i].src, files->dst,
					  rows[i].dst, rows[i].length),
			     -EOPNOTSUPP, "%s, row %zu: %s", name, i,
			     strerror(errno));
	cr_expect_eq(refusal_copy(files->src, REFUSAL_SIZE, files->dst, 0, 5),
		     0, "%s: end of file", name);
	files_check(files, name);
}

Test(refusal, any_range_is_refused, .timeout = 120)
{
	in_each_case(ask_everywhere);
}

/* The parent is refused; its child writes at the same place, and so on. */
static void fork_between(struct files *files, const char *name)
{
	char buf[BLOCK];

	for (int i = 0; i < 50; i++) {
		int status;
		pid_t pid;

		cr_assert_eq(copy_once(files), -EOPNOTSUPP, "%s", name);
		pid = fork();
		cr_assert_geq(pid, 0);
		if (!pid) {
			ssize_t n = pread(files->src, buf, BLOCK, 0);

			if (n == BLOCK)
				n = pwrite(files->dst, buf, BLOCK, 0);
			if (n == BLOCK && copy_once(files) != -EOPNOTSUPP)
				_exit(2);
			_exit(n == BLOCK ? 0 : 1);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_expect_eq(status, 0, "%s: child ended with %x", name,
			     status);
		memset(buf, i, sizeof(buf));
		cr_expect_eq(pwrite(files->dst, buf, BLOCK, 0), BLOCK, "%s",
			     name);
	}
}

Test(refusal, a_fork_between_refusal_and_write, .timeout = 120)
{
	in_each_case(fork_between);
}

/* Its pid there is 1; the daemon sees another, or none from a sibling. */
static int in_namespace(void *arg)
{
	const struct files *files = arg;
	char buf[BLOCK];
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID) < 0)
		return 100;
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 50; i++) {
			if (copy_once(files) != -EOPNOTSUPP)
				_exit(2);
			if (pread(files->src, buf, BLOCK, 0) != BLOCK)
				_exit(3);
			if (pwrite(files->dst, buf, BLOCK, 0) != BLOCK)
				_exit(4);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

static void ask_from_namespace(struct files *files, const char *name)
{
	cr_expect_eq(user_call(NULL, in_namespace, files, 30), 0, "%s", name);
}

Test(refusal, a_caller_in_a_pid_namespace_below, .timeout = 120)
{
	in_each_case(ask_from_namespace);
}

/* The daemon in a namespace of its own: all callers are pid 0 to it. */
static int outside_namespace(void *arg)
{
	const struct refusal_case *where = arg;
	struct files files;
	char buf[BLOCK];
	int result = 0;

	if (unshare(CLONE_NEWPID) < 0)
		return 100;
	/* mount_start() forks: the daemon is the first in the namespace. */
	files_open(where, &files);
	for (int i = 0; i < 100 && !result; i++) {
		ssize_t n = copy_once(&files);

		if (n != -EOPNOTSUPP && n != -EINVAL)
			result = 2;
		else if (pread(files.src, buf, BLOCK, 0) != BLOCK)
			result = 3;
		else if (pwrite(files.dst, buf, BLOCK, 0) != BLOCK)
			result = 4;
	}
	files_close(&files);
	return result;
}

Test(refusal, a_caller_that_the_daemon_cannot_see, .timeout = 120)
{
	const struct refusal_case *where = NULL;

	while ((where = refusal_next_case(where)) != NULL)
		cr_expect_eq(user_call(NULL, outside_namespace, (void *)where,
				       30),
			     0, "%s", refusal_case_name(where));
}

/* ------------------------------------------------------------------ killed */

static void __attribute__((noreturn))
copy_until_killed(const struct files *files)
{
	for (;;)
		copy_once(files);
}

static void kill_callers(struct files *files, const char *name)
{
	char buf[BLOCK];

	for (int i = 0; i < 30; i++) {
		int status;
		pid_t pid = fork();

		cr_assert_geq(pid, 0);
		if (!pid)
			copy_until_killed(files);
		usleep((useconds_t)(i * 200));
		kill(pid, SIGKILL);
		cr_assert_eq(process_wait(pid, 10000, &status), 0,
			     "%s: cannot be killed", name);
		cr_assert_eq(pread(files->src, buf, BLOCK, 0), BLOCK, "%s",
			     name);
	}
	files_check(files, name);
	cr_expect_eq(pwrite(files->dst, buf, BLOCK, 0), BLOCK, "%s", name);
}

Test(refusal, callers_killed_at_any_moment_leave_nothing_armed, .timeout = 120)
{
	in_each_case(kill_callers);
}

/* ------------------------------------------------------------ many threads */

struct crowd {
	struct files *files;
	const char *name;
	int dst[8];
	atomic_uint wrong;
};

static void *one_of_crowd(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; i < 60; i++)
		for (int k = 0; k < 8; k++)
			if (refusal_copy(crowd->files->src, 0, crowd->dst[k], 0,
					 REFUSAL_SIZE) != -EOPNOTSUPP)
				crowd->wrong++;
	return NULL;
}

/* Eight threads into one file and into eight, all at once. */
static void copy_in_crowd(struct files *files, const char *name)
{
	struct crowd crowd = { .files = files, .name = name };
	pthread_t threads[8];

	for (int k = 0; k < 8; k++) {
		char file[16];

		snprintf(file, sizeof(file), "dst%d", k / 2);
		if (k % 2 == 0)
			refusal_make(&files->place, file, false);
		crowd.dst[k] = refusal_open(&files->place, file, O_WRONLY);
	}
	for (int i = 0; i < 8; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, one_of_crowd,
					    &crowd),
			     0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(crowd.wrong, 0, "%s: %u copies were not refused", name,
		     crowd.wrong);
	for (int k = 0; k < 8; k++)
		close(crowd.dst[k]);
}

Test(refusal, threads_of_one_process_into_one_and_several_files, .timeout = 120)
{
	in_each_case(copy_in_crowd);
}
