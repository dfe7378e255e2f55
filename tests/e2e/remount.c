/* SPDX-License-Identifier: MIT */
/* What mount(8) asks of its helper once the mount is there. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "mount.h"
#include "offlay_uapi.h"
#include "process.h"
#include "sample.h"
#include "volume.h"

#define SIZE (128u << 10)

/* As mount(8) starts it, without its being installed. */
static int remount(const struct mount *mount, char *options)
{
	const char *helper = getenv("OFFLAY_MOUNT_HELPER");
	struct command_result result;

	cr_assert(helper, "$OFFLAY_MOUNT_HELPER must name the helper to test");
	COMMAND(&result, "sh", (char *)helper, (char *)mount->source,
		(char *)mount->point, "-o", options);
	return result.status;
}

static unsigned long flags_of(const struct mount *mount)
{
	struct statvfs st;

	cr_assert_eq(statvfs(mount->point, &st), 0);
	return st.f_flag & (ST_RDONLY | ST_NOSUID);
}

Test(remount, changes_what_the_kernel_keeps, .timeout = 60)
{
	struct volume volume;
	struct mount mount;
	char source[PATH_MAX], path[PATH_MAX];
	int fd;

	volume_get(BACKING_TMPFS, 0, &volume);
	volume_dir(&volume, "source", source);
	volume_path(path, source, "file");
	sample_file(path, 1000, 1);
	mount_open(source, NULL, &mount);
	volume_path(path, mount.point, "file");
	/* With what mount(8) knows of the mount, and fstab of the daemon. */
	cr_expect_eq(remount(&mount, "rw,nosuid,relatime,user_id=0,group_id=0,"
				     "default_permissions,allow_other,"
				     "profile=transparent,remount,ro"),
		     0);
	cr_expect_eq(flags_of(&mount), ST_RDONLY | ST_NOSUID);
	cr_expect_eq(open(path, O_RDWR), -1);
	cr_expect_eq(errno, EROFS);
	cr_expect_eq(access(path, R_OK), 0);
	cr_expect_eq(remount(&mount, "remount,rw,suid"), 0);
	cr_expect_eq(flags_of(&mount), 0);
	fd = open(path, O_RDWR);
	cr_assert(fd >= 0, "%s", strerror(errno));
	/* Somebody may still write, and mount(8) says so. */
	cr_expect_neq(remount(&mount, "remount,ro"), 0);
	cr_expect_eq(write(fd, "x", 1), 1);
	cr_expect_eq(flags_of(&mount), 0);
	close(fd);
	mount_close(&mount);
}

/* Into a file open for reading, which its owner may; ioctls ask nobody else. */
static int dedupe(const struct mount *mount)
{
	struct offlay_ioc_name name = { .version = OFFLAY_ABI_VERSION };
	struct offlay_ioc_dedupe arg = { .version = OFFLAY_ABI_VERSION,
					 .length = SIZE };
	char path[PATH_MAX];
	int src, dst, err;

	volume_path(path, mount->point, "a");
	src = open(path, O_RDONLY | O_CLOEXEC);
	volume_path(path, mount->point, "b");
	dst = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(src >= 0 && dst >= 0, "%s", strerror(errno));
	cr_assert_eq(ioctl(src, OFFLAY_IOC_NAME, &name), 0);
	memcpy(arg.cookie, name.cookie, sizeof(arg.cookie));
	err = ioctl(dst, OFFLAY_IOC_DEDUPE, &arg) ? -errno : 0;
	close(src);
	close(dst);
	return err;
}

static void deduplicates_by_what_it_is_now_on(enum backing backing)
{
	struct volume volume;
	struct mount mount;
	char source[PATH_MAX], path[PATH_MAX];

	volume_get(backing, 0, &volume);
	volume_dir(&volume, "source", source);
	volume_path(path, source, "a");
	sample_file(path, SIZE, 1);
	volume_path(path, source, "b");
	sample_file(path, SIZE, 1);
	mount_open(source, "ro", &mount);
	cr_expect_eq(dedupe(&mount), -EROFS);
	cr_expect_eq(remount(&mount, "remount,rw"), 0);
	cr_expect_eq(dedupe(&mount), 0);
	cr_expect_eq(remount(&mount, "remount,ro"), 0);
	cr_expect_eq(dedupe(&mount), -EROFS);
	mount_close(&mount);
}

Test(remount, deduplicates_by_what_it_is_now, .timeout = 60)
{
	if (backing_is_selected(BACKING_BTRFS))
		deduplicates_by_what_it_is_now_on(BACKING_BTRFS);
	else
		deduplicates_by_what_it_is_now_on(BACKING_XFS);
}

VOLUME_MAIN;
