// SPDX-License-Identifier: MIT
/* What is known of an open file, learned with the fewest system calls. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "private.h"

/*
 * A kernel tick is 10 ms at most, and that is how far apart two changes can
 * be while they carry one and the same ctime.  Twice that is on the safe side.
 */
#define SETTLED_NSEC 20000000
/* Filesystems that keep whole seconds only (or two, FAT). */
#define SETTLED_SEC 3

bool facts_is_absent(int err)
{
	switch (err) {
	case -ENOTTY:
	case -EOPNOTSUPP:
	case -EINVAL:
	case -ENOSYS:
	case -ENODATA:
	case -EPERM:
	case -EACCES:
		return true;
	default:
		return false;
	}
}

/* statx attribute, the flag that says the same, and what may be denied. */
static const struct {
	uint64_t attribute;
	uint32_t flag;
	unsigned int deny;
} attributes[] = {
	{ STATX_ATTR_IMMUTABLE, FS_IMMUTABLE_FL, 0 },
	{ STATX_ATTR_APPEND, FS_APPEND_FL, 0 },
	{ STATX_ATTR_ENCRYPTED, FS_ENCRYPT_FL, OFFLAY_DENY_ENCRYPTED },
	{ STATX_ATTR_COMPRESSED, FS_COMPR_FL, OFFLAY_DENY_COMPRESSED },
};

/* Notes evidence for every kind that @flags (FS_*_FL) show. */
static void take_flags(struct offlay_facts *facts, uint32_t flags, uint32_t by)
{
	facts->inode_flags |= flags;
	if (flags & FS_ENCRYPT_FL)
		facts->encrypted |= by;
	if (flags & FS_COMPR_FL)
		facts->compressed |= by;
}

int facts_look(int fd, struct statx *ret_stx)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, ret_stx) < 0
		       ? -errno
		       : 0;
}

/*
 * Return: the kinds (OFFLAY_DENY_*) about which this filesystem's statx says
 * nothing.
 */
static unsigned int take_statx(struct offlay_facts *facts,
			       const struct statx *stx)
{
	unsigned int unknown = 0;

	facts->dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
	facts->ino = stx->stx_ino;
	facts->size = stx->stx_size;
	facts->blocks = stx->stx_blocks;
	facts->mtime_sec = stx->stx_mtime.tv_sec;
	facts->mtime_nsec = stx->stx_mtime.tv_nsec;
	facts->ctime_sec = stx->stx_ctime.tv_sec;
	facts->ctime_nsec = stx->stx_ctime.tv_nsec;
	facts->mode = stx->stx_mode;
	for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++) {
		if (stx->stx_attributes & attributes[i].attribute)
			take_flags(facts, attributes[i].flag, OFFLAY_BY_STATX);
		else if (!(stx->stx_attributes_mask & attributes[i].attribute))
			unknown |= attributes[i].deny;
	}
	return unknown;
}

static int probe_fs_type(int fd, struct offlay_facts *facts)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	facts->fs_type = (uint32_t)fs.f_type;
	return 0;
}

static int probe_flags(int fd, struct offlay_facts *facts)
{
	/* Declared as a long, written as an int: room for either. */
	unsigned int flags[2] = { 0 };
	int err;

	if (ioctl(fd, FS_IOC_GETFLAGS, flags) < 0) {
		err = -errno;
		return facts_is_absent(err) ? 0 : err;
	}
	take_flags(facts, flags[0], OFFLAY_BY_FLAGS);
	return 0;
}

static int probe_dos(int fd, struct offlay_facts *facts)
{
	int err = facts_dos_read(fd, facts->fs_type, &facts->dos_attributes);

	if (err < 0)
		return err;
	if (facts->dos_attributes & FACTS_DOS_SPARSE)
		facts->sparse |= OFFLAY_BY_DOS;
	if (facts->dos_attributes & FACTS_DOS_COMPRESSED)
		facts->compressed |= OFFLAY_BY_DOS;
	if (facts->dos_attributes & FACTS_DOS_ENCRYPTED)
		facts->encrypted |= OFFLAY_BY_DOS;
	return 0;
}

/* The kinds in @deny against which there is no evidence yet. */
static unsigned int unproven(const struct offlay_facts *facts,
			     unsigned int deny)
{
	if (facts->sparse)
		deny &= ~OFFLAY_DENY_SPARSE;
	if (facts->encrypted)
		deny &= ~OFFLAY_DENY_ENCRYPTED;
	if (facts->compressed)
		deny &= ~OFFLAY_DENY_COMPRESSED;
	return deny;
}

/* What a regular file's data and attributes say, the cheapest first. */
static int probe_kinds(const struct facts_query *query, unsigned int unknown,
		       struct offlay_facts *facts)
{
	unsigned int deny = query->deny;
	int err = 0;

	/* On btrfs they also tell whether the data has checksums. */
	if ((unproven(facts, deny) & unknown) ||
	    (facts->fs_type == BTRFS_SUPER_MAGIC && !query->policy_only))
		err = probe_flags(query->fd, facts);
	if (!err && unproven(facts, deny) &&
	    (!query->is_new || facts_dos_inherits(facts->fs_type)))
		err = probe_dos(query->fd, facts);
	/* An empty file has neither holes nor extents. */
	if (!facts->size)
		return err;
	if (!err && (unproven(facts, deny) & OFFLAY_DENY_SPARSE))
		err = facts_holes_probe(query->fd, query->side, facts,
					query->ret_doubt);
	if (!err && (unproven(facts, deny) & OFFLAY_DENY_COMPRESSED))
		err = facts_extents_probe(query->fd, facts);
	return err;
}

int facts_gather(const struct facts_query *query,
		 struct offlay_facts *ret_facts)
{
	struct offlay_facts facts = { .fs_type = query->fs_type };
	const struct statx *stx = query->stx;
	struct statx own;
	unsigned int unknown;
	int err = 0;

	if (!stx) {
		err = facts_look(query->fd, &own);
		if (err)
			return err;
		stx = &own;
	}
	unknown = take_statx(&facts, stx);
	if (!facts.fs_type)
		err = probe_fs_type(query->fd, &facts);
	if (!err && S_ISREG(facts.mode))
		err = probe_kinds(query, unknown, &facts);
	if (err)
		return err;
	*ret_facts = facts;
	return 0;
}

int offlay_facts_gather(int fd, enum offlay_side side, unsigned int deny,
			struct offlay_facts *ret_facts)
{
	const struct facts_query query = { .fd = fd,
					   .side = side,
					   .deny = deny };

	return facts_gather(&query, ret_facts);
}

int facts_stamp_read(int fd, struct facts_stamp *ret_stamp)
{
	struct statx stx;
	int err;

	err = facts_look(fd, &stx);
	if (!err)
		facts_stamp_of(&stx, ret_stamp);
	return err;
}

void facts_stamp_of(const struct statx *stx, struct facts_stamp *ret_stamp)
{
	*ret_stamp = (struct facts_stamp){
		.dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.ino = stx->stx_ino,
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.mtime_sec = stx->stx_mtime.tv_sec,
		.ctime_sec = stx->stx_ctime.tv_sec,
		.mtime_nsec = stx->stx_mtime.tv_nsec,
		.ctime_nsec = stx->stx_ctime.tv_nsec,
	};
}

bool facts_stamp_equal(const struct facts_stamp *a, const struct facts_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->blocks == b->blocks && a->mtime_sec == b->mtime_sec &&
	       a->mtime_nsec == b->mtime_nsec && a->ctime_sec == b->ctime_sec &&
	       a->ctime_nsec == b->ctime_nsec;
}

bool facts_stamp_is_settled(const struct facts_stamp *stamp,
			    const struct timespec *now)
{
	int64_t sec = now->tv_sec - stamp->ctime_sec;
	int64_t nsec = now->tv_nsec - (int64_t)stamp->ctime_nsec;

	/* Whole seconds: perhaps chance, perhaps all that is kept. */
	if (!stamp->ctime_nsec)
		return sec >= SETTLED_SEC;
	/* A ctime far away overflows no product this way. */
	if (sec > 1)
		return true;
	if (sec < 0)
		return false;
	return sec * 1000000000 + nsec > SETTLED_NSEC;
}
