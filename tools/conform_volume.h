/* SPDX-License-Identifier: MIT */
/* A volume of our own, in a file: what conform_place.c asks for. */
#ifndef OFFLAY_CONFORM_VOLUME_H
#define OFFLAY_CONFORM_VOLUME_H

#include <stdbool.h>

struct conform_options;
struct conform_place;

/*
 * Makes and mounts a volume below place->dir and sets place->volume.  Return:
 * whether it did; if not, what is missing has been noted, or reported where
 * the user asked for a volume.
 */
bool conform_volume_make(const struct conform_options *opt,
			 struct conform_place *place);

/* conform_place.c: something that the results will lack, and why */
void conform_place_lacks(struct conform_place *place, const char *what,
			 const char *why);

#endif
