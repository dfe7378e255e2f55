/* SPDX-License-Identifier: MIT */
/* Parity with the backing: inode numbers, and trees changed from below. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>
#include "parity.h"

/* Make or replace a file on the backing, around the mount. */
static void put_below(struct parity *p, const char *name, const char *text)
{
	int fd = openat(p->back_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		note(p, "!! below, %s: %s", name, errno_name(errno));
	close(fd);
}

static void numbers(struct parity *p)
{
	static const char *const names[] = { "f", "hard", "d", "link", "fifo" };
	struct stat shown, real;

	make_file(p, "f", "x");
	CALL(p, link("f", "hard"));
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("f", "link"));
	CALL(p, mkfifo("fifo", 0644));
	for (int i = 0; i < 5; i++) {
		CALL(p, lstat(names[i], &shown));
		CALL(p,
		     fstatat(p->back_fd, names[i], &real, AT_SYMLINK_NOFOLLOW));
		MUST(p, shown.st_ino == real.st_ino);
	}
	CALL(p, rename("f", "d/moved"));
	CALL(p, lstat("d/moved", &shown));
	CALL(p, lstat("hard", &real));
	MUST(p, shown.st_ino == real.st_ino && shown.st_dev == real.st_dev);
}

static void changed_contents(struct parity *p)
{
	struct stat st;
	char buf[32] = "";
	int fd;

	make_file(p, "f", "before");
	note_text(p, "f");
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, read(fd, buf, sizeof(buf)));
	put_below(p, "f", "after, and longer");
	CALL(p, fchmodat(p->back_fd, "f", 0600, 0));
	wait_for_cache();
	CALL(p, stat("f", &st));
	note_stat(p, "f");
	note_text(p, "f");
	CALL(p, pread(fd, buf, sizeof(buf), 0));
	note(p, "%s", buf);
	put_below(p, "f", "short");
	wait_for_cache();
	note_text(p, "f");
	note_stat(p, "f");
}

static void changed_names(struct parity *p)
{
	int fd;

	make_file(p, "old", "text");
	CALL(p, mkdir("d", 0755));
	CALL(p, mkdir("e", 0755));
	make_file(p, "d/f", "moves");
	note_dir(p, "d");
	note_stat(p, "new");
	fd = OPEN(p, open("d/f", O_RDWR));
	CALL(p, renameat(p->back_fd, "old", p->back_fd, "new"));
	CALL(p, renameat(p->back_fd, "d/f", p->back_fd, "e/g"));
	CALL(p, mkdirat(p->back_fd, "d/sub", 0700));
	put_below(p, "d/sub/made", "below");
	wait_for_cache();
	note_dir(p, ".");
	note_dir(p, "d");
	note_dir(p, "e");
	note_text(p, "e/g");
	note_text(p, "d/f");
	note_text(p, "new");
	note_text(p, "d/sub/made");
	CALL(p, pwrite(fd, "MOVES", 5, 0));
	note_text(p, "e/g");
	note_fstat(p, fd);
	CALL(p, rename("e/g", "d/f"));
	note_text(p, "d/f");
}

static void renamed_directory(struct parity *p)
{
	int dir, fd;

	CALL(p, mkdir("a", 0755));
	CALL(p, mkdir("a/b", 0755));
	CALL(p, mkdir("z", 0755));
	make_file(p, "a/b/f", "deep");
	dir = OPEN(p, open("a/b", O_RDONLY | O_DIRECTORY));
	CALL(p, renameat(p->back_fd, "a", p->back_fd, "z/a2"));
	CALL(p, openat(dir, "f", O_RDONLY) >= 0);
	fd = OPEN(p, openat(dir, "new", O_CREAT | O_WRONLY, 0600));
	CALL(p, write(fd, "x", 1));
	wait_for_cache();
	/*
	 * The kernel moves its own directory entry to the new place, and says
	 * ESTALE while somebody else holds a lock of the old one.
	 */
	for (int i = 0; i < 5 && access("z/a2/b", F_OK) != 0; i++)
		wait_for_cache();
	note_dir(p, "z/a2/b");
	note_dir(p, "a");
	CALL(p, mkdir("a", 0755));
	note_dir(p, "a");
	note_text(p, "z/a2/b/f");
}

static void removed_below(struct parity *p)
{
	char buf[16] = "";
	int fd;

	make_file(p, "f", "text");
	make_file(p, "g", "text");
	CALL(p, mkdir("d", 0755));
	make_file(p, "d/x", "x");
	fd = OPEN(p, open("f", O_RDWR));
	note_stat(p, "g");
	CALL(p, unlinkat(p->back_fd, "f", 0));
	CALL(p, unlinkat(p->back_fd, "g", 0));
	CALL(p, unlinkat(p->back_fd, "d/x", 0));
	CALL(p, unlinkat(p->back_fd, "d", AT_REMOVEDIR));
	wait_for_cache();
	note_stat(p, "f");
	note_stat(p, "g");
	note_dir(p, "d");
	note_dir(p, ".");
	CALL(p, pread(fd, buf, sizeof(buf), 0));
	CALL(p, pwrite(fd, "more", 4, 4));
	note_fstat(p, fd);
	make_file(p, "f", "another");
	note_text(p, "f");
}

/*
 * A name removed and made again is another file, also where the backing
 * gives it the same inode number at once, as ext4 does.
 */
static void made_again(struct parity *p)
{
	char buf[16];
	int fd;

	for (int i = 0; i < 20; i++) {
		snprintf(buf, sizeof(buf), "round %d", i);
		make_file(p, "f", buf);
		note_text(p, "f");
		CALL(p, chmod("f", i & 1 ? 0600 : 0644));
		note_stat(p, "f");
		CALL(p, unlink("f"));
	}
	make_file(p, "f", "old one");
	note_text(p, "f");
	CALL(p, unlinkat(p->back_fd, "f", 0));
	put_below(p, "f", "new");
	wait_for_cache();
	note_text(p, "f");
	note_stat(p, "f");
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, unlinkat(p->back_fd, "f", 0));
	CALL(p, mkdirat(p->back_fd, "f", 0755));
	wait_for_cache();
	note_stat(p, "f");
	note_fstat(p, fd);
	memset(buf, 0, sizeof(buf));
	CALL(p, pread(fd, buf, sizeof(buf), 0));
	note(p, "%s", buf);
	CALL(p, unlinkat(p->back_fd, "f", AT_REMOVEDIR));
	CALL(p, symlinkat("target", p->back_fd, "f"));
	wait_for_cache();
	note_stat(p, "f");
}

static void swapped_below(struct parity *p)
{
	make_file(p, "a", "first");
	make_file(p, "b", "second one");
	note_text(p, "a");
	note_text(p, "b");
	CALL(p, renameat2(p->back_fd, "a", p->back_fd, "b", RENAME_EXCHANGE));
	wait_for_cache();
	note_text(p, "a");
	note_text(p, "b");
	note_stat(p, "a");
	note_stat(p, "b");
}

static void listed_after_change(struct parity *p)
{
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	CALL(p, mkdir("d", 0755));
	make_file(p, "d/a", "x");
	note_dir(p, "d");
	dir = opendir("d");
	put_below(p, "d/b", "x");
	CALL(p, unlinkat(p->back_fd, "d/a", 0));
	wait_for_cache();
	rewinddir(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	note(p, "%d entries", n);
	closedir(dir);
	note_dir(p, "d");
}

static int make_subvolume(struct parity *p, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	memccpy(args.name, name, '\0', sizeof(args.name) - 1);
	return ioctl(p->back_fd, BTRFS_IOC_SUBVOL_CREATE, &args);
}

/* Device and inode number together name one file, wherever it lies. */
static void note_unique(struct parity *p, const char *const *names, int n)
{
	struct stat st[16];

	for (int i = 0; i < n; i++) {
		if (lstat(names[i], &st[i]) != 0)
			note(p, "!! %s: %s", names[i], errno_name(errno));
		for (int k = 0; k < i; k++)
			if (st[i].st_ino == st[k].st_ino &&
			    st[i].st_dev == st[k].st_dev)
				note(p, "!! %s is %s", names[i], names[k]);
	}
	note(p, "%d names are files of their own", n);
}

/* The mount shows several filesystems as one. */
static void note_across(struct parity *p)
{
	static const char *const names[] = { "here",  "one",   "two",  "one/f",
					     "two/f", "one/d", "two/d" };
	DIR *dir;

	make_file(p, "here", "of neither");
	make_file(p, "one/f", "of one");
	make_file(p, "two/f", "of two, longer");
	CALL(p, mkdir("one/d", 0755));
	CALL(p, mkdir("two/d", 0755));
	note_unique(p, names, 7);
	wait_for_cache();
	note_unique(p, names, 7);
	note_text(p, "one/f");
	note_text(p, "two/f");
	CALL(p, rename("one/f", "two/g"));
	CALL(p, rename("one/f", "f"));
	CALL(p, link("one/f", "two/g"));
	CALL(p, link("here", "two/g"));
	CALL(p, rename("one/f", "one/d/f"));
	CALL(p, link("two/f", "two/g"));
	note_stat(p, "one/d/f");
	note_stat(p, "two/g");
	CALL(p, chmod("two/f", 0600));
	note_stat(p, "two/g");
	CALL(p, rename("one", "three"));
	CALL(p, rename("three", "one"));
	dir = opendir("one");
	MUST(p, dir && readdir(dir));
	closedir(dir);
	make_data(p, "one/data", 100000);
	/* Natively EXDEV between filesystems of some types. */
	DIFFERS(p, "one mount is one filesystem to the VFS", 100000,
		copy_file_range(open("one/data", O_RDONLY), NULL,
				open("two/copy", O_RDWR | O_CREAT, 0644), NULL,
				100000, 0));
	make_data(p, p->on_mount ? "expected" : "two/copy", 100000);
	note_content(p, "two/copy");
}

static void subvolumes(struct parity *p)
{
	if (p->backing != BACKING_BTRFS)
		parity_skip(p, "only btrfs has subvolumes");
	CALL(p, make_subvolume(p, "one"));
	CALL(p, make_subvolume(p, "two"));
	note_across(p);
}

static void mounts_below(struct parity *p)
{
	static const char *const names[] = { "one", "two" };
	char path[PATH_MAX], link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", p->back_fd);
	n = readlink(link, path, sizeof(path) - 8);
	for (int i = 0; i < 2; i++) {
		CALL(p, mkdir(names[i], 0755));
		sprintf(path + n, "/%s", names[i]);
		CALL(p, mount("tmpfs", path, "tmpfs", 0, "size=8m"));
	}
	/* The directories below the new mounts may still be cached. */
	wait_for_cache();
	note_across(p);
	CALL(p, rmdir("two"));
	for (int i = 0; i < 2; i++) {
		sprintf(path + n, "/%s", names[i]);
		CALL(p, umount2(path, MNT_DETACH));
	}
	wait_for_cache();
	note_dir(p, "one");
}

static const struct parity_row rows[] = {
	{ "numbers", numbers, 0 },
	{ "contents changed below", changed_contents, 0 },
	{ "names changed below", changed_names, 0 },
	{ "directory renamed below", renamed_directory, 0 },
	{ "removed below", removed_below, 0 },
	{ "made again", made_again, 0 },
	{ "swapped below", swapped_below, 0 },
	{ "listed after a change below", listed_after_change, 0 },
	{ "btrfs subvolumes", subvolumes, ROW_ROOT },
	{ "mounts below", mounts_below, ROW_ROOT },
};

PARITY_TOPIC(inode, rows);
