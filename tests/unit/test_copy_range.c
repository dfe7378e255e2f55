// SPDX-License-Identifier: MIT
/* Tests of lib/copy_range.c: where a server is asked, and what it answers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/magic.h>

#include "copy_model.h"

static struct fake remote_files(void)
{
	struct fake fake;

	fake_init(&fake, 4);
	fake_fill(&fake, 0, 100, 1);
	fake.type = NFS_SUPER_MAGIC;
	fake.clone_errno = EOPNOTSUPP;
	fake.range_errno = 0;
	return fake;
}

static const struct copy_case whole = { 0, 1, 0, 0, 100 };

Test(copy_range, asks_only_filesystems_with_somebody_behind_them)
{
	static const struct {
		uint32_t type;
		bool asked;
	} types[] = {
		{ NFS_SUPER_MAGIC, true },    { 0xfe534d42, true },
		{ 0xff534d42, true },	      { CEPH_SUPER_MAGIC, true },
		{ FUSE_SUPER_MAGIC, true },   { OVERLAYFS_SUPER_MAGIC, true },
		{ BTRFS_SUPER_MAGIC, false }, { EXT4_SUPER_MAGIC, false },
		{ XFS_SUPER_MAGIC, false },   { TMPFS_MAGIC, false },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct fake fake = remote_files();
		struct offlay_result result;
		const char *wrong;

		fake.type = types[i].type;
		cr_assert_eq(model_run(&fake, NULL, &whole, &result, &wrong),
			     0);
		cr_assert_null(wrong, "%s", wrong);
		cr_assert_eq(result.offloaded, types[i].asked ? 100 : 0,
			     "type %x", types[i].type);
		cr_assert_eq(result.copied, 100);
	}
}

Test(copy_range, remembers_a_server_that_cannot)
{
	struct fake fake = remote_files();
	struct offlay_engine *engine;
	struct offlay_result result;
	const char *wrong;

	fake.range_errno = EOPNOTSUPP;
	cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(model_run(&fake, engine, &whole, &result, &wrong),
			     0);
		cr_assert_null(wrong, "%s", wrong);
		cr_assert_eq(result.moved, 100);
		cr_assert_eq(result.declined_offload, EOPNOTSUPP);
	}
	cr_assert_eq(fake.counts[FAKE_COPY_RANGE], 1);
	fake.now += 3600ull * 1000000000u;
	fake.range_errno = 0;
	cr_assert_eq(model_run(&fake, engine, &whole, &result, &wrong), 0);
	cr_assert_eq(result.offloaded, 100);
	offlay_engine_free(engine);
}

/* An answer for two files says nothing of the next two. */
Test(copy_range, does_not_remember_what_is_the_files_own_trouble)
{
	static const int errnos[] = { EINVAL, ETXTBSY, EAGAIN, EPERM, EACCES };

	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++) {
		struct fake fake = remote_files();
		struct offlay_engine *engine;
		struct offlay_result result;
		const char *wrong;

		fake.range_errno = errnos[i];
		cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
		cr_assert_eq(model_run(&fake, engine, &whole, &result, &wrong),
			     0);
		cr_assert_eq(result.moved, 100);
		fake.range_errno = 0;
		cr_assert_eq(model_run(&fake, engine, &whole, &result, &wrong),
			     0);
		cr_assert_eq(result.offloaded, 100);
		offlay_engine_free(engine);
	}
}

/* The server has an old idea of the size; that is no end of file. */
Test(copy_range, does_not_take_no_bytes_for_the_end_of_file)
{
	struct fake fake = remote_files();
	struct offlay_result result;
	const char *wrong;

	cr_assert_eq(model_run(&fake, NULL, &whole, &result, &wrong), 0);
	cr_assert_eq(result.offloaded, 100);
	fake = remote_files();
	fake.fault_at = 5;
	cr_assert_eq(model_run(&fake, NULL, &whole, &result, &wrong), 0);
	cr_assert_eq(fake.fault_call, FAKE_COPY_RANGE);
	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(result.copied, 100);
	cr_assert_eq(result.moved, 100);
}

static void cut_off(struct fake *fake)
{
	fake_set_size(fake, 0, 0);
}

Test(copy_range, takes_no_bytes_for_the_end_where_the_source_was_cut_off)
{
	for (int at = 0; at < 10; at++) {
		struct fake fake = remote_files();
		struct offlay_range range = { .src_fd = FAKE_FD(0),
					      .dst_fd = FAKE_FD(1),
					      .length = 100 };
		struct offlay_engine *engine;
		struct offlay_result result;

		fake.meddle_at = at;
		fake.meddle = cut_off;
		cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
		cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
		cr_assert(result.copied == 0 || result.copied == 100);
		cr_assert_eq(fake.files[1].size, result.copied);
		offlay_engine_free(engine);
	}
}
