// SPDX-License-Identifier: MIT
/* An event as a line for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mount_trace.h"
#include "offlay.h"
#include "tools.h"

#define DIM    "\033[2m"
#define BOLD   "\033[1m"
#define NORMAL "\033[0m"

static const char *const result_colors[TRACE_RESULTS] = {
	[TRACE_CLONED] = "\033[32m",
	[TRACE_OFFLOADED] = "\033[36m",
	[TRACE_MOVED] = "\033[33m",
	[TRACE_REFUSED] = "\033[31m",
	[TRACE_DECLINED] = "\033[35m",
	[TRACE_FAILED] = "\033[31m",
	[TRACE_OK] = "",
};

static void print_time(uint64_t nsec)
{
	time_t seconds = (time_t)(nsec / 1000000000);
	char text[16];
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
	    !strftime(text, sizeof(text), "%H:%M:%S", &tm))
		strcpy(text, "?");
	printf("%s.%06u", text, (unsigned int)(nsec % 1000000000 / 1000));
}

static void print_comm(const char *comm)
{
	char *plain = text_plain(comm);

	printf("%s", plain);
	free(plain);
}

static void print_file(const char *path, uint64_t ino, uint64_t offset,
		       bool has_offset)
{
	char *quoted;

	if (*path) {
		quoted = text_quote(path);
		printf(" %s", quoted);
		free(quoted);
	} else {
		printf(" inode %" PRIu64, ino);
	}
	if (has_offset)
		printf(" @%" PRIu64, offset);
}

static void print_files(const struct trace_record *record)
{
	const struct offlay_trace_event *event = &record->event;
	bool has_dst = event->dst_ino || *record->dst;
	bool has_src = event->src_ino || *record->src;
	bool has_offset = event->length || event->src_offset ||
			  event->dst_offset;
	char size[TEXT_SIZE_MAX];

	if (has_src)
		print_file(record->src, event->src_ino, event->src_offset,
			   has_offset);
	if (has_src && has_dst)
		fputs(" ->", stdout);
	if (has_dst)
		print_file(record->dst, event->dst_ino, event->dst_offset,
			   has_offset);
	if (event->length)
		printf(" %s", text_size(event->length, size));
}

static void print_reasons(const char *side, uint32_t reasons,
			  const char **separator)
{
	for (int i = 0; i < OFFLAY_REASON_COUNT; i++) {
		if (!(reasons & 1u << i))
			continue;
		printf("%s%s %s", *separator, side, offlay_reason_name(i));
		*separator = ", ";
	}
}

static void print_verdict(const struct offlay_trace_event *event)
{
	const char *separator = " (";

	print_reasons("source", event->src_reasons, &separator);
	print_reasons("destination", event->dst_reasons, &separator);
	if (event->src_reasons || event->dst_reasons)
		putchar(')');
	if (event->err)
		printf(" %s", offlay_errno_name((int)event->err));
}

static void print_bytes(const struct offlay_trace_event *event)
{
	const struct {
		const char *name;
		uint64_t n;
	} parts[] = { { "shared", event->shared },
		      { "offloaded", event->offloaded },
		      { "moved", event->moved },
		      { "holes", event->holes } };
	char size[TEXT_SIZE_MAX];
	bool any = false;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (!parts[i].n)
			continue;
		printf(", %s %s", parts[i].name, text_size(parts[i].n, size));
		any = true;
	}
	if (!any && event->bytes)
		printf(", %s", text_size(event->bytes, size));
}

void trace_print_line(const struct trace_record *record, bool color)
{
	const struct offlay_trace_event *event = &record->event;
	enum trace_result result = trace_result_of(event);
	uint64_t nsec = event->nsec;

	fputs(color ? DIM : "", stdout);
	print_time(event->time);
	printf("%s ", color ? NORMAL : "");
	print_comm(*record->comm ? record->comm : "?");
	printf("[%" PRIu32 "] %s%s%s", event->pid ? event->pid : event->tid,
	       color ? BOLD : "", trace_op_name(event->op),
	       color ? NORMAL : "");
	print_files(record);
	printf(": %s%s%s", color ? result_colors[result] : "",
	       trace_result_name(result), color ? NORMAL : "");
	print_verdict(event);
	print_bytes(event);
	if (event->flags & OFFLAY_EVENT_ACCEL)
		fputs(", accelerated", stdout);
	if (event->flags & OFFLAY_EVENT_RULED)
		fputs(", by a rule", stdout);
	printf(", %s%" PRIu64 ".%u us%s\n", color ? DIM : "", nsec / 1000,
	       (unsigned int)(nsec % 1000 / 100), color ? NORMAL : "");
}

void trace_print_lost(uint64_t lost, bool color, bool json)
{
	if (json)
		printf("{\"lost\": %" PRIu64 "}\n", lost);
	else
		printf("%s--- %" PRIu64 " events lost%s\n",
		       color ? result_colors[TRACE_FAILED] : "", lost,
		       color ? NORMAL : "");
}
