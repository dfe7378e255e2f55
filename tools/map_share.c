// SPDX-License-Identifier: MIT
/* Which parts of two files are stored in the same place. */
#include <errno.h>
#include <stdlib.h>

#include "map.h"

#define SHARES_MAX (8u << 20)

/* A part of the storage that a file uses, and where in the file. */
struct place {
	uint64_t physical, length;
	uint64_t offset;
};

/*
 * The storage of one file, in its order, without overlaps.  The address of a
 * compressed extent is that of its beginning, whichever part of it a file
 * uses, and its length there is not known: so it stands for itself only.
 */
struct storage {
	struct place *plain, *packed;
	size_t n_plain, n_packed;
};

static int by_physical(const void *a, const void *b)
{
	const struct place *left = a, *right = b;

	if (left->physical != right->physical)
		return left->physical < right->physical ? -1 : 1;
	/* The longest first, so that the others are the ones that go. */
	if (left->length != right->length)
		return left->length > right->length ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static bool is_packed(const struct map_piece *piece)
{
	return piece->kind == MAP_COMPRESSED || piece->kind == MAP_ENCRYPTED;
}

/* Cuts away what an earlier place covers: a file may share with itself. */
static size_t drop_overlaps(struct place *places, size_t count)
{
	uint64_t covered = 0;
	size_t kept = 0, i;

	for (i = 0; i < count; i++) {
		struct place place = places[i];
		uint64_t end = place.physical + place.length, cut;

		if (kept && end <= covered)
			continue;
		if (kept && place.physical < covered) {
			cut = covered - place.physical;
			place.physical += cut;
			place.offset += cut;
			place.length -= cut;
		}
		covered = end;
		places[kept++] = place;
	}
	return kept;
}

static size_t drop_doubles(struct place *places, size_t count)
{
	size_t kept = 0, i;

	for (i = 0; i < count; i++)
		if (!kept || places[kept - 1].physical != places[i].physical)
			places[kept++] = places[i];
	return kept;
}

static void storage_done(struct storage *storage)
{
	free(storage->plain);
	free(storage->packed);
}

static int storage_new(const struct map_layout *layout,
		       struct storage *ret_storage)
{
	struct storage storage = { 0 };
	size_t i;

	storage.plain = calloc(layout->count + 1, sizeof(struct place));
	storage.packed = calloc(layout->count + 1, sizeof(struct place));
	if (!storage.plain || !storage.packed) {
		storage_done(&storage);
		return -ENOMEM;
	}
	for (i = 0; i < layout->count; i++) {
		const struct map_piece *piece = &layout->pieces[i];
		const struct place place = { piece->physical, piece->length,
					     piece->offset };

		if (!piece->has_physical)
			continue;
		if (is_packed(piece))
			storage.packed[storage.n_packed++] = place;
		else
			storage.plain[storage.n_plain++] = place;
	}
	qsort(storage.plain, storage.n_plain, sizeof(struct place),
	      by_physical);
	qsort(storage.packed, storage.n_packed, sizeof(struct place),
	      by_physical);
	storage.n_plain = drop_overlaps(storage.plain, storage.n_plain);
	storage.n_packed = drop_doubles(storage.packed, storage.n_packed);
	*ret_storage = storage;
	return 0;
}

/* Index of the first place that ends behind @physical. */
static size_t find_place(const struct place *places, size_t count,
			 uint64_t physical)
{
	size_t low = 0, high = count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (places[middle].physical + places[middle].length > physical)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static const struct place *find_packed(const struct storage *storage,
				       uint64_t physical)
{
	const struct place key = { .physical = physical, .length = UINT64_MAX };
	size_t low = 0, high = storage->n_packed, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (by_physical(&storage->packed[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < storage->n_packed &&
			       storage->packed[low].physical == physical
		       ? &storage->packed[low]
		       : NULL;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int add_share(struct map_sharing *sharing, size_t *room,
		     const struct map_share *share)
{
	struct map_share *last =
		sharing->count ? &sharing->shares[sharing->count - 1] : NULL;
	struct map_share *shares;

	if (last && last->first + last->length == share->first &&
	    last->second + last->length == share->second) {
		last->length += share->length;
		return 0;
	}
	if (sharing->count == SHARES_MAX)
		return -E2BIG;
	if (sharing->count == *room) {
		*room = *room ? *room * 2 : 64;
		shares = reallocarray(sharing->shares, *room, sizeof(*shares));
		if (!shares)
			return -ENOMEM;
		sharing->shares = shares;
	}
	sharing->shares[sharing->count++] = *share;
	return 0;
}

static int share_piece(const struct map_piece *piece,
		       const struct storage *other, struct map_sharing *sharing,
		       size_t *room)
{
	uint64_t end = piece->physical + piece->length;
	const struct place *place;
	struct map_share share;
	uint64_t from, to;
	int err = 0;
	size_t i;

	if (is_packed(piece)) {
		place = find_packed(other, piece->physical);
		if (!place)
			return 0;
		share = (struct map_share){ piece->offset, place->offset,
					    smaller(piece->length,
						    place->length) };
		return add_share(sharing, room, &share);
	}
	i = find_place(other->plain, other->n_plain, piece->physical);
	for (; !err && i < other->n_plain; i++) {
		place = &other->plain[i];
		if (place->physical >= end)
			break;
		from = place->physical > piece->physical ? place->physical
							 : piece->physical;
		to = smaller(end, place->physical + place->length);
		share = (struct map_share){
			piece->offset + from - piece->physical,
			place->offset + from - place->physical, to - from
		};
		err = add_share(sharing, room, &share);
	}
	return err;
}

/* Every part of @layout that is stored where @other has something. */
static int find_shares(const struct map_layout *layout,
		       const struct storage *other,
		       struct map_sharing *ret_sharing)
{
	struct map_sharing sharing = { 0 };
	size_t room = 0, i;
	int err = 0;

	for (i = 0; i < layout->count && !err; i++)
		if (layout->pieces[i].has_physical)
			err = share_piece(&layout->pieces[i], other, &sharing,
					  &room);
	if (err)
		map_sharing_done(&sharing);
	else
		*ret_sharing = sharing;
	return err;
}

/* Storage that both use, each byte counted once. */
static uint64_t count_common(const struct storage *a, const struct storage *b)
{
	uint64_t bytes = 0, from, to;
	const struct place *place;
	size_t i = 0, j = 0;

	while (i < a->n_plain && j < b->n_plain) {
		const struct place *x = &a->plain[i], *y = &b->plain[j];
		uint64_t x_end = x->physical + x->length;
		uint64_t y_end = y->physical + y->length;

		from = x->physical > y->physical ? x->physical : y->physical;
		to = smaller(x_end, y_end);
		if (to > from)
			bytes += to - from;
		if (x_end <= y_end)
			i++;
		else
			j++;
	}
	for (i = 0; i < a->n_packed; i++) {
		place = find_packed(b, a->packed[i].physical);
		if (place)
			bytes += smaller(a->packed[i].length, place->length);
	}
	return bytes;
}

/* Splits pieces where a share begins or ends, and marks those inside. */
static int mark_pieces(struct map_layout *layout,
		       const struct map_sharing *sharing)
{
	struct map_piece *pieces;
	size_t count = 0, share = 0, i;

	pieces = reallocarray(NULL, layout->count + 2 * sharing->count + 1,
			      sizeof(*pieces));
	if (!pieces)
		return -ENOMEM;
	for (i = 0; i < layout->count; i++) {
		struct map_piece rest = layout->pieces[i], part;

		while (rest.length) {
			const struct map_share *s = &sharing->shares[share];
			uint64_t end = rest.offset + rest.length;

			part = rest;
			part.paired = share < sharing->count &&
				      s->first <= rest.offset;
			if (part.paired)
				end = smaller(end, s->first + s->length);
			else if (share < sharing->count)
				end = smaller(end, s->first);
			part.length = end - rest.offset;
			pieces[count++] = part;
			rest.offset = end;
			if (!is_packed(&rest))
				rest.physical += part.length;
			rest.length -= part.length;
			if (part.paired && end == s->first + s->length)
				share++;
		}
	}
	free(layout->pieces);
	layout->pieces = pieces;
	layout->count = count;
	return 0;
}

static int compare(struct map_layout *first, const struct storage *first_store,
		   struct map_layout *second,
		   const struct storage *second_store,
		   struct map_sharing *ret_sharing)
{
	struct map_sharing sharing, reverse;
	int err;

	err = find_shares(first, second_store, &sharing);
	if (err)
		return err;
	err = find_shares(second, first_store, &reverse);
	if (err) {
		map_sharing_done(&sharing);
		return err;
	}
	err = mark_pieces(first, &sharing);
	if (!err)
		err = mark_pieces(second, &reverse);
	map_sharing_done(&reverse);
	sharing.bytes = count_common(first_store, second_store);
	if (err)
		map_sharing_done(&sharing);
	else
		*ret_sharing = sharing;
	return err;
}

/**
 * map_layout_compare() - find what two files share with each other
 * @first, @second: of the same filesystem; their pieces get marked
 * @ret_sharing: set on success; free with map_sharing_done()
 *
 * Return: 0, -ENOMEM, or -E2BIG where there are too many parts.
 */
int map_layout_compare(struct map_layout *first, struct map_layout *second,
		       struct map_sharing *ret_sharing)
{
	struct storage first_store, second_store;
	int err;

	err = storage_new(first, &first_store);
	if (err)
		return err;
	err = storage_new(second, &second_store);
	if (!err) {
		err = compare(first, &first_store, second, &second_store,
			      ret_sharing);
		storage_done(&second_store);
	}
	storage_done(&first_store);
	return err;
}

void map_sharing_done(struct map_sharing *sharing)
{
	free(sharing->shares);
	sharing->shares = NULL;
	sharing->count = 0;
}
