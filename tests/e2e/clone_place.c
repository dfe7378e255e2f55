// SPDX-License-Identifier: MIT
/* Tests of clone, dedupe and extent map: what they share. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clone_place.h"
#include "extents.h"
#include "sample.h"

static void free_params(struct criterion_test_params *params)
{
	cr_free(params->params);
}

struct criterion_test_params clone_backings(void)
{
	enum backing *params = cr_malloc(sizeof(*params) * BACKING_COUNT);
	size_t n = 0;

	for (int backing = 0; backing < BACKING_COUNT; backing++)
		if (backing_is_selected(backing) &&
		    backing_has_reflink(backing))
			params[n++] = (enum backing)backing;
	return cr_make_param_array(enum backing, params, n, free_params);
}

void clone_place_init(enum backing backing, struct clone_place *ret_place)
{
	memset(ret_place, 0, sizeof(*ret_place));
	ret_place->backing = backing;
	volume_get(backing, 0, &ret_place->volume);
	volume_dir(&ret_place->volume, "clone", ret_place->dir);
}

int clone_open(const struct clone_place *place, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, place->mount.point, name);
	fd = open(path, flags | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

void clone_file(const struct clone_place *place, const char *name,
		uint64_t size, uint64_t seed)
{
	char path[PATH_MAX];

	volume_path(path, place->dir, name);
	sample_file(path, size, seed);
}

void clone_is_shared(const struct clone_place *place, const char *name)
{
	struct extent_usage usage;
	char path[PATH_MAX];

	volume_path(path, place->dir, name);
	cr_assert_eq(extents_usage(path, &usage), 0);
	cr_expect_eq(usage.exclusive, 0, "%s has %llu bytes of its own", name,
		     (unsigned long long)usage.exclusive);
	cr_expect_gt(usage.shared, 0, "%s shares nothing", name);
}

void clone_is_same(const struct clone_place *place, const char *a,
		   const char *b)
{
	char path_a[PATH_MAX], path_b[PATH_MAX];
	uint64_t at;

	volume_path(path_a, place->dir, a);
	volume_path(path_b, place->dir, b);
	cr_expect_eq(sample_is_same(path_a, path_b, &at), 1, "%s and %s differ",
		     a, b);
}

void clone_output(const char *command, char **ret_text)
{
	size_t size = 0, room = 1 << 20;
	char *text = malloc(room);
	FILE *pipe;
	int status;

	cr_assert_not_null(text);
	fflush(NULL);
	pipe = popen(command, "r");
	cr_assert_not_null(pipe);
	size = fread(text, 1, room - 1, pipe);
	text[size] = '\0';
	status = pclose(pipe);
	cr_expect_eq(status, 0, "%s: status %x: %s", command, status, text);
	*ret_text = text;
}
