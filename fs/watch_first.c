// SPDX-License-Identifier: MIT
/* Files that were made before anything was opened to be copied into them. */
#include <pthread.h>
#include <sys/stat.h>

#include "watch_habit.h"

void watch_firsts_init(struct watch_firsts *firsts)
{
	*firsts = (struct watch_firsts){ .n = 0 };
	pthread_mutex_init(&firsts->lock, NULL);
}

void watch_firsts_done(struct watch_firsts *firsts)
{
	pthread_mutex_destroy(&firsts->lock);
}

void watch_first_add(struct watch_firsts *firsts, struct file *file,
		     const struct watch_who *who, uint64_t habit)
{
	pthread_mutex_lock(&firsts->lock);
	firsts->slots[firsts->n++ % WATCH_FIRSTS] = (struct watch_first){
		.file = file,
		.who = *who,
		.habit = habit,
	};
	pthread_mutex_unlock(&firsts->lock);
}

void watch_first_remove(struct watch_firsts *firsts, const struct file *file)
{
	pthread_mutex_lock(&firsts->lock);
	for (unsigned int i = 0; i < WATCH_FIRSTS; i++)
		if (firsts->slots[i].file == file)
			firsts->slots[i].file = NULL;
	pthread_mutex_unlock(&firsts->lock);
}

static bool is_empty(const struct file *file)
{
	struct stat st;

	return fstat(file->fd, &st) == 0 && !st.st_size;
}

unsigned int watch_first_list(struct watch_firsts *firsts,
			      const struct watch_who *who,
			      struct watch_first *ret_firsts)
{
	unsigned int count = 0;

	pthread_mutex_lock(&firsts->lock);
	for (unsigned int i = 0; i < WATCH_FIRSTS; i++) {
		const struct watch_first *first = &firsts->slots[i];

		if (first->file && watch_may_know(&first->who, who) &&
		    is_empty(first->file))
			ret_firsts[count++] = *first;
	}
	pthread_mutex_unlock(&firsts->lock);
	return count;
}
