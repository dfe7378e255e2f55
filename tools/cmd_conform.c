// SPDX-License-Identifier: MIT
/* offlay conform: does this program survive what an offload may answer? */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"
#include "tools.h"

#define ONLY_MAX 64

enum {
	OPT_MATRIX = 256,
	OPT_ONLY,
	OPT_LIST,
	OPT_ON,
	OPT_VOLUME,
	OPT_TIMEOUT,
	OPT_SEED,
	OPT_JSON,
	OPT_JUNIT,
	OPT_KEEP
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
	stop_signal = number;
}

bool conform_is_stopped(void)
{
	return stop_signal;
}

static void print_help(void)
{
	fputs("Usage: offlay conform [OPTION...] -- COMMAND {src} {dst}\n"
	      "       offlay conform --list\n\n"
	      "Runs COMMAND, which copies one file, once for each pair of a file "
	      "and a\n"
	      "behaviour of the storage, on a filesystem of its own, and says "
	      "whether the\n"
	      "copy was right, or the program said that it was not.\n\n"
	      "      --matrix NAME    quick, default or full\n"
	      "      --only B[/F]     these behaviours and files only; globs; "
	      "may be repeated\n"
	      "      --list           name behaviours and files\n"
	      "      --on DIR         in this directory, not on a volume of its "
	      "own\n"
	      "      --volume FS      btrfs or xfs (root)\n"
	      "      --timeout S      seconds that one copy may take (10)\n"
	      "      --seed N         of what happens by chance (1)\n"
	      "      --json           for programs\n"
	      "      --junit FILE     write the results as JUnit's XML, too\n"
	      "      --keep           leave the files there\n"
	      "  -h, --help\n\n"
	      "Exit codes: 0 nothing failed, 1 something did, 2 usage.\n",
	      stdout);
}

static bool parse_number(const char *text, uint64_t most, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || strchr(text, '-') || value > most)
		return false;
	*ret_value = value;
	return true;
}

static bool matches_any(const char *glob)
{
	for (size_t i = 0; i < conform_behaviour_count; i++)
		for (size_t j = 0; j < conform_file_count; j++)
			if (conform_selects(&glob, 1, &conform_behaviours[i],
					    &conform_files[j]))
				return true;
	return false;
}

static int add_only(struct conform_options *opt, const char *only[ONLY_MAX],
		    const char *glob)
{
	if (opt->only_count == ONLY_MAX)
		return report_usage("more than %d times --only", ONLY_MAX);
	if (!matches_any(glob))
		return report_word(
			"no behaviour and file (see --list) are named", glob);
	only[opt->only_count++] = glob;
	return -1;
}

static int take_number(struct conform_options *opt, int option)
{
	uint64_t value;

	if (option == OPT_SEED)
		return parse_number(optarg, UINT64_MAX, &opt->seed)
			       ? -1
			       : report_word("not a number:", optarg);
	if (!parse_number(optarg, 3600, &value) || !value)
		return report_word("--timeout is 1 to 3600 seconds, not",
				   optarg);
	opt->timeout_ms = (unsigned int)value * 1000;
	return -1;
}

static int take_option(struct conform_options *opt, const char *only[ONLY_MAX],
		       int option)
{
	switch (option) {
	case OPT_MATRIX:
		opt->matrix = optarg;
		return conform_matrix(optarg)
			       ? -1
			       : report_word("no matrix is named", optarg);
	case OPT_ONLY:
		return add_only(opt, only, optarg);
	case OPT_ON:
		opt->on = optarg;
		return -1;
	case OPT_VOLUME:
		opt->volume = optarg;
		if (!strcmp(optarg, "btrfs") || !strcmp(optarg, "xfs"))
			return -1;
		return report_word("--volume is btrfs or xfs, not", optarg);
	case OPT_JUNIT:
		opt->junit = optarg;
		return -1;
	case OPT_JSON:
		opt->json = true;
		return -1;
	case OPT_KEEP:
		opt->keep = true;
		return -1;
	default:
		return take_number(opt, option);
	}
}

static bool has_word(char *const *words, const char *part)
{
	for (; *words; words++)
		if (strstr(*words, part))
			return true;
	return false;
}

static int check_options(const struct conform_options *opt)
{
	if (opt->on && opt->volume)
		return report_usage("--on and --volume exclude each other");
	if (!opt->command[0])
		return report_usage("no COMMAND given");
	if (!has_word(opt->command, "{src}") ||
	    !has_word(opt->command, "{dst}"))
		return report_usage("COMMAND must have {src} and {dst}");
	return -1;
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct conform_options *opt,
			 const char *only[ONLY_MAX])
{
	static const struct option options[] = {
		{ "matrix", required_argument, NULL, OPT_MATRIX },
		{ "only", required_argument, NULL, OPT_ONLY },
		{ "list", no_argument, NULL, OPT_LIST },
		{ "on", required_argument, NULL, OPT_ON },
		{ "volume", required_argument, NULL, OPT_VOLUME },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "seed", required_argument, NULL, OPT_SEED },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "junit", required_argument, NULL, OPT_JUNIT },
		{ "keep", no_argument, NULL, OPT_KEEP },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option, code;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			print_help();
			return TOOL_OK;
		case OPT_LIST:
			conform_print_list();
			return TOOL_OK;
		case ':':
			return report_word("no argument after",
					   argv[optind - 1]);
		case '?':
			return report_word("unknown option in",
					   argv[optind - 1]);
		default:
			code = take_option(opt, only, option);
			if (code >= 0)
				return code;
		}
	}
	opt->command = argv + optind;
	return check_options(opt);
}

static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Every pair that was asked for, in the order of the matrix. */
static int list_cells(struct conform_run *run)
{
	const struct conform_options *opt = run->opt;
	unsigned int matrix = conform_matrix(opt->matrix);
	size_t i, j;

	run->cells = calloc(conform_behaviour_count * conform_file_count,
			    sizeof(*run->cells));
	if (!run->cells)
		return -ENOMEM;
	for (i = 0; i < conform_behaviour_count; i++)
		for (j = 0; j < conform_file_count; j++) {
			const struct conform_behaviour *behaviour =
				&conform_behaviours[i];
			const struct conform_file *file = &conform_files[j];

			if (opt->only_count ? !conform_selects(opt->only,
							       opt->only_count,
							       behaviour, file)
					    : !(behaviour->matrices &
						file->matrices & matrix))
				continue;
			run->cells[run->count++] = (struct conform_cell){
				.behaviour = behaviour,
				.file = file,
				.shared = CONFORM_NA,
				.holes = CONFORM_NA,
			};
		}
	return 0;
}

static void show_progress(const struct conform_run *run)
{
	const struct conform_cell *cell = &run->cells[run->done];
	char line[80];

	if (!isatty(STDERR_FILENO))
		return;
	snprintf(line, sizeof(line), "%zu of %zu: %s/%s", run->done + 1,
		 run->count, cell->behaviour->name, cell->file->name);
	report_status(line);
}

static int run_cells(struct conform_run *run)
{
	int err = 0;

	for (; run->done < run->count; run->done++) {
		struct conform_cell *cell = &run->cells[run->done];

		if (conform_is_stopped())
			return -ECANCELED;
		show_progress(run);
		if (!conform_applies(cell->behaviour, cell->file)) {
			cell->result = CONFORM_SKIPPED;
			snprintf(cell->detail, sizeof(cell->detail),
				 "the file is too small to make a difference");
			continue;
		}
		err = conform_cell_run(run, cell);
		if (err)
			break;
	}
	report_status(NULL);
	return err;
}

static int show(struct conform_run *run)
{
	int err = 0;

	if (run->opt->json)
		conform_json(run);
	else
		conform_print(run);
	if (run->opt->junit) {
		err = conform_junit(run, run->opt->junit);
		if (err)
			report_error("%s: %s", run->opt->junit, strerror(-err));
	}
	return err || conform_count(run, CONFORM_FAILED) ? TOOL_FAILED
							 : TOOL_OK;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int conform(struct conform_run *run)
{
	int code = conform_mount_start(run->mount);
	double start = now();
	int err;

	if (code)
		return code;
	err = list_cells(run);
	if (!err)
		err = run_cells(run);
	run->seconds = now() - start;
	conform_mount_stop(run->mount);
	if (err == -ENOEXEC)
		return TOOL_USAGE; /* has been reported */
	if (err && err != -ECANCELED) {
		report_error("%s/%s: %s", run->cells[run->done].behaviour->name,
			     run->cells[run->done].file->name, strerror(-err));
		return TOOL_FAILED;
	}
	return err ? TOOL_FAILED : show(run);
}

int cmd_conform(int argc, char **argv)
{
	const char *only[ONLY_MAX];
	struct conform_options opt = {
		.matrix = "default",
		.only = only,
		.timeout_ms = CONFORM_TIMEOUT_MS,
		.seed = CONFORM_SEED,
	};
	struct conform_place place;
	struct conform_mount mount = { .place = &place,
				       .fd = -1,
				       .log_fd = -1 };
	struct conform_run run = { .opt = &opt,
				   .place = &place,
				   .mount = &mount };
	int code = parse_options(argc, argv, &opt, only);

	if (code >= 0)
		return code;
	catch_signals();
	code = conform_place_make(&opt, &place);
	if (!code && !conform_is_stopped())
		code = conform(&run);
	conform_place_remove(&place, opt.keep);
	for (size_t i = 0; i < run.count; i++)
		free(run.cells[i].said);
	free(run.cells);
	if (stop_signal) {
		report_status(NULL);
		signal(stop_signal, SIG_DFL);
		raise(stop_signal);
	}
	return code;
}
