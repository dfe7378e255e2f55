// SPDX-License-Identifier: MIT
/* Facts and policy in, verdict with every reason out; no system calls. */
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "private.h"

#define F2FS_MAGIC 0xF2F52010

static const char *const reason_names[OFFLAY_REASON_COUNT] = {
	[OFFLAY_REASON_SPARSE] = "sparse",
	[OFFLAY_REASON_ENCRYPTED] = "encrypted",
	[OFFLAY_REASON_COMPRESSED] = "compressed",
	[OFFLAY_REASON_NOT_REGULAR] = "not-regular",
	[OFFLAY_REASON_IMMUTABLE] = "immutable",
	[OFFLAY_REASON_APPEND_ONLY] = "append-only",
	[OFFLAY_REASON_SWAP_FILE] = "swap-file",
	[OFFLAY_REASON_CHECKSUMS] = "checksums",
	[OFFLAY_REASON_OTHER_FILESYSTEM] = "other-filesystem",
};

static const struct {
	const char *word;
	unsigned int deny;
} deny_words[] = {
	{ "sparse", OFFLAY_DENY_SPARSE },
	{ "encrypted", OFFLAY_DENY_ENCRYPTED },
	{ "compressed", OFFLAY_DENY_COMPRESSED },
	{ "all", OFFLAY_DENY_ALL },
	{ "none", 0 },
};

static void add(struct offlay_verdict *verdict, enum offlay_reason reason)
{
	verdict->reasons |= 1u << reason;
}

struct offlay_verdict offlay_eligible(const struct offlay_facts *facts,
				      enum offlay_side side, unsigned int deny)
{
	struct offlay_verdict verdict = { 0 };

	/* A directory or device has none of the other properties. */
	if (!S_ISREG(facts->mode)) {
		add(&verdict, OFFLAY_REASON_NOT_REGULAR);
		return verdict;
	}
	if ((deny & OFFLAY_DENY_SPARSE) && facts->sparse)
		add(&verdict, OFFLAY_REASON_SPARSE);
	if ((deny & OFFLAY_DENY_ENCRYPTED) && facts->encrypted)
		add(&verdict, OFFLAY_REASON_ENCRYPTED);
	if ((deny & OFFLAY_DENY_COMPRESSED) && facts->compressed)
		add(&verdict, OFFLAY_REASON_COMPRESSED);
	if (facts->swap_file)
		add(&verdict, OFFLAY_REASON_SWAP_FILE);
	if (side == OFFLAY_DESTINATION) {
		if (facts->inode_flags & FS_IMMUTABLE_FL)
			add(&verdict, OFFLAY_REASON_IMMUTABLE);
		if (facts->inode_flags & FS_APPEND_FL)
			add(&verdict, OFFLAY_REASON_APPEND_ONLY);
	}
	return verdict;
}

/*
 * Where st_dev names the superblock, and not a subvolume or a layer of it:
 * only there do two numbers prove two filesystems.
 */
static bool has_dev_per_superblock(uint32_t fs_type)
{
	switch (fs_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case F2FS_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

struct offlay_verdict offlay_eligible_pair(const struct offlay_facts *src,
					   const struct offlay_facts *dst)
{
	struct offlay_verdict verdict = { 0 };

	if (src->fs_type != dst->fs_type ||
	    (src->dev != dst->dev && has_dev_per_superblock(src->fs_type))) {
		add(&verdict, OFFLAY_REASON_OTHER_FILESYSTEM);
		return verdict;
	}
	/* btrfs shares no extent between files with and without checksums. */
	if (src->fs_type == BTRFS_SUPER_MAGIC &&
	    ((src->inode_flags ^ dst->inode_flags) & FS_NOCOW_FL))
		add(&verdict, OFFLAY_REASON_CHECKSUMS);
	return verdict;
}

const char *offlay_reason_name(enum offlay_reason reason)
{
	if ((unsigned int)reason >= OFFLAY_REASON_COUNT)
		return "unknown";
	return reason_names[reason];
}

static void describe_sparse(const struct offlay_facts *facts, char *buf,
			    size_t size)
{
	if (facts->sparse & OFFLAY_BY_HOLE)
		snprintf(buf, size, "hole of %" PRIu64 " bytes at %" PRIu64,
			 facts->hole_length, facts->hole_offset);
	else
		snprintf(buf, size, "DOS attribute SPARSE_FILE (0x%x)",
			 FACTS_DOS_SPARSE);
}

static void describe_encrypted(const struct offlay_facts *facts, char *buf,
			       size_t size)
{
	if (facts->encrypted & OFFLAY_BY_STATX)
		snprintf(buf, size, "attribute STATX_ATTR_ENCRYPTED is set");
	else if (facts->encrypted & OFFLAY_BY_FLAGS)
		snprintf(buf, size, "inode flag FS_ENCRYPT_FL is set");
	else if (facts->encrypted & OFFLAY_BY_EXTENT)
		snprintf(buf, size, "extents are encrypted");
	else
		snprintf(buf, size, "DOS attribute ENCRYPTED (0x%x)",
			 FACTS_DOS_ENCRYPTED);
}

static void describe_compressed(const struct offlay_facts *facts, char *buf,
				size_t size)
{
	if (facts->compressed & OFFLAY_BY_EXTENT)
		snprintf(buf, size,
			 "extent of %" PRIu64 " bytes at %" PRIu64
			 " is compressed",
			 facts->extent_length, facts->extent_offset);
	else if (facts->compressed & OFFLAY_BY_STATX)
		snprintf(buf, size, "attribute STATX_ATTR_COMPRESSED is set");
	else if (facts->compressed & OFFLAY_BY_FLAGS)
		snprintf(buf, size, "inode flag FS_COMPR_FL is set");
	else
		snprintf(buf, size, "DOS attribute COMPRESSED (0x%x)",
			 FACTS_DOS_COMPRESSED);
}

static const char *file_kind(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	case S_IFBLK:
		return "a block device";
	case S_IFCHR:
		return "a character device";
	default:
		return "not a regular file";
	}
}

void offlay_reason_describe(enum offlay_reason reason,
			    const struct offlay_facts *facts, char *buf,
			    size_t size)
{
	switch (reason) {
	case OFFLAY_REASON_SPARSE:
		describe_sparse(facts, buf, size);
		return;
	case OFFLAY_REASON_ENCRYPTED:
		describe_encrypted(facts, buf, size);
		return;
	case OFFLAY_REASON_COMPRESSED:
		describe_compressed(facts, buf, size);
		return;
	case OFFLAY_REASON_NOT_REGULAR:
		snprintf(buf, size, "%s", file_kind(facts->mode));
		return;
	case OFFLAY_REASON_IMMUTABLE:
		snprintf(buf, size, "the immutable flag is set");
		return;
	case OFFLAY_REASON_APPEND_ONLY:
		snprintf(buf, size, "the append-only flag is set");
		return;
	case OFFLAY_REASON_SWAP_FILE:
		snprintf(buf, size, "in use as swap space");
		return;
	case OFFLAY_REASON_CHECKSUMS:
		snprintf(buf, size,
			 "data checksums on one file only "
			 "(NOCOW flag)");
		return;
	case OFFLAY_REASON_OTHER_FILESYSTEM:
		snprintf(buf, size, "the two files are on two filesystems");
		return;
	case OFFLAY_REASON_COUNT:
		break;
	}
	snprintf(buf, size, "unknown reason");
}

static bool find_word(const char *text, size_t length, unsigned int *deny)
{
	for (size_t i = 0; i < sizeof(deny_words) / sizeof(*deny_words); i++) {
		if (strlen(deny_words[i].word) != length ||
		    strncmp(deny_words[i].word, text, length) != 0)
			continue;
		*deny |= deny_words[i].deny;
		return true;
	}
	return false;
}

int offlay_deny_parse(const char *text, unsigned int *ret_deny,
		      const char **ret_bad)
{
	unsigned int deny = 0;
	const char *word = text;

	for (;;) {
		size_t length = strcspn(word, ":,");

		if (!find_word(word, length, &deny)) {
			*ret_bad = word;
			return -EINVAL;
		}
		if (!word[length])
			break;
		word += length + 1;
	}
	*ret_deny = deny;
	return 0;
}
