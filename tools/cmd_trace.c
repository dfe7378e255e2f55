// SPDX-License-Identifier: MIT
/* offlay trace: what a mount is asked, and what it answers. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mount_stats.h"
#include "mount_trace.h"
#include "tools.h"

/* Between looks, while nothing happens. */
#define IDLE_MSEC 50

struct trace_options {
	bool follow, json, all, color;
	struct trace_filter filter;
	const char *mount;
};

enum { OPT_PID = 256, OPT_OP, OPT_PATH, OPT_RESULT };

static void print_help(void)
{
	fputs("Usage: offlay trace [OPTION...] MOUNT\n\n"
	      "Shows the copies, clones and tokens that the mount was asked for "
	      "and remembers:\n"
	      "who, which files, the verdict with its reasons, and what was "
	      "done.  MOUNT is any\n"
	      "file or directory on it; only the user who mounted, and root, "
	      "may ask.\n\n"
	      "  -f, --follow         what comes from now on, until "
	      "interrupted\n"
	      "      --all            every request, not only those that copy\n"
	      "      --pid PID        only of this process or thread\n"
	      "      --path PATTERN   only where a file is named so; * matches "
	      "any text\n"
	      "      --op LIST        only these operations: copy,clone,read,"
	      "...\n"
	      "      --result LIST    only with these results: cloned, "
	      "offloaded, moved,\n"
	      "                       refused, declined, failed, ok\n"
	      "      --json           an object a line, for programs\n"
	      "  -h, --help\n\n"
	      "Exit codes: 0 done, 1 not a mount or not allowed, 2 usage.\n",
	      stdout);
}

static int parse_pid(const char *text, uint32_t *ret_pid)
{
	unsigned long pid;
	char *end;

	errno = 0;
	pid = strtoul(text, &end, 10);
	if (errno || *text < '1' || *text > '9' || *end || pid > INT32_MAX)
		return -EINVAL;
	*ret_pid = (uint32_t)pid;
	return 0;
}

static int parse_value(int option, struct trace_options *opt)
{
	const char *bad = optarg;

	switch (option) {
	case OPT_PID:
		if (parse_pid(optarg, &opt->filter.pid))
			return report_word("--pid is no process id:", bad);
		break;
	case OPT_PATH:
		opt->filter.path = optarg;
		break;
	case OPT_OP:
		if (trace_filter_ops(&opt->filter, optarg, &bad))
			return report_word("--op does not know", bad);
		break;
	case OPT_RESULT:
		if (trace_filter_results(&opt->filter, optarg, &bad))
			return report_word("--result does not know", bad);
		break;
	}
	return -1;
}

static int parse_option(int option, char **argv, struct trace_options *opt)
{
	switch (option) {
	case 'h':
		print_help();
		return TOOL_OK;
	case 'f':
		opt->follow = true;
		return -1;
	case 'j':
		opt->json = true;
		return -1;
	case 'a':
		opt->all = true;
		return -1;
	case ':':
		return report_word("no argument after", argv[optind - 1]);
	case '?':
		return report_word("unknown option in", argv[optind - 1]);
	default:
		return parse_value(option, opt);
	}
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct trace_options *opt)
{
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },
		{ "pid", required_argument, NULL, OPT_PID },
		{ "op", required_argument, NULL, OPT_OP },
		{ "path", required_argument, NULL, OPT_PATH },
		{ "result", required_argument, NULL, OPT_RESULT },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option, code = -1;

	opterr = 0;
	while (code < 0 &&
	       (option = getopt_long(argc, argv, ":fh", options, NULL)) != -1)
		code = parse_option(option, argv, opt);
	if (code >= 0)
		return code;
	if (optind == argc)
		return report_usage("no MOUNT given");
	if (argc - optind > 1)
		return report_usage("more than one MOUNT given");
	opt->mount = argv[optind];
	return -1;
}

static bool wants_color(void)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term &&
	       strcmp(term, "dumb");
}

static int print_events(const struct trace_options *opt,
			const struct offlay_ioc_trace *trace)
{
	struct trace_record record;
	size_t at = 0;
	int err;

	if (trace->lost)
		trace_print_lost(trace->lost, opt->color, opt->json);
	while ((err = trace_next(trace->data, trace->size, &at, &record)) > 0) {
		if (!trace_filter_passes(&opt->filter, &record))
			continue;
		if (opt->json) {
			trace_json(stdout, &record);
			putchar('\n');
		} else {
			trace_print_line(&record, opt->color);
		}
	}
	if (fflush(stdout))
		return -EPIPE;
	return err;
}

/* Is what was opened still what is mounted there? */
static bool is_mounted(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev;
}

static bool has_ended(int err)
{
	return err == -ENOTCONN || err == -ECONNABORTED || err == -ENODEV;
}

/* Until there is no more, or for ever. */
static int run(int fd, const struct trace_options *opt)
{
	const struct timespec idle = { .tv_nsec = IDLE_MSEC * 1000000 };
	unsigned int flags = (opt->all ? OFFLAY_TRACE_ALL : 0) |
			     (opt->follow ? OFFLAY_TRACE_NEW : 0);
	unsigned int looks = 0;
	struct offlay_ioc_trace trace;
	int err;

	for (;;) {
		err = mount_ask_trace(fd, flags, &trace);
		if (opt->follow && has_ended(err))
			return 0;
		if (!err)
			err = print_events(opt, &trace);
		if (err || (!trace.size && !opt->follow))
			return err;
		if (trace.size)
			continue;
		/* umount -l leaves the mount to whoever has it open. */
		if (++looks % (1000 / IDLE_MSEC) == 0 &&
		    !is_mounted(fd, opt->mount))
			return 0;
		nanosleep(&idle, NULL);
	}
}

int cmd_trace(int argc, char **argv)
{
	struct trace_options opt = { 0 };
	int code = parse_options(argc, argv, &opt);
	int fd, err;

	if (code >= 0)
		return code;
	opt.color = !opt.json && wants_color();
	err = mount_ask_open(opt.mount, &fd);
	if (!err) {
		err = run(fd, &opt);
		close(fd);
	}
	if (err == -EPIPE) /* said by the caller, who flushes */
		return TOOL_FAILED;
	return err ? mount_ask_failed(opt.mount, err) : TOOL_OK;
}
