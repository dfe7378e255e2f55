/* SPDX-License-Identifier: MIT */
/* Is this stream of writes a copy of that file?  match.c: pure. */
#ifndef OFFLAY_MATCH_H
#define OFFLAY_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Fewer bytes are cheaper to write than to clone, and cut the file into more
 * extents than it would have had.
 */
#define MATCH_MIN (64u << 10)

/* How much may be written without a match before nobody looks any more. */
#define MATCH_PATIENCE	    (1u << 20)
#define MATCH_PATIENCE_LONG (16u << 20) /* once there was one */

/* ------------------------------------------------------------ fingerprints */

/* As much of the beginning of a source is known by fingerprints. */
#define MATCH_HEAD (1u << 20)

struct match_index;

/*
 * @head: the first @size bytes of a source; whole blocks of it are known
 * afterwards, but for those that say nothing, all of one byte.
 */
int match_index_new(const void *head, size_t size, uint32_t block,
		    struct match_index **ret_index);
void match_index_free(struct match_index *index); /* takes NULL */
/*
 * Looks for the first block of @data, which goes to @offset, that the source
 * begins with somewhere.  A fingerprint proves nothing: compare.
 *
 * @ret_shift: what to add to an offset of the destination for the source's
 */
bool match_index_find(const struct match_index *index, const void *data,
		      size_t size, uint64_t offset, int64_t *ret_shift);

/* ----------------------------------------------------------------- streams */

enum match_state {
	MATCH_LOOKING,	 /* for a source, at the same offset and elsewhere */
	MATCH_FOLLOWING, /* one source, with one shift */
	MATCH_GIVEN_UP,	 /* for good */
};

/* All that is known of the writes into one destination. */
struct match {
	enum match_state state;
	uint32_t block;	 /* of both filesystems, a power of two */
	int64_t shift;	 /* of the last match */
	uint64_t missed; /* bytes since then, or since the first write */
	uint64_t shared; /* bytes, in all */
};

void match_init(struct match *match, uint32_t block);

/* One write, and where it would come from. */
struct match_try {
	uint64_t src_offset, src_size;
	uint64_t dst_offset, dst_size; /* before the write */
	uint64_t length;
};

/*
 * How to cut a write: @head and @tail bytes are written, what is between them
 * is compared and cloned.
 */
struct match_cut {
	uint64_t head, middle, tail;
};

/* The source's offset for @offset; false where it has none. */
bool match_src_offset(int64_t shift, uint64_t offset, uint64_t *ret_offset);
/*
 * False: not worth it.  A short middle is only worth it as the end of a file
 * that is followed.
 */
bool match_cut(const struct match *match, const struct match_try *try,
	       struct match_cut *ret_cut);
/* What became of a write of @length bytes, of which @shared were cloned. */
void match_hit(struct match *match, int64_t shift, uint64_t shared);
void match_miss(struct match *match, uint64_t length);
/*
 * The bytes are the source's, but could not be shared just now: a reason to
 * write them, and to try again for longer than after a miss.
 */
void match_busy(struct match *match, int64_t shift, uint64_t length);
void match_give_up(struct match *match);

#endif
