// SPDX-License-Identifier: MIT
/* Which programs are worth watching; no system calls. */
#include <pthread.h>

#include "watch_habit.h"

/*
 * Watching costs a program that writes in small pieces, or that does not copy
 * at all, a request for each write.  So after a file that came to nothing the
 * next files of a program of that name are not watched: 4, then 16, 64, 256.
 */
#define SKIP_FACTOR 4
#define SKIP_MAX    256

#define RUNNER_NSEC 10000000ull

void watch_habits_init(struct watch_habits *habits)
{
	*habits = (struct watch_habits){ .slots = { { 0 } } };
	pthread_mutex_init(&habits->lock, NULL);
}

void watch_habits_done(struct watch_habits *habits)
{
	pthread_mutex_destroy(&habits->lock);
}

static struct watch_habit *slot_of(struct watch_habits *habits, uint64_t key)
{
	return &habits->slots[key % WATCH_HABITS];
}

bool watch_habit_find(struct watch_habits *habits, pid_t tid, uint64_t now,
		      uint64_t *ret_key)
{
	struct watch_runner *runner =
		&habits->runners[(unsigned int)tid % WATCH_RUNNERS];
	bool found;

	pthread_mutex_lock(&habits->lock);
	found = runner->tid == tid && now < runner->until;
	if (found)
		*ret_key = runner->key;
	pthread_mutex_unlock(&habits->lock);
	return found;
}

void watch_habit_keep(struct watch_habits *habits, pid_t tid, uint64_t now,
		      uint64_t key)
{
	pthread_mutex_lock(&habits->lock);
	habits->runners[(unsigned int)tid % WATCH_RUNNERS] =
		(struct watch_runner){ tid, key, now + RUNNER_NSEC };
	pthread_mutex_unlock(&habits->lock);
}

/* @unknown: what a program may of which nothing is known */
static bool ask(struct watch_habits *habits, uint64_t key, bool unknown)
{
	struct watch_habit *habit = slot_of(habits, key);
	bool known, allows;

	pthread_mutex_lock(&habits->lock);
	known = habit->key == key;
	allows = known ? !habit->skip : unknown;
	if (known && habit->skip)
		habit->skip--;
	pthread_mutex_unlock(&habits->lock);
	return allows;
}

bool watch_habit_allows(struct watch_habits *habits, uint64_t key)
{
	return ask(habits, key, true);
}

bool watch_habit_expects(struct watch_habits *habits, uint64_t key)
{
	return ask(habits, key, false);
}

void watch_habit_begin(struct watch_habits *habits, uint64_t key)
{
	struct watch_habit *habit = slot_of(habits, key);

	pthread_mutex_lock(&habits->lock);
	if (habit->key != key)
		*habit = (struct watch_habit){ .key = key };
	pthread_mutex_unlock(&habits->lock);
}

void watch_habit_learn(struct watch_habits *habits, uint64_t key, bool copies)
{
	struct watch_habit *habit = slot_of(habits, key);

	pthread_mutex_lock(&habits->lock);
	if (habit->key != key)
		*habit = (struct watch_habit){ .key = key };
	if (copies)
		habit->next = 1;
	else if (habit->next < SKIP_MAX)
		habit->next = (habit->next ? habit->next : 1) * SKIP_FACTOR;
	habit->skip = copies ? 0 : habit->next;
	pthread_mutex_unlock(&habits->lock);
}
