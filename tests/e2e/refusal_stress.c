// SPDX-License-Identifier: MIT
/* Refused copies and plain writes at the same offsets, from many threads. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "process.h"
#include "refusal.h"
#include "sample.h"

#define THREADS 12
#define RUN_MS	2000
#define BLOCK	4096
#define OFFSETS 8

/* How the files are opened, and which of them is the reason. */
struct shape {
	const char *name;
	bool sparse_src, sparse_dst;
	int dst_flags;
	bool own_handles; /* each thread opens both files itself */
	bool dst_first;	  /* before the source: it may be in pure passthrough */
};

static const struct shape shapes[] = {
	{ "sparse source, shared handles", true, false, O_RDWR, false, false },
	{ "sparse source, own handles", true, false, O_WRONLY, true, false },
	{ "sparse source, opened last", true, false, O_WRONLY, true, true },
	{ "sparse destination, shared handles", false, true, O_RDWR, false,
	  true },
	{ "both sparse, own handles", true, true, O_RDWR, true, false },
};

struct stress {
	const struct refusal_place *place;
	const struct shape *shape;
	int src_fd, dst_fd;
	/*
	 * Only READs of the source could carry the refusal, and pages that a
	 * sendfile(2) has left in the cache keep them away: EINVAL then.
	 */
	bool may_be_invalid;
	long long until;
	atomic_uint copies, writes;
	atomic_uint wrong_copies, wrong_writes, wrong_reads;
	atomic_long last_wrong;
};

static void note(atomic_uint *counter, struct stress *stress, ssize_t result)
{
	atomic_fetch_add(counter, 1);
	atomic_store(&stress->last_wrong, result);
}

static void try_copy(struct stress *stress, int src, int dst, off_t at,
		     size_t length)
{
	ssize_t n = refusal_copy(src, at, dst, at, length);

	atomic_fetch_add(&stress->copies, 1);
	if (n != -EOPNOTSUPP && !(n == -EINVAL && stress->may_be_invalid))
		note(&stress->wrong_copies, stress, n);
}

/* What a program writes itself; half of it looks just like the source. */
static void try_write(struct stress *stress, int src, int dst, off_t at,
		      unsigned int how)
{
	char buf[BLOCK];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	off_t from = at;
	ssize_t n;

	if (how & 1) {
		n = pread(src, buf, sizeof(buf), at);
		if (n != sizeof(buf))
			note(&stress->wrong_reads, stress, n < 0 ? -errno : n);
	} else {
		memset(buf, 'w', sizeof(buf));
	}
	atomic_fetch_add(&stress->writes, 1);
	switch (how >> 1 & 3) {
	case 0:
		n = pwrite(dst, buf, sizeof(buf), at);
		break;
	case 1:
		n = pwritev(dst, &iov, 1, at);
		break;
	case 2: /* splices too, and is not the copy */
		if (!stress->shape->own_handles) {
			n = pwrite(dst, buf, 1, at);
			n = n == 1 ? BLOCK : n;
			break;
		}
		lseek(dst, at, SEEK_SET);
		n = sendfile(dst, src, &from, sizeof(buf));
		break;
	default:
		n = pwritev2(dst, &iov, 1, at, RWF_DSYNC);
	}
	if (n != BLOCK)
		note(&stress->wrong_writes, stress, n < 0 ? -errno : n);
}

static void open_both(const struct stress *stress, int *ret_src, int *ret_dst)
{
	const struct shape *shape = stress->shape;

	if (shape->dst_first)
		*ret_dst = refusal_open(stress->place, "dst", shape->dst_flags);
	*ret_src = refusal_open(stress->place, "src", O_RDONLY);
	if (!shape->dst_first)
		*ret_dst = refusal_open(stress->place, "dst", shape->dst_flags);
}

static void *work(void *arg)
{
	struct stress *stress = arg;
	int src = stress->src_fd, dst = stress->dst_fd;
	struct sample_rng rng = { .state = (uint64_t)(uintptr_t)&rng };

	if (stress->shape->own_handles)
		open_both(stress, &src, &dst);
	while (process_now_ms() < stress->until) {
		uint64_t dice = sample_next(&rng);
		off_t at = (off_t)(dice >> 8 & (OFFSETS - 1)) * BLOCK;

		/* Often a write right behind a copy of the same thread. */
		if (dice & 1)
			try_copy(stress, src, dst, at,
				 dice & 2 ? BLOCK : REFUSAL_SIZE / 4);
		if (dice & 4)
			try_write(stress, src, dst, at,
				  (unsigned int)(dice >> 16));
	}
	if (stress->shape->own_handles) {
		close(src);
		close(dst);
	}
	return NULL;
}

static void run(const struct refusal_case *where,
		const struct refusal_place *place, const struct shape *shape)
{
	struct stress stress = {
		.place = place,
		.shape = shape,
		.may_be_invalid = where->mode == MODE_PASSTHROUGH &&
				  shape->dst_first && !shape->sparse_dst,
	};
	const char *name = refusal_case_name(where);
	pthread_t threads[THREADS];

	refusal_make(place, "src", shape->sparse_src);
	refusal_make(place, "dst", shape->sparse_dst);
	open_both(&stress, &stress.src_fd, &stress.dst_fd);
	stress.until = process_now_ms() +
		       RUN_MS / (long long)(sizeof(shapes) / sizeof(*shapes));
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, work, &stress),
			     0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(stress.wrong_writes, 0,
		     "%s, %s: %u of %u writes failed, such as with %s", name,
		     shape->name, stress.wrong_writes, stress.writes,
		     errno_name(stress.last_wrong));
	cr_expect_eq(stress.wrong_reads, 0,
		     "%s, %s: %u reads failed, such as with %s", name,
		     shape->name, stress.wrong_reads,
		     errno_name(stress.last_wrong));
	cr_expect_eq(stress.wrong_copies, 0,
		     "%s, %s: %u of %u copies were not refused, such as: %s "
		     "(%ld)",
		     name, shape->name, stress.wrong_copies, stress.copies,
		     errno_name(stress.last_wrong), (long)stress.last_wrong);
	cr_expect_gt(stress.writes, THREADS);
	cr_expect_gt(stress.copies, THREADS);
	close(stress.src_fd);
	close(stress.dst_fd);
}

Test(refusal, plain_writes_beside_refused_copies_are_never_hit, .timeout = 120)
{
	const struct refusal_case *where = NULL;

	while ((where = refusal_next_case(where)) != NULL) {
		for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
			struct refusal_place place;

			refusal_place_open(where, &place);
			run(where, &place, &shapes[i]);
			refusal_place_close(&place);
		}
	}
}

/* ---------------------------------------------- one write behind each copy */

/*
 * The sharpest case: the same thread, handle, offset, length and bytes as the
 * refused copy would have had, right after it.
 */
Test(refusal, the_same_bytes_written_by_hand_arrive, .timeout = 120)
{
	const struct refusal_case *where = NULL;
	char buf[BLOCK], back[BLOCK];

	while ((where = refusal_next_case(where)) != NULL) {
		struct refusal_place place;
		int src, dst;

		refusal_place_open(where, &place);
		refusal_make(&place, "src", true);
		refusal_make(&place, "dst", false);
		src = refusal_open(&place, "src", O_RDONLY);
		dst = refusal_open(&place, "dst", O_RDWR);
		for (int i = 0; i < 500; i++) {
			off_t at = i % 64 * BLOCK;

			cr_assert_eq(refusal_copy(src, at, dst, at, BLOCK),
				     -EOPNOTSUPP, "%s, round %d",
				     refusal_case_name(where), i);
			cr_assert_eq(pread(src, buf, BLOCK, at), BLOCK);
			if (i % 3 == 0)
				cr_assert_eq(refusal_copy(src, at, dst, at,
							  BLOCK),
					     -EOPNOTSUPP);
			cr_assert_eq(pwrite(dst, buf, BLOCK, at), BLOCK,
				     "%s, round %d: %s",
				     refusal_case_name(where), i,
				     strerror(errno));
			cr_assert_eq(pread(dst, back, BLOCK, at), BLOCK);
			cr_assert_eq(memcmp(buf, back, BLOCK), 0);
		}
		close(src);
		close(dst);
		refusal_place_close(&place);
	}
}
