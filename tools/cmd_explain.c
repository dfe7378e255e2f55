// SPDX-License-Identifier: MIT
/* offlay explain: may this file be offloaded, and if not, why not? */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "tools.h"

struct explain_options {
	bool json;
	bool has_deny;
	unsigned int deny;
	const char *code;
};

static void print_help(void)
{
	fputs("Usage: offlay explain [--json] [--deny LIST] FILE...\n"
	      "       offlay explain [--json] --code CODE\n\n"
	      "Says of each FILE whether it may be offloaded, as source and as "
	      "destination\n"
	      "of a copy, and every reason if not: on an offlayfs mount by its "
	      "options, else\n"
	      "by LIST.\n\n"
	      "      --deny LIST  any of sparse:encrypted:compressed (default), "
	      "or none\n"
	      "      --code CODE  explain an errno, a Win32 code or an NTSTATUS: "
	      "4443, 0xC000A2A4\n"
	      "      --json       for programs\n"
	      "  -h, --help\n\n"
	      "Exit codes: 0 all are eligible, 1 one is not or cannot be read, "
	      "2 usage.\n",
	      stdout);
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct explain_options *opt)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "deny", required_argument, NULL, 'd' },
		{ "code", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *bad;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			print_help();
			return TOOL_OK;
		case 'j':
			opt->json = true;
			break;
		case 'c':
			opt->code = optarg;
			break;
		case 'd':
			opt->has_deny = true;
			if (offlay_deny_parse(optarg, &opt->deny, &bad))
				return report_word("--deny does not know", bad);
			break;
		case ':':
			return report_word("no argument after",
					   argv[optind - 1]);
		default:
			return report_word("unknown option in",
					   argv[optind - 1]);
		}
	}
	if (opt->code && (optind < argc || opt->has_deny))
		return report_usage("--code stands alone");
	if (!opt->code && optind == argc)
		return report_usage("no FILE given");
	return -1;
}

static void report_file(const char *name, const char *reason)
{
	char *quoted = text_quote(name);

	report_error("%s: %s", quoted, reason);
	free(quoted);
}

static int explain_file(const char *name, const struct explain_options *opt,
			bool first)
{
	struct explain_answer answer;
	int err = explain_ask(name, opt->deny, &answer);

	if (!err && answer.has_mount && opt->has_deny) {
		report_file(name, "is on an offlayfs mount, whose own policy "
				  "counts; leave --deny out");
		err = -EINVAL;
	} else if (err) {
		report_file(name, strerror(-err));
	}
	if (err) {
		if (opt->json)
			explain_print_json_error(name, err, first);
		return TOOL_FAILED;
	}
	if (opt->json)
		explain_print_json(name, &answer, first);
	else
		explain_print_line(name, &answer);
	return explain_is_eligible(&answer) ? TOOL_OK : TOOL_FAILED;
}

int cmd_explain(int argc, char **argv)
{
	struct explain_options opt = { .deny = OFFLAY_DENY_ALL };
	int code = parse_options(argc, argv, &opt);

	if (code >= 0)
		return code;
	if (opt.code)
		return explain_code(opt.code, opt.json);
	code = TOOL_OK;
	if (opt.json)
		putchar('[');
	for (int i = optind; i < argc; i++)
		if (explain_file(argv[i], &opt, i == optind))
			code = TOOL_FAILED;
	if (opt.json)
		puts("\n]");
	return code;
}
