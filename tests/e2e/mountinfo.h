/* SPDX-License-Identifier: MIT */
/* Reading /proc/self/mountinfo, which answers without asking a filesystem. */
#ifndef E2E_MOUNTINFO_H
#define E2E_MOUNTINFO_H

#include <limits.h>
#include <stddef.h>

struct mountinfo_entry {
	char path[PATH_MAX];
	char type[64];
	char source[PATH_MAX];
};

struct mountinfo_list {
	struct mountinfo_entry *at;
	size_t n;
};

/**
 * mountinfo_below() - the mounts at or below a directory, in mount order
 * @dir: absolute path without symlinks
 * @ret_list: set on success; free with mountinfo_done()
 *
 * Return: 0 or -errno.
 */
int mountinfo_below(const char *dir, struct mountinfo_list *ret_list);

void mountinfo_done(struct mountinfo_list *list);

/**
 * mountinfo_find() - the topmost mount at exactly this path
 * @path: absolute path without symlinks
 * @ret_entry: set on success, or NULL
 *
 * Return: 0 or -ENOENT.
 */
int mountinfo_find(const char *path, struct mountinfo_entry *ret_entry);

#endif
