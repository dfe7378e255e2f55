/* SPDX-License-Identifier: MIT */
/* What the files of "offlay top" share. */
#ifndef OFFLAY_TOP_H
#define OFFLAY_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mount_stats.h"
#include "trace.h"

/* top_table.c: who copies what, from events; pure. */

#define TOP_ROWS     64
#define TOP_PATH_MAX 256
/* Rounds that a process is shown after its last copy. */
#define TOP_ROUNDS 60

struct top_row {
	uint32_t pid; /* of the process, or of the thread where only that */
	char comm[TRACE_COMM_MAX];
	char path[TOP_PATH_MAX]; /* of its last copy, cut at the front */
	/* Since it was first seen. */
	uint64_t copies, shared, moved, refused;
	/* In this round, and a second in the last one. */
	uint64_t round_copies, round_bytes;
	double copy_rate, byte_rate;
	unsigned int idle; /* rounds without a copy */
};

struct top_table {
	struct top_row rows[TOP_ROWS];
	size_t count;
	uint64_t lost; /* events that came too fast */
};

void top_table_add(struct top_table *table, const struct trace_record *record);
/* Ends a round: rates, and the rows in order, the busiest first. */
void top_table_round(struct top_table *table, double seconds);

/* top_draw.c: the screen, by curses. */

struct top_view {
	const char *mount;
	bool may_trace; /* else the table is for others to see */
	double seconds; /* of the last round */
	struct offlay_ioc_stats now, before;
	struct top_table table;
};

enum top_key { TOP_KEY_NONE, TOP_KEY_QUIT, TOP_KEY_REDRAW };

/* Return: 0, or -ENOTTY or -ENOENT (unknown terminal), which are reported. */
int top_draw_begin(void);
void top_draw_end(void);
void top_draw(const struct top_view *view);
/* Waits for a key, or for so long. */
enum top_key top_draw_key(int msec);

#endif
