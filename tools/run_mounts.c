// SPDX-License-Identifier: MIT
/* Which mounts are of offlayfs, found out without asking their servers. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#include "run.h"

/* Linux 6.8: ids that are not given twice. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

#define KNOWN 64

struct known {
	uint64_t id; /* 0: free */
	bool is_ours;
};

struct run_mounts {
	pthread_mutex_t lock; /* guards all below */
	struct known known[KNOWN];
	unsigned int next; /* to be replaced */
};

int run_mounts_new(struct run_mounts **ret_mounts)
{
	struct run_mounts *mounts = calloc(1, sizeof(*mounts));

	if (!mounts)
		return -ENOMEM;
	pthread_mutex_init(&mounts->lock, NULL);
	*ret_mounts = mounts;
	return 0;
}

static char *read_all(const char *name)
{
	size_t size = 0, room = 0;
	char *text = NULL, *larger;
	FILE *file = fopen(name, "re");

	if (!file)
		return NULL;
	do {
		if (size + 4096 >= room) {
			room = room * 2 + 16384;
			larger = realloc(text, room);
			if (!larger)
				break;
			text = larger;
		}
		size += fread(text + size, 1, room - size - 1, file);
	} while (!feof(file) && !ferror(file));
	fclose(file);
	if (text)
		text[size] = '\0';
	return text;
}

/* A mount of no namespace that we can see is asked itself. */
static bool find(int fd, uint64_t id, pid_t tid)
{
	bool is_ours = false, is_found = false;
	char name[64], *text;
	struct statfs fs;

	snprintf(name, sizeof(name), "/proc/%d/mountinfo", (int)tid);
	for (int i = 0; i < 2 && !is_found; i++) {
		text = read_all(i ? "/proc/self/mountinfo" : name);
		is_found = text && run_mounts_parse(text, id, &is_ours);
		free(text);
	}
	if (is_found)
		return is_ours;
	return fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC;
}

static bool look_up(struct run_mounts *mounts, uint64_t id, bool *ret_is_ours)
{
	bool is_known = false;

	pthread_mutex_lock(&mounts->lock);
	for (unsigned int i = 0; i < KNOWN && !is_known; i++) {
		is_known = mounts->known[i].id == id;
		if (is_known)
			*ret_is_ours = mounts->known[i].is_ours;
	}
	pthread_mutex_unlock(&mounts->lock);
	return is_known;
}

static void remember(struct run_mounts *mounts, uint64_t id, bool is_ours)
{
	pthread_mutex_lock(&mounts->lock);
	mounts->known[mounts->next] = (struct known){ id, is_ours };
	mounts->next = (mounts->next + 1) % KNOWN;
	pthread_mutex_unlock(&mounts->lock);
}

/* @ret_id: 0 where this kernel has no such ids. */
static bool look_at(int fd, unsigned int kind, mode_t *ret_mode,
		    uint64_t *ret_id)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | kind,
		  &stx))
		return false;
	*ret_mode = stx.stx_mode;
	*ret_id = stx.stx_mask & kind ? stx.stx_mnt_id : 0;
	return true;
}

bool run_mounts_has(struct run_mounts *mounts, int fd, pid_t tid)
{
	uint64_t unique, id;
	bool is_ours = false;
	mode_t mode;

	if (!look_at(fd, STATX_MNT_ID_UNIQUE, &mode, &unique) ||
	    (!S_ISREG(mode) && !S_ISDIR(mode)))
		return false;
	if (unique && look_up(mounts, unique, &is_ours))
		return is_ours;
	if (!look_at(fd, STATX_MNT_ID, &mode, &id))
		return false;
	is_ours = find(fd, id, tid);
	if (unique)
		remember(mounts, unique, is_ours);
	return is_ours;
}
