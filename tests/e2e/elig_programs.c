// SPDX-License-Identifier: MIT
/* Programs that people copy with end with correct files in every mode. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elig_files.h"
#include "elig_table.h"
#include "mount.h"
#include "process.h"
#include "sample.h"
#include "volume.h"

#define SHUTIL "import shutil, sys; shutil.copy2(sys.argv[1], sys.argv[2])"

/* SRC and DST stand for the two files. */
static char *const programs[][8] = {
	{ "cp", "SRC", "DST" },
	{ "cp", "-p", "--sparse=always", "SRC", "DST" },
	{ "cp", "--reflink=never", "SRC", "DST" },
	{ "rsync", "-a", "SRC", "DST" },
	{ "rsync", "-a", "--inplace", "SRC", "DST" },
	{ "python3", "-c", SHUTIL, "SRC", "DST" },
	{ "dd", "if=SRC", "of=DST", "bs=64k", "status=none" },
	{ "dd", "if=SRC", "of=DST", "bs=1M", "conv=notrunc", "status=none" },
	{ "install", "-m", "644", "SRC", "DST" },
	{ "mv", "SRC", "DST" },
};

#define PROGRAMS (sizeof(programs) / sizeof(*programs))

/* What each mode does is the tables' matter; here only data counts. */
static const char *const option_sets[] = {
	NULL,
	"refuse=kernel",
	"refuse=copy",
	"offload=clone",
	"profile=transparent",
};

static const enum mount_mode modes[] = { MODE_PASSTHROUGH,
					 MODE_NO_PASSTHROUGH };

struct trial {
	const struct volume *volume;
	const struct mount *mount;
	const char *what;				   /* for messages */
	char src[PATH_MAX], dst[PATH_MAX], same[PATH_MAX]; /* on the backing */
	char src_above[PATH_MAX], dst_above[PATH_MAX];
};

/* The program's words with the two paths in the place of SRC and DST. */
static void run_program(char *const words[8], const struct trial *trial)
{
	static char args[8][PATH_MAX + 8];
	struct command_result result;
	char *argv[9] = { NULL };

	for (int i = 0; i < 8 && words[i]; i++) {
		const char *mark = strstr(words[i], "SRC");
		const char *path = trial->src_above;

		if (!mark) {
			mark = strstr(words[i], "DST");
			path = trial->dst_above;
		}
		if (mark)
			snprintf(args[i], sizeof(args[i]), "%.*s%s",
				 (int)(mark - words[i]), words[i], path);
		argv[i] = mark ? args[i] : words[i];
	}
	command_run(argv, NULL, 60, &result);
	cr_expect_eq(result.status, 0, "%s: %s %s ended with %d: %s",
		     trial->what, words[0], words[1], result.status,
		     result.err);
}

static void check_same(const struct trial *trial, const char *program)
{
	uint64_t at = 0;

	cr_expect_eq(sample_is_same(trial->same, trial->dst, &at), 1,
		     "%s: %s: the backing differs at %llu", trial->what,
		     program, (unsigned long long)at);
	cr_expect_eq(sample_is_same(trial->same, trial->dst_above, &at), 1,
		     "%s: %s: the mount differs at %llu", trial->what, program,
		     (unsigned long long)at);
}

/* Keeps what the source holds, whatever the program does with it. */
static void keep_source(const struct trial *trial)
{
	static char buf[4 * ELIG_BLOCK];
	int src = open(trial->src, O_RDONLY | O_CLOEXEC);
	int same = open(trial->same, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
	ssize_t n;

	cr_assert_geq(src, 0);
	cr_assert_geq(same, 0);
	n = read(src, buf, sizeof(buf));
	cr_assert(n >= 0 && n < (ssize_t)sizeof(buf));
	cr_assert_eq(write(same, buf, (size_t)n), n);
	close(src);
	close(same);
}

static void name_files(struct trial *trial, const char *dir)
{
	static unsigned int serial;
	char name[64];

	snprintf(name, sizeof(name), "%sa%u", dir, ++serial);
	volume_path(trial->src, trial->volume->root, name);
	volume_path(trial->src_above, trial->mount->point, name);
	/* mv goes into another directory. */
	snprintf(name, sizeof(name), "%ssub/b%u", dir, serial);
	volume_path(trial->dst, trial->volume->root, name);
	volume_path(trial->dst_above, trial->mount->point, name);
	volume_path(trial->same, trial->volume->root, "same");
}

/* The row's file as source of a new file, or plain data over the row's file. */
static void try_program(struct trial *trial, const struct elig_row *row,
			bool is_source, char *const words[8])
{
	const char *made = is_source ? trial->src : trial->dst;

	name_files(trial, elig_is_encrypted(row->cell[0]) ? "encrypted/" : "");
	if (!is_source)
		elig_fill(trial->src, 3 * ELIG_BLOCK + 777, 5);
	cr_assert_eq(elig_make(trial->volume, row->cell[0], made), 0);
	keep_source(trial);
	run_program(words, trial);
	check_same(trial, words[0]);
	unlink(trial->src);
	unlink(trial->dst);
}

static void make_sub(const struct volume *volume, const char *name)
{
	char path[PATH_MAX];

	volume_path(path, volume->root, name);
	if (mkdir(path, 0755) < 0)
		cr_assert_eq(errno, EEXIST, "%s", path);
}

/* Rows and programs in turn: all pairs would take too long in CI. */
static void try_all(const struct volume *volume, const struct elig_table *table,
		    enum mount_mode mode, const char *options,
		    unsigned int turn)
{
	struct mount mount;
	char what[160];
	struct trial trial = { .volume = volume,
			       .mount = &mount,
			       .what = what };

	mount_open_mode(volume->root, mode, options, &mount);
	for (size_t i = 0; i < table->count; i++) {
		const struct elig_row *row = &table->row[i];

		if (strcmp(row->cell[3], "any") &&
		    strcmp(row->cell[3], backing_name(volume->backing)))
			continue;
		if (volume->backing == BACKING_TMPFS &&
		    !strncmp(row->cell[0], "DOS", 3))
			continue;
		snprintf(what, sizeof(what), "%s, %s, -o %s, '%s'",
			 backing_name(volume->backing), mode_name(mode),
			 options ? options : "(none)", row->cell[0]);
		/* 3 and 10 have no common factor: all pairs come in turn. */
		try_program(&trial, row, (i + turn / 2) % 2,
			    programs[(i + 3 * turn) % PROGRAMS]);
	}
	mount_close(&mount);
}

static void copy_with_programs(enum backing backing)
{
	struct elig_table table;
	struct volume volume;
	unsigned int turn = 0;

	if (!backing_is_selected(backing))
		volume_skip(backing_name(backing), "not selected");
	elig_table_read("file", 4, &table);
	elig_volume(backing, &volume);
	make_sub(&volume, "sub");
	make_sub(&volume, "encrypted/sub");
	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++)
		for (size_t i = 0;
		     i < sizeof(option_sets) / sizeof(*option_sets); i++)
			try_all(&volume, &table, modes[m], option_sets[i],
				turn++);
}

Test(elig_programs, btrfs, .timeout = 300)
{
	copy_with_programs(BACKING_BTRFS);
}

Test(elig_programs, xfs, .timeout = 300)
{
	copy_with_programs(BACKING_XFS);
}

Test(elig_programs, ext4, .timeout = 300)
{
	copy_with_programs(BACKING_EXT4);
}

Test(elig_programs, tmpfs, .timeout = 300)
{
	copy_with_programs(BACKING_TMPFS);
}

VOLUME_MAIN;
