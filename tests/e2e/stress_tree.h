/* SPDX-License-Identifier: MIT */
/* Comparing the tree that a mount shows with the one on the backing. */
#ifndef E2E_STRESS_TREE_H
#define E2E_STRESS_TREE_H

#include "process.h"

/**
 * stress_tree_compare() - fail the test unless two trees are the same
 * @point: tree on the mount
 * @source: tree on the backing
 * @user: who may look at the mount, or NULL for root
 *
 * Compares names, types, modes, owners, sizes, link counts, inode numbers,
 * contents and link targets, after the caches' timeout.
 */
void stress_tree_compare(const char *point, const char *source,
			 const struct user *user);

#endif
