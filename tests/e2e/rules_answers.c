// SPDX-License-Identifier: MIT
/* Each operation and each action, on each backing, with the exact answer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extents.h"
#include "offlay.h"
#include "offlay_odx.h"
#include "rules.h"

/* Operations: each opens its files anew.  Return: a count, 0, or -errno. */

static long do_copy(const struct rules_place *place)
{
	int src = rules_open(place, "a", O_RDONLY);
	int dst = rules_open(place, "b", O_RDWR | O_CREAT | O_TRUNC);
	ssize_t n = copy_file_range(src, &(off_t){ 0 }, dst, &(off_t){ 0 },
				    RULES_SIZE, 0);
	long result = n < 0 ? -errno : n;

	close(src);
	close(dst);
	return result;
}

static long do_clone(const struct rules_place *place)
{
	int src = rules_open(place, "a", O_RDONLY);
	int dst = rules_open(place, "b", O_RDWR | O_CREAT | O_TRUNC);
	long result = offlay_clone_range(src, 0, dst, 0, RULES_SIZE);

	close(src);
	close(dst);
	return result;
}

static long do_dedupe(const struct rules_place *place)
{
	int src = rules_open(place, "a", O_RDONLY);
	int dst = rules_open(place, "same", O_RDWR);
	uint64_t n = 0;
	long err = offlay_dedupe_range(src, 0, dst, 0, RULES_SIZE, &n);

	close(src);
	close(dst);
	return err ? err : (long)n;
}

static long read_by(const struct rules_place *place, int flags)
{
	static char buf[RULES_SIZE] __attribute__((aligned(4096)));
	int fd = rules_open(place, "a", O_RDONLY | flags);
	ssize_t n = pread(fd, buf, sizeof(buf), 0);
	long result = n < 0 ? -errno : n;

	close(fd);
	return result;
}

static long do_read(const struct rules_place *place)
{
	return read_by(place, 0);
}

static long do_read_direct(const struct rules_place *place)
{
	return read_by(place, O_DIRECT);
}

static long write_by(const struct rules_place *place, int flags)
{
	static char buf[RULES_SIZE] __attribute__((aligned(4096)));
	int fd = rules_open(place, "b", O_WRONLY | O_CREAT | flags);
	ssize_t n = pwrite(fd, buf, sizeof(buf), 0);
	long result = n < 0 ? -errno : n;

	close(fd);
	return result;
}

static long do_write(const struct rules_place *place)
{
	return write_by(place, 0);
}

static long do_write_direct(const struct rules_place *place)
{
	return write_by(place, O_DIRECT);
}

static long do_fsync(const struct rules_place *place)
{
	int fd = rules_open(place, "same", O_RDWR);
	long result = fsync(fd) ? -errno : 0;

	close(fd);
	return result;
}

static long open_by(const struct rules_place *place, const char *name,
		    int flags)
{
	char path[PATH_MAX];
	int fd;

	rules_path_of(place, name, path);
	fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static long do_open(const struct rules_place *place)
{
	return open_by(place, "a", O_RDONLY);
}

static long do_create(const struct rules_place *place)
{
	long result = open_by(place, "new", O_RDWR | O_CREAT | O_EXCL);
	char path[PATH_MAX];

	rules_path_of(place, "new", path);
	cr_expect_eq(unlink(path), result ? -1 : 0, "%s: left behind",
		     errno_name(result));
	return result;
}

static long do_tmpfile(const struct rules_place *place)
{
	return open_by(place, ".", O_RDWR | O_TMPFILE);
}

static long do_truncate(const struct rules_place *place)
{
	char path[PATH_MAX];

	rules_path_of(place, "b", path);
	return truncate(path, 100) ? -errno : 0;
}

static long do_ftruncate(const struct rules_place *place)
{
	int fd = rules_open(place, "b", O_RDWR);
	long result = ftruncate(fd, 200) ? -errno : 0;

	close(fd);
	return result;
}

static long do_token_read(const struct rules_place *place)
{
	const struct offlay_odx_range range = { .length = RULES_SIZE };
	int fd = rules_open(place, "a", O_RDONLY);
	struct offlay_token token;
	uint64_t n = 0;
	uint32_t flags;
	long err;

	err = offlay_odx_read(fd, &range, &token, &n, &flags, NULL);
	close(fd);
	return err ? err : (long)n;
}

static long do_token_write(const struct rules_place *place)
{
	const struct offlay_odx_range range = { .length = RULES_SIZE };
	int fd = rules_open(place, "same", O_RDWR);
	struct offlay_token token = { 0 };
	uint64_t n = 0;
	long err;

	/* Zeros are well known. */
	memcpy(&token, "\xff\xff\x00\x01", 4);
	err = offlay_odx_write(fd, &range, &token, &n, NULL);
	close(fd);
	return err ? err : (long)n;
}

#define ALL	RULES_SIZE
#define SHORTER (-10000) /* from 1 to ALL - 1 */
#define SECTORS (-10001) /* the same, a multiple of 4096 */
#define PLAIN	(-10002) /* as without rules */

static const struct {
	const char *rule;
	long (*run)(const struct rules_place *place);
	long want;
} rows[] = {
	{ "copy : errno=EOPNOTSUPP", do_copy, -EOPNOTSUPP },
	{ "copy : errno=EXDEV", do_copy, -EXDEV },
	{ "copy : errno=ENOSYS", do_copy, -ENOSYS },
	{ "copy : errno=EINVAL", do_copy, -EINVAL },
	{ "copy : errno=EPERM", do_copy, -EPERM },
	{ "copy : errno=ETXTBSY", do_copy, -ETXTBSY },
	{ "copy : errno=EINTR", do_copy, -EINTR },
	{ "copy : errno=EIO", do_copy, -EIO },
	{ "copy : errno=ENOSPC", do_copy, -ENOSPC },
	{ "copy : errno=EDQUOT", do_copy, -EDQUOT },
	{ "copy : errno=ENOENT unsafe", do_copy, -ENOENT },
	{ "copy : short=1", do_copy, 1 },
	{ "copy : short=4095", do_copy, 4095 },
	{ "copy : short=2blocks", do_copy, 8192 },
	{ "copy : short=random", do_copy, SHORTER },
	{ "copy : zero", do_copy, PLAIN },
	{ "copy : zero unsafe", do_copy, 0 },
	{ "copy : refuse=sparse", do_copy, -EOPNOTSUPP },
	{ "copy file=b side=dst : refuse=encrypted", do_copy, -EOPNOTSUPP },
	{ "copy : refuse=compressed", do_copy, -EOPNOTSUPP },
	{ "copy : forbid=clone+offload", do_copy, ALL },
	{ "copy : delay=1", do_copy, PLAIN },
	{ "copy : hang=1 errno=EIO", do_copy, -EIO },
	{ "copy nth=2 : errno=EIO", do_copy, PLAIN },
	{ "copy file=c : errno=EIO", do_copy, PLAIN },
	{ "clone : errno=EIO", do_clone, -EIO },
	{ "clone : errno=EXDEV", do_clone, -EXDEV },
	{ "clone : errno=EAGAIN", do_clone, -EAGAIN },
	{ "clone : errno=ESTALE", do_clone, -ESTALE },
	{ "clone : forbid=clone", do_clone, -EOPNOTSUPP },
	{ "clone : refuse=sparse", do_clone, -EOPNOTSUPP },
	{ "clone : delay=1", do_clone, PLAIN },
	{ "clone file=a side=src : errno=EIO", do_clone, -EIO },
	{ "clone file=b side=src : errno=EIO", do_clone, PLAIN },
	{ "dedupe : errno=ENOSPC", do_dedupe, -ENOSPC },
	{ "dedupe : refuse=compressed", do_dedupe, -EOPNOTSUPP },
	{ "dedupe : delay=1", do_dedupe, PLAIN },
	{ "read : errno=EIO", do_read, -EIO },
	{ "read : errno=EINTR", do_read, -EINTR },
	{ "read : errno=EIO", do_read_direct, -EIO },
	{ "read : short=1", do_read, 1 },
	{ "read : short=1", do_read_direct, 4096 },
	{ "read : short=3blocks", do_read, 12288 },
	{ "read : short=random", do_read, SHORTER },
	{ "read : short=random", do_read_direct, SECTORS },
	{ "read : zero unsafe", do_read, 0 },
	{ "read : zero", do_read, PLAIN },
	{ "read : delay=1", do_read, PLAIN },
	{ "read : hang=1", do_read, PLAIN },
	{ "read file=*b : errno=EIO", do_read, PLAIN },
	{ "write : errno=ENOSPC", do_write, -ENOSPC },
	{ "write : errno=EDQUOT", do_write_direct, -EDQUOT },
	{ "write : errno=EINTR", do_write, -EINTR },
	{ "write : short=1", do_write, 1 },
	{ "write : short=1", do_write_direct, 4096 },
	{ "write : short=random", do_write, SHORTER },
	{ "write : zero unsafe", do_write, 0 },
	{ "write : delay=1", do_write, PLAIN },
	{ "write : hang=1 short=5", do_write, 5 },
	{ "fsync : errno=EIO", do_fsync, -EIO },
	{ "fsync : errno=ENOSPC", do_fsync, -ENOSPC },
	{ "fsync : delay=1", do_fsync, PLAIN },
	{ "open : errno=EMFILE", do_open, -EMFILE },
	{ "open : errno=EACCES", do_open, -EACCES },
	{ "open : errno=EINTR", do_open, -EINTR },
	{ "open : delay=1", do_open, PLAIN },
	{ "open : errno=EIO", do_create, PLAIN },
	{ "create : errno=ENOSPC", do_create, -ENOSPC },
	{ "create : errno=EDQUOT", do_tmpfile, -EDQUOT },
	{ "create file=new : errno=EROFS", do_create, -EROFS },
	{ "create file=old : errno=EROFS", do_create, PLAIN },
	{ "create : delay=1", do_create, PLAIN },
	{ "create : hang=1", do_tmpfile, PLAIN },
	{ "create : errno=EIO", do_open, PLAIN },
	{ "truncate : errno=EFBIG", do_truncate, -EFBIG },
	{ "truncate : errno=EIO", do_ftruncate, -EIO },
	{ "truncate : delay=1", do_truncate, PLAIN },
	{ "truncate : delay=1", do_ftruncate, PLAIN },
	{ "token_read : errno=EIO", do_token_read, -EIO },
	{ "token_read : refuse=sparse", do_token_read, -EOPNOTSUPP },
	{ "token_read : zero unsafe", do_token_read, 0 },
	{ "token_write : errno=ESTALE", do_token_write, -ESTALE },
	{ "token_write : errno=ENOSPC", do_token_write, -ENOSPC },
	{ "token_write : refuse=sparse", do_token_write, -EOPNOTSUPP },
	{ "token_write : short=random", do_token_write, SECTORS },
	{ "token_write : delay=1", do_token_write, PLAIN },
	{ "any file=a : errno=EIO", do_open, -EIO },
	{ "any file=new : errno=EIO", do_create, -EIO },
	{ "any : errno=EIO", do_truncate, -EIO },
};

#define ROWS (sizeof(rows) / sizeof(*rows))

static void make_files(const struct rules_place *place)
{
	char script[3 * PATH_MAX];

	snprintf(script, sizeof(script),
		 "cd '%s' && rm -f b new && cp --reflink=never a same && "
		 "cp --reflink=never a b && sync -f .",
		 place->dir);
	cr_assert_eq(COMMAND(NULL, "sh", "-c", script), 0);
}

static bool is_as_wanted(long got, long want, long plain)
{
	switch (want) {
	case SHORTER:
		return got > 0 && got < ALL;
	case SECTORS:
		return got > 0 && got < ALL && got % 4096 == 0;
	case PLAIN:
		return got == plain;
	default:
		return got == want;
	}
}

Test(rules_answers, are_exact_for_each_operation_and_action)
{
	const struct rules_case *where = NULL;
	struct rules_place place;

	while ((where = rules_next_case(where))) {
		rules_place_open(where, NULL, &place);
		make_files(&place);
		for (size_t i = 0; i < ROWS; i++) {
			const char *rule = rows[i].rule;
			struct offlay_ioc_rules_list list;
			long got, plain;

			plain = rows[i].run(&place);
			rules_set(&place, rule);
			got = rows[i].run(&place);
			cr_expect(is_as_wanted(got, rows[i].want, plain),
				  "%s: %s: %ld (%s), without it %ld",
				  rules_case_name(where), rule, got,
				  errno_name(got), plain);
			rules_get(&place, 0, &list);
			cr_expect(rows[i].want == PLAIN || list.hits > 0,
				  "%s: no hit", rule);
			rules_clear(&place);
			got = rows[i].run(&place);
			cr_expect_eq(got, plain, "%s: %s: then %ld, not %ld",
				     rules_case_name(where), rule, got, plain);
		}
		rules_place_close(&place);
	}
}

/* What a mount refuses of one kind is refused in the way of the mount. */
Test(rules_answers, refuse_as_the_mount_does)
{
	static const struct {
		const char *options;
		long want;
	} refusals[] = {
		{ "refuse=visible", -EOPNOTSUPP },
		{ "refuse=copy", ALL },
		{ "refuse=kernel", ALL },
		{ "deny=none", -EOPNOTSUPP },
	};
	struct rules_place place;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		rules_place_any(refusals[i].options, &place);
		rules_set(&place, "copy : refuse=sparse");
		cr_expect_eq(do_copy(&place), refusals[i].want, "%s",
			     refusals[i].options);
		/* By its name it is for the caller, whatever the mount does. */
		rules_set(&place, "copy : errno=EOPNOTSUPP");
		cr_expect_eq(do_copy(&place), -EOPNOTSUPP, "%s",
			     refusals[i].options);
		rules_place_close(&place);
	}
}

static uint64_t shared_of(const struct rules_place *place, const char *name)
{
	struct extent_usage usage = { 0 };
	char path[PATH_MAX];

	volume_path(path, place->dir, name);
	cr_assert_eq(extents_usage(path, &usage), 0);
	return usage.shared;
}

/* The same bytes, and whose they are is what the rule says. */
Test(rules_answers, forbid_the_clone_and_not_the_copy)
{
	static const struct {
		const char *rule;
		bool shares;
	} clones[] = {
		{ "", true },
		{ "copy : forbid=clone", false },
		{ "copy : forbid=offload", true },
		{ "clone : forbid=clone", false },
		{ "clone : errno=EOPNOTSUPP", false },
		{ "clone : errno=EXDEV", false },
		{ "clone file=b : errno=EINVAL", false },
		{ "clone file=c : errno=EINVAL", true },
		/* Of that file, not of its filesystem for half a minute. */
		{ "", true },
	};
	const struct rules_case *where = NULL;
	struct rules_place place;

	while ((where = rules_next_case(where))) {
		if (!backing_has_reflink(where->backing))
			continue;
		rules_place_open(where, NULL, &place);
		for (size_t i = 0; i < sizeof(clones) / sizeof(*clones); i++) {
			rules_set(&place, clones[i].rule);
			cr_expect_eq(do_copy(&place), ALL, "%s",
				     clones[i].rule);
			cr_expect_eq(shared_of(&place, "b"),
				     clones[i].shares ? ALL : 0, "%s: %s",
				     rules_case_name(where), clones[i].rule);
			rules_same(&place, "a", "b");
		}
		rules_set(&place, "clone : errno=EIO");
		cr_expect_eq(do_copy(&place), -EIO, "an error, not a decline");
		make_files(&place);
		rules_set(&place, "dedupe : short=1block");
		cr_expect_eq(do_dedupe(&place), 4096);
		rules_same(&place, "a", "same");
		rules_place_close(&place);
	}
}

/* The clone behind a program that copies by hand; its bytes are written. */
Test(rules_answers, forbid_what_writes_are_turned_into)
{
	static const struct {
		const char *rule;
		bool shares;
	} clones[] = {
		{ "", true },
		{ "clone : errno=EIO", false },
		{ "clone file=x : forbid=clone", false },
		{ "clone file=y : forbid=clone", true },
	};
	const struct rules_case *where = NULL;
	struct rules_place place;

	while ((where = rules_next_case(where))) {
		if (!backing_has_reflink(where->backing))
			continue;
		rules_place_open(where, "accel,accel_min=4K", &place);
		for (size_t i = 0; i < sizeof(clones) / sizeof(*clones); i++) {
			rules_set(&place, clones[i].rule);
			cr_assert_eq(COMMAND(NULL, "sh", "-c",
					     "cd \"$0\" && rm -f x && "
					     "cp --reflink=never a x && sync x",
					     place.mount.point),
				     0);
			cr_expect_eq(shared_of(&place, "x") > 0,
				     clones[i].shares, "%s: %s",
				     rules_case_name(where), clones[i].rule);
			rules_same(&place, "a", "x");
		}
		rules_place_close(&place);
	}
}
