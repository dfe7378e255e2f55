// SPDX-License-Identifier: MIT
/* Tests of lib/eligible.c: names of reasons and what they say in words. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "offlay.h"

static const char *describe(enum offlay_reason reason,
			    const struct offlay_facts *facts)
{
	static char buf[OFFLAY_DESCRIBE_SIZE];

	memset(buf, 'x', sizeof(buf));
	offlay_reason_describe(reason, facts, buf, sizeof(buf));
	cr_assert_not_null(memchr(buf, 0, sizeof(buf)));
	return buf;
}

Test(eligible_words, names_are_stable)
{
	static const char *const names[OFFLAY_REASON_COUNT] = {
		"sparse",      "encrypted", "compressed",
		"not-regular", "immutable", "append-only",
		"swap-file",   "checksums", "other-filesystem",
	};

	for (int i = 0; i < OFFLAY_REASON_COUNT; i++)
		cr_expect_str_eq(offlay_reason_name(i), names[i]);
	cr_expect_str_eq(offlay_reason_name(OFFLAY_REASON_COUNT), "unknown");
	cr_expect_str_eq(offlay_reason_name((enum offlay_reason) - 1),
			 "unknown");
}

Test(eligible_words, evidence_is_told_with_its_numbers)
{
	static const struct {
		enum offlay_reason reason;
		struct offlay_facts facts;
		const char *text;
	} rows[] = {
		{ OFFLAY_REASON_SPARSE,
		  { .sparse = OFFLAY_BY_HOLE,
		    .hole_offset = 8192,
		    .hole_length = 4096 },
		  "hole of 4096 bytes at 8192" },
		{ OFFLAY_REASON_SPARSE,
		  { .sparse = OFFLAY_BY_DOS },
		  "DOS attribute SPARSE_FILE (0x200)" },
		{ OFFLAY_REASON_ENCRYPTED,
		  { .encrypted = OFFLAY_BY_STATX },
		  "attribute STATX_ATTR_ENCRYPTED is set" },
		{ OFFLAY_REASON_ENCRYPTED,
		  { .encrypted = OFFLAY_BY_FLAGS },
		  "inode flag FS_ENCRYPT_FL is set" },
		{ OFFLAY_REASON_ENCRYPTED,
		  { .encrypted = OFFLAY_BY_EXTENT },
		  "extents are encrypted" },
		{ OFFLAY_REASON_ENCRYPTED,
		  { .encrypted = OFFLAY_BY_DOS },
		  "DOS attribute ENCRYPTED (0x4000)" },
		{ OFFLAY_REASON_COMPRESSED,
		  { .compressed = OFFLAY_BY_EXTENT,
		    .extent_offset = 131072,
		    .extent_length = 65536 },
		  "extent of 65536 bytes at 131072 is compressed" },
		{ OFFLAY_REASON_COMPRESSED,
		  { .compressed = OFFLAY_BY_STATX },
		  "attribute STATX_ATTR_COMPRESSED is set" },
		{ OFFLAY_REASON_COMPRESSED,
		  { .compressed = OFFLAY_BY_FLAGS },
		  "inode flag FS_COMPR_FL is set" },
		{ OFFLAY_REASON_COMPRESSED,
		  { .compressed = OFFLAY_BY_DOS },
		  "DOS attribute COMPRESSED (0x800)" },
		{ OFFLAY_REASON_NOT_REGULAR,
		  { .mode = S_IFDIR },
		  "a directory" },
		{ OFFLAY_REASON_NOT_REGULAR, { .mode = S_IFIFO }, "a FIFO" },
		{ OFFLAY_REASON_IMMUTABLE, { 0 }, "the immutable flag is set" },
		{ OFFLAY_REASON_APPEND_ONLY,
		  { 0 },
		  "the append-only flag is set" },
		{ OFFLAY_REASON_SWAP_FILE, { 0 }, "in use as swap space" },
		{ OFFLAY_REASON_COUNT, { 0 }, "unknown reason" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_str_eq(describe(rows[i].reason, &rows[i].facts),
				 rows[i].text);
}

Test(eligible_words, the_longest_numbers_fit)
{
	const struct offlay_facts facts = {
		.sparse = OFFLAY_BY_HOLE,
		.compressed = OFFLAY_BY_EXTENT,
		.hole_offset = UINT64_MAX,
		.hole_length = UINT64_MAX,
		.extent_offset = UINT64_MAX,
		.extent_length = UINT64_MAX,
	};

	for (int i = 0; i <= OFFLAY_REASON_COUNT; i++)
		cr_expect_lt(strlen(describe(i, &facts)),
			     OFFLAY_DESCRIBE_SIZE - 1);
}

Test(eligible_words, a_short_buffer_is_terminated)
{
	const struct offlay_facts facts = { .sparse = OFFLAY_BY_HOLE };
	char buf[8];

	offlay_reason_describe(OFFLAY_REASON_SPARSE, &facts, buf, sizeof(buf));
	cr_expect_str_eq(buf, "hole of");
}
