// SPDX-License-Identifier: MIT
/* offlay map: a picture of where files are stored, and what they share. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "map.h"
#include "tools.h"

const char *const map_kind_names[MAP_KIND_COUNT] = {
	[MAP_HOLE] = "hole",	       [MAP_DATA] = "data",
	[MAP_UNWRITTEN] = "unwritten", [MAP_COMPRESSED] = "compressed",
	[MAP_ENCRYPTED] = "encrypted",
};

struct map_options {
	bool json;
	const char *svg;
};

static void print_help(void)
{
	fputs("Usage: offlay map [--json] [--svg PICTURE] FILE [FILE]\n\n"
	      "Draws where the data of FILE is: data, holes, what is unwritten, "
	      "compressed,\n"
	      "encrypted or shared; of two, which parts are stored once, and "
	      "how many bytes\n"
	      "that saves.\n\n"
	      "      --json         for programs\n"
	      "      --svg PICTURE  write a picture for a report to this file\n"
	      "  -h, --help\n",
	      stdout);
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct map_options *opt)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "svg", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;
	char *word;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			print_help();
			return TOOL_OK;
		case 'j':
			opt->json = true;
			break;
		case 's':
			opt->svg = optarg;
			break;
		default:
			word = text_quote(argv[optind - 1]);
			report_usage("%s %s",
				     option == ':' ? "no argument after"
						   : "unknown option in",
				     word);
			free(word);
			return TOOL_USAGE;
		}
	}
	if (optind == argc)
		return report_usage("no FILE given");
	if (argc - optind > 2)
		return report_usage("more than two FILEs");
	return -1;
}

static int report_file(const char *name, int err)
{
	char *quoted = text_quote(name);

	report_error("%s: %s", quoted, strerror(-err));
	free(quoted);
	return TOOL_FAILED;
}

/* Return: an exit code. */
static int read_file(const char *name, int fd, struct map_file *ret_file)
{
	struct map_file file = { .name = name };
	struct map_extents extents;
	int err;

	err = map_extents_read(fd, &extents);
	if (!err) {
		err = map_layout_new(&extents, &file.layout);
		file.has_physical = extents.has_physical;
		map_extents_done(&extents);
	}
	if (err)
		return report_file(name, err);
	*ret_file = file;
	return TOOL_OK;
}

/* A FIFO would wait for a writer. */
static int open_file(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

static int show(const struct map *map, const struct map_options *opt)
{
	int err = 0;

	if (opt->svg) {
		err = map_svg(map, opt->svg);
		if (err)
			return report_file(opt->svg, err);
	}
	if (opt->json)
		map_json(map);
	else
		err = map_print(map, text_terminal_width(stdout),
				text_terminal_colour(stdout));
	if (err)
		report_error("%s", strerror(-err));
	return err ? TOOL_FAILED : TOOL_OK;
}

/* The files may be on two filesystems, or hide where they are. */
static int compare(struct map_file files[2], const int fds[2],
		   struct map_sharing *sharing, bool *ret_compared)
{
	enum map_relation relation;
	int err;

	*ret_compared = false;
	err = map_extents_compare(fds[0], fds[1], &relation);
	if (err)
		return report_file(files[0].name, err);
	if (!files[0].has_physical || !files[1].has_physical ||
	    relation == MAP_NOT_KNOWN)
		return TOOL_OK;
	if (relation == MAP_TWO_FILESYSTEMS) {
		*sharing = (struct map_sharing){ 0 };
		*ret_compared = true;
		return TOOL_OK;
	}
	err = map_layout_compare(&files[0].layout, &files[1].layout, sharing);
	if (err)
		return report_file(files[1].name, err);
	*ret_compared = true;
	return TOOL_OK;
}

int cmd_map(int argc, char **argv)
{
	struct map_options opt = { 0 };
	struct map_sharing sharing = { 0 };
	struct map_file files[2] = { 0 };
	struct map map = { .files = files };
	int fds[2] = { -1, -1 }, i;
	bool compared = false;
	int code = parse_options(argc, argv, &opt);

	if (code >= 0)
		return code;
	map.count = (size_t)(argc - optind);
	code = TOOL_OK;
	for (i = 0; i < (int)map.count && code == TOOL_OK; i++) {
		fds[i] = open_file(argv[optind + i]);
		code = fds[i] < 0
			       ? report_file(argv[optind + i], fds[i])
			       : read_file(argv[optind + i], fds[i], &files[i]);
	}
	if (code == TOOL_OK && map.count == 2)
		code = compare(files, fds, &sharing, &compared);
	if (compared)
		map.sharing = &sharing;
	if (code == TOOL_OK)
		code = show(&map, &opt);
	map_sharing_done(&sharing);
	for (i = 0; i < 2; i++) {
		map_layout_done(&files[i].layout);
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return code;
}
