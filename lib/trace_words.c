// SPDX-License-Identifier: MIT
/* Events in words, and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "offlay.h"
#include "trace.h"

static const char *const op_names[OFFLAY_OP_COUNT] = {
	[OFFLAY_OP_COPY] = "copy",
	[OFFLAY_OP_CLONE] = "clone",
	[OFFLAY_OP_DEDUPE] = "dedupe",
	[OFFLAY_OP_FIEMAP] = "fiemap",
	[OFFLAY_OP_TOKEN_READ] = "token_read",
	[OFFLAY_OP_TOKEN_WRITE] = "token_write",
	[OFFLAY_OP_TOKEN_DROP] = "token_drop",
	[OFFLAY_OP_LOOKUP] = "lookup",
	[OFFLAY_OP_FORGET] = "forget",
	[OFFLAY_OP_GETATTR] = "getattr",
	[OFFLAY_OP_SETATTR] = "setattr",
	[OFFLAY_OP_TRUNCATE] = "truncate",
	[OFFLAY_OP_READLINK] = "readlink",
	[OFFLAY_OP_ACCESS] = "access",
	[OFFLAY_OP_STATFS] = "statfs",
	[OFFLAY_OP_MKNOD] = "mknod",
	[OFFLAY_OP_MKDIR] = "mkdir",
	[OFFLAY_OP_SYMLINK] = "symlink",
	[OFFLAY_OP_LINK] = "link",
	[OFFLAY_OP_UNLINK] = "unlink",
	[OFFLAY_OP_RMDIR] = "rmdir",
	[OFFLAY_OP_RENAME] = "rename",
	[OFFLAY_OP_OPENDIR] = "opendir",
	[OFFLAY_OP_READDIR] = "readdir",
	[OFFLAY_OP_RELEASEDIR] = "releasedir",
	[OFFLAY_OP_FSYNCDIR] = "fsyncdir",
	[OFFLAY_OP_SETXATTR] = "setxattr",
	[OFFLAY_OP_GETXATTR] = "getxattr",
	[OFFLAY_OP_LISTXATTR] = "listxattr",
	[OFFLAY_OP_REMOVEXATTR] = "removexattr",
	[OFFLAY_OP_OPEN] = "open",
	[OFFLAY_OP_CREATE] = "create",
	[OFFLAY_OP_RELEASE] = "release",
	[OFFLAY_OP_FLUSH] = "flush",
	[OFFLAY_OP_FSYNC] = "fsync",
	[OFFLAY_OP_READ] = "read",
	[OFFLAY_OP_WRITE] = "write",
	[OFFLAY_OP_FALLOCATE] = "fallocate",
	[OFFLAY_OP_LSEEK] = "lseek",
	[OFFLAY_OP_IOCTL] = "ioctl",
	[OFFLAY_OP_CONTROL] = "control",
};

const char *trace_op_name(unsigned int op)
{
	return op < OFFLAY_OP_COUNT && op_names[op] ? op_names[op] : "?";
}

int trace_op_parse(const char *name, unsigned int *ret_op)
{
	for (unsigned int op = 0; op < OFFLAY_OP_COUNT; op++) {
		if (!op_names[op] || strcmp(op_names[op], name))
			continue;
		*ret_op = op;
		return 0;
	}
	return -EINVAL;
}

const char *trace_verdict_name(unsigned int verdict)
{
	static const char *const names[] = {
		[OFFLAY_VERDICT_NONE] = "none",
		[OFFLAY_VERDICT_ELIGIBLE] = "eligible",
		[OFFLAY_VERDICT_REFUSED] = "refused",
		[OFFLAY_VERDICT_DECLINED] = "declined",
		[OFFLAY_VERDICT_OVERRULED] = "overruled",
	};

	return verdict < sizeof(names) / sizeof(*names) ? names[verdict] : "?";
}

enum trace_result trace_result_of(const struct offlay_trace_event *event)
{
	if (event->err && event->verdict == OFFLAY_VERDICT_REFUSED)
		return TRACE_REFUSED;
	if (event->err && event->verdict == OFFLAY_VERDICT_DECLINED)
		return TRACE_DECLINED;
	if (event->err)
		return event->flags & OFFLAY_EVENT_EDGE ? TRACE_REFUSED
							: TRACE_FAILED;
	if (!event->methods)
		return TRACE_OK;
	if (event->shared >= event->offloaded + event->moved + event->holes)
		return TRACE_CLONED;
	if (event->offloaded >= event->moved + event->holes)
		return TRACE_OFFLOADED;
	return TRACE_MOVED;
}

static const char *const result_names[TRACE_RESULTS] = {
	[TRACE_CLONED] = "cloned",
	[TRACE_OFFLOADED] = "offloaded",
	[TRACE_MOVED] = "moved",
	[TRACE_REFUSED] = "refused",
	[TRACE_DECLINED] = "declined",
	[TRACE_FAILED] = "failed",
	[TRACE_OK] = "ok",
};

const char *trace_result_name(enum trace_result result)
{
	return result_names[result];
}

int trace_result_parse(const char *name, enum trace_result *ret_result)
{
	for (int i = 0; i < TRACE_RESULTS; i++) {
		if (strcmp(result_names[i], name))
			continue;
		*ret_result = i;
		return 0;
	}
	return -EINVAL;
}

static void json_time(FILE *out, uint64_t nsec)
{
	time_t seconds = (time_t)(nsec / 1000000000);
	char text[32];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		strcpy(text, "?");
	fprintf(out, "\"%s.%09" PRIu64 "Z\"", text, nsec % 1000000000);
}

static void json_reasons(FILE *out, uint32_t reasons)
{
	const char *separator = "";

	fputc('[', out);
	for (int i = 0; i < OFFLAY_REASON_COUNT; i++) {
		if (!(reasons & 1u << i))
			continue;
		fprintf(out, "%s\"%s\"", separator, offlay_reason_name(i));
		separator = ", ";
	}
	fputc(']', out);
}

static void json_number(FILE *out, const char *name, uint64_t number)
{
	fprintf(out, ", \"%s\": %" PRIu64, name, number);
}

static void json_file(FILE *out, const char *name, const char *path,
		      uint64_t ino, uint64_t offset, uint32_t reasons)
{
	fprintf(out, ", \"%s\": ", name);
	if (!ino && !*path) {
		fputs("null", out);
		return;
	}
	fputs("{\"path\": ", out);
	if (*path)
		json_text(out, path);
	else
		fputs("null", out);
	json_number(out, "ino", ino);
	json_number(out, "offset", offset);
	fputs(", \"reasons\": ", out);
	json_reasons(out, reasons);
	fputc('}', out);
}

static void json_methods(FILE *out, uint32_t methods)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = { { OFFLAY_METHOD_CLONE, "clone" },
		      { OFFLAY_METHOD_OFFLOAD, "offload" },
		      { OFFLAY_METHOD_DATA, "data" } };
	const char *separator = "";

	fputs(", \"methods\": [", out);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!(methods & names[i].bit))
			continue;
		fprintf(out, "%s\"%s\"", separator, names[i].name);
		separator = ", ";
	}
	fputc(']', out);
}

static void json_errno(FILE *out, const char *name, uint32_t err)
{
	fprintf(out, ", \"%s\": ", name);
	if (err)
		fprintf(out, "\"%s\"", offlay_errno_name((int)err));
	else
		fputs("null", out);
}

static void json_flag(FILE *out, const char *name, bool is_set)
{
	fprintf(out, ", \"%s\": %s", name, is_set ? "true" : "false");
}

static void json_name(FILE *out, const char *name, const char *value)
{
	fprintf(out, ", \"%s\": ", name);
	if (*value)
		json_text(out, value);
	else
		fputs("null", out);
}

static void json_who(FILE *out, const struct trace_record *record)
{
	json_number(out, "pid", record->event.pid);
	json_number(out, "tid", record->event.tid);
	json_number(out, "uid", record->event.uid);
	json_name(out, "command", record->comm);
}

static void json_bytes(FILE *out, const struct offlay_trace_event *event)
{
	json_number(out, "bytes", event->bytes);
	json_number(out, "shared", event->shared);
	json_number(out, "offloaded", event->offloaded);
	json_number(out, "moved", event->moved);
	json_number(out, "holes", event->holes);
}

void trace_json(FILE *out, const struct trace_record *record)
{
	const struct offlay_trace_event *event = &record->event;
	uint64_t number = event->number, nsec = event->nsec;

	fprintf(out, "{\"event\": %" PRIu64 ", \"time\": ", number);
	json_time(out, event->time);
	json_name(out, "op", trace_op_name(event->op));
	json_who(out, record);
	json_file(out, "src", record->src, event->src_ino, event->src_offset,
		  event->src_reasons);
	json_file(out, "dst", record->dst, event->dst_ino, event->dst_offset,
		  event->dst_reasons);
	json_number(out, "length", event->length);
	json_name(out, "verdict", trace_verdict_name(event->verdict));
	json_name(out, "result", trace_result_name(trace_result_of(event)));
	json_methods(out, event->methods);
	json_bytes(out, event);
	json_errno(out, "errno", event->err);
	json_errno(out, "declined_clone", event->declined_clone);
	json_errno(out, "declined_offload", event->declined_offload);
	json_flag(out, "accelerated", event->flags & OFFLAY_EVENT_ACCEL);
	json_flag(out, "ruled", event->flags & OFFLAY_EVENT_RULED);
	fprintf(out, ", \"usec\": %" PRIu64 ".%03u}", nsec / 1000,
		(unsigned int)(nsec % 1000));
}
