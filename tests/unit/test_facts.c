// SPDX-License-Identifier: MIT
/* Tests of lib/facts.c on real files of the directory for temporary ones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "private.h"

#define BLOCK 65536 /* a multiple of every filesystem's block */

/* An unnamed file that vanishes with its descriptor. */
static int new_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "open /tmp: %s", strerror(errno));
	return fd;
}

/* One letter a block: d is data, h a hole, u allocated and not written. */
static void lay_out(int fd, const char *blocks)
{
	static char data[BLOCK];
	size_t count = strlen(blocks);

	memset(data, 'x', sizeof(data));
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(ftruncate(fd, (off_t)count * BLOCK), 0);
	for (size_t i = 0; i < count; i++) {
		off_t at = (off_t)i * BLOCK;

		if (blocks[i] == 'd')
			cr_assert_eq(pwrite(fd, data, BLOCK, at), BLOCK);
		else if (blocks[i] == 'u')
			cr_assert_eq(fallocate(fd, 0, at, BLOCK), 0);
	}
}

static struct offlay_facts gather(int fd, enum offlay_side side,
				  unsigned int deny)
{
	struct offlay_facts facts;
	int err = offlay_facts_gather(fd, side, deny, &facts);

	cr_assert_eq(err, 0, "gather: %s", strerror(-err));
	return facts;
}

struct layout_row {
	const char *blocks;
	bool src_sparse, dst_sparse;
	unsigned int src_hole, src_length; /* blocks */
	unsigned int dst_hole, dst_length;
};

static const struct layout_row layouts[] = {
	{ "", false, false },
	{ "d", false, false },
	{ "ddd", false, false },
	{ "h", true, false, 0, 1 }, /* truncated, pre-sized */
	{ "hhh", true, false, 0, 3 },
	{ "ddh", true, false, 2, 1 }, /* trailing hole */
	{ "dhh", true, false, 1, 2 },
	{ "hdd", true, true, 0, 1, 0, 1 },
	{ "dhd", true, true, 1, 1, 1, 1 },
	{ "dhhdh", true, true, 1, 2, 1, 2 },
	{ "dhdhd", true, true, 1, 1, 1, 1 },
	{ "u", true, false, 0, 1 }, /* fallocated, never written */
	{ "du", true, false, 1, 1 },
	{ "dud", true, true, 1, 1, 1, 1 },
};

static void check_side(int fd, const struct layout_row *row,
		       enum offlay_side side)
{
	struct offlay_facts facts = gather(fd, side, OFFLAY_DENY_ALL);
	bool dst = side == OFFLAY_DESTINATION;
	bool sparse = dst ? row->dst_sparse : row->src_sparse;

	cr_expect_eq(facts.sparse, sparse ? OFFLAY_BY_HOLE : 0, "'%s' side %d",
		     row->blocks, side);
	cr_expect_eq(facts.hole_offset,
		     (dst ? row->dst_hole : row->src_hole) * BLOCK,
		     "'%s' side %d", row->blocks, side);
	cr_expect_eq(facts.hole_length,
		     (dst ? row->dst_length : row->src_length) * BLOCK,
		     "'%s' side %d", row->blocks, side);
}

Test(facts, holes_on_either_side)
{
	int fd = new_file();

	for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++) {
		lay_out(fd, layouts[i].blocks);
		check_side(fd, &layouts[i], OFFLAY_SOURCE);
		check_side(fd, &layouts[i], OFFLAY_DESTINATION);
	}
	close(fd);
}

Test(facts, a_punched_hole_is_a_hole_and_filling_it_ends_it)
{
	char data[BLOCK] = { 1 };
	int fd = new_file();

	lay_out(fd, "ddd");
	cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       BLOCK, BLOCK),
		     0);
	cr_expect_eq(gather(fd, OFFLAY_SOURCE, OFFLAY_DENY_SPARSE).hole_offset,
		     BLOCK);
	cr_assert_eq(pwrite(fd, data, BLOCK, BLOCK), BLOCK);
	cr_expect_eq(gather(fd, OFFLAY_SOURCE, OFFLAY_DENY_SPARSE).sparse, 0);
	close(fd);
}

Test(facts, a_short_last_block_is_no_hole)
{
	int fd = new_file();

	for (int size = 1; size < 5; size++) {
		lay_out(fd, "");
		cr_assert_eq(pwrite(fd, "abcd", (size_t)size, 0), size);
		cr_expect_eq(gather(fd, OFFLAY_SOURCE, OFFLAY_DENY_ALL).sparse,
			     0);
	}
	close(fd);
}

Test(facts, a_kind_that_is_allowed_is_not_looked_for)
{
	int fd = new_file();

	lay_out(fd, "dhd");
	cr_expect_eq(gather(fd, OFFLAY_SOURCE,
			    OFFLAY_DENY_ALL & ~OFFLAY_DENY_SPARSE)
			     .sparse,
		     0);
	cr_expect_eq(gather(fd, OFFLAY_SOURCE, 0).sparse, 0);
	close(fd);
}

Test(facts, numbers_are_those_of_stat)
{
	struct offlay_facts facts;
	struct stat st;
	int fd = new_file();

	lay_out(fd, "ddhd");
	fsync(fd); /* delayed allocation would move the block count */
	facts = gather(fd, OFFLAY_SOURCE, OFFLAY_DENY_ALL);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_expect_eq(facts.dev, st.st_dev);
	cr_expect_eq(facts.ino, st.st_ino);
	cr_expect_eq(facts.size, (uint64_t)st.st_size);
	cr_expect_eq(facts.blocks, (uint64_t)st.st_blocks);
	cr_expect_eq(facts.mode, st.st_mode);
	cr_expect_eq(facts.mtime_sec, st.st_mtim.tv_sec);
	cr_expect_eq(facts.mtime_nsec, st.st_mtim.tv_nsec);
	cr_expect_eq(facts.ctime_sec, st.st_ctim.tv_sec);
	cr_expect_eq(facts.ctime_nsec, st.st_ctim.tv_nsec);
	cr_expect_neq(facts.fs_type, 0);
	close(fd);
}

Test(facts, works_on_any_open_mode_and_any_type)
{
	static const struct {
		const char *path;
		int flags;
		mode_t type;
	} rows[] = {
		{ "/tmp", O_RDONLY | O_DIRECTORY, S_IFDIR },
		{ "/dev/null", O_RDWR, S_IFCHR },
		{ "/proc/self/stat", O_RDONLY, S_IFREG },
		{ "/tmp", O_TMPFILE | O_WRONLY, S_IFREG },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int fd = open(rows[i].path, rows[i].flags | O_CLOEXEC, 0600);

		cr_assert_geq(fd, 0, "%s", rows[i].path);
		cr_expect_eq(gather(fd, OFFLAY_SOURCE, OFFLAY_DENY_ALL).mode &
				     S_IFMT,
			     rows[i].type, "%s", rows[i].path);
		close(fd);
	}
}

Test(facts, a_bad_descriptor_is_an_error_and_touches_nothing)
{
	struct offlay_facts facts = { .size = 77 };

	cr_expect_eq(offlay_facts_gather(-1, OFFLAY_SOURCE, OFFLAY_DENY_ALL,
					 &facts),
		     -EBADF);
	cr_expect_eq(facts.size, 77);
}

Test(facts, dos_attributes_count_on_either_side)
{
	static const struct {
		const char *value;
		uint32_t sparse, encrypted, compressed;
	} rows[] = {
		{ "0x20", 0, 0, 0 },
		{ "0x220", OFFLAY_BY_DOS, 0, 0 },
		{ "0x4000", 0, OFFLAY_BY_DOS, 0 },
		{ "0x800", 0, 0, OFFLAY_BY_DOS },
		{ "0x4a20", OFFLAY_BY_DOS, OFFLAY_BY_DOS, OFFLAY_BY_DOS },
		{ "0xzz", 0, 0, 0 },
	};
	int fd = new_file();

	lay_out(fd, "d");
	if (fsetxattr(fd, "user.DOSATTRIB", "0x0", 3, 0) < 0)
		cr_skip_test("/tmp has no user attributes: %s",
			     strerror(errno));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct offlay_facts facts;

		cr_assert_eq(fsetxattr(fd, "user.DOSATTRIB", rows[i].value,
				       strlen(rows[i].value), 0),
			     0);
		for (int side = 0; side <= OFFLAY_DESTINATION; side++) {
			facts = gather(fd, side, OFFLAY_DENY_ALL);
			cr_expect_eq(facts.sparse, rows[i].sparse, "%s",
				     rows[i].value);
			cr_expect_eq(facts.encrypted, rows[i].encrypted, "%s",
				     rows[i].value);
			cr_expect_eq(facts.compressed, rows[i].compressed, "%s",
				     rows[i].value);
		}
		cr_expect_eq(gather(fd, OFFLAY_SOURCE, 0).dos_attributes, 0);
	}
	close(fd);
}

/* Whoever made the file a moment ago knows that it has no attribute yet. */
Test(facts, a_new_file_is_not_asked_for_dos_attributes)
{
	struct facts_query query = { .fd = new_file(),
				     .deny = OFFLAY_DENY_ALL,
				     .policy_only = true };
	struct offlay_facts facts;
	struct statx stx;

	if (fsetxattr(query.fd, "user.DOSATTRIB", "0x200", 5, 0) < 0)
		cr_skip_test("/tmp has no user attributes: %s",
			     strerror(errno));
	cr_assert_eq(facts_look(query.fd, &stx), 0);
	query.stx = &stx;
	cr_assert_eq(facts_gather(&query, &facts), 0);
	cr_expect_eq(facts.dos_attributes, 0x200);
	query.is_new = true;
	cr_assert_eq(facts_gather(&query, &facts), 0);
	cr_expect_eq(facts.dos_attributes, 0);
	/* On NTFS it has those of its directory. */
	query.fs_type = 0x7366746e;
	cr_assert_eq(facts_gather(&query, &facts), 0);
	cr_expect_eq(facts.fs_type, 0x7366746e);
	cr_expect_eq(facts.dos_attributes, 0x200);
	close(query.fd);
}

/* Samba's version 2 holds a name, so that a value has no small limit. */
Test(facts, a_long_dos_value_is_read_whole)
{
	char value[3000] = "0x200";
	int fd = new_file();

	memcpy(value + 6, "\2\0\2\0\0\0", 6);
	memcpy(value + 12, "\0\0\0\0\0\x40\0\0", 8);
	if (fsetxattr(fd, "user.DOSATTRIB", value, sizeof(value), 0) < 0)
		cr_skip_test("/tmp holds no attribute of %zu bytes: %s",
			     sizeof(value), strerror(errno));
	cr_expect_eq(gather(fd, OFFLAY_SOURCE, OFFLAY_DENY_ALL).dos_attributes,
		     0x4000);
	close(fd);
}

Test(facts, no_file_here_is_swap_space)
{
	bool is_swap = true;
	int fd = new_file();

	cr_expect_eq(facts_find_swap(fd, &is_swap), 0);
	cr_expect_not(is_swap);
	cr_expect_eq(facts_find_swap(-1, &is_swap), -EBADF);
	close(fd);
}
