/* SPDX-License-Identifier: MIT */
/* What the files of "offlay trace" share. */
#ifndef OFFLAY_MOUNT_TRACE_H
#define OFFLAY_MOUNT_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

/* trace_filter.c: which events are shown; all where nothing is said. */
struct trace_filter {
	uint32_t pid;	      /* of the process or the thread; 0: any */
	uint64_t ops;	      /* bits 1 << enum offlay_op; 0: any */
	unsigned int results; /* bits 1 << enum trace_result; 0: any */
	const char *path;     /* as fnmatch(3), * matches a slash, too */
};
/* Lists with commas.  Return: 0, or -EINVAL with *@ret_bad at the word. */
int trace_filter_ops(struct trace_filter *filter, const char *list,
		     const char **ret_bad);
int trace_filter_results(struct trace_filter *filter, const char *list,
			 const char **ret_bad);
bool trace_filter_passes(const struct trace_filter *filter,
			 const struct trace_record *record);

/* trace_print.c: one line on stdout */
void trace_print_line(const struct trace_record *record, bool color);
void trace_print_lost(uint64_t lost, bool color, bool json);

#endif
