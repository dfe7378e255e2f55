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
FIELD(volume, 120);
FIELD(reserved, 128);

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

#define AT(type, field, offset)                                  \
	_Static_assert(offsetof(struct type, field) == (offset), \
		       #type "." #field)

/* MS-FSCC 2.1.11 and 2.3.41 to 2.3.44. */
_Static_assert(sizeof(struct offlay_token) == 512, "token");
AT(offlay_token, type, 0);
AT(offlay_token, reserved, 4);
AT(offlay_token, id_length, 6);
AT(offlay_token, id, 8);
_Static_assert(sizeof(struct offlay_odx_read_input) == 32, "read input");
AT(offlay_odx_read_input, size, 0);
AT(offlay_odx_read_input, flags, 4);
AT(offlay_odx_read_input, token_time_to_live, 8);
AT(offlay_odx_read_input, reserved, 12);
AT(offlay_odx_read_input, file_offset, 16);
AT(offlay_odx_read_input, copy_length, 24);
_Static_assert(sizeof(struct offlay_odx_read_output) == 528, "read output");
AT(offlay_odx_read_output, size, 0);
AT(offlay_odx_read_output, flags, 4);
AT(offlay_odx_read_output, transfer_length, 8);
AT(offlay_odx_read_output, token, 16);
_Static_assert(sizeof(struct offlay_odx_write_input) == 544, "write input");
AT(offlay_odx_write_input, size, 0);
AT(offlay_odx_write_input, flags, 4);
AT(offlay_odx_write_input, file_offset, 8);
AT(offlay_odx_write_input, copy_length, 16);
AT(offlay_odx_write_input, transfer_offset, 24);
AT(offlay_odx_write_input, token, 32);
_Static_assert(sizeof(struct offlay_odx_write_output) == 16, "write output");
AT(offlay_odx_write_output, size, 0);
AT(offlay_odx_write_output, flags, 4);
AT(offlay_odx_write_output, length_written, 8);

_Static_assert(sizeof(struct offlay_ioc_status) == 16, "status");
AT(offlay_ioc_status, err, 0);
AT(offlay_ioc_status, win32, 4);
AT(offlay_ioc_status, ntstatus, 8);
_Static_assert(sizeof(struct offlay_ioc_odx_read) == 584, "read");
AT(offlay_ioc_odx_read, version, 0);
AT(offlay_ioc_odx_read, flags, 4);
AT(offlay_ioc_odx_read, status, 8);
AT(offlay_ioc_odx_read, in, 24);
AT(offlay_ioc_odx_read, out, 56);
_Static_assert(sizeof(struct offlay_ioc_odx_write) == 584, "write");
AT(offlay_ioc_odx_write, status, 8);
AT(offlay_ioc_odx_write, in, 24);
AT(offlay_ioc_odx_write, out, 568);
_Static_assert(sizeof(struct offlay_ioc_odx_drop) == 536, "drop");
AT(offlay_ioc_odx_drop, status, 8);
AT(offlay_ioc_odx_drop, token, 24);
_Static_assert(sizeof(struct offlay_ioc_odx_volume) == 136, "volume");
AT(offlay_ioc_odx_volume, status, 8);
AT(offlay_ioc_odx_volume, odx_flags, 24);
AT(offlay_ioc_odx_volume, sector, 28);
AT(offlay_ioc_odx_volume, transfer_max, 32);
AT(offlay_ioc_odx_volume, copy_max, 40);
AT(offlay_ioc_odx_volume, bytes_max, 48);
AT(offlay_ioc_odx_volume, user_bytes_max, 56);
AT(offlay_ioc_odx_volume, tokens_max, 64);
AT(offlay_ioc_odx_volume, user_tokens_max, 68);
AT(offlay_ioc_odx_volume, ttl_default, 72);
AT(offlay_ioc_odx_volume, ttl_max, 76);
AT(offlay_ioc_odx_volume, timeout_every, 80);
AT(offlay_ioc_odx_volume, forget_every, 84);
AT(offlay_ioc_odx_volume, tokens, 88);
AT(offlay_ioc_odx_volume, bytes, 96);
AT(offlay_ioc_odx_volume, reserved, 104);

Test(uapi, offloaded_transfer_keeps_its_numbers_and_values)
{
	cr_expect_eq(OFFLAY_IOC_ODX_READ, 0xC248F102u);
	cr_expect_eq(OFFLAY_IOC_ODX_WRITE, 0xC248F103u);
	cr_expect_eq(OFFLAY_IOC_ODX_DROP, 0xC218F104u);
	cr_expect_eq(OFFLAY_IOC_ODX_VOLUME, 0xC088F105u);
	cr_expect_eq(OFFLAY_ODX_READ_ALL_ZERO_BEYOND, 1);
	cr_expect_eq(OFFLAY_ODX_SET, 1);
	cr_expect_eq(OFFLAY_ODX_ON, 1);
	cr_expect_eq(OFFLAY_ODX_READ_ON, 2);
	cr_expect_eq(OFFLAY_ODX_WRITE_ON, 4);
	cr_expect_eq(OFFLAY_TOKEN_TYPE_DATA, 0x00800000u);
	cr_expect_eq(OFFLAY_TOKEN_TYPE_ZERO, 0xFFFF0001u);
	cr_expect_eq(OFFLAY_TOKEN_TYPE_KNOWN, 0xFFFFFFFFu);
	cr_expect_eq(OFFLAY_TOKEN_KNOWN_ZERO, 1);
	cr_expect_eq(OFFLAY_TOKEN_ID_LENGTH, 504);
}

_Static_assert(sizeof(struct offlay_ioc_name) == 56, "name");
AT(offlay_ioc_name, version, 0);
AT(offlay_ioc_name, flags, 4);
AT(offlay_ioc_name, cookie, 8);
AT(offlay_ioc_name, lifetime, 24);
AT(offlay_ioc_name, reserved, 32);
_Static_assert(sizeof(struct offlay_ioc_clone) == 80, "clone");
AT(offlay_ioc_clone, cookie, 8);
AT(offlay_ioc_clone, src_offset, 24);
AT(offlay_ioc_clone, length, 32);
AT(offlay_ioc_clone, dst_offset, 40);
AT(offlay_ioc_clone, src_reasons, 48);
AT(offlay_ioc_clone, dst_reasons, 52);
AT(offlay_ioc_clone, size_limit, 56);
AT(offlay_ioc_clone, dst_size, 64);
AT(offlay_ioc_clone, reserved, 72);
_Static_assert(sizeof(struct offlay_ioc_dedupe) == 88, "dedupe");
AT(offlay_ioc_dedupe, cookie, 8);
AT(offlay_ioc_dedupe, src_offset, 24);
AT(offlay_ioc_dedupe, length, 32);
AT(offlay_ioc_dedupe, dst_offset, 40);
AT(offlay_ioc_dedupe, deduped, 48);
AT(offlay_ioc_dedupe, differs, 56);
AT(offlay_ioc_dedupe, src_reasons, 60);
AT(offlay_ioc_dedupe, dst_reasons, 64);
AT(offlay_ioc_dedupe, size_limit, 72);
AT(offlay_ioc_dedupe, reserved, 80);
_Static_assert(sizeof(struct offlay_extent) == 56, "extent");
AT(offlay_extent, logical, 0);
AT(offlay_extent, physical, 8);
AT(offlay_extent, length, 16);
AT(offlay_extent, flags, 40);
_Static_assert(sizeof(struct offlay_ioc_extents) == 64 + 128 * 56, "extents");
AT(offlay_ioc_extents, start, 8);
AT(offlay_ioc_extents, length, 16);
AT(offlay_ioc_extents, map_flags, 24);
AT(offlay_ioc_extents, count, 28);
AT(offlay_ioc_extents, mapped, 32);
AT(offlay_ioc_extents, reserved, 40);
AT(offlay_ioc_extents, extents, 64);

Test(uapi, clones_keep_their_numbers_and_values)
{
	cr_expect_eq(OFFLAY_IOC_NAME, 0xC038F106u);
	cr_expect_eq(OFFLAY_IOC_CLONE, 0xC050F107u);
	cr_expect_eq(OFFLAY_IOC_DEDUPE, 0xC058F108u);
	cr_expect_eq(OFFLAY_IOC_EXTENTS, 0xDC40F109u);
	cr_expect_eq(OFFLAY_EXTENTS_MAX, 128);
	cr_expect_eq(OFFLAY_SIZE_LIMIT, 1);
}

Test(uapi, restricted_ioctls_carry_their_structure)
{
	cr_expect_eq(_IOC_SIZE(OFFLAY_IOC_EXPLAIN),
		     sizeof(struct offlay_ioc_explain));
	cr_expect_eq(_IOC_DIR(OFFLAY_IOC_EXPLAIN), _IOC_READ | _IOC_WRITE);
	cr_expect_eq(_IOC_TYPE(OFFLAY_IOC_EXPLAIN), OFFLAY_IOC_MAGIC);
}

_Static_assert(sizeof(struct offlay_ioc_rules_set) == 8448, "rules set");
AT(offlay_ioc_rules_set, version, 0);
AT(offlay_ioc_rules_set, flags, 4);
AT(offlay_ioc_rules_set, upload, 8);
AT(offlay_ioc_rules_set, offset, 16);
AT(offlay_ioc_rules_set, length, 20);
AT(offlay_ioc_rules_set, line, 24);
AT(offlay_ioc_rules_set, column, 28);
AT(offlay_ioc_rules_set, message, 32);
AT(offlay_ioc_rules_set, reserved, 240);
AT(offlay_ioc_rules_set, text, 256);
_Static_assert(sizeof(struct offlay_ioc_rules_list) == 1080, "rules list");
AT(offlay_ioc_rules_list, version, 0);
AT(offlay_ioc_rules_list, flags, 4);
AT(offlay_ioc_rules_list, index, 8);
AT(offlay_ioc_rules_list, count, 12);
AT(offlay_ioc_rules_list, generation, 16);
AT(offlay_ioc_rules_list, calls, 24);
AT(offlay_ioc_rules_list, hits, 32);
AT(offlay_ioc_rules_list, bytes, 40);
AT(offlay_ioc_rules_list, line, 48);
AT(offlay_ioc_rules_list, waiting, 52);
AT(offlay_ioc_rules_list, reserved, 56);
AT(offlay_ioc_rules_list, text, 72);
_Static_assert(sizeof(struct offlay_ioc_rules_clear) == 24, "rules clear");
AT(offlay_ioc_rules_clear, version, 0);
AT(offlay_ioc_rules_clear, flags, 4);
AT(offlay_ioc_rules_clear, reserved, 8);

Test(uapi, fault_rules_keep_their_numbers)
{
	cr_expect_eq(OFFLAY_IOC_RULES_SET, 0xE100F118u);
	cr_expect_eq(OFFLAY_IOC_RULES_LIST, 0xC438F119u);
	cr_expect_eq(OFFLAY_IOC_RULES_CLEAR, 0xC018F11Au);
	cr_expect_eq(OFFLAY_RULES_MORE, 1);
}
