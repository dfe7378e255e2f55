// SPDX-License-Identifier: MIT
/* offlay copy: interrupted, and gone on with. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sample.h"
#include "tool.h"

#define MIB (1u << 20)

/* Large enough to be caught in the middle. */
#define LARGE	 (200ull * MIB)
#define ATTEMPTS 10

TOOL_ON_EACH_BACKING(tool_resume, goes_on_from_what_is_right)
{
	static const struct {
		const char *name;
		const char *script;
		const char *found;
	} rows[] = {
		{ "nothing there", "rm -f b", NULL },
		{ "empty", ": >b", NULL },
		{ "right part", "head -c 3000000 a >b", "2.0 MiB" },
		{ "all of it", "cp a b", "4.8 MiB" },
		{ "longer", "cp a b; echo more >>b", "4.8 MiB" },
		{ "wrong end",
		  "head -c 3000000 a >b; head -c 9999 /dev/zero >>b",
		  "2.0 MiB" },
		{ "wrong start", "head -c 5000000 /dev/zero >b", NULL },
		{ "right size with a gap",
		  "cp a b; dd if=/dev/zero of=b bs=1000 count=1 seek=4100 "
		  "conv=notrunc 2>/dev/null",
		  "3.0 MiB" },
		{ "only as long as it should be",
		  "rm -f b; truncate -s "
		  "5000000 b",
		  NULL },
	};
	struct command_result result;
	char path[PATH_MAX];

	volume_path(path, place->dir, "a");
	sample_file(path, 5000000, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tool_sh(place->dir, rows[i].script, NULL);
		tool_run(place->dir, NULL, "copy -p --resume a b", 0, &result);
		tool_expect_same(place->dir, "a", "b");
		if (rows[i].found)
			cr_expect(strstr(result.out, "Found in place") &&
					  strstr(result.out, rows[i].found),
				  "%s: %s", rows[i].name, result.out);
		else
			cr_expect(!strstr(result.out, "Found in place"),
				  "%s: %s", rows[i].name, result.out);
		tool_sh(place->dir, "test ! a -nt b; test ! a -ot b", NULL);
	}
}

TOOL_ON_EACH_BACKING(tool_resume, does_a_tree_twice)
{
	struct command_result result;

	tool_sh(place->dir,
		"mkdir -p t/d; for i in 1 2 3 4 5; do "
		"head -c 100000 /dev/urandom >t/d/$i; done; ln t/d/1 t/x; "
		"ln -s x t/y; mkfifo t/z",
		NULL);
	tool_run(place->dir, NULL, "copy -a --resume t u", 0, NULL);
	tool_sh(place->dir,
		"truncate -s 50000 u/d/3; printf X | dd of=u/d/4 bs=1 "
		"seek=70000 conv=notrunc 2>/dev/null; rm u/y",
		NULL);
	/* Its content goes into u/t without this. */
	tool_run(place->dir, NULL, "copy -a --resume t/. u", 0, &result);
	tool_expect_text(result.out, "Found in place");
	tool_sh(place->dir, "rsync -naiHAXc --delete t/ u/", &result);
	cr_expect_str_empty(result.out);
}

/* Starts a copy, and stops it when some of it is there. */
static int interrupt(const struct tool_place *place, const char *line,
		     int signal)
{
	pid_t pid = tool_start(place->dir, line);
	int status, waited;

	for (waited = 0; waited < 20000; waited++) {
		if (tool_size(place->dir, "b") > 0)
			break;
		usleep(500);
	}
	kill(pid, signal);
	cr_assert_eq(process_wait(pid, 20000, &status), 0,
		     "the copy does not stop");
	return status;
}

static void interrupt_until_it_hits(const struct tool_place *place,
				    const char *line, int signal)
{
	int status = 0;

	for (int i = 0; i < ATTEMPTS; i++) {
		tool_sh(place->dir, "rm -f b", NULL);
		status = interrupt(place, line, signal);
		if (WIFSIGNALED(status))
			break;
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	cr_assert(WIFSIGNALED(status), "it was too fast %d times", ATTEMPTS);
	cr_expect_eq(WTERMSIG(status), signal);
}

/* A copy that moves data: from a file that cannot be shared. */
static void make_large(const char *dir, char *ret_line, const char *options)
{
	char path[PATH_MAX];

	volume_path(path, dir, "a");
	sample_file(path, LARGE, 7);
	snprintf(ret_line, TOOL_LINE, "copy -q %s '%s' b 2>/dev/null", options,
		 path);
}

Test(tool_resume, takes_away_what_was_interrupted)
{
	struct tool_place place;
	char line[TOOL_LINE], source[PATH_MAX];

	tool_place_init(BACKING_TMPFS, &place);
	volume_scratch_dir("large", source);
	make_large(source, line, "");
	interrupt_until_it_hits(&place, line, SIGINT);
	cr_expect(!tool_exists(place.dir, "b"));
	interrupt_until_it_hits(&place, line, SIGTERM);
	cr_expect(!tool_exists(place.dir, "b"));
	tool_sh(place.dir, "test -z \"$(ls -A)\"", NULL);
}

Test(tool_resume, goes_on_after_an_interruption)
{
	struct command_result result;
	struct tool_place place;
	char line[TOOL_LINE], source[PATH_MAX], path[PATH_MAX];
	int64_t size;

	tool_place_init(BACKING_TMPFS, &place);
	volume_scratch_dir("large", source);
	make_large(source, line, "--resume");
	interrupt_until_it_hits(&place, line, SIGINT);
	size = tool_size(place.dir, "b");
	cr_assert(size > 0 && size < (int64_t)LARGE, "%lld", (long long)size);
	volume_path(path, source, "a");
	snprintf(line, sizeof(line), "cmp -n %lld '%s' b", (long long)size,
		 path);
	tool_sh(place.dir, line, NULL);
	snprintf(line, sizeof(line), "copy --resume '%s' b", path);
	tool_run(place.dir, NULL, line, 0, &result);
	tool_expect_text(result.out, "Found in place");
	snprintf(line, sizeof(line), "cmp '%s' b; rm b", path);
	tool_sh(place.dir, line, NULL);
}

/* Killed, it can tell nobody; what it leaves is found all the same. */
Test(tool_resume, goes_on_after_a_kill)
{
	struct tool_place place;
	char line[TOOL_LINE], source[PATH_MAX], path[PATH_MAX];

	tool_place_init(BACKING_EXT4, &place);
	volume_scratch_dir("large", source);
	make_large(source, line, "");
	interrupt_until_it_hits(&place, line, SIGKILL);
	cr_assert(tool_exists(place.dir, "b"));
	volume_path(path, source, "a");
	snprintf(line, sizeof(line), "copy --resume '%s' b", path);
	tool_run(place.dir, NULL, line, 0, NULL);
	snprintf(line, sizeof(line), "cmp '%s' b; rm b", path);
	tool_sh(place.dir, line, NULL);
}
