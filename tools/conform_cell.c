// SPDX-License-Identifier: MIT
/* Runs the program once: one file, one behaviour. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"
#include "tools.h"

#define TICK_MS 5    /* while we wait for the copy to be held */
#define TERM_MS 300  /* for the signal to arrive before the copy goes on */
#define KILL_MS 5000 /* for a killed program to be gone */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* All that belongs to one run. */
struct trial {
	struct conform_run *run;
	struct conform_cell *cell;
	struct conform_command command;
	struct conform_outcome outcome;
	char dir[32]; /* of the copy, below "out" */
	int dir_fd;
	uint64_t end;	  /* by now_ms() */
	uint64_t release; /* when what is held goes on; 0 for at once */
	bool acted;
};

/* Of run->intact. */
static uint32_t bit_of(const struct conform_file *file)
{
	return 1u << (file - conform_files);
}

/* The original is kept; what is copied is made of the same bytes. */
static int prepare_files(struct trial *trial)
{
	const struct conform_place *place = trial->run->place;
	const struct conform_cell *cell = trial->cell;
	enum conform_action action = cell->behaviour->action;
	struct stat st;
	int err = 0;

	if (fstatat(place->kept_fd, cell->file->path, &st, 0) < 0)
		err = conform_corpus_make(place->kept_fd, cell->file);
	if (!err && !(trial->run->intact & bit_of(cell->file)))
		err = conform_corpus_make(place->in_fd, cell->file);
	trial->run->intact &= ~bit_of(cell->file);
	if (!err && action != CONFORM_NOTHING && action != CONFORM_SIGNAL)
		err = conform_corpus_change(place->kept_fd, CONFORM_CHANGED,
					    cell->file, action);
	if (err)
		return err;
	snprintf(trial->dir, sizeof(trial->dir), "%u", trial->run->number++);
	if (mkdirat(place->out_fd, trial->dir, 0755) < 0)
		return -errno;
	trial->dir_fd = openat(place->out_fd, trial->dir,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return trial->dir_fd < 0 ? -errno : 0;
}

static int set_rules(struct trial *trial)
{
	char *text = conform_rules_text(trial->cell->behaviour,
					conform_corpus_data(trial->cell->file),
					trial->run->opt->seed);
	int err;

	if (!text)
		return -ENOMEM;
	err = conform_mount_rules(trial->run->mount, text);
	free(text);
	return err;
}

static int start_program(struct trial *trial)
{
	const struct conform_place *place = trial->run->place;
	char src[2 * PATH_MAX], dst[2 * PATH_MAX];
	char **words;
	int err;

	snprintf(src, sizeof(src), "%s/in/%s", place->point,
		 trial->cell->file->path);
	snprintf(dst, sizeof(dst), "%s/out/%s/%s", place->point, trial->dir,
		 trial->cell->file->path);
	words = conform_command_words(trial->run->opt->command, src, dst);
	if (!words)
		return -ENOMEM;
	err = conform_command_start(words, &trial->command);
	conform_command_free(words);
	return err;
}

/* What the behaviour is about; the copy is held meanwhile. */
static int act(struct trial *trial)
{
	enum conform_action action = trial->cell->behaviour->action;
	int in_fd, err;

	if (action == CONFORM_SIGNAL) {
		trial->outcome.was_signalled = true;
		conform_command_kill(&trial->command, SIGTERM);
		return 0;
	}
	in_fd = openat(trial->run->mount->fd, "in",
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in_fd < 0)
		return -errno;
	err = conform_corpus_act(in_fd, trial->cell->file, action);
	close(in_fd);
	trial->outcome.action = action;
	return err;
}

/* Return: 0 to go on waiting, or a negative errno. */
static int look_for_hold(struct trial *trial)
{
	uint64_t all, last;
	int err;

	err = conform_mount_hits(trial->run->mount, &all, &last);
	if (err || !last)
		return err;
	trial->acted = true;
	trial->cell->met = true;
	err = act(trial);
	if (!err && trial->cell->behaviour->action == CONFORM_SIGNAL)
		trial->release = now_ms() + TERM_MS;
	else if (!err)
		err = conform_mount_clear(trial->run->mount);
	return err;
}

/* A program that does not heed the signal goes on copying. */
static int look_for_release(struct trial *trial)
{
	if (!trial->release || now_ms() < trial->release)
		return 0;
	trial->release = 0;
	return conform_mount_clear(trial->run->mount);
}

static int wait_for_program(struct trial *trial)
{
	bool acts = trial->cell->behaviour->action != CONFORM_NOTHING;
	int err = 0;

	while (!err && !conform_is_stopped()) {
		uint64_t now = now_ms(), left;

		if (now >= trial->end) {
			trial->outcome.timed_out = true;
			break;
		}
		left = trial->end - now;
		if (((acts && !trial->acted) || trial->release) &&
		    left > TICK_MS)
			left = TICK_MS;
		if (conform_command_wait(&trial->command, (int)left))
			break;
		if (acts && !trial->acted)
			err = look_for_hold(trial);
		else
			err = look_for_release(trial);
	}
	return err;
}

/*
 * Nothing may hold a process that was killed; where one stays all the same,
 * its requests go down with the mount.
 */
static int end_program(struct trial *trial)
{
	struct conform_mount *mount = trial->run->mount;
	uint64_t all, last, end = now_ms() + KILL_MS;
	int err;

	err = conform_mount_hits(mount, &all, &last);
	if (!err && all && trial->cell->behaviour->action == CONFORM_NOTHING)
		trial->cell->met = true;
	if (!*trial->cell->behaviour->rules)
		trial->cell->met = true;
	if (!err)
		err = conform_mount_clear(mount);
	conform_command_kill(&trial->command, SIGKILL);
	while (trial->command.pid && now_ms() < end)
		conform_command_wait(&trial->command, 50);
	if (trial->command.pid) {
		conform_mount_stop(mount);
		if (!err)
			err = conform_mount_start(mount) ? -EIO : 0;
	}
	conform_command_done(&trial->command);
	trial->outcome.status = trial->command.status;
	return err;
}

static char *first_line(const char *said)
{
	size_t length = strcspn(said, "\n");

	return length ? strndup(said, length) : NULL;
}

static int judge(struct trial *trial)
{
	struct conform_cell *cell = trial->cell;
	struct conform_outcome *outcome = &trial->outcome;
	enum conform_action action = cell->behaviour->action;
	int err;

	err = conform_measure(trial->run, cell, trial->dir_fd, outcome);
	if (err)
		return err;
	if (outcome->action == CONFORM_NOTHING)
		outcome->src_changed =
			!conform_measure_src(trial->run, cell->file);
	if (outcome->action == CONFORM_NOTHING && !outcome->src_changed)
		trial->run->intact |= bit_of(cell->file);
	cell->status = outcome->status;
	cell->result = conform_judge(outcome, cell->behaviour->may_fail,
				     cell->met, cell->detail);
	cell->said = first_line(trial->command.said);
	if ((cell->result == CONFORM_COPIED || cell->result == CONFORM_UNMET) &&
	    (action == CONFORM_NOTHING || action == CONFORM_SIGNAL))
		conform_measure_extents(trial->run, trial->dir_fd, cell);
	return 0;
}

static void clean_up(struct trial *trial)
{
	const struct conform_place *place = trial->run->place;

	if (trial->dir_fd < 0)
		return;
	if (!trial->run->opt->keep || trial->cell->result != CONFORM_FAILED) {
		conform_place_empty(trial->dir_fd);
		unlinkat(place->out_fd, trial->dir, AT_REMOVEDIR);
	}
	close(trial->dir_fd);
	unlinkat(place->kept_fd, CONFORM_CHANGED, 0);
}

/**
 * conform_cell_run() - try one file with one behaviour
 * @cell: behaviour and file are set; gets the rest
 *
 * Return: 0, -ECANCELED where we were stopped, -ENOEXEC where the program
 * cannot be run (reported), or another error of ours.
 */
int conform_cell_run(struct conform_run *run, struct conform_cell *cell)
{
	struct trial trial = { .run = run, .cell = cell, .dir_fd = -1 };
	uint64_t start = now_ms();
	int err, end_err;

	cell->shared = cell->holes = CONFORM_NA;
	err = prepare_files(&trial);
	if (!err)
		err = set_rules(&trial);
	if (err) {
		clean_up(&trial);
		return err;
	}
	start = now_ms();
	err = start_program(&trial);
	if (err) {
		report_error("cannot run %s: %s", run->opt->command[0],
			     strerror(-err));
		conform_mount_clear(run->mount);
		clean_up(&trial);
		return -ENOEXEC;
	}
	trial.end = start + run->opt->timeout_ms;
	err = wait_for_program(&trial);
	cell->seconds = (double)(now_ms() - start) / 1000;
	end_err = end_program(&trial);
	if (!err)
		err = end_err;
	if (!err && conform_is_stopped())
		err = -ECANCELED;
	if (!err)
		err = judge(&trial);
	clean_up(&trial);
	return err;
}
