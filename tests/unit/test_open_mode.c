// SPDX-License-Identifier: MIT
/* Tests of fs/open_mode.c: how a file is opened, case by case. */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "file.h"

static const struct {
	const char *name;
	struct open_case open;
	struct open_mode mode;
} cases[] = {
	{ "plain read",
	  { .flags = O_RDONLY, .mode = IO_PASSTHROUGH },
	  { .direct = false } },
	{ "plain write",
	  { .flags = O_WRONLY, .mode = IO_PASSTHROUGH },
	  { .direct = false } },
	{ "append",
	  { .flags = O_WRONLY | O_APPEND, .mode = IO_PASSTHROUGH },
	  { .direct = true } },
	{ "append that cannot write",
	  { .flags = O_RDONLY | O_APPEND, .mode = IO_PASSTHROUGH },
	  { .direct = false } },
	{ "O_DIRECT",
	  { .flags = O_RDONLY | O_DIRECT, .mode = IO_PASSTHROUGH },
	  { .direct = true } },
	{ "ineligible source",
	  { .flags = O_RDONLY, .mode = IO_PASSTHROUGH, .ineligible = true },
	  { .direct = true } },
	{ "ineligible destination",
	  { .flags = O_RDWR, .mode = IO_PASSTHROUGH, .ineligible = true },
	  { .direct = true } },
	{ "new file while a source is open",
	  { .flags = O_WRONLY, .mode = IO_PASSTHROUGH, .copy_coming = true },
	  { .direct = true } },
	{ "a rule must see it",
	  { .flags = O_RDONLY, .mode = IO_PASSTHROUGH, .ruled = true },
	  { .direct = true } },
	{ "cached, and a rule must see it",
	  { .flags = O_RDONLY,
	    .mode = IO_CACHED,
	    .ruled = true,
	    .keep_cache = true },
	  { .direct = true } },
	{ "close(2) has to wait for what was gathered",
	  { .flags = O_WRONLY,
	    .mode = IO_PASSTHROUGH,
	    .copy_coming = true,
	    .gathers = true,
	    .local = true },
	  { .direct = true, .noflush = false } },
	{ "suid file for writing",
	  { .flags = O_WRONLY, .mode = IO_PASSTHROUGH, .sxid = true },
	  { .direct = true } },
	{ "suid file for reading",
	  { .flags = O_RDONLY, .mode = IO_PASSTHROUGH, .sxid = true },
	  { .direct = false } },
	{ "clones only, destination",
	  { .flags = O_RDWR, .mode = IO_PASSTHROUGH, .clone_only = true },
	  { .direct = true } },
	{ "clones only, source",
	  { .flags = O_RDONLY, .mode = IO_PASSTHROUGH, .clone_only = true },
	  { .direct = false } },
	{ "passthrough never keeps pages",
	  { .flags = O_RDONLY, .mode = IO_PASSTHROUGH, .keep_cache = true },
	  { .keep_cache = false } },
	{ "local backing",
	  { .flags = O_RDWR, .mode = IO_PASSTHROUGH, .local = true },
	  { .noflush = true } },
	{ "cached", { .flags = O_RDWR, .mode = IO_CACHED }, { 0 } },
	{ "cached, ineligible: its writes are seen anyway",
	  { .flags = O_RDWR, .mode = IO_CACHED, .ineligible = true },
	  { .direct = false } },
	{ "cached O_DIRECT: the kernel sends what is not cached",
	  { .flags = O_RDWR | O_DIRECT, .mode = IO_CACHED },
	  { .direct = false } },
	{ "cached, pages kept",
	  { .flags = O_RDONLY, .mode = IO_CACHED, .keep_cache = true },
	  { .keep_cache = true } },
	{ "cached append",
	  { .flags = O_WRONLY | O_APPEND,
	    .mode = IO_CACHED,
	    .keep_cache = true },
	  { .direct = true } },
};

Test(open_mode, follows_the_case)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct open_mode mode = open_mode_choose(&cases[i].open);

		cr_expect_eq(mode.direct, cases[i].mode.direct, "%s: direct",
			     cases[i].name);
		cr_expect_eq(mode.keep_cache, cases[i].mode.keep_cache,
			     "%s: keep_cache", cases[i].name);
		cr_expect_eq(mode.noflush, cases[i].mode.noflush, "%s: noflush",
			     cases[i].name);
	}
}

/* The kernel answers EIO to passthrough with any flag that keeps pages. */
Test(open_mode, never_keeps_pages_beside_passthrough)
{
	for (unsigned int bits = 0; bits < 1u << 8; bits++) {
		struct open_case open = {
			.mode = IO_PASSTHROUGH,
			.flags = (bits & 1 ? O_RDWR : O_RDONLY) |
				 (bits & 2 ? O_APPEND : 0),
			.sxid = bits & 4,
			.ineligible = bits & 8,
			.copy_coming = bits & 16,
			.clone_only = bits & 32,
			.keep_cache = bits & 64,
			.local = bits & 128,
		};

		cr_expect_not(open_mode_choose(&open).keep_cache, "bits %x",
			      bits);
	}
}
