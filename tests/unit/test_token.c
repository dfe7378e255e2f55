// SPDX-License-Identifier: MIT
/* Tests of lib/token.c on copied snapshots: any filesystem will do. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "odx.h"

#define MSEC 1000000ull
#define SIZE 8192u

/* A table, and a source file that is open for reading alone. */
struct place {
	struct token_table *table;
	struct snapshot_range range;
	char name[64];
};

static void place_init(const char *words, struct place *place)
{
	struct odx_limits limits;
	char data[SIZE];
	const char *bad;
	int fd;

	signal(SIGIO, SIG_IGN);
	odx_limits_default(&limits);
	limits.copy_max = 1 << 20;
	cr_assert_eq(odx_limits_parse(words, &limits, &bad), 0);
	cr_assert_eq(token_table_new(&limits, &place->table), 0);
	strcpy(place->name, "/tmp/offlay-token-XXXXXX");
	fd = mkstemp(place->name);
	cr_assert_geq(fd, 0);
	memset(data, 'a', SIZE);
	cr_assert_eq(write(fd, data, SIZE), (ssize_t)SIZE);
	close(fd);
	place->range = (struct snapshot_range){
		.src_fd = open(place->name, O_RDONLY),
		.dir_fd = open("/tmp", O_PATH | O_DIRECTORY),
		.length = SIZE,
		.copy_max = 1 << 20,
	};
}

static void place_done(struct place *place)
{
	token_table_free(place->table);
	close(place->range.src_fd);
	close(place->range.dir_fd);
	unlink(place->name);
}

static int make(struct place *place, uint32_t uid, uint32_t ttl, uint64_t now,
		struct offlay_token *ret_token)
{
	uint64_t length;
	int err;

	err = token_make(place->table, &place->range, uid, ttl, now, ret_token,
			 &length);
	cr_expect(err || length == SIZE);
	return err;
}

static int take(struct place *place, const struct offlay_token *token,
		uint32_t uid, uint64_t now)
{
	struct token_use use;
	int err;

	err = token_take(place->table, token, uid, now, &use);
	if (!err)
		token_release(place->table, &use, now);
	return err;
}

Test(token, looks_as_on_the_wire)
{
	struct offlay_token token, other;
	struct place place;
	unsigned char raw[8];

	place_init("on", &place);
	cr_assert_eq(make(&place, 1, 0, 1, &token), 0);
	cr_assert_eq(make(&place, 1, 0, 1, &other), 0);
	memcpy(raw, &token, sizeof(raw));
	cr_expect_arr_eq(raw, "\x00\x80\x00\x00\x00\x00\x01\xf8", 8);
	cr_expect_arr_neq(token.id, other.id, 32);
	place_done(&place);
}

Test(token, delivers_the_bytes_of_its_moment)
{
	struct offlay_token token;
	struct token_use use;
	struct place place;
	char data[SIZE];
	int fd;

	place_init("on", &place);
	cr_assert_eq(make(&place, 1, 0, 1, &token), 0);
	fd = open(place.name, O_WRONLY | O_TRUNC);
	cr_assert_eq(write(fd, "b", 1), 1);
	close(fd);
	cr_assert_eq(token_take(place.table, &token, 1, 2, &use), 0);
	cr_expect_eq(use.length, SIZE);
	cr_assert_eq(pread(use.fd, data, SIZE, (off_t)use.at), (ssize_t)SIZE);
	for (size_t i = 0; i < SIZE; i++)
		cr_assert_eq(data[i], 'a', "byte %zu", i);
	token_release(place.table, &use, 2);
	place_done(&place);
}

Test(token, knows_each_of_its_bits)
{
	struct offlay_token token, forged;
	struct place place;

	place_init("on", &place);
	cr_assert_eq(make(&place, 1, 0, 1, &token), 0);
	for (size_t bit = 0; bit < sizeof(token) * 8; bit++) {
		forged = token;
		((unsigned char *)&forged)[bit / 8] ^= 1u << bit % 8;
		cr_expect_eq(take(&place, &forged, 0, 2), -ESTALE, "bit %zu",
			     bit);
		cr_expect_eq(token_drop(place.table, &forged, 0, 2), -ESTALE);
	}
	cr_expect_eq(take(&place, &token, 1, 2), 0);
	place_done(&place);
}

Test(token, is_of_one_user_one_table_and_root)
{
	struct offlay_token token;
	struct place place, other;

	place_init("on", &place);
	place_init("on", &other);
	cr_assert_eq(make(&place, 7, 0, 1, &token), 0);
	cr_expect_eq(take(&place, &token, 8, 2), -ESTALE);
	cr_expect_eq(token_drop(place.table, &token, 8, 2), -ESTALE);
	cr_expect_eq(take(&other, &token, 7, 2), -ESTALE);
	cr_expect_eq(take(&place, &token, 0, 2), 0);
	cr_expect_eq(take(&place, &token, 7, 2), 0);
	cr_expect_eq(token_drop(place.table, &token, 7, 2), 0);
	cr_expect_eq(take(&place, &token, 7, 2), -ESTALE);
	place_done(&place);
	place_done(&other);
}

Test(token, expires_by_inactivity)
{
	struct offlay_token token;
	uint64_t tokens, bytes, now = 1;
	struct place place;

	place_init("ttl=10:ttl_max=20", &place);
	cr_assert_eq(make(&place, 1, 50, now, &token), 0);
	for (int i = 0; i < 10; i++) {
		now += 49 * MSEC;
		cr_assert_eq(take(&place, &token, 1, now), 0);
	}
	cr_expect_eq(token_expire(place.table, now + 49 * MSEC),
		     now + 50 * MSEC);
	cr_expect_eq(take(&place, &token, 1, now + 50 * MSEC), -ESTALE);
	cr_expect_eq(token_expire(place.table, now + 50 * MSEC), 0);
	token_count(place.table, &tokens, &bytes);
	cr_expect_eq(tokens, 0);
	cr_expect_eq(bytes, 0);
	/* The mount's default, and its bound. */
	cr_assert_eq(make(&place, 1, 0, 1, &token), 0);
	cr_expect_eq(token_expire(place.table, 1), 1 + 10000 * MSEC);
	cr_assert_eq(token_drop(place.table, &token, 1, 2), 0);
	cr_assert_eq(make(&place, 1, UINT32_MAX, 1, &token), 0);
	cr_expect_eq(take(&place, &token, 1, 19999 * MSEC), 0);
	cr_expect_eq(take(&place, &token, 1, 40000 * MSEC), -ESTALE);
	place_done(&place);
}

Test(token, stays_while_it_is_used)
{
	struct offlay_token token;
	struct token_use use;
	struct place place;
	char byte;

	place_init("on", &place);
	cr_assert_eq(make(&place, 1, 1, 1, &token), 0);
	cr_assert_eq(token_take(place.table, &token, 1, 1, &use), 0);
	token_expire(place.table, 100000 * MSEC);
	cr_expect_eq(token_drop(place.table, &token, 1, 2), 0);
	cr_expect_eq(take(&place, &token, 1, 2), -ESTALE);
	cr_expect_eq(pread(use.fd, &byte, 1, (off_t)use.at), 1);
	cr_expect_eq(byte, 'a');
	token_release(place.table, &use, 2);
	place_done(&place);
}

Test(token, is_limited_per_user_and_per_mount)
{
	static const struct {
		const char *words;
		int user, mount; /* how many are given */
	} cases[] = {
		{ "user_count=3:count=5", 3, 5 },
		{ "user_bytes=16K:bytes=40K", 2, 5 },
		{ "count=2", 2, 2 },
		{ "bytes=8K", 1, 1 },
	};
	struct offlay_token first, token;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct place place;
		int n = 0;

		place_init(cases[i].words, &place);
		while (n < 100 &&
		       make(&place, 1, 0, 1, n ? &token : &first) == 0)
			n++;
		cr_expect_eq(n, cases[i].user, "%s: %d", cases[i].words, n);
		for (uint32_t uid = 2; uid < 9; uid++)
			while (make(&place, uid, 0, 1, &token) == 0)
				n++;
		cr_expect_eq(n, cases[i].mount, "%s: %d", cases[i].words, n);
		/* What is given back can be had again. */
		cr_expect_eq(token_drop(place.table, &first, 1, 2), 0);
		cr_expect_eq(make(&place, 1, 0, 1, &token), 0);
		cr_expect_eq(make(&place, 1, 0, 1, &token), -ENOMEM);
		place_done(&place);
	}
}

Test(token, for_zeros_has_two_spellings)
{
	struct offlay_token token;
	struct token_use use;
	struct place place;

	place_init("on", &place);
	token_make_zero(&token);
	cr_expect(token_is_zero(&token));
	cr_assert_eq(token_take(place.table, &token, 5, 1, &use), 0);
	cr_expect(use.is_zero);
	token_release(place.table, &use, 1);
	memset(&token, 0, sizeof(token));
	token.type = htobe32(OFFLAY_TOKEN_TYPE_KNOWN);
	cr_expect(!token_is_zero(&token));
	cr_expect_eq(take(&place, &token, 0, 1), -ESTALE);
	token.id[1] = 1;
	cr_expect(token_is_zero(&token));
	token.id[0] = 1;
	cr_expect(!token_is_zero(&token));
	place_done(&place);
}

Test(token, is_forgotten_by_an_array_that_forgets)
{
	struct offlay_token tokens[6];
	struct place place;
	int lost = 0;

	place_init("forget=3", &place);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(make(&place, 1, 0, 1, &tokens[i]), 0);
	for (int i = 0; i < 6; i++)
		lost += take(&place, &tokens[i], 1, 2) == -ESTALE;
	cr_expect_eq(lost, 2);
	place_done(&place);
}

Test(token, is_not_copied_from_under_a_writer)
{
	struct offlay_token token;
	struct place place;
	int fd;

	place_init("on", &place);
	fd = open(place.name, O_RDWR);
	cr_expect_eq(make(&place, 1, 0, 1, &token), -EAGAIN);
	close(fd);
	cr_expect_eq(make(&place, 1, 0, 1, &token), 0);
	place_done(&place);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	cr_assert_not_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Ten thousand at once cost one descriptor and about 200 bytes each. */
Test(token, costs_no_descriptor)
{
	struct offlay_token *tokens = malloc(10000 * sizeof(*tokens));
	struct place place;
	uint64_t n, bytes;
	int before, after;

	place_init("user_count=10000", &place);
	place.range.length = SIZE;
	before = count_fds();
	for (int i = 0; i < 10000; i++)
		cr_assert_eq(make(&place, 1, 0, 1, &tokens[i]), 0);
	after = count_fds();
	cr_expect_leq(after, before + 1);
	for (int i = 0; i < 10000; i += 2)
		cr_assert_eq(token_drop(place.table, &tokens[i], 1, 2), 0);
	for (int i = 0; i < 10000; i++)
		cr_assert_eq(take(&place, &tokens[i], 1, 2),
			     i % 2 ? 0 : -ESTALE);
	token_count(place.table, &n, &bytes);
	cr_expect_eq(n, 5000);
	cr_expect_eq(bytes, 5000ull * SIZE);
	place_done(&place);
	free(tokens);
}
