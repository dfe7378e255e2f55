/* SPDX-License-Identifier: MIT */
/* Fault rules on a mount: what their tests share. */
#ifndef E2E_RULES_H
#define E2E_RULES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "fault.h"
#include "mount.h"
#include "offlay_uapi.h"
#include "volume.h"

#define RULES_SIZE 65536 /* of the file "a" */

/* Which backing and mode; tests loop over all of these. */
struct rules_case {
	enum backing backing;
	enum mount_mode mode;
};

/* A mounted directory with the file "a" of random bytes. */
struct rules_place {
	const struct rules_case *where;
	struct volume volume;
	char dir[PATH_MAX]; /* on the backing */
	struct mount mount;
};

/* The next case that is selected, or NULL at the end. */
const struct rules_case *rules_next_case(const struct rules_case *last);
/* "btrfs, passthrough" */
const char *rules_case_name(const struct rules_case *where);
/* @options: for -o, or NULL */
void rules_place_open(const struct rules_case *where, const char *options,
		      struct rules_place *ret_place);
void rules_place_close(struct rules_place *place);
/* The first selected case, for what does not depend on it. */
void rules_place_any(const char *options, struct rules_place *ret_place);

/* Below the mount; fails the test where that fails. */
int rules_open(const struct rules_place *place, const char *name, int flags);
void rules_path_of(const struct rules_place *place, const char *name,
		   char *ret_path);
/* Replaces all rules, or fails the test; "" clears them. */
void rules_set(const struct rules_place *place, const char *text);
void rules_clear(const struct rules_place *place);
/* The rule at this index, as the mount lists it. */
void rules_get(const struct rules_place *place, uint32_t index,
	       struct offlay_ioc_rules_list *ret_rule);
/* Waits until so many requests wait; fails the test after five seconds. */
void rules_wait_for(const struct rules_place *place, uint32_t waiting);
/* Fails the test unless both hold the same bytes; names on the backing. */
void rules_same(const struct rules_place *place, const char *a, const char *b);

#endif
