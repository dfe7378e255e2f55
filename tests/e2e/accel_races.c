// SPDX-License-Identifier: MIT
/* Copies by read and write while sources change, disks fill and daemons die. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "accel.h"
#include "extents.h"
#include "sample.h"
#include "volume.h"

#define MIB	  (1u << 20)
#define SIZE	  (4 * MIB)
#define PIECE	  (128u << 10)
#define N_COPIERS 8

/* Where the source is written from: two mounts over it, and below them. */
enum { FIRST, SECOND, BELOW, N_WAYS };

/* Shared with the process that writes. */
struct crowd {
	char dirs[N_WAYS][PATH_MAX];
	atomic_bool stop;
	atomic_uint rounds, writes, names;
	_Atomic uint64_t shared;
	_Atomic long long worst_us; /* that open(2) for writing took */
};

struct copier {
	struct crowd *crowd;
	unsigned int number;
	unsigned char *read; /* what the program has read, and written */
	char failure[160];
};

static long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static void path_in(char path[PATH_MAX], const char *dir, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void path_in(char path[PATH_MAX], const char *dir, const char *fmt, ...)
{
	char name[32];
	va_list args;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	volume_path(path, dir, name);
}

/* Through a mapping, after the descriptor is closed; or by write(2). */
static bool change(int fd, struct sample_rng *rng, unsigned char *noise)
{
	size_t size = 1 + sample_below(rng, 30000);
	off_t at = (off_t)sample_below(rng, SIZE - size);
	unsigned char *map;
	ssize_t n;

	sample_fill(rng, noise, size);
	if (sample_below(rng, 3)) {
		n = pwrite(fd, noise, size, at);
		close(fd);
		return n == (ssize_t)size;
	}
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return false;
	memcpy(map + at, noise, size);
	munmap(map, SIZE);
	return true;
}

/*
 * A process of its own: munmap(2) of a file of a FUSE mount writes it back with
 * the address space locked, and waits for whoever reads the file below it,
 * where XFS locks it while the reader's buffer is faulted in.  Threads of one
 * process would wait for each other for good.
 */
static int hammer(struct crowd *crowd, uint64_t seed)
{
	struct sample_rng rng = { seed };
	unsigned char *noise = malloc(32768);
	char path[PATH_MAX];

	while (!atomic_load(&crowd->stop)) {
		unsigned int way = (unsigned int)sample_below(&rng, N_WAYS);
		long long start = now_us(), took;
		int fd;

		path_in(path, crowd->dirs[way], "src");
		fd = open(path, O_RDWR);
		took = now_us() - start;
		if (took > crowd->worst_us)
			crowd->worst_us = took;
		if (fd < 0 || !change(fd, &rng, noise)) {
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			return 1;
		}
		atomic_fetch_add(&crowd->writes, 1);
		usleep((useconds_t)sample_below(&rng, 3000));
	}
	free(noise);
	return 0;
}

static pid_t hammer_start(struct crowd *crowd)
{
	uint64_t seed = sample_seed();
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(hammer(crowd, seed));
	}
	return pid;
}

static void compare(struct copier *me, const char *path)
{
	static _Thread_local unsigned char now[PIECE];
	int fd = open(path, O_RDONLY);

	for (size_t at = 0; at < SIZE && !*me->failure; at += PIECE) {
		if (pread(fd, now, PIECE, (off_t)at) != PIECE ||
		    memcmp(now, me->read + at, PIECE))
			snprintf(me->failure, sizeof(me->failure),
				 "copy %u differs from what was written, "
				 "in the piece at %zu",
				 me->number, at);
	}
	close(fd);
}

static void copy_once(struct copier *me)
{
	struct crowd *crowd = me->crowd;
	struct extent_usage usage;
	char path[PATH_MAX], name[16];
	int src, dst;

	/* No copy is to be judged by the last one. */
	snprintf(name, sizeof(name), "c%u", atomic_fetch_add(&crowd->names, 1));
	prctl(PR_SET_NAME, name);
	path_in(path, crowd->dirs[me->number % 2], "src");
	src = open(path, O_RDONLY);
	path_in(path, crowd->dirs[me->number % 2], "dst%u", me->number);
	dst = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	for (size_t at = 0; at < SIZE && !*me->failure; at += PIECE) {
		if (pread(src, me->read + at, PIECE, (off_t)at) != PIECE ||
		    pwrite(dst, me->read + at, PIECE, (off_t)at) != PIECE)
			snprintf(me->failure, sizeof(me->failure),
				 "copy %u: %s", me->number, strerror(errno));
	}
	close(src);
	close(dst);
	path_in(path, crowd->dirs[BELOW], "dst%u", me->number);
	compare(me, path);
	if (extents_usage(path, &usage) == 0)
		atomic_fetch_add(&crowd->shared, usage.shared);
	path_in(path, crowd->dirs[me->number % 2], "dst%u", me->number);
	unlink(path);
	atomic_fetch_add(&crowd->rounds, 1);
}

static void *copy_again_and_again(void *arg)
{
	struct copier *me = arg;

	while (!atomic_load(&me->crowd->stop) && !*me->failure)
		copy_once(me);
	return NULL;
}

static void crowd_run(struct crowd *crowd, const char *row)
{
	struct copier copiers[N_COPIERS];
	pthread_t threads[N_COPIERS];
	pid_t writer = hammer_start(crowd);
	int status = -1;

	for (unsigned int i = 0; i < N_COPIERS; i++) {
		copiers[i] = (struct copier){ .crowd = crowd, .number = i };
		copiers[i].read = malloc(SIZE);
		pthread_create(&threads[i], NULL, copy_again_and_again,
			       &copiers[i]);
	}
	sleep((unsigned int)sample_amount(3, 8, 120));
	atomic_store(&crowd->stop, true);
	for (unsigned int i = 0; i < N_COPIERS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(waitpid(writer, &status, 0), writer);
	cr_expect_eq(status, 0, "%s: the writer failed", row);
	fprintf(stderr,
		"%s: %u copies, %u changes, %llu bytes shared; open for "
		"writing took %lld us at most\n",
		row, crowd->rounds, crowd->writes,
		(unsigned long long)crowd->shared, (long long)crowd->worst_us);
	for (unsigned int i = 0; i < N_COPIERS; i++) {
		free(copiers[i].read);
		cr_expect_eq(*copiers[i].failure, '\0', "%s: %s", row,
			     copiers[i].failure);
	}
	cr_expect(crowd->shared > 0, "%s: nothing was shared", row);
	cr_expect(crowd->writes > 10, "%s: the writer starved", row);
	/* A lease that nobody gives back lasts for 45 seconds. */
	cr_expect(crowd->worst_us < 2000000, "%s: a writer waited", row);
}

static void one_crowd(enum backing backing)
{
	static const char *const options[2] = { "accel",
						"accel,no_passthrough" };
	struct mount mounts[2];
	struct volume volume;
	struct crowd *crowd;
	char path[PATH_MAX];

	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(crowd, MAP_FAILED);
	volume_get(backing, 0, &volume);
	volume_dir(&volume, "crowd", crowd->dirs[BELOW]);
	path_in(path, crowd->dirs[BELOW], "src");
	sample_file(path, SIZE, 3);
	for (int i = 0; i < 2; i++) {
		mount_open(crowd->dirs[BELOW], options[i], &mounts[i]);
		snprintf(crowd->dirs[i], PATH_MAX, "%s", mounts[i].point);
	}
	crowd_run(crowd, backing_name(backing));
	for (int i = 0; i < 2; i++)
		mount_close(&mounts[i]);
	munmap(crowd, sizeof(*crowd));
}

Test(accel_races, copies_what_was_read_while_the_source_changes, .timeout = 600)
{
	if (backing_is_selected(BACKING_BTRFS))
		one_crowd(BACKING_BTRFS);
	if (backing_is_selected(BACKING_XFS))
		one_crowd(BACKING_XFS);
}

/* ------------------------------------------------------------ a killed daemon */

/* Copies for ever; *@acked grows with each write that was answered. */
static void copy_until_killed(const char *dir, size_t piece,
			      _Atomic uint64_t *acked)
{
	static unsigned char buf[PIECE];
	char path[PATH_MAX];
	int src, dst;

	path_in(path, dir, "src");
	src = open(path, O_RDONLY);
	path_in(path, dir, "dst");
	dst = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	for (uint64_t at = 0;; at += piece) {
		ssize_t n = pread(src, buf, piece, (off_t)at % (64 * MIB));

		if (n != (ssize_t)piece ||
		    pwrite(dst, buf, piece, (off_t)at) != n)
			break;
		atomic_store(acked, at + piece);
	}
	_exit(0);
}

/* After so many writes, and perhaps a few more. */
static void kill_in_the_middle(enum backing backing, size_t piece,
			       unsigned int writes)
{
	_Atomic uint64_t *acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned char *src, *dst = malloc(PIECE);
	char dir[PATH_MAX], path[PATH_MAX];
	struct volume volume;
	struct mount mount;
	pid_t child;
	int fd;

	volume_get(backing, 0, &volume);
	volume_dir(&volume, "killed", dir);
	path_in(path, dir, "src");
	sample_file(path, 64 * MIB, writes + 1);
	mount_open(dir, "accel", &mount);
	child = fork();
	if (child == 0)
		copy_until_killed(mount.point, piece, acked);
	for (int i = 0; i < 20000 && atomic_load(acked) < writes * piece; i++)
		process_sleep_ms(1);
	kill(mount.pid, SIGKILL);
	waitpid(child, NULL, 0);
	mount_kill(&mount);
	fd = open(path, O_RDONLY);
	src = mmap(NULL, 64 * MIB, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	path_in(path, dir, "dst");
	fd = open(path, O_RDONLY);
	for (uint64_t at = 0; at < atomic_load(acked); at += piece) {
		cr_assert_eq(pread(fd, dst, piece, (off_t)at), (ssize_t)piece);
		cr_assert_eq(memcmp(dst, src + at % (64 * MIB), piece), 0,
			     "%s: %llu of %llu", backing_name(backing),
			     (unsigned long long)at,
			     (unsigned long long)atomic_load(acked));
	}
	cr_assert(atomic_load(acked) >= writes * piece);
	close(fd);
	cr_assert(unlink(path) == 0 || errno == ENOENT);
	munmap(src, 64 * MIB);
	munmap(acked, 4096);
	free(dst);
}

Test(accel_races, loses_nothing_when_the_daemon_is_killed, .timeout = 120)
{
	for (unsigned int i = 0; i < 2 * sample_amount(2, 5, 50); i++) {
		enum backing backing = i % 2 ? BACKING_XFS : BACKING_BTRFS;

		if (!backing_is_selected(backing))
			continue;
		kill_in_the_middle(backing, PIECE, i * 137 % 1000);
		kill_in_the_middle(backing, 4096, i * 1371 % 10000);
	}
}

/* ---------------------------------------------------------------- a full disk */

/* Until there is no room; returns how many bytes were written. */
static uint64_t fill(const char *path, struct sample_rng *rng)
{
	static unsigned char buf[PIECE];
	int fd = open(path, O_WRONLY | O_CREAT, 0644);
	uint64_t done = 0;
	ssize_t n;

	if (fd < 0) {
		cr_assert_eq(errno, ENOSPC, "%s", errno_name(errno));
		return 0;
	}
	for (size_t piece = PIECE; piece >= 4096; piece /= 2) {
		sample_fill(rng, buf, piece);
		while ((n = pwrite(fd, buf, piece, (off_t)done)) > 0)
			done += (uint64_t)n;
		cr_assert_eq(errno, ENOSPC, "%s", errno_name(errno));
		fsync(fd);
	}
	close(fd);
	return done;
}

/* Copies by hand; what was answered must be there, whatever came then. */
static int copy_and_check(const char *dir, size_t piece, uint64_t size)
{
	static unsigned char buf[PIECE], now[PIECE];
	char path[PATH_MAX];
	uint64_t at = 0;
	int src, dst, err = 0;
	ssize_t n;

	path_in(path, dir, "src");
	src = open(path, O_RDONLY);
	path_in(path, dir, "dst");
	dst = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (dst < 0) {
		err = -errno;
		close(src);
		return err;
	}
	while (at < size && !err) {
		n = pread(src, buf, piece, (off_t)at);
		n = pwrite(dst, buf, (size_t)n, (off_t)at);
		if (n < 0)
			err = -errno;
		else
			at += (uint64_t)n;
	}
	cr_assert_eq(close(dst), 0);
	dst = open(path, O_RDONLY);
	for (uint64_t i = 0; i < at; i += PIECE) {
		n = pread(src, buf, PIECE, (off_t)i);
		n = at - i < (uint64_t)n ? (ssize_t)(at - i) : n;
		cr_assert_eq(pread(dst, now, (size_t)n, (off_t)i), n);
		cr_assert_eq(memcmp(buf, now, (size_t)n), 0);
	}
	close(src);
	close(dst);
	return err;
}

static void copy_on_a_full_disk(enum backing backing)
{
	struct sample_rng rng = { sample_seed() };
	struct volume volume;
	struct mount mount;
	char dir[PATH_MAX], path[PATH_MAX];
	int err;

	volume_get_sized(backing, 0, 400ull * MIB, NULL, &volume);
	volume_dir(&volume, "full", dir);
	path_in(path, dir, "src");
	sample_file(path, 32 * MIB, 5);
	mount_open(dir, "accel", &mount);
	path_in(path, mount.point, "rest");
	fill(path, &rng);
	/* Clones need no room for data; but for what they do need. */
	for (size_t piece = 4096; piece <= PIECE; piece *= 32) {
		err = copy_and_check(mount.point, piece, 32 * MIB);
		cr_expect(err == 0 || err == -ENOSPC, "%s: %s",
			  backing_name(backing), errno_name(err));
	}
	path_in(path, mount.point, "more");
	cr_expect_lt(fill(path, &rng), 16 * MIB);
	mount_close(&mount);
	volume_free(&volume);
}

Test(accel_races, copies_correctly_on_a_full_disk, .timeout = 120)
{
	if (backing_is_selected(BACKING_BTRFS))
		copy_on_a_full_disk(BACKING_BTRFS);
	if (backing_is_selected(BACKING_XFS))
		copy_on_a_full_disk(BACKING_XFS);
}
