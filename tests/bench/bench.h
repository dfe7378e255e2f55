/* SPDX-License-Identifier: MIT */
/* Pairs of the same work, measured in turns; shared by the benchmark's files. */
#ifndef OFFLAY_BENCH_H
#define OFFLAY_BENCH_H

#include <limits.h>
#include <stdint.h>

#include "offlay.h"

/* ------------------------------------------------------------------ pair.c */

/* One way to do some work; those that are compared run in turns. */
struct way {
	const char *name;
	/* Between prepare() and finish(), which are not timed. */
	void (*run)(struct way *way);
	char src[PATH_MAX], dst[PATH_MAX]; /* empty: none */
	uint64_t from, to, length;
	uint64_t presize; /* of the destination, before it is timed */
	struct offlay_engine *engine;
	const struct job *job; /* hand.c */
	int src_fd, dst_fd;
	double ms; /* the median, set by pair_measure() */
};

#define PAIR_ROUNDS_MAX 101

/* The filesystem whose writing back is waited for before each way is timed. */
void pair_settle(const char *dir);
void pair_wait(void);

/* Runs each of the ways once a round, beginning with another each round. */
void pair_measure(struct way *ways, unsigned int count, unsigned int rounds);

/* The pieces of it: one run in milliseconds, and the median of some. */
double pair_time(struct way *way);
double pair_median(double *ms, unsigned int count);

/* A row of the table; @limit is for ours/base, 0 for none. */
void pair_print(const char *work, const char *backing, const struct way *base,
		const struct way *ours, double limit);

void die(const char *what) __attribute__((noreturn));
void join(char *ret_path, const char *dir, const char *name);

/* ------------------------------------------------------------------ copy.c */

void copy_rows(const char *backing, const char *native, const char *view,
	       const char *copying, const char *kernel, unsigned int rounds);
void copy_huge_rows(const char *backing, const char *native, const char *view,
		    unsigned int rounds);
/* 64 copies at once through a mount. */
void copy_crowd(const char *dir);

/* ------------------------------------------------------------------ hand.c */

/* Programs that copy by read and write: natively, and on mounts without and
 * with acceleration. */
void hand_rows(const char *backing, const char *native, const char *plain,
	       const char *view, unsigned int rounds);

/* ------------------------------------------------------------------ tree.c */

/* Unpack, list and remove small files in each directory, in turns; the first
 * is the backing, the second offlayfs. */
void tree_rows(unsigned int count, char **names, char **dirs,
	       unsigned int rounds);

#endif
