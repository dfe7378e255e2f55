/* SPDX-License-Identifier: MIT */
/*
 * Random operations on two files of a mount against copies of them in memory.
 *
 * $OFFLAY_SEED repeats a run, $OFFLAY_STEPS makes it longer or shorter.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mount.h"
#include "random_shadow.h"
#include "sample.h"
#include "volume.h"

#define MAX_SIZE  (256u << 10)
#define BLOCK	  4096u
#define N_HISTORY 24

struct param {
	enum backing backing;
	enum mount_mode mode;
	bool deny_none;
};

struct run {
	const struct param *param;
	struct sample_rng rng;
	struct subject files[2];
	/* Aligned for O_DIRECT. */
	unsigned char *buf;
	unsigned long step;
	unsigned long refused;
	unsigned long copied;
	char history[N_HISTORY][128];
};

static size_t below(struct run *run, size_t bound)
{
	return bound ? (size_t)sample_below(&run->rng, bound) : 0;
}

static void remember(struct run *run, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void remember(struct run *run, const char *fmt, ...)
{
	char *line = run->history[run->step % N_HISTORY];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(run->history[0]), fmt, args);
	va_end(args);
}

static void fail(struct run *run, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

static void fail(struct run *run, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (unsigned long i = N_HISTORY; i-- > 0;)
		if (run->step >= i)
			fprintf(stderr, "  step %lu: %s\n", run->step - i,
				run->history[(run->step - i) % N_HISTORY]);
	cr_assert_fail("%s/%s%s, step %lu: %s",
		       backing_name(run->param->backing),
		       mode_name(run->param->mode),
		       run->param->deny_none ? ",deny=none" : "", run->step,
		       text);
	abort();
}

static int name_of(const struct run *run, const struct subject *file)
{
	return file == &run->files[0] ? 'f' : 'g';
}

/* Any range that begins in or a little after the file; often whole blocks. */
static void pick_range(struct run *run, const struct subject *file,
		       size_t *ret_offset, size_t *ret_length)
{
	static const size_t limits[] = { 16, 600, 5000, 20000, 70000, 140000 };
	size_t limit = limits[below(run, 6)];
	size_t offset = below(run, file->size + 8000);
	size_t length = 1 + below(run, limit);

	if (below(run, 2)) {
		offset -= offset % BLOCK;
		length += BLOCK - length % BLOCK;
	}
	if (offset >= MAX_SIZE)
		offset = below(run, MAX_SIZE);
	if (length > MAX_SIZE - offset)
		length = MAX_SIZE - offset;
	*ret_offset = offset;
	*ret_length = length;
}

static void check_range(struct run *run, struct subject *file, int fd,
			size_t offset, size_t length, const char *where)
{
	size_t expected = 0;
	ssize_t n;

	if (offset < file->size)
		expected = file->size - offset;
	if (expected > length)
		expected = length;
	n = pread(fd, run->buf, length, (off_t)offset);
	/*
	 * XFS's own answer to a direct read that reaches blocks of a buffered
	 * write that it has not allocated yet ("Direct I/O collision").
	 */
	if (n < 0 && errno == EIO && run->param->backing == BACKING_XFS &&
	    fcntl(fd, F_GETFL) & O_DIRECT)
		return;
	if (n < 0)
		fail(run, "reading %c: %s", name_of(run, file),
		     errno_name(errno));
	if ((size_t)n != expected)
		fail(run, "%s: read %zd at %zu of %c, expected %zu", where, n,
		     offset, name_of(run, file), expected);
	if (memcmp(run->buf, file->shadow + offset, n) != 0) {
		size_t at =
			first_difference(run->buf, file->shadow + offset, n);

		fail(run, "%s: %c differs at %zu (%#x, expected %#x)", where,
		     name_of(run, file), offset + at, run->buf[at],
		     file->shadow[offset + at]);
	}
}

static void check_all(struct run *run, struct subject *file)
{
	struct stat st;
	int fd = open(file->back_path, O_RDONLY | O_CLOEXEC);

	if (fsync(file->fds[0]) != 0)
		fail(run, "fsync: %s", errno_name(errno));
	check_range(run, file, file->fds[0], 0, MAX_SIZE, "mount");
	check_range(run, file, fd, 0, MAX_SIZE, "backing");
	close(fd);
	if (stat(file->path, &st) != 0 || (size_t)st.st_size != file->size)
		fail(run, "size of %c is %lld, expected %zu",
		     name_of(run, file), (long long)st.st_size, file->size);
}

static void reopen(struct run *run, struct subject *file, int which)
{
	static const int flags[] = { O_RDWR,
				     O_RDWR,
				     O_RDWR | O_APPEND,
				     O_RDWR | O_SYNC,
				     O_RDWR | O_DIRECT,
				     O_RDONLY };
	int flag = flags[below(run, 6)];

	/* The first one is always there for plain reading and writing. */
	if (which == 0)
		flag = O_RDWR;
	if (file->fds[which] >= 0 && close(file->fds[which]) != 0)
		fail(run, "close: %s", errno_name(errno));
	file->fds[which] = open(file->path, flag | O_CLOEXEC);
	if (file->fds[which] < 0)
		fail(run, "open %#o: %s", flag, errno_name(errno));
	file->flags[which] = flag;
	remember(run, "open %c as %d, flags %#o", name_of(run, file), which,
		 flag);
}

/* O_DIRECT takes whole blocks only; the range is made to fit. */
static void align_for(int flags, size_t *offset, size_t *length)
{
	if (!(flags & O_DIRECT))
		return;
	*offset -= *offset % BLOCK;
	*length = (*length + BLOCK - 1) / BLOCK * BLOCK;
	if (*length > MAX_SIZE - *offset)
		*length = MAX_SIZE - *offset;
}

static void do_write(struct run *run, struct subject *file)
{
	int which = (int)below(run, N_HANDLES);
	size_t offset, length;
	ssize_t n;

	if ((file->flags[which] & O_ACCMODE) == O_RDONLY)
		which = 0;
	pick_range(run, file, &offset, &length);
	align_for(file->flags[which], &offset, &length);
	if (file->flags[which] & O_APPEND) {
		offset = file->size;
		if (offset + length > MAX_SIZE)
			return;
	}
	sample_fill(&run->rng, run->buf, length);
	remember(run, "write %zu at %zu of %c by %d (flags %#o)", length,
		 offset, name_of(run, file), which, file->flags[which]);
	n = pwrite(file->fds[which], run->buf, length, (off_t)offset);
	if (n != (ssize_t)length)
		fail(run, "wrote %zd: %s", n, errno_name(errno));
	shadow_grow(file, offset + length);
	memcpy(file->shadow + offset, run->buf, length);
}

static void do_read(struct run *run, struct subject *file)
{
	int which = (int)below(run, N_HANDLES);
	size_t offset, length;

	pick_range(run, file, &offset, &length);
	align_for(file->flags[which], &offset, &length);
	remember(run, "read %zu at %zu of %c by %d (flags %#o)", length, offset,
		 name_of(run, file), which, file->flags[which]);
	check_range(run, file, file->fds[which], offset, length, "mount");
}

static void do_truncate(struct run *run, struct subject *file)
{
	size_t size = below(run, MAX_SIZE);
	bool by_name = below(run, 2);
	int result;

	if (below(run, 3) == 0)
		size -= size % BLOCK;
	remember(run, "truncate %c to %zu%s", name_of(run, file), size,
		 by_name ? " by name" : "");
	result = by_name ? truncate(file->path, (off_t)size)
			 : ftruncate(file->fds[0], (off_t)size);
	if (result != 0)
		fail(run, "truncate: %s", errno_name(errno));
	shadow_truncate(file, size);
}

static void do_fallocate(struct run *run, struct subject *file)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_KEEP_SIZE,
		0,
	};
	int mode = modes[below(run, 5)];
	size_t offset, length, end;

	pick_range(run, file, &offset, &length);
	remember(run, "fallocate %#x of %zu at %zu of %c", mode, length, offset,
		 name_of(run, file));
	if (fallocate(file->fds[0], mode, (off_t)offset, (off_t)length) != 0) {
		/* tmpfs cannot zero a range. */
		if (errno == EOPNOTSUPP)
			return;
		fail(run, "fallocate: %s", errno_name(errno));
	}
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		shadow_grow(file, offset + length);
	end = offset + length < file->size ? offset + length : file->size;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) &&
	    end > offset)
		memset(file->shadow + offset, 0, end - offset);
}

/* What copy_file_range(2) may do with this range: it never guesses. */
static void after_copy(struct run *run, struct subject *src,
		       struct subject *dst, size_t from, size_t to,
		       size_t length, ssize_t n)
{
	size_t most = from < src->size ? src->size - from : 0;

	if (most > length)
		most = length;
	if (n < 0 && !run->param->deny_none &&
	    (errno == EOPNOTSUPP || errno == EINVAL)) {
		/* Refused: nothing may have changed. */
		run->refused++;
		check_range(run, dst, dst->fds[0], to, length, "refused copy");
		return;
	}
	if (n < 0)
		fail(run, "copy_file_range: %s", errno_name(errno));
	if ((size_t)n > most || (n == 0 && most))
		fail(run, "copied %zd of %zu", n, most);
	shadow_grow(dst, n ? to + n : dst->size);
	memmove(dst->shadow + to, src->shadow + from, n);
	run->copied++;
}

static void do_copy(struct run *run, struct subject *src)
{
	struct subject *dst = &run->files[below(run, 2)];
	size_t from, to, length, unused;
	off_t in, out;
	ssize_t n;

	pick_range(run, src, &from, &length);
	pick_range(run, dst, &to, &unused);
	/* Congruent offsets can be cloned, others cannot. */
	if (below(run, 2))
		to = to - to % BLOCK + from % BLOCK;
	if (to >= MAX_SIZE)
		return;
	if (length > MAX_SIZE - to)
		length = MAX_SIZE - to;
	if (src == dst && from < to + length && to < from + length)
		return;
	in = (off_t)from;
	out = (off_t)to;
	remember(run, "copy %zu from %zu of %c to %zu of %c", length, from,
		 name_of(run, src), to, name_of(run, dst));
	n = copy_file_range(src->fds[0], &in, dst->fds[0], &out, length, 0);
	after_copy(run, src, dst, from, to, length, n);
}

static void do_store(struct run *run, struct subject *file)
{
	size_t offset, length;
	unsigned char *map;

	pick_range(run, file, &offset, &length);
	if (offset >= file->size)
		return;
	if (length > file->size - offset)
		length = file->size - offset;
	remember(run, "store %zu at %zu of %c", length, offset,
		 name_of(run, file));
	map = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   file->fds[0], 0);
	if (map == MAP_FAILED)
		fail(run, "mmap: %s", errno_name(errno));
	sample_fill(&run->rng, file->shadow + offset, length);
	memcpy(map + offset, file->shadow + offset, length);
	if (below(run, 4) == 0 && msync(map, file->size, MS_SYNC) != 0)
		fail(run, "msync: %s", errno_name(errno));
	if (memcmp(map, file->shadow, file->size) != 0)
		fail(run, "map differs at %zu",
		     first_difference(map, file->shadow, file->size));
	munmap(map, file->size);
}

static void do_sync(struct run *run, struct subject *file)
{
	bool data_only = below(run, 2);
	int result;

	remember(run, "fsync %c", name_of(run, file));
	result = data_only ? fdatasync(file->fds[0]) : fsync(file->fds[0]);
	if (result != 0)
		fail(run, "fsync: %s", errno_name(errno));
	if (below(run, 2))
		posix_fadvise(file->fds[0], 0, 0, POSIX_FADV_DONTNEED);
}

static void do_step(struct run *run)
{
	struct subject *file = &run->files[below(run, 2)];
	size_t dice = below(run, 100);

	if (dice < 30)
		do_write(run, file);
	else if (dice < 50)
		do_read(run, file);
	else if (dice < 58)
		do_truncate(run, file);
	else if (dice < 68)
		do_fallocate(run, file);
	else if (dice < 84)
		do_copy(run, file);
	else if (dice < 93)
		do_store(run, file);
	else if (dice < 94 && below(run, 4) == 0)
		do_sync(run, file);
	else
		reopen(run, file, (int)below(run, N_HANDLES));
}

static void subject_open(struct run *run, struct subject *file, char name,
			 const char *point, const char *source)
{
	const char text[] = { name, '\0' };
	int fd;

	volume_path(file->path, point, text);
	volume_path(file->back_path, source, text);
	file->size = 0;
	file->shadow = calloc(1, MAX_SIZE);
	cr_assert(file->shadow);
	fd = open(file->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	cr_assert(fd >= 0, "%s: %s", file->path, strerror(errno));
	close(fd);
	for (int i = 0; i < N_HANDLES; i++) {
		file->fds[i] = -1;
		reopen(run, file, i);
	}
}

static void subject_close(struct subject *file)
{
	for (int i = 0; i < N_HANDLES; i++)
		close(file->fds[i]);
	free(file->shadow);
}

/* A backing is mounted in four ways: 50,000 steps in CI, a million at length. */
static unsigned long n_steps(void)
{
	const char *text = getenv("OFFLAY_STEPS");

	return text ? strtoul(text, NULL, 0)
		    : sample_amount(2000, 12500, 250000);
}

ParameterizedTestParameters(random_ops, equals_shadow)
{
	static const struct param all[] = {
		{ BACKING_BTRFS, MODE_PASSTHROUGH, false },
		{ BACKING_BTRFS, MODE_PASSTHROUGH, true },
		{ BACKING_BTRFS, MODE_NO_PASSTHROUGH, false },
		{ BACKING_BTRFS, MODE_NO_PASSTHROUGH, true },
		{ BACKING_XFS, MODE_PASSTHROUGH, false },
		{ BACKING_XFS, MODE_PASSTHROUGH, true },
		{ BACKING_XFS, MODE_NO_PASSTHROUGH, false },
		{ BACKING_XFS, MODE_NO_PASSTHROUGH, true },
		{ BACKING_EXT4, MODE_PASSTHROUGH, false },
		{ BACKING_EXT4, MODE_PASSTHROUGH, true },
		{ BACKING_EXT4, MODE_NO_PASSTHROUGH, false },
		{ BACKING_EXT4, MODE_NO_PASSTHROUGH, true },
		{ BACKING_TMPFS, MODE_PASSTHROUGH, false },
		{ BACKING_TMPFS, MODE_PASSTHROUGH, true },
		{ BACKING_TMPFS, MODE_NO_PASSTHROUGH, false },
		{ BACKING_TMPFS, MODE_NO_PASSTHROUGH, true },
	};
	size_t n = sizeof(all) / sizeof(*all), used = 0;
	struct param *params = cr_malloc(sizeof(all));

	for (size_t i = 0; i < n; i++)
		if (backing_is_selected(all[i].backing))
			params[used++] = all[i];
	return cr_make_param_array(struct param, params, used, NULL);
}

ParameterizedTest(struct param *param, random_ops, equals_shadow,
		  .timeout = 3600)
{
	unsigned long steps = n_steps();
	char source[PATH_MAX];
	struct volume volume;
	struct mount mount;
	struct run run = { .param = param };

	run.rng.state = sample_seed();
	run.buf = aligned_alloc(BLOCK, MAX_SIZE);
	cr_assert(run.buf);
	volume_get(param->backing, 0, &volume);
	volume_dir(&volume, "source", source);
	mount_open_mode(source, param->mode,
			param->deny_none ? "deny=none" : NULL, &mount);
	for (int i = 0; i < 2; i++)
		subject_open(&run, &run.files[i], i ? 'g' : 'f', mount.point,
			     source);
	for (run.step = 0; run.step < steps; run.step++) {
		do_step(&run);
		if (run.step % 500 == 0)
			for (int i = 0; i < 2; i++)
				check_all(&run, &run.files[i]);
	}
	for (int i = 0; i < 2; i++) {
		check_all(&run, &run.files[i]);
		subject_close(&run.files[i]);
	}
	fprintf(stderr, "%s/%s%s: %lu steps, %lu copies, %lu refused\n",
		backing_name(param->backing), mode_name(param->mode),
		param->deny_none ? ",deny=none" : "", steps, run.copied,
		run.refused);
	free(run.buf);
	mount_close(&mount);
	cr_expect(run.copied > steps / 100);
	cr_expect(param->deny_none || run.refused > 0);
}

VOLUME_MAIN;
