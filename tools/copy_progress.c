// SPDX-License-Identifier: MIT
/* The progress line of "offlay copy", drawn by a thread of its own. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "copy.h"
#include "tools.h"

/* Short work ends before anything is drawn. */
#define FIRST_MS 400
#define NEXT_MS	 200

#define LINE_MAX_BYTES 256
#define BAR_WIDTH      24

struct copy_progress {
	const struct copy_run *run;
	struct timespec start;
	pthread_t thread;
	pthread_mutex_t lock; /* guards is_over */
	pthread_cond_t over;
	bool is_over;
};

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/**
 * copy_progress_line() - what the line says
 * @done: bytes that are copied
 * @expected: bytes in all, 0 where nobody knows
 * @files: names that are done
 * @seconds: since the start
 * @buf: gets the line, without a newline
 */
void copy_progress_line(uint64_t done, uint64_t expected, uint64_t files,
			double seconds, char *buf, size_t size)
{
	char now[TEXT_SIZE_MAX], all[TEXT_SIZE_MAX], rate[TEXT_SIZE_MAX];
	char bar[BAR_WIDTH + 1];
	double share, left;
	size_t filled;

	text_size(done, now);
	text_size(seconds > 0 ? (uint64_t)((double)done / seconds) : 0, rate);
	if (!expected) {
		snprintf(buf, size, "%" PRIu64 " files, %s, %s/s", files, now,
			 rate);
		return;
	}
	share = done < expected ? (double)done / (double)expected : 1;
	filled = (size_t)(share * BAR_WIDTH);
	memset(bar, '#', filled);
	memset(bar + filled, '.', BAR_WIDTH - filled);
	bar[BAR_WIDTH] = '\0';
	left = share > 0 ? seconds * (1 - share) / share : 0;
	snprintf(buf, size, "[%s] %3d%%  %s of %s, %s/s, %d:%02d left", bar,
		 (int)(share * 100), now, text_size(expected, all), rate,
		 (int)left / 60, (int)left % 60);
}

static size_t terminal_width(void)
{
	struct winsize window;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) || !window.ws_col)
		return 80;
	return window.ws_col;
}

static void draw(const struct copy_progress *progress)
{
	const struct copy_totals *totals = &progress->run->totals;
	size_t width = terminal_width();
	char line[LINE_MAX_BYTES];

	copy_progress_line(totals->cloned + totals->offloaded + totals->moved +
				   totals->holes + totals->resumed,
			   progress->run->expected,
			   totals->files + totals->links + totals->symlinks +
				   totals->specials,
			   seconds_since(&progress->start), line, sizeof(line));
	/* A line that wraps could not be taken away again. */
	if (width <= strlen(line))
		line[width - 1] = '\0';
	report_status(line);
}

static void add_ms(struct timespec *time, long ms)
{
	time->tv_nsec += ms * 1000000;
	time->tv_sec += time->tv_nsec / 1000000000;
	time->tv_nsec %= 1000000000;
}

static void *draw_on(void *arg)
{
	struct copy_progress *progress = arg;
	struct timespec next = progress->start;

	add_ms(&next, FIRST_MS);
	pthread_mutex_lock(&progress->lock);
	while (!progress->is_over) {
		if (pthread_cond_timedwait(&progress->over, &progress->lock,
					   &next) != ETIMEDOUT)
			continue;
		draw(progress);
		add_ms(&next, NEXT_MS);
	}
	pthread_mutex_unlock(&progress->lock);
	report_status(NULL);
	return NULL;
}

/**
 * copy_progress_start() - begin to draw
 * @run: command; lives longer than the progress
 * @ret_progress: set on success
 *
 * Return: 0 or -errno.
 */
int copy_progress_start(const struct copy_run *run,
			struct copy_progress **ret_progress)
{
	struct copy_progress *progress = calloc(1, sizeof(*progress));
	pthread_condattr_t attr;
	int err;

	if (!progress)
		return -ENOMEM;
	progress->run = run;
	clock_gettime(CLOCK_MONOTONIC, &progress->start);
	pthread_mutex_init(&progress->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->over, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&progress->thread, NULL, draw_on, progress);
	if (err) {
		pthread_cond_destroy(&progress->over);
		pthread_mutex_destroy(&progress->lock);
		free(progress);
		return -err;
	}
	*ret_progress = progress;
	return 0;
}

/**
 * copy_progress_stop() - take the line away
 * @progress: progress, or NULL
 */
void copy_progress_stop(struct copy_progress *progress)
{
	if (!progress)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->is_over = true;
	pthread_cond_signal(&progress->over);
	pthread_mutex_unlock(&progress->lock);
	pthread_join(progress->thread, NULL);
	pthread_cond_destroy(&progress->over);
	pthread_mutex_destroy(&progress->lock);
	free(progress);
}
