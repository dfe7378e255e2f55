// SPDX-License-Identifier: MIT
/* offlay copy: options, arguments, signals, and what is said at the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "copy.h"
#include "tools.h"

/* The signal that asked us to stop, 0 for none. */
static volatile sig_atomic_t stop_signal;

bool copy_interrupted(void)
{
	return stop_signal != 0;
}

static void on_signal(int number)
{
	stop_signal = number;
}

static void print_help(void)
{
	fputs("Usage: offlay copy [OPTION...] SOURCE... DESTINATION\n\n"
	      "Copies files, sharing extents wherever the filesystem can.\n\n"
	      "  -r, --recursive    directories and everything below them\n"
	      "  -p, --preserve     keep mode, owner, times, extended "
	      "attributes, ACLs\n"
	      "  -a, --archive      -r -p, and keep hard links\n"
	      "  -f, --force        replace a file that cannot be written to\n"
	      "  -n, --no-clobber   leave a file alone that exists\n"
	      "      --clone-only   fail where extents cannot be shared\n"
	      "      --verify       read back and compare both sides\n"
	      "      --resume       keep what is there and right, copy the "
	      "rest\n"
	      "      --progress, --no-progress\n"
	      "                     draw a progress line; without these, on "
	      "a terminal\n"
	      "  -v, --verbose      say how each file was copied\n"
	      "  -q, --quiet        no summary\n"
	      "  -h, --help\n",
	      stdout);
}

enum long_option {
	OPTION_CLONE_ONLY = 256,
	OPTION_VERIFY,
	OPTION_RESUME,
	OPTION_PROGRESS,
	OPTION_NO_PROGRESS,
};

static const struct option long_options[] = {
	{ "recursive", no_argument, NULL, 'r' },
	{ "preserve", no_argument, NULL, 'p' },
	{ "archive", no_argument, NULL, 'a' },
	{ "force", no_argument, NULL, 'f' },
	{ "no-clobber", no_argument, NULL, 'n' },
	{ "clone-only", no_argument, NULL, OPTION_CLONE_ONLY },
	{ "verify", no_argument, NULL, OPTION_VERIFY },
	{ "resume", no_argument, NULL, OPTION_RESUME },
	{ "progress", no_argument, NULL, OPTION_PROGRESS },
	{ "no-progress", no_argument, NULL, OPTION_NO_PROGRESS },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static bool set_option(struct copy_options *options, int option)
{
	switch (option) {
	case 'a':
		options->links = true;
		options->preserve = true;
		options->recursive = true;
		return true;
	case 'p':
		options->preserve = true;
		return true;
	case 'R':
	case 'r':
		options->recursive = true;
		return true;
	case 'f':
		options->force = true;
		return true;
	case 'n':
		options->no_clobber = true;
		return true;
	case 'v':
		options->verbose = true;
		return true;
	case 'q':
		options->quiet = true;
		return true;
	case OPTION_CLONE_ONLY:
		options->clone_only = true;
		return true;
	case OPTION_VERIFY:
		options->verify = true;
		return true;
	case OPTION_RESUME:
		options->resume = true;
		return true;
	case OPTION_PROGRESS:
	case OPTION_NO_PROGRESS:
		options->progress = option == OPTION_PROGRESS;
		return true;
	default:
		return false;
	}
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct copy_options *options)
{
	int option;

	options->progress = isatty(STDERR_FILENO);
	opterr = 0;
	while ((option = getopt_long(argc, argv, "aprRfnvqh", long_options,
				     NULL)) != -1) {
		if (option == 'h') {
			print_help();
			return TOOL_OK;
		}
		if (!set_option(options, option)) {
			char *word = text_quote(argv[optind - 1]);

			report_usage("unknown option in %s", word);
			free(word);
			return TOOL_USAGE;
		}
	}
	if (options->clone_only && options->resume)
		return report_usage("--clone-only cannot promise anything of "
				    "what --resume finds");
	if (options->no_clobber && options->resume)
		return report_usage("--no-clobber leaves alone what --resume "
				    "would go on with");
	if (argc - optind < 1)
		return report_usage("no SOURCE given");
	if (argc - optind < 2)
		return report_usage("no DESTINATION given");
	return -1;
}

/*
 * The last component of a path, without trailing slashes; "." for what has
 * no name of its own, so that "." and "/" are copied into the destination
 * itself.  The caller frees it.
 */
static char *base_name(const char *path)
{
	size_t end = strlen(path), start;

	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/'; start--)
		;
	if (start == end ||
	    (end - start == 2 && !strncmp(path + start, "..", 2)))
		return strdup(".");
	return strndup(path + start, end - start);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/*
 * Two files of one name would be one file in the end, and a copy lost.  @seen
 * is of tsearch(); the names in it outlive it.
 */
static bool is_taken(void **seen, const char *name)
{
	if (tfind(name, seen, compare_names))
		return true;
	/* Without memory for it, a name is only not remembered. */
	tsearch(name, seen, compare_names);
	return false;
}

static int copy_argument(struct copy_worker *worker,
			 const struct copy_entry *entry, void **seen)
{
	const struct copy_options *options = worker->run->options;
	int flags = options->recursive ? AT_SYMLINK_NOFOLLOW : 0;
	struct stat src;

	if (fstatat(AT_FDCWD, entry->src_name, &src, flags)) {
		copy_report_failure(worker->run, entry, OFFLAY_SOURCE, -errno,
				    "cannot examine");
		return -ENOENT;
	}
	if (S_ISDIR(src.st_mode) && options->recursive)
		return copy_tree(worker, entry, &src);
	if (S_ISDIR(src.st_mode)) {
		copy_report_failure(worker->run, entry, OFFLAY_SOURCE, 0,
				    "is a directory (-r copies it)");
		return -EISDIR;
	}
	if (is_taken(seen, entry->dst_name)) {
		copy_report_failure(worker->run, entry, OFFLAY_SOURCE, 0,
				    "is not copied over another SOURCE of "
				    "that name");
		return -EEXIST;
	}
	return copy_entry(worker, entry);
}

/*
 * Where the arguments go: into DESTINATION where that is a directory, else to
 * DESTINATION itself.
 */
static int open_place(struct copy_run *run, const char *dst, bool is_many,
		      struct copy_dir *place)
{
	struct stat st;
	char *name;

	/* The group and the ACL that a new entry gets are not known: assume
	 * the worst. */
	place->src_fd = AT_FDCWD;
	place->dst_fd = AT_FDCWD;
	place->new_gid = (gid_t)-1;
	place->has_default_acl = true;
	place->src_name = strdup("");
	place->dst_name = strdup("");
	if (!place->src_name || !place->dst_name)
		return -ENOMEM;
	place->dst_fd = open(dst, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->dst_fd >= 0) {
		free(place->dst_name);
		place->dst_name = strdup(dst);
		if (!place->dst_name || fstat(place->dst_fd, &st))
			return -errno;
		place->new_gid = st.st_mode & S_ISGID ? st.st_gid : run->gid;
		place->has_default_acl = copy_attr_default_acl(place->dst_fd);
		return 0;
	}
	if (!is_many && (errno == ENOENT || errno == ENOTDIR)) {
		place->dst_fd = AT_FDCWD;
		return 0;
	}
	place->dst_fd = AT_FDCWD;
	name = text_quote(dst);
	report_error("cannot copy into directory %s: %s", name,
		     strerror(errno));
	free(name);
	return -ENOTDIR;
}

static void close_place(struct copy_dir *place)
{
	if (place->dst_fd >= 0)
		close(place->dst_fd);
	free(place->src_name);
	free(place->dst_name);
}

/* Bytes that are known before: those of plain files that were named. */
static uint64_t expected_size(char **sources, int count)
{
	uint64_t size = 0;
	struct stat st;
	int i;

	for (i = 0; i < count; i++) {
		if (stat(sources[i], &st))
			continue;
		if (!S_ISREG(st.st_mode))
			return 0;
		size += (uint64_t)st.st_size;
	}
	return size;
}

static void forget_name(void *name)
{
	(void)name; /* of the list in copy_arguments() */
}

static void copy_arguments(struct copy_run *run, char **sources, int count,
			   const char *dst)
{
	char **names = calloc((size_t)count, sizeof(*names));
	struct copy_worker worker = { .run = run };
	struct copy_dir place = { .src_fd = -1, .dst_fd = -1 };
	void *seen = NULL;
	int i;

	if (!names || open_place(run, dst, count > 1, &place)) {
		atomic_store(&run->failed, true);
		count = 0;
	}
	for (i = 0; i < count && !copy_interrupted(); i++) {
		struct copy_entry entry = {
			.dir = &place,
			.src_name = sources[i],
			.type = DT_UNKNOWN,
		};

		names[i] = place.dst_fd == AT_FDCWD ? strdup(dst)
						    : base_name(sources[i]);
		entry.dst_name = names[i];
		if (names[i])
			copy_argument(&worker, &entry, &seen);
		else
			atomic_store(&run->failed, true);
	}
	copy_pool_free(run->pool);
	tdestroy(seen, forget_name);
	for (i = 0; i < count; i++)
		free(names[i]);
	free(names);
	close_place(&place);
	copy_worker_done(&worker);
}

/* The first of these signals stops in order, the second one at once. */
static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESETHAND | SA_RESTART };
	struct sigaction old;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		/* What nohup ignores stays ignored. */
		if (!sigaction(signals[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

/* To the caller, we died of the signal: a shell shows 128 and its number. */
static void die_of_signal(void)
{
	report_error("interrupted; what is complete stays, --resume copies "
		     "the rest");
	fflush(stdout);
	signal(stop_signal, SIG_DFL);
	raise(stop_signal);
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int run_copy(struct copy_run *run, char **sources, int count,
		    const char *dst)
{
	struct copy_progress *progress = NULL;
	double start = now();

	if (run->options->progress) {
		run->expected = expected_size(sources, count);
		/* Without a line the copy is as good. */
		copy_progress_start(run, &progress);
	}
	copy_arguments(run, sources, count, dst);
	copy_progress_stop(progress);
	if (!run->options->quiet)
		copy_report_summary(run, now() - start);
	if (copy_interrupted())
		die_of_signal();
	return atomic_load(&run->failed) ? TOOL_FAILED : TOOL_OK;
}

int cmd_copy(int argc, char **argv)
{
	struct copy_options options = { 0 };
	struct copy_run run = { .options = &options };
	int code = parse_options(argc, argv, &options);
	int err;

	if (code >= 0)
		return code;
	catch_signals();
	raise_file_limit();
	/* Every mode is given in full where modes are kept. */
	if (options.preserve)
		umask(0);
	run.uid = geteuid();
	run.gid = getegid();
	err = offlay_engine_new(&run.engine);
	if (!err && options.links)
		err = copy_link_new(&run.links);
	if (err) {
		report_error("cannot start: %s", strerror(-err));
		code = TOOL_FAILED;
	} else {
		code = run_copy(&run, argv + optind, argc - optind - 1,
				argv[argc - 1]);
	}
	copy_link_free(run.links);
	offlay_engine_free(run.engine);
	return code;
}
