// SPDX-License-Identifier: MIT
/* offlay top: a live view of a mount, who copies what and what that saves. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"
#include "top.h"

/* How often keys and events are looked for. */
#define LOOK_MSEC    100
#define INTERVAL_MAX 3600.0

static volatile sig_atomic_t stopped;

struct top_options {
	const char *mount;
	double interval; /* seconds */
};

static void print_help(void)
{
	fputs("Usage: offlay top [--interval SECONDS] MOUNT\n\n"
	      "A live view of an offlayfs mount: who copies what, at which "
	      "rate, and how much\n"
	      "was saved.  MOUNT is any file or directory on it.  The table of "
	      "processes is for\n"
	      "the user who mounted, and root.  q quits.\n\n"
	      "      --interval SECONDS  between two looks (1)\n"
	      "  -h, --help\n\n"
	      "Exit codes: 0 done, 1 no mount or no terminal, 2 usage.\n",
	      stdout);
}

static int parse_interval(const char *text, double *ret_seconds)
{
	double seconds;
	char *end;

	seconds = strtod(text, &end);
	if (end == text || *end || !(seconds >= 0.1) || seconds > INTERVAL_MAX)
		return -EINVAL;
	*ret_seconds = seconds;
	return 0;
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct top_options *opt)
{
	static const struct option options[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			print_help();
			return TOOL_OK;
		case 'i':
			if (parse_interval(optarg, &opt->interval))
				return report_word("--interval is no number of "
						   "seconds from 0.1 to 3600:",
						   optarg);
			break;
		case ':':
			return report_word("no argument after",
					   argv[optind - 1]);
		default:
			return report_word("unknown option in",
					   argv[optind - 1]);
		}
	}
	if (optind == argc)
		return report_usage("no MOUNT given");
	if (argc - optind > 1)
		return report_usage("more than one MOUNT given");
	opt->mount = argv[optind];
	return -1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* So that the terminal is given back as it was. */
static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = stop };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* Everything that has happened since the last time. */
static int gather(int fd, struct top_view *view)
{
	static struct offlay_ioc_trace trace;
	struct trace_record record;
	size_t at;
	int err;

	if (!view->may_trace)
		return 0;
	do {
		err = mount_ask_trace(fd, OFFLAY_TRACE_NEW, &trace);
		if (err)
			return err;
		view->table.lost += trace.lost;
		at = 0;
		while ((err = trace_next(trace.data, trace.size, &at,
					 &record)) > 0)
			top_table_add(&view->table, &record);
	} while (!err && trace.size);
	return err;
}

static int end_round(int fd, struct top_view *view, double seconds)
{
	view->before = view->now;
	view->seconds = seconds;
	top_table_round(&view->table, seconds);
	return mount_ask_stats(fd, &view->now);
}

/* Is what was opened still what is mounted there? */
static bool is_mounted(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev;
}

static int run(int fd, struct top_view *view, double interval)
{
	double last = now(), time;
	enum top_key key;
	int err = 0;

	top_draw(view);
	while (!stopped && !err) {
		key = top_draw_key(LOOK_MSEC);
		if (key == TOP_KEY_QUIT)
			break;
		if (key == TOP_KEY_REDRAW)
			top_draw(view);
		err = gather(fd, view);
		time = now();
		if (err || time < last + interval)
			continue;
		if (!is_mounted(fd, view->mount))
			return -ENOTCONN;
		err = end_round(fd, view, time - last);
		last = time;
		top_draw(view);
	}
	return err;
}

int cmd_top(int argc, char **argv)
{
	struct top_options opt = { .interval = 1 };
	int code = parse_options(argc, argv, &opt);
	static struct top_view view;
	int fd, err;

	if (code >= 0)
		return code;
	view.mount = opt.mount;
	view.may_trace = true;
	err = mount_ask_open(opt.mount, &fd);
	if (err)
		return mount_ask_failed(opt.mount, err);
	err = mount_ask_stats(fd, &view.now);
	view.before = view.now;
	if (!err)
		err = gather(fd, &view);
	if (err == -EPERM) {
		view.may_trace = false;
		err = 0;
	}
	if (!err && !top_draw_begin()) {
		catch_signals();
		err = run(fd, &view, opt.interval);
		top_draw_end();
		code = TOOL_OK;
	} else if (!err) {
		code = TOOL_FAILED; /* it was said why */
	}
	close(fd);
	return err ? mount_ask_failed(opt.mount, err) : code;
}
