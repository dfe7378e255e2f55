// SPDX-License-Identifier: MIT
/* What the tests of refused copies share, and their main(). */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "refusal.h"
#include "sample.h"

static const struct refusal_case cases[] = {
	{ BACKING_BTRFS, MODE_PASSTHROUGH },
	{ BACKING_BTRFS, MODE_NO_PASSTHROUGH },
	{ BACKING_XFS, MODE_PASSTHROUGH },
	{ BACKING_XFS, MODE_NO_PASSTHROUGH },
	{ BACKING_EXT4, MODE_PASSTHROUGH },
	{ BACKING_TMPFS, MODE_PASSTHROUGH },
	{ BACKING_TMPFS, MODE_NO_PASSTHROUGH },
};

#define CASES (sizeof(cases) / sizeof(*cases))

const struct refusal_case *refusal_next_case(const struct refusal_case *last)
{
	const struct refusal_case *next = last ? last + 1 : cases;

	while (next < cases + CASES && !backing_is_selected(next->backing))
		next++;
	return next < cases + CASES ? next : NULL;
}

const char *refusal_case_name(const struct refusal_case *where)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s, %s", backing_name(where->backing),
		 mode_name(where->mode));
	return name;
}

void refusal_place_open(const struct refusal_case *where,
			struct refusal_place *ret_place)
{
	volume_get(where->backing, 0, &ret_place->volume);
	volume_dir(&ret_place->volume, "refusal", ret_place->below);
	mount_open_mode(ret_place->below, where->mode, NULL, &ret_place->mount);
}

void refusal_place_close(struct refusal_place *place)
{
	mount_close(&place->mount);
	COMMAND(NULL, "rm", "-rf", place->below);
}

void refusal_make(const struct refusal_place *place, const char *name,
		  bool sparse)
{
	char path[PATH_MAX], block[4096];
	int fd;

	volume_path(path, place->below, name);
	if (!sparse) {
		sample_file(path, REFUSAL_SIZE, strlen(name));
		return;
	}
	memset(block, 'S', sizeof(block));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(ftruncate(fd, REFUSAL_SIZE), 0);
	for (off_t at = 0; at < REFUSAL_SIZE / 2; at += sizeof(block))
		cr_assert_eq(pwrite(fd, block, sizeof(block), at),
			     sizeof(block));
	cr_assert_eq(pwrite(fd, block, sizeof(block),
			    REFUSAL_SIZE - (off_t)sizeof(block)),
		     sizeof(block));
	close(fd);
}

int refusal_open(const struct refusal_place *place, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, place->mount.point, name);
	fd = open(path, flags | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

ssize_t refusal_copy(int src_fd, off_t src_at, int dst_fd, off_t dst_at,
		     size_t length)
{
	ssize_t n =
		copy_file_range(src_fd, &src_at, dst_fd, &dst_at, length, 0);

	return n < 0 ? -errno : n;
}

VOLUME_MAIN;
