// SPDX-License-Identifier: MIT
/* Delays and hangs, and everything that ends them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rules.h"

#define CALLERS 40

static const char hangs[] = "read,write,fsync,copy,truncate,create : hang";

static int do_read(const struct rules_place *place)
{
	char c;
	int fd = rules_open(place, "a", O_RDONLY);
	int err = pread(fd, &c, 1, 0) < 0 ? errno : 0;

	close(fd);
	return err;
}

static int do_write(const struct rules_place *place)
{
	int fd = rules_open(place, "w", O_WRONLY);
	int err = pwrite(fd, "1234567890", 10, 0) < 0 ? errno : 0;

	close(fd);
	return err;
}

static int do_fsync(const struct rules_place *place)
{
	int fd = rules_open(place, "s", O_WRONLY);
	int err = fsync(fd) ? errno : 0;

	close(fd);
	return err;
}

static int do_copy(const struct rules_place *place)
{
	int src = rules_open(place, "a", O_RDONLY);
	int dst = rules_open(place, "c", O_WRONLY);

	return copy_file_range(src, NULL, dst, NULL, RULES_SIZE, 0) < 0 ? errno
									: 0;
}

static int do_truncate(const struct rules_place *place)
{
	char path[PATH_MAX];

	rules_path_of(place, "t", path);
	return truncate(path, 5) ? errno : 0;
}

static int do_create(const struct rules_place *place)
{
	char path[PATH_MAX];

	rules_path_of(place, "d/new", path);
	return open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600) < 0
		       ? errno
		       : 0;
}

static int (*const calls[])(const struct rules_place *place) = {
	do_read, do_write, do_fsync, do_copy, do_truncate, do_create,
};

#define CALLS (sizeof(calls) / sizeof(*calls))

static void make_files(const struct rules_place *place)
{
	cr_assert_eq(COMMAND(NULL, "sh", "-c",
			     "cd \"$0\" && rm -rf d w s c t && mkdir d && "
			     "touch w s c t",
			     (char *)place->mount.point),
		     0);
}

static void on_signal(int number)
{
	(void)number;
}

/* A child that calls once and exits with the errno. */
static pid_t start(const struct rules_place *place, size_t call)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART };
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid)
		return pid;
	sigaction(SIGUSR1, &action, NULL);
	_exit(calls[call](place));
}

static void start_all(const struct rules_place *place, pid_t *ret_pids)
{
	for (size_t i = 0; i < CALLS; i++)
		ret_pids[i] = start(place, i);
	rules_wait_for(place, CALLS);
}

static void expect_exit(pid_t pid, int err, const char *name)
{
	int status = 0;

	cr_assert_eq(process_wait(pid, 5000, &status), 0, "%s: hangs", name);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == err,
		  "%s: wait status %#x", name, status);
}

Test(rules_waits, end_when_rules_are_cleared_or_replaced)
{
	static const char *const next[] = { NULL, "", "open : errno=EIO" };
	const struct rules_case *where = NULL;
	struct rules_place place;
	pid_t pids[CALLS];

	while ((where = rules_next_case(where))) {
		rules_place_open(where, NULL, &place);
		for (size_t n = 0; n < 3; n++) {
			make_files(&place);
			rules_set(&place, hangs);
			start_all(&place, pids);
			process_sleep_ms(100);
			for (size_t i = 0; i < CALLS; i++)
				cr_expect_eq(waitpid(pids[i], NULL, WNOHANG), 0,
					     "call %zu did not hang", i);
			if (next[n])
				rules_set(&place, next[n]);
			else
				rules_clear(&place);
			for (size_t i = 0; i < CALLS; i++)
				expect_exit(pids[i], 0, "cleared");
			rules_wait_for(&place, 0);
			/* They did what they were asked for. */
			rules_same(&place, "a", "c");
		}
		rules_place_close(&place);
	}
}

Test(rules_waits, end_with_their_callers_signal)
{
	const struct rules_case *where = NULL;
	struct rules_place place;
	pid_t pids[CALLS];
	int status;

	while ((where = rules_next_case(where))) {
		rules_place_open(where, NULL, &place);
		make_files(&place);
		rules_set(&place, hangs);
		start_all(&place, pids);
		for (size_t i = 0; i < CALLS; i++)
			kill(pids[i], SIGUSR1);
		for (size_t i = 0; i < CALLS; i++)
			expect_exit(pids[i], EINTR, "interrupted");
		start_all(&place, pids);
		for (size_t i = 0; i < CALLS; i++)
			kill(pids[i], SIGKILL);
		for (size_t i = 0; i < CALLS; i++) {
			cr_assert_eq(process_wait(pids[i], 5000, &status), 0,
				     "call %zu cannot be killed", i);
			cr_expect(WIFSIGNALED(status));
		}
		rules_wait_for(&place, 0);
		rules_place_close(&place);
	}
}

/* The daemon ends in good order, and nobody is left behind. */
Test(rules_waits, end_with_the_mount)
{
	enum { LAZY, FORCE, TERM, KILL, WAYS };
	struct rules_place place;
	pid_t pids[CALLS];
	int status;

	for (int way = 0; way < WAYS; way++) {
		rules_place_any(NULL, &place);
		make_files(&place);
		rules_set(&place, hangs);
		start_all(&place, pids);
		if (way == LAZY) {
			umount2(place.mount.point, MNT_DETACH);
			for (size_t i = 0; i < CALLS; i++)
				kill(pids[i], SIGKILL);
		} else if (way == FORCE) {
			umount2(place.mount.point, MNT_FORCE);
		} else {
			kill(place.mount.pid, way == TERM ? SIGTERM : SIGKILL);
		}
		for (size_t i = 0; i < CALLS; i++) {
			cr_assert_eq(process_wait(pids[i], 5000, &status), 0,
				     "way %d, call %zu hangs", way, i);
			cr_expect_neq(status, 0, "way %d", way);
		}
		umount2(place.mount.point, MNT_DETACH);
		cr_assert_eq(process_wait(place.mount.pid, 5000, &status), 0,
			     "way %d: the daemon stays", way);
		cr_expect(way == KILL || status == 0, "way %d: %#x", way,
			  status);
		place.mount.pid = 0;
		COMMAND(NULL, "rm", "-rf", place.dir);
	}
}

Test(rules_waits, end_in_time)
{
	const struct rules_case *where = NULL;
	struct rules_place place;
	long long begin;

	while ((where = rules_next_case(where))) {
		rules_place_open(where, NULL, &place);
		make_files(&place);
		rules_set(&place, "read : delay=200\nwrite : hang=200\n"
				  "fsync : delay=100 errno=EIO");
		begin = process_now_ms();
		cr_expect_eq(do_read(&place), 0);
		cr_expect_geq(process_now_ms(), begin + 200);
		begin = process_now_ms();
		cr_expect_eq(do_write(&place), 0);
		cr_expect_geq(process_now_ms(), begin + 200);
		begin = process_now_ms();
		cr_expect_eq(do_fsync(&place), EIO);
		cr_expect_geq(process_now_ms(), begin + 100);
		rules_place_close(&place);
	}
}

/* More callers than threads: the mount serves all the others meanwhile. */
Test(rules_waits, keep_nobody_else_waiting)
{
	struct rules_place place;
	pid_t pids[CALLERS];
	char path[PATH_MAX];

	rules_place_any("threads=2", &place);
	rules_set(&place, "read file=a : hang");
	for (int i = 0; i < CALLERS; i++)
		pids[i] = start(&place, 0);
	rules_wait_for(&place, CALLERS);
	rules_path_of(&place, "z", path);
	cr_expect_eq(COMMAND(NULL, "sh", "-c", "echo 1 >\"$0\" && cat \"$0\"",
			     path),
		     0);
	rules_clear(&place);
	for (int i = 0; i < CALLERS; i++)
		expect_exit(pids[i], 0, "cleared");
	rules_place_close(&place);
}

static int read_child(const struct rules_place *place)
{
	pid_t pid = start(place, 0);
	int status = 0;

	cr_assert_eq(process_wait(pid, 5000, &status), 0);
	return WEXITSTATUS(status);
}

/* There is a limit, and behind it calls go on at once. */
Test(rules_waits, are_bounded)
{
	enum { LIMIT = 256 };
	struct rules_place place;
	static pid_t pids[LIMIT];

	rules_place_any(NULL, &place);
	rules_set(&place, "read : hang");
	for (int i = 0; i < LIMIT; i++)
		pids[i] = start(&place, 0);
	rules_wait_for(&place, LIMIT);
	cr_expect_eq(read_child(&place), 0);
	rules_clear(&place);
	for (int i = 0; i < LIMIT; i++)
		expect_exit(pids[i], 0, "cleared");
	cr_expect(mount_log_has(&place.mount, "rule in line 1: no room"));
	rules_place_close(&place);
}
