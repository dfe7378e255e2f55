// SPDX-License-Identifier: MIT
/* Compressed extents far behind others, and in data not yet written out. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elig_files.h"
#include "extents.h"
#include "offlay.h"
#include "process.h"
#include "sample.h"

#define BLOCK	4096
#define EXTENTS 900 /* more than one page of extent items */

static const struct user nobody = { .uid = 65534, .gid = 65534 };

/* Two files taking turns, so that no two extents of one can be joined. */
static void fragment(int fd, int other)
{
	struct sample_rng rng = { .state = 1 };
	char data[BLOCK];

	for (off_t i = 0; i < EXTENTS; i++) {
		sample_fill(&rng, data, sizeof(data));
		cr_assert_eq(pwrite(fd, data, BLOCK, i * BLOCK), BLOCK);
		cr_assert_eq(sync_file_range(fd, i * BLOCK, BLOCK, 7), 0);
		cr_assert_eq(pwrite(other, data, BLOCK, i * BLOCK), BLOCK);
		cr_assert_eq(sync_file_range(other, i * BLOCK, BLOCK, 7), 0);
	}
	cr_assert_eq(fsync(fd), 0);
}

struct question {
	const char *path;
	uint64_t offset;
};

static int is_found(void *arg)
{
	const struct question *question = arg;
	int fd = open(question->path, O_RDONLY | O_CLOEXEC);
	struct offlay_facts facts;
	int err;

	if (fd < 0)
		return -errno;
	err = offlay_facts_gather(fd, OFFLAY_SOURCE, OFFLAY_DENY_ALL, &facts);
	close(fd);
	if (err)
		return err;
	return facts.compressed == OFFLAY_BY_EXTENT &&
	       facts.extent_offset == question->offset;
}

static void ask(struct question *question, int found)
{
	/* Root reads btrfs' tree, others must ask FIEMAP to the end. */
	cr_expect_eq(user_call(NULL, is_found, question, 30), found, "root");
	cr_expect_eq(user_call(&nobody, is_found, question, 30), found, "user");
}

static void remount(const struct volume *volume, const char *options)
{
	cr_assert_eq(mount(NULL, volume->root, NULL, MS_REMOUNT, options), 0,
		     "%s: %s", options, strerror(errno));
}

static int new_file(const struct volume *volume, const char *name, char *path)
{
	int fd;

	volume_path(path, volume->root, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

Test(elig_extents, the_last_of_many_is_found, .timeout = 120)
{
	static char text[ELIG_BLOCK];
	char path[PATH_MAX], other[PATH_MAX];
	struct extent_usage usage;
	struct question question = { path, EXTENTS * BLOCK };
	struct volume volume;
	int fd, other_fd;

	elig_volume(BACKING_BTRFS, &volume);
	fd = new_file(&volume, "fragments", path);
	other_fd = new_file(&volume, "between", other);
	fragment(fd, other_fd);
	cr_assert_eq(extents_usage(path, &usage), 0);
	cr_assert_gt(usage.n_extents, EXTENTS / 2, "%u extents only",
		     usage.n_extents);
	ask(&question, 0);
	remount(&volume, "compress=zlib");
	memset(text, 't', sizeof(text));
	cr_assert_eq(pwrite(fd, text, sizeof(text), EXTENTS * BLOCK),
		     sizeof(text));
	/* Still dirty: asking writes it out, and finds it. */
	ask(&question, 1);
	remount(&volume, "compress=no");
	ask(&question, 1);
	close(fd);
	close(other_fd);
	unlink(path);
	unlink(other);
}
