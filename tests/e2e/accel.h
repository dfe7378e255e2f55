/* SPDX-License-Identifier: MIT */
/* What the tests of copies by read and write share. */
#ifndef E2E_ACCEL_H
#define E2E_ACCEL_H

#include <stdint.h>
#include "mount.h"
#include "offlay_trace.h"

/* The mount's counters; fails the test where they cannot be had. */
void accel_counters(const struct mount *mount,
		    struct offlay_ioc_stats *ret_stats);
/* One of enum offlay_stat. */
uint64_t accel_counter(const struct mount *mount, unsigned int stat);
/* The first hole of a file, its size if there is none; or a negative errno. */
int64_t accel_first_hole(const char *path);

#endif
