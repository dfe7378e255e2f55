// SPDX-License-Identifier: MIT
/* offlay run: unchanged programs clone, deduplicate and map on a mount. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run.h"
#include "tools.h"

static void print_help(void)
{
	fputs("Usage: offlay run [OPTION...] [--] COMMAND [ARGUMENT...]\n\n"
	      "Runs COMMAND, and lets it and all that it starts use FICLONE, "
	      "FICLONERANGE,\n"
	      "FIDEDUPERANGE and FIEMAP on mounts of offlayfs, which the "
	      "kernel does not pass\n"
	      "on to them:\n\n"
	      "  offlay run cp --reflink=always big.img copy.img\n\n"
	      "  -v, --verbose   say on standard error what was asked, and the "
	      "answer\n"
	      "  -h, --help\n\n"
	      "Exit codes: those of COMMAND; 2 usage, 125 it could not be "
	      "supervised, 126 it\n"
	      "could not be started, 127 there is none.\n",
	      stdout);
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct run_options *options)
{
	static const struct option known[] = {
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	opterr = 0;
	/* The first word that is no option is COMMAND; its options are its. */
	while ((option = getopt_long(argc, argv, "+hv", known, NULL)) != -1) {
		char *word;

		switch (option) {
		case 'h':
			print_help();
			return TOOL_OK;
		case 'v':
			options->verbose = true;
			break;
		default:
			word = text_quote(argv[optind - 1]);
			report_usage("unknown option in %s", word);
			free(word);
			return TOOL_USAGE;
		}
	}
	options->command = argv + optind;
	return options->command[0] ? -1 : report_usage("no command given");
}

int cmd_run(int argc, char **argv)
{
	struct run_options options = { 0 };
	int socks[2], code;
	sigset_t all, mask;
	pid_t pid;

	code = parse_options(argc, argv, &options);
	if (code >= 0)
		return code;
	/* Whatever comes from now on is for the command. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	pid = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks)
		      ? -1
		      : fork();
	if (pid < 0) {
		report_error("cannot start a process: %s", strerror(errno));
		return RUN_FAILED;
	}
	if (!pid) {
		close(socks[0]);
		run_supervise(socks[1], &options, &mask);
	}
	close(socks[1]);
	signal(SIGCHLD, SIG_DFL);
	return run_proxy(socks[0], pid, &mask);
}
