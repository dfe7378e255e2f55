/* SPDX-License-Identifier: MIT */
/* Messages: stderr in the foreground, syslog(3) in the background. */
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "fs.h"

static int max_level = LOG_NOTICE;
static bool to_syslog;

static void log_libfuse(enum fuse_log_level level, const char *format,
			va_list args) __attribute__((format(printf, 2, 0)));

bool log_enabled(int level)
{
	return level <= max_level;
}

static void __attribute__((format(printf, 2, 0)))
log_args(int level, const char *format, va_list args)
{
	char line[1024];

	if (!log_enabled(level))
		return;
	if (to_syslog) {
		vsyslog(level, format, args);
		return;
	}
	vsnprintf(line, sizeof(line), format, args);
	fprintf(stderr, "offlayfs: %s\n", line);
}

void log_msg(int level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(level, format, args);
	va_end(args);
}

/* libfuse ends its lines itself. */
static void log_libfuse(enum fuse_log_level level, const char *format,
			va_list args)
{
	char line[1024];
	int n;

	if (!log_enabled((int)level))
		return;
	n = vsnprintf(line, sizeof(line), format, args);
	if (n > 0 && (size_t)n < sizeof(line) && line[n - 1] == '\n')
		line[n - 1] = '\0';
	log_msg((int)level, "%s", line);
}

void log_init(int level, bool foreground)
{
	max_level = level;
	if (!foreground)
		openlog("offlayfs", LOG_PID, LOG_DAEMON);
	fuse_set_log_func(log_libfuse);
}

void log_background(void)
{
	to_syslog = true;
}
