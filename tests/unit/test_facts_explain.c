// SPDX-License-Identifier: MIT
/* Tests of lib/facts_explain.c: facts survive the way through the ioctl. */
#include <criterion/criterion.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "offlay_uapi.h"
#include "private.h"

static const struct offlay_facts src = {
	.mode = S_IFREG | 0644,
	.size = 1000000,
	.fs_type = 0x9123683E,
	.inode_flags = FS_COMPR_FL | FS_IMMUTABLE_FL,
	.dos_attributes = 0x4a20,
	.sparse = OFFLAY_BY_HOLE,
	.encrypted = OFFLAY_BY_DOS,
	.compressed = OFFLAY_BY_EXTENT,
	.hole_offset = 4096,
	.hole_length = 8192,
	.extent_offset = 65536,
	.extent_length = 131072,
	.swap_file = true,
	.volume_unable = true,
};

/* The facts as they come out say the same, word for word. */
static void check_words(const struct offlay_facts *in,
			const struct offlay_facts *out, uint32_t reasons)
{
	for (int i = 0; i < OFFLAY_REASON_COUNT; i++) {
		char before[OFFLAY_DESCRIBE_SIZE], after[OFFLAY_DESCRIBE_SIZE];

		if (!(reasons & 1u << i))
			continue;
		offlay_reason_describe(i, in, before, sizeof(before));
		offlay_reason_describe(i, out, after, sizeof(after));
		cr_expect_str_eq(before, after);
	}
}

Test(facts_explain, both_sides_come_through)
{
	struct offlay_facts dst = src, out_src, out_dst;
	struct offlay_ioc_explain explain;

	dst.hole_offset = 40960;
	dst.hole_length = 512;
	memset(&explain, 0xff, sizeof(explain));
	facts_explain_pack(&src, &dst, OFFLAY_DENY_ALL, &explain);
	cr_expect_eq(explain.version, OFFLAY_ABI_VERSION);
	cr_expect_eq(explain.flags, 0);
	cr_expect_eq(explain.deny, OFFLAY_DENY_ALL);
	for (size_t i = 0; i < sizeof(explain.reserved) / 8; i++)
		cr_expect_eq(explain.reserved[i], 0);
	facts_explain_unpack(&explain, &out_src, &out_dst);
	cr_expect_eq(
		explain.src_reasons,
		offlay_eligible(&src, OFFLAY_SOURCE, OFFLAY_DENY_ALL).reasons);
	cr_expect_eq(explain.dst_reasons,
		     offlay_eligible(&dst, OFFLAY_DESTINATION, OFFLAY_DENY_ALL)
			     .reasons);
	cr_expect_eq(offlay_eligible(&out_src, OFFLAY_SOURCE, OFFLAY_DENY_ALL)
			     .reasons,
		     explain.src_reasons);
	cr_expect_eq(offlay_eligible(&out_dst, OFFLAY_DESTINATION,
				     OFFLAY_DENY_ALL)
			     .reasons,
		     explain.dst_reasons);
	check_words(&src, &out_src, explain.src_reasons);
	check_words(&dst, &out_dst, explain.dst_reasons);
	cr_expect_eq(out_src.size, src.size);
	cr_expect(out_src.volume_unable && out_dst.volume_unable);
}

Test(facts_explain, a_trailing_hole_is_the_sources_alone)
{
	struct offlay_facts dst = src, out_src, out_dst;
	struct offlay_ioc_explain explain;

	dst.sparse = 0;
	dst.hole_offset = dst.hole_length = 0;
	facts_explain_pack(&src, &dst, OFFLAY_DENY_SPARSE, &explain);
	cr_expect(explain.src_reasons & 1u << OFFLAY_REASON_SPARSE);
	cr_expect_not(explain.dst_reasons & 1u << OFFLAY_REASON_SPARSE);
	facts_explain_unpack(&explain, &out_src, &out_dst);
	cr_expect_eq(out_src.sparse, OFFLAY_BY_HOLE);
	cr_expect_eq(out_dst.sparse, 0);
}
