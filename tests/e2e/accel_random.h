/* SPDX-License-Identifier: MIT */
/* A random program that copies by hand: accel_random.c, accel_steps.c. */
#ifndef E2E_ACCEL_RANDOM_H
#define E2E_ACCEL_RANDOM_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sample.h"

#define SRC_MIN	  (128u << 10)
#define SRC_MAX	  (1536u << 10)
#define DST_MAX	  (4u << 20)
#define MAX_OPS	  24
#define N_HISTORY (MAX_OPS + 2)

/* The same files, as the mount shows them and on the bare backing. */
enum { MOUNTED, BARE, N_SIDES };

struct side {
	char dir[PATH_MAX];  /* where the program works */
	char back[PATH_MAX]; /* the same, below the mount */
	int src, dst, writer;
	int reader;	    /* of the destination, all the time; or -1 */
	unsigned char *map; /* of the source, by a writer */
	size_t map_size;
	unsigned char *buf;
};

struct program {
	struct sample_rng rng;
	struct side sides[N_SIDES];
	uint64_t seed;
	bool below; /* what changes below the mount shows above it */
	size_t src_size;
	uint64_t src_at, dst_at;
	unsigned char *noise;
	char history[N_HISTORY][96];
	unsigned int steps;
	bool is_btrfs;
	uint64_t shared; /* by some of the programs so far */
};

uint64_t program_below(struct program *p, uint64_t bound);
/* What the program does next, for whoever has to understand a failure. */
void program_note(struct program *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void program_fail(struct program *p, const char *what)
	__attribute__((noreturn));
/* Both sides must have answered the same. */
void program_same(struct program *p, const long long result[N_SIDES],
		  const char *what);
/* Of the destination: the one that is there, or a new one. */
int program_reader_begin(const struct side *side, const char *dir);
void program_reader_end(const struct side *side, int fd);
/* DIR/NAME: one of the last four that were asked for. */
const char *program_path(const char *dir, const char *name);

#define BOTH(p, what, expression)                                   \
	do {                                                        \
		long long result_[N_SIDES];                         \
		for (int i_ = 0; i_ < N_SIDES; i_++) {              \
			struct side *side = &(p)->sides[i_];        \
			long long value_ = (long long)(expression); \
			result_[i_] = value_ < 0 ? -errno : value_; \
			(void)side;                                 \
		}                                                   \
		program_same((p), result_, (what));                 \
	} while (0)

/* accel_steps.c: one step of a program, whatever comes. */
void program_step(struct program *p);
void program_unmap(struct program *p);

#endif
