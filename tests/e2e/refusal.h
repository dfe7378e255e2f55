/* SPDX-License-Identifier: MIT */
/* What the tests of refused copies share. */
#ifndef E2E_REFUSAL_H
#define E2E_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "mount.h"
#include "volume.h"

#define REFUSAL_SIZE (1u << 20)

/* A mounted directory with a sparse source and a destination full of data. */
struct refusal_place {
	struct volume volume;
	struct mount mount;
	char below[PATH_MAX]; /* the directory on the backing */
};

/* Which backing and mode; tests loop over all of these. */
struct refusal_case {
	enum backing backing;
	enum mount_mode mode;
};

/* The next case that is selected and possible here, or NULL at the end. */
const struct refusal_case *refusal_next_case(const struct refusal_case *last);
void refusal_place_open(const struct refusal_case *where,
			struct refusal_place *ret_place);
void refusal_place_close(struct refusal_place *place);

/* A file of REFUSAL_SIZE: sparse (a hole in its middle), or full. */
void refusal_make(const struct refusal_place *place, const char *name,
		  bool sparse);
int refusal_open(const struct refusal_place *place, const char *name,
		 int flags);
/* copy_file_range() at offset 0; the count or a negative errno. */
ssize_t refusal_copy(int src_fd, off_t src_at, int dst_fd, off_t dst_at,
		     size_t length);
/* "btrfs, passthrough" */
const char *refusal_case_name(const struct refusal_case *where);

#endif
