/* SPDX-License-Identifier: MIT */
/* What programs are expected to do: watch_habit.c, watch_first.c. */
#ifndef OFFLAY_WATCH_HABIT_H
#define OFFLAY_WATCH_HABIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "watch_source.h"

/* ----------------------------------------------------------- watch_habit.c */

/* What programs of one name did with the files that were watched. */
struct watch_habit {
	uint64_t key;	   /* of its name */
	unsigned int skip; /* files that are not to be watched now */
	unsigned int next; /* how many after the next that comes to nothing */
};

/* One program takes the place of another of the same slot. */
#define WATCH_HABITS 256

/* The program that a thread was found to run a moment ago. */
struct watch_runner {
	pid_t tid;
	uint64_t key;
	uint64_t until; /* file_now() */
};

#define WATCH_RUNNERS 64

struct watch_habits {
	pthread_mutex_t lock; /* guards all below */
	struct watch_habit slots[WATCH_HABITS];
	struct watch_runner runners[WATCH_RUNNERS];
};

void watch_habits_init(struct watch_habits *habits);
void watch_habits_done(struct watch_habits *habits);
/*
 * Asking for a thread's program costs more than all the rest, so the answer is
 * kept for 10 ms: who executes another program meanwhile is taken for the old
 * one.
 */
bool watch_habit_find(struct watch_habits *habits, pid_t tid, uint64_t now,
		      uint64_t *ret_key);
void watch_habit_keep(struct watch_habits *habits, pid_t tid, uint64_t now,
		      uint64_t key);
/* May the next file be watched?  Each call is about one file. */
bool watch_habit_allows(struct watch_habits *habits, uint64_t key);
/* The same of programs that nothing is expected of until it was seen once. */
bool watch_habit_expects(struct watch_habits *habits, uint64_t key);
/* It was seen; of a program that is known already that says nothing new. */
void watch_habit_begin(struct watch_habits *habits, uint64_t key);
void watch_habit_learn(struct watch_habits *habits, uint64_t key, bool copies);

/* ----------------------------------------------------------- watch_first.c */

/*
 * A program may open the destination first.  No source says then that a copy is
 * coming, and the kernel cannot bring writes here later; so it is the next time
 * that it is seen: a program that has opened a source while an empty file of
 * its own was waiting is expected to do so again.
 */
struct watch_first {
	struct file *file; /* NULL: none */
	struct watch_who who;
	uint64_t habit;
};

/* The last ones that were opened. */
#define WATCH_FIRSTS 16u

struct watch_firsts {
	pthread_mutex_t lock; /* guards all below */
	struct watch_first slots[WATCH_FIRSTS];
	unsigned int n; /* ever */
};

void watch_firsts_init(struct watch_firsts *firsts);
void watch_firsts_done(struct watch_firsts *firsts);
void watch_first_add(struct watch_firsts *firsts, struct file *file,
		     const struct watch_who *who, uint64_t habit);
/* Before @file goes. */
void watch_first_remove(struct watch_firsts *firsts, const struct file *file);
/*
 * Those that are empty, of whoever may know that @who opens a source; their
 * files may be gone.  Return: how many.
 */
unsigned int watch_first_list(struct watch_firsts *firsts,
			      const struct watch_who *who,
			      struct watch_first *ret_firsts);

#endif
