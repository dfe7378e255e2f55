// SPDX-License-Identifier: MIT
/* Tests of tools/text.c: what reaches a terminal or a JSON parser. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

Test(text, quotes_whatever_could_drive_a_terminal)
{
	static const struct {
		const char *name, *quoted;
	} rows[] = {
		{ "", "''" },
		{ "plain name.txt", "'plain name.txt'" },
		{ "it's", "'it\\047s'" },
		{ "a\\b", "'a\\134b'" },
		{ "new\nline\ttab", "'new\\012line\\011tab'" },
		{ "\033[2Jgone", "'\\033[2Jgone'" },
		{ "\177", "'\\177'" },
		{ "gr\303\274n", "'gr\303\274n'" },
		{ "\342\202\254 \360\237\220\247",
		  "'\342\202\254 \360\237\220\247'" },
		{ "\302\233J", "'\\302\\233J'" }, /* C1: CSI */
		{ "\377\376", "'\\377\\376'" },
		{ "\303", "'\\303'" },		/* cut off */
		{ "\300\257", "'\\300\\257'" }, /* overlong */
		{ "\340\200\257", "'\\340\\200\\257'" },
		{ "\355\240\200", "'\\355\\240\\200'" }, /* surrogate */
		{ "\364\220\200\200", "'\\364\\220\\200\\200'" },
		{ "\342\202x", "'\\342\\202x'" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *quoted = text_quote(rows[i].name);

		cr_expect_str_eq(quoted, rows[i].quoted, "row %zu: %s", i,
				 quoted);
		free(quoted);
	}
}

Test(text, leaves_the_quotes_out_where_it_can)
{
	static const struct {
		const char *name, *plain;
	} rows[] = {
		{ "cp", "cp" },	       { "", "" },
		{ "a b", "a b" },      { "a\nb", "'a\\012b'" },
		{ "\xff", "'\\377'" }, { "it's", "'it\\047s'" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *plain = text_plain(rows[i].name);

		cr_expect_str_eq(plain, rows[i].plain);
		free(plain);
	}
}

Test(text, names_sizes_for_people)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1, "1 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 1048575, "1.0 MiB" },
		{ 1048576, "1.0 MiB" },
		{ (uint64_t)5 << 30, "5.0 GiB" },
		{ (uint64_t)1023 << 40, "1023.0 TiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char buf[TEXT_SIZE_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_str_eq(text_size(rows[i].bytes, buf), rows[i].text);
}

Test(text, writes_json_strings)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{ "", "\"\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\001\177", "\"\\u000a\\u0001\\u007f\"" },
		{ "gr\303\274n", "\"gr\303\274n\"" },
		{ "\302\205", "\"\\u0085\"" },
		{ "\377x\303", "\"\\udcffx\\udcc3\"" },
		{ "</script>", "\"</script>\"" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *out = NULL;
		size_t size;
		FILE *file = open_memstream(&out, &size);

		text_json(file, rows[i].text);
		fclose(file);
		cr_expect_str_eq(out, rows[i].json);
		free(out);
	}
}

Test(text, counts_columns_not_bytes)
{
	cr_expect_eq(text_width(""), 0);
	cr_expect_eq(text_width("abc"), 3);
	cr_expect_eq(text_width("gr\303\274n \342\202\254"), 6);
}

Test(text, writes_xml_that_parsers_accept)
{
	static const struct {
		const char *text, *xml;
	} rows[] = {
		{ "a<b>&\"'", "a&#60;b&#62;&#38;&#34;&#39;" },
		{ "new\nline\033[2J", "new\\012line\\033[2J" },
		{ "gr\303\274n", "gr\303\274n" },
		{ "\377 \357\277\277", "\\377 \\357\\277\\277" },
		{ "\302\233J", "\\302\\233J" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);

		cr_assert(out);
		text_xml(out, rows[i].text);
		fclose(out);
		cr_expect_str_eq(text, rows[i].xml, "row %zu: %s", i, text);
		free(text);
	}
}
