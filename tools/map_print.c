// SPDX-License-Identifier: MIT
/* The map as text: a picture, what it means, and what is shared. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "map.h"
#include "tools.h"

#define ROWS_MAX    16
#define WIDTH_MIN   16
#define SHARES_SHOW 20

/* A column is at least this much of the file. */
#define COLUMN_MIN 4096

struct look {
	char glyph;
	const char *colour; /* SGR */
};

static struct look look_of(const struct map_column *column)
{
	static const struct look plain[MAP_KIND_COUNT] = {
		[MAP_HOLE] = { '.', "90" },
		[MAP_DATA] = { '#', "34" },
		[MAP_UNWRITTEN] = { 'u', "36" },
		[MAP_COMPRESSED] = { 'c', "33" },
		[MAP_ENCRYPTED] = { 'e', "31" },
	};
	static const struct look shared[MAP_KIND_COUNT] = {
		[MAP_HOLE] = { '.', "90" },
		[MAP_DATA] = { '=', "32" },
		[MAP_UNWRITTEN] = { 'U', "32" },
		[MAP_COMPRESSED] = { 'C', "32" },
		[MAP_ENCRYPTED] = { 'E', "32" },
	};

	if (column->paired)
		return (struct look){ '@', "1;35" };
	return column->shared ? shared[column->kind] : plain[column->kind];
}

static void print_row(const struct map_column *columns, size_t count,
		      bool has_colour)
{
	const char *colour = NULL;

	for (size_t i = 0; i < count; i++) {
		struct look look = look_of(&columns[i]);

		if (has_colour && look.colour != colour)
			printf("\033[%sm", look.colour);
		colour = look.colour;
		putchar(look.glyph);
	}
	puts(has_colour ? "\033[0m" : "");
}

/* Long enough for every piece, short enough for a look. */
static size_t columns_for(const struct map_layout *layout, size_t width)
{
	size_t rows = (layout->count + width - 1) / width;
	uint64_t most = (layout->size + COLUMN_MIN - 1) / COLUMN_MIN;
	size_t count;

	if (rows > ROWS_MAX)
		rows = ROWS_MAX;
	count = (rows ? rows : 1) * width;
	return count < most ? count : (size_t)most;
}

static int print_picture(const struct map_layout *layout, size_t width,
			 bool has_colour)
{
	char start[TEXT_SIZE_MAX];
	struct map_column *columns;
	size_t count, at;

	/* The offset stands before each row. */
	width = width > WIDTH_MIN + TEXT_SIZE_MAX ? width - TEXT_SIZE_MAX
						  : WIDTH_MIN;
	count = columns_for(layout, width);
	columns = calloc(count + 1, sizeof(*columns));
	if (!columns)
		return -ENOMEM;
	map_layout_columns(layout, columns, count);
	for (at = 0; at < count; at += width) {
		text_size(layout->size / count * at, start);
		printf("%12s  ", start);
		print_row(columns + at, count - at < width ? count - at : width,
			  has_colour);
	}
	free(columns);
	return 0;
}

/* "data 3.0 MiB, hole 1.0 MiB; shared 2.0 MiB" */
static void print_totals(const struct map_file *file)
{
	const struct map_layout *layout = &file->layout;
	const char *before = "  ";
	char text[TEXT_SIZE_MAX];

	for (int kind = 0; kind < MAP_KIND_COUNT; kind++) {
		if (!layout->bytes[kind])
			continue;
		printf("%s%s %s", before, map_kind_names[kind],
		       text_size(layout->bytes[kind], text));
		before = ", ";
	}
	if (layout->shared)
		printf("; %s of it shared", text_size(layout->shared, text));
	if (layout->beyond)
		printf("; %s reserved behind the end",
		       text_size(layout->beyond, text));
	if (!file->has_physical)
		printf("; no more is known here than data and holes");
	if (layout->size)
		putchar('\n');
}

static void print_heading(const struct map_file *file)
{
	char *name = text_quote(file->name);
	char size[TEXT_SIZE_MAX];

	printf("%s: %s", name, text_size(file->layout.size, size));
	if (file->has_physical)
		printf(", %zu extent%s", file->layout.extents,
		       file->layout.extents == 1 ? "" : "s");
	putchar('\n');
	free(name);
}

/* Only what can be seen. */
static void print_legend(const struct map *map, bool has_colour)
{
	bool seen[MAP_KIND_COUNT][2] = { 0 }, paired = false;
	const char *before = "";

	for (size_t i = 0; i < map->count; i++)
		for (size_t j = 0; j < map->files[i].layout.count; j++) {
			const struct map_piece *piece =
				&map->files[i].layout.pieces[j];

			if (piece->paired)
				paired = true;
			else
				seen[piece->kind][piece->shared] = true;
		}
	for (int i = 0; i < MAP_KIND_COUNT * 2 + 1; i++) {
		const struct map_column column = {
			.kind = (enum map_kind)(i / 2 % MAP_KIND_COUNT),
			.shared = i % 2,
			.paired = i == MAP_KIND_COUNT * 2,
		};
		struct look look = look_of(&column);

		if (column.paired ? !paired : !seen[column.kind][column.shared])
			continue;
		fputs(before, stdout);
		if (has_colour)
			printf("\033[%sm%c\033[0m ", look.colour, look.glyph);
		else
			printf("%c ", look.glyph);
		printf("%s%s",
		       column.paired ? "in both files"
				     : map_kind_names[column.kind],
		       column.shared ? ", shared" : "");
		before = "   ";
	}
	if (*before)
		putchar('\n');
}

static void print_sharing(const struct map_sharing *sharing)
{
	char first[TEXT_SIZE_MAX], second[TEXT_SIZE_MAX], length[TEXT_SIZE_MAX];
	size_t i;

	if (!sharing) {
		puts("Whether they share storage cannot be seen here.");
		return;
	}
	if (!sharing->bytes) {
		puts("They share nothing with each other.");
		return;
	}
	printf("They share %s (%llu bytes), which is stored once:\n",
	       text_size(sharing->bytes, length),
	       (unsigned long long)sharing->bytes);
	printf("%14s %14s %14s\n", "first at", "second at", "length");
	for (i = 0; i < sharing->count && i < SHARES_SHOW; i++) {
		const struct map_share *share = &sharing->shares[i];

		printf("%14s %14s %14s\n", text_size(share->first, first),
		       text_size(share->second, second),
		       text_size(share->length, length));
	}
	if (i < sharing->count)
		printf("and %zu parts more (--json has all)\n",
		       sharing->count - i);
}

int map_print(const struct map *map, size_t width, bool has_colour)
{
	int err = 0;

	for (size_t i = 0; i < map->count && !err; i++) {
		print_heading(&map->files[i]);
		err = print_picture(&map->files[i].layout, width, has_colour);
		print_totals(&map->files[i]);
	}
	if (err)
		return err;
	print_legend(map, has_colour);
	if (map->count == 2)
		print_sharing(map->sharing);
	return 0;
}
