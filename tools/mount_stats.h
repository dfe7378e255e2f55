/* SPDX-License-Identifier: MIT */
/* What the files of "offlay stats" and "offlay top" share. */
#ifndef OFFLAY_MOUNT_STATS_H
#define OFFLAY_MOUNT_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offlay_trace.h"

/* mount_ask.c: a mount, by any file or directory on it. */

/*
 * Opens @path, which is to be on an offlayfs mount.  Return: 0, or -ENOTTY
 * where it is on something else, or another negative errno.
 */
int mount_ask_open(const char *path, int *ret_fd);
/* Each returns 0 or a negative errno; -ENOTTY: no offlayfs of this age. */
int mount_ask_stats(int fd, struct offlay_ioc_stats *ret_stats);
int mount_ask_trace(int fd, unsigned int flags, struct offlay_ioc_trace *trace);
/* Says what such an error means for @path; an exit code. */
int mount_ask_failed(const char *path, int err);

/* stats_words.c: what counters and gauges are called. */

struct stats_word {
	unsigned int stat; /* enum offlay_stat */
	const char *name;  /* NULL: the last one */
};

/* Counters that make up one thing; groups of one family follow each other. */
struct stats_group {
	const char *title;	    /* of the table */
	const char *key;	    /* in JSON */
	const char *family, *label; /* of Prometheus */
	const char *extra; /* labels that all of the group have, or "" */
	const char *help;
	bool is_bytes;
	const struct stats_word *words;
};
/* NULL behind the last one. */
const struct stats_group *stats_group_at(size_t index);

enum stats_unit { STATS_NUMBER, STATS_BYTES, STATS_NSEC, STATS_SWITCH };
struct stats_gauge {
	unsigned int gauge;
	const char *key, *title;
	const char *family, *help;
	enum stats_unit unit;
};
const struct stats_gauge *stats_gauge_at(size_t index);

/* stats_print.c, stats_prometheus.c: all to stdout */

void stats_print_table(const char *mount, const struct offlay_ioc_stats *stats);
void stats_print_json(const char *mount, const struct offlay_ioc_stats *stats);
void stats_print_prometheus(const char *mount,
			    const struct offlay_ioc_stats *stats);
/* "12.3 us", "1.5 ms", "3.2 s" */
#define STATS_TIME_MAX 24
const char *stats_time(uint64_t nsec, char buf[STATS_TIME_MAX]);

#endif
