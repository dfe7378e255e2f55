// SPDX-License-Identifier: MIT
/* offlay token: offload reads and writes by hand. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token.h"
#include "tools.h"

enum { OPT_OFFSET = 256, OPT_LENGTH, OPT_TTL, OPT_TOKEN_OFFSET, OPT_JSON };

static void print_help(void)
{
	fputs("Usage: offlay token read FILE [--offset N] [--length N] "
	      "[--ttl MS] -o TOKEN\n"
	      "       offlay token write TOKEN FILE [--offset N] [--length N] "
	      "[--token-offset N]\n"
	      "       offlay token drop TOKEN\n"
	      "       offlay token show TOKEN\n"
	      "       offlay token limits DIR [WORDS]\n\n"
	      "Offloaded data transfer on an offlayfs mount: a TOKEN, a file of "
	      "512 bytes,\n"
	      "stands for a part of FILE as it is now; writing it puts that "
	      "data elsewhere.\n\n"
	      "      --offset N        in FILE; N may end in K, M, G\n"
	      "      --length N        bytes; the rest of the file without it\n"
	      "      --token-offset N  in the token's data\n"
	      "      --ttl MS          milliseconds that it lives without use\n"
	      "  -o, --output TOKEN\n"
	      "      --json            for programs\n"
	      "  -h, --help\n\n"
	      "Exit codes: 0 done, 1 refused or failed, 2 usage.\n",
	      stdout);
}

static bool parse_number(const char *text, uint64_t *ret_value)
{
	static const char units[] = "KMG";
	const char *unit;
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || strchr(text, '-'))
		return false;
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1])
			return false;
		for (; unit >= units; unit--) {
			if (value > UINT64_MAX / 1024)
				return false;
			value *= 1024;
		}
	}
	*ret_value = value;
	return true;
}

static uint64_t *number_of(struct token_options *opt, int option)
{
	switch (option) {
	case OPT_OFFSET:
		return &opt->offset;
	case OPT_LENGTH:
		opt->has_length = true;
		return &opt->length;
	case OPT_TTL:
		return &opt->ttl;
	default:
		return &opt->token_offset;
	}
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct token_options *opt)
{
	static const struct option options[] = {
		{ "offset", required_argument, NULL, OPT_OFFSET },
		{ "length", required_argument, NULL, OPT_LENGTH },
		{ "ttl", required_argument, NULL, OPT_TTL },
		{ "token-offset", required_argument, NULL, OPT_TOKEN_OFFSET },
		{ "output", required_argument, NULL, 'o' },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":ho:", options, NULL)) !=
	       -1) {
		switch (option) {
		case 'h':
			print_help();
			return TOOL_OK;
		case 'o':
			opt->output = optarg;
			break;
		case OPT_JSON:
			opt->json = true;
			break;
		case ':':
			return report_word("no argument after",
					   argv[optind - 1]);
		case '?':
			return report_word("unknown option in",
					   argv[optind - 1]);
		default:
			if (!parse_number(optarg, number_of(opt, option)))
				return report_word("not a number:", optarg);
		}
	}
	return opt->ttl > UINT32_MAX ? report_usage("--ttl is too large") : -1;
}

int cmd_token(int argc, char **argv)
{
	struct token_options opt = { 0 };
	int code = parse_options(argc, argv, &opt);
	int n = argc - optind - 1;
	char **words = argv + optind + 1;
	const char *verb;

	if (code >= 0)
		return code;
	if (n < 0)
		return report_usage("read, write, drop, show or limits?");
	verb = argv[optind];
	if (!strcmp(verb, "read") && n == 1 && !opt.output)
		return report_usage("read needs -o TOKEN");
	if (!strcmp(verb, "read") && n == 1)
		return token_run_read(words[0], &opt);
	if (!strcmp(verb, "write") && n == 2)
		return token_run_write(words[0], words[1], &opt);
	if (!strcmp(verb, "drop") && n == 1)
		return token_run_drop(words[0], &opt);
	if (!strcmp(verb, "show") && n == 1)
		return token_run_show(words[0], &opt);
	if (!strcmp(verb, "limits") && (n == 1 || n == 2))
		return token_run_limits(words[0], n == 2 ? words[1] : NULL,
					&opt);
	return report_word("unknown, or the wrong number of arguments:", verb);
}
