// SPDX-License-Identifier: MIT
/* Where the copies are made: a volume of our own, or a directory. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "conform.h"
#include "conform_volume.h"
#include "map.h"
#include "tools.h"

#define ROOT "root"
#define KEPT "kept"

static int report(const char *what, const char *path, int err)
{
	char *quoted = text_quote(path);

	report_error("cannot %s %s: %s", what, quoted, strerror(-err));
	free(quoted);
	return TOOL_FAILED;
}

void conform_place_lacks(struct conform_place *place, const char *what,
			 const char *why)
{
	size_t most = sizeof(place->missing) / sizeof(place->missing[0]);

	if (place->missing_count < most)
		snprintf(place->missing[place->missing_count++], CONFORM_TEXT,
			 "%s: %s", what, why);
}

/* Joins, or says that it is too long. */
static bool join(char ret_path[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(ret_path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

static int make_temp(const char *parent, const char *name,
		     char ret_dir[PATH_MAX])
{
	char resolved[PATH_MAX];

	/* Absolute, whatever the program makes of its directory. */
	if (!realpath(parent, resolved))
		return report("use", parent, -errno);
	if (!join(ret_dir, resolved, name))
		return report("use", parent, -ENAMETOOLONG);
	if (!mkdtemp(ret_dir)) {
		ret_dir[0] = '\0';
		return report("make a directory in", parent, -errno);
	}
	return TOOL_OK;
}

static int make_dir(const char *path, int *ret_fd)
{
	int fd;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return report("make", path, -errno);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return report("open", path, -errno);
	*ret_fd = fd;
	return TOOL_OK;
}

/* A file of one block without a name that stays. */
static int make_probe(const struct conform_place *place, const char *name)
{
	static const char data[4096] = "probe";
	int fd = openat(place->kept_fd, name,
			O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	unlinkat(place->kept_fd, name, 0);
	if (pwrite(fd, data, sizeof(data), 0) != (ssize_t)sizeof(data)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static void probe(struct conform_place *place)
{
	int src = make_probe(place, ".probe1"), dst, err = 0;
	struct map_extents extents;

	dst = make_probe(place, ".probe2");
	if (src >= 0 && dst >= 0) {
		place->has_reflink = ioctl(dst, FICLONE, src) == 0;
		err = -errno;
		if (!map_extents_read(src, &extents)) {
			place->has_fiemap = extents.has_physical;
			map_extents_done(&extents);
		}
	}
	if (!place->has_reflink)
		conform_place_lacks(place, "shared extents",
				    err ? strerror(-err) : "no file was made");
	else if (!place->has_fiemap)
		conform_place_lacks(place, "seeing what is shared",
				    "the filesystem has no FIEMAP");
	if (src >= 0)
		close(src);
	if (dst >= 0)
		close(dst);
}

static const char *fs_name(long type)
{
	static const struct {
		long type;
		const char *name;
	} names[] = {
		{ 0x9123683E, "btrfs" },   { 0x58465342, "xfs" },
		{ 0xEF53, "ext4" },	   { 0x01021994, "tmpfs" },
		{ 0x794c7630, "overlay" }, { 0x6969, "nfs" },
		{ 0x2fc12fc1, "zfs" },	   { 0xf2f52010, "f2fs" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].type == type)
			return names[i].name;
	return NULL;
}

static int make_dirs(struct conform_place *place)
{
	char path[PATH_MAX];
	struct statfs fs;
	const char *name;
	int root_fd, code;

	code = make_dir(place->root, &root_fd);
	if (code)
		return code;
	if (!fstatfs(root_fd, &fs)) {
		name = fs_name(fs.f_type);
		if (name)
			snprintf(place->fs, sizeof(place->fs), "%s", name);
		else
			snprintf(place->fs, sizeof(place->fs), "type %#lx",
				 (unsigned long)fs.f_type);
	}
	close(root_fd);
	code = make_dir(place->kept, &place->kept_fd);
	if (!code && join(path, place->root, "in"))
		code = make_dir(path, &place->in_fd);
	if (!code && join(path, place->root, "out"))
		code = make_dir(path, &place->out_fd);
	return code;
}

/* @base: our directory on the filesystem that is to be used */
static int make_inside(struct conform_place *place, const char *base)
{
	if (!join(place->root, base, ROOT) || !join(place->kept, base, KEPT))
		return report("use", base, -ENAMETOOLONG);
	return make_dirs(place);
}

/**
 * conform_place_make() - make the place where the copies are made
 * @opt: a directory if the user named one; else a volume is tried first
 * @ret_place: remove it with conform_place_remove(), also after a failure
 *
 * Return: an exit code.
 */
int conform_place_make(const struct conform_options *opt,
		       struct conform_place *ret_place)
{
	const char *temp = getenv("TMPDIR");
	int code;

	*ret_place = (struct conform_place){ .kept_fd = -1,
					     .in_fd = -1,
					     .out_fd = -1 };
	if (!temp || !*temp)
		temp = "/tmp";
	code = make_temp(temp, "offlay-conform.XXXXXX", ret_place->dir);
	if (!code && opt->on)
		code = make_temp(opt->on, ".offlay-conform.XXXXXX",
				 ret_place->on);
	if (code)
		return code;
	if (!join(ret_place->point, ret_place->dir, "mount"))
		return report("use", temp, -ENAMETOOLONG);
	if (mkdir(ret_place->point, 0755) < 0)
		return report("make", ret_place->point, -errno);
	if (opt->on)
		code = make_inside(ret_place, ret_place->on);
	else if (conform_volume_make(opt, ret_place))
		code = make_inside(ret_place, ret_place->volume);
	else if (opt->volume)
		code = TOOL_FAILED; /* has been reported */
	else
		code = make_inside(ret_place, ret_place->dir);
	if (!code)
		probe(ret_place);
	return code;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	/* What cannot go stays, and so do the directories above it. */
	remove(path);
	return 0;
}

static void remove_tree(const char *path)
{
	if (*path)
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void remove_all(const char *path)
{
	remove_tree(path);
	if (*path && !access(path, F_OK))
		report("remove all of", path, -ENOTEMPTY);
}

void conform_place_empty(int dir_fd)
{
	char path[64];

	/* Through the link: the directory itself may have lost its name. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d/.", dir_fd);
	remove_tree(path);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The overlay must be down. */
void conform_place_remove(struct conform_place *place, bool keep)
{
	close_fd(&place->kept_fd);
	close_fd(&place->in_fd);
	close_fd(&place->out_fd);
	if (keep && *place->on) {
		report_error("kept in %s", place->on);
		remove_all(place->dir);
		return;
	}
	if (keep && *place->dir) {
		if (*place->volume)
			report_error("kept in %s; when done: umount %s && "
				     "rm -r %s",
				     place->root, place->volume, place->dir);
		else
			report_error("kept in %s", place->root);
		return;
	}
	if (*place->volume && umount2(place->volume, 0) < 0 &&
	    umount2(place->volume, MNT_DETACH) < 0)
		report("unmount", place->volume, -errno);
	remove_all(place->on);
	remove_all(place->dir);
}
