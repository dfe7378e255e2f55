// SPDX-License-Identifier: MIT
/* Giving rules: the tool, the option, the ioctls, the page's own examples. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "rules.h"

/* A shell script in the mount; $OFFLAY is the tool. */
static void run(const struct rules_place *place, const char *script,
		struct command_result *ret)
{
	setenv("OFFLAY", mount_tool_path(), 1);
	setenv("OFFLAYFS", mount_daemon_path(), 1);
	COMMAND(ret, "sh", "-c", "cd \"$1\" && eval \"$0\"", (char *)script,
		(char *)place->mount.point);
}

/* @part, or nothing where that is NULL. */
static bool says(const char *text, const char *part)
{
	return part ? strstr(text, part) != NULL : !*text;
}

Test(rules_tool, works_by_hand)
{
	static const struct {
		const char *script;
		int status;
		const char *out, *err; /* parts, or NULL for nothing */
	} rows[] = {
		{ "$OFFLAY rules . list", 0, NULL, NULL },
		{ "$OFFLAY rules . list --json", 0, "\"rules\": []", NULL },
		{ "echo 'read : errno=EIO # x' | $OFFLAY rules . set -", 0,
		  NULL, NULL },
		{ "head -c 1 a", 1, NULL, "Input/output error" },
		{ "$OFFLAY rules . list", 0,
		  "   1        1        1  read : errno=EIO\n", NULL },
		{ "$OFFLAY rules a list --json", 0, "\"hits\": 1", NULL },
		{ "$OFFLAY rules . clear && $OFFLAY rules a list", 0, NULL,
		  NULL },
		{ "printf 'read : zero\n\nreed : zero\n' >../x; "
		  "$OFFLAY rules . set ../x",
		  2, NULL, "rules:3:1: expected copy, clone" },
		{ "$OFFLAY rules check ../x", 2, NULL,
		  "offlay rules: rules:3:1: expected copy, clone" },
		{ "echo 'read : zero' | $OFFLAY rules check -", 0, NULL, NULL },
		{ "$OFFLAY rules . set /none", 1, NULL,
		  "'/none': No such file" },
		{ "$OFFLAY rules /proc list", 1, NULL, "not on an offlayfs" },
		{ "head -c 70000 /dev/zero | tr '\\0' '\\n' | "
		  "$OFFLAY rules . set -",
		  1, NULL, "more than 65536 bytes" },
		{ "$OFFLAY rules . sit", 2, NULL, "set FILE, list or clear" },
		{ "$OFFLAY rules .", 2, NULL, "MOUNT" },
		{ "$OFFLAY rules --no", 2, NULL, "unknown option" },
		{ "$OFFLAY rules --help", 0, "offlay-rules(5)", NULL },
		{ "awk 'BEGIN { for (i = 1; i <= 256; i++) printf(\"copy "
		  "file=a%d nth=%d : errno=EIO # %200d\\n\", i, i, i) }' | "
		  "$OFFLAY rules . set - && $OFFLAY rules . list --json >../x "
		  "&& "
		  "python3 -c 'import json; r = json.load(open(\"../x\"))"
		  "[\"rules\"]; assert len(r) == 256; "
		  "assert r[255][\"line\"] == 256; "
		  "assert r[9][\"rule\"] == \"copy file=a10 nth=10 : "
		  "errno=EIO\"'",
		  0, NULL, NULL },
	};
	struct command_result result;
	struct rules_place place;

	rules_place_any("no_passthrough", &place);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		run(&place, rows[i].script, &result);
		cr_expect_eq(result.status, rows[i].status, "%s: %s",
			     rows[i].script, result.err);
		cr_expect(says(result.out, rows[i].out), "%s: %s",
			  rows[i].script, result.out);
		cr_expect(says(result.err, rows[i].err), "%s: %s",
			  rows[i].script, result.err);
	}
	rules_place_close(&place);
}

/* One line and exit code 2, and nothing is mounted. */
Test(rules_tool, gives_rules_when_mounting)
{
	struct rules_place place;
	struct command_result result;
	char options[PATH_MAX + 16], file[PATH_MAX];
	struct offlay_ioc_rules_list rule;
	FILE *out;

	volume_path(file, volume_scratch(), "rules.txt");
	out = fopen(file, "we");
	cr_assert_not_null(out);
	fputs("# from the start\nopen file=a : errno=EACCES\n", out);
	fclose(out);
	snprintf(options, sizeof(options), "rules=%s", file);
	rules_place_any(options, &place);
	cr_expect_eq(unlink(file), 0);
	rules_path_of(&place, "a", file);
	cr_expect_eq(open(file, O_RDONLY | O_CLOEXEC), -1);
	cr_expect_eq(errno, EACCES);
	rules_get(&place, 0, &rule);
	cr_expect_eq(rule.line, 2);
	cr_expect_eq(rule.hits, 1);
	run(&place,
	    "echo 'open errno=EIO' >../bad; $OFFLAYFS -o rules=../bad . . ",
	    &result);
	cr_expect_eq(result.status, 2);
	cr_expect_str_eq(result.err,
			 "offlayfs: rules=../bad: rules:1:6: expected file=, "
			 "side=, nth=, every=, after=, prob=, seed=, count= or "
			 "a colon\n",
			 "%s", result.err);
	run(&place, "$OFFLAYFS -o rules=/none/x . .", &result);
	cr_expect_eq(result.status, 2);
	cr_expect_str_eq(result.err,
			 "offlayfs: rules=/none/x: No such file or directory\n",
			 "%s", result.err);
	rules_place_close(&place);
}

static int try_set(int fd)
{
	struct fault_error error;

	return fault_client_set(fd, "read : hang", 11, &error);
}

static int set_and_clear(void *arg)
{
	int fd = *(int *)arg, err = try_set(fd);

	return err ? err : fault_client_clear(fd);
}

Test(rules_tool, are_for_root_and_who_mounted)
{
	static const struct user other = { .uid = 4242, .gid = 4242 };
	struct offlay_ioc_rules_list rule;
	struct rules_place place;
	struct mount mount;
	char dir[PATH_MAX];
	int fd;

	rules_place_any(NULL, &place);
	fd = rules_open(&place, ".", O_RDONLY | O_DIRECTORY);
	cr_expect_eq(user_call(&other, set_and_clear, &fd, 10), -EPERM);
	cr_expect_eq(user_call(NULL, set_and_clear, &fd, 10), 0);
	cr_assert_eq(try_set(fd), 0);
	cr_expect_eq(user_call(&other, set_and_clear, &fd, 10), -EPERM);
	cr_assert_eq(fault_client_list(fd, 0, &rule), 0);
	cr_expect_eq(rule.count, 1, "still there");
	close(fd);
	rules_clear(&place);
	rules_place_close(&place);
	if (mode_missing(MODE_USER)) {
		volume_note_skip("user", mode_missing(MODE_USER));
		return;
	}
	volume_scratch_dir("mine", dir);
	mount_open_mode(dir, MODE_USER, NULL, &mount);
	cr_assert_eq(user_enter(&mount_user), 0);
	fd = open(mount.point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(user_leave(), 0);
	cr_assert_geq(fd, 0);
	cr_expect_eq(user_call(&mount_user, set_and_clear, &fd, 10), 0);
	close(fd);
	mount_close(&mount);
}

static int set_part(int fd, struct offlay_ioc_rules_set *arg)
{
	return ioctl(fd, OFFLAY_IOC_RULES_SET, arg) < 0 ? errno : 0;
}

static struct offlay_ioc_rules_set part_of(const char *text, uint64_t upload,
					   uint32_t offset, uint32_t flags)
{
	struct offlay_ioc_rules_set arg = { .version = OFFLAY_ABI_VERSION,
					    .flags = flags,
					    .upload = upload,
					    .offset = offset,
					    .length = (uint32_t)strlen(text) };

	strcpy(arg.text, text);
	return arg;
}

/* All or nothing, whoever else is at it. */
Test(rules_tool, takes_a_text_in_parts)
{
	struct offlay_ioc_rules_set first, second, other;
	struct offlay_ioc_rules_list rule;
	struct rules_place place;
	int fd;

	rules_place_any(NULL, &place);
	fd = rules_open(&place, ".", O_RDONLY | O_DIRECTORY);
	cr_assert_eq(try_set(fd), 0);
	first = part_of("read : err", 0, 0, OFFLAY_RULES_MORE);
	cr_assert_eq(set_part(fd, &first), 0);
	rules_get(&place, 0, &rule);
	cr_expect_str_eq(rule.text, "read : hang", "not before its end");
	second = part_of("no=EIO", first.upload, 9, 0);
	cr_expect_eq(set_part(fd, &second), EINVAL, "a gap");
	cr_expect_eq(second.line, 0);
	second = part_of("no=EIO", first.upload, 10, 0);
	cr_assert_eq(set_part(fd, &second), 0);
	rules_get(&place, 0, &rule);
	cr_expect_str_eq(rule.text, "read : errno=EIO");
	cr_expect_eq(set_part(fd, &second), ESTALE, "it is over");
	first = part_of("read : ", 0, 0, OFFLAY_RULES_MORE);
	cr_assert_eq(set_part(fd, &first), 0);
	other = part_of("write : hang", 0, 0, 0);
	cr_assert_eq(set_part(fd, &other), 0);
	second = part_of("hang", first.upload, 7, 0);
	cr_expect_eq(set_part(fd, &second), ESTALE);
	other = part_of("wrote : hang", 0, 0, 0);
	cr_expect_eq(set_part(fd, &other), EINVAL);
	cr_expect_eq(other.line, 1);
	cr_expect_not_null(strstr(other.message, "rules:1:1: expected copy"));
	rules_get(&place, 0, &rule);
	cr_expect_str_eq(rule.text, "write : hang");
	rules_get(&place, 1, &rule);
	cr_expect_eq(rule.line, 0);
	cr_expect_eq(rule.count, 1);
	close(fd);
	rules_clear(&place);
	rules_place_close(&place);
}

Test(rules_tool, takes_no_other_structure)
{
	struct offlay_ioc_rules_set set;
	struct offlay_ioc_rules_list list = { .version = 2 };
	struct offlay_ioc_rules_clear clear = { .version = 1, .flags = 1 };
	struct rules_place place;
	int fd;

	rules_place_any(NULL, &place);
	fd = rules_open(&place, "a", O_RDONLY);
	set = part_of("", 0, 0, 2);
	cr_expect_eq(set_part(fd, &set), EINVAL);
	set = part_of("", 0, 0, 0);
	set.version = 2;
	cr_expect_eq(set_part(fd, &set), EOPNOTSUPP);
	set = part_of("", 0, 0, 0);
	set.length = OFFLAY_RULES_PART + 1;
	cr_expect_eq(set_part(fd, &set), EINVAL);
	set = part_of("", 0, 0, 0);
	set.reserved[1] = 1;
	cr_expect_eq(set_part(fd, &set), EINVAL);
	cr_expect_eq(ioctl(fd, OFFLAY_IOC_RULES_LIST, &list), -1);
	cr_expect_eq(errno, EOPNOTSUPP);
	list.version = 1;
	list.reserved[0] = 1;
	cr_expect_eq(ioctl(fd, OFFLAY_IOC_RULES_LIST, &list), -1);
	cr_expect_eq(errno, EINVAL);
	cr_expect_eq(ioctl(fd, OFFLAY_IOC_RULES_CLEAR, &clear), -1);
	cr_expect_eq(errno, EINVAL);
	close(fd);
	rules_place_close(&place);
}

#define EXAMPLES_MAX 8

/* The literal blocks of the manual page's examples. */
static size_t read_examples(char examples[EXAMPLES_MAX][512])
{
	const char *page = getenv("OFFLAY_RULES_PAGE");
	bool inside = false, literal = false;
	char line[256];
	size_t n = 0;
	FILE *in;

	cr_assert_not_null(page, "OFFLAY_RULES_PAGE");
	in = fopen(page, "re");
	cr_assert_not_null(in, "%s", page);
	while (fgets(line, sizeof(line), in)) {
		if (!strncmp(line, ".Sh ", 4))
			inside = !strcmp(line, ".Sh EXAMPLES\n");
		if (inside && !strncmp(line, ".Bd -literal", 12)) {
			cr_assert_lt(n, EXAMPLES_MAX);
			examples[n][0] = '\0';
			literal = true;
		} else if (literal && !strcmp(line, ".Ed\n")) {
			literal = false;
			n++;
		} else if (literal) {
			strncat(examples[n], line,
				sizeof(examples[n]) - strlen(examples[n]) - 1);
		}
	}
	fclose(in);
	return n;
}

/* What each of them does, in their order. */
Test(rules_tool, does_what_its_page_shows)
{
	static const char *const scripts[] = {
		"! cp ../big x.out 2>err && grep 'No space left' err && "
		"[ $(stat -c %s x.out) = 2097152 ] && "
		"! dd if=../big of=y.out bs=64K 2>err && "
		"[ $(stat -c %s y.out) = 0 ] && cp ../big x",
		"cp ../small s && cp s x && cmp s x",
		"cp ../small s && cp s x && cmp s x && "
		"python3 -c 'import shutil; shutil.copyfile(\"s\", \"y\")' && "
		"cmp s y && dd if=s of=z bs=1M iflag=fullblock && cmp s z",
		"dd if=../small of=x conv=fsync && dd if=../small of=x conv=fsync "
		"&& ! dd if=../small of=x conv=fsync && "
		"dd if=../small of=x conv=fsync",
		("touch 'last year.txt'; ! cat 'last year.txt' 2>err && "
		 "grep Stale err && cp ../small s && cp s x && cmp s x"),
		"cp ../small s && cp s s.img && cp s.img x && cmp s x",
	};
	static char examples[EXAMPLES_MAX][512];
	struct command_result result;
	struct rules_place place;
	char script[1024];
	size_t n;

	n = read_examples(examples);
	cr_assert_eq(n, sizeof(scripts) / sizeof(*scripts));
	rules_place_any(NULL, &place);
	run(&place,
	    "head -c 5M /dev/urandom >../big; head -c 300K ../big >../small",
	    &result);
	for (size_t i = 0; i < n; i++) {
		rules_set(&place, examples[i]);
		snprintf(script, sizeof(script),
			 "{ %s; } && rm -f x y z s* *.out", scripts[i]);
		run(&place, script, &result);
		cr_expect_eq(result.status, 0, "%s%s%s%s", examples[i],
			     scripts[i], result.out, result.err);
		rules_clear(&place);
	}
	rules_place_close(&place);
}
