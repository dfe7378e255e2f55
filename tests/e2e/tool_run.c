// SPDX-License-Identifier: MIT
/* What the tests of the command offlay share: running it in a place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mount.h"
#include "sample.h"
#include "tool.h"

const struct user tool_user = { .uid = 4242, .gid = 4243 };

static void free_params(struct criterion_test_params *params)
{
	cr_free(params->params);
}

struct criterion_test_params tool_backings(void)
{
	enum backing *params = cr_malloc(sizeof(*params) * BACKING_COUNT);
	size_t n = 0;

	for (int backing = 0; backing < BACKING_COUNT; backing++)
		if (backing_is_selected(backing))
			params[n++] = (enum backing)backing;
	return cr_make_param_array(enum backing, params, n, free_params);
}

void tool_place_init(enum backing backing, struct tool_place *ret_place)
{
	volume_get(backing, 0, &ret_place->volume);
	volume_dir(&ret_place->volume, "tool", ret_place->dir);
}

void tool_sh(const char *dir, const char *script, struct command_result *ret)
{
	struct command_result unused;

	if (!ret)
		ret = &unused;
	COMMAND(ret, "sh", "-ec", "cd \"$1\"; shift; eval \"$1\"", "sh",
		(char *)dir, (char *)script);
	cr_assert_eq(ret->status, 0, "%s: status %d: %s", script, ret->status,
		     ret->err);
}

void tool_run(const char *dir, const struct user *user, const char *line,
	      int status, struct command_result *ret)
{
	char script[TOOL_LINE + 2 * PATH_MAX];
	struct command_result unused;

	if (!ret)
		ret = &unused;
	snprintf(script, sizeof(script), "cd '%s' && exec '%s' %s", dir,
		 mount_tool_path(), line);
	command_run((char *[]){ "sh", "-c", script, NULL }, user, 60, ret);
	cr_assert_eq(ret->status, status, "offlay %s: status %d: %s%s", line,
		     ret->status, ret->out, ret->err);
}

pid_t tool_start(const char *dir, const char *line)
{
	char script[TOOL_LINE + 2 * PATH_MAX];
	pid_t pid;

	snprintf(script, sizeof(script), "cd '%s' && exec '%s' %s", dir,
		 mount_tool_path(), line);
	pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	return pid;
}

void tool_expect_same(const char *dir, const char *src, const char *dst)
{
	char src_path[PATH_MAX], dst_path[PATH_MAX];
	uint64_t at = 0;
	int same;

	volume_path(src_path, dir, src);
	volume_path(dst_path, dir, dst);
	same = sample_is_same(src_path, dst_path, &at);
	cr_assert_eq(same, 1, "%s and %s: %d, at byte %llu", src, dst, same,
		     (unsigned long long)at);
}

void tool_expect_text(const char *text, const char *part)
{
	cr_assert(strstr(text, part), "\"%s\" is not in \"%s\"", part, text);
}

bool tool_exists(const char *dir, const char *name)
{
	return tool_size(dir, name) >= 0;
}

int64_t tool_size(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	volume_path(path, dir, name);
	return lstat(path, &st) ? -1 : (int64_t)st.st_size;
}
