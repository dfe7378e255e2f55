// SPDX-License-Identifier: MIT
/* What a directory's filesystem can do, tried on files without a name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "doctor.h"
#include "offlay.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#define ZFS_SUPER_MAGIC 0x2fc12fc1

/* More than any filesystem keeps inside an inode or calls a block. */
#define SAMPLE_SIZE ((size_t)256 << 10)

static const struct {
	uint32_t type;
	const char *name;
	const char *reflink; /* how to get it; NULL for the general advice */
} filesystems[] = {
	{ BTRFS_SUPER_MAGIC, "btrfs", "is the volume mounted read-only?" },
	{ XFS_SUPER_MAGIC, "xfs",
	  "make the filesystem with mkfs.xfs -m reflink=1" },
	{ EXT4_SUPER_MAGIC, "ext4", NULL },
	{ TMPFS_MAGIC, "tmpfs", NULL },
	{ OVERLAYFS_SUPER_MAGIC, "overlay",
	  "needs a lower filesystem that can, such as btrfs or XFS" },
	{ NFS_SUPER_MAGIC, "nfs", "needs NFS 4.2 and a server that can clone" },
	{ FUSE_SUPER_MAGIC, "fuse",
	  "a FUSE mount never gets this request; ask for the directory that "
	  "it shows" },
	{ ZFS_SUPER_MAGIC, "zfs", "needs OpenZFS 2.2 with block cloning on" },
	{ 0xf2f52010, "f2fs", NULL },
	{ 0xca451a4e, "bcachefs", NULL },
};

static const char *type_name(uint32_t type)
{
	size_t i;

	for (i = 0; i < sizeof(filesystems) / sizeof(filesystems[0]); i++)
		if (filesystems[i].type == type)
			return filesystems[i].name;
	return NULL;
}

static const char *reflink_advice(uint32_t type)
{
	size_t i;

	for (i = 0; i < sizeof(filesystems) / sizeof(filesystems[0]); i++)
		if (filesystems[i].type == type && filesystems[i].reflink)
			return filesystems[i].reflink;
	return "put SOURCE on btrfs, or on XFS made with reflink=1";
}

/* A file that goes away with its descriptor. */
static int open_nameless(const struct doctor *doctor)
{
	char name[] = ".offlay-doctor-XXXXXX";
	int fd, tries;

	fd = openat(doctor->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return -errno;
	for (tries = 0; tries < 100; tries++) {
		snprintf(name, sizeof(name), ".offlay-doctor-%06x",
			 (unsigned int)(getpid() * 100 + tries) & 0xffffff);
		fd = openat(doctor->dir_fd, name,
			    O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			unlinkat(doctor->dir_fd, name, 0);
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

static int fill(int fd)
{
	char *data = malloc(SAMPLE_SIZE);
	ssize_t count;

	if (!data)
		return -ENOMEM;
	memset(data, 'o', SAMPLE_SIZE);
	count = pwrite(fd, data, SAMPLE_SIZE, 0);
	free(data);
	if (count < 0)
		return -errno;
	return count == (ssize_t)SAMPLE_SIZE ? 0 : -ENOSPC;
}

/* False where nothing can be written; that is a finding of its own. */
static bool can_try(struct doctor *doctor, const char *name)
{
	if (!doctor->dir_error)
		return true;
	doctor_find(doctor, name, DOCTOR_UNKNOWN, NULL,
		    "not tried, no file can be made here");
	return false;
}

/* Runs a trial on a file of SAMPLE_SIZE bytes. */
static void try_file(struct doctor *doctor, const char *name,
		     int (*trial)(const struct doctor *doctor, int fd),
		     const char *advice)
{
	int fd, err;

	if (!can_try(doctor, name))
		return;
	fd = open_nameless(doctor);
	err = fd < 0 ? fd : fill(fd);
	if (!err)
		err = trial(doctor, fd);
	if (fd >= 0)
		close(fd);
	doctor_find_tried(doctor, name, err, advice);
}

void doctor_filesystem(struct doctor *doctor)
{
	const char *name;
	struct statfs fs;
	int fd;

	fd = open_nameless(doctor);
	if (fd >= 0)
		doctor->dir_error = fill(fd);
	else
		doctor->dir_error = fd;
	if (fd >= 0)
		close(fd);
	if (fstatfs(doctor->dir_fd, &fs)) {
		doctor_find(doctor, "filesystem", DOCTOR_UNKNOWN, NULL, "%s",
			    strerror(errno));
		return;
	}
	doctor->fs_type = (uint32_t)fs.f_type;
	name = type_name(doctor->fs_type);
	if (doctor->dir_error)
		doctor_find(doctor, "filesystem", DOCTOR_NO,
			    "name a directory that can be written, to have "
			    "the rest tried",
			    "%s (type 0x%x), cannot be written: %s",
			    name ? name : "another", doctor->fs_type,
			    strerror(-doctor->dir_error));
	else
		doctor_find(doctor, "filesystem", DOCTOR_YES, NULL,
			    "%s (type 0x%x)", name ? name : "another",
			    doctor->fs_type);
}

static int try_reflink(const struct doctor *doctor, int fd)
{
	int dst_fd = open_nameless(doctor);
	int err = 0;

	if (dst_fd < 0)
		return dst_fd;
	if (ioctl(dst_fd, FICLONE, fd))
		err = -errno;
	close(dst_fd);
	return err;
}

void doctor_reflink(struct doctor *doctor)
{
	try_file(doctor, "reflink", try_reflink,
		 reflink_advice(doctor->fs_type));
}

static int try_fiemap(const struct doctor *doctor, int fd)
{
	struct fiemap map = { .fm_length = SAMPLE_SIZE,
			      .fm_flags = FIEMAP_FLAG_SYNC };

	(void)doctor;
	return ioctl(fd, FS_IOC_FIEMAP, &map) ? -errno : 0;
}

void doctor_fiemap(struct doctor *doctor)
{
	try_file(doctor, "fiemap", try_fiemap,
		 "compressed extents cannot be seen here, and whether "
		 "extents are shared neither");
}

static int try_holes(const struct doctor *doctor, int fd)
{
	off_t hole;

	(void)doctor;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)SAMPLE_SIZE / 2))
		return -errno;
	hole = lseek(fd, 0, SEEK_HOLE);
	if (hole < 0)
		return -errno;
	return hole == 0 ? 0 : -EOPNOTSUPP;
}

void doctor_holes(struct doctor *doctor)
{
	try_file(doctor, "holes", try_holes,
		 "sparse files cannot be told from others here");
}

static int try_handles(const struct doctor *doctor, int fd)
{
	_Alignas(struct file_handle) char
		space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	struct file_handle *handle = (void *)space;
	int mount_id, again_fd;

	(void)fd;
	handle->handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(doctor->dir_fd, "", handle, &mount_id,
			      AT_EMPTY_PATH))
		return -errno;
	again_fd = open_by_handle_at(doctor->dir_fd, handle,
				     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (again_fd < 0)
		return -errno;
	close(again_fd);
	return 0;
}

void doctor_handles(struct doctor *doctor)
{
	doctor_find_tried(doctor, "file handles", try_handles(doctor, -1),
			  "without them (or CAP_DAC_READ_SEARCH) the daemon "
			  "keeps a bounded cache of descriptors");
}

/* Granted only while nobody has the file open for writing. */
static int try_leases(const struct doctor *doctor)
{
	char path[32];
	int fd = open_nameless(doctor);
	int reader_fd, err = 0;

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader_fd = open(path, O_RDONLY | O_CLOEXEC);
	err = reader_fd < 0 ? -errno : 0;
	close(fd);
	if (!err && fcntl(reader_fd, F_SETLEASE, F_RDLCK))
		err = -errno;
	if (reader_fd >= 0)
		close(reader_fd);
	return err;
}

void doctor_leases(struct doctor *doctor)
{
	if (can_try(doctor, "leases"))
		doctor_find_tried(doctor, "leases", try_leases(doctor),
				  "copies by read and write cannot be turned "
				  "into clones safely here");
}

static int try_xattrs(const struct doctor *doctor, int fd)
{
	(void)doctor;
	return fsetxattr(fd, "user.offlay.doctor", "1", 1, 0) ? -errno : 0;
}

void doctor_xattrs(struct doctor *doctor)
{
	try_file(doctor, "xattrs", try_xattrs,
		 "mount the filesystem with user_xattr where it has that");
}

void doctor_tmpfile(struct doctor *doctor)
{
	int fd;

	if (!can_try(doctor, "O_TMPFILE"))
		return;
	fd = openat(doctor->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	doctor_find_tried(doctor, "O_TMPFILE", fd < 0 ? -errno : 0,
			  "programs that use it fall back to named files");
	if (fd >= 0)
		close(fd);
}
