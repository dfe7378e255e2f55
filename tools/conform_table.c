// SPDX-License-Identifier: MIT
/* The behaviours that a copy may meet, and the files it is tried with. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conform.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

#define ALL	CONFORM_ALL
#define USUAL	(CONFORM_DEFAULT | CONFORM_FULL)
#define SPECIAL CONFORM_FULL

#define REFUSED(name) "copy,clone : errno=" name "\n"
/*
 * Each operation has its own.  A short read makes for a small write, which
 * cannot be cut: hence more of them.
 */
#define SHORT(cond, how)                          \
	"copy count=50" cond " : short=" how "\n" \
	"read count=25" cond " : short=" how "\n" \
	"write count=40" cond " : short=" how "\n"
/*
 * The daemon's own clones meet rules for clones, too: a rule that counts calls
 * or bytes of copies must not count these.
 */

/* The first piece gets through, then nothing does until we let it. */
#define HELD                                  \
	"copy,read count=1 : short={piece}\n" \
	"copy,read,write count=1 : hang=5000\n"

const struct conform_behaviour conform_behaviours[] = {
	{ "clone", "nothing in the way", "", CONFORM_NOTHING, false, 0, ALL },
	{ "eopnotsupp", "copy refused: EOPNOTSUPP", REFUSED("EOPNOTSUPP"),
	  CONFORM_NOTHING, false, 0, ALL },
	{ "einval", "copy refused: EINVAL", REFUSED("EINVAL"), CONFORM_NOTHING,
	  false, 0, USUAL },
	{ "exdev", "copy refused: EXDEV", REFUSED("EXDEV"), CONFORM_NOTHING,
	  false, 0, USUAL },
	{ "enosys", "copy refused: ENOSYS", "copy : errno=ENOSYS\n",
	  CONFORM_NOTHING, false, 0, USUAL },
	{ "eperm", "copy refused: EPERM", REFUSED("EPERM"), CONFORM_NOTHING,
	  false, 0, USUAL },
	{ "etxtbsy", "copy refused: ETXTBSY", REFUSED("ETXTBSY"),
	  CONFORM_NOTHING, false, 0, USUAL },
	{ "short-1", "counts of 1 byte", SHORT("", "1"), CONFORM_NOTHING, false,
	  0, ALL },
	{ "short-4095", "counts of 4095 bytes", SHORT("", "4095"),
	  CONFORM_NOTHING, false, 0, USUAL },
	{ "short-block", "counts of one block", SHORT("", "1blocks"),
	  CONFORM_NOTHING, false, 0, USUAL },
	{ "short-random", "counts by chance", SHORT(" seed={seed}", "random"),
	  CONFORM_NOTHING, false, 0, ALL },
	{ "zero-at-end", "0 one byte before the size that the source had",
	  "copy,read,write count=1 : hang=5000\n", CONFORM_SHORTEN, true, 1,
	  USUAL },
	{ "zero-at-start", "copy says 0 where there is data",
	  "copy count=1 : zero unsafe\n", CONFORM_NOTHING, true, 1, ALL },
	{ "eintr", "interrupted: EINTR",
	  "copy count=3 : errno=EINTR\n"
	  "read count=3 : errno=EINTR\n"
	  "write count=3 : errno=EINTR\n",
	  CONFORM_NOTHING, true, 0, ALL },
	{ "eio", "EIO at the start", "copy,clone,read,write : errno=EIO\n",
	  CONFORM_NOTHING, true, 0, USUAL },
	{ "eio-middle", "EIO in the middle",
	  "copy,read,write after={half} : errno=EIO\n", CONFORM_NOTHING, true,
	  2, ALL },
	{ "enospc", "disk full at the start",
	  "copy,clone,write : errno=ENOSPC\n", CONFORM_NOTHING, true, 0,
	  USUAL },
	{ "enospc-middle", "disk full in the middle",
	  "copy,write after={half} : errno=ENOSPC\n", CONFORM_NOTHING, true, 2,
	  ALL },
	{ "edquot", "over quota at the start",
	  "copy,clone,write : errno=EDQUOT\n", CONFORM_NOTHING, true, 0,
	  USUAL },
	{ "edquot-middle", "over quota in the middle",
	  "copy,write after={half} : errno=EDQUOT\n", CONFORM_NOTHING, true, 2,
	  USUAL },
	{ "grows", "source grows meanwhile", HELD, CONFORM_GROW, true, 0, ALL },
	{ "shrinks", "source shrinks meanwhile", HELD, CONFORM_SHRINK, true, 2,
	  ALL },
	{ "replaced", "source is replaced meanwhile", HELD, CONFORM_REPLACE,
	  true, 1, USUAL },
	{ "slow", "slow storage", "copy,read,write count=10 : delay=40\n",
	  CONFORM_NOTHING, false, 0, USUAL },
	{ "signal", "SIGTERM meanwhile", HELD, CONFORM_SIGNAL, true, 0, ALL },
	{ "refused-late", "copy refused after progress: EOPNOTSUPP",
	  "copy count=1 : short={piece}\n"
	  "copy,clone : errno=EOPNOTSUPP\n",
	  CONFORM_NOTHING, true, 2, SPECIAL },
	{ "open-eio", "source cannot be opened: EIO",
	  "open file=\"in/*\" : errno=EIO\n", CONFORM_NOTHING, true, 0,
	  SPECIAL },
	{ "create-enospc", "no room for a new file: ENOSPC",
	  "create : errno=ENOSPC\n", CONFORM_NOTHING, true, 0, SPECIAL },
};

const size_t conform_behaviour_count =
	sizeof(conform_behaviours) / sizeof(conform_behaviours[0]);

const struct conform_file conform_files[] = {
	{ "empty", "empty", "empty", "no byte", 0, CONFORM_PLAIN, 0644, USUAL },
	{ "1-byte", "1", "1-byte", "one byte", 1, CONFORM_PLAIN, 0644, USUAL },
	{ "block-1", "b-1", "block-1", "one byte less than a block", 4095,
	  CONFORM_PLAIN, 0644, USUAL },
	{ "block", "b", "block", "one block", 4096, CONFORM_PLAIN, 0644,
	  SPECIAL },
	{ "block+1", "b+1", "block+1", "one byte more than a block", 4097,
	  CONFORM_PLAIN, 0644, ALL },
	{ "5MiB", "5M", "5MiB", "5 MiB", 5 * MIB, CONFORM_PLAIN, 0644, ALL },
	{ "sparse", "sparse", "sparse", "5 MiB with data at three places",
	  5 * MIB, CONFORM_SPARSE, 0644, ALL },
	{ "hole-start", "^hole", "hole-start", "1 MiB of hole, then data",
	  MIB + 200 * KIB, CONFORM_HOLE_START, 0644, USUAL },
	{ "hole-end", "hole$", "hole-end", "data, then 1 MiB of hole",
	  MIB + 200 * KIB, CONFORM_HOLE_END, 0644, ALL },
	{ "allocated", "alloc", "allocated",
	  "data, then 1 MiB that was allocated and never written",
	  MIB + 200 * KIB, CONFORM_ALLOCATED, 0644, USUAL },
	{ "read-only", "0444", "read-only", "mode 0444", 100 * KIB,
	  CONFORM_PLAIN, 0444, USUAL },
	{ "extents", "frag", "extents", "in many extents", 512 * KIB,
	  CONFORM_EXTENTS, 0644, USUAL },
	{ "newline", "\\n", "new\nline", "a newline in its name", 100 * KIB,
	  CONFORM_PLAIN, 0644, USUAL },
};

const size_t conform_file_count =
	sizeof(conform_files) / sizeof(conform_files[0]);

unsigned int conform_matrix(const char *name)
{
	if (!strcmp(name, "quick"))
		return CONFORM_QUICK;
	if (!strcmp(name, "default"))
		return CONFORM_DEFAULT;
	return strcmp(name, "full") ? 0 : CONFORM_FULL;
}

/* @only: globs "BEHAVIOUR/FILE", or "BEHAVIOUR" for all files. */
bool conform_selects(const char *const *only, size_t count,
		     const struct conform_behaviour *behaviour,
		     const struct conform_file *file)
{
	char name[64];
	size_t i;

	snprintf(name, sizeof(name), "%s/%s", behaviour->name, file->name);
	for (i = 0; i < count; i++)
		if (!fnmatch(only[i],
			     strchr(only[i], '/') ? name : behaviour->name, 0))
			return true;
	return false;
}

bool conform_applies(const struct conform_behaviour *behaviour,
		     const struct conform_file *file)
{
	return file->size >= behaviour->min_size;
}

static void put_number(FILE *out, const char *name, uint64_t data,
		       uint64_t seed)
{
	uint64_t half = data / 2 ? data / 2 : 1;

	if (!strncmp(name, "{seed}", 6))
		fprintf(out, "%" PRIu64, seed);
	else if (!strncmp(name, "{piece}", 7))
		fprintf(out, "%" PRIu64, half < 64 * KIB ? half : 64 * KIB);
	else
		fprintf(out, "%" PRIu64, half);
}

char *conform_rules_text(const struct conform_behaviour *behaviour,
			 uint64_t data, uint64_t seed)
{
	const char *in = behaviour->rules;
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	bool failed;

	if (!out)
		return NULL;
	while (*in) {
		if (*in == '{') {
			put_number(out, in, data, seed);
			in += strcspn(in, "}");
		} else {
			fputc(*in, out);
		}
		in++;
	}
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return NULL;
	}
	return text;
}
