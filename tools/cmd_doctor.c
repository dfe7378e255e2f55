// SPDX-License-Identifier: MIT
/* offlay doctor: the list of what is examined, and how it is printed. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "offlay.h"
#include "tools.h"

/* In the order of the report. */
static void (*const examinations[])(struct doctor *doctor) = {
	doctor_kernel,	    doctor_daemon,     doctor_device, doctor_fusermount,
	doctor_allow_other, doctor_privileges, doctor_run,    doctor_fuse,
	doctor_filesystem,  doctor_reflink,    doctor_fiemap, doctor_holes,
	doctor_handles,	    doctor_leases,     doctor_xattrs, doctor_tmpfile,
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
	stop_signal = number;
}

/**
 * doctor_find() - add one line to the report
 * @name: static string
 * @advice: static string or NULL; shown unless @state is DOCTOR_YES
 * @format: what was seen
 */
void doctor_find(struct doctor *doctor, const char *name,
		 enum doctor_state state, const char *advice,
		 const char *format, ...)
{
	struct doctor_finding *finding;
	va_list args;

	if (doctor->count == DOCTOR_FINDINGS)
		abort(); /* the list of examinations outgrew the report */
	finding = &doctor->findings[doctor->count++];
	finding->name = name;
	finding->state = state;
	finding->advice = state == DOCTOR_YES ? NULL : advice;
	va_start(args, format);
	vsnprintf(finding->detail, sizeof(finding->detail), format, args);
	va_end(args);
}

void doctor_find_tried(struct doctor *doctor, const char *name, int err,
		       const char *advice)
{
	if (err)
		doctor_find(doctor, name, DOCTOR_NO, advice, "%s (%s)",
			    strerror(-err), offlay_errno_name(-err));
	else
		doctor_find(doctor, name, DOCTOR_YES, NULL, "works");
}

static const char *state_name(enum doctor_state state)
{
	switch (state) {
	case DOCTOR_YES:
		return "yes";
	case DOCTOR_NO:
		return "no";
	default:
		return "unknown";
	}
}

static void print_table(const struct doctor *doctor)
{
	size_t i;

	for (i = 0; i < doctor->count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];

		printf("%-16s %-8s %s\n", finding->name,
		       state_name(finding->state), finding->detail);
		if (finding->advice)
			printf("%-16s %-8s -> %s\n", "", "", finding->advice);
	}
}

static void print_json(const struct doctor *doctor)
{
	size_t i;

	fputs("{\n  \"directory\": ", stdout);
	text_json(stdout, doctor->dir);
	fputs(",\n  \"findings\": [", stdout);
	for (i = 0; i < doctor->count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];

		printf("%s\n    { \"name\": ", i ? "," : "");
		text_json(stdout, finding->name);
		fputs(", \"state\": ", stdout);
		text_json(stdout, state_name(finding->state));
		fputs(", \"detail\": ", stdout);
		text_json(stdout, finding->detail);
		fputs(", \"advice\": ", stdout);
		if (finding->advice)
			text_json(stdout, finding->advice);
		else
			fputs("null", stdout);
		fputs(" }", stdout);
	}
	puts("\n  ]\n}");
}

static void print_help(void)
{
	fputs("Usage: offlay doctor [--json] [DIRECTORY]\n\n"
	      "Says what this kernel, libfuse, the filesystem of DIRECTORY "
	      "(default: the\n"
	      "current one) and the privileges of this process allow, found "
	      "by trying, and\n"
	      "how to get what is missing.  Leaves nothing behind.\n\n"
	      "      --json   for programs\n"
	      "  -h, --help\n",
	      stdout);
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, bool *ret_json)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			print_help();
			return TOOL_OK;
		}
		if (option != 'j') {
			char *word = text_quote(argv[optind - 1]);

			report_usage("unknown option in %s", word);
			free(word);
			return TOOL_USAGE;
		}
		*ret_json = true;
	}
	if (argc - optind > 1)
		return report_usage("more than one DIRECTORY");
	return -1;
}

/* Interrupted, we take away what we made before we die of it. */
static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal,
					  .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int examine(struct doctor *doctor, bool is_json)
{
	size_t i;

	catch_signals();
	for (i = 0; i < sizeof(examinations) / sizeof(examinations[0]); i++) {
		if (stop_signal) {
			signal(stop_signal, SIG_DFL);
			raise(stop_signal);
		}
		examinations[i](doctor);
	}
	if (is_json)
		print_json(doctor);
	else
		print_table(doctor);
	return TOOL_OK;
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor doctor = { .dir = "." };
	bool is_json = false;
	int code = parse_options(argc, argv, &is_json);

	if (code >= 0)
		return code;
	if (optind < argc)
		doctor.dir = argv[optind];
	doctor.dir_fd = open(doctor.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (doctor.dir_fd < 0) {
		char *name = text_quote(doctor.dir);

		report_error("cannot use %s: %s", name, strerror(errno));
		free(name);
		return TOOL_FAILED;
	}
	code = examine(&doctor, is_json);
	close(doctor.dir_fd);
	return code;
}
