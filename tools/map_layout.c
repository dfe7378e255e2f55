// SPDX-License-Identifier: MIT
/* Cuts a file into parts of one kind each, and scales it to columns. */
#include <errno.h>
#include <linux/fiemap.h>
#include <stdlib.h>

#include "map.h"

/* Nothing is known of where it is. */
#define NOWHERE                                           \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | \
	 FIEMAP_EXTENT_DATA_INLINE)

/* The kernel sets ENCODED together with DATA_ENCRYPTED. */
static enum map_kind kind_of(uint32_t flags)
{
	if (flags & FIEMAP_EXTENT_DATA_ENCRYPTED)
		return MAP_ENCRYPTED;
	if (flags & FIEMAP_EXTENT_ENCODED)
		return MAP_COMPRESSED;
	if (flags & FIEMAP_EXTENT_UNWRITTEN)
		return MAP_UNWRITTEN;
	return MAP_DATA;
}

static void put_piece(struct map_layout *layout, const struct map_piece *piece)
{
	layout->pieces[layout->count++] = *piece;
	layout->bytes[piece->kind] += piece->length;
	if (piece->shared)
		layout->shared += piece->length;
}

static void put_hole(struct map_layout *layout, uint64_t from, uint64_t to)
{
	const struct map_piece hole = {
		.offset = from,
		.length = to - from,
		.kind = MAP_HOLE,
	};

	if (to > from)
		put_piece(layout, &hole);
}

/* Cuts off what lies behind the end of the file, and counts its blocks. */
static uint64_t cut_end(const struct map_extents *extents,
			struct map_layout *layout, uint64_t start, uint64_t end)
{
	uint64_t block = extents->block ? extents->block : 1;
	uint64_t behind = extents->size + block - 1;

	behind -= behind % block;
	if (start > behind)
		behind = start;
	if (end > behind)
		layout->beyond += end - behind;
	return end < extents->size ? end : extents->size;
}

/**
 * map_layout_new() - cut a file into pieces without a gap
 * @extents: in the order of the file; overlaps are cut off
 * @ret_layout: set on success; free with map_layout_done()
 *
 * Return: 0 or -ENOMEM.
 */
int map_layout_new(const struct map_extents *extents,
		   struct map_layout *ret_layout)
{
	struct map_layout layout = { .size = extents->size,
				     .extents = extents->count };
	uint64_t at = 0;
	size_t i;

	layout.pieces = reallocarray(NULL, extents->count * 2 + 1,
				     sizeof(*layout.pieces));
	if (!layout.pieces)
		return -ENOMEM;
	for (i = 0; i < extents->count; i++) {
		const struct map_extent *extent = &extents->items[i];
		uint64_t start = extent->logical > at ? extent->logical : at;
		uint64_t end = cut_end(extents, &layout, start,
				       extent->logical + extent->length);
		struct map_piece piece = {
			.offset = start,
			.physical = extent->physical + start - extent->logical,
			.kind = kind_of(extent->flags),
			.has_physical = extents->has_physical &&
					!(extent->flags & NOWHERE),
			.shared = extent->flags & FIEMAP_EXTENT_SHARED,
		};

		if (end <= start)
			continue;
		put_hole(&layout, at, start);
		piece.length = end - start;
		put_piece(&layout, &piece);
		at = end;
	}
	put_hole(&layout, at, extents->size);
	*ret_layout = layout;
	return 0;
}

void map_layout_done(struct map_layout *layout)
{
	free(layout->pieces);
	layout->pieces = NULL;
	layout->count = 0;
}

/* What is seen in one column: bytes of each kind, and of which sort. */
struct tally {
	uint64_t kinds[MAP_KIND_COUNT];
	uint64_t shared[MAP_KIND_COUNT];
	uint64_t paired[MAP_KIND_COUNT];
};

static void judge_column(const struct tally *tally, struct map_column *column)
{
	enum map_kind most = MAP_HOLE;

	for (int kind = 1; kind < MAP_KIND_COUNT; kind++)
		if (tally->kinds[kind] > tally->kinds[most] ||
		    (tally->kinds[kind] && most == MAP_HOLE &&
		     tally->kinds[kind] == tally->kinds[most]))
			most = (enum map_kind)kind;
	*column = (struct map_column){
		.kind = most,
		.shared = tally->shared[most] * 2 > tally->kinds[most],
		.paired = tally->paired[most] * 2 > tally->kinds[most],
	};
}

/* Where column @i of @count begins, without overflow. */
static uint64_t column_start(uint64_t size, size_t i, size_t count)
{
	return size / count * i + size % count * i / count;
}

/**
 * map_layout_columns() - scale a file to a picture
 * @columns: @count of them are set; not more than the file has bytes
 */
void map_layout_columns(const struct map_layout *layout,
			struct map_column *columns, size_t count)
{
	size_t piece = 0, i;

	for (i = 0; i < count; i++) {
		uint64_t start = column_start(layout->size, i, count);
		uint64_t end = column_start(layout->size, i + 1, count);
		struct tally tally = { 0 };

		while (piece < layout->count && start < end) {
			const struct map_piece *p = &layout->pieces[piece];
			uint64_t p_end = p->offset + p->length;
			uint64_t stop = p_end < end ? p_end : end;

			tally.kinds[p->kind] += stop - start;
			if (p->shared)
				tally.shared[p->kind] += stop - start;
			if (p->paired)
				tally.paired[p->kind] += stop - start;
			start = stop;
			if (p_end > end)
				break;
			piece++;
		}
		judge_column(&tally, &columns[i]);
	}
}
