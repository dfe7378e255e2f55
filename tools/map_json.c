// SPDX-License-Identifier: MIT
/* The map as JSON, with every piece. */
#include <inttypes.h>
#include <stdio.h>

#include "map.h"
#include "tools.h"

static void print_piece(const struct map_piece *piece, bool first)
{
	printf("%s\n        { \"offset\": %" PRIu64 ", \"length\": %" PRIu64
	       ", \"kind\": \"%s\", \"shared\": %s, \"paired\": %s, "
	       "\"physical\": ",
	       first ? "" : ",", piece->offset, piece->length,
	       map_kind_names[piece->kind], piece->shared ? "true" : "false",
	       piece->paired ? "true" : "false");
	if (piece->has_physical)
		printf("%" PRIu64 " }", piece->physical);
	else
		fputs("null }", stdout);
}

static void print_file(const struct map_file *file, bool first)
{
	const struct map_layout *layout = &file->layout;

	printf("%s\n    {\n      \"file\": ", first ? "" : ",");
	text_json(stdout, file->name);
	printf(",\n      \"size\": %" PRIu64 ",\n      \"extents\": ",
	       layout->size);
	if (file->has_physical)
		printf("%zu", layout->extents);
	else
		fputs("null", stdout);
	fputs(",\n      \"bytes\": { ", stdout);
	for (int kind = 0; kind < MAP_KIND_COUNT; kind++)
		printf("\"%s\": %" PRIu64 ", ", map_kind_names[kind],
		       layout->bytes[kind]);
	printf("\"shared\": %" PRIu64 ", \"beyond\": %" PRIu64
	       " },\n      \"pieces\": [",
	       layout->shared, layout->beyond);
	for (size_t i = 0; i < layout->count; i++)
		print_piece(&layout->pieces[i], !i);
	fputs("\n      ]\n    }", stdout);
}

void map_json(const struct map *map)
{
	fputs("{\n  \"files\": [", stdout);
	for (size_t i = 0; i < map->count; i++)
		print_file(&map->files[i], !i);
	fputs("\n  ],\n  \"sharing\": ", stdout);
	if (!map->sharing) {
		puts("null\n}");
		return;
	}
	printf("{\n    \"bytes\": %" PRIu64 ",\n    \"parts\": [",
	       map->sharing->bytes);
	for (size_t i = 0; i < map->sharing->count; i++) {
		const struct map_share *share = &map->sharing->shares[i];

		printf("%s\n      { \"first\": %" PRIu64
		       ", \"second\": %" PRIu64 ", \"length\": %" PRIu64 " }",
		       i ? "," : "", share->first, share->second,
		       share->length);
	}
	puts("\n    ]\n  }\n}");
}
