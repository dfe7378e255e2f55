// SPDX-License-Identifier: MIT
/*
 * Random programs that copy by hand, run through a mount and on the bare
 * backing in step: every result and every byte must be the same.
 *
 * $OFFLAY_SEED repeats a run; $OFFLAY_STEPS sets the number of programs.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "accel.h"
#include "accel_random.h"
#include "extents.h"
#include "mount.h"
#include "sample.h"
#include "volume.h"

uint64_t program_below(struct program *p, uint64_t bound)
{
	return bound ? sample_below(&p->rng, bound) : 0;
}

void program_note(struct program *p, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->history[p->steps++ % N_HISTORY], sizeof(p->history[0]),
		  fmt, args);
	va_end(args);
}

void program_fail(struct program *p, const char *what)
{
	for (unsigned int i = 0; i < p->steps && i < N_HISTORY; i++)
		fprintf(stderr, "  %s\n", p->history[i]);
	cr_assert_fail("OFFLAY_SEED=%llu OFFLAY_STEPS=1: %s",
		       (unsigned long long)p->seed, what);
	abort();
}

void program_same(struct program *p, const long long result[N_SIDES],
		  const char *what)
{
	char text[128];

	if (result[MOUNTED] == result[BARE])
		return;
	snprintf(text, sizeof(text), "%s: %lld where the backing has %lld",
		 what, result[MOUNTED], result[BARE]);
	program_fail(p, text);
}

const char *program_path(const char *dir, const char *name)
{
	static char paths[4][2 * PATH_MAX];
	static unsigned int last;
	char *path = paths[last++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

int program_reader_begin(const struct side *side, const char *dir)
{
	return side->reader >= 0 ? side->reader
				 : open(program_path(dir, "dst"), O_RDONLY);
}

void program_reader_end(const struct side *side, int fd)
{
	if (side->reader < 0)
		close(fd);
}

/* ---------------------------------------------------------------- programs */

static int open_source(const struct side *side)
{
	return open(program_path(side->dir, "src"), O_RDONLY);
}

/* So that the next destination is watched, though no source is open. */
static void open_lesson_first(const struct side *side)
{
	int dst = open(program_path(side->dir, "lesson"),
		       O_WRONLY | O_CREAT | O_TRUNC, 0644);

	close(open_source(side));
	close(dst);
}

static void begin(struct program *p, uint64_t seed)
{
	static const int flags[] = { O_WRONLY,
				     O_WRONLY,
				     O_RDWR,
				     O_WRONLY | O_EXCL,
				     O_WRONLY | O_APPEND,
				     O_WRONLY | O_DSYNC };
	int flag;
	char name[16];
	bool reads, late;

	p->rng.state = p->seed = seed;
	p->steps = 0;
	p->src_at = p->dst_at = 0;
	/* No program is to be judged by the last one. */
	snprintf(name, sizeof(name), "p%x", (unsigned int)seed);
	prctl(PR_SET_NAME, name);
	p->src_size = SRC_MIN + program_below(p, SRC_MAX - SRC_MIN);
	if (program_below(p, 2))
		p->src_size -= p->src_size % 4096;
	flag = flags[program_below(p, program_below(p, 4) ? 4 : 6)];
	/* Small writes are gathered only while nobody else has it open. */
	reads = program_below(p, 2);
	/* The source is opened after the destination. */
	late = !program_below(p, 4);
	sample_fill(&p->rng, p->noise, p->src_size);
	for (int i = 0; i < N_SIDES; i++) {
		struct side *side = &p->sides[i];
		int fd = open(program_path(p->below ? side->back : side->dir,
					   "src"),
			      O_WRONLY | O_CREAT | O_TRUNC, 0644);

		cr_assert_eq(write(fd, p->noise, p->src_size),
			     (ssize_t)p->src_size);
		close(fd);
		unlink(program_path(side->dir, "dst"));
		side->writer = -1;
		side->map = NULL;
		if (late)
			open_lesson_first(side);
		else
			side->src = open_source(side);
		side->dst = open(program_path(side->dir, "dst"),
				 O_CREAT | O_TRUNC | flag, 0644);
		side->reader = -1;
		if (reads)
			side->reader = program_reader_begin(side, side->dir);
		if (late)
			side->src = open_source(side);
		cr_assert(side->src >= 0 && side->dst >= 0 &&
			  reads == (side->reader >= 0));
	}
	program_note(p, "a source of %zu, flags %#o%s%s", p->src_size, flag,
		     reads ? "" : ", no reader", late ? ", late" : "");
}

/*
 * What was written must be there, and be no hole.  XFS tells of its own spare
 * blocks, and of zeros in the page cache, as it likes.
 */
static void compare_holes(struct program *p)
{
	if (p->is_btrfs)
		BOTH(p, "SEEK_HOLE",
		     accel_first_hole(program_path(side->back, "dst")));
}

static void count_shared(struct program *p)
{
	struct extent_usage usage;

	if (p->seed % 2 == 0 &&
	    extents_usage(program_path(p->sides[MOUNTED].back, "dst"),
			  &usage) == 0)
		p->shared += usage.shared;
}

static void compare(struct program *p, const char *dir)
{
	uint64_t at = 0;
	int err;

	err = sample_is_same(program_path(dir, "dst"),
			     program_path(p->sides[BARE].dir, "dst"), &at);
	if (err == 1)
		return;
	program_note(p, "%s differs at %llu", dir, (unsigned long long)at);
	program_fail(p, "the destination is not what it must be");
}

static void end(struct program *p)
{
	program_unmap(p);
	for (int i = 0; i < N_SIDES; i++) {
		struct side *side = &p->sides[i];

		close(side->src);
		close(side->dst);
		if (side->reader >= 0)
			close(side->reader);
		if (side->writer >= 0)
			close(side->writer);
	}
	count_shared(p);
	compare_holes(p);
	compare(p, p->sides[MOUNTED].dir);
	compare(p, p->sides[MOUNTED].back);
}

static void run_program(struct program *p, uint64_t seed)
{
	unsigned int count;

	begin(p, seed);
	count = 4 + (unsigned int)program_below(p, MAX_OPS - 4);
	while (count--)
		program_step(p);
	end(p);
}

struct param {
	enum backing backing;
	enum mount_mode mode;
	bool deny_none;
};

ParameterizedTestParameters(accel_random, makes_the_same_files)
{
	static const struct param params[] = {
		{ BACKING_BTRFS, MODE_PASSTHROUGH, false },
		{ BACKING_BTRFS, MODE_NO_PASSTHROUGH, true },
		{ BACKING_XFS, MODE_PASSTHROUGH, true },
		{ BACKING_XFS, MODE_NO_PASSTHROUGH, false },
		{ BACKING_XFS, MODE_USER, true },
	};

	return cr_make_param_array(struct param, (void *)params,
				   sizeof(params) / sizeof(*params));
}

ParameterizedTest(const struct param *param, accel_random, makes_the_same_files,
		  .timeout = 3600)
{
	const char *steps = getenv("OFFLAY_STEPS");
	unsigned long count = steps ? strtoul(steps, NULL, 10)
				    : sample_amount(60, 400, 20000);
	uint64_t seed = sample_seed();
	static struct program program;
	struct volume volume;
	struct mount mount;
	char root[PATH_MAX];

	if (!backing_is_selected(param->backing))
		volume_skip(backing_name(param->backing), "not selected");
	volume_get(param->backing, 0, &volume);
	volume_dir(&volume, "mounted", root);
	mount_open_mode(root, param->mode,
			param->deny_none ? "accel,deny=none" : "accel", &mount);
	snprintf(program.sides[MOUNTED].dir, PATH_MAX, "%s", mount.point);
	snprintf(program.sides[MOUNTED].back, PATH_MAX, "%s", root);
	volume_dir(&volume, "bare", root);
	snprintf(program.sides[BARE].dir, PATH_MAX, "%s", root);
	snprintf(program.sides[BARE].back, PATH_MAX, "%s", root);
	if (param->mode == MODE_USER) {
		cr_assert_eq(chown(root, mount_user.uid, mount_user.gid), 0);
		cr_assert_eq(user_enter(&mount_user), 0);
	}
	program.noise = malloc(SRC_MAX);
	for (int i = 0; i < N_SIDES; i++)
		program.sides[i].buf = malloc(DST_MAX);
	program.is_btrfs = param->backing == BACKING_BTRFS;
	program.below = param->mode == MODE_PASSTHROUGH;
	for (unsigned long i = 0; i < count; i++)
		run_program(&program, seed + i);
	if (param->mode == MODE_USER)
		cr_assert_eq(user_leave(), 0);
	mount_close(&mount);
	fprintf(stderr, "%llu bytes shared\n",
		(unsigned long long)program.shared);
	/* Enough of it must have happened for this to be a test. */
	cr_expect(program.shared > count * 1024);
	for (int i = 0; i < N_SIDES; i++)
		free(program.sides[i].buf);
	free(program.noise);
}

VOLUME_MAIN;
