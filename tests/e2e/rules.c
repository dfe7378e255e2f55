// SPDX-License-Identifier: MIT
/* What the tests of fault rules share, and their main(). */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rules.h"
#include "sample.h"

#define WAIT_MS 5000

static const struct rules_case cases[] = {
	{ BACKING_BTRFS, MODE_PASSTHROUGH },
	{ BACKING_BTRFS, MODE_NO_PASSTHROUGH },
	{ BACKING_XFS, MODE_PASSTHROUGH },
	{ BACKING_EXT4, MODE_PASSTHROUGH },
	{ BACKING_EXT4, MODE_NO_PASSTHROUGH },
};

#define CASES (sizeof(cases) / sizeof(*cases))

const struct rules_case *rules_next_case(const struct rules_case *last)
{
	const struct rules_case *next = last ? last + 1 : cases;

	while (next < cases + CASES && !backing_is_selected(next->backing))
		next++;
	return next < cases + CASES ? next : NULL;
}

const char *rules_case_name(const struct rules_case *where)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s, %s", backing_name(where->backing),
		 mode_name(where->mode));
	return name;
}

void rules_place_open(const struct rules_case *where, const char *options,
		      struct rules_place *ret_place)
{
	char path[PATH_MAX];

	memset(ret_place, 0, sizeof(*ret_place));
	ret_place->where = where;
	volume_get(where->backing, 0, &ret_place->volume);
	volume_dir(&ret_place->volume, "rules", ret_place->dir);
	volume_path(path, ret_place->dir, "a");
	sample_file(path, RULES_SIZE, 1);
	mount_open_mode(ret_place->dir, where->mode, options,
			&ret_place->mount);
}

void rules_place_any(const char *options, struct rules_place *ret_place)
{
	const struct rules_case *where = rules_next_case(NULL);

	if (!where)
		volume_skip("rules", "no backing is selected");
	rules_place_open(where, options, ret_place);
}

void rules_place_close(struct rules_place *place)
{
	mount_close(&place->mount);
	COMMAND(NULL, "rm", "-rf", place->dir);
}

void rules_path_of(const struct rules_place *place, const char *name,
		   char *ret_path)
{
	volume_path(ret_path, place->mount.point, name);
}

int rules_open(const struct rules_place *place, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	rules_path_of(place, name, path);
	fd = open(path, flags | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

static int open_root(const struct rules_place *place)
{
	return rules_open(place, ".", O_RDONLY | O_DIRECTORY);
}

void rules_set(const struct rules_place *place, const char *text)
{
	struct fault_error error = { 0 };
	int fd = open_root(place), err;

	err = fault_client_set(fd, text, strlen(text), &error);
	cr_assert_eq(err, 0, "%s: %s %s", text, errno_name(err), error.text);
	close(fd);
}

void rules_clear(const struct rules_place *place)
{
	int fd = open_root(place);

	cr_assert_eq(fault_client_clear(fd), 0);
	close(fd);
}

void rules_get(const struct rules_place *place, uint32_t index,
	       struct offlay_ioc_rules_list *ret_rule)
{
	int fd = open_root(place);

	cr_assert_eq(fault_client_list(fd, index, ret_rule), 0);
	close(fd);
}

void rules_wait_for(const struct rules_place *place, uint32_t waiting)
{
	long long end = process_now_ms() + WAIT_MS;
	struct offlay_ioc_rules_list rule;

	do {
		rules_get(place, 0, &rule);
		if (rule.waiting == waiting)
			return;
		process_sleep_ms(10);
	} while (process_now_ms() < end);
	cr_assert_eq(rule.waiting, waiting, "%u requests wait, not %u",
		     rule.waiting, waiting);
}

void rules_same(const struct rules_place *place, const char *a, const char *b)
{
	char path_a[PATH_MAX], path_b[PATH_MAX];
	uint64_t at = 0;

	volume_path(path_a, place->dir, a);
	volume_path(path_b, place->dir, b);
	cr_assert_eq(sample_is_same(path_a, path_b, &at), 1,
		     "%s and %s differ at %llu", a, b, (unsigned long long)at);
}

VOLUME_MAIN;
