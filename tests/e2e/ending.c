/* SPDX-License-Identifier: MIT */
/* However the connection ends, the daemon ends well. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "mount.h"
#include "sample.h"
#include "volume.h"

#define N_FILES 200

static void make_source(enum backing backing, char *ret_source)
{
	char path[PATH_MAX], name[32];
	struct volume volume;

	volume_get(backing, 0, &volume);
	volume_dir(&volume, "source", ret_source);
	for (int i = 0; i < N_FILES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		volume_path(path, ret_source, name);
		cr_assert(mknod(path, S_IFREG | 0644, 0) == 0, "%s: %s", path,
			  strerror(errno));
	}
}

static void open_all(const struct mount *mount, int *ret_fds)
{
	char path[PATH_MAX], name[32];

	for (int i = 0; i < N_FILES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		volume_path(path, mount->point, name);
		ret_fds[i] = open(path, O_RDWR | O_CLOEXEC);
		cr_assert(ret_fds[i] >= 0, "%s: %s", path, strerror(errno));
	}
}

static void close_all(const int *fds)
{
	for (int i = 0; i < N_FILES; i++)
		close(fds[i]);
}

/* Releases are on their way to the daemon when the kernel hangs up. */
Test(ending, unmount_right_after_close, .timeout = 300)
{
	unsigned long rounds = sample_amount(10, 60, 400);
	char source[PATH_MAX];
	int fds[N_FILES];

	make_source(BACKING_XFS, source);
	for (unsigned long i = 0; i < rounds; i++) {
		struct mount mount;

		mount_open(source, NULL, &mount);
		open_all(&mount, fds);
		close_all(fds);
		mount_close(&mount);
	}
}

static void abort_connection(const struct mount *target)
{
	char control[PATH_MAX], path[PATH_MAX], name[64];
	struct stat st;
	int fd;

	volume_scratch_dir("fusectl", control);
	cr_assert(mount("none", control, "fusectl", 0, NULL) == 0,
		  "fusectl: %s", strerror(errno));
	cr_assert(stat(target->point, &st) == 0);
	snprintf(name, sizeof(name), "%u/abort", minor(st.st_dev));
	volume_path(path, control, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_expect(fd >= 0 && write(fd, "1", 1) == 1, "%s: %s", path,
		  strerror(errno));
	close(fd);
	cr_assert(umount2(control, 0) == 0);
	rmdir(control);
}

Test(ending, aborted_with_files_open, .timeout = 60)
{
	char source[PATH_MAX], log[16384] = "";
	struct mount mount;
	int fds[N_FILES];
	FILE *file;

	make_source(BACKING_XFS, source);
	mount_open(source, NULL, &mount);
	open_all(&mount, fds);
	abort_connection(&mount);
	close_all(fds);
	mount_close(&mount);
	file = fopen(mount.log, "re");
	cr_assert(file != NULL);
	cr_expect(fread(log, 1, sizeof(log) - 1, file) < sizeof(log));
	fclose(file);
	cr_expect(!strstr(log, "cannot"), "the daemon says: %s", log);
}

VOLUME_MAIN;
