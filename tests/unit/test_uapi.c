// SPDX-License-Identifier: MIT
/* Tests of lib/offlay_uapi.h: an ABI that must never move by accident. */
#include "offlay_uapi.h" /* first: it must stand alone */

#include <criterion/criterion.h>
#include <stddef.h>

#define FIELD(field, offset)                                                   \
	_Static_assert(offsetof(struct offlay_ioc_explain, field) == (offset), \
		       #field)

_Static_assert(sizeof(struct offlay_ioc_explain) == 160, "explain");
FIELD(version, 0);
FIELD(flags, 4);
FIELD(deny, 8);
FIELD(refuse, 12);
FIELD(offload, 16);
FIELD(src_reasons, 20);
FIELD(dst_reasons, 24);
FIELD(sparse, 28);
FIELD(encrypted, 32);
FIELD(compressed, 36);
FIELD(inode_flags, 40);
FIELD(dos_attributes, 44);
FIELD(dst_sparse, 48);
FIELD(fs_type, 52);
FIELD(mode, 56);
FIELD(swap_file, 60);
FIELD(size, 64);
FIELD(hole_offset, 72);
FIELD(hole_length, 80);
FIELD(dst_hole_offset, 88);
FIELD(dst_hole_length, 96);
FIELD(extent_offset, 104);
FIELD(extent_length, 112);
FIELD(reserved, 120);

/* As numbers: a program built yesterday has them inside. */
Test(uapi, explain_keeps_its_number_and_values)
{
	cr_expect_eq(OFFLAY_ABI_VERSION, 1);
	cr_expect_eq(OFFLAY_IOC_EXPLAIN, 0xC0A0F101u);
	cr_expect_eq(OFFLAY_IOC_REFUSE_VISIBLE, 0);
	cr_expect_eq(OFFLAY_IOC_REFUSE_KERNEL, 1);
	cr_expect_eq(OFFLAY_IOC_REFUSE_COPY, 2);
	cr_expect_eq(OFFLAY_IOC_OFFLOAD_AUTO, 0);
	cr_expect_eq(OFFLAY_IOC_OFFLOAD_CLONE, 1);
}

Test(uapi, restricted_ioctls_carry_their_structure)
{
	cr_expect_eq(_IOC_SIZE(OFFLAY_IOC_EXPLAIN),
		     sizeof(struct offlay_ioc_explain));
	cr_expect_eq(_IOC_DIR(OFFLAY_IOC_EXPLAIN), _IOC_READ | _IOC_WRITE);
	cr_expect_eq(_IOC_TYPE(OFFLAY_IOC_EXPLAIN), OFFLAY_IOC_MAGIC);
}
