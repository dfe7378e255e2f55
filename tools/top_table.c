// SPDX-License-Identifier: MIT
/* Who copies what: events summed up by process, in a table of fixed size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top.h"

static void set_path(struct top_row *row, const char *path)
{
	size_t length = strlen(path);
	const char *from = path;

	if (length >= TOP_PATH_MAX) {
		from += length - (TOP_PATH_MAX - 1);
		/* Not in the middle of a character. */
		while (((unsigned char)*from & 0xc0) == 0x80)
			from++;
	}
	strcpy(row->path, from);
}

/* The row to give up for a new process: the one that is idle the longest. */
static struct top_row *oldest(struct top_table *table)
{
	struct top_row *row = &table->rows[0];

	for (size_t i = 1; i < table->count; i++)
		if (table->rows[i].idle > row->idle)
			row = &table->rows[i];
	return row;
}

static struct top_row *row_of(struct top_table *table, uint32_t pid,
			      const char *comm)
{
	struct top_row *row;

	for (size_t i = 0; i < table->count; i++)
		if (table->rows[i].pid == pid &&
		    !strcmp(table->rows[i].comm, comm))
			return &table->rows[i];
	row = table->count < TOP_ROWS ? &table->rows[table->count++]
				      : oldest(table);
	*row = (struct top_row){ .pid = pid };
	snprintf(row->comm, sizeof(row->comm), "%s", comm);
	return row;
}

static bool is_copy(const struct offlay_trace_event *event)
{
	switch (event->op) {
	case OFFLAY_OP_COPY:
	case OFFLAY_OP_CLONE:
	case OFFLAY_OP_DEDUPE:
	case OFFLAY_OP_TOKEN_WRITE:
		return true;
	default:
		return event->flags & OFFLAY_EVENT_ACCEL;
	}
}

void top_table_add(struct top_table *table, const struct trace_record *record)
{
	const struct offlay_trace_event *event = &record->event;
	uint64_t moved = event->offloaded + event->moved;
	enum trace_result result = trace_result_of(event);
	struct top_row *row;

	if (!is_copy(event))
		return;
	row = row_of(table, event->pid ? event->pid : event->tid, record->comm);
	row->idle = 0;
	row->copies++;
	row->round_copies++;
	row->shared += event->shared;
	row->moved += moved;
	row->round_bytes += event->shared + moved + event->holes;
	if (result == TRACE_REFUSED || result == TRACE_DECLINED)
		row->refused++;
	set_path(row, *record->dst ? record->dst : record->src);
}

static int compare(const void *left, const void *right)
{
	const struct top_row *a = left, *b = right;

	if (a->byte_rate != b->byte_rate)
		return a->byte_rate < b->byte_rate ? 1 : -1;
	if (a->copy_rate != b->copy_rate)
		return a->copy_rate < b->copy_rate ? 1 : -1;
	if (a->idle != b->idle)
		return a->idle < b->idle ? -1 : 1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

void top_table_round(struct top_table *table, double seconds)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++) {
		struct top_row row = table->rows[i];

		row.copy_rate = (double)row.round_copies / seconds;
		row.byte_rate = (double)row.round_bytes / seconds;
		row.idle = row.round_copies ? 0 : row.idle + 1;
		row.round_copies = row.round_bytes = 0;
		if (row.idle <= TOP_ROUNDS)
			table->rows[kept++] = row;
	}
	table->count = kept;
	qsort(table->rows, kept, sizeof(*table->rows), compare);
}
