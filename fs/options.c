/* SPDX-License-Identifier: MIT */
/* The command line: parsed and validated here, and nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <unistd.h>

#include "fault.h"
#include "fs.h"

#define EXIT_USAGE	   2
#define THREADS_DEFAULT	   32
#define THREADS_MAX	   1024
#define ACCEL_MIN	   (128u << 10)
#define TRACE_SIZE_DEFAULT 64 /* MiB */
#define TRACE_SIZE_MAX	   (1u << 20)

static void __attribute__((format(printf, 1, 2), noreturn))
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("offlayfs: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(EXIT_USAGE);
}

struct word {
	const char *name;
	int value;
};

static const struct word refuse_words[] = {
	{ "visible", REFUSE_VISIBLE },
	{ "kernel", REFUSE_KERNEL },
	{ "copy", REFUSE_COPY },
	{ NULL, 0 },
};
static const struct word offload_words[] = {
	{ "auto", OFFLOAD_AUTO },
	{ "clone", OFFLOAD_CLONE },
	{ NULL, 0 },
};
static const struct word cache_words[] = {
	{ "auto", CACHE_AUTO },
	{ "none", CACHE_NONE },
	{ "always", CACHE_ALWAYS },
	{ NULL, 0 },
};
static const struct word profile_words[] = {
	{ "strict", 0 },
	{ "transparent", 1 },
	{ NULL, 0 },
};
static const struct word log_words[] = {
	{ "err", LOG_ERR },	  { "warning", LOG_WARNING },
	{ "notice", LOG_NOTICE }, { "info", LOG_INFO },
	{ "debug", LOG_DEBUG },	  { NULL, 0 },
};

static int pick(const char *option, const char *value, const struct word *words)
{
	char list[128] = "";
	size_t i;

	for (i = 0; words[i].name; i++) {
		if (strcmp(words[i].name, value) == 0)
			return words[i].value;
		snprintf(list + strlen(list), sizeof(list) - strlen(list),
			 "%s%s", i ? ", " : "", words[i].name);
	}
	die("%s=%s: not one of %s", option, value, list);
}

static unsigned int number(const char *option, const char *value,
			   unsigned int max)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || !*value || *value == '-' || *end || n < 1 || n > max)
		die("%s=%s: not a number from 1 to %u", option, value, max);
	return (unsigned int)n;
}

/* An option taken apart, and where it goes. */
struct parse {
	struct options *opt;
	bool transparent; /* profile; single options override it */
	bool deny_given, refuse_given;
	bool suid_given, dev_given, exec_given, ro_given;
	bool allow_given;
};

static void set_deny(struct parse *parse, const char *value)
{
	const char *bad;

	if (offlay_deny_parse(value, &parse->opt->deny, &bad))
		die("deny=%s: \"%s\" is none of sparse, encrypted, compressed, "
		    "none, all",
		    value, bad);
	parse->deny_given = true;
}

static void set_tokens(struct options *opt, const char *value)
{
	const char *bad;

	if (odx_limits_parse(value, &opt->tokens, &bad))
		die("tokens=%s: wrong at \"%s\" (see offlay-odx(7))", value,
		    bad);
}

/* Relative to where it was given: the daemon leaves that directory later. */
static void set_rules(struct options *opt, const char *path)
{
	struct fault_error error = { 0 };
	struct fault_set *set;
	char *text = NULL;
	size_t size;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : fault_read_text(fd, &text, &size);
	if (!err)
		err = fault_parse(text, size, &set, &error);
	if (err)
		die("rules=%s: %s", path,
		    error.line ? error.text : strerror(-err));
	free(text);
	close(fd);
	fault_set_free(opt->rules);
	opt->rules = set;
}

static void set_text(char **text, const char *name, const char *value)
{
	if (!*value)
		die("%s=: nothing given", name);
	free(*text);
	*text = strdup(value);
	if (!*text)
		die("out of memory");
}

static void set_accel_min(struct options *opt, const char *value)
{
	if (!odx_limits_parse_size(value, value + strlen(value),
				   &opt->accel_min))
		die("accel_min=%s: not a size such as 128K or 1M", value);
}

static bool set_valued(struct parse *parse, const char *name, const char *value)
{
	struct options *opt = parse->opt;

	if (strcmp(name, "deny") == 0) {
		set_deny(parse, value);
	} else if (strcmp(name, "refuse") == 0) {
		opt->refuse = (enum refuse_mode)pick(name, value, refuse_words);
		parse->refuse_given = true;
	} else if (strcmp(name, "offload") == 0) {
		opt->offload =
			(enum offload_mode)pick(name, value, offload_words);
	} else if (strcmp(name, "cache") == 0) {
		opt->cache = (enum cache_mode)pick(name, value, cache_words);
	} else if (strcmp(name, "tokens") == 0) {
		set_tokens(opt, value);
	} else if (strcmp(name, "rules") == 0) {
		set_rules(opt, value);
	} else if (strcmp(name, "accel_min") == 0) {
		set_accel_min(opt, value);
	} else if (strcmp(name, "profile") == 0) {
		parse->transparent = pick(name, value, profile_words);
	} else if (strcmp(name, "log") == 0) {
		opt->log_level = pick(name, value, log_words);
	} else if (strcmp(name, "trace") == 0) {
		set_text(&opt->trace, name, value);
	} else if (strcmp(name, "trace_size") == 0) {
		opt->trace_size = number(name, value, TRACE_SIZE_MAX);
	} else if (strcmp(name, "threads") == 0) {
		opt->max_threads = number(name, value, THREADS_MAX);
	} else {
		return false;
	}
	return true;
}

/* Words that stand alone; "no_" before them turns them off. */
static const struct {
	const char *name;
	size_t where;
	bool only_on;
} switches[] = {
	{ "passthrough", offsetof(struct options, passthrough), false },
	{ "io_uring", offsetof(struct options, io_uring), false },
	{ "accel", offsetof(struct options, accel), false },
	{ "handover", offsetof(struct options, handover), false },
	{ "trace_all", offsetof(struct options, trace_all), true },
};

static bool set_switch(struct parse *parse, const char *name)
{
	bool off = strncmp(name, "no_", 3) == 0;
	size_t i;

	if (off)
		name += 3;
	for (i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
		if (strcmp(name, switches[i].name) != 0)
			continue;
		if (off && switches[i].only_on)
			return false;
		*(bool *)((char *)parse->opt + switches[i].where) = !off;
		return true;
	}
	return false;
}

/*
 * Words of mount(8) and fstab(5) that mean nothing here.  Access times are
 * kept by the mount of SOURCE, and libfuse knows only some of their words.
 */
static bool is_ignored(const char *name)
{
	static const char *const words[] = {
		"defaults", "auto",	  "noauto",	 "user",
		"nouser",   "users",	  "owner",	 "group",
		"nofail",   "_netdev",	  "atime",	 "diratime",
		"relatime", "norelatime", "strictatime", "nostrictatime",
		"lazytime", "nolazytime", "symfollow",
	};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i], name) == 0)
			return true;
	return strncmp(name, "x-", 2) == 0 || strncmp(name, "X-", 2) == 0 ||
	       strncmp(name, "comment=", 8) == 0;
}

/* Words that libfuse or the kernel understands. */
static bool is_for_kernel(const char *name)
{
	static const char *const words[] = {
		"rw",	      "ro",	      "suid",
		"nosuid",     "dev",	      "nodev",
		"exec",	      "noexec",	      "sync",
		"async",      "dirsync",      "noatime",
		"nodiratime", "nosymfollow",  "allow_other",
		"allow_root", "auto_unmount", "default_permissions",
	};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i], name) == 0)
			return true;
	return strstr(name, "context=") != NULL;
}

static void add_mount_option(struct options *opt, const char *text)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s",
		     opt->mount_options ? opt->mount_options : "",
		     opt->mount_options ? "," : "", text) < 0)
		die("out of memory");
	free(opt->mount_options);
	opt->mount_options = joined;
}

static void note_mount_option(struct parse *parse, const char *name)
{
	if (strstr(name, "suid"))
		parse->suid_given = true;
	else if (strcmp(name, "dev") == 0 || strcmp(name, "nodev") == 0)
		parse->dev_given = true;
	else if (strstr(name, "exec"))
		parse->exec_given = true;
	else if (strcmp(name, "ro") == 0 || strcmp(name, "rw") == 0)
		parse->ro_given = true;
	else if (strncmp(name, "allow_", 6) == 0)
		parse->allow_given = true;
	if (strcmp(name, "ro") == 0)
		parse->opt->read_only = true;
	else if (strcmp(name, "rw") == 0)
		parse->opt->read_only = false;
}

static void set_option(struct parse *parse, char *option)
{
	char *value = strchr(option, '=');
	bool known;

	if (!*option || is_ignored(option))
		return;
	if (is_for_kernel(option)) {
		note_mount_option(parse, option);
		add_mount_option(parse->opt, option);
		return;
	}
	if (value) {
		*value = '\0';
		known = set_valued(parse, option, value + 1);
		*value = '=';
	} else {
		known = set_switch(parse, option);
	}
	if (!known)
		die("unknown option \"%s\" (see offlayfs --help)", option);
}

static void set_options(struct parse *parse, char *list)
{
	char *save = NULL, *option;

	for (option = strtok_r(list, ",", &save); option;
	     option = strtok_r(NULL, ",", &save))
		set_option(parse, option);
}

static char *real_directory(const char *what, const char *path)
{
	struct stat st;
	char *real;

	real = realpath(path, NULL);
	if (!real || stat(real, &st))
		die("%s %s: %s", what, path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		die("%s %s: not a directory", what, path);
	return real;
}

static void check_paths(struct options *opt)
{
	size_t len = strlen(opt->mountpoint);

	if (strcmp(opt->mountpoint, "/") == 0)
		die("mountpoint /: would hide the whole system");
	if (strncmp(opt->source, opt->mountpoint, len) == 0 &&
	    opt->source[len] == '/')
		die("source %s: lies inside the mountpoint %s", opt->source,
		    opt->mountpoint);
}

/*
 * The overlay shows SOURCE as it is: what its mount allows, ours does, and
 * what it does not, ours does not either.  Unprivileged mounts stay nosuid
 * and nodev whatever is said here.
 */
static void follow_source_mount(struct parse *parse)
{
	struct options *opt = parse->opt;
	struct statvfs st;

	if (statvfs(opt->source, &st))
		die("source %s: %s", opt->source, strerror(errno));
	if (st.f_flag & ST_RDONLY && !opt->read_only) {
		opt->read_only = true;
		add_mount_option(opt, "ro");
	}
	if (st.f_flag & ST_NOEXEC && !parse->exec_given)
		add_mount_option(opt, "noexec");
	if (geteuid() != 0)
		return;
	if (!parse->suid_given && !(st.f_flag & ST_NOSUID))
		add_mount_option(opt, "suid");
	if (!parse->dev_given && !(st.f_flag & ST_NODEV))
		add_mount_option(opt, "dev");
	if (!parse->allow_given)
		add_mount_option(opt, "allow_other");
}

static void print_version(void)
{
	bool uring = WITH_IO_URING && FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18);

	printf("offlayfs %s, libfuse %s%s\n", OFFLAY_VERSION, fuse_pkgversion(),
	       uring ? ", io_uring" : "");
}

static void parse_flags(int argc, char **argv, struct parse *parse)
{
	static const struct option flags[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "options", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "fho:V", flags, NULL)) != -1) {
		switch (c) {
		case 'f':
			parse->opt->foreground = true;
			break;
		case 'o':
			set_options(parse, optarg);
			break;
		case 'h':
			fputs(options_usage, stdout);
			exit(0);
		case 'V':
			print_version();
			exit(0);
		default:
			exit(EXIT_USAGE); /* getopt has said why */
		}
	}
}

void options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options opt = {
		.deny = OFFLAY_DENY_ALL,
		.passthrough = WITH_PASSTHROUGH,
		.max_threads = THREADS_DEFAULT,
		.accel = true,
		.handover = true,
		.accel_min = ACCEL_MIN,
		.trace_size = TRACE_SIZE_DEFAULT,
		.log_level = LOG_NOTICE,
	};
	struct parse parse = { .opt = &opt };

	odx_limits_default(&opt.tokens);
	parse_flags(argc, argv, &parse);
	if (argc - optind != 2)
		die("%s (see offlayfs --help)",
		    argc - optind < 2 ? "SOURCE and MOUNTPOINT are needed"
				      : "more than SOURCE and MOUNTPOINT");
	if (parse.transparent && !parse.deny_given)
		opt.deny = 0;
	if (parse.transparent && !parse.refuse_given)
		opt.refuse = REFUSE_COPY;
	opt.source = real_directory("source", argv[optind]);
	opt.mountpoint = real_directory("mountpoint", argv[optind + 1]);
	check_paths(&opt);
	follow_source_mount(&parse);
	add_mount_option(&opt, "default_permissions,subtype=offlayfs");
	*ret_options = opt;
}

void options_done(struct options *options)
{
	free(options->source);
	free(options->mountpoint);
	free(options->mount_options);
	fault_set_free(options->rules);
	free(options->trace);
}
