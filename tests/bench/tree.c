// SPDX-License-Identifier: MIT
/* Benchmark of small files: what unpacking, listing and removing a tree costs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define DIRS	   20
#define FILES	   250
#define FILE_BYTES 4096

static void unpack(struct way *way)
{
	static const char data[FILE_BYTES] = "small";
	char path[PATH_MAX + 64];

	for (int d = 0; d < DIRS; d++) {
		snprintf(path, sizeof(path), "%s/%02d", way->dst, d);
		if (mkdir(path, 0755))
			die(path);
		for (int f = 0; f < FILES; f++) {
			int fd;

			snprintf(path, sizeof(path), "%s/%02d/%03d", way->dst,
				 d, f);
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
			if (fd < 0 || write(fd, data, sizeof(data)) < 0)
				die(path);
			fchmod(fd, 0640);
			close(fd);
		}
	}
}

/* As ls -l does: each entry's attributes. */
static void list_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		die(path);
	while ((entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW))
			die(entry->d_name);
	closedir(dir);
}

static void list(struct way *way)
{
	char path[PATH_MAX + 64];

	for (int d = 0; d < DIRS; d++) {
		snprintf(path, sizeof(path), "%s/%02d", way->dst, d);
		list_dir(path);
	}
}

static void clear(struct way *way)
{
	char path[PATH_MAX + 64];

	for (int d = 0; d < DIRS; d++) {
		for (int f = 0; f < FILES; f++) {
			snprintf(path, sizeof(path), "%s/%02d/%03d", way->dst,
				 d, f);
			if (unlink(path))
				die(path);
		}
		snprintf(path, sizeof(path), "%s/%02d", way->dst, d);
		if (rmdir(path))
			die(path);
	}
}

#define STEPS	 3
#define DIRS_MAX 12

static void (*const steps[STEPS])(struct way *way) = { unpack, list, clear };
static const char *const step_names[STEPS] = { "unpack 5,000 files",
					       "list 5,000 files",
					       "remove 5,000 files" };

/* One tree, in steps that follow each other. */
static void tree_round(char *dir, double *const ms[STEPS])
{
	struct way way = { .name = dir };

	join(way.dst, dir, "tree");
	if (mkdir(way.dst, 0755))
		die(way.dst);
	pair_wait();
	for (int s = 0; s < STEPS; s++) {
		way.run = steps[s];
		*ms[s] = pair_time(&way);
	}
	rmdir(way.dst);
}

/* The first directory is the backing itself; the others are compared to it. */
void tree_rows(unsigned int count, char **names, char **dirs,
	       unsigned int rounds)
{
	static double ms[STEPS][DIRS_MAX][PAIR_ROUNDS_MAX];

	if (count > DIRS_MAX || rounds > PAIR_ROUNDS_MAX) {
		errno = E2BIG;
		die("tree");
	}
	pair_settle(dirs[0]);
	for (unsigned int round = 0; round < rounds; round++)
		for (unsigned int i = 0; i < count; i++) {
			unsigned int d = (i + round) % count;
			double *const here[STEPS] = { &ms[0][d][round],
						      &ms[1][d][round],
						      &ms[2][d][round] };

			tree_round(dirs[d], here);
		}
	for (int s = 0; s < STEPS; s++) {
		struct way base = { .name = names[0] };

		base.ms = pair_median(ms[s][0], rounds);
		for (unsigned int i = 1; i < count; i++) {
			struct way ours = { .name = names[i] };

			ours.ms = pair_median(ms[s][i], rounds);
			pair_print(step_names[s], "btrfs", &base, &ours,
				   i == 1 ? 3 : 0);
		}
	}
}
