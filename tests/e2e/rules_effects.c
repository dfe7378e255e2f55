// SPDX-License-Identifier: MIT
/* What programs see of fault rules over several calls, and what stays true. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules.h"

static char buf[1 << 20];

/* Each as a correct program does it.  Return: calls, or -errno. */

static long copy_all(const struct rules_place *place, uint64_t *ret_done)
{
	int src = rules_open(place, "a", O_RDONLY);
	int dst = rules_open(place, "b", O_RDWR | O_CREAT | O_TRUNC);
	long calls = 0, err = 0;
	ssize_t n = 1;

	*ret_done = 0;
	while (n > 0 && *ret_done < RULES_SIZE) {
		n = copy_file_range(src, NULL, dst, NULL,
				    RULES_SIZE - *ret_done, 0);
		err = n < 0 ? -errno : 0;
		calls++;
		if (n > 0)
			*ret_done += (uint64_t)n;
	}
	close(src);
	close(dst);
	return err ? err : calls;
}

static long read_all(const struct rules_place *place, uint64_t *ret_done)
{
	int fd = rules_open(place, "a", O_RDONLY);
	long calls = 0, err = 0;
	ssize_t n = 1;

	*ret_done = 0;
	while (n > 0) {
		n = read(fd, buf + *ret_done, 10000);
		err = n < 0 ? -errno : 0;
		calls++;
		if (n > 0)
			*ret_done += (uint64_t)n;
	}
	close(fd);
	return err ? err : calls;
}

/* What read_all() has left in the buffer. */
static long write_all(const struct rules_place *place, uint64_t *ret_done)
{
	int fd = rules_open(place, "b", O_WRONLY | O_CREAT | O_TRUNC);
	long calls = 0, err = 0;
	ssize_t n = 1;

	*ret_done = 0;
	while (n > 0 && *ret_done < RULES_SIZE) {
		n = write(fd, buf + *ret_done, RULES_SIZE - *ret_done);
		err = n < 0 ? -errno : 0;
		calls++;
		if (n > 0)
			*ret_done += (uint64_t)n;
	}
	close(fd);
	return err ? err : calls;
}

Test(rules_effects, let_short_counts_add_up)
{
	const struct rules_case *where = NULL;
	struct rules_place place;
	uint64_t done;
	long calls;

	while ((where = rules_next_case(where))) {
		rules_place_open(where, NULL, &place);
		rules_set(&place, "copy,read,write seed=5 : short=random");
		calls = copy_all(&place, &done);
		cr_expect_gt(calls, 2, "%ld", calls);
		cr_expect_eq(done, RULES_SIZE);
		rules_same(&place, "a", "b");
		calls = read_all(&place, &done);
		cr_expect_gt(calls, 9, "%ld", calls);
		cr_expect_eq(done, RULES_SIZE);
		calls = write_all(&place, &done);
		cr_expect_gt(calls, 2, "%ld", calls);
		rules_same(&place, "a", "b");
		rules_set(&place, "copy : short=4095");
		cr_expect_eq(copy_all(&place, &done), 17);
		rules_same(&place, "a", "b");
		rules_place_close(&place);
	}
}

/* As on a disk that gets full: what there was room for has arrived. */
Test(rules_effects, fail_at_the_mark)
{
	const struct rules_case *where = NULL;
	struct rules_place place;
	char path[PATH_MAX];
	struct stat st;
	uint64_t done;

	while ((where = rules_next_case(where))) {
		rules_place_open(where, NULL, &place);
		volume_path(path, place.dir, "b");
		rules_set(&place, "copy after=20000 : errno=ENOSPC");
		cr_expect_eq(copy_all(&place, &done), -ENOSPC);
		cr_expect_eq(done, 20000);
		cr_assert_eq(stat(path, &st), 0);
		cr_expect_eq(st.st_size, 20000);
		rules_set(&place, "write after=20K : errno=EDQUOT");
		cr_expect_eq(write_all(&place, &done), -EDQUOT);
		cr_expect_eq(done, 20480);
		cr_assert_eq(stat(path, &st), 0);
		cr_expect_eq(st.st_size, 20480);
		rules_set(&place, "read after=60000 : errno=EIO");
		cr_expect_eq(read_all(&place, &done), -EIO);
		cr_expect_eq(done, 60000);
		rules_set(&place, "read : errno=EIO\n# only now and then\n");
		cr_expect_eq(read_all(&place, &done), -EIO);
		rules_place_close(&place);
	}
}

static void pattern_of(const struct rules_place *place, size_t n, char *ret)
{
	int fd = rules_open(place, "b", O_RDWR | O_CREAT);

	for (size_t i = 0; i < n; i++)
		ret[i] = pwrite(fd, "x", 1, 0) == 1 ? '.' : 'x';
	ret[n] = '\0';
	close(fd);
}

struct crowd {
	const struct rules_place *place;
	atomic_uint failed;
};

static void *write_in_a_crowd(void *arg)
{
	struct crowd *crowd = arg;
	int fd = rules_open(crowd->place, "b", O_RDWR | O_CREAT);

	for (int i = 0; i < 50; i++)
		if (pwrite(fd, "x", 1, 0) < 0)
			atomic_fetch_add(&crowd->failed, 1);
	close(fd);
	return NULL;
}

Test(rules_effects, repeat_with_their_seed)
{
	static const char rule[] = "write prob=0.3 seed=42 : errno=EIO";
	char first[401], again[401], other[401];
	struct rules_place place;
	struct crowd crowd = { .place = &place };
	pthread_t threads[8];
	size_t hits = 0;

	rules_place_any(NULL, &place);
	rules_set(&place, rule);
	pattern_of(&place, 400, first);
	rules_set(&place, rule);
	pattern_of(&place, 400, again);
	cr_expect_str_eq(first, again);
	rules_set(&place, "write prob=0.3 seed=43 : errno=EIO");
	pattern_of(&place, 400, other);
	cr_expect_str_neq(first, other);
	for (size_t i = 0; i < 400; i++)
		hits += first[i] == 'x';
	/* 120, and four times its deviation of 9.2. */
	cr_expect(hits > 83 && hits < 157, "%zu", hits);
	/* Whoever the calls are from, the same ones of them fail. */
	rules_set(&place, rule);
	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, write_in_a_crowd, &crowd);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(atomic_load(&crowd.failed), hits);
	rules_place_close(&place);
}

static int read_once(const struct rules_place *place, const char *name)
{
	int fd = rules_open(place, name, O_RDONLY);
	int err = read(fd, buf, 10) < 0 ? errno : 0;

	close(fd);
	return err;
}

Test(rules_effects, know_files_by_their_names)
{
	static const struct {
		const char *rule, *name;
		int err;
	} rows[] = {
		{ "read file=f : errno=EIO", "d/e/f", EIO },
		{ "read file=d/e/f : errno=EIO", "d/e/f", EIO },
		{ "read file=/d/e/f : errno=EIO", "d/e/f", EIO },
		{ "read file=/e/f : errno=EIO", "d/e/f", 0 },
		{ "read file=*/f : errno=EIO", "d/e/f", EIO },
		{ "read file=d/* : errno=EIO", "d/e/f", EIO },
		{ "read file=d : errno=EIO", "d/e/f", 0 },
		{ "read file=g : errno=EIO", "d/e/f", 0 },
		{ "read file=\"two words\" : errno=EIO", "two words", EIO },
		{ "read file=\"new\\nline\" : errno=EIO", "new\nline", EIO },
		{ "read file=\"new\\nline\" : errno=EIO", "two words", 0 },
		{ "read file=\"*(deleted)\" : errno=EIO", "x (deleted)", EIO },
		{ "read file=x : errno=EIO", "x (deleted)", 0 },
	};
	const struct rules_case *where = NULL;
	struct rules_place place;
	char old[PATH_MAX], new[PATH_MAX];
	int fd;

	while ((where = rules_next_case(where))) {
		rules_place_open(where, NULL, &place);
		cr_assert_eq(COMMAND(NULL, "sh", "-c",
				     "cd \"$0\" && mkdir -p d/e && "
				     "for f in d/e/f 'two words' 'new\n"
				     "line' 'x (deleted)' o; do "
				     "cp a \"$f\"; done",
				     place.mount.point),
			     0);
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			rules_set(&place, rows[i].rule);
			cr_expect_eq(read_once(&place, rows[i].name),
				     rows[i].err, "%s: %s",
				     rules_case_name(where), rows[i].rule);
		}
		/* By the name that it has now, and the last one it had. */
		rules_set(&place, "read file=o : errno=EIO\n"
				  "read file=p : errno=ENOMEM");
		fd = rules_open(&place, "o", O_RDONLY);
		cr_expect_eq(pread(fd, buf, 10, 0) < 0 ? errno : 0, EIO);
		rules_path_of(&place, "o", old);
		rules_path_of(&place, "p", new);
		cr_assert_eq(rename(old, new), 0);
		cr_expect_eq(pread(fd, buf, 10, 0) < 0 ? errno : 0, ENOMEM);
		cr_assert_eq(unlink(new), 0);
		cr_expect_eq(pread(fd, buf, 10, 0) < 0 ? errno : 0, ENOMEM);
		close(fd);
		rules_place_close(&place);
	}
}

/*
 * A short or empty answer is the caller's alone: the page cache, and whoever
 * has the file open already or mapped, must not take it for the file's end.
 */
Test(rules_effects, never_harm_what_is_cached)
{
	static const char *const rules[] = { "read : short=1",
					     "read : zero unsafe",
					     "read,write : short=random" };
	const struct rules_case *where = NULL;
	struct rules_place place;
	char want[4096], got[4096], *map;
	int before, after;
	struct stat st;

	while ((where = rules_next_case(where))) {
		for (size_t i = 0; i < 3; i++) {
			rules_place_open(where, NULL, &place);
			before = rules_open(&place, "a", O_RDWR);
			rules_set(&place, rules[i]);
			cr_expect_eq(pread(before, want, 4096, 8192), 4096,
				     "%s: open before", rules_case_name(where));
			after = rules_open(&place, "a", O_RDONLY);
			cr_expect_lt(pread(after, got, 4096, 8192), 4096);
			map = mmap(NULL, RULES_SIZE, PROT_READ, MAP_SHARED,
				   after, 0);
			cr_assert_neq(map, MAP_FAILED);
			cr_expect_arr_eq(map + 8192, want, 4096);
			memcpy(got, map + RULES_SIZE - 4096, 4096);
			cr_expect_eq(pwrite(before, want, 4096, 16384), 4096);
			munmap(map, RULES_SIZE);
			rules_clear(&place);
			cr_assert_eq(fstat(before, &st), 0);
			cr_expect_eq(st.st_size, RULES_SIZE);
			cr_expect_eq(pread(after, got, 4096, 16384), 4096);
			cr_expect_arr_eq(got, want, 4096);
			close(before);
			close(after);
			rules_place_close(&place);
		}
	}
}
