// SPDX-License-Identifier: MIT
/* Tests of fs/wire.c: who waits for a request. */
#include <criterion/criterion.h>

#include "wire.h"

struct row {
	uint32_t opcode, flags; /* flags: of a read or a write */
	enum wire_kind kind;
	bool takes_long, kills;
};

static const struct row rows[] = {
	{ FUSE_LOOKUP, 0, WIRE_CALLER, false, false },
	{ FUSE_GETATTR, 0, WIRE_CALLER, false, false },
	{ FUSE_FORGET, 0, WIRE_NOBODY, false, false },
	{ FUSE_BATCH_FORGET, 0, WIRE_NOBODY, false, false },
	{ FUSE_RELEASE, 0, WIRE_NOBODY, false, false },
	{ FUSE_RELEASEDIR, 0, WIRE_NOBODY, false, false },
	{ FUSE_READ, 0, WIRE_PAGES, false, false },
	{ FUSE_READ, FUSE_READ_LOCKOWNER, WIRE_CALLER, false, false },
	{ FUSE_WRITE, 0, WIRE_CALLER, false, false },
	{ FUSE_WRITE, FUSE_WRITE_CACHE, WIRE_PAGES, false, false },
	{ FUSE_WRITE, FUSE_WRITE_KILL_SUIDGID, WIRE_CALLER, false, true },
	{ FUSE_OPEN, FUSE_OPEN_KILL_SUIDGID, WIRE_CALLER, false, true },
	{ FUSE_OPEN, 0, WIRE_CALLER, false, false },
	{ FUSE_FSYNC, 0, WIRE_CALLER, true, false },
	{ FUSE_FSYNCDIR, 0, WIRE_CALLER, true, false },
	{ FUSE_SYNCFS, 0, WIRE_CALLER, true, false },
};

Test(wire, knows_each_request)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct {
			struct fuse_in_header in;
			union {
				struct fuse_read_in read;
				struct fuse_write_in write;
				struct fuse_open_in open;
			};
		} request = { .in = { .opcode = rows[i].opcode } };

		if (rows[i].opcode == FUSE_READ)
			request.read.read_flags = rows[i].flags;
		else if (rows[i].opcode == FUSE_WRITE)
			request.write.write_flags = rows[i].flags;
		else if (rows[i].opcode == FUSE_OPEN)
			request.open.open_flags = rows[i].flags;
		cr_expect_eq(wire_kind(&request.in), rows[i].kind, "row %zu",
			     i);
		cr_expect_eq(wire_takes_long(&request.in), rows[i].takes_long,
			     "row %zu", i);
		cr_expect_eq(wire_kills_suidgid(&request.in), rows[i].kills,
			     "row %zu", i);
	}
}

/* To those who would answer that they do not know it. */
Test(wire, asks_for_a_long_copy_as_all_know_it)
{
	struct fuse_in_header in = { .opcode = 53 };

	wire_ask_the_old_way(&in);
	cr_assert(in.opcode == 53 || in.opcode == FUSE_COPY_FILE_RANGE);
	in.opcode = FUSE_GETATTR;
	wire_ask_the_old_way(&in);
	cr_assert_eq(in.opcode, FUSE_GETATTR);
}
