/* SPDX-License-Identifier: MIT */
/* Parity with the backing: file flags, statfs, read-only and full volumes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "parity.h"

/* Replaces the flags that a user may change, as chattr does. */
static int set_flags(const char *name, int flags)
{
	int fd = open(name, O_RDONLY), result, err, old = 0;

	if (fd < 0)
		return -1;
	result = ioctl(fd, FS_IOC_GETFLAGS, &old);
	flags |= old & ~FS_FL_USER_MODIFIABLE;
	/* How ext4 maps blocks. */
	flags |= old & FS_EXTENT_FL;
	if (result == 0)
		result = ioctl(fd, FS_IOC_SETFLAGS, &flags);
	err = errno;
	close(fd);
	errno = err;
	return result;
}

static void note_flags(struct parity *p, const char *name)
{
	int fd = open(name, O_RDONLY), flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
		note(p, "flags of %s = %s", name, errno_name(errno));
	else
		note(p, "flags of %s: %#x", name, flags);
	close(fd);
}

static void file_flags(struct parity *p)
{
	static const int flags[] = { FS_NODUMP_FL, FS_NOATIME_FL, FS_SYNC_FL,
				     FS_COMPR_FL,  0x40000000,	  0 };

	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	note_flags(p, "f");
	note_flags(p, "d");
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		note(p, "flags %#x", flags[i]);
		CALL(p, set_flags("f", flags[i]));
		note_flags(p, "f");
		CALL(p, set_flags("d", flags[i]));
		note_flags(p, "d");
	}
	CALL(p, set_flags("missing", 0));
}

static void extended_flags(struct parity *p)
{
	struct fsxattr attr = { 0 };
	int fd, version = 0;

	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, ioctl(fd, FS_IOC_FSGETXATTR, &attr));
	note(p, "%#x %u %u", attr.fsx_xflags, attr.fsx_extsize,
	     attr.fsx_projid);
	attr.fsx_xflags |= FS_XFLAG_NODUMP;
	CALL(p, ioctl(fd, FS_IOC_FSSETXATTR, &attr));
	CALL(p, ioctl(fd, FS_IOC_FSGETXATTR, &attr));
	note(p, "%#x", attr.fsx_xflags);
	/* The number itself is random; whether there is one is not. */
	CALL(p, ioctl(fd, FS_IOC_GETVERSION, &version));
	CALL(p, ioctl(fd, _IOR('~', 77, int), &version));
	CALL(p, ioctl(fd, FIONREAD, &version));
}

static void immutable(struct parity *p)
{
	int fd, flags = 0;

	make_file(p, "f", "text");
	CALL(p, mkdir("d", 0755));
	make_file(p, "d/x", "x");
	fd = OPEN(p, open("f", O_RDWR));
	if (set_flags("f", FS_IMMUTABLE_FL) != 0)
		parity_skip(p, "no immutable files on this backing");
	CALL(p, set_flags("d", FS_IMMUTABLE_FL));
	note_flags(p, "f");
	CALL(p, open("f", O_WRONLY));
	CALL(p, open("f", O_RDONLY) >= 0);
	CALL(p, open("f", O_RDONLY | O_TRUNC));
	CALL(p, truncate("f", 0));
	CALL(p, chmod("f", 0600));
	CALL(p, chown("f", 1, 1));
	CALL(p, utimensat(AT_FDCWD, "f", NULL, 0));
	CALL(p, unlink("f"));
	CALL(p, rename("f", "g"));
	CALL(p, link("f", "g"));
	CALL(p, setxattr("f", "user.a", "x", 1, 0));
	CALL(p, pwrite(fd, "TEXT", 4, 0));
	CALL(p, ftruncate(fd, 2));
	CALL(p, fallocate(fd, 0, 0, 8192));
	CALL(p, open("d/new", O_CREAT | O_WRONLY, 0600));
	CALL(p, unlink("d/x"));
	CALL(p, mkdir("d/sub", 0755));
	CALL(p, rmdir("d"));
	make_data(p, "data", 8192);
	CALL(p,
	     copy_file_range(open("data", O_RDONLY), NULL, fd, NULL, 4096, 0));
	CALL(p, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	CALL(p, set_flags("d", 0));
	CALL(p, rename("f", "g"));
	note_text(p, "g");
}

static void append_only(struct parity *p)
{
	int fd;

	make_file(p, "f", "text");
	if (set_flags("f", FS_APPEND_FL) != 0)
		parity_skip(p, "no append-only files on this backing");
	CALL(p, open("f", O_WRONLY));
	CALL(p, open("f", O_WRONLY | O_APPEND | O_TRUNC));
	fd = OPEN(p, open("f", O_WRONLY | O_APPEND));
	CALL(p, write(fd, "more", 4));
	CALL(p, ftruncate(fd, 0));
	CALL(p, truncate("f", 0));
	CALL(p, unlink("f"));
	CALL(p, set_flags("f", 0));
	note_text(p, "f");
	CALL(p, unlink("f"));
}

static void flags_by_users(struct parity *p)
{
	CALL(p, chmod(".", 0777));
	make_file(p, "roots", "x");
	enter_user(p, &alice);
	make_file(p, "mine", "x");
	CALL(p, set_flags("mine", FS_NODUMP_FL));
	CALL(p, set_flags("mine", FS_IMMUTABLE_FL));
	CALL(p, set_flags("roots", FS_NODUMP_FL));
	note_flags(p, "mine");
	note_flags(p, "roots");
	leave_user(p);
}

/* The kernel has looked just before, and believes it for a second. */
static void times_of_flags(struct parity *p)
{
	static const char *const names[] = { "f", "d" };
	static const int flags[] = { FS_NODUMP_FL, FS_NOATIME_FL, 0 };
	struct stat before, after;

	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	for (size_t i = 0; i < 6; i++) {
		MUST(p, stat(names[i % 2], &before) == 0);
		usleep(20000);
		CALL(p, set_flags(names[i % 2], flags[i / 2]));
		MUST(p, stat(names[i % 2], &after) == 0);
		note(p, "%s: ctime %s, mtime %s", names[i % 2],
		     before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
				     before.st_ctim.tv_nsec ==
					     after.st_ctim.tv_nsec
			     ? "the same"
			     : "new",
		     before.st_mtim.tv_nsec == after.st_mtim.tv_nsec
			     ? "the same"
			     : "new");
	}
}

static void filesystem(struct parity *p)
{
	struct statvfs st;

	make_file(p, "f", "x");
	CALL(p, statvfs("f", &st));
	note(p, "bsize %lu frsize %lu blocks %lu files %lu namemax %lu",
	     st.f_bsize, st.f_frsize, (unsigned long)st.f_blocks,
	     (unsigned long)(st.f_files > 0), st.f_namemax);
	CALL(p, fstatvfs(open("f", O_RDONLY), &st));
	CALL(p, statvfs("missing", &st));
	CALL(p, pathconf("f", _PC_NAME_MAX));
	CALL(p, pathconf("f", _PC_PIPE_BUF));
}

static const struct parity_row rows[] = {
	{ "lsattr and chattr", file_flags, ROW_ROOT },
	{ "FS_IOC_FSGETXATTR", extended_flags, ROW_ROOT },
	{ "immutable", immutable, ROW_ROOT },
	{ "append only", append_only, ROW_ROOT },
	{ "flags by users", flags_by_users, ROW_ROOT },
	{ "times of flags", times_of_flags, ROW_ROOT },
	{ "statfs", filesystem, 0 },
};

PARITY_TOPIC(special, rows);

static void everything_read_only(struct parity *p)
{
	struct timespec times[2] = { { 1, 1 }, { 2, 2 } };
	int fd;

	note_dir(p, ".");
	note_stat(p, "f");
	note_text(p, "f");
	CALL(p, open("f", O_WRONLY));
	CALL(p, open("f", O_RDONLY | O_TRUNC));
	CALL(p, open("f", O_RDWR | O_CREAT, 0600));
	CALL(p, open("f", O_RDONLY | O_CREAT, 0600) >= 0);
	CALL(p, open("new", O_RDWR | O_CREAT, 0600));
	CALL(p, open("new", O_RDONLY | O_CREAT | O_EXCL, 0600));
	CALL(p, open(".", O_TMPFILE | O_RDWR, 0600));
	CALL(p, mkdir("new", 0755));
	CALL(p, mkdir("d", 0755));
	CALL(p, mknod("new", S_IFREG | 0644, 0));
	CALL(p, symlink("x", "new"));
	CALL(p, link("f", "new"));
	CALL(p, unlink("f"));
	CALL(p, unlink("missing"));
	CALL(p, rmdir("d"));
	CALL(p, rename("f", "g"));
	CALL(p, chmod("f", 0600));
	CALL(p, chown("f", 1, 1));
	CALL(p, truncate("f", 0));
	CALL(p, utimensat(AT_FDCWD, "f", times, 0));
	CALL(p, utimensat(AT_FDCWD, "f", NULL, 0));
	CALL(p, setxattr("f", "user.a", "x", 1, 0));
	CALL(p, removexattr("f", "user.a"));
	CALL(p, access("f", W_OK));
	CALL(p, access("f", R_OK));
	CALL(p, access("d", W_OK));
	CALL(p, open("fifo", O_RDWR) >= 0);
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, fchmod(fd, 0600));
	CALL(p, futimens(fd, NULL));
	CALL(p, fsync(fd));
	CALL(p, syncfs(fd));
}

static void prepare_read_only(const char *dir, bool by_user)
{
	char path[PATH_MAX];
	uid_t uid = by_user ? mount_user.uid : 0;

	volume_path(path, dir, "d");
	cr_assert(mkdir(path, 0755) == 0 && chown(path, uid, -1) == 0);
	volume_path(path, dir, "fifo");
	cr_assert(mkfifo(path, 0644) == 0);
	volume_path(path, dir, "f");
	cr_assert(mknod(path, S_IFREG | 0644, 0) == 0);
	cr_assert(chown(path, uid, -1) == 0 && chown(dir, uid, -1) == 0);
}

/* A bind mount of a directory onto itself, read-only. */
static void bind_read_only(const char *dir)
{
	cr_assert(mount(dir, dir, NULL, MS_BIND, NULL) == 0);
	cr_assert(mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY,
			NULL) == 0);
}

static const struct parity_row read_only_row = { "everything",
						 everything_read_only, 0 };

/*
 * Where the mount itself is read-only the kernel answers, where only the
 * backing is, the daemon does; both as a read-only filesystem does natively.
 */
ParameterizedTestParameters(parity, read_only)
{
	return parity_params();
}

ParameterizedTest(struct parity_param *param, parity, read_only, .timeout = 60)
{
	static const char *const kinds[] = { "-o ro", "read-only backing" };
	char source[PATH_MAX], bare[PATH_MAX], name[128];
	struct volume volume;
	struct mount mount;

	volume_get(param->backing, 0, &volume);
	for (int i = 0; i < 2; i++) {
		volume_dir(&volume, "source", source);
		volume_dir(&volume, "bare", bare);
		prepare_read_only(source, param->mode == MODE_USER);
		prepare_read_only(bare, param->mode == MODE_USER);
		bind_read_only(bare);
		if (i == 1)
			bind_read_only(source);
		if (param->mode == MODE_USER && i == 1) {
			struct mount_spec spec = { .user = &mount_user };

			cr_assert(mount_start(source, &spec, &mount) == 0);
		} else {
			mount_open_mode(source, param->mode,
					i == 0 ? "ro" : NULL, &mount);
		}
		snprintf(name, sizeof(name), "%s/%s: read_only, %s",
			 backing_name(param->backing), mode_name(param->mode),
			 kinds[i]);
		parity_compare(param, name, &read_only_row, bare, mount.point,
			       source);
		mount_close(&mount);
		cr_expect(umount(bare) == 0);
		if (i == 1)
			cr_expect(umount(source) == 0);
	}
}

/* Write until nothing more fits, then try what else wants room. */
static void fill(struct parity *p)
{
	char *chunk = malloc(1 << 20);
	int fd, err = 0, writes = 0;
	ssize_t n;

	signal(SIGBUS, SIG_DFL);
	memset(chunk, 'f', 1 << 20);
	fd = OPEN(p, open("big", O_RDWR | O_CREAT, 0644));
	for (size_t size = 1 << 20; size >= 512; size /= 2) {
		while ((n = write(fd, chunk, size)) > 0 && writes < 4000)
			writes++;
		err = errno;
	}
	note(p, "write: %s", errno_name(err));
	MUST(p, writes > 4 && writes < 4000);
	CALL(p, fallocate(fd, 0, 0, 1ll << 32));
	CALL(p, fsync(fd));
	CALL(p, pread(fd, chunk, 4096, 8192));
	note(p, "still %c", chunk[4095]);
	CALL(p, ftruncate(fd, 0));
	CALL(p, pwrite(fd, "room again", 10, 0));
	note_text(p, "big");
	free(chunk);
}

static const struct parity_row full_row = { "ENOSPC", fill, ROW_ALONE };

ParameterizedTestParameters(parity, full)
{
	return parity_params();
}

ParameterizedTest(struct parity_param *param, parity, full, .timeout = 120)
{
	static const uint64_t sizes[BACKING_COUNT] = {
		[BACKING_BTRFS] = 120ull << 20,
		[BACKING_XFS] = 300ull << 20,
		[BACKING_EXT4] = 64ull << 20,
		[BACKING_TMPFS] = 32ull << 20,
	};
	char source[PATH_MAX], bare[PATH_MAX], name[128];
	struct volume bare_volume, volume;
	struct mount mount;

	/* Not shared, since one side would fill the other's room. */
	volume_get_sized(param->backing, 0, sizes[param->backing], NULL,
			 &bare_volume);
	volume_get_sized(param->backing, 0, sizes[param->backing], NULL,
			 &volume);
	volume_dir(&volume, "source", source);
	volume_dir(&bare_volume, "bare", bare);
	mount_open_mode(source, param->mode, NULL, &mount);
	if (param->mode == MODE_USER)
		cr_assert(chown(bare, mount_user.uid, mount_user.gid) == 0);
	snprintf(name, sizeof(name), "%s/%s: full",
		 backing_name(param->backing), mode_name(param->mode));
	parity_compare(param, name, &full_row, bare, mount.point, source);
	mount_close(&mount);
	volume_free(&volume);
	volume_free(&bare_volume);
}
