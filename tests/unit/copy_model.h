/* SPDX-License-Identifier: MIT */
/* What a copy must leave behind, whatever went wrong: checked byte by byte. */
#ifndef OFFLAY_TEST_COPY_MODEL_H
#define OFFLAY_TEST_COPY_MODEL_H

#include "fakefs.h"

struct copy_case {
	int src, dst; /* files of the fake */
	uint64_t src_offset, dst_offset, length;
	unsigned int methods, flags;
	uint64_t max_move;
};

struct model {
	struct fake before;
	const struct copy_case *copy;
	uint64_t expected; /* bytes that a whole copy has */
	const char *wrong; /* the first thing that was wrong, NULL so far */
};

/* Runs the copy on @engine (NULL: one of its own) and checks what is left. */
int model_run(struct fake *fake, struct offlay_engine *engine,
	      const struct copy_case *copy, struct offlay_result *ret_result,
	      const char **ret_wrong);

#endif
