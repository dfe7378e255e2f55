/* SPDX-License-Identifier: MIT */
/* Parity with the backing: attributes, times, truncation and access(2). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "config.h"
#include "parity.h"

static void note_times(struct parity *p, const char *name)
{
	struct stat st;

	if (lstat(name, &st) != 0)
		note(p, "times of %s = %s", name, errno_name(errno));
	else
		note(p, "times of %s: %lld.%09ld %lld.%09ld", name,
		     (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
		     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void changing_modes(struct parity *p)
{
	int fd;

	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("f", "link"));
	for (int mode = 0; mode < 010000; mode += 0333) {
		CALL(p, chmod("f", mode));
		CALL(p, chmod("d", mode));
		note_stat(p, "f");
		note_stat(p, "d");
	}
	CALL(p, chmod("link", 0600));
	note_stat(p, "f");
	CALL(p, fchmodat(AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW));
	CALL(p, chmod("missing", 0600));
	CALL(p, chmod("f/x", 0600));
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, fchmod(fd, 0640));
	note_fstat(p, fd);
}

static void changing_owners(struct parity *p)
{
	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("f", "link"));
	CALL(p, chown("f", 7, -1));
	note_stat(p, "f");
	CALL(p, chown("f", -1, 8));
	note_stat(p, "f");
	CALL(p, chown("f", -1, -1));
	CALL(p, chown("link", 9, 9));
	note_stat(p, "f");
	CALL(p, lchown("link", 10, 11));
	note_stat(p, "link");
	CALL(p, chown("d", 12, 13));
	note_stat(p, "d");
	CALL(p, chown("missing", 1, 1));
	CALL(p, chown("f", 4294967294u, 4294967294u));
	note_stat(p, "f");
}

static void owners_by_users(struct parity *p)
{
	static const gid_t groups[] = { 1001, 1002, 1003, 0 };

	CALL(p, chmod(".", 0777));
	enter_user(p, &alice_in_bobs);
	make_file(p, "mine", "x");
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		note(p, "group %u", groups[i]);
		CALL(p, chown("mine", -1, groups[i]));
		CALL(p, chmod("mine", 02755));
		note_stat(p, "mine");
	}
	CALL(p, chown("mine", 1002, -1));
	CALL(p, chown("mine", 1001, -1));
	leave_user(p);
	CALL(p, chown("mine", bob.uid, alice.gid));
	enter_user(p, &alice);
	CALL(p, chmod("mine", 0777));
	CALL(p, chown("mine", -1, -1));
	CALL(p, chown("mine", -1, 1001));
	CALL(p, unlink("mine"));
	leave_user(p);
	make_file(p, "roots", "x");
	CALL(p, chown("roots", alice.uid, 1003));
	enter_user(p, &alice);
	/* Not in the file's group: sgid does not stick. */
	CALL(p, chmod("roots", 02775));
	note_stat(p, "roots");
	leave_user(p);
}

static void truncating(struct parity *p)
{
	int fd;

	make_data(p, "f", 10000);
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("f", "link"));
	CALL(p, truncate("f", 20000));
	note_content(p, "f");
	CALL(p, truncate("f", 5001));
	note_content(p, "f");
	CALL(p, truncate("link", 5000));
	note_stat(p, "f");
	CALL(p, truncate("f", -1));
	CALL(p, truncate("d", 0));
	CALL(p, truncate("missing", 0));
	CALL(p, truncate("f/x", 0));
	fd = OPEN(p, open("f", O_RDONLY));
	CALL(p, ftruncate(fd, 1));
	close(fd);
	fd = OPEN(p, open("f", O_WRONLY));
	CALL(p, ftruncate(fd, 100));
	CALL(p, ftruncate(fd, -5));
	CALL(p, ftruncate(fd, 4096));
	note_content(p, "f");
	close(fd);
}

static void truncating_to_huge_sizes(struct parity *p)
{
	make_file(p, "f", "x");
	CALL(p, truncate("f", 1ll << 40));
	note_stat(p, "f");
	/* ext4 ends at 16 TiB, tmpfs and others near 8 EiB. */
	CALL(p, truncate("f", 1ll << 46));
	CALL(p, truncate("f", 0x7fffffffffffffffll));
	CALL(p, truncate("f", 1));
	note_text(p, "f");
}

static void file_size_limit(struct parity *p)
{
	struct rlimit limit = { 10000, 10000 };
	int fd = OPEN(p, open("f", O_RDWR | O_CREAT, 0644));

	signal(SIGXFSZ, SIG_IGN);
	CALL(p, setrlimit(RLIMIT_FSIZE, &limit));
	CALL(p, ftruncate(fd, 20000));
	CALL(p, pwrite(fd, "12345678", 8, 9996));
	CALL(p, pwrite(fd, "12345678", 8, 10000));
	CALL(p, truncate("f", 20000));
	CALL(p, fallocate(fd, 0, 0, 20000));
	note_content(p, "f");
}

static void truncating_by_users(struct parity *p)
{
	int fd;

	CALL(p, chmod(".", 0777));
	make_file(p, "roots", "text");
	enter_user(p, &alice);
	CALL(p, truncate("roots", 0));
	fd = OPEN(p, open("mine", O_RDWR | O_CREAT, 0444));
	CALL(p, truncate("mine", 0));
	CALL(p, ftruncate(fd, 100));
	CALL(p, fchmod(fd, 0));
	CALL(p, ftruncate(fd, 50));
	note_fstat(p, fd);
	leave_user(p);
}

static void setting_times(struct parity *p)
{
	static const struct timespec sets[][2] = {
		{ { 1, 2 }, { 3, 4 } },
		{ { 1000000000, 999999999 }, { 1234567890, 123456789 } },
		{ { -5, 500000000 }, { -100000, 1 } },
		{ { 4000000000, 5 }, { 5000000000, 6 } },
		{ { 0, 0 }, { 0, 0 } },
		{ { 7, 8 }, { 0, UTIME_OMIT } },
		{ { 0, UTIME_OMIT }, { 9, 10 } },
		{ { 0, UTIME_OMIT }, { 0, UTIME_OMIT } },
		{ { 0, 1000000000 }, { 0, 0 } },
		{ { 0, -1 }, { 0, 0 } },
	};
	int fd;

	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("f", "link"));
	fd = OPEN(p, open("f", O_RDONLY));
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		note(p, "set %zu", i);
		CALL(p, utimensat(AT_FDCWD, "f", sets[i], 0));
		note_times(p, "f");
		CALL(p, utimensat(AT_FDCWD, "d", sets[i], 0));
		note_times(p, "d");
		CALL(p,
		     utimensat(AT_FDCWD, "link", sets[i], AT_SYMLINK_NOFOLLOW));
		note_times(p, "link");
		CALL(p, futimens(fd, sets[i]));
	}
	CALL(p, utimensat(AT_FDCWD, "missing", sets[0], 0));
	CALL(p, utimensat(AT_FDCWD, "link", sets[1], 0));
	note_times(p, "f");
}

static bool is_recent(const struct timespec *time)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return time->tv_sec >= now.tv_sec - 5 && time->tv_sec <= now.tv_sec + 1;
}

static void setting_times_to_now(struct parity *p)
{
	struct timespec sets[][2] = {
		{ { 0, UTIME_NOW }, { 0, UTIME_OMIT } },
		{ { 0, UTIME_OMIT }, { 0, UTIME_NOW } },
		{ { 0, UTIME_NOW }, { 0, UTIME_NOW } },
		{ { 77, 78 }, { 0, UTIME_NOW } },
	};
	struct timespec old[2] = { { 100, 1 }, { 200, 2 } };
	struct stat st;

	make_file(p, "f", "x");
	for (size_t i = 0; i < 5; i++) {
		CALL(p, utimensat(AT_FDCWD, "f", old, 0));
		CALL(p, utimensat(AT_FDCWD, "f", i < 4 ? sets[i] : NULL, 0));
		CALL(p, stat("f", &st));
		note(p, "atime %s %lld, mtime %s %lld",
		     is_recent(&st.st_atim) ? "now" : "set",
		     is_recent(&st.st_atim) ? 0ll : (long long)st.st_atime,
		     is_recent(&st.st_mtim) ? "now" : "set",
		     is_recent(&st.st_mtim) ? 0ll : (long long)st.st_mtime);
	}
}

static void times_by_users(struct parity *p)
{
	struct timespec some[2] = { { 100, 1 }, { 200, 2 } };
	struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };
	struct timespec half[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
	struct timespec none[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };

	CALL(p, chmod(".", 0777));
	make_file(p, "writable", "x");
	CALL(p, chmod("writable", 0666));
	make_file(p, "readable", "x");
	enter_user(p, &alice);
	make_file(p, "mine", "x");
	CALL(p, chmod("mine", 0));
	for (int i = 0; i < 3; i++) {
		const char *name =
			(const char *[]){ "writable", "readable", "mine" }[i];

		note(p, "%s", name);
		CALL(p, utimensat(AT_FDCWD, name, some, 0));
		CALL(p, utimensat(AT_FDCWD, name, now, 0));
		CALL(p, utimensat(AT_FDCWD, name, half, 0));
		CALL(p, utimensat(AT_FDCWD, name, none, 0));
		CALL(p, utimensat(AT_FDCWD, name, NULL, 0));
	}
	leave_user(p);
}

/* What an operation did to a name's times, from 1970 and some pause before. */
static void note_effect(struct parity *p, const char *name, const char *what,
			const struct stat *old)
{
	struct stat st;

	if (stat(name, &st) != 0) {
		note(p, "%s: %s", what, errno_name(errno));
		return;
	}
	note(p, "%s: mtime of %s %s, ctime %s", what, name,
	     old->st_mtim.tv_sec == st.st_mtim.tv_sec &&
			     old->st_mtim.tv_nsec == st.st_mtim.tv_nsec
		     ? "kept"
		     : "changed",
	     old->st_ctim.tv_sec == st.st_ctim.tv_sec &&
			     old->st_ctim.tv_nsec == st.st_ctim.tv_nsec
		     ? "kept"
		     : "changed");
}

#define EFFECT(p, name, expr)                       \
	do {                                        \
		struct stat old_;                   \
		stat(name, &old_);                  \
		process_sleep_ms(12);               \
		CALL(p, expr);                      \
		note_effect(p, name, #expr, &old_); \
	} while (0)

static void effects_on_times(struct parity *p)
{
	char buf[8];
	int fd, dir;

	make_data(p, "f", 10000);
	CALL(p, mkdir("d", 0755));
	make_file(p, "d/x", "x");
	fd = OPEN(p, open("f", O_RDWR));
	EFFECT(p, "f", pread(fd, buf, sizeof(buf), 0));
	EFFECT(p, "f", pwrite(fd, buf, sizeof(buf), 0));
	EFFECT(p, "f", pwrite(fd, buf, 0, 0));
	EFFECT(p, "f", ftruncate(fd, 10000));
	EFFECT(p, "f", ftruncate(fd, 9000));
	EFFECT(p, "f", truncate("f", 9000));
	EFFECT(p, "f", fchmod(fd, 0600));
	EFFECT(p, "f", link("f", "d/g"));
	EFFECT(p, "f", rename("d/g", "d/h"));
	EFFECT(p, "f", unlink("d/h"));
	EFFECT(p, "f", fallocate(fd, 0, 0, 20000));
	EFFECT(p, "f", fsync(fd));
	EFFECT(p, "d", mkdir("d/sub", 0755));
	EFFECT(p, "d", rmdir("d/sub"));
	EFFECT(p, "d", rename("d/x", "d/y"));
	EFFECT(p, "d", chmod("d/y", 0600));
	EFFECT(p, "d", symlink("x", "d/link"));
	EFFECT(p, "d", unlink("d/y"));
	dir = OPEN(p, open("d", O_RDONLY));
	EFFECT(p, "d", close(openat(dir, "new", O_CREAT | O_WRONLY, 0600)));
	EFFECT(p, "d", rename("d/new", "f2"));
	EFFECT(p, "f", close(open("f", O_WRONLY | O_TRUNC)));
	EFFECT(p, "f", close(open("f", O_WRONLY | O_TRUNC)));
}

static void note_birth(struct parity *p, const struct statx *shown,
		       const struct statx *real)
{
#if HAVE_FUSE_STATX
	CALL(p, shown->stx_mask & STATX_BTIME);
	MUST(p, shown->stx_btime.tv_sec == real->stx_btime.tv_sec);
	MUST(p, shown->stx_btime.tv_nsec == real->stx_btime.tv_nsec);
#else
	(void)real;
	DIFFERS(p, "libfuse before 3.18 has no statx", 0,
		shown->stx_mask & STATX_BTIME);
#endif
}

static void born(struct parity *p)
{
	struct statx shown, real;
	char name[8];

	make_file(p, "f", "x");
	CALL(p, mkdir("d", 0755));
	CALL(p, symlink("f", "link"));
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s",
			 (const char *[]){ "f", "d", "link" }[i]);
		memset(&shown, 0, sizeof(shown));
		CALL(p, statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW,
			      STATX_BASIC_STATS | STATX_BTIME, &shown));
		CALL(p, statx(p->back_fd, name, AT_SYMLINK_NOFOLLOW,
			      STATX_BASIC_STATS | STATX_BTIME, &real));
		note_birth(p, &shown, &real);
		MUST(p, shown.stx_ino == real.stx_ino);
		MUST(p, shown.stx_blocks == real.stx_blocks);
		MUST(p, shown.stx_blksize == real.stx_blksize);
		MUST(p, shown.stx_ctime.tv_nsec == real.stx_ctime.tv_nsec);
	}
	CALL(p, statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &shown));
	CALL(p, statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &shown));
	CALL(p, statx(AT_FDCWD, "f", 0x40000, STATX_SIZE, &shown));
	CALL(p, statx(AT_FDCWD, "no", 0, STATX_SIZE, &shown));
}

static void accessing(struct parity *p)
{
	static const mode_t modes[] = { 0, 0007, 0070, 0700, 0444, 0111, 0755 };
	static const struct user *const users[] = { NULL, &alice, &bob,
						    &alice_in_bobs };
	char name[8];

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		make_file(p, name, "x");
		CALL(p, chown(name, bob.uid, i & 1 ? bob.gid : 0));
		CALL(p, chmod(name, modes[i]));
		snprintf(name, sizeof(name), "d%zu", i);
		CALL(p, mkdir(name, 0755));
		CALL(p, chown(name, alice.uid, bob.gid));
		CALL(p, chmod(name, modes[i]));
	}
	for (int u = 0; u < 4; u++) {
		if (users[u])
			enter_user(p, users[u]);
		for (size_t i = 0; i < 2 * sizeof(modes) / sizeof(*modes); i++)
			for (int want = 0; want < 8; want++) {
				snprintf(name, sizeof(name), "%c%zu",
					 i & 1 ? 'd' : 'f', i / 2);
				note(p, "access %s %d: %d %s", name, want,
				     access(name, want), errno_name(errno));
				errno = 0;
				note(p, "effective: %d %s",
				     faccessat(AT_FDCWD, name, want,
					       AT_EACCESS),
				     errno_name(errno));
				errno = 0;
			}
		if (users[u])
			leave_user(p);
	}
}

static void setgid_directories(struct parity *p)
{
	CALL(p, mkdir("d", 0777));
	CALL(p, chown("d", 0, bob.gid));
	CALL(p, chmod("d", 02777));
	enter_user(p, &alice);
	CALL(p, mkdir("d/sub", 0755));
	make_file(p, "d/f", "x");
	/* sgid on an executable of a foreign group is dropped. */
	CALL(p, open("d/exec", O_CREAT | O_WRONLY, 02775) >= 0);
	CALL(p, mkfifo("d/fifo", 0644));
	CALL(p, symlink("x", "d/link"));
	CALL(p, open("d", O_TMPFILE | O_RDWR, 02775) >= 0);
	leave_user(p);
	note_stat(p, "d/sub");
	note_stat(p, "d/f");
	note_stat(p, "d/exec");
	note_stat(p, "d/fifo");
	note_stat(p, "d/link");
	enter_user(p, &alice_in_bobs);
	CALL(p, open("d/exec2", O_CREAT | O_WRONLY, 02775) >= 0);
	CALL(p, mkdir("d/sub/sub", 0755));
	leave_user(p);
	note_stat(p, "d/exec2");
	note_stat(p, "d/sub/sub");
}

static void sticky_directories(struct parity *p)
{
	CALL(p, mkdir("d", 0777));
	CALL(p, chmod("d", 01777));
	make_file(p, "d/roots", "x");
	enter_user(p, &alice);
	make_file(p, "d/alices", "x");
	make_file(p, "d/other", "x");
	leave_user(p);
	enter_user(p, &bob);
	CALL(p, unlink("d/alices"));
	CALL(p, unlink("d/roots"));
	CALL(p, rename("d/alices", "d/x"));
	make_file(p, "d/bobs", "x");
	CALL(p, rename("d/bobs", "d/alices"));
	CALL(p, renameat2(AT_FDCWD, "d/bobs", AT_FDCWD, "d/alices",
			  RENAME_EXCHANGE));
	CALL(p, unlink("d/bobs"));
	leave_user(p);
	enter_user(p, &alice);
	CALL(p, rename("d/other", "d/alices"));
	CALL(p, unlink("d/alices"));
	leave_user(p);
	note_dir(p, "d");
}

static const struct parity_row rows[] = {
	{ "chmod", changing_modes, 0 },
	{ "chown", changing_owners, ROW_ROOT },
	{ "chown and chmod by users", owners_by_users, ROW_ROOT },
	{ "truncate", truncating, 0 },
	{ "truncate to huge sizes", truncating_to_huge_sizes, 0 },
	{ "RLIMIT_FSIZE", file_size_limit, 0 },
	{ "truncate by users", truncating_by_users, ROW_ROOT },
	{ "utimensat", setting_times, 0 },
	{ "utimensat to now", setting_times_to_now, 0 },
	{ "utimensat by users", times_by_users, ROW_ROOT },
	{ "effects on times", effects_on_times, 0 },
	{ "statx", born, 0 },
	{ "access", accessing, ROW_ROOT },
	{ "setgid directories", setgid_directories, ROW_ROOT },
	{ "sticky directories", sticky_directories, ROW_ROOT },
};

PARITY_TOPIC(attr, rows);
