// SPDX-License-Identifier: MIT
/* Tests of tools/map_share.c: what two files store once. */
#include <criterion/criterion.h>
#include <linux/fiemap.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

#define PACKED FIEMAP_EXTENT_ENCODED
#define BLOCKS 64

static struct map_layout lay_out(struct map_extent *items, size_t count,
				 uint64_t size)
{
	const struct map_extents extents = {
		.items = items,
		.count = count,
		.size = size,
		.has_physical = true,
	};
	struct map_layout layout;

	cr_assert_eq(map_layout_new(&extents, &layout), 0);
	return layout;
}

struct row {
	const char *name;
	struct map_extent first[4], second[4];
	size_t n_first, n_second;
	uint64_t bytes;
	struct map_share shares[4];
	size_t n_shares;
};

static const struct row rows[] = {
	{ "nothing at all", { { 0 } }, { { 0 } }, 0, 0, 0, { { 0 } }, 0 },
	{ "two places",
	  { { 0, 1000, 100, 0 } },
	  { { 0, 2000, 100, 0 } },
	  1,
	  1,
	  0,
	  { { 0 } },
	  0 },
	{ "a whole clone",
	  { { 0, 1000, 100, 0 } },
	  { { 0, 1000, 100, 0 } },
	  1,
	  1,
	  100,
	  { { 0, 0, 100 } },
	  1 },
	{ "side by side, none in common",
	  { { 0, 1000, 100, 0 } },
	  { { 0, 1100, 100, 0 } },
	  1,
	  1,
	  0,
	  { { 0 } },
	  0 },
	{ "a part, elsewhere in the file",
	  { { 0, 1000, 100, 0 } },
	  { { 500, 1040, 20, 0 } },
	  1,
	  1,
	  20,
	  { { 40, 500, 20 } },
	  1 },
	{ "a clone written over in its middle",
	  { { 0, 1000, 100, 0 } },
	  { { 0, 1000, 40, 0 }, { 40, 5000, 20, 0 }, { 60, 1060, 40, 0 } },
	  1,
	  3,
	  80,
	  { { 0, 0, 40 }, { 60, 60, 40 } },
	  2 },
	{ "one place twice in the first",
	  { { 0, 1000, 100, 0 }, { 100, 1000, 100, 0 } },
	  { { 0, 1000, 100, 0 } },
	  2,
	  1,
	  100,
	  { { 0, 0, 100 }, { 100, 0, 100 } },
	  2 },
	{ "one place twice in the second",
	  { { 0, 1000, 100, 0 } },
	  { { 0, 1000, 100, 0 }, { 100, 1050, 100, 0 } },
	  1,
	  2,
	  100,
	  { { 0, 0, 100 } },
	  1 },
	{ "in another order",
	  { { 0, 1000, 100, 0 }, { 100, 3000, 100, 0 } },
	  { { 0, 3000, 100, 0 }, { 100, 1000, 100, 0 } },
	  2,
	  2,
	  200,
	  { { 0, 100, 100 }, { 100, 0, 100 } },
	  2 },
	/* What a compressed extent takes up is not known: only its name. */
	{ "one compressed extent",
	  { { 0, 1000, 100, PACKED } },
	  { { 0, 1000, 60, PACKED } },
	  1,
	  1,
	  60,
	  { { 0, 0, 60 } },
	  1 },
	{ "two compressed extents that lie close",
	  { { 0, 1000, 100, PACKED } },
	  { { 0, 1010, 100, PACKED } },
	  1,
	  1,
	  0,
	  { { 0 } },
	  0 },
	{ "a compressed one and a plain one",
	  { { 0, 1000, 100, PACKED } },
	  { { 0, 1000, 100, 0 } },
	  1,
	  1,
	  0,
	  { { 0 } },
	  0 },
	/* Without an address, two files are not the same for being at 0. */
	{ "inline data",
	  { { 0, 0, 100, FIEMAP_EXTENT_DATA_INLINE } },
	  { { 0, 0, 100, FIEMAP_EXTENT_DATA_INLINE } },
	  1,
	  1,
	  0,
	  { { 0 } },
	  0 },
};

Test(map_share, finds_what_is_stored_once)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct row row = rows[i];
		struct map_layout a = lay_out(row.first, row.n_first, 600);
		struct map_layout b = lay_out(row.second, row.n_second, 600);
		struct map_sharing sharing;

		cr_assert_eq(map_layout_compare(&a, &b, &sharing), 0);
		cr_expect_eq(sharing.bytes, row.bytes, "%s: %llu", row.name,
			     (unsigned long long)sharing.bytes);
		cr_assert_eq(sharing.count, row.n_shares, "%s: %zu parts",
			     row.name, sharing.count);
		for (size_t j = 0; j < sharing.count; j++)
			cr_expect_eq(memcmp(&sharing.shares[j], &row.shares[j],
					    sizeof(row.shares[j])),
				     0, "%s: part %zu", row.name, j);
		map_sharing_done(&sharing);
		map_layout_done(&a);
		map_layout_done(&b);
	}
}

/* Any place of a small storage for each block of two files. */
static size_t random_file(struct map_extent *items, unsigned int places[BLOCKS])
{
	size_t count = 0;

	for (unsigned int i = 0; i < BLOCKS; i++) {
		places[i] = (unsigned int)rand() % 40;
		if (places[i] < 8)
			places[i] = 0; /* a hole */
		else
			items[count++] = (struct map_extent){ i * 10,
							      places[i] * 10,
							      10, 0 };
	}
	return count;
}

static bool uses(const unsigned int places[BLOCKS], unsigned int place)
{
	for (size_t i = 0; i < BLOCKS; i++)
		if (places[i] == place)
			return true;
	return false;
}

static void expect_marks(const struct map_layout *layout,
			 const unsigned int own[BLOCKS],
			 const unsigned int other[BLOCKS])
{
	for (size_t i = 0; i < layout->count; i++) {
		const struct map_piece *piece = &layout->pieces[i];
		uint64_t end = piece->offset + piece->length;

		for (uint64_t at = piece->offset; at < end; at++) {
			unsigned int place = at / 10 < BLOCKS ? own[at / 10]
							      : 0;

			cr_assert_eq(piece->paired, place && uses(other, place),
				     "byte %llu", (unsigned long long)at);
		}
	}
}

Test(map_share, agrees_with_a_look_at_every_block)
{
	for (unsigned int seed = 1; seed < 300; seed++) {
		struct map_extent items_a[BLOCKS], items_b[BLOCKS];
		unsigned int a[BLOCKS], b[BLOCKS], common = 0, place;
		struct map_layout first, second;
		struct map_sharing sharing;
		size_t n_a, n_b;

		srand(seed);
		n_a = random_file(items_a, a);
		n_b = random_file(items_b, b);
		first = lay_out(items_a, n_a, BLOCKS * 10);
		second = lay_out(items_b, n_b, BLOCKS * 10);
		cr_assert_eq(map_layout_compare(&first, &second, &sharing), 0);
		for (place = 1; place < 40; place++)
			common += uses(a, place) && uses(b, place) ? 10 : 0;
		cr_expect_eq(sharing.bytes, common, "seed %u", seed);
		expect_marks(&first, a, b);
		expect_marks(&second, b, a);
		for (size_t i = 0; i < sharing.count; i++)
			for (uint64_t at = 0; at < sharing.shares[i].length;
			     at += 10)
				cr_assert_eq(
					a[(sharing.shares[i].first + at) / 10],
					b[(sharing.shares[i].second + at) / 10],
					"seed %u", seed);
		map_sharing_done(&sharing);
		map_layout_done(&first);
		map_layout_done(&second);
	}
}
