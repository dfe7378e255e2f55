// SPDX-License-Identifier: MIT
/* Facts of both sides to and from the structure of OFFLAY_IOC_EXPLAIN. */
#include "offlay_uapi.h"
#include "private.h"

void facts_explain_pack(const struct offlay_facts *src,
			const struct offlay_facts *dst, unsigned int deny,
			struct offlay_ioc_explain *ret_explain)
{
	*ret_explain = (struct offlay_ioc_explain){
		.version = OFFLAY_ABI_VERSION,
		.deny = deny,
		.src_reasons =
			offlay_eligible(src, OFFLAY_SOURCE, deny).reasons,
		.dst_reasons =
			offlay_eligible(dst, OFFLAY_DESTINATION, deny).reasons,
		.sparse = src->sparse,
		.encrypted = src->encrypted | dst->encrypted,
		.compressed = src->compressed | dst->compressed,
		.inode_flags = src->inode_flags | dst->inode_flags,
		.dos_attributes = src->dos_attributes | dst->dos_attributes,
		.dst_sparse = dst->sparse,
		.fs_type = src->fs_type,
		.mode = src->mode,
		.swap_file = src->swap_file,
		.size = src->size,
		.hole_offset = src->hole_offset,
		.hole_length = src->hole_length,
		.dst_hole_offset = dst->hole_offset,
		.dst_hole_length = dst->hole_length,
		.extent_offset = src->extent_offset,
		.extent_length = src->extent_length,
		.volume = src->volume_unable ? OFFLAY_IOC_VOLUME_UNABLE : 0,
	};
}

void facts_explain_unpack(const struct offlay_ioc_explain *explain,
			  struct offlay_facts *ret_src,
			  struct offlay_facts *ret_dst)
{
	struct offlay_facts facts = {
		.size = explain->size,
		.mode = explain->mode,
		.fs_type = explain->fs_type,
		.inode_flags = explain->inode_flags,
		.dos_attributes = explain->dos_attributes,
		.sparse = explain->sparse,
		.encrypted = explain->encrypted,
		.compressed = explain->compressed,
		.hole_offset = explain->hole_offset,
		.hole_length = explain->hole_length,
		.extent_offset = explain->extent_offset,
		.extent_length = explain->extent_length,
		.swap_file = explain->swap_file != 0,
		.volume_unable = explain->volume & OFFLAY_IOC_VOLUME_UNABLE,
	};

	*ret_src = facts;
	facts.sparse = explain->dst_sparse;
	facts.hole_offset = explain->dst_hole_offset;
	facts.hole_length = explain->dst_hole_length;
	*ret_dst = facts;
}
