// SPDX-License-Identifier: MIT
/* Tests of lib/copy.c: what is asked, and the truth when a call goes wrong. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy_model.h"

#define BLOCK 8u

static int run(struct fake *fake, const struct copy_case *c)
{
	struct offlay_result result;
	const char *wrong;
	int err = model_run(fake, NULL, c, &result, &wrong);

	cr_assert_null(wrong, "%s", wrong);
	return err;
}

static struct fake two_files(void)
{
	struct fake fake;

	fake_init(&fake, BLOCK);
	fake_fill(&fake, 0, 100, 1);
	fake_fill(&fake, 1, 50, 71);
	return fake;
}

Test(copy, refuses_what_the_kernel_refuses)
{
	struct fake fake = two_files();
	struct copy_case c = { 0, 1, 0, 0, 10 };

	fake.files[1].mode = S_IFDIR;
	cr_assert_eq(run(&fake, &c), -EISDIR);
	fake.files[1].mode = S_IFIFO;
	cr_assert_eq(run(&fake, &c), -EINVAL);
	fake = two_files();
	fake.files[0].mode = S_IFCHR;
	cr_assert_eq(run(&fake, &c), -EINVAL);
	fake = two_files();
	fake.files[1].open_flags = O_WRONLY | O_APPEND;
	cr_assert_eq(run(&fake, &c), -EBADF);
	fake = two_files();
	c.methods = 8;
	cr_assert_eq(run(&fake, &c), -EINVAL);
	c = (struct copy_case){ 0, 1, 0, 0, 10, 0, 4 };
	cr_assert_eq(run(&fake, &c), -EINVAL);
}

Test(copy, refuses_offsets_beyond_what_a_file_can_have)
{
	struct offlay_engine *engine;
	struct offlay_result result;
	struct fake fake = two_files();
	struct offlay_range range = { .src_fd = FAKE_FD(0),
				      .dst_fd = FAKE_FD(1) };

	cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
	range.src_offset = 1ull << 63;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), -EINVAL);
	range.src_offset = 0;
	range.dst_offset = UINT64_MAX;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), -EINVAL);
	range.dst_offset = 1;
	range.length = UINT64_MAX;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), -EOVERFLOW);
	range.length = 100;
	range.dst_offset = INT64_MAX - 99;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), -EFBIG);
	/* Nothing to copy is no error, wherever it would go. */
	range.src_offset = 100;
	cr_assert_eq(offlay_copy_range(engine, &range, &result), 0);
	cr_assert_eq(result.copied, 0);
	offlay_engine_free(engine);
	offlay_engine_free(NULL);
}

/* What the caller has seen is not asked for, and may have become untrue. */
Test(copy, believes_what_is_known_until_it_is_refused)
{
	struct sys_file files[2];
	struct sys_volume volume;
	struct offlay_engine *engine;
	struct offlay_result result;
	struct fake fake = two_files();
	const struct copy_known known = {
		.src = &files[0],
		.dst = &files[1],
		.src_volume = &volume,
		.dst_volume = &volume,
	};
	const struct offlay_range range = { .src_fd = FAKE_FD(0),
					    .dst_fd = FAKE_FD(1),
					    .length = 100 };

	for (int i = 0; i < 2; i++)
		cr_assert_eq(fake_ops.stat(&fake, FAKE_FD(i), &files[i]), 0);
	cr_assert_eq(fake_ops.volume(&fake, FAKE_FD(0), &volume), 0);
	memset(fake.counts, 0, sizeof(fake.counts));
	cr_assert_eq(copy_engine_new(&fake_ops, &fake, &engine), 0);
	cr_assert_eq(copy_range_known(engine, &range, &known, &result), 0);
	cr_expect_eq(result.cloned, 100);
	cr_expect_eq(fake.counts[FAKE_STAT], 0);
	cr_expect_eq(fake.counts[FAKE_VOLUME], 0);

	/* The destination goes on behind the source's end by now. */
	fake_fill(&fake, 1, 300, 77);
	cr_assert_eq(copy_range_known(engine, &range, &known, &result), 0);
	cr_expect_eq(result.copied, 100);
	cr_expect_gt(fake.counts[FAKE_STAT], 0);
	cr_expect_eq(memcmp(fake.files[1].data, fake.files[0].data, 100), 0);
	cr_expect_eq(fake.files[1].size, 300);
	offlay_engine_free(engine);
}

Test(copy, asks_for_the_rest_of_the_file_with_the_largest_length)
{
	struct fake fake = two_files();
	struct copy_case c = { 0, 1, 0, 0, UINT64_MAX };
	struct offlay_result result;
	const char *wrong;

	cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
	cr_assert_eq(result.copied, 100);
	cr_assert_eq(result.cloned, 100);
}

Test(copy, uses_only_the_methods_that_are_allowed)
{
	struct offlay_result result;
	const char *wrong;

	for (unsigned int methods = 1; methods < 8; methods++) {
		struct fake fake = two_files();
		struct copy_case c = { 0, 1, 0, 0, 100, methods };
		uint64_t want_clone, want_offload;

		fake.type = 0x6969;
		fake.range_errno = 0;
		cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), 0);
		cr_assert_null(wrong, "%s", wrong);
		want_clone = methods & OFFLAY_METHOD_CLONE ? 100 : 0;
		want_offload = !want_clone && methods & OFFLAY_METHOD_OFFLOAD
				       ? 100
				       : 0;
		cr_assert_eq(result.cloned, want_clone);
		cr_assert_eq(result.offloaded, want_offload);
		cr_assert_eq(result.moved, 100 - want_clone - want_offload);
	}
}

Test(copy, says_why_when_every_method_declines)
{
	struct fake fake = two_files();
	struct copy_case c = { 0, 1, 0, 0, 100 };
	struct offlay_result result;
	const char *wrong;

	c.methods = OFFLAY_METHOD_CLONE | OFFLAY_METHOD_OFFLOAD;
	fake.type = 0x6969;
	fake.clone_errno = EXDEV;
	fake.range_errno = ENOSYS;
	cr_assert_eq(model_run(&fake, NULL, &c, &result, &wrong), -EOPNOTSUPP);
	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(result.declined_clone, EXDEV);
	cr_assert_eq(result.declined_offload, ENOSYS);
}

/*
 * The plans that the faults go through.  Each has holes in both files, so that
 * every kind of system call comes up.
 */
struct scene {
	const char *name;
	struct copy_case c;
	bool is_remote;
	int clone_errno;
	bool no_punch, no_extend, no_seek;
	size_t most;
	uint64_t src_hole, src_hole_length;
};

static const struct scene scenes[] = {
	{ "clone", { 0, 1, 0, 0, 96 } },
	{ "clone with edges", { 0, 1, 3, 11, 90 } },
	{ "clone to the end", { 0, 1, 5, 5, 100 } },
	{ "clone behind the end", { 0, 1, 3, 67, 90 } },
	{ "clone declined at the head", { 0, 1, 3, 11, 90 }, false, EINVAL },
	{ "move", { 0, 1, 1, 2, 90 } },
	{ "move with a last hole",
	  { 0, 1, 1, 2, 99 },
	  .src_hole = 56,
	  .src_hole_length = 44 },
	{ "move without punching",
	  { 0, 1, 1, 2, 99 },
	  .no_punch = true,
	  .no_extend = true,
	  .src_hole = 56,
	  .src_hole_length = 44 },
	{ "move without seeking", { 0, 1, 1, 2, 99 }, .no_seek = true },
	{ "move in short counts", { 0, 1, 1, 2, 99 }, .most = 7 },
	{ "offload", { 0, 1, 1, 2, 99 }, true },
	{ "offload in short counts", { 0, 1, 1, 2, 99 }, true, .most = 13 },
};

#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

static struct fake stage(const struct scene *scene)
{
	struct fake fake = two_files();

	fake_make_hole(&fake, 0, 16, 16);
	fake_make_hole(&fake, 1, 32, 8);
	if (scene->src_hole_length)
		fake_make_hole(&fake, 0, scene->src_hole,
			       scene->src_hole_length);
	if (scene->is_remote) {
		fake.type = 0x6969;
		fake.range_errno = 0;
	}
	fake.clone_errno = scene->clone_errno;
	fake.no_punch = scene->no_punch;
	fake.no_extend = scene->no_extend;
	fake.no_seek = scene->no_seek;
	fake.most = scene->most;
	return fake;
}

static bool is_hard(int err)
{
	return err == EIO || err == ENOSPC || err == EDQUOT || err == EFBIG;
}

/* Calls that do the work: their hard errors are never swallowed. */
static bool does_work(enum fake_call call)
{
	return call == FAKE_CLONE || call == FAKE_COPY_RANGE ||
	       call == FAKE_PREAD || call == FAKE_PWRITE;
}

static void fail_one(const struct scene *scene, int at, bool stays, int err,
		     size_t bytes)
{
	struct fake fake = stage(scene);
	struct offlay_result result;
	const char *wrong;
	int ret;

	fake.fault_at = at;
	fake.fault_stays = stays;
	fake.fault_errno = err;
	fake.fault_bytes = bytes;
	ret = model_run(&fake, NULL, &scene->c, &result, &wrong);
#define FAULT                                                               \
	"%s, call %d (kind %d) gives %d after %zu: %s; returns %d, copied " \
	"%lu, stop %d",                                                     \
		scene->name, at, fake.fault_call, err, bytes, wrong, ret,   \
		result.copied, result.stop
	cr_assert_null(wrong, FAULT);
	if (fake.faulted && is_hard(err) && does_work(fake.fault_call))
		cr_assert(ret == -err || (ret == 0 && result.stop == err),
			  FAULT);
	if (ret == 0 && result.stop == 0 && err)
		cr_assert_eq(result.copied,
			     copy_min(scene->c.length,
				      100 - scene->c.src_offset),
			     FAULT);
	/* A call that failed says so with its own errno, no other. */
	if (ret && ret != -EOPNOTSUPP)
		cr_assert_eq(ret, -err, FAULT);
	if (ret == 0 && result.stop)
		cr_assert_eq(result.stop, err, FAULT);
}

static int count_calls(const struct scene *scene)
{
	struct fake fake = stage(scene);
	struct offlay_result result;
	const char *wrong;

	cr_assert_eq(model_run(&fake, NULL, &scene->c, &result, &wrong), 0,
		     "%s", scene->name);
	cr_assert_null(wrong, "%s: %s", scene->name, wrong);
	cr_assert_eq(result.copied,
		     copy_min(scene->c.length, 100 - scene->c.src_offset));
	return fake.calls;
}

/* Each system call, at each position, once and from there on, each errno. */
Test(copy, tells_the_truth_whichever_call_fails)
{
	static const int errnos[] = { EIO,    ENOSPC, EDQUOT, EFBIG,
				      EINVAL, EXDEV,  EPERM,  EOPNOTSUPP,
				      ENOSYS, EAGAIN, ENOTTY, ETXTBSY };

	for (size_t s = 0; s < SCENES; s++) {
		int calls = count_calls(&scenes[s]);

		for (int at = 0; at < calls + 8; at++)
			for (size_t e = 0; e < sizeof(errnos) / sizeof(int);
			     e++)
				for (int stays = 0; stays < 2; stays++)
					for (size_t part = 0; part < 64;
					     part += 16)
						fail_one(&scenes[s], at, stays,
							 errnos[e], part);
	}
}

/* Short counts of every length; no bytes at all is an end or an error. */
Test(copy, tells_the_truth_whichever_call_falls_short)
{
	for (size_t s = 0; s < SCENES; s++) {
		int calls = count_calls(&scenes[s]);

		for (int at = 0; at < calls; at++)
			for (size_t n = 0; n < 100; n++) {
				struct fake fake = stage(&scenes[s]);
				struct offlay_result result;
				const char *wrong;
				int err;

				fake.fault_at = at;
				fake.fault_bytes = n;
				err = model_run(&fake, NULL, &scenes[s].c,
						&result, &wrong);
				cr_assert_null(wrong, "%s, call %d, %zu: %s",
					       scenes[s].name, at, n, wrong);
				cr_assert(err == 0 || (n == 0 && err == -EIO),
					  "%s, call %d, %zu: %d",
					  scenes[s].name, at, n, err);
				if (err == 0 && n && !result.stop)
					cr_assert_neq(result.copied, 0);
			}
	}
}

/* A call that moves nothing for ever ends the copy, not the program. */
Test(copy, does_not_ask_for_ever)
{
	for (size_t s = 0; s < SCENES; s++) {
		int calls = count_calls(&scenes[s]);

		for (int at = 0; at < calls; at++) {
			struct fake fake = stage(&scenes[s]);
			struct offlay_result result;
			const char *wrong;
			int err;

			fake.fault_at = at;
			fake.fault_stays = true;
			err = model_run(&fake, NULL, &scenes[s].c, &result,
					&wrong);
			cr_assert_null(wrong, "%s, call %d: %s", scenes[s].name,
				       at, wrong);
			if (fake.faulted && fake.fault_call == FAKE_PWRITE)
				cr_assert(err == -EIO || result.stop == EIO);
			else
				cr_assert_eq(err, 0);
		}
	}
}

/* The destination fills up after each number of blocks. */
Test(copy, stops_with_a_correct_prefix_on_a_full_filesystem)
{
	for (size_t s = 0; s < SCENES; s++)
		for (uint64_t space = 0; space < 12; space++) {
			struct fake fake = stage(&scenes[s]);
			struct offlay_result result;
			const char *wrong;
			int err;

			fake.space = space;
			err = model_run(&fake, NULL, &scenes[s].c, &result,
					&wrong);
			cr_assert_null(wrong, "%s, space %lu: %s",
				       scenes[s].name, space, wrong);
			cr_assert(err == -ENOSPC ||
					  (err == 0 && (result.stop == 0 ||
							result.stop == ENOSPC)),
				  "%s, space %lu: %d", scenes[s].name, space,
				  err);
		}
}

/* One engine, many threads, more of them than there are large buffers. */
#define THREADS 24
#define PIECE	(96u << 10)

struct crowd {
	struct offlay_engine *engine;
	int src, dst;
	unsigned int number;
	bool ok;
};

static void *copy_piece(void *arg)
{
	struct crowd *me = arg;
	struct offlay_range range = {
		.src_fd = me->src,
		.dst_fd = me->dst,
		.src_offset = (uint64_t)me->number * PIECE,
		.dst_offset = (uint64_t)me->number * PIECE + 1,
		.length = PIECE,
	};
	struct offlay_result result;

	me->ok = true;
	for (int i = 0; i < 20; i++)
		me->ok = me->ok &&
			 offlay_copy_range(me->engine, &range, &result) == 0 &&
			 result.copied == PIECE;
	return NULL;
}

Test(copy, serves_many_threads_at_once)
{
	const size_t size = (size_t)THREADS * PIECE;
	struct crowd crowd[THREADS];
	pthread_t threads[THREADS];
	struct offlay_engine *engine;
	int src = memfd_create("src", 0), dst = memfd_create("dst", 0);
	char *data = malloc(size), *back = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 31 >> 3);
	cr_assert_eq(pwrite(src, data, size, 0), (ssize_t)size);
	cr_assert_eq(offlay_engine_new(&engine), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		crowd[i] = (struct crowd){ engine, src, dst, i };
		cr_assert_eq(pthread_create(&threads[i], NULL, copy_piece,
					    &crowd[i]),
			     0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		cr_assert(crowd[i].ok, "thread %u", i);
	}
	cr_assert_eq(pread(dst, back, size, 1), (ssize_t)size);
	cr_assert(!memcmp(data, back, size));
	offlay_engine_free(engine);
	free(data);
	free(back);
	close(src);
	close(dst);
}
