/* SPDX-License-Identifier: MIT */
/* Comparing the tree that a mount shows with the one on the backing. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sample.h"
#include "stress_tree.h"
#include "volume.h"

struct names {
	char **at;
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(const char *path, struct names *ret)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	memset(ret, 0, sizeof(*ret));
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		ret->at = reallocarray(ret->at, ret->n + 1, sizeof(char *));
		ret->at[ret->n++] = strdup(entry->d_name);
	}
	closedir(dir);
	qsort(ret->at, ret->n, sizeof(char *), by_name);
	return 0;
}

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->at[i]);
	free(names->at);
}

static int differ(const char *path, const char *what)
{
	fprintf(stderr, "%s: %s differs\n", path, what);
	return 1;
}

static int compare(const char *a, const char *b);

static int compare_dirs(const char *a, const char *b)
{
	char sub_a[PATH_MAX], sub_b[PATH_MAX];
	struct names names_a, names_b;
	int result = 0;

	if (read_names(a, &names_a) || read_names(b, &names_b))
		return differ(a, "listing");
	if (names_a.n != names_b.n)
		result = differ(a, "number of entries");
	for (size_t i = 0; !result && i < names_a.n; i++) {
		if (strcmp(names_a.at[i], names_b.at[i]) != 0)
			result = differ(a, names_a.at[i]);
		if (result || strcmp(names_a.at[i], ".") == 0 ||
		    strcmp(names_a.at[i], "..") == 0)
			continue;
		volume_path(sub_a, a, names_a.at[i]);
		volume_path(sub_b, b, names_b.at[i]);
		result = compare(sub_a, sub_b);
	}
	names_done(&names_a);
	names_done(&names_b);
	return result;
}

static int compare(const char *a, const char *b)
{
	char link_a[256] = "", link_b[256] = "";
	struct stat st_a, st_b;

	if (lstat(a, &st_a) != 0 || lstat(b, &st_b) != 0)
		return differ(a, "existence");
	if (st_a.st_mode != st_b.st_mode || st_a.st_uid != st_b.st_uid ||
	    st_a.st_gid != st_b.st_gid)
		return differ(a, "mode or owner");
	if (st_a.st_size != st_b.st_size || st_a.st_nlink != st_b.st_nlink)
		return differ(a, "size or link count");
	if (st_a.st_ino != st_b.st_ino)
		return differ(a, "inode number");
	if (S_ISDIR(st_a.st_mode))
		return compare_dirs(a, b);
	if (S_ISREG(st_a.st_mode) && sample_is_same(a, b, NULL) != 1)
		return differ(a, "content");
	if (S_ISLNK(st_a.st_mode) &&
	    (readlink(a, link_a, 255) < 0 || readlink(b, link_b, 255) < 0 ||
	     strcmp(link_a, link_b) != 0))
		return differ(a, "target");
	return 0;
}

struct pair {
	const char *point;
	const char *source;
};

static int compare_pair(void *arg)
{
	const struct pair *pair = arg;

	return compare_dirs(pair->point, pair->source);
}

void stress_tree_compare(const char *point, const char *source,
			 const struct user *user)
{
	struct pair pair = { point, source };
	int result;

	process_sleep_ms(1200);
	result = user_call(user, compare_pair, &pair, 60);
	cr_expect(result == 0, "the trees differ (%d)", result);
}
