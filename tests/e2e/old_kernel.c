/* SPDX-License-Identifier: MIT */
/* Attributes on kernels that lack the newest calls, as a filter has them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "mount.h"
#include "volume.h"

/* Linux 6.6; newer than the headers of some distributions. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static const char *const names[] = { "file", "dir", "fifo", "link" };

/* For this process and the daemons that it starts. */
static void become_old(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	cr_assert(filter);
	cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
				      SYS_fchmodat2, 0),
		     0);
	cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL),
				      SCMP_SYS(utimensat), 1,
				      SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH,
					      AT_EMPTY_PATH)),
		     0);
	cr_assert_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
	cr_assert_eq(syscall(SYS_fchmodat2, AT_FDCWD, "/", 0755, 0), -1);
	cr_assert_eq(errno, ENOSYS);
	cr_assert_eq(utimensat(AT_FDCWD, "", NULL, AT_EMPTY_PATH), -1);
	cr_assert_eq(errno, EINVAL);
}

static void make_names(const char *dir)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	cr_assert(fd >= 0);
	cr_assert_eq(mknodat(fd, "file", S_IFREG | 0600, 0), 0);
	cr_assert_eq(mkdirat(fd, "dir", 0700), 0);
	cr_assert_eq(mknodat(fd, "fifo", S_IFIFO | 0600, 0), 0);
	/* What is done to the link must not be done to this. */
	cr_assert_eq(symlinkat("file", fd, "link"), 0);
	close(fd);
}

static void expect_times(const char *dir, const char *name, time_t atime,
			 time_t mtime)
{
	char path[PATH_MAX];
	struct stat st;

	volume_path(path, dir, name);
	cr_assert_eq(lstat(path, &st), 0);
	cr_expect_eq(st.st_atim.tv_sec, atime, "%s", path);
	cr_expect_eq(st.st_mtim.tv_sec, mtime, "%s", path);
	cr_expect_eq(st.st_mtim.tv_nsec, 7, "%s", path);
}

static void set_times(const struct mount *mount)
{
	struct timespec times[2] = { { 0, 7 }, { 0, 7 } };
	char path[PATH_MAX];

	for (int i = 0; i < 4; i++) {
		volume_path(path, mount->point, names[i]);
		times[0] = (struct timespec){ 1000 + i, 7 };
		times[1] = (struct timespec){ 2000 + i, 7 };
		cr_expect_eq(utimensat(AT_FDCWD, path, times,
				       AT_SYMLINK_NOFOLLOW),
			     0, "%s: %s", path, strerror(errno));
		times[0].tv_nsec = UTIME_OMIT;
		times[1].tv_sec = 3000 + i;
		cr_expect_eq(utimensat(AT_FDCWD, path, times,
				       AT_SYMLINK_NOFOLLOW),
			     0, "%s: %s", path, strerror(errno));
	}
	for (int i = 0; i < 4; i++) {
		expect_times(mount->point, names[i], 1000 + i, 3000 + i);
		expect_times(mount->source, names[i], 1000 + i, 3000 + i);
	}
}

static void set_modes(const struct mount *mount)
{
	char path[PATH_MAX];
	struct stat st;

	for (int i = 0; i < 3; i++) {
		volume_path(path, mount->point, names[i]);
		cr_expect_eq(chmod(path, 0711), 0, "%s: %s", path,
			     strerror(errno));
		volume_path(path, mount->source, names[i]);
		cr_assert_eq(lstat(path, &st), 0);
		cr_expect_eq(st.st_mode & 07777, 0711, "%s", path);
	}
}

Test(old_kernel, sets_attributes, .timeout = 60)
{
	char source[PATH_MAX];
	struct volume volume;
	struct mount mount;

	volume_get(BACKING_TMPFS, 0, &volume);
	volume_dir(&volume, "source", source);
	become_old();
	mount_open(source, NULL, &mount);
	make_names(mount.point);
	set_times(&mount);
	set_modes(&mount);
	mount_close(&mount);
}

VOLUME_MAIN;
