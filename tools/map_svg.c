// SPDX-License-Identifier: MIT
/* The map as an SVG picture for reports. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "map.h"
#include "tools.h"

#define BAR_WIDTH  1000
#define BAR_HEIGHT 40
#define MARGIN	   20
#define FILE_STEP  140 /* from one bar to the next */
#define BAR_TOP	   40
#define BANDS_MAX  2000

static const char *const colours[MAP_KIND_COUNT] = {
	[MAP_HOLE] = "#e8e8e8",	     [MAP_DATA] = "#4477aa",
	[MAP_UNWRITTEN] = "#66ccee", [MAP_COMPRESSED] = "#ccbb44",
	[MAP_ENCRYPTED] = "#ee6677",
};
#define SHARED_COLOUR "#228833"
#define PAIRED_COLOUR "#aa3377"

static const char *colour_of(const struct map_column *column)
{
	if (column->paired)
		return PAIRED_COLOUR;
	if (column->shared)
		return SHARED_COLOUR;
	return colours[column->kind];
}

static const char *title_of(const struct map_column *column)
{
	if (column->paired)
		return "in both files";
	return map_kind_names[column->kind];
}

static bool looks_alike(const struct map_column *a, const struct map_column *b)
{
	return a->kind == b->kind && a->shared == b->shared &&
	       a->paired == b->paired;
}

static int draw_bar(FILE *out, const struct map_file *file, size_t row)
{
	const struct map_layout *layout = &file->layout;
	size_t count = layout->size < BAR_WIDTH ? (size_t)layout->size
						: BAR_WIDTH;
	double step = count ? (double)BAR_WIDTH / (double)count : 0;
	struct map_column *columns = calloc(count + 1, sizeof(*columns));
	size_t top = row * FILE_STEP + BAR_TOP, from, to;
	char size[TEXT_SIZE_MAX];

	if (!columns)
		return -ENOMEM;
	map_layout_columns(layout, columns, count);
	fprintf(out, "<text x=\"%d\" y=\"%zu\">", MARGIN, top - 8);
	text_xml(out, file->name);
	fprintf(out, ", %s</text>\n", text_size(layout->size, size));
	for (from = 0; from < count; from = to) {
		for (to = from + 1; to < count; to++)
			if (!looks_alike(&columns[from], &columns[to]))
				break;
		fprintf(out,
			"<rect x=\"%.1f\" y=\"%zu\" width=\"%.1f\" "
			"height=\"%d\" fill=\"%s\"><title>%s%s</title></rect>\n",
			MARGIN + (double)from * step, top,
			(double)(to - from) * step, BAR_HEIGHT,
			colour_of(&columns[from]), title_of(&columns[from]),
			columns[from].shared ? ", shared" : "");
	}
	fprintf(out,
		"<rect x=\"%d\" y=\"%zu\" width=\"%d\" height=\"%d\" "
		"fill=\"none\" stroke=\"#000\"/>\n",
		MARGIN, top, BAR_WIDTH, BAR_HEIGHT);
	free(columns);
	return 0;
}

static double place(uint64_t offset, uint64_t size)
{
	return MARGIN + BAR_WIDTH * ((double)offset / (double)size);
}

/* From each part of the first file to where it is in the second. */
static void draw_bands(FILE *out, const struct map *map)
{
	uint64_t first = map->files[0].layout.size;
	uint64_t second = map->files[1].layout.size;
	size_t count = map->sharing->count;

	for (size_t i = 0; i < count && i < BANDS_MAX; i++) {
		const struct map_share *s = &map->sharing->shares[i];

		fprintf(out,
			"<path d=\"M%.1f %dL%.1f %dL%.1f %dL%.1f %dZ\" "
			"fill=\"" PAIRED_COLOUR "\" opacity=\"0.3\"/>\n",
			place(s->first, first), BAR_TOP + BAR_HEIGHT,
			place(s->first + s->length, first),
			BAR_TOP + BAR_HEIGHT,
			place(s->second + s->length, second),
			FILE_STEP + BAR_TOP, place(s->second, second),
			FILE_STEP + BAR_TOP);
	}
}

static void draw_legend(FILE *out, size_t top)
{
	int x = MARGIN;

	for (int i = 0; i < MAP_KIND_COUNT + 2; i++, x += 140) {
		bool is_kind = i < MAP_KIND_COUNT;
		const char *colour = is_kind		   ? colours[i]
				     : i == MAP_KIND_COUNT ? SHARED_COLOUR
							   : PAIRED_COLOUR;
		const char *text = is_kind		 ? map_kind_names[i]
				   : i == MAP_KIND_COUNT ? "shared"
							 : "in both files";

		fprintf(out,
			"<rect x=\"%d\" y=\"%zu\" width=\"14\" height=\"14\" "
			"fill=\"%s\"/><text x=\"%d\" y=\"%zu\">%s</text>\n",
			x, top, colour, x + 20, top + 12, text);
	}
}

static int draw(FILE *out, const struct map *map)
{
	size_t height = map->count * FILE_STEP + MARGIN;
	int err = 0;

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
		"height=\"%zu\" font-family=\"sans-serif\" "
		"font-size=\"14\">\n",
		BAR_WIDTH + 2 * MARGIN, height);
	fputs("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n", out);
	for (size_t i = 0; i < map->count && !err; i++)
		err = draw_bar(out, &map->files[i], i);
	if (!err && map->sharing)
		draw_bands(out, map);
	draw_legend(out, height - 40);
	fputs("</svg>\n", out);
	return err;
}

/**
 * map_svg() - write the picture to a file
 * @name: is replaced
 *
 * Return: 0 or a negative errno.
 */
int map_svg(const struct map *map, const char *name)
{
	FILE *out = fopen(name, "we");
	int err;

	if (!out)
		return -errno;
	err = draw(out, map);
	if (fflush(out) && !err)
		err = -errno;
	if (fclose(out) && !err)
		err = -errno;
	return err;
}
