// SPDX-License-Identifier: MIT
/* offlay stats: the counters of a mount. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mount_stats.h"
#include "tools.h"

enum stats_format { FORMAT_TABLE, FORMAT_JSON, FORMAT_PROMETHEUS };

static void print_help(void)
{
	fputs("Usage: offlay stats [--json | --prometheus] MOUNT\n\n"
	      "Counters since the mount: copies by how they came out, refusals "
	      "by reason,\n"
	      "bytes shared, offloaded, moved and refused, latencies, and what "
	      "is open now.\n"
	      "MOUNT is any file or directory on it.\n\n"
	      "      --json        for programs\n"
	      "      --prometheus  in the text format that Prometheus scrapes\n"
	      "  -h, --help\n\n"
	      "Exit codes: 0 done, 1 not a mount or not readable, 2 usage.\n",
	      stdout);
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, enum stats_format *ret_format)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "prometheus", no_argument, NULL, 'p' },
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
		case 'j':
			*ret_format = FORMAT_JSON;
			break;
		case 'p':
			*ret_format = FORMAT_PROMETHEUS;
			break;
		default:
			return report_word("unknown option in",
					   argv[optind - 1]);
		}
	}
	if (optind == argc)
		return report_usage("no MOUNT given");
	if (argc - optind > 1)
		return report_usage("more than one MOUNT given");
	return -1;
}

int cmd_stats(int argc, char **argv)
{
	enum stats_format format = FORMAT_TABLE;
	struct offlay_ioc_stats stats;
	int code = parse_options(argc, argv, &format);
	const char *mount;
	int fd, err;

	if (code >= 0)
		return code;
	mount = argv[optind];
	err = mount_ask_open(mount, &fd);
	if (!err) {
		err = mount_ask_stats(fd, &stats);
		close(fd);
	}
	if (err)
		return mount_ask_failed(mount, err);
	if (format == FORMAT_JSON)
		stats_print_json(mount, &stats);
	else if (format == FORMAT_PROMETHEUS)
		stats_print_prometheus(mount, &stats);
	else
		stats_print_table(mount, &stats);
	return TOOL_OK;
}
