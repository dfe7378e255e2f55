// SPDX-License-Identifier: MIT
/* Measuring ways of doing the same work in turns, and printing the medians. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

void join(char *ret_path, const char *dir, const char *name)
{
	if (snprintf(ret_path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		die(dir);
	}
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int settle_fd = -1;

void pair_settle(const char *dir)
{
	settle_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (settle_fd < 0)
		die(dir);
}

void pair_wait(void)
{
	syncfs(settle_fd);
}

/* A new destination each time, with nothing left to be written back. */
static void prepare(struct way *way)
{
	way->src_fd = way->dst_fd = -1;
	if (way->src[0]) {
		way->src_fd = open(way->src, O_RDONLY | O_CLOEXEC);
		if (way->src_fd < 0)
			die(way->src);
	}
	if (!way->dst[0])
		return;
	if (unlink(way->dst) && errno != ENOENT)
		die(way->dst);
	way->dst_fd = open(way->dst, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (way->dst_fd < 0 || ftruncate(way->dst_fd, (off_t)way->presize))
		die(way->dst);
	pair_wait();
}

static void finish(struct way *way)
{
	if (way->src_fd >= 0)
		close(way->src_fd);
	if (way->dst_fd >= 0)
		close(way->dst_fd);
	if (way->dst[0])
		unlink(way->dst);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double pair_time(struct way *way)
{
	double start = now_ms();

	way->run(way);
	return now_ms() - start;
}

double pair_median(double *ms, unsigned int count)
{
	qsort(ms, count, sizeof(*ms), by_size);
	return ms[count / 2];
}

void pair_measure(struct way *ways, unsigned int count, unsigned int rounds)
{
	double *ms = calloc((size_t)count * rounds, sizeof(*ms));

	if (!ms)
		die("memory");
	for (unsigned int round = 0; round < rounds; round++)
		for (unsigned int i = 0; i < count; i++) {
			unsigned int which = (i + round) % count;

			prepare(&ways[which]);
			ms[which * rounds + round] = pair_time(&ways[which]);
			finish(&ways[which]);
		}
	for (unsigned int i = 0; i < count; i++)
		ways[i].ms = pair_median(&ms[i * rounds], rounds);
	free(ms);
}

void pair_print(const char *work, const char *backing, const struct way *base,
		const struct way *ours, double limit)
{
	double ratio = ours->ms / base->ms;

	printf("| %s | %s | %s | %.3g | %s | %.3g | %.3g | ", work, backing,
	       base->name, base->ms, ours->name, ours->ms, ratio);
	if (limit == 0)
		printf("|\n");
	else
		printf("%.3g: %s |\n", limit,
		       ratio <= limit ? "met" : "**missed**");
	fflush(stdout);
}
