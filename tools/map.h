/* SPDX-License-Identifier: MIT */
/* What the files of "offlay map" share; grouped by the .c file that has it. */
#ifndef OFFLAY_MAP_H
#define OFFLAY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* map_extents.c: what the filesystem says of a file. */

/* An extent as FIEMAP has it, in the order of the file. */
struct map_extent {
	uint64_t logical, physical, length;
	uint32_t flags; /* FIEMAP_EXTENT_* */
};

/* Where a file's data is, as far as the filesystem tells. */
struct map_extents {
	struct map_extent *items;
	size_t count, room;
	uint64_t size;	   /* of the file */
	uint64_t block;	   /* of the filesystem */
	bool has_physical; /* else only data and holes are known */
};

/* Neighbours are merged.  Return: 0 or a negative errno. */
int map_extents_read(int fd, struct map_extents *ret_extents);
int map_extents_add(struct map_extents *extents,
		    const struct map_extent *extent);
void map_extents_done(struct map_extents *extents);
/* Do the addresses of two files mean the same storage? */
enum map_relation { MAP_ONE_FILESYSTEM, MAP_TWO_FILESYSTEMS, MAP_NOT_KNOWN };
int map_extents_compare(int fd_a, int fd_b, enum map_relation *ret_relation);

/* map_layout.c: pure. */

enum map_kind {
	MAP_HOLE,
	MAP_DATA,
	MAP_UNWRITTEN,
	MAP_COMPRESSED,
	MAP_ENCRYPTED,
	MAP_KIND_COUNT,
};

/* A part of a file that is of one kind. */
struct map_piece {
	uint64_t offset, length;
	uint64_t physical; /* where has_physical */
	enum map_kind kind;
	bool has_physical;
	bool shared; /* with any file, as the filesystem says */
	bool paired; /* with the other file of this map */
};

/* A whole file, without a gap, from 0 to its size. */
struct map_layout {
	struct map_piece *pieces;
	size_t count;
	uint64_t size;
	uint64_t beyond; /* whole blocks allocated behind the end */
	uint64_t bytes[MAP_KIND_COUNT];
	uint64_t shared; /* of all kinds */
	size_t extents;	 /* as stored */
};

int map_layout_new(const struct map_extents *extents,
		   struct map_layout *ret_layout);
void map_layout_done(struct map_layout *layout);

/* A part of one file that is stored where a part of the other is. */
struct map_share {
	uint64_t first, second; /* offset in either file */
	uint64_t length;
};

struct map_sharing {
	struct map_share *shares; /* in the order of the first file */
	size_t count;
	uint64_t bytes; /* of storage that both use */
};

/* Splits and marks the pieces of both layouts, too. */
int map_layout_compare(struct map_layout *first, struct map_layout *second,
		       struct map_sharing *ret_sharing);
void map_sharing_done(struct map_sharing *sharing);

/* What one column of a picture shows: what it holds most of. */
struct map_column {
	enum map_kind kind;
	bool shared, paired;
};

void map_layout_columns(const struct map_layout *layout,
			struct map_column *columns, size_t count);

/* cmd_map.c */

struct map_file {
	const char *name;
	struct map_layout layout;
	bool has_physical;
};

/* One or two files; sharing is NULL where it was not or cannot be looked for.
 */
struct map {
	const struct map_file *files;
	size_t count;
	const struct map_sharing *sharing;
};

extern const char *const map_kind_names[MAP_KIND_COUNT];

/* map_print.c: for people, to stdout; @width in columns */
int map_print(const struct map *map, size_t width, bool has_colour);
/* map_json.c */
void map_json(const struct map *map);
/* map_svg.c: a picture for reports.  Return: 0 or a negative errno. */
int map_svg(const struct map *map, const char *name);

#endif
