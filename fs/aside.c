// SPDX-License-Identifier: MIT
/* A few threads, made on demand, for requests that wait for other requests. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "aside.h"
#include "thread.h"

#define THREADS_MAX 4

struct aside {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	struct aside_job *first, **last;
	pthread_t threads[THREADS_MAX];
	unsigned int n_threads, n_idle, n_queued;
	bool stop;
};

int aside_new(struct aside **ret_aside)
{
	struct aside *aside = calloc(1, sizeof(*aside));

	if (!aside)
		return -ENOMEM;
	pthread_mutex_init(&aside->lock, NULL);
	pthread_cond_init(&aside->wake, NULL);
	aside->last = &aside->first;
	*ret_aside = aside;
	return 0;
}

static struct aside_job *take(struct aside *aside)
{
	struct aside_job *job;

	aside->n_idle++;
	while (!aside->first && !aside->stop)
		pthread_cond_wait(&aside->wake, &aside->lock);
	aside->n_idle--;
	job = aside->first;
	if (job) {
		aside->n_queued--;
		aside->first = job->next;
		if (!aside->first)
			aside->last = &aside->first;
	}
	return job;
}

static void *work(void *arg)
{
	struct aside *aside = arg;
	struct aside_job *job;

	thread_roams();
	pthread_mutex_lock(&aside->lock);
	while ((job = take(aside))) {
		pthread_mutex_unlock(&aside->lock);
		job->run(job);
		pthread_mutex_lock(&aside->lock);
	}
	pthread_mutex_unlock(&aside->lock);
	return NULL;
}

int aside_queue(struct aside *aside, struct aside_job *job)
{
	int err = 0;

	pthread_mutex_lock(&aside->lock);
	if (!aside->stop && aside->n_queued >= aside->n_idle &&
	    aside->n_threads < THREADS_MAX &&
	    !pthread_create(&aside->threads[aside->n_threads], NULL, work,
			    aside))
		aside->n_threads++;
	if (aside->n_threads && !aside->stop) {
		job->next = NULL;
		*aside->last = job;
		aside->last = &job->next;
		aside->n_queued++;
		pthread_cond_signal(&aside->wake);
	} else {
		err = -ENOMEM;
	}
	pthread_mutex_unlock(&aside->lock);
	return err;
}

void aside_stop(struct aside *aside)
{
	unsigned int n;

	pthread_mutex_lock(&aside->lock);
	aside->stop = true;
	n = aside->n_threads;
	aside->n_threads = 0;
	pthread_cond_broadcast(&aside->wake);
	pthread_mutex_unlock(&aside->lock);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(aside->threads[i], NULL);
}

void aside_free(struct aside *aside)
{
	if (!aside)
		return;
	aside_stop(aside);
	pthread_cond_destroy(&aside->wake);
	pthread_mutex_destroy(&aside->lock);
	free(aside);
}
