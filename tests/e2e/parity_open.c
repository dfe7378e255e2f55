/* SPDX-License-Identifier: MIT */
/* Parity with the backing: open(2) and its flags. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "parity.h"

/* Open, describe and close in one go. */
static void try_open(struct parity *p, const char *name, int flags, mode_t mode)
{
	int fd = open(name, flags, mode);

	note(p, "open %s %#o %#o = %s", name, flags, mode,
	     fd < 0 ? errno_name(errno) : "fd");
	if (fd < 0)
		return;
	note(p, "F_GETFL %#o", fcntl(fd, F_GETFL));
	note_fstat(p, fd);
	close(fd);
}

static void exclusive(struct parity *p)
{
	CALL(p, symlink("nowhere", "dangling"));
	CALL(p, symlink("f", "link"));
	try_open(p, "f", O_CREAT | O_EXCL | O_RDWR, 0640);
	try_open(p, "f", O_CREAT | O_EXCL | O_RDWR, 0640);
	try_open(p, "dangling", O_CREAT | O_EXCL | O_RDWR, 0640);
	try_open(p, "link", O_CREAT | O_EXCL | O_RDWR, 0640);
	try_open(p, "dangling", O_CREAT | O_RDWR, 0640);
	note_dir(p, ".");
}

static void truncating(struct parity *p)
{
	make_file(p, "f", "some text");
	CALL(p, mkdir("d", 0755));
	try_open(p, "f", O_RDONLY | O_TRUNC, 0);
	make_file(p, "f", "some text");
	try_open(p, "f", O_WRONLY | O_TRUNC, 0);
	make_file(p, "f", "some text");
	try_open(p, "f", O_RDWR | O_CREAT | O_TRUNC, 0600);
	try_open(p, "d", O_WRONLY | O_TRUNC, 0);
	try_open(p, "missing", O_WRONLY | O_TRUNC, 0);
	note_content(p, "f");
}

static void appending(struct parity *p)
{
	int fd = OPEN(p, open("f", O_RDWR | O_CREAT | O_APPEND, 0644));
	int other = OPEN(p, open("f", O_RDWR));

	CALL(p, write(fd, "one", 3));
	CALL(p, pwrite(fd, "two", 3, 0));
	CALL(p, lseek(fd, 0, SEEK_SET));
	CALL(p, write(fd, "three", 5));
	CALL(p, lseek(fd, 0, SEEK_CUR));
	CALL(p, pwrite(other, "XXXX", 4, 20));
	CALL(p, write(fd, "four", 4));
	note_text(p, "f");
	CALL(p, fcntl(fd, F_SETFL, 0));
	CALL(p, fcntl(fd, F_GETFL) & O_APPEND);
	CALL(p, pwrite(fd, "five", 4, 0));
	note_text(p, "f");
	CALL(p, fcntl(fd, F_SETFL, O_APPEND));
	CALL(p, pwrite(fd, "six", 3, 0));
	note_text(p, "f");
	CALL(p, fcntl(other, F_SETFL, O_APPEND));
	CALL(p, pwrite(other, "seven", 5, 1));
	note_text(p, "f");
	CALL(p, ftruncate(fd, 2));
	CALL(p, write(other, "!", 1));
	note_text(p, "f");
	note_stat(p, "f");
}

static int append_lines(struct parity *p, void *arg)
{
	char line[16];
	int fd = open("f", O_WRONLY | O_APPEND);

	(void)p;
	for (int i = 0; i < 400; i++) {
		snprintf(line, sizeof(line), "%c%06d\n", *(char *)arg, i);
		if (write(fd, line, 8) != 8)
			return 1;
	}
	return 0;
}

static void appending_from_two(struct parity *p)
{
	char a = 'a', b = 'b', line[9] = "";
	int seen[2] = { 0 }, ordered = 1;
	FILE *file;
	pid_t one, two;

	make_file(p, "f", "");
	one = spawn(append_lines, p, &a);
	two = spawn(append_lines, p, &b);
	CALL(p, join(one));
	CALL(p, join(two));
	note_stat(p, "f");
	file = fopen("f", "r");
	while (file && fread(line, 8, 1, file) == 1) {
		int which = line[0] == 'b';

		ordered &= atoi(line + 1) == seen[which];
		seen[which]++;
	}
	if (file)
		fclose(file);
	note(p, "a %d, b %d, in order %d", seen[0], seen[1], ordered);
	MUST(p, seen[0] == 400 && seen[1] == 400 && ordered);
}

static void no_follow(struct parity *p)
{
	char buf[32] = "";
	int fd;

	make_file(p, "f", "x");
	CALL(p, symlink("f", "link"));
	CALL(p, symlink("loop", "loop"));
	try_open(p, "link", O_RDONLY | O_NOFOLLOW, 0);
	try_open(p, "link", O_RDONLY, 0);
	try_open(p, "loop", O_RDONLY, 0);
	try_open(p, "link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, 0);
	fd = OPEN(p, open("link", O_PATH | O_NOFOLLOW));
	note_fstat(p, fd);
	CALL(p, readlinkat(fd, "", buf, sizeof(buf)));
	note(p, "target %s", buf);
}

static void directories(struct parity *p)
{
	char buf[8];
	int fd;

	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	try_open(p, "f", O_RDONLY | O_DIRECTORY, 0);
	try_open(p, "d", O_RDONLY | O_DIRECTORY, 0);
	try_open(p, "d", O_WRONLY, 0);
	try_open(p, "d", O_RDWR, 0);
	try_open(p, "d", O_RDONLY | O_CREAT, 0600);
	try_open(p, "new", O_RDONLY | O_CREAT | O_DIRECTORY, 0600);
	try_open(p, "f/x", O_RDONLY, 0);
	try_open(p, "f/", O_RDONLY, 0);
	try_open(p, "d/", O_RDONLY, 0);
	try_open(p, "no/x", O_RDWR | O_CREAT, 0600);
	try_open(p, "new/", O_RDWR | O_CREAT, 0600);
	try_open(p, "", O_RDWR | O_CREAT, 0600);
	fd = OPEN(p, open("d", O_RDONLY));
	CALL(p, read(fd, buf, sizeof(buf)));
	CALL(p, write(fd, buf, sizeof(buf)));
	CALL(p, ftruncate(fd, 0));
	CALL(p, openat(fd, "inside", O_CREAT | O_WRONLY, 0600) >= 0);
	CALL(p, fchdir(fd));
	note_stat(p, "inside");
	CALL(p, fsync(fd));
	CALL(p, fdatasync(fd));
	note_dir(p, "../d");
}

static void temporary(struct parity *p)
{
	char path[64];
	int fd = OPEN(p, open(".", O_TMPFILE | O_RDWR, 0640));

	CALL(p, mkdir("d", 0755));
	note_fstat(p, fd);
	CALL(p, write(fd, "hello", 5));
	note_dir(p, ".");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CALL(p, linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	CALL(p, linkat(AT_FDCWD, path, AT_FDCWD, "d/b", AT_SYMLINK_FOLLOW));
	note_fstat(p, fd);
	note_text(p, "named");
	note_text(p, "d/b");
	close(fd);
	fd = OPEN(p, open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CALL(p, linkat(AT_FDCWD, path, AT_FDCWD, "no", AT_SYMLINK_FOLLOW));
	close(fd);
	try_open(p, ".", O_TMPFILE | O_RDONLY, 0640);
	try_open(p, "named", O_TMPFILE | O_RDWR, 0640);
	try_open(p, "missing", O_TMPFILE | O_RDWR, 0640);
	try_open(p, ".", O_TMPFILE | O_WRONLY, 0);
	umask(077);
	try_open(p, "d", O_TMPFILE | O_WRONLY, 0666);
}

static void temporary_by_handle(struct parity *p)
{
	int fd = OPEN(p, open(".", O_TMPFILE | O_WRONLY, 0640));

	/* AT_EMPTY_PATH wants the opener's credentials or a capability. */
	CALL(p, linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	CALL(p, write(fd, "hello", 5));
	note_stat(p, "named");
	note_text(p, "named");
}

static void path_only(struct parity *p)
{
	char buf[8], path[64];
	int fd, dir, again;

	make_file(p, "f", "text");
	CALL(p, mkdir("d", 0755));
	make_file(p, "d/g", "text");
	fd = OPEN(p, open("f", O_PATH));
	CALL(p, read(fd, buf, sizeof(buf)));
	CALL(p, fchmod(fd, 0600));
	CALL(p, ftruncate(fd, 0));
	note_fstat(p, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = OPEN(p, open(path, O_RDWR));
	CALL(p, read(again, buf, sizeof(buf)));
	CALL(p, unlink("f"));
	note_fstat(p, fd);
	close(again);
	again = OPEN(p, open(path, O_RDWR));
	CALL(p, pread(again, buf, sizeof(buf), 0));
	dir = OPEN(p, open("d", O_PATH | O_DIRECTORY));
	CALL(p, openat(dir, "g", O_RDONLY) >= 0);
	CALL(p, openat(dir, "../f", O_RDONLY));
	CALL(p, fchdir(dir));
	note_text(p, "g");
}

static void without_atime(struct parity *p)
{
	CALL(p, chmod(".", 0777));
	make_file(p, "f", "text");
	CALL(p, chmod("f", 0666));
	try_open(p, "f", O_RDONLY | O_NOATIME, 0);
	enter_user(p, &alice);
	try_open(p, "f", O_RDONLY | O_NOATIME, 0);
	try_open(p, "f", O_RDONLY, 0);
	try_open(p, "mine", O_RDWR | O_CREAT | O_NOATIME, 0600);
	try_open(p, "mine", O_RDONLY | O_NOATIME, 0);
	leave_user(p);
}

static void synchronous(struct parity *p)
{
	int fd = OPEN(p, open("f", O_RDWR | O_CREAT | O_SYNC, 0644));

	note(p, "%#o", fcntl(fd, F_GETFL));
	CALL(p, write(fd, "hello", 5));
	CALL(p, pread(fd, (char[8]){ 0 }, 8, 0));
	close(fd);
	fd = OPEN(p, open("f", O_WRONLY | O_DSYNC));
	note(p, "%#o", fcntl(fd, F_GETFL));
	CALL(p, pwrite(fd, "HE", 2, 0));
	note_text(p, "f");
}

static void creation_modes(struct parity *p)
{
	static const mode_t modes[] = { 0,     0200,  0444,  0777,
					01777, 02755, 04755, 07777 };
	char name[16];

	for (int mask = 0; mask < 3; mask++) {
		umask((mode_t[]){ 022, 0, 077 }[mask]);
		for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
			snprintf(name, sizeof(name), "f%d-%zu", mask, i);
			try_open(p, name, O_CREAT | O_RDWR, modes[i]);
			snprintf(name, sizeof(name), "d%d-%zu", mask, i);
			CALL(p, mkdir(name, modes[i]));
			note_stat(p, name);
		}
	}
}

static void new_read_only_file(struct parity *p)
{
	int fd = OPEN(p, open("f", O_CREAT | O_EXCL | O_RDWR, 0444));
	int none = OPEN(p, open("g", O_CREAT | O_EXCL | O_RDWR, 0));

	CALL(p, write(fd, "text", 4));
	CALL(p, ftruncate(fd, 2));
	CALL(p, fchmod(fd, 0));
	CALL(p, pwrite(fd, "T", 1, 0));
	CALL(p, pread(fd, (char[8]){ 0 }, 8, 0));
	CALL(p, write(none, "text", 4));
	CALL(p, pread(none, (char[8]){ 0 }, 8, 0));
	CALL(p, chmod("f", 0644));
	note_text(p, "f");
}

static void permissions(struct parity *p)
{
	static const mode_t modes[] = { 0, 0007, 0020, 0400, 0200, 0644, 0070 };
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR,
				     O_RDONLY | O_TRUNC };
	static const struct user *const users[] = { NULL, &alice, &bob,
						    &alice_in_bobs };
	char name[8];

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		make_file(p, name, "text");
		CALL(p, chown(name, bob.uid + (i & 1), bob.gid));
		CALL(p, chmod(name, modes[i]));
	}
	for (int u = 0; u < 4; u++) {
		if (users[u])
			enter_user(p, users[u]);
		for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
			snprintf(name, sizeof(name), "f%zu", i);
			for (int f = 0; f < 4; f++)
				try_open(p, name, flags[f], 0);
		}
		try_open(p, "new", O_CREAT | O_RDWR, 0600);
		if (users[u])
			leave_user(p);
	}
}

static void search_permission(struct parity *p)
{
	CALL(p, mkdir("d", 0755));
	CALL(p, chmod(".", 0755));
	make_file(p, "d/f", "text");
	for (int mode = 0; mode < 8; mode++) {
		CALL(p, chmod("d", mode));
		note(p, "mode %d", mode);
		enter_user(p, &alice);
		try_open(p, "d/f", O_RDONLY, 0);
		try_open(p, "d", O_RDONLY, 0);
		try_open(p, "d", O_PATH, 0);
		try_open(p, "d/new", O_RDWR | O_CREAT | O_EXCL, 0600);
		CALL(p, unlink("d/new"));
		note_stat(p, "d/f");
		leave_user(p);
	}
}

static void device_nodes(struct parity *p)
{
	CALL(p, mknod("null", S_IFCHR | 0666, 0x103));
	CALL(p, mknod("none", S_IFCHR | 0666, 0xfff00));
	try_open(p, "null", O_RDWR, 0);
	try_open(p, "none", O_RDWR, 0);
	CALL(p, chmod(".", 0755));
	enter_user(p, &alice);
	try_open(p, "null", O_RDWR, 0);
	leave_user(p);
}

static void sharing_offsets(struct parity *p)
{
	int fd, twin;

	make_data(p, "f", 10000);
	fd = OPEN(p, open("f", O_RDWR));
	twin = OPEN(p, dup(fd));
	CALL(p, read(fd, (char[100]){ 0 }, 100));
	CALL(p, lseek(twin, 0, SEEK_CUR));
	CALL(p, write(twin, "abc", 3));
	CALL(p, lseek(fd, 0, SEEK_CUR));
	note_content(p, "f");
}

static void strange_access_modes(struct parity *p)
{
	int fd;

	make_file(p, "f", "text");
	/* Access mode 3: neither read nor write, for ioctl only. */
	fd = OPEN(p, open("f", 3));
	CALL(p, read(fd, (char[8]){ 0 }, 8));
	CALL(p, write(fd, "x", 1));
	close(fd);
	fd = OPEN(p, open("f", O_WRONLY));
	CALL(p, read(fd, (char[8]){ 0 }, 8));
	close(fd);
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, write(fd, "x", 1));
	note_text(p, "f");
}

static void resolving(struct parity *p)
{
	struct open_how how = { .flags = O_RDONLY, .resolve = RESOLVE_BENEATH };

	CALL(p, mkdir("d", 0755));
	make_file(p, "f", "text");
	CALL(p, symlink("../f", "d/up"));
	CALL(p, symlink("/etc/passwd", "d/out"));
	for (int i = 0; i < 2; i++) {
		int dir = OPEN(p, open("d", O_RDONLY));

		CALL(p, syscall(SYS_openat2, dir, "up", &how, sizeof(how)) < 0);
		CALL(p,
		     syscall(SYS_openat2, dir, "out", &how, sizeof(how)) < 0);
		note(p, "%s", errno_name(errno));
		how.resolve = RESOLVE_NO_SYMLINKS;
		close(dir);
	}
}

static const struct parity_row rows[] = {
	{ "O_EXCL", exclusive, 0 },
	{ "O_TRUNC", truncating, 0 },
	{ "O_APPEND and F_SETFL", appending, 0 },
	{ "O_APPEND from two processes", appending_from_two, 0 },
	{ "O_NOFOLLOW", no_follow, 0 },
	{ "directories", directories, 0 },
	{ "O_TMPFILE and linkat", temporary, 0 },
	{ "O_TMPFILE and AT_EMPTY_PATH", temporary_by_handle, 0 },
	{ "O_PATH", path_only, 0 },
	{ "O_NOATIME", without_atime, ROW_ROOT },
	{ "O_SYNC", synchronous, 0 },
	{ "modes and umask", creation_modes, 0 },
	{ "new file without permissions", new_read_only_file, 0 },
	{ "permissions", permissions, ROW_ROOT },
	{ "search permission", search_permission, ROW_ROOT },
	{ "device nodes", device_nodes, ROW_ROOT },
	{ "shared offsets", sharing_offsets, 0 },
	{ "strange access modes", strange_access_modes, 0 },
	{ "openat2", resolving, 0 },
};

PARITY_TOPIC(open, rows);
