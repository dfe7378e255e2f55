// SPDX-License-Identifier: MIT
/* Tests of lib/status.c: the table, both ways. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <string.h>

#include "offlay.h"

/* What the documents say (MS-ERREF, MS-FSA), kept apart from the table. */
static const struct {
	uint32_t ntstatus;
	uint32_t win32;
	int err;
	const char *ntstatus_name;
	const char *win32_name;
} documented[] = {
	{ 0xC000A2A1, 4440, EOPNOTSUPP, "STATUS_OFFLOAD_READ_FLT_NOT_SUPPORTED",
	  "ERROR_OFFLOAD_READ_FLT_NOT_SUPPORTED" },
	{ 0xC000A2A2, 4441, EOPNOTSUPP,
	  "STATUS_OFFLOAD_WRITE_FLT_NOT_SUPPORTED",
	  "ERROR_OFFLOAD_WRITE_FLT_NOT_SUPPORTED" },
	{ 0xC000A2A3, 4442, EOPNOTSUPP,
	  "STATUS_OFFLOAD_READ_FILE_NOT_SUPPORTED",
	  "ERROR_OFFLOAD_READ_FILE_NOT_SUPPORTED" },
	{ 0xC000A2A4, 0x115B, EOPNOTSUPP,
	  "STATUS_OFFLOAD_WRITE_FILE_NOT_SUPPORTED",
	  "ERROR_OFFLOAD_WRITE_FILE_NOT_SUPPORTED" },
	{ 0xC0000465, 315, ESTALE, "STATUS_INVALID_TOKEN",
	  "ERROR_INVALID_TOKEN" },
	{ 0xC0000463, 316, EOPNOTSUPP, "STATUS_DEVICE_FEATURE_NOT_SUPPORTED",
	  "ERROR_DEVICE_FEATURE_NOT_SUPPORTED" },
	{ 0xC0000432, 1289, EINVAL, "STATUS_BEYOND_VDL", "ERROR_BEYOND_VDL" },
	{ 0xC0000011, 38, ENODATA, "STATUS_END_OF_FILE", "ERROR_HANDLE_EOF" },
	{ 0xC0000054, 33, EAGAIN, "STATUS_FILE_LOCK_CONFLICT",
	  "ERROR_LOCK_VIOLATION" },
	{ 0xC000000D, 87, EINVAL, "STATUS_INVALID_PARAMETER",
	  "ERROR_INVALID_PARAMETER" },
	{ 0xC0000010, 1, ENOTTY, "STATUS_INVALID_DEVICE_REQUEST",
	  "ERROR_INVALID_FUNCTION" },
	{ 0xC00000BB, 50, EOPNOTSUPP, "STATUS_NOT_SUPPORTED",
	  "ERROR_NOT_SUPPORTED" },
	{ 0xC0000023, 122, EMSGSIZE, "STATUS_BUFFER_TOO_SMALL",
	  "ERROR_INSUFFICIENT_BUFFER" },
	{ 0xC00000A2, 19, EROFS, "STATUS_MEDIA_WRITE_PROTECTED",
	  "ERROR_WRITE_PROTECT" },
};

#define DOCUMENTED (sizeof(documented) / sizeof(*documented))

Test(status, holds_every_documented_row)
{
	for (size_t i = 0; i < DOCUMENTED; i++) {
		const struct offlay_status *row =
			offlay_status_by_ntstatus(documented[i].ntstatus);

		cr_assert_not_null(row, "%s", documented[i].ntstatus_name);
		cr_expect_eq(row->win32, documented[i].win32, "%s",
			     documented[i].ntstatus_name);
		cr_expect_eq(row->err, documented[i].err, "%s",
			     documented[i].ntstatus_name);
		cr_expect_str_eq(row->ntstatus_name,
				 documented[i].ntstatus_name);
		cr_expect_str_eq(row->win32_name, documented[i].win32_name);
		cr_expect_eq(offlay_status_by_win32(documented[i].win32), row,
			     "Win32 %u", documented[i].win32);
	}
}

Test(status, every_row_is_complete_and_found_by_its_names)
{
	const struct offlay_status *row;
	size_t i;

	for (i = 0; (row = offlay_status_at(i)) != NULL; i++) {
		cr_assert_str_not_empty(row->why, "row %zu", i);
		cr_assert_str_not_empty(row->advice, "row %zu", i);
		cr_expect_str_eq(row->err_name, offlay_errno_name(row->err));
		cr_expect_eq(offlay_status_by_ntstatus(row->ntstatus), row,
			     "%s is in the table twice", row->ntstatus_name);
		cr_expect_eq(offlay_status_by_name(row->ntstatus_name), row);
		cr_expect_eq(offlay_status_by_win32(row->win32)->win32,
			     row->win32);
		cr_expect_str_eq(
			offlay_status_by_name(row->win32_name)->win32_name,
			row->win32_name);
		cr_expect_eq(offlay_status_by_errno(row->err)->err, row->err);
		cr_expect_eq(offlay_status_by_name(row->err_name)->err,
			     row->err, "%s", row->err_name);
	}
	cr_expect_geq(i, DOCUMENTED);
	cr_expect_null(offlay_status_at(SIZE_MAX));
}

Test(status, names_match_in_any_case_and_without_prefix)
{
	static const struct {
		const char *name;
		uint32_t ntstatus;
	} rows[] = {
		{ "offload_write_file_not_supported", 0xC000A2A4 },
		{ "error_offload_write_file_not_supported", 0xC000A2A4 },
		{ "Status_End_Of_File", 0xC0000011 },
		{ "HANDLE_EOF", 0xC0000011 },
		{ "estale", 0xC0000465 },
		{ "EOPNOTSUPP", 0xC00000BB },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct offlay_status *row =
			offlay_status_by_name(rows[i].name);

		cr_assert_not_null(row, "%s", rows[i].name);
		cr_expect_eq(row->ntstatus, rows[i].ntstatus, "%s",
			     rows[i].name);
	}
}

Test(status, unknown_codes_and_names_are_null)
{
	cr_expect_null(offlay_status_by_win32(4444));
	cr_expect_null(offlay_status_by_ntstatus(0));
	cr_expect_null(offlay_status_by_errno(0));
	cr_expect_null(offlay_status_by_errno(-EOPNOTSUPP));
	cr_expect_null(offlay_status_by_name(""));
	cr_expect_null(offlay_status_by_name("ERROR_"));
	cr_expect_null(offlay_status_by_name("EOPNOTSUPPX"));
}

Test(status, plain_errno_has_the_plain_meaning)
{
	cr_expect_eq(offlay_status_by_errno(EOPNOTSUPP)->win32, 50);
	cr_expect_eq(offlay_status_by_errno(EINVAL)->win32, 87);
	cr_expect_eq(offlay_status_by_win32(5)->err, EACCES);
}

Test(status, refusals_have_the_code_of_their_side)
{
	cr_expect_eq(offlay_status_refused(OFFLAY_SOURCE)->win32, 4442);
	cr_expect_eq(offlay_status_refused(OFFLAY_DESTINATION)->win32, 4443);
	cr_expect_eq(offlay_status_volume(OFFLAY_SOURCE)->win32, 4440);
	cr_expect_eq(offlay_status_volume(OFFLAY_DESTINATION)->win32, 4441);
}

Test(status, errno_names)
{
	cr_expect_str_eq(offlay_errno_name(EOPNOTSUPP), "EOPNOTSUPP");
	cr_expect_str_eq(offlay_errno_name(ENOENT), "ENOENT");
	cr_expect_str_eq(offlay_errno_name(100000), "E?");
	cr_expect_str_eq(offlay_errno_name(-1), "E?");
}
