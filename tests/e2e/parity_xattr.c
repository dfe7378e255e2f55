/* SPDX-License-Identifier: MIT */
/* Parity with the backing: extended attributes of every namespace. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "parity.h"

static char big[70000];

static void basics(struct parity *p)
{
	char buf[64];

	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	CALL(p, getxattr("f", "user.a", buf, sizeof(buf)));
	CALL(p, setxattr("f", "user.a", "one", 3, XATTR_REPLACE));
	CALL(p, setxattr("f", "user.a", "one", 3, XATTR_CREATE));
	CALL(p, setxattr("f", "user.a", "two", 3, XATTR_CREATE));
	CALL(p, setxattr("f", "user.a", "two", 3, XATTR_REPLACE));
	CALL(p, setxattr("f", "user.b", "", 0, 0));
	CALL(p, setxattr("f", "user.c", NULL, 0, 0));
	CALL(p, setxattr("f", "user.d", "x", 1, 4));
	CALL(p, setxattr("f", "user.d", "x", 1, 3));
	CALL(p, getxattr("f", "user.a", NULL, 0));
	CALL(p, getxattr("f", "user.a", buf, 2));
	CALL(p, getxattr("f", "user.a", buf, 3));
	CALL(p, getxattr("f", "user.b", buf, 3));
	CALL(p, listxattr("f", NULL, 0));
	CALL(p, listxattr("f", buf, 3));
	note_xattrs(p, "f");
	CALL(p, removexattr("f", "user.a"));
	CALL(p, removexattr("f", "user.a"));
	CALL(p, setxattr("d", "user.dir", "y", 1, 0));
	note_xattrs(p, "d");
	note_xattrs(p, "f");
	CALL(p, setxattr("missing", "user.a", "x", 1, 0));
	CALL(p, getxattr("missing", "user.a", buf, 1));
	CALL(p, listxattr("missing", buf, 1));
	CALL(p, removexattr("missing", "user.a"));
}

static void names(struct parity *p)
{
	static const char *const odd[] = {
		"",	 "user.",    "user",	 "user.\xff\n", "nonsense.a",
		"os2.a", "system.a", "afs.a",	 "trusted.",	"security.",
		".",	 "USER.a",   "user.A b", "security.x",	"trusted.x",
	};
	char name[300], buf[8];

	make_file(p, "f", "x");
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		note(p, "name %zu", i);
		CALL(p, setxattr("f", odd[i], "v", 1, 0));
		CALL(p, getxattr("f", odd[i], buf, sizeof(buf)));
		CALL(p, removexattr("f", odd[i]));
		CALL(p, setxattr("f", odd[i], "v", 1, 0));
	}
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[255] = '\0';
	CALL(p, setxattr("f", name, "v", 1, 0));
	CALL(p, getxattr("f", name, buf, sizeof(buf)));
	name[255] = 'n';
	name[256] = '\0';
	CALL(p, setxattr("f", name, "v", 1, 0));
	CALL(p, getxattr("f", name, buf, sizeof(buf)));
	note_xattrs(p, "f");
}

static void sizes(struct parity *p)
{
	static const size_t sizes[] = { 1,    100,   1000,  4000,
					4096, 20000, 65536, 65537 };
	char *buf = malloc(sizeof(big));

	memset(big, 'v', sizeof(big));
	make_file(p, "f", "x");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		note(p, "size %zu", sizes[i]);
		CALL(p, setxattr("f", "user.big", big, sizes[i], 0));
		CALL(p, getxattr("f", "user.big", buf, sizeof(big)));
		CALL(p, getxattr("f", "user.big", buf, 100));
	}
	CALL(p, removexattr("f", "user.big"));
	free(buf);
}

static void many(struct parity *p)
{
	char name[32], list[4096];

	make_file(p, "f", "x");
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "user.attribute-%d", i);
		CALL(p, setxattr("f", name, name, strlen(name), 0));
	}
	note_xattrs(p, "f");
	CALL(p, listxattr("f", list, 100));
	CALL(p, listxattr("f", list, sizeof(list)));
	for (int i = 0; i < 60; i += 2) {
		snprintf(name, sizeof(name), "user.attribute-%d", i);
		CALL(p, removexattr("f", name));
	}
	note_xattrs(p, "f");
}

static void on_other_types(struct parity *p)
{
	static const char *const names[] = { "user.a", "trusted.a",
					     "security.a" };
	static const char *const files[] = { "link", "fifo", "socket", "dir" };
	char buf[8];

	make_file(p, "f", "x");
	CALL(p, symlink("f", "link"));
	CALL(p, mkfifo("fifo", 0644));
	CALL(p, mknod("socket", S_IFSOCK | 0644, 0));
	CALL(p, mkdir("dir", 0755));
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 3; k++) {
			note(p, "%s of %s", names[k], files[i]);
			CALL(p, lsetxattr(files[i], names[k], "v", 1, 0));
			CALL(p, lgetxattr(files[i], names[k], buf, 8));
			CALL(p, lremovexattr(files[i], "user.none"));
		}
		note_xattrs(p, files[i]);
	}
	CALL(p, setxattr("link", "user.through", "v", 1, 0));
	note_xattrs(p, "f");
}

static void by_handle(struct parity *p)
{
	char buf[8];
	int fd;

	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, fsetxattr(fd, "user.a", "v", 1, 0));
	CALL(p, fgetxattr(fd, "user.a", buf, sizeof(buf)));
	CALL(p, unlink("f"));
	CALL(p, fsetxattr(fd, "user.b", "v", 1, 0));
	CALL(p, flistxattr(fd, NULL, 0));
	CALL(p, fremovexattr(fd, "user.a"));
	CALL(p, fgetxattr(fd, "user.a", buf, sizeof(buf)));
	CALL(p, fgetxattr(fd, "user.b", buf, sizeof(buf)));
	close(fd);
	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_PATH));
	CALL(p, fsetxattr(fd, "user.a", "v", 1, 0));
	CALL(p, fgetxattr(fd, "user.a", buf, sizeof(buf)));
}

static void by_users(struct parity *p)
{
	static const char *const names[] = { "user.a", "trusted.a",
					     "security.a",
					     "security.capability" };
	static const char *const files[] = { "mine", "roots", "hidden",
					     "sticky" };
	char buf[8];

	CALL(p, chmod(".", 0777));
	make_file(p, "roots", "x");
	make_file(p, "hidden", "x");
	CALL(p, chmod("hidden", 0600));
	CALL(p, mkdir("sticky", 0777));
	CALL(p, chmod("sticky", 01777));
	/* btrfs lists their names to everybody; a mount never does. */
	if (p->backing != BACKING_BTRFS)
		CALL(p, setxattr("roots", "trusted.t", "v", 1, 0));
	CALL(p, setxattr("roots", "security.s", "v", 1, 0));
	CALL(p, setxattr("roots", "user.u", "v", 1, 0));
	CALL(p, setxattr("hidden", "user.u", "v", 1, 0));
	enter_user(p, &alice);
	make_file(p, "mine", "x");
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 4; k++) {
			note(p, "%s of %s", names[k], files[i]);
			CALL(p, setxattr(files[i], names[k], "v", 1, 0));
			CALL(p, getxattr(files[i], names[k], buf, 8));
			CALL(p, removexattr(files[i], names[k]));
		}
		note_xattrs(p, files[i]);
	}
	CALL(p, getxattr("roots", "trusted.t", buf, 8));
	CALL(p, getxattr("roots", "security.s", buf, 8));
	CALL(p, getxattr("roots", "user.u", buf, 8));
	CALL(p, getxattr("hidden", "user.u", buf, 8));
	CALL(p, listxattr("roots", NULL, 0));
	CALL(p, chmod("mine", 0444));
	CALL(p, setxattr("mine", "user.a", "v", 1, 0));
	leave_user(p);
	note_xattrs(p, "roots");
}

static void capabilities(struct parity *p)
{
	static const unsigned char v2[20] = { 1, 0, 0, 2, 0, 0x20 };
	static const unsigned char bad[20] = { 9, 9, 9, 9 };
	char buf[32];

	make_file(p, "f", "x");
	CALL(p, setxattr("f", "security.capability", v2, 20, 0));
	CALL(p, getxattr("f", "security.capability", buf, sizeof(buf)));
	CALL(p, setxattr("f", "security.capability", bad, 20, 0));
	CALL(p, setxattr("f", "security.capability", v2, 7, 0));
	note_xattrs(p, "f");
	CALL(p, removexattr("f", "security.capability"));
	CALL(p, getxattr("f", "security.capability", buf, sizeof(buf)));
}

static void properties(struct parity *p)
{
	char buf[16] = "";

	if (p->backing != BACKING_BTRFS)
		parity_skip(p, "only btrfs has properties");
	make_file(p, "f", "x");
	CALL(p, setxattr("f", "btrfs.compression", "zstd", 4, 0));
	CALL(p, getxattr("f", "btrfs.compression", buf, sizeof(buf)));
	CALL(p, setxattr("f", "btrfs.compression", "nonsense", 8, 0));
	CALL(p, setxattr("f", "btrfs.nonsense", "x", 1, 0));
	note_xattrs(p, "f");
	CALL(p, removexattr("f", "btrfs.compression"));
	note_xattrs(p, "f");
}

/* What a change on the backing gives after the cache timeout. */
static void changed_below(struct parity *p)
{
	char buf[8] = "", path[64];
	int fd;

	make_file(p, "f", "x");
	CALL(p, setxattr("f", "user.a", "1", 1, 0));
	CALL(p, getxattr("f", "user.a", buf, sizeof(buf)));
	fd = OPEN(p, openat(p->back_fd, "f", O_RDONLY));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CALL(p, setxattr(path, "user.a", "22", 2, 0));
	CALL(p, setxattr(path, "user.b", "3", 1, 0));
	wait_for_cache();
	note_xattrs(p, "f");
	CALL(p, removexattr(path, "user.a"));
	wait_for_cache();
	note_xattrs(p, "f");
}

static const struct parity_row rows[] = {
	{ "set, get, list, remove", basics, 0 },
	{ "names", names, 0 },
	{ "sizes", sizes, 0 },
	{ "many", many, 0 },
	{ "on other types", on_other_types, 0 },
	{ "by handle", by_handle, 0 },
	{ "by users", by_users, ROW_ROOT },
	{ "security.capability", capabilities, ROW_ROOT },
	{ "btrfs properties", properties, 0 },
	{ "changed below", changed_below, 0 },
};

PARITY_TOPIC(xattr, rows);
