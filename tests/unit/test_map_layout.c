// SPDX-License-Identifier: MIT
/* Tests of tools/map_layout.c: pieces without a gap, and their picture. */
#include <criterion/criterion.h>
#include <linux/fiemap.h>
#include <stdio.h>
#include <string.h>

#include "map.h"

#define K 1024u

static struct map_layout lay_out(struct map_extent *items, size_t count,
				 uint64_t size)
{
	const struct map_extents extents = {
		.items = items,
		.count = count,
		.size = size,
		.block = 4 * K,
		.has_physical = true,
	};
	struct map_layout layout;

	cr_assert_eq(map_layout_new(&extents, &layout), 0);
	return layout;
}

/* "hole 0+4096, data 4096+4096@65536" */
static void expect_pieces(const struct map_layout *layout, const char *expected)
{
	static const char *const kinds[] = { "hole", "data", "unwritten",
					     "compressed", "encrypted" };
	char text[1024] = "";
	uint64_t at = 0;

	for (size_t i = 0; i < layout->count; i++) {
		const struct map_piece *piece = &layout->pieces[i];
		size_t used = strlen(text);

		cr_expect_eq(piece->offset, at);
		at += piece->length;
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s%s%s %llu", i ? ", " : "",
					 piece->shared ? "shared " : "",
					 kinds[piece->kind],
					 (unsigned long long)piece->length);
		if (piece->has_physical)
			snprintf(text + used, sizeof(text) - used, "@%llu",
				 (unsigned long long)piece->physical);
	}
	cr_expect_eq(at, layout->size);
	cr_expect_str_eq(text, expected);
}

Test(map_layout, names_each_kind_and_fills_gaps)
{
	struct map_extent items[] = {
		{ 4096, 100000, 4096, 0 },
		{ 8192, 200000, 4096, FIEMAP_EXTENT_SHARED },
		{ 16384, 300000, 4096, FIEMAP_EXTENT_UNWRITTEN },
		{ 20480, 400000, 4096, FIEMAP_EXTENT_ENCODED },
		{ 24576, 500000, 4096,
		  FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED },
		{ 28672, 0, 4096, FIEMAP_EXTENT_DATA_INLINE },
		{ 32768, 0, 4096, FIEMAP_EXTENT_DELALLOC },
	};
	struct map_layout layout = lay_out(items, 7, 40000);

	expect_pieces(&layout,
		      "hole 4096, data 4096@100000, shared data 4096@200000, "
		      "hole 4096, unwritten 4096@300000, compressed "
		      "4096@400000, encrypted 4096@500000, data 4096, "
		      "data 4096, hole 3136");
	cr_expect_eq(layout.bytes[MAP_HOLE], 4096 + 4096 + 3136);
	cr_expect_eq(layout.bytes[MAP_DATA], 4 * 4096);
	cr_expect_eq(layout.shared, 4096);
	cr_expect_eq(layout.beyond, 0);
	map_layout_done(&layout);
}

Test(map_layout, shows_files_that_are_all_one)
{
	struct map_extent one = { 0, 4096, 8192, 0 };
	struct map_layout layout = lay_out(NULL, 0, 0);

	expect_pieces(&layout, "");
	map_layout_done(&layout);
	layout = lay_out(NULL, 0, UINT64_MAX);
	expect_pieces(&layout, "hole 18446744073709551615");
	map_layout_done(&layout);
	layout = lay_out(&one, 1, 8192);
	expect_pieces(&layout, "data 8192@4096");
	map_layout_done(&layout);
}

Test(map_layout, counts_what_is_behind_the_end)
{
	struct map_extent items[] = {
		{ 0, 4096, 4096, 0 },
		{ 4096, 8192, 8192, FIEMAP_EXTENT_UNWRITTEN },
		{ 20480, 65536, 4096, FIEMAP_EXTENT_UNWRITTEN },
	};
	/* The rest of the last block is no reserve. */
	struct map_layout layout = lay_out(items, 1, 100);

	expect_pieces(&layout, "data 100@4096");
	cr_expect_eq(layout.beyond, 0);
	map_layout_done(&layout);
	layout = lay_out(items, 3, 5000);
	expect_pieces(&layout, "data 4096@4096, unwritten 904@8192");
	cr_expect_eq(layout.beyond, 4096 + 4096);
	map_layout_done(&layout);
}

Test(map_layout, survives_extents_that_overlap)
{
	struct map_extent items[] = {
		{ 0, 100000, 8192, 0 },
		{ 4096, 200000, 8192, 0 },
		{ 4096, 300000, 4096, 0 },
	};
	struct map_layout layout = lay_out(items, 3, 12288);

	expect_pieces(&layout, "data 8192@100000, data 4096@204096");
	map_layout_done(&layout);
}

static void expect_columns(const struct map_layout *layout, size_t count,
			   const char *expected)
{
	struct map_column columns[32];
	char text[33] = "";

	map_layout_columns(layout, columns, count);
	for (size_t i = 0; i < count; i++)
		text[i] = columns[i].shared ? "=SUCE"[columns[i].kind]
					    : ".#uce"[columns[i].kind];
	cr_expect_str_eq(text, expected);
}

Test(map_layout, shows_in_a_column_what_it_holds_most_of)
{
	struct map_extent items[] = {
		{ 8000, 0, 8000, 0 },
		{ 16000, 0, 4000, FIEMAP_EXTENT_SHARED },
		{ 20000, 0, 4000, FIEMAP_EXTENT_ENCODED },
	};
	struct map_layout layout = lay_out(items, 3, 32000);

	expect_columns(&layout, 8, "..##Sc..");
	expect_columns(&layout, 4, ".#S.");
	expect_columns(&layout, 1, ".");
	expect_columns(&layout, 32, "........########SSSScccc........");
	map_layout_done(&layout);
	/* The first half of a column is as good as the other: data shows. */
	layout = lay_out(&(struct map_extent){ 0, 0, 1000, 0 }, 1, 2000);
	expect_columns(&layout, 1, "#");
	map_layout_done(&layout);
	layout = lay_out(NULL, 0, UINT64_MAX);
	expect_columns(&layout, 3, "...");
	map_layout_done(&layout);
}

Test(map_layout, merges_extents_that_go_on)
{
	static const struct map_extent items[] = {
		{ 0, 4096, 4096, 0 },
		{ 4096, 8192, 4096, 0 },
		{ 8192, 12288, 4096, FIEMAP_EXTENT_SHARED },
		{ 12288, 16384, 4096, FIEMAP_EXTENT_ENCODED },
		{ 16384, 20480, 4096, FIEMAP_EXTENT_ENCODED },
		{ 24576, 28672, 4096, FIEMAP_EXTENT_ENCODED },
	};
	struct map_extents extents = { 0 };

	for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++)
		cr_assert_eq(map_extents_add(&extents, &items[i]), 0);
	cr_assert_eq(extents.count, 5);
	cr_expect_eq(extents.items[0].length, 8192);
	map_extents_done(&extents);
}
