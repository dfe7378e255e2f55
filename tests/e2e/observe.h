/* SPDX-License-Identifier: MIT */
/* What the tests of statistics and trace share: a mount, and work on it. */
#ifndef E2E_OBSERVE_H
#define E2E_OBSERVE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mount.h"
#include "offlay_trace.h"
#include "volume.h"

/* Sizes of the files, and how a copy at +1 is cut on 4 KiB blocks. */
#define OBSERVE_SIZE	(1ull << 20)
#define OBSERVE_ODD	100000ull
#define OBSERVE_ODD_MID 94208ull
#define OBSERVE_THREADS 8

struct observe_place {
	struct volume volume;
	char dir[PATH_MAX]; /* on the backing: "data", and sparse "holes" */
	struct mount mount;
};

/* On btrfs, with these options of the mount; skips where that is missing. */
void observe_open(enum mount_mode mode, const char *options,
		  struct observe_place *ret_place);
void observe_close(struct observe_place *place);

int observe_file(const struct observe_place *place, const char *name,
		 int flags);
/* copy_file_range(): the count or a negative errno. */
ssize_t observe_copy(int src, off_t src_at, int dst, off_t dst_at,
		     size_t length);
/*
 * Eight threads, each into a file of its own, "dst-0" to "dst-7", @rounds times:
 * a whole file, a part at offset 1, and a sparse file, which is refused.
 */
void observe_work(const struct observe_place *place, unsigned int rounds);

void observe_stats(const struct observe_place *place,
		   struct offlay_ioc_stats *ret_stats);
/* Waits until as many listen, for ten seconds at most. */
void observe_wait_readers(const struct observe_place *place, uint64_t n);

/* Runs the tool with the words of a line for sh; "$1" is the mount. */
int observe_tool(const struct observe_place *place, const struct user *user,
		 const char *line, struct command_result *ret);
/* The same without waiting, its output in a file of that name. */
pid_t observe_start(const struct observe_place *place, const char *line,
		    const char *out);
/* Lines of a file that contain @part. */
uint64_t observe_lines(const char *path, const char *part);
/* Waits until there are @n of these, for ten seconds at most. */
void observe_wait_lines(const char *path, const char *part, uint64_t n);
/*
 * Runs a Python program over the lines of a file, each parsed as JSON into
 * the list @events; fails the test unless it prints @expected.
 */
void observe_json(const char *path, const char *program, const char *expected);

/*
 * exposition.c: is @text what Prometheus calls its text format, version
 * 0.0.4?  @why: room for what is wrong, and where.
 */
bool exposition_is_valid(const char *text, char *why, size_t size);
/* The value of one sample, by its name and labels as written; or NAN. */
double exposition_value(const char *text, const char *series);

#endif
