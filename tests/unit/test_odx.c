// SPDX-License-Identifier: MIT
/* Tests of lib/odx.c: every check, and which of two refusals comes first. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "odx.h"

#define READ_FILE  0xC000A2A3u
#define WRITE_FILE 0xC000A2A4u

/* One thing that is wrong, and what must be said of it. */
enum fault {
	READ_ONLY,
	NO_ACCESS,
	NO_FEATURE,
	VOLUME_OFF,
	SHORT,
	OFFSET,
	LENGTH,
	TRANSFER,
	SIZE,
	OVERFLOW,
	NO_DATA_STREAM,
	SPARSE,
	ENCRYPTED,
	COMPRESSED,
	SWAP,
	IMMUTABLE,
	DELETED,
	LOCKED,
	AT_EOF,
	FAULTS
};

/* In the order of the documents: each row beats all below it. */
static const struct {
	enum fault fault;
	uint32_t read, write; /* 0: not a fault on this side */
} rows[FAULTS] = {
	{ READ_ONLY, 0, 0xC00000A2 },
	{ NO_ACCESS, 0xC0000022, 0xC0000022 },
	{ NO_FEATURE, 0xC0000010, 0xC0000010 },
	{ VOLUME_OFF, 0xC00000BB, 0xC00000BB },
	{ SHORT, 0xC0000023, 0xC0000023 },
	{ OFFSET, 0xC000000D, 0xC000000D },
	{ LENGTH, 0xC000000D, 0xC000000D },
	{ TRANSFER, 0, 0xC000000D },
	{ SIZE, 0xC000000D, 0xC000000D },
	{ OVERFLOW, 0xC000000D, 0xC000000D },
	{ NO_DATA_STREAM, READ_FILE, WRITE_FILE },
	{ SPARSE, READ_FILE, WRITE_FILE },
	{ ENCRYPTED, READ_FILE, WRITE_FILE },
	{ COMPRESSED, READ_FILE, WRITE_FILE },
	{ SWAP, READ_FILE, WRITE_FILE },
	{ IMMUTABLE, 0, 0xC0000022 },
	{ DELETED, 0xC0000123, 0xC0000123 },
	{ LOCKED, 0xC0000054, 0xC0000054 },
	{ AT_EOF, 0xC0000011, 0xC0000011 },
};

struct scene {
	struct odx_limits limits;
	struct odx_request request;
	struct odx_file file;
	struct odx_plan plan;
};

static void scene_init(enum offlay_side side, struct scene *scene)
{
	*scene = (struct scene){
		.request = { .side = side,
			     .may_access = true,
			     .size = 32,
			     .size_needed = 32,
			     .offset = 4096,
			     .length = 8192 },
		.file = { .is_data = true, .size = 1 << 20, .valid = 1 << 20 },
	};
	odx_limits_default(&scene->limits);
}

static void break_it(struct scene *scene, enum fault fault)
{
	bool source = scene->request.side == OFFLAY_SOURCE;

	switch (fault) {
	case READ_ONLY:
		scene->request.read_only = true;
		break;
	case NO_ACCESS:
		scene->request.may_access = false;
		break;
	case NO_FEATURE:
		scene->limits.flags &= ~OFFLAY_ODX_ON;
		break;
	case VOLUME_OFF:
		scene->limits.flags &=
			~(source ? OFFLAY_ODX_READ_ON : OFFLAY_ODX_WRITE_ON);
		break;
	case SHORT:
		scene->request.is_short = true;
		break;
	case OFFSET:
		scene->request.offset |= 1;
		break;
	case LENGTH:
		scene->request.length |= 256;
		break;
	case TRANSFER:
		scene->request.transfer_offset = 511;
		break;
	case SIZE:
		scene->request.size = 31;
		break;
	case OVERFLOW:
		scene->request.length = UINT64_MAX - 4095;
		break;
	case NO_DATA_STREAM:
		scene->file.is_data = false;
		break;
	case SPARSE:
		scene->file.reasons |= 1u << OFFLAY_REASON_SPARSE;
		break;
	case ENCRYPTED:
		scene->file.reasons |= 1u << OFFLAY_REASON_ENCRYPTED;
		break;
	case COMPRESSED:
		scene->file.reasons |= 1u << OFFLAY_REASON_COMPRESSED;
		break;
	case SWAP:
		scene->file.reasons |= 1u << OFFLAY_REASON_SWAP_FILE;
		break;
	case IMMUTABLE:
		scene->file.reasons |= 1u << OFFLAY_REASON_IMMUTABLE;
		break;
	case DELETED:
		scene->file.is_deleted = true;
		break;
	case LOCKED:
		scene->file.is_locked = true;
		break;
	case AT_EOF:
		scene->file.size = 4096;
		break;
	default:
		cr_assert_fail("no such fault");
	}
}

static uint32_t judge(struct scene *scene)
{
	const struct offlay_status *status;

	status = odx_check_request(&scene->limits, &scene->request);
	if (!status)
		status = odx_check_file(&scene->limits, &scene->request,
					&scene->file, &scene->plan);
	return status ? status->ntstatus : 0;
}

static uint32_t expected(size_t row, enum offlay_side side)
{
	return side == OFFLAY_SOURCE ? rows[row].read : rows[row].write;
}

/* Alone and with each other fault, in both orders of appearance. */
static void try_side(enum offlay_side side)
{
	struct scene scene;
	uint32_t want;

	for (size_t i = 0; i < FAULTS; i++) {
		for (size_t j = 0; j < FAULTS; j++) {
			scene_init(side, &scene);
			break_it(&scene, rows[i].fault);
			break_it(&scene, rows[j].fault);
			want = expected(i < j ? i : j, side);
			if (!want)
				want = expected(i < j ? j : i, side);
			cr_expect_eq(judge(&scene), want,
				     "side %d, faults %zu and %zu: %x", side, i,
				     j, judge(&scene));
		}
	}
}

Test(odx, refuses_a_read_in_the_documents_order)
{
	try_side(OFFLAY_SOURCE);
}

Test(odx, refuses_a_write_in_the_documents_order)
{
	try_side(OFFLAY_DESTINATION);
}

Test(odx, lets_an_empty_request_pass_whatever_the_file_is)
{
	struct scene scene;

	for (size_t i = 0; i < FAULTS; i++) {
		scene_init(OFFLAY_SOURCE, &scene);
		if (rows[i].fault < NO_DATA_STREAM)
			continue;
		break_it(&scene, rows[i].fault);
		scene.request.length = 0;
		cr_expect_null(
			odx_check_request(&scene.limits, &scene.request));
	}
}

Test(odx, cuts_a_token_where_data_limits_and_files_end)
{
	static const struct {
		const char *name;
		uint32_t sector;
		uint64_t offset, length, size, valid, max;
		uint64_t want;
		bool is_zero, beyond;
	} cases[] = {
		{ "inside", 512, 0, 4096, 1 << 20, 1 << 20, 1 << 30, 4096, 0,
		  0 },
		{ "to the end", 512, 4096, 4096, 8192, 8192, 1 << 30, 4096, 0,
		  1 },
		{ "past the end", 512, 4096, 1 << 20, 8192, 8192, 1 << 30, 4096,
		  0, 1 },
		{ "last sector", 512, 0, 4096, 1000, 1000, 1 << 30, 1024, 0,
		  1 },
		{ "last large sector", 4096, 0, 8192, 1000, 1000, 1 << 30, 4096,
		  0, 1 },
		{ "limit", 512, 0, 1 << 20, 1 << 20, 1 << 20, 65536, 65536, 0,
		  0 },
		{ "valid data", 512, 0, 1 << 20, 1 << 20, 5000, 1 << 30, 5120,
		  0, 1 },
		{ "beyond valid data", 512, 8192, 4096, 1 << 20, 5000, 1 << 30,
		  4096, 1, 1 },
		{ "at valid data", 512, 8192, 4096, 1 << 20, 8192, 1 << 30,
		  4096, 1, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct scene scene;

		scene_init(OFFLAY_SOURCE, &scene);
		scene.limits.sector = cases[i].sector;
		scene.limits.transfer_max = cases[i].max;
		scene.request.offset = cases[i].offset;
		scene.request.length = cases[i].length;
		scene.file.size = cases[i].size;
		scene.file.valid = cases[i].valid;
		cr_assert_eq(judge(&scene), 0, "%s", cases[i].name);
		cr_expect_eq(scene.plan.length, cases[i].want, "%s: %llu",
			     cases[i].name,
			     (unsigned long long)scene.plan.length);
		cr_expect_eq(scene.plan.is_zero, cases[i].is_zero, "%s",
			     cases[i].name);
		cr_expect_eq(scene.plan.zero_beyond, cases[i].beyond, "%s",
			     cases[i].name);
	}
}

Test(odx, never_writes_past_the_end_of_the_file)
{
	struct scene scene;

	scene_init(OFFLAY_DESTINATION, &scene);
	scene.request.length = 1 << 20;
	scene.file.size = 10000;
	cr_assert_eq(judge(&scene), 0);
	cr_expect_eq(scene.plan.length, 6144);
	cr_expect(!scene.plan.zero_beyond);
}

Test(odx, gives_of_a_token_only_what_it_has)
{
	struct scene scene;
	const struct offlay_status *status;

	scene_init(OFFLAY_DESTINATION, &scene);
	cr_assert_eq(judge(&scene), 0);
	scene.request.transfer_offset = 1024;
	cr_expect_null(odx_check_token(&scene.limits, &scene.request, 2048,
				       &scene.plan));
	cr_expect_eq(scene.plan.length, 1024);
	status = odx_check_token(&scene.limits, &scene.request, 1024,
				 &scene.plan);
	cr_assert_not_null(status);
	cr_expect_eq(status->ntstatus, ODX_INVALID_PARAMETER);
}

Test(odx, finds_the_end_of_valid_data)
{
	static const char block[4096] = { 1 };
	char name[] = "/tmp/offlay-odx-XXXXXX";
	uint64_t valid;
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	unlink(name);
	cr_assert_eq(pwrite(fd, block, 4096, 0), 4096);
	cr_assert_eq(pwrite(fd, block, 4096, 65536), 4096);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	cr_assert_eq(odx_find_valid(fd, 0, 4096, 1 << 20, &valid), 0);
	cr_expect_geq(valid, 69632, "data follows: %llu",
		      (unsigned long long)valid);
	cr_assert_eq(odx_find_valid(fd, 0, 1 << 20, 1 << 20, &valid), 0);
	cr_expect_eq(valid, 69632);
	cr_assert_eq(odx_find_valid(fd, 131072, 4096, 1 << 20, &valid), 0);
	cr_expect_leq(valid, 131072);
	close(fd);
}

Test(odx, reads_its_option)
{
	static const struct {
		const char *text, *bad;
	} cases[] = {
		{ "off", NULL },
		{ "on:read=off", NULL },
		{ "count=5:user_count=2:bytes=1G:user_bytes=64M", NULL },
		{ "sector=4096:transfer=64K:ttl=600", NULL },
		{ "copy=64M:timeout=3:forget=2", NULL },
		{ "", "" },
		{ "sector=1024", "sector=1024" },
		{ "count=0", "count=0" },
		{ "ttl=1x", "ttl=1x" },
		{ "count=1:nonsense=2", "nonsense=2" },
		{ "transfer=100", "transfer=100" },
		{ "count=99999999999999999999", "count=99999999999999999999" },
		{ "read=maybe", "read=maybe" },
		{ "count=5:", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct odx_limits limits, before;
		const char *bad = NULL;
		int err;

		odx_limits_default(&limits);
		before = limits;
		err = odx_limits_parse(cases[i].text, &limits, &bad);
		cr_expect_eq(!err, !cases[i].bad, "%s", cases[i].text);
		if (!err || !bad || !cases[i].bad)
			continue;
		cr_expect_str_eq(bad, cases[i].bad, "%s", cases[i].text);
		cr_expect_arr_eq(&before, &limits, sizeof(limits));
	}
}

Test(odx, packs_its_limits_without_loss)
{
	struct odx_limits limits, again;
	struct offlay_ioc_odx_volume volume;
	const char *bad;

	odx_limits_default(&limits);
	cr_assert_eq(odx_limits_parse("read=off:sector=4096:transfer=1M:copy=8K"
				      ":bytes=3G:user_bytes=2G:count=7"
				      ":user_count=6:ttl=5:ttl_max=9:timeout=4"
				      ":forget=3",
				      &limits, &bad),
		     0);
	odx_limits_pack(&limits, &volume);
	odx_limits_unpack(&volume, &again);
	cr_expect_arr_eq(&limits, &again, sizeof(limits));
	cr_expect_eq(volume.odx_flags, OFFLAY_ODX_ON | OFFLAY_ODX_WRITE_ON);
	cr_expect_eq(volume.ttl_max, 9000);
	cr_expect_eq(volume.user_bytes_max, 2ull << 30);
}
