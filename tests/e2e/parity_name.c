/* SPDX-License-Identifier: MIT */
/* Parity with the backing: names, links, renames and removals. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>
#include "parity.h"

#ifndef RENAME_WHITEOUT
#define RENAME_WHITEOUT (1 << 2)
#endif

static int move(const char *from, const char *to, unsigned int flags)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void make_targets(struct parity *p)
{
	make_file(p, "a", "a");
	make_file(p, "b", "b");
	CALL(p, mkdir("empty", 0755));
	CALL(p, mkdir("full", 0755));
	CALL(p, mkdir("full/sub", 0755));
	make_file(p, "full/f", "f");
	CALL(p, symlink("a", "link"));
}

static void renaming(struct parity *p)
{
	make_targets(p);
	CALL(p, rename("a", "c"));
	CALL(p, rename("c", "b"));
	note_text(p, "b");
	CALL(p, rename("missing", "x"));
	CALL(p, rename("b", "empty"));
	CALL(p, rename("empty", "b"));
	CALL(p, rename("empty", "full"));
	CALL(p, rename("full", "full/sub/x"));
	CALL(p, rename("full/sub", "full"));
	CALL(p, rename("full/sub", "empty"));
	CALL(p, rename("link", "b"));
	note_stat(p, "b");
	CALL(p, rename(".", "y"));
	CALL(p, rename("full/.", "y"));
	CALL(p, rename("full", "full/.."));
	CALL(p, rename("full/f", "f2/"));
	CALL(p, rename("full/f", "nowhere/f"));
	CALL(p, rename("full/f", "b/f"));
	CALL(p, rename("full/f", ""));
	CALL(p, rename("full/f", "top"));
	note_dir(p, ".");
	note_dir(p, "full");
	note_dir(p, "empty");
}

static void renaming_links_of_one_file(struct parity *p)
{
	make_file(p, "a", "a");
	CALL(p, link("a", "b"));
	/* POSIX: both names stay. */
	CALL(p, rename("a", "b"));
	note_dir(p, ".");
	note_stat(p, "a");
	CALL(p, rename("a", "a"));
}

static void no_replace(struct parity *p)
{
	make_targets(p);
	CALL(p, move("a", "b", RENAME_NOREPLACE));
	CALL(p, move("a", "empty", RENAME_NOREPLACE));
	CALL(p, move("a", "link", RENAME_NOREPLACE));
	CALL(p, move("a", "a", RENAME_NOREPLACE));
	CALL(p, move("a", "c", RENAME_NOREPLACE));
	CALL(p, move("full", "empty/full", RENAME_NOREPLACE));
	CALL(p, move("missing", "d", RENAME_NOREPLACE));
	note_dir(p, ".");
	note_dir(p, "empty/full");
}

static void exchange(struct parity *p)
{
	make_targets(p);
	CALL(p, move("a", "b", RENAME_EXCHANGE));
	note_text(p, "a");
	note_text(p, "b");
	CALL(p, move("a", "full", RENAME_EXCHANGE));
	note_dir(p, "a");
	note_text(p, "full");
	CALL(p, move("a/f", "link", RENAME_EXCHANGE));
	note_stat(p, "a/f");
	CALL(p, move("a", "missing", RENAME_EXCHANGE));
	CALL(p, move("a", "a/sub", RENAME_EXCHANGE));
	CALL(p, move("a/sub", "a", RENAME_EXCHANGE));
	CALL(p, move("b", "b", RENAME_EXCHANGE));
	CALL(p, move("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
	CALL(p, move("a", "b", 1 << 9));
	note_dir(p, ".");
}

static void whiteout(struct parity *p)
{
	make_targets(p);
	CALL(p, move("a", "c", RENAME_WHITEOUT));
	note_stat(p, "a");
	note_text(p, "c");
	CALL(p, move("c", "b", RENAME_WHITEOUT));
	CALL(p, move("full", "d", RENAME_WHITEOUT));
	note_stat(p, "full");
	CALL(p, move("link", "e", RENAME_WHITEOUT | RENAME_NOREPLACE));
	CALL(p, move("e", "b", RENAME_WHITEOUT | RENAME_EXCHANGE));
	note_dir(p, ".");
}

static void renaming_open_files(struct parity *p)
{
	char buf[8] = "";
	int fd, over, dir;

	make_targets(p);
	fd = OPEN(p, open("a", O_RDWR));
	over = OPEN(p, open("b", O_RDWR));
	dir = OPEN(p, open("full", O_RDONLY | O_DIRECTORY));
	CALL(p, rename("a", "b"));
	note_fstat(p, fd);
	note_fstat(p, over);
	CALL(p, write(fd, "new", 3));
	CALL(p, pread(over, buf, sizeof(buf), 0));
	CALL(p, pwrite(over, "gone", 4, 0));
	note(p, "%s", buf);
	note_text(p, "b");
	CALL(p, rename("full", "moved"));
	CALL(p, faccessat(dir, "f", R_OK, 0));
	CALL(p, mkdirat(dir, "later", 0755));
	CALL(p, fchdir(dir));
	note_dir(p, ".");
	make_file(p, "made", "x");
	note_dir(p, "../moved");
}

static void linking(struct parity *p)
{
	struct stat a, b;

	make_targets(p);
	CALL(p, link("a", "a2"));
	note_stat(p, "a");
	CALL(p, link("a", "b"));
	CALL(p, link("full", "full2"));
	CALL(p, link("missing", "x"));
	CALL(p, link("a", "missing/x"));
	CALL(p, link("link", "link2"));
	CALL(p, linkat(AT_FDCWD, "link", AT_FDCWD, "a3", AT_SYMLINK_FOLLOW));
	note_stat(p, "a3");
	note_stat(p, "link2");
	CALL(p, lstat("a", &a));
	CALL(p, lstat("a3", &b));
	MUST(p, a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	CALL(p, chmod("a2", 0600));
	note_stat(p, "a3");
	make_file(p, "a2", "changed");
	note_text(p, "a");
	CALL(p, unlink("a"));
	note_stat(p, "a2");
	CALL(p, link("a2", "full/a"));
	note_dir(p, ".");
}

static void symbolic(struct parity *p)
{
	char target[4200], buf[4200];

	memset(target, 'x', sizeof(target));
	target[4095] = '\0';
	CALL(p, symlink(target, "long"));
	CALL(p, readlink("long", buf, sizeof(buf)));
	CALL(p, readlink("long", buf, 10));
	target[4095] = 'x';
	target[4096] = '\0';
	CALL(p, symlink(target, "longer"));
	target[1000] = '\0';
	CALL(p, symlink(target, "middle"));
	CALL(p, readlink("middle", buf, sizeof(buf)));
	CALL(p, symlink("", "none"));
	CALL(p, symlink("x", "middle"));
	CALL(p, symlink("x", "missing/middle"));
	make_file(p, "f", "x");
	CALL(p, readlink("f", buf, sizeof(buf)));
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("../d", "d/self"));
	note_stat(p, "d/self/self/self");
	note_stat(p, "long");
	note_stat(p, "middle");
	note_dir(p, ".");
}

static void pointing_outside(struct parity *p)
{
	struct stat shown, real;

	CALL(p, symlink("/etc/passwd", "absolute"));
	CALL(p, symlink("../../../../../../../../../../etc/passwd", "up"));
	CALL(p, symlink("/proc/self/status", "proc"));
	CALL(p, stat("/etc/passwd", &real));
	/* A link means what it means to whoever follows it. */
	CALL(p, stat("absolute", &shown));
	MUST(p, shown.st_ino == real.st_ino && shown.st_dev == real.st_dev);
	CALL(p, stat("up", &shown));
	MUST(p, shown.st_ino == real.st_ino && shown.st_dev == real.st_dev);
	CALL(p, open("proc", O_RDONLY) >= 0);
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("..", "d/parent"));
	CALL(p, rmdir("d/parent/d/parent/none"));
}

static void removing(struct parity *p)
{
	make_targets(p);
	CALL(p, unlink("full"));
	CALL(p, rmdir("a"));
	CALL(p, rmdir("full"));
	CALL(p, rmdir("empty"));
	CALL(p, rmdir("missing"));
	CALL(p, unlink("missing"));
	CALL(p, unlink("a/x"));
	CALL(p, unlink("a/"));
	CALL(p, rmdir("full/sub/."));
	CALL(p, rmdir("full/sub/.."));
	CALL(p, unlink("link"));
	note_stat(p, "a");
	CALL(p, unlinkat(AT_FDCWD, "full/sub", AT_REMOVEDIR));
	CALL(p, unlinkat(AT_FDCWD, "full/f", AT_REMOVEDIR));
	CALL(p, unlink("full/f"));
	CALL(p, rmdir("full"));
	note_dir(p, ".");
}

static void removed_working_directory(struct parity *p)
{
	char buf[64];

	CALL(p, mkdir("d", 0755));
	CALL(p, chdir("d"));
	CALL(p, rmdir("../d"));
	CALL(p, getcwd(buf, sizeof(buf)) != NULL);
	CALL(p, open("f", O_CREAT | O_WRONLY, 0600));
	CALL(p, mkdir("x", 0755));
	CALL(p, symlink("x", "y"));
	note_stat(p, ".");
	note_dir(p, ".");
	CALL(p, chdir(".."));
	note_dir(p, ".");
}

static void making_directories(struct parity *p)
{
	make_targets(p);
	CALL(p, symlink("nowhere", "dangling"));
	CALL(p, mkdir("full", 0755));
	CALL(p, mkdir("a", 0755));
	CALL(p, mkdir("dangling", 0755));
	CALL(p, mkdir("a/x", 0755));
	CALL(p, mkdir("missing/x", 0755));
	CALL(p, mkdir("slash/", 0700));
	CALL(p, mkdir(".", 0700));
	CALL(p, mkdir("", 0700));
	note_dir(p, ".");
	note_stat(p, "slash");
}

static void nodes(struct parity *p)
{
	static const mode_t types[] = { S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR,
					S_IFBLK, S_IFDIR,  S_IFLNK, 0 };
	char name[16];

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		CALL(p, mknod(name, types[i] | 0666, makedev(4095, 123456)));
		CALL(p, mknod(name, types[i] | 0666, makedev(1, 3)));
		note_stat(p, name);
	}
	umask(027);
	CALL(p, mkfifo("fifo", 07777));
	note_stat(p, "fifo");
	note_dir(p, ".");
}

static void nodes_by_user(struct parity *p)
{
	CALL(p, chmod(".", 0777));
	enter_user(p, &alice);
	nodes(p);
	CALL(p, mknod("whiteout", S_IFCHR | 0, 0));
	note_stat(p, "whiteout");
	leave_user(p);
}

static void odd_names(struct parity *p)
{
	static const char *const names[] = {
		"new\nline",	 "tab\t",     " ",	     "-rf",
		"back\\slash",	 "\xff\xfe",  "\xc3\x28",    "...",
		"a b",		 "\x01\x7f",  "\"'`$(x)",    "*?[",
		"\xed\xa0\x80x", "..hidden.", "caf\xc3\xa9",
	};
	char longest[257];

	memset(longest, 'n', sizeof(longest));
	longest[256] = '\0';
	CALL(p, mkdir(longest, 0755));
	CALL(p, open(longest, O_CREAT | O_WRONLY, 0644));
	CALL(p, access(longest, F_OK));
	CALL(p, unlink(longest));
	CALL(p, rename(longest, "x"));
	CALL(p, symlink("x", longest));
	longest[255] = '\0';
	CALL(p, mkdir(longest, 0755));
	CALL(p, chdir(longest));
	CALL(p, open(longest, O_CREAT | O_WRONLY, 0644) >= 0);
	CALL(p, symlink(longest, "link"));
	note_text(p, "link");
	longest[254] = 'm';
	CALL(p, rename("link", longest));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		make_file(p, names[i], names[i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		note_text(p, names[i]);
	note_dir(p, ".");
}

static void deeper_than_a_path(struct parity *p)
{
	static char name[201];
	struct stat st;
	int fd;

	memset(name, 'd', 200);
	for (int i = 0; i < 40; i++)
		if (mkdir(name, 0755) != 0 || chdir(name) != 0)
			note(p, "!! level %d: %s", i, errno_name(errno));
	make_file(p, "bottom", "here");
	note_text(p, "bottom");
	CALL(p, rename("bottom", "renamed"));
	CALL(p, link("renamed", "linked"));
	CALL(p, chmod("linked", 0600));
	CALL(p, truncate("linked", 2));
	wait_for_cache();
	note_stat(p, "renamed");
	note_dir(p, ".");
	fd = OPEN(p, open("renamed", O_RDWR));
	CALL(p, unlink("renamed"));
	CALL(p, unlink("linked"));
	CALL(p, write(fd, "x", 1));
	note_fstat(p, fd);
	for (int i = 0; i < 40; i++)
		if (chdir("..") != 0 || rmdir(name) != 0)
			note(p, "!! back %d: %s", i, errno_name(errno));
	CALL(p, stat(name, &st));
	note_dir(p, ".");
}

static void sockets(struct parity *p)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX,
				    .sun_path = "socket" };
	const struct sockaddr *addr = (const struct sockaddr *)&name;
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	char buf[8] = "";
	int peer;

	CALL(p, bind(server, addr, sizeof(name)));
	CALL(p, connect(client, addr, sizeof(name)));
	CALL(p, listen(server, 1));
	CALL(p, connect(client, addr, sizeof(name)));
	peer = OPEN(p, accept(server, NULL, NULL));
	CALL(p, write(client, "hello", 5));
	CALL(p, read(peer, buf, sizeof(buf)));
	note_stat(p, "socket");
	CALL(p, open("socket", O_RDWR));
	CALL(p, bind(socket(AF_UNIX, SOCK_STREAM, 0), addr, sizeof(name)));
	CALL(p, unlink("socket"));
}

static int write_to_fifo(struct parity *p, void *arg)
{
	int fd = open("fifo", O_WRONLY);

	(void)p;
	(void)arg;
	return write(fd, "through", 7) == 7 ? 0 : 1;
}

static void fifos(struct parity *p)
{
	char buf[16] = "";
	int fd;
	pid_t pid;

	CALL(p, mkfifo("fifo", 0644));
	CALL(p, open("fifo", O_WRONLY | O_NONBLOCK));
	fd = OPEN(p, open("fifo", O_RDONLY | O_NONBLOCK));
	CALL(p, read(fd, buf, sizeof(buf)));
	close(fd);
	pid = spawn(write_to_fifo, p, NULL);
	fd = OPEN(p, open("fifo", O_RDONLY));
	CALL(p, read(fd, buf, 7));
	note(p, "%s", buf);
	CALL(p, join(pid));
	CALL(p, truncate("fifo", 0));
	CALL(p, lseek(fd, 0, SEEK_CUR));
	note_stat(p, "fifo");
}

static void unlinked_open_file(struct parity *p)
{
	char path[64], buf[8] = "";
	int fd, again;

	make_file(p, "f", "text");
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, unlink("f"));
	wait_for_cache();
	note_fstat(p, fd);
	CALL(p, pread(fd, buf, 4, 0));
	CALL(p, pwrite(fd, "more", 4, 4));
	CALL(p, ftruncate(fd, 6));
	CALL(p, fchmod(fd, 0640));
	CALL(p, futimens(fd, NULL));
	CALL(p, fsync(fd));
	CALL(p, fallocate(fd, 0, 0, 8192));
	note_fstat(p, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = OPEN(p, open(path, O_RDWR));
	CALL(p, pread(again, buf, 6, 0));
	note(p, "%s", buf);
	CALL(p, linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	CALL(p, chmod(path, 0600));
	CALL(p, truncate(path, 3));
	note_fstat(p, fd);
	make_file(p, "f", "another");
	CALL(p, pread(fd, buf, 8, 0));
	note_text(p, "f");
}

static const struct parity_row rows[] = {
	{ "rename", renaming, 0 },
	{ "rename between links of one file", renaming_links_of_one_file, 0 },
	{ "RENAME_NOREPLACE", no_replace, 0 },
	{ "RENAME_EXCHANGE", exchange, 0 },
	{ "RENAME_WHITEOUT", whiteout, 0 },
	{ "rename of and over open files", renaming_open_files, 0 },
	{ "link", linking, 0 },
	{ "symlink", symbolic, 0 },
	{ "symlinks that point outside", pointing_outside, 0 },
	{ "unlink and rmdir", removing, 0 },
	{ "removed working directory", removed_working_directory, 0 },
	{ "mkdir", making_directories, 0 },
	{ "mknod", nodes, 0 },
	{ "mknod by a user", nodes_by_user, ROW_ROOT },
	{ "names", odd_names, 0 },
	{ "deeper than PATH_MAX", deeper_than_a_path, 0 },
	{ "unix sockets", sockets, 0 },
	{ "fifos", fifos, 0 },
	{ "unlinked open file", unlinked_open_file, 0 },
};

PARITY_TOPIC(name, rows);
