// SPDX-License-Identifier: MIT
/* Tests of tools/run_mountinfo.c: which mount a line is about. */
#include <criterion/criterion.h>

#include "run.h"

static const char text[] =
	"24 30 0:22 / /sys rw,nosuid - sysfs sysfs rw\n"
	"36 24 98:0 / /mnt rw,noatime master:1 - fuse.offlayfs /srv rw\n"
	"37 24 98:1 / /a\\040-\\040b rw - fuse.offlayfsx /srv rw\n"
	"38 24 98:2 / /c rw - fuse fuse.offlayfs rw\n"
	"39 24 98:3 / /d rw broken\n"
	"361 24 98:4 / /e rw shared:3 propagate_from:2 - fuse.offlayfs x rw";

Test(run_mountinfo, finds_a_mount_by_its_id)
{
	static const struct {
		uint64_t id;
		bool is_found, is_ours;
	} rows[] = {
		{ 24, true, false }, { 36, true, true },   { 37, true, false },
		{ 38, true, false }, { 39, false, false }, { 361, true, true },
		{ 3, false, false }, { 0, false, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool is_ours = false;

		cr_expect_eq(run_mounts_parse(text, rows[i].id, &is_ours),
			     rows[i].is_found, "mount %u",
			     (unsigned int)rows[i].id);
		cr_expect_eq(is_ours, rows[i].is_ours, "mount %u",
			     (unsigned int)rows[i].id);
	}
}

Test(run_mountinfo, takes_an_empty_text)
{
	bool is_ours = false;

	cr_expect(!run_mounts_parse("", 36, &is_ours));
	cr_expect(!run_mounts_parse("\n\n\n", 36, &is_ours));
}
