// SPDX-License-Identifier: MIT
/* Tests of lib/eligible.c: verdicts on faked facts, every combination. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>

#include "offlay.h"

#define BIT(reason) (1u << OFFLAY_REASON_##reason)
#define NTFS3	    0x7366746e

/* How each kind can be known; 0 is "it is not". */
static const uint32_t sparse_evidence[] = { 0, OFFLAY_BY_HOLE, OFFLAY_BY_DOS };
static const uint32_t encrypted_evidence[] = {
	0, OFFLAY_BY_STATX, OFFLAY_BY_FLAGS, OFFLAY_BY_EXTENT, OFFLAY_BY_DOS
};
static const uint32_t compressed_evidence[] = {
	0, OFFLAY_BY_STATX, OFFLAY_BY_FLAGS, OFFLAY_BY_EXTENT, OFFLAY_BY_DOS
};

#define EACH(item, array)                    \
	for (const uint32_t *item = (array); \
	     item < (array) + sizeof(array) / sizeof(*(array)); item++)

/* The contract in other words: a reason a line. */
static uint32_t expected(const struct offlay_facts *facts,
			 enum offlay_side side, unsigned int deny)
{
	const bool dst = side == OFFLAY_DESTINATION;

	return (deny & OFFLAY_DENY_SPARSE && facts->sparse ? BIT(SPARSE) : 0) |
	       (deny & OFFLAY_DENY_ENCRYPTED && facts->encrypted
			? BIT(ENCRYPTED)
			: 0) |
	       (deny & OFFLAY_DENY_COMPRESSED && facts->compressed
			? BIT(COMPRESSED)
			: 0) |
	       (facts->swap_file ? BIT(SWAP_FILE) : 0) |
	       (dst && facts->inode_flags & FS_IMMUTABLE_FL ? BIT(IMMUTABLE)
							    : 0) |
	       (dst && facts->inode_flags & FS_APPEND_FL ? BIT(APPEND_ONLY)
							 : 0);
}

static void judge(const struct offlay_facts *facts)
{
	for (unsigned int deny = 0; deny <= OFFLAY_DENY_ALL; deny++) {
		for (int side = OFFLAY_SOURCE; side <= OFFLAY_DESTINATION;
		     side++) {
			uint32_t want = expected(facts, side, deny);

			cr_assert_eq(offlay_eligible(facts, side, deny).reasons,
				     want,
				     "side %d deny %u sparse %x encrypted %x "
				     "compressed %x flags %x swap %d",
				     side, deny, facts->sparse,
				     facts->encrypted, facts->compressed,
				     facts->inode_flags, facts->swap_file);
		}
	}
}

/* 3 * 5 * 5 kinds, 4 flag sets, swap or not, 8 policies, 2 sides. */
Test(eligible, every_combination_keeps_every_reason)
{
	static const uint32_t flags[] = { 0, FS_IMMUTABLE_FL, FS_APPEND_FL,
					  FS_IMMUTABLE_FL | FS_APPEND_FL };

	EACH(sparse, sparse_evidence)
	EACH(encrypted, encrypted_evidence)
	EACH(compressed, compressed_evidence)
	EACH(flag, flags)
	for (int swap = 0; swap <= 1; swap++) {
		struct offlay_facts facts = {
			.mode = S_IFREG | 0644,
			.sparse = *sparse,
			.encrypted = *encrypted,
			.compressed = *compressed,
			.inode_flags = *flag,
			.swap_file = swap,
		};

		judge(&facts);
	}
}

Test(eligible, flags_that_say_nothing_change_nothing)
{
	struct offlay_facts facts = {
		.mode = S_IFREG | 0644,
		.inode_flags = ~(uint32_t)(FS_IMMUTABLE_FL | FS_APPEND_FL),
		.size = 12345,
		.dos_attributes = 0x23,
	};

	judge(&facts);
	cr_expect_eq(offlay_eligible(&facts, OFFLAY_DESTINATION,
				     OFFLAY_DENY_ALL)
			     .reasons,
		     0);
}

Test(eligible, only_regular_files_whatever_else_is_known)
{
	static const uint32_t types[] = { S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK,
					  S_IFBLK, S_IFCHR, 0 };

	EACH(type, types)
	{
		struct offlay_facts facts = {
			.mode = *type | 0644,
			.sparse = OFFLAY_BY_HOLE,
			.inode_flags = FS_IMMUTABLE_FL,
		};

		for (int side = OFFLAY_SOURCE; side <= OFFLAY_DESTINATION;
		     side++)
			cr_expect_eq(offlay_eligible(&facts, side,
						     OFFLAY_DENY_ALL)
					     .reasons,
				     BIT(NOT_REGULAR), "type %o", *type);
	}
}

Test(eligible, the_policy_reasons_are_those_that_a_policy_can_deny)
{
	struct offlay_facts facts = {
		.mode = S_IFREG,
		.sparse = OFFLAY_BY_HOLE,
		.encrypted = OFFLAY_BY_STATX,
		.compressed = OFFLAY_BY_EXTENT,
	};

	cr_expect_eq(
		offlay_eligible(&facts, OFFLAY_SOURCE, OFFLAY_DENY_ALL).reasons,
		OFFLAY_REASONS_POLICY);
	cr_expect_eq(offlay_eligible(&facts, OFFLAY_SOURCE, 0).reasons, 0);
}

struct pair_row {
	const char *name;
	struct offlay_facts src, dst;
	uint32_t reasons;
};

static const struct pair_row pairs[] = {
	{ "one btrfs, one subvolume",
	  { .fs_type = BTRFS_SUPER_MAGIC, .dev = 1 },
	  { .fs_type = BTRFS_SUPER_MAGIC, .dev = 1 },
	  0 },
	{ "btrfs subvolumes differ in st_dev, not in superblock",
	  { .fs_type = BTRFS_SUPER_MAGIC, .dev = 1 },
	  { .fs_type = BTRFS_SUPER_MAGIC, .dev = 2 },
	  0 },
	{ "source without checksums",
	  { .fs_type = BTRFS_SUPER_MAGIC, .inode_flags = FS_NOCOW_FL },
	  { .fs_type = BTRFS_SUPER_MAGIC },
	  BIT(CHECKSUMS) },
	{ "destination without checksums",
	  { .fs_type = BTRFS_SUPER_MAGIC, .inode_flags = FS_COMPR_FL },
	  { .fs_type = BTRFS_SUPER_MAGIC, .inode_flags = FS_NOCOW_FL },
	  BIT(CHECKSUMS) },
	{ "both without checksums",
	  { .fs_type = BTRFS_SUPER_MAGIC, .inode_flags = FS_NOCOW_FL },
	  { .fs_type = BTRFS_SUPER_MAGIC,
	    .inode_flags = FS_NOCOW_FL | FS_NODUMP_FL },
	  0 },
	{ "the flag means nothing elsewhere",
	  { .fs_type = XFS_SUPER_MAGIC, .inode_flags = FS_NOCOW_FL },
	  { .fs_type = XFS_SUPER_MAGIC },
	  0 },
	{ "two XFS",
	  { .fs_type = XFS_SUPER_MAGIC, .dev = 1 },
	  { .fs_type = XFS_SUPER_MAGIC, .dev = 2 },
	  BIT(OTHER_FILESYSTEM) },
	{ "two ext4",
	  { .fs_type = EXT4_SUPER_MAGIC, .dev = 1 },
	  { .fs_type = EXT4_SUPER_MAGIC, .dev = 2 },
	  BIT(OTHER_FILESYSTEM) },
	{ "two layers of an overlay, perhaps",
	  { .fs_type = OVERLAYFS_SUPER_MAGIC, .dev = 1 },
	  { .fs_type = OVERLAYFS_SUPER_MAGIC, .dev = 2 },
	  0 },
	{ "two kinds, and the first reason is enough",
	  { .fs_type = BTRFS_SUPER_MAGIC, .inode_flags = FS_NOCOW_FL },
	  { .fs_type = TMPFS_MAGIC },
	  BIT(OTHER_FILESYSTEM) },
};

Test(eligible, pairs)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		cr_expect_eq(offlay_eligible_pair(&pairs[i].src, &pairs[i].dst)
				     .reasons,
			     pairs[i].reasons, "%s", pairs[i].name);
}

Test(eligible, deny_lists)
{
	static const struct {
		const char *text;
		int err;
		unsigned int deny;
		size_t bad; /* offset of the wrong word */
	} rows[] = {
		{ "sparse", 0, OFFLAY_DENY_SPARSE },
		{ "encrypted", 0, OFFLAY_DENY_ENCRYPTED },
		{ "compressed", 0, OFFLAY_DENY_COMPRESSED },
		{ "sparse:encrypted:compressed", 0, OFFLAY_DENY_ALL },
		{ "compressed:sparse", 0,
		  OFFLAY_DENY_SPARSE | OFFLAY_DENY_COMPRESSED },
		{ "sparse,encrypted", 0,
		  OFFLAY_DENY_SPARSE | OFFLAY_DENY_ENCRYPTED },
		{ "sparse:sparse", 0, OFFLAY_DENY_SPARSE },
		{ "none", 0, 0 },
		{ "all", 0, OFFLAY_DENY_ALL },
		{ "", -EINVAL, 0, 0 },
		{ ":", -EINVAL, 0, 0 },
		{ "sparse:", -EINVAL, 0, 7 },
		{ "sparse::encrypted", -EINVAL, 0, 7 },
		{ "sparse:holes:none", -EINVAL, 0, 7 },
		{ "Sparse", -EINVAL, 0, 0 },
		{ "sparse ", -EINVAL, 0, 0 },
		{ "sparsely", -EINVAL, 0, 0 },
		{ "spar", -EINVAL, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *bad = "untouched";
		unsigned int deny = 99;

		cr_expect_eq(offlay_deny_parse(rows[i].text, &deny, &bad),
			     rows[i].err, "'%s'", rows[i].text);
		if (rows[i].err) {
			cr_expect_eq(deny, 99, "'%s'", rows[i].text);
			cr_expect_eq(bad, rows[i].text + rows[i].bad, "'%s'",
				     rows[i].text);
		} else {
			cr_expect_eq(deny, rows[i].deny, "'%s'", rows[i].text);
			cr_expect_str_eq(bad, "untouched");
		}
	}
}
