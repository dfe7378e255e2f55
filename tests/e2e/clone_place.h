/* SPDX-License-Identifier: MIT */
/* Tests of clone, dedupe and extent map on backings that can share. */
#ifndef E2E_CLONE_PLACE_H
#define E2E_CLONE_PLACE_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <limits.h>
#include <stdint.h>
#include "mount.h"
#include "volume.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

/* A directory of a backing that can clone, and its mount. */
struct clone_place {
	enum backing backing;
	struct volume volume;
	char dir[PATH_MAX];
	struct mount mount;
};

/* One test a backing that can clone: "static void name_on(place)". */
#define CLONE_ON_EACH_BACKING(suite, name)                    \
	static void name##_on(struct clone_place *place);     \
	ParameterizedTestParameters(suite, name)              \
	{                                                     \
		return clone_backings();                      \
	}                                                     \
	ParameterizedTest(enum backing *backing, suite, name) \
	{                                                     \
		struct clone_place place;                     \
                                                              \
		clone_place_init(*backing, &place);           \
		name##_on(&place);                            \
	}                                                     \
	static void name##_on(struct clone_place *place)

struct criterion_test_params clone_backings(void);
/* Without the mount. */
void clone_place_init(enum backing backing, struct clone_place *ret_place);
/* Opens a name below the mount; fails the test where that fails. */
int clone_open(const struct clone_place *place, const char *name, int flags);
/* Makes a file of random data on the backing. */
void clone_file(const struct clone_place *place, const char *name,
		uint64_t size, uint64_t seed);
/* Fails the test unless the file shares all of its data; on the backing. */
void clone_is_shared(const struct clone_place *place, const char *name);
/* Fails the test unless both hold the same bytes; names on the backing. */
void clone_is_same(const struct clone_place *place, const char *a,
		   const char *b);
/* What a shell command writes to both outputs; the caller frees it. */
void clone_output(const char *command, char **ret_text);

#endif
