// SPDX-License-Identifier: MIT
/* The command offlay: finds the subcommand and runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "tools.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *purpose;
};

static const struct command commands[] = {
	{ "conform", cmd_conform,
	  "try a program against all that an offload may answer" },
	{ "copy", cmd_copy, "copy files and trees, sharing extents" },
	{ "doctor", cmd_doctor, "say what this machine and directory allow" },
	{ "explain", cmd_explain,
	  "say whether files may be offloaded, and why" },
	{ "map", cmd_map, "draw where files are stored and what they share" },
	{ "rules", cmd_rules, "make a mount answer with faults" },
	{ "run", cmd_run, "run a command that may clone on a mount" },
	{ "stats", cmd_stats, "show the counters of a mount" },
	{ "token", cmd_token, "offload reads and writes by tokens" },
	{ "top", cmd_top, "watch who copies what on a mount" },
	{ "trace", cmd_trace, "show what a mount is asked and answers" },
};

static void print_help(FILE *out)
{
	size_t i;

	fputs("Usage: offlay COMMAND [OPTION...] [ARGUMENT...]\n"
	      "       offlay --help | --version\n\n"
	      "Commands:\n",
	      out);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name,
			commands[i].purpose);
	fputs("\n'offlay COMMAND --help' says how each is used.\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong command line.\n",
	      out);
}

static int print_version(void)
{
	printf("offlay %s\n", OFFLAY_VERSION);
	return TOOL_OK;
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* A listing that did not reach its reader is not a success. */
static int finish(int code)
{
	if (fflush(stdout) || ferror(stdout)) {
		report_error("cannot write to standard output");
		return code ? code : TOOL_FAILED;
	}
	return code;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2)
		return report_usage("no command given");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		print_help(stdout);
		return finish(TOOL_OK);
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return finish(print_version());
	command = find_command(argv[1]);
	if (!command) {
		char *name = text_quote(argv[1]);

		report_usage("unknown command %s", name);
		free(name);
		return TOOL_USAGE;
	}
	report_command(command->name);
	if (argc > 2 && !strcmp(argv[2], "--version"))
		return finish(print_version());
	return finish(command->run(argc - 1, argv + 1));
}
