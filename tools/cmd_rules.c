// SPDX-License-Identifier: MIT
/* offlay rules: the fault rules of a mount. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "offlay_uapi.h"
#include "tools.h"

/* How often a list begins anew because somebody replaces the rules. */
#define TRIES 100

static void print_help(void)
{
	fputs("Usage: offlay rules MOUNT set FILE|-\n"
	      "       offlay rules MOUNT list [--json]\n"
	      "       offlay rules MOUNT clear\n"
	      "       offlay rules check FILE|-\n\n"
	      "Makes an offlayfs mount answer otherwise than its storage would: "
	      "errors, short\n"
	      "counts, delays, refusals; see offlay-rules(5) for what FILE "
	      "says.\n\n"
	      "      --json  for programs\n"
	      "  -h, --help\n\n"
	      "Exit codes: 0 done, 1 failed, 2 usage, or FILE is wrong.\n",
	      stdout);
}

static int fail(const char *name, int err)
{
	char *quoted = text_quote(name);

	switch (-err) {
	case ENOTTY:
		report_error("%s: not on an offlayfs mount", quoted);
		break;
	case EPERM:
		report_error("%s: only the user who mounted and root may",
			     quoted);
		break;
	case EFBIG:
		report_error("%s: more than %u bytes of rules", quoted,
			     FAULT_TEXT_MAX);
		break;
	default:
		report_error("%s: %s", quoted, strerror(-err));
	}
	free(quoted);
	return TOOL_FAILED;
}

/* The text of FILE, checked; an exit code. */
static int load(const char *file, char **ret_text, size_t *ret_size)
{
	struct fault_error error = { 0 };
	struct fault_set *set;
	int fd, err;

	fd = strcmp(file, "-") ? open(file, O_RDONLY | O_CLOEXEC)
			       : STDIN_FILENO;
	err = fd < 0 ? -errno : fault_read_text(fd, ret_text, ret_size);
	if (fd > STDIN_FILENO)
		close(fd);
	if (err)
		return fail(file, err);
	err = fault_parse(*ret_text, *ret_size, &set, &error);
	if (!err) {
		fault_set_free(set);
		return TOOL_OK;
	}
	free(*ret_text);
	if (!error.line)
		return fail(file, err);
	report_error("%s", error.text);
	return TOOL_USAGE;
}

static int run_check(const char *file)
{
	size_t size;
	char *text;
	int code = load(file, &text, &size);

	if (code == TOOL_OK)
		free(text);
	return code;
}

static int run_set(const char *mount, int fd, const char *file)
{
	struct fault_error error;
	size_t size;
	char *text;
	int code, err;

	code = load(file, &text, &size);
	if (code)
		return code;
	err = fault_client_set(fd, text, size, &error);
	free(text);
	if (!err)
		return TOOL_OK;
	if (error.line) {
		report_error("%s", error.text);
		return TOOL_USAGE;
	}
	return fail(mount, err);
}

struct listing {
	struct offlay_ioc_rules_list *rules;
	uint32_t n;
};

/* All rules of one generation. */
static int fetch(int fd, struct listing *ret_listing)
{
	struct offlay_ioc_rules_list first, *rules;
	int err;

	err = fault_client_list(fd, 0, &first);
	if (err)
		return err;
	rules = calloc(first.count + 1u, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	for (uint32_t i = 0; !err && i <= first.count; i++) {
		err = fault_client_list(fd, i, &rules[i]);
		if (!err && rules[i].generation != first.generation)
			err = -EAGAIN;
	}
	if (err) {
		free(rules);
		return err;
	}
	*ret_listing = (struct listing){ rules, first.count };
	return 0;
}

static void print_json(const struct listing *listing)
{
	printf("{ \"waiting\": %" PRIu32 ", \"rules\": [",
	       listing->rules[0].waiting);
	for (uint32_t i = 0; i < listing->n; i++) {
		const struct offlay_ioc_rules_list *rule = &listing->rules[i];

		printf("%s\n  { \"line\": %" PRIu32 ", \"calls\": %" PRIu64
		       ", \"hits\": %" PRIu64 ", \"bytes\": %" PRIu64
		       ", \"rule\": ",
		       i ? "," : "", (uint32_t)rule->line,
		       (uint64_t)rule->calls, (uint64_t)rule->hits,
		       (uint64_t)rule->bytes);
		text_json(stdout, rule->text);
		fputs(" }", stdout);
	}
	puts(listing->n ? "\n] }" : "] }");
}

/* The text is the user's own; what could drive a terminal is not shown. */
static void print_text(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 127 ? '?'
								   : *text);
	putchar('\n');
}

static void print_table(const struct listing *listing)
{
	if (listing->n)
		puts("LINE    CALLS     HITS  RULE");
	for (uint32_t i = 0; i < listing->n; i++) {
		const struct offlay_ioc_rules_list *rule = &listing->rules[i];

		printf("%4" PRIu32 " %8" PRIu64 " %8" PRIu64 "  ",
		       (uint32_t)rule->line, (uint64_t)rule->calls,
		       (uint64_t)rule->hits);
		print_text(rule->text);
	}
	if (listing->rules[0].waiting)
		printf("%" PRIu32 " requests wait\n",
		       (uint32_t)listing->rules[0].waiting);
}

static int run_list(const char *mount, int fd, bool json)
{
	struct listing listing;
	int err = -EAGAIN;

	for (int i = 0; err == -EAGAIN && i < TRIES; i++)
		err = fetch(fd, &listing);
	if (err)
		return fail(mount, err);
	if (json)
		print_json(&listing);
	else
		print_table(&listing);
	free(listing.rules);
	return TOOL_OK;
}

static int run_on(const char *mount, char **words, int n, bool json)
{
	bool sets = n == 2 && !strcmp(words[0], "set");
	bool lists = n == 1 && !strcmp(words[0], "list");
	bool clears = n == 1 && !strcmp(words[0], "clear");
	int fd, err, code = TOOL_OK;

	if (!sets && !lists && !clears)
		return report_usage("set FILE, list or clear?");
	fd = open(mount, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return fail(mount, -errno);
	if (sets) {
		code = run_set(mount, fd, words[1]);
	} else if (lists) {
		code = run_list(mount, fd, json);
	} else {
		err = fault_client_clear(fd);
		if (err)
			code = fail(mount, err);
	}
	close(fd);
	return code;
}

int cmd_rules(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool json = false;
	int option, n;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			print_help();
			return TOOL_OK;
		case 'j':
			json = true;
			break;
		default:
			return report_usage("unknown option");
		}
	}
	n = argc - optind;
	if (n == 2 && !strcmp(argv[optind], "check"))
		return run_check(argv[optind + 1]);
	if (n < 2)
		return report_usage("MOUNT, and set FILE, list or clear?");
	return run_on(argv[optind], argv + optind + 1, n - 1, json);
}
