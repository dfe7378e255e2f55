// SPDX-License-Identifier: MIT
/* Benchmarks of copying: by clone, by hand, with holes, through a mount. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

extern char **environ;

#define MIB	   (1ull << 20)
#define PLAIN_SIZE (512 * MIB)
#define HUGE_SIZE  (4096 * MIB)
#define CHUNK	   (1u << 20)
#define CROWD	   64
#define CROWD_SIZE (32 * MIB)

/* ------------------------------------------------------------- ways to copy */

static void by_copy_file_range(struct way *way)
{
	off_t from = (off_t)way->from, to = (off_t)way->to;
	uint64_t left = way->length;

	while (left) {
		ssize_t n = copy_file_range(way->src_fd, &from, way->dst_fd,
					    &to, left, 0);

		if (n <= 0)
			die(way->name);
		left -= (uint64_t)n;
	}
}

static void by_library(struct way *way)
{
	struct offlay_range range = { .src_fd = way->src_fd,
				      .dst_fd = way->dst_fd,
				      .src_offset = way->from,
				      .dst_offset = way->to,
				      .length = way->length };

	while (range.length) {
		struct offlay_result result;
		int err = offlay_copy_range(way->engine, &range, &result);

		if (err || result.copied == 0) {
			errno = -err;
			die(way->name);
		}
		range.src_offset += result.copied;
		range.dst_offset += result.copied;
		range.length -= result.copied;
	}
}

static void by_library_moving(struct way *way)
{
	struct offlay_range range = { .src_fd = way->src_fd,
				      .dst_fd = way->dst_fd,
				      .length = way->length,
				      .methods = OFFLAY_METHOD_DATA };
	struct offlay_result result;
	int err = offlay_copy_range(way->engine, &range, &result);

	if (err || result.copied != way->length) {
		errno = -err;
		die(way->name);
	}
}

static void by_cp(struct way *way)
{
	char *argv[] = { "cp", "--reflink=never", way->src, way->dst, NULL };
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, "cp", NULL, NULL, argv, environ) ||
	    waitpid(pid, &status, 0) < 0 || status)
		die("cp");
}

static void by_reading(struct way *way)
{
	static char buf[CHUNK];
	uint64_t n = 0;
	ssize_t got;

	while ((got = read(way->src_fd, buf, sizeof(buf))) > 0)
		n += (uint64_t)got;
	if (n < way->length)
		die(way->src);
}

static void by_writing(struct way *way)
{
	static char buf[CHUNK];

	memset(buf, 'w', sizeof(buf));
	for (uint64_t n = 0; n < way->length; n += sizeof(buf))
		if (write(way->dst_fd, buf, sizeof(buf)) != sizeof(buf))
			die(way->dst);
}

/* ------------------------------------------------------------------- files */

static void write_data(int fd, uint64_t offset, uint64_t length)
{
	static uint64_t words[CHUNK / 8];
	static uint64_t state = 88172645463325252ull;

	while (length) {
		size_t n = length < CHUNK ? (size_t)length : CHUNK;

		for (size_t i = 0; i < CHUNK / 8; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			words[i] = state;
		}
		if (pwrite(fd, words, n, (off_t)offset) != (ssize_t)n)
			die("write");
		offset += n;
		length -= n;
	}
}

/* @pieces of data spread over @size, @length bytes together. */
static void make_file(const char *dir, const char *name, uint64_t size,
		      uint64_t length, unsigned int pieces)
{
	char path[PATH_MAX];
	int fd;

	join(path, dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)size))
		die(path);
	for (unsigned int i = 0; i < pieces; i++)
		write_data(fd, size / pieces / 4096 * 4096 * i,
			   length / pieces);
	fsync(fd);
	close(fd);
}

static struct way way(const char *name, void (*run)(struct way *way),
		      const char *dir, const char *src, const char *dst,
		      uint64_t length)
{
	struct way w = { .name = name, .run = run, .length = length };

	if (src)
		join(w.src, dir, src);
	if (dst)
		join(w.dst, dir, dst);
	return w;
}

/* -------------------------------------------------------------------- rows */

static void clone_rows(const char *backing, const char *native,
		       const char *view, uint64_t size, const char *src,
		       const char *work, unsigned int rounds)
{
	struct way ways[] = {
		way("backing", by_copy_file_range, native, src, "d0", size),
		way("mount", by_copy_file_range, view, src, "d1", size),
	};

	pair_measure(ways, 2, rounds);
	pair_print(work, backing, &ways[0], &ways[1],
		   (ways[0].ms + 0.1) / ways[0].ms);
}

static void unaligned_rows(const char *backing, const char *native,
			   const char *view, struct offlay_engine *engine,
			   unsigned int rounds)
{
	struct way ways[] = {
		way("backing", by_copy_file_range, native, "plain", "d0",
		    256 * MIB),
		way("library", by_library, native, "plain", "d1", 256 * MIB),
		way("mount", by_copy_file_range, view, "plain", "d2",
		    256 * MIB),
	};

	for (int i = 0; i < 3; i++) {
		ways[i].from = ways[i].to = 1;
		ways[i].engine = engine;
	}
	pair_measure(ways, 3, rounds);
	pair_print("256 MiB at +1/+1", backing, &ways[0], &ways[1], 0.01);
	pair_print("256 MiB at +1/+1", backing, &ways[0], &ways[2], 0.01);
}

/* A hole at the end makes "holed" ineligible, so that the mounts move it. */
static void mover_rows(const char *backing, const char *native,
		       const char *copying, const char *kernel,
		       struct offlay_engine *engine, unsigned int rounds)
{
	struct way ways[] = {
		way("`cp --reflink=never`", by_cp, native, "holed", "d0",
		    PLAIN_SIZE),
		way("library", by_library_moving, native, "holed", "d1",
		    PLAIN_SIZE),
		way("mount", by_copy_file_range, copying, "holed", "d2",
		    PLAIN_SIZE),
		way("kernel's fallback", by_copy_file_range, kernel, "holed",
		    "d3", PLAIN_SIZE),
	};

	ways[1].engine = engine;
	pair_measure(ways, 4, rounds);
	pair_print("512 MiB by hand", backing, &ways[0], &ways[1], 1);
	pair_print("512 MiB by hand", backing, &ways[0], &ways[2], 1);
	pair_print("512 MiB by hand", backing, &ways[3], &ways[2], 1.0 / 3);
}

static void sparse_rows(const char *backing, const char *native,
			struct offlay_engine *engine, unsigned int rounds)
{
	struct way ways[] = {
		way("100 MiB plain", by_library_moving, native, "hundred", "d0",
		    100 * MIB),
		way("library", by_library_moving, native, "sparse", "d1",
		    10240 * MIB),
		way("`cp --reflink=never`", by_cp, native, "sparse", "d2",
		    10240 * MIB),
		way("library, pre-sized", by_library_moving, native, "sparse",
		    "d3", 10240 * MIB),
	};

	ways[0].engine = ways[1].engine = ways[3].engine = engine;
	ways[3].presize = ways[3].length;
	pair_measure(ways, 4, rounds);
	pair_print("10 GiB with 100 MiB", backing, &ways[0], &ways[1], 1.1);
	pair_print("10 GiB with 100 MiB", backing, &ways[0], &ways[3], 1.1);
	pair_print("10 GiB with 100 MiB", backing, &ways[2], &ways[1], 1);
}

static void stream_rows(const char *backing, const char *native,
			const char *view, unsigned int rounds)
{
	struct way reads[] = {
		way("backing", by_reading, native, "plain", NULL, PLAIN_SIZE),
		way("mount", by_reading, view, "plain", NULL, PLAIN_SIZE),
	};
	struct way writes[] = {
		way("backing", by_writing, native, NULL, "d0", PLAIN_SIZE),
		way("mount", by_writing, view, NULL, "d1", PLAIN_SIZE),
	};

	pair_measure(reads, 2, rounds);
	pair_print("read 512 MiB", backing, &reads[0], &reads[1], 1 / 0.95);
	pair_measure(writes, 2, rounds);
	pair_print("write 512 MiB", backing, &writes[0], &writes[1], 1 / 0.95);
}

static bool can_share(const char *native, struct offlay_engine *engine)
{
	struct way w = way("clone", by_library, native, "plain", "d0", MIB);
	struct offlay_range range = { .length = MIB,
				      .methods = OFFLAY_METHOD_CLONE };
	struct offlay_result result;
	int err;

	range.src_fd = open(w.src, O_RDONLY | O_CLOEXEC);
	range.dst_fd = open(w.dst, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	err = offlay_copy_range(engine, &range, &result);
	close(range.src_fd);
	close(range.dst_fd);
	unlink(w.dst);
	return err == 0;
}

void copy_rows(const char *backing, const char *native, const char *view,
	       const char *copying, const char *kernel, unsigned int rounds)
{
	struct offlay_engine *engine;

	pair_settle(native);
	make_file(native, "plain", PLAIN_SIZE, PLAIN_SIZE, 1);
	make_file(native, "holed", PLAIN_SIZE + 4096, PLAIN_SIZE, 1);
	make_file(native, "hundred", 100 * MIB, 100 * MIB, 1);
	make_file(native, "sparse", 10240 * MIB, 100 * MIB, 100);
	if (offlay_engine_new(&engine))
		die("engine");
	if (can_share(native, engine)) {
		clone_rows(backing, native, view, PLAIN_SIZE, "plain",
			   "clone 512 MiB", rounds * 3);
		unaligned_rows(backing, native, view, engine, rounds);
	}
	mover_rows(backing, native, copying, kernel, engine, rounds);
	sparse_rows(backing, native, engine, rounds);
	stream_rows(backing, native, view, rounds);
	offlay_engine_free(engine);
}

void copy_huge_rows(const char *backing, const char *native, const char *view,
		    unsigned int rounds)
{
	char path[PATH_MAX];

	pair_settle(native);
	make_file(native, "huge", HUGE_SIZE, HUGE_SIZE, 1);
	clone_rows(backing, native, view, HUGE_SIZE, "huge", "clone 4 GiB",
		   rounds * 3);
	join(path, native, "huge");
	unlink(path);
}

void copy_crowd(const char *dir)
{
	pid_t pids[CROWD];
	int status, failed = 0;

	make_file(dir, "crowd", CROWD_SIZE + 4096, CROWD_SIZE, 1);
	for (int i = 0; i < CROWD; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0) {
			char name[16];
			struct way w;

			snprintf(name, sizeof(name), "crowd%d", i);
			w = way("crowd", by_copy_file_range, dir, "crowd", name,
				CROWD_SIZE);
			w.src_fd = open(w.src, O_RDONLY);
			w.dst_fd = open(w.dst, O_RDWR | O_CREAT, 0644);
			by_copy_file_range(&w);
			unlink(w.dst);
			_exit(0);
		}
	}
	for (int i = 0; i < CROWD; i++) {
		waitpid(pids[i], &status, 0);
		failed += status != 0;
	}
	if (failed) {
		errno = EIO;
		die("crowd");
	}
}
