/* SPDX-License-Identifier: MIT */
/* Parity with the backing: reading directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "parity.h"

/* Ten thousand take a second each on a mount, so not in every mode. */
static int many(const struct parity *p)
{
	return p->mode == MODE_PASSTHROUGH ? 10000 : 1000;
}

static void make_many(struct parity *p, const char *prefix, int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d/%s%05d", prefix, i);
		if (mknod(name, S_IFREG | 0644, 0) != 0)
			note(p, "!! %s: %s", name, errno_name(errno));
	}
}

/* Count how often each "f%05d" comes from a directory stream. */
static int count_names(DIR *dir, unsigned char *seen, int n)
{
	struct dirent *entry;
	int total = 0;

	errno = 0;
	while ((entry = readdir(dir))) {
		int i = atoi(entry->d_name + 1);

		if (entry->d_name[0] == 'f' && i >= 0 && i < n)
			seen[i]++;
		total++;
	}
	return errno ? -errno : total;
}

static void note_counts(struct parity *p, const unsigned char *seen, int n,
			int step, int offset)
{
	int missing = 0, twice = 0;

	for (int i = offset; i < n; i += step) {
		missing += seen[i] == 0;
		twice += seen[i] > 1;
	}
	note(p, "%d missing, %d twice", missing, twice);
	MUST(p, missing == 0 && twice == 0);
}

static void types(struct parity *p)
{
	make_file(p, "file", "x");
	CALL(p, mkdir("dir", 0755));
	CALL(p, symlink("x", "link"));
	CALL(p, mkfifo("fifo", 0644));
	CALL(p, mknod("socket", S_IFSOCK | 0644, 0));
	CALL(p, link("file", "file2"));
	note_dir(p, ".");
	note_dir(p, "dir");
	note_dir(p, "file");
	note_dir(p, "missing");
}

static void seeking(struct parity *p)
{
	int n = many(p), at = 0;
	long *cookies = calloc(n + 8, sizeof(*cookies));
	char(*names)[32] = calloc(n + 8, sizeof(*names));
	struct dirent *entry;
	DIR *dir;

	CALL(p, mkdir("d", 0755));
	make_many(p, "f", n);
	dir = opendir("d");
	MUST(p, dir);
	for (;;) {
		cookies[at] = telldir(dir);
		entry = readdir(dir);
		if (!entry || at > n + 2)
			break;
		strcpy(names[at++], entry->d_name);
	}
	note(p, "%d entries", at);
	for (int i = 0; i < 200; i++) {
		int to = (int)((i * 7919LL) % at);

		seekdir(dir, cookies[to]);
		entry = readdir(dir);
		if (!entry || strcmp(entry->d_name, names[to]) != 0)
			note(p, "!! seek to %s gives %s", names[to],
			     entry ? entry->d_name : "(end)");
	}
	seekdir(dir, cookies[at]);
	MUST(p, !readdir(dir));
	rewinddir(dir);
	entry = readdir(dir);
	MUST(p, entry && strcmp(entry->d_name, names[0]) == 0);
	closedir(dir);
	free(cookies);
	free(names);
}

/* As rm -r does it: remove what was read, read on. */
static void removing_while_reading(struct parity *p)
{
	int n = many(p), removed = 0;
	struct dirent *entry;
	DIR *dir;

	CALL(p, mkdir("d", 0755));
	make_many(p, "f", n);
	dir = opendir("d");
	MUST(p, dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] == 'f')
			removed += unlinkat(dirfd(dir), entry->d_name, 0) == 0;
	closedir(dir);
	note(p, "%d removed", removed);
	MUST(p, removed == n);
	CALL(p, rmdir("d"));
}

/* Entries that stay while others come and go are seen exactly once. */
static void changing_while_reading(struct parity *p)
{
	int n = many(p), read = 0;
	unsigned char *seen = calloc(n, 1);
	struct dirent *entry;
	char name[32];
	DIR *dir;

	CALL(p, mkdir("d", 0755));
	make_many(p, "f", n);
	dir = opendir("d");
	MUST(p, dir);
	while ((entry = readdir(dir)) && read++ < 4 * n) {
		int i = atoi(entry->d_name + 1);

		if (entry->d_name[0] == 'f' && i < n)
			seen[i]++;
		if (read % 3 == 0) {
			snprintf(name, sizeof(name), "d/new%05d", read);
			close(open(name, O_CREAT | O_WRONLY, 0600));
		}
		/* Only odd ones go, and only ones far away. */
		i = (i + n / 2) % n | 1;
		snprintf(name, sizeof(name), "d/f%05d", i);
		unlink(name);
	}
	closedir(dir);
	note_counts(p, seen, n, 2, 0);
	free(seen);
}

static void rewinding(struct parity *p)
{
	struct dirent *entry;
	DIR *dir, *other;
	int n = 0;

	CALL(p, mkdir("d", 0755));
	make_many(p, "f", 5);
	dir = opendir("d");
	other = opendir("d");
	while (readdir(dir))
		n++;
	note(p, "%d entries", n);
	make_many(p, "g", 5);
	CALL(p, unlink("d/f00002"));
	rewinddir(dir);
	for (n = 0; (entry = readdir(dir)); n++)
		MUST(p, strcmp(entry->d_name, "f00002") != 0);
	note(p, "%d entries after rewinding", n);
	for (n = 0; readdir(other); n++)
		;
	closedir(other);
	closedir(dir);
	note_dir(p, "d");
}

static long read_raw(int fd, void *buf, unsigned int size)
{
	return syscall(SYS_getdents64, fd, buf, size);
}

static void small_buffers(struct parity *p)
{
	unsigned char seen[500] = { 0 };
	char buf[4096];
	long n, calls = 0;
	int fd;

	CALL(p, mkdir("d", 0755));
	make_many(p, "f", 500);
	fd = OPEN(p, open("d", O_RDONLY | O_DIRECTORY));
	CALL(p, read_raw(fd, buf, 8));
	CALL(p, read_raw(fd, buf, 0));
	while ((n = read_raw(fd, buf, 100)) > 0 && calls++ < 2000) {
		for (long at = 0; at < n;) {
			const struct dirent64 *entry = (void *)(buf + at);

			if (entry->d_name[0] == 'f')
				seen[atoi(entry->d_name + 1)]++;
			at += entry->d_reclen;
		}
	}
	note(p, "ended with %ld", n);
	note_counts(p, seen, 500, 1, 0);
	CALL(p, lseek(fd, 0, SEEK_SET));
	CALL(p, read_raw(fd, buf, sizeof(buf)) > 0);
	CALL(p, lseek(fd, -1, SEEK_SET));
	CALL(p, read_raw(-1, buf, sizeof(buf)));
	CALL(p, read_raw(OPEN(p, open("d/f00001", O_RDONLY)), buf, 100));
}

static void removed_while_open(struct parity *p)
{
	char buf[4096];
	DIR *dir;
	int fd;

	CALL(p, mkdir("d", 0755));
	make_many(p, "f", 3);
	fd = OPEN(p, open("d", O_RDONLY | O_DIRECTORY));
	dir = opendir("d");
	for (int i = 0; i < 3; i++) {
		snprintf(buf, sizeof(buf), "d/f%05d", i);
		CALL(p, unlink(buf));
	}
	CALL(p, rmdir("d"));
	CALL(p, read_raw(fd, buf, sizeof(buf)) <= 0);
	MUST(p, dir && !readdir(dir));
	note_fstat(p, fd);
	CALL(p, openat(fd, "x", O_CREAT | O_WRONLY, 0600));
	CALL(p, fsync(fd));
	closedir(dir);
}

static void by_users(struct parity *p)
{
	CALL(p, mkdir("d", 0755));
	make_many(p, "f", 3);
	CALL(p, chmod(".", 0755));
	for (int mode = 0; mode < 8; mode++) {
		CALL(p, chmod("d", 0700 + mode));
		enter_user(p, &alice);
		note_dir(p, "d");
		leave_user(p);
	}
}

static void long_names(struct parity *p)
{
	char name[256];
	int fd;

	CALL(p, mkdir("d", 0755));
	fd = OPEN(p, open("d", O_RDONLY | O_DIRECTORY));
	memset(name, 'n', 255);
	name[255] = '\0';
	for (int i = 0; i < 40; i++) {
		name[0] = 'A' + i;
		CALL(p, mkdirat(fd, name, 0755));
	}
	note_dir(p, "d");
	for (int i = 0; i < 40; i++) {
		name[0] = 'A' + i;
		CALL(p, unlinkat(fd, name, AT_REMOVEDIR));
	}
	note_dir(p, "d");
}

static void listing_many(struct parity *p)
{
	int n = many(p);
	unsigned char *seen = calloc(n, 1);
	DIR *dir;

	CALL(p, mkdir("d", 0755));
	make_many(p, "f", n);
	for (int round = 0; round < 2; round++) {
		memset(seen, 0, n);
		dir = opendir("d");
		CALL(p, count_names(dir, seen, n));
		note_counts(p, seen, n, 1, 0);
		closedir(dir);
	}
	free(seen);
}

/* One of the things that make old what the kernel was told of a new file. */
static void do_something(struct parity *p, int what, const char *name)
{
	char other[48], buf[8];
	int fd = OPEN(p, open(name, O_RDWR | O_CREAT, 0600));

	snprintf(other, sizeof(other), "%s-other", name);
	CALL(p, write(fd, "12345", 5));
	if (what % 2)
		CALL(p, fchmod(fd, 0640));
	switch (what / 2) {
	case 0:
		CALL(p, write(fd, "more", 4));
		break;
	case 1:
		CALL(p, pread(fd, buf, sizeof(buf), 0));
		break;
	case 2:
		CALL(p, link(name, other));
		break;
	case 3:
		CALL(p, rename(name, other));
		break;
	case 4:
		CALL(p, truncate(name, 3));
		break;
	case 5:
		CALL(p, unlink(name));
		CALL(p, mkdir(name, 0700));
		break;
	default:
		break;
	}
	close(fd);
}

static void list_all(struct parity *p)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(".");

	while ((entry = readdir(dir)))
		CALL(p, fstatat(dirfd(dir), entry->d_name, &st, 0));
	closedir(dir);
}

static void attributes_after_listing(struct parity *p)
{
	char name[32];

	for (int round = 0; round < 2; round++) {
		for (int what = 0; what < 14; what++) {
			snprintf(name, sizeof(name), "f%02d-%d", what, round);
			do_something(p, what, name);
		}
		list_all(p);
		for (int i = 0; i < 14 * (round + 1); i++) {
			snprintf(name, sizeof(name), "f%02d-%d", i % 14,
				 i / 14);
			note_stat(p, name);
			strcat(name, "-other");
			note_stat(p, name);
		}
	}
}

static const struct parity_row rows[] = {
	{ "d_type and d_ino", types, 0 },
	{ "many entries", listing_many, 0 },
	{ "telldir and seekdir", seeking, 0 },
	{ "removing while reading", removing_while_reading, 0 },
	{ "changing while reading", changing_while_reading, 0 },
	{ "rewinddir", rewinding, 0 },
	{ "small buffers", small_buffers, 0 },
	{ "removed while open", removed_while_open, 0 },
	{ "by users", by_users, ROW_ROOT },
	{ "long names", long_names, 0 },
	{ "attributes after listing", attributes_after_listing, 0 },
};

PARITY_TOPIC(dir, rows);
