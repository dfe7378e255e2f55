// SPDX-License-Identifier: MIT
/* Tests of lib/facts.c: the stamp that tells whether a verdict still holds. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "private.h"

static const struct facts_stamp base = {
	.dev = 1,
	.ino = 2,
	.size = 3,
	.blocks = 4,
	.mtime_sec = 5,
	.ctime_sec = 6,
	.mtime_nsec = 7,
	.ctime_nsec = 8,
};

Test(facts_stamp, every_field_counts)
{
	struct facts_stamp all[] = { base, base, base, base,
				     base, base, base, base };

	cr_expect(facts_stamp_equal(&base, &all[0]));
	all[0].dev++;
	all[1].ino++;
	all[2].size++;
	all[3].blocks++;
	all[4].mtime_sec++;
	all[5].ctime_sec++;
	all[6].mtime_nsec++;
	all[7].ctime_nsec++;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		cr_expect_not(facts_stamp_equal(&base, &all[i]), "field %zu",
			      i);
}

Test(facts_stamp, settled_means_more_than_a_tick_old)
{
	static const struct {
		const char *name;
		int64_t ctime_sec;
		uint32_t ctime_nsec;
		struct timespec now;
		bool settled;
	} rows[] = {
		{ "now", 100, 500, { 100, 500 }, false },
		{ "a tick", 100, 500, { 100, 10000500 }, false },
		{ "the limit", 100, 500, { 100, 20000500 }, false },
		{ "more", 100, 500, { 100, 20000501 }, true },
		{ "across a second", 100, 990000000, { 101, 0 }, false },
		{ "well across", 100, 990000000, { 101, 11000000 }, true },
		{ "long ago", 1, 1, { INT64_MAX, 0 }, true },
		{ "in the future", 101, 1, { 100, 999999999 }, false },
		{ "far in the future", INT64_MAX, 1, { 100, 0 }, false },
		{ "before 1970", -5, 1, { 100, 0 }, true },
		{ "whole seconds, two ago", 100, 0, { 102, 900000000 }, false },
		{ "whole seconds, three ago", 100, 0, { 103, 0 }, true },
		{ "whole seconds, future", 104, 0, { 103, 0 }, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct facts_stamp stamp = {
			.ctime_sec = rows[i].ctime_sec,
			.ctime_nsec = rows[i].ctime_nsec,
		};

		cr_expect_eq(facts_stamp_is_settled(&stamp, &rows[i].now),
			     rows[i].settled, "%s", rows[i].name);
	}
}

static struct facts_stamp read_stamp(int fd)
{
	struct facts_stamp stamp;

	cr_assert_eq(facts_stamp_read(fd, &stamp), 0);
	return stamp;
}

/* Waits until the file's stamp is settled, as a keeper would demand. */
static struct facts_stamp settle(int fd)
{
	struct facts_stamp stamp;
	struct timespec now;

	for (int i = 0; i < 500; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		stamp = read_stamp(fd);
		if (facts_stamp_is_settled(&stamp, &now))
			return stamp;
		usleep(10000);
	}
	cr_assert_fail("the stamp did not settle in 5 s");
	return stamp;
}

static void change(int fd, int how, char *mapped)
{
	switch (how) {
	case 0: /* the same byte again */
		cr_assert_eq(pwrite(fd, "x", 1, 0), 1);
		break;
	case 1:
		cr_assert_eq(fallocate(fd, 0x3, 0, 4096), 0);
		break;
	case 2:
		cr_assert_eq(fchmod(fd, 0640), 0);
		break;
	case 3: /* times put back by hand; ctime stays */
		cr_assert_eq(futimens(fd, (struct timespec[2]){ { 9, 9 },
								{ 9, 9 } }),
			     0);
		break;
	case 4:
		cr_assert_eq(ftruncate(fd, 8192), 0); /* its own size */
		break;
	case 5:
		*(volatile char *)mapped = 'm';
		break;
	}
}

#define CHANGES 6

Test(facts_stamp, each_change_of_a_settled_file_shows, .timeout = 60)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char block[8192] = "x";
	char *mapped;

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, block, sizeof(block), 0), sizeof(block));
	mapped = mmap(NULL, sizeof(block), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	cr_assert_neq(mapped, MAP_FAILED);
	for (int how = 0; how < CHANGES; how++) {
		struct facts_stamp before, after;

		/* A store shows only where the page was clean. */
		cr_assert_eq(fsync(fd), 0);
		before = settle(fd);
		after = read_stamp(fd);
		cr_expect(facts_stamp_equal(&before, &after));
		change(fd, how, mapped);
		after = read_stamp(fd);
		cr_expect_not(facts_stamp_equal(&before, &after), "change %d",
			      how);
	}
	munmap(mapped, sizeof(block));
	close(fd);
}

Test(facts_stamp, is_what_fstat_says)
{
	struct facts_stamp now;
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &st), 0);
	now = read_stamp(fd);
	cr_expect_eq(now.dev, st.st_dev);
	cr_expect_eq(now.ino, st.st_ino);
	cr_expect_eq(now.size, (uint64_t)st.st_size);
	cr_expect_eq(now.blocks, (uint64_t)st.st_blocks);
	cr_expect_eq(now.mtime_sec, st.st_mtim.tv_sec);
	cr_expect_eq(now.mtime_nsec, st.st_mtim.tv_nsec);
	cr_expect_eq(now.ctime_sec, st.st_ctim.tv_sec);
	cr_expect_eq(now.ctime_nsec, st.st_ctim.tv_nsec);
	cr_expect_eq(facts_stamp_read(-1, &now), -EBADF);
	close(fd);
}
