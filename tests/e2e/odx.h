/* SPDX-License-Identifier: MIT */
/* Offloaded data transfer on a mount: what its tests share. */
#ifndef E2E_ODX_H
#define E2E_ODX_H

#include <limits.h>
#include <stdint.h>
#include "mount.h"
#include "offlay_odx.h"
#include "volume.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

/* A mounted directory of a backing that can clone. */
struct odx_place {
	enum backing backing;
	struct volume volume;
	char dir[PATH_MAX]; /* on the backing */
	struct mount mount;
};

/* One test a backing that can clone: "static void name_on(place)". */
#define ODX_ON_EACH_BACKING(suite, name)                      \
	static void name##_on(struct odx_place *place);       \
	ParameterizedTestParameters(suite, name)              \
	{                                                     \
		return odx_backings();                        \
	}                                                     \
	ParameterizedTest(enum backing *backing, suite, name) \
	{                                                     \
		struct odx_place place;                       \
                                                              \
		odx_place_init(*backing, &place);             \
		name##_on(&place);                            \
	}                                                     \
	static void name##_on(struct odx_place *place)

struct criterion_test_params odx_backings(void);
/* Without the mount. */
void odx_place_init(enum backing backing, struct odx_place *ret_place);

/* Opens a name below the mount; fails the test where that fails. */
int odx_open(const struct odx_place *place, const char *name, int flags);
/* Makes a file of random data on the backing. */
void odx_file(const struct odx_place *place, const char *name, uint64_t size,
	      uint64_t seed);
/* Gives the file of a name a size, through the mount. */
int odx_new(const struct odx_place *place, const char *name, uint64_t size);

/* These return an NTSTATUS, 0 for success, and check errno against it. */
uint32_t odx_read(int fd, uint64_t offset, uint64_t length, uint32_t ttl,
		  struct offlay_token *ret_token, uint64_t *ret_length);
uint32_t odx_write(int fd, uint64_t offset, uint64_t length,
		   uint64_t token_offset, const struct offlay_token *token,
		   uint64_t *ret_length);
uint32_t odx_drop(int fd, const struct offlay_token *token);
/* Sets limits in the words of the option tokens=. */
void odx_limits(const struct odx_place *place, const char *words);
/* Tokens that are alive on the mount. */
uint64_t odx_alive(const struct odx_place *place, uint64_t *ret_bytes);
/* Fails the test unless both hold the same bytes; names on the backing. */
void odx_same(const struct odx_place *place, const char *a, const char *b);

#endif
