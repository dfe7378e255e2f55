// SPDX-License-Identifier: MIT
/* Tests of lib/facts_dos.c: Samba's attribute in all its versions. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

struct row {
	const char *name;
	const char *value;
	size_t size;
	int err;
	uint32_t attributes;
};

#define VALUE(text) .value = text, .size = sizeof(text) - 1

static const struct row rows[] = {
	/* As found on disks: getfattr of files that Samba made. */
	{ "version 5, archive and reparse point",
	  VALUE("\0\0\5\0\5\0\0\0\x11\0\0\0\x20\4\0\0"
		"\x99\x9c\x19\xae\x54\xaa\xdc\1"),
	  0, 0x420 },
	{ "version 4",
	  VALUE("\0\0\4\0\4\0\0\0\x51\0\0\0\x20\0\0\0"
		"\1\x0f\x77\x8d\x7e\x25\0\0\1\x0f\x77\x8d\x7e\x25\0\0"),
	  0, 0x20 },
	{ "version 3, text before it",
	  VALUE("0x20\0\0\3\0\3\0\0\0\x11\0\0\0\x20\2\0\0\0\0\0\0"), 0, 0x220 },
	{ "version 3, longer text, no padding",
	  VALUE("0x4820\0\0\3\0\3\0\x11\0\0\0\x20\x48\0\0"), 0, 0x4820 },
	{ "version 2", VALUE("0x1\0\2\0\2\0\0\0\0\0\0\x8\0\0"), 0, 0x800 },
	{ "version 1", VALUE("0x1\0\1\0\1\0\0\x40\0\0"), 0, 0x4000 },
	{ "text, terminated", VALUE("0x20\0"), 0, 0x20 },
	{ "text, not terminated", VALUE("0x20"), 0, 0x20 },
	{ "text, eight digits", VALUE("0xDeadBeef"), 0, 0xdeadbeef },
	{ "capital X", VALUE("0X800"), 0, 0x800 },

	{ "nothing", VALUE(""), -EINVAL },
	{ "a zero byte", VALUE("\0"), -EINVAL },
	{ "prefix only", VALUE("0x"), -EINVAL },
	{ "nine digits", VALUE("0x123456789"), -EINVAL },
	{ "no prefix", VALUE("20"), -EINVAL },
	{ "not a digit", VALUE("0x2g"), -EINVAL },
	{ "a sign", VALUE("0x-2"), -EINVAL },
	{ "space", VALUE(" 0x2"), -EINVAL },
	{ "version 6", VALUE("\0\0\6\0\6\0\0\0\x11\0\0\0\x20\4\0\0"), -EINVAL },
	{ "version 0", VALUE("\0\0\0\0\0\0\0\0\x11\0\0\0\x20\4\0\0"), -EINVAL },
	{ "version and tag differ",
	  VALUE("\0\0\5\0\4\0\0\0\x11\0\0\0\x20\4\0\0"), -EINVAL },
	{ "cut short", VALUE("\0\0\5\0\5\0\0\0\x11\0\0\0\x20\4\0"), -EINVAL },
	{ "cut in the flags", VALUE("\0\0\5\0\5\0\0\0\x11\0"), -EINVAL },
	{ "cut in the tag", VALUE("\0\0\5\0\5"), -EINVAL },
	{ "broken union, good text: the text counts",
	  VALUE("0x800\0\7\0\7\0\0\0"), 0, 0x800 },
};

#define ROWS (sizeof(rows) / sizeof(*rows))

/* The exact size on the heap, so that a sanitizer sees one byte too many. */
static int parse(const char *value, size_t size, uint32_t *ret_attributes)
{
	char *copy = malloc(size ? size : 1);
	int err;

	cr_assert_not_null(copy);
	memcpy(copy, value, size);
	err = facts_dos_parse(copy, size, ret_attributes);
	free(copy);
	return err;
}

Test(facts_dos, all_versions_and_broken_ones)
{
	for (size_t i = 0; i < ROWS; i++) {
		uint32_t attributes = 0x77777777;

		cr_expect_eq(parse(rows[i].value, rows[i].size, &attributes),
			     rows[i].err, "%s", rows[i].name);
		cr_expect_eq(attributes,
			     rows[i].err ? 0x77777777 : rows[i].attributes,
			     "%s", rows[i].name);
	}
}

Test(facts_dos, every_prefix_is_parsed_without_reading_on)
{
	for (size_t i = 0; i < ROWS; i++)
		for (size_t size = 0; size < rows[i].size; size++) {
			uint32_t attributes = 0;
			int err = parse(rows[i].value, size, &attributes);

			cr_expect(err == 0 || err == -EINVAL, "%s, %zu bytes",
				  rows[i].name, size);
		}
}
