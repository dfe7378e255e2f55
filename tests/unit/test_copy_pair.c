// SPDX-License-Identifier: MIT
/* Tests of lib/copy_pair.c: what is remembered, for how long, how much. */
#include <criterion/criterion.h>
#include <errno.h>

#include "private.h"

#define SECOND 1000000000ull

static struct copy_pairs pairs = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct copy_pair_key key(uint64_t n)
{
	return (struct copy_pair_key){ .src_dev = n, .dst_dev = n + 1 };
}

static struct copy_pair look(uint64_t n, uint64_t now)
{
	struct copy_pair_key k = key(n);
	struct copy_pair pair;

	copy_pair_look_up(&pairs, &k, now, &pair);
	return pair;
}

Test(copy_pair, knows_nothing_of_a_new_pair)
{
	struct copy_pair pair = look(1, 0);

	cr_assert_eq(pair.block, 0);
	cr_assert_eq(pair.clone_errno, 0);
	cr_assert_eq(pair.offload_errno, 0);
}

Test(copy_pair, remembers_each_method_by_itself_and_forgets_in_time)
{
	struct copy_pair_key k = key(1);

	copy_pair_declined(&pairs, &k, OFFLAY_METHOD_CLONE, EXDEV, SECOND);
	copy_pair_declined(&pairs, &k, OFFLAY_METHOD_OFFLOAD, ENOSYS,
			   20 * SECOND);
	cr_assert_eq(look(1, 21 * SECOND).clone_errno, EXDEV);
	cr_assert_eq(look(1, 21 * SECOND).offload_errno, ENOSYS);
	cr_assert_eq(look(1, 32 * SECOND).clone_errno, 0);
	cr_assert_eq(look(1, 32 * SECOND).offload_errno, ENOSYS);
	cr_assert_eq(look(1, 51 * SECOND).offload_errno, 0);
}

Test(copy_pair, tells_pairs_apart_by_every_part_of_the_key)
{
	const struct copy_pair_key base = { 1, 2, 3, 4, 5, 6 };
	struct copy_pair_key other[] = { base, base, base, base, base, base };
	struct copy_pair pair;

	other[0].src_dev++;
	other[1].src_fsid++;
	other[2].dst_dev++;
	other[3].dst_fsid++;
	other[4].src_type++;
	other[5].dst_type++;
	copy_pair_cloned(&pairs, &base, 4096);
	for (int i = 0; i < 6; i++) {
		copy_pair_look_up(&pairs, &other[i], 0, &pair);
		cr_assert_eq(pair.block, 0, "part %d", i);
	}
	copy_pair_look_up(&pairs, &base, 0, &pair);
	cr_assert_eq(pair.block, 4096);
}

Test(copy_pair, keeps_a_pair_that_has_cloned)
{
	struct copy_pair_key k = key(1);

	copy_pair_cloned(&pairs, &k, 4096);
	copy_pair_declined(&pairs, &k, OFFLAY_METHOD_CLONE, EOPNOTSUPP, 0);
	cr_assert_eq(look(1, 0).clone_errno, 0);
	cr_assert_eq(look(1, 0).block, 4096);
}

Test(copy_pair, a_clone_that_works_ends_a_decline)
{
	struct copy_pair_key k = key(1);

	copy_pair_declined(&pairs, &k, OFFLAY_METHOD_CLONE, EXDEV, 0);
	copy_pair_cloned(&pairs, &k, 65536);
	cr_assert_eq(look(1, 0).clone_errno, 0);
	cr_assert_eq(look(1, 0).block, 65536);
}

Test(copy_pair, replaces_the_pair_that_was_unused_longest)
{
	for (uint64_t n = 0; n < COPY_PAIRS; n++) {
		struct copy_pair_key k = key(n);

		copy_pair_cloned(&pairs, &k, 512);
	}
	look(0, 0);
	look(1000, 0); /* takes the place of 1 */
	cr_assert_eq(look(0, 0).block, 512);
	for (uint64_t n = 2; n < COPY_PAIRS; n++)
		cr_assert_eq(look(n, 0).block, 512, "pair %lu", n);
	cr_assert_eq(look(1, 0).block, 0);
}

Test(copy_pair, keeps_what_a_filesystem_is_for_a_moment)
{
	const struct sys_volume volume = { .type = 7, .block_size = 4096 };
	struct sys_volume found = { 0 };

	cr_expect_not(copy_volume_find(&pairs, 5, SECOND, &found));
	copy_volume_keep(&pairs, 5, SECOND, &volume);
	cr_assert(copy_volume_find(&pairs, 5, SECOND + SECOND / 20, &found));
	cr_expect_eq(found.type, 7);
	cr_expect_eq(found.block_size, 4096);
	cr_expect_not(copy_volume_find(&pairs, 6, SECOND, &found));
	/* Another may have got its number by now. */
	cr_expect_not(copy_volume_find(&pairs, 5, SECOND + SECOND / 5, &found));
	/* A few at once. */
	for (uint64_t dev = 10; dev < 10 + COPY_VOLUMES; dev++)
		copy_volume_keep(&pairs, dev, SECOND, &volume);
	for (uint64_t dev = 10; dev < 10 + COPY_VOLUMES; dev++)
		cr_expect(copy_volume_find(&pairs, dev, SECOND, &found));
	cr_expect_not(copy_volume_find(&pairs, 5, SECOND, &found));
}
