// SPDX-License-Identifier: MIT
/* What a random program that copies by hand may do, both files included. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "accel_random.h"

static size_t chunk(struct program *p)
{
	static const size_t sizes[] = { 4096,	65536,	65536,	131072, 131072,
					131072, 262144, 100000, 10240,	61440 };
	size_t size = sizes[program_below(p, 10)];

	return program_below(p, 12) ? size : 1 + program_below(p, 200000);
}

/* Half of the programs show where they are by the descriptor's position. */
static ssize_t read_source(const struct program *p, const struct side *side,
			   size_t size)
{
	if (p->seed % 2)
		return pread(side->src, side->buf, size, (off_t)p->src_at);
	if (lseek(side->src, (off_t)p->src_at, SEEK_SET) < 0)
		return -1;
	return read(side->src, side->buf, size);
}

/* Reads from the source and writes what was read, as copies do. */
static void copy_on(struct program *p)
{
	static const size_t small[] = { 512, 1000, 4096, 4096, 8192, 10240 };
	size_t size = chunk(p);
	unsigned int times = 1 + (unsigned int)program_below(p, 4);

	if (!program_below(p, 6))
		times *= 6; /* more than are shared at once */
	if (!program_below(p, 3)) {
		size = small[program_below(p, 6)];
		times = 1 + (unsigned int)program_below(p, 300000 / size);
	}

	program_note(p, "copy %u times %zu from %llu to %llu", times, size,
		     (unsigned long long)p->src_at,
		     (unsigned long long)p->dst_at);
	while (times-- && p->dst_at + size <= DST_MAX) {
		long long n[N_SIDES];

		for (int i = 0; i < N_SIDES; i++) {
			struct side *side = &p->sides[i];

			n[i] = read_source(p, side, size);
		}
		program_same(p, n, "read of the source");
		if (n[BARE] <= 0)
			return;
		BOTH(p, "write",
		     pwrite(side->dst, side->buf, (size_t)n[BARE],
			    (off_t)p->dst_at));
		p->src_at += (uint64_t)n[BARE];
		p->dst_at += (uint64_t)n[BARE];
	}
}

/* Often the first or last byte of a block, where mistakes would be. */
static size_t pick_byte(struct program *p, size_t size)
{
	size_t at = program_below(p, size), end;

	if (program_below(p, 2))
		return program_below(p, 2) ? 0 : size - 1;
	end = at - at % 4096 + (program_below(p, 2) ? 4095 : 0);
	return program_below(p, 2) && end < size ? end : at;
}

/* What was read, but for one byte. */
static void copy_almost(struct program *p)
{
	size_t size = chunk(p), at;
	ssize_t n;

	if (p->dst_at + size > DST_MAX)
		return;
	program_note(p, "copy all but a byte of %zu from %llu to %llu", size,
		     (unsigned long long)p->src_at,
		     (unsigned long long)p->dst_at);
	n = pread(p->sides[BARE].src, p->noise, size, (off_t)p->src_at);
	if (n <= 0)
		return;
	at = pick_byte(p, (size_t)n);
	p->noise[at] ^= (unsigned char)(1 + program_below(p, 255));
	BOTH(p, "write",
	     pwrite(side->dst, p->noise, (size_t)n, (off_t)p->dst_at));
	p->src_at += (uint64_t)n;
	p->dst_at += (uint64_t)n;
}

static void write_noise(struct program *p)
{
	size_t size = 1 + program_below(p, 70000);
	uint64_t at = program_below(p, 2) ? p->dst_at
					  : program_below(p, DST_MAX - size);

	if (at + size > DST_MAX)
		return;
	program_note(p, "write %zu of noise to %llu", size,
		     (unsigned long long)at);
	sample_fill(&p->rng, p->noise, size);
	BOTH(p, "write", pwrite(side->dst, p->noise, size, (off_t)at));
	p->dst_at = at + size;
}

static void seek(struct program *p)
{
	static const uint64_t units[] = { 1, 512, 4096, 65536 };
	uint64_t unit = units[program_below(p, 4)];

	p->src_at = program_below(p, p->src_size);
	p->src_at -= p->src_at % unit;
	if (program_below(p, 2))
		p->dst_at = p->src_at;
	else
		p->dst_at = program_below(p, DST_MAX / 2) / unit * unit;
	program_note(p, "seek to %llu, %llu", (unsigned long long)p->src_at,
		     (unsigned long long)p->dst_at);
}

static void truncate_destination(struct program *p)
{
	uint64_t size = program_below(p, 3) ? program_below(p, DST_MAX / 2) : 0;

	if (program_below(p, 2))
		size -= size % 4096;
	program_note(p, "truncate the destination to %llu",
		     (unsigned long long)size);
	if (program_below(p, 2))
		BOTH(p, "ftruncate", ftruncate(side->dst, (off_t)size));
	else
		BOTH(p, "truncate",
		     truncate(program_path(side->dir, "dst"), (off_t)size));
	if (program_below(p, 2))
		p->dst_at = size;
}

static void read_back(struct program *p)
{
	uint64_t at = program_below(p, DST_MAX / 2);
	size_t size = 1 + program_below(p, 300000);
	bool below_mount = p->below && program_below(p, 2);
	long long n[N_SIDES];

	program_note(p, "read %zu back from %llu", size,
		     (unsigned long long)at);
	for (int i = 0; i < N_SIDES; i++) {
		struct side *side = &p->sides[i];
		int fd = below_mount ? open(program_path(side->back, "dst"),
					    O_RDONLY)
				     : program_reader_begin(side, side->dir);

		n[i] = pread(fd, side->buf, size, (off_t)at);
		if (below_mount)
			close(fd);
		else
			program_reader_end(side, fd);
	}
	program_same(p, n, "read of the destination");
	if (n[BARE] > 0 &&
	    memcmp(p->sides[MOUNTED].buf, p->sides[BARE].buf, (size_t)n[BARE]))
		program_fail(p, "read other bytes");
}

static void stat_destination(struct program *p)
{
	struct stat st;

	program_note(p, "stat");
	/* The other way round, what is gathered could not be seen below. */
	BOTH(p, "st_size of the handle",
	     fstat(side->dst, &st) ? -1 : st.st_size);
	BOTH(p, "st_size of the name",
	     stat(program_path(side->dir, "dst"), &st) ? -1 : st.st_size);
	BOTH(p, "st_size of the backing",
	     stat(program_path(side->back, "dst"), &st) ? -1 : st.st_size);
}

/* A second writer, which stays for a while. */
static void open_writer(struct program *p)
{
	bool below_mount = p->below && program_below(p, 2);

	if (p->sides[BARE].writer >= 0) {
		program_note(p, "the writer leaves");
		BOTH(p, "close", close(side->writer));
		for (int i = 0; i < N_SIDES; i++)
			p->sides[i].writer = -1;
		return;
	}
	program_note(p, "a writer comes%s",
		     below_mount ? " below the mount" : "");
	BOTH(p, "open",
	     (side->writer = open(
		      program_path(below_mount ? side->back : side->dir, "src"),
		      O_RDWR)) < 0
		     ? -1
		     : 0);
}

void program_unmap(struct program *p)
{
	for (int i = 0; i < N_SIDES; i++) {
		struct side *side = &p->sides[i];

		if (side->map)
			munmap(side->map, side->map_size);
		side->map = NULL;
	}
}

/* The descriptor is closed, the mapping goes on writing. */
static void map_source(struct program *p)
{
	bool below_mount = p->below && program_below(p, 2);

	if (p->sides[BARE].map) {
		program_note(p, "the mapping goes");
		program_unmap(p);
		return;
	}
	program_note(p, "the source is mapped%s",
		     below_mount ? " below the mount" : "");
	for (int i = 0; i < N_SIDES; i++) {
		struct side *side = &p->sides[i];
		int fd = open(program_path(below_mount ? side->back : side->dir,
					   "src"),
			      O_RDWR);
		void *map;

		if (fd < 0)
			return;
		side->map_size = SRC_MIN;
		map = mmap(NULL, side->map_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0);
		close(fd);
		side->map = map == MAP_FAILED ? NULL : map;
	}
}

static void change_source(struct program *p)
{
	size_t size = 1 + program_below(p, 20000);
	uint64_t at = program_below(p, SRC_MIN - size);

	sample_fill(&p->rng, p->noise, size);
	program_note(p, "the source changes at %llu, %zu",
		     (unsigned long long)at, size);
	if (p->sides[BARE].map && p->sides[MOUNTED].map &&
	    program_below(p, 2)) {
		for (int i = 0; i < N_SIDES; i++)
			memcpy(p->sides[i].map + at, p->noise, size);
	} else if (p->sides[BARE].writer >= 0) {
		BOTH(p, "write to the source",
		     pwrite(side->writer, p->noise, size, (off_t)at));
	}
}

/* Never below what is mapped. */
static void resize_source(struct program *p)
{
	uint64_t size = SRC_MIN + program_below(p, SRC_MAX - SRC_MIN);
	bool below_mount = p->below && program_below(p, 2);

	program_note(p, "the source is truncated to %llu",
		     (unsigned long long)size);
	BOTH(p, "truncate of the source",
	     truncate(program_path(below_mount ? side->back : side->dir, "src"),
		      (off_t)size));
}

static void punch_source(struct program *p)
{
	uint64_t at = program_below(p, SRC_MIN),
		 size = 1 + program_below(p, 100000);

	if (p->sides[BARE].writer < 0)
		return;
	program_note(p, "a hole in the source at %llu, %llu",
		     (unsigned long long)at, (unsigned long long)size);
	BOTH(p, "fallocate",
	     fallocate(side->writer, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)at, (off_t)size));
}

static void move_names(struct program *p)
{
	const char *name = program_below(p, 2) ? "src" : "dst";

	program_note(p, "%s goes away and comes back", name);
	for (int i = 0; i < N_SIDES; i++) {
		const char *dir = p->sides[i].dir;

		cr_assert_eq(rename(program_path(dir, name),
				    program_path(dir, "moved")),
			     0);
		cr_assert_eq(rename(program_path(dir, "moved"),
				    program_path(dir, name)),
			     0);
	}
}

static void replace_source(struct program *p)
{
	size_t size = SRC_MIN;

	program_note(p, "another source takes the name");
	sample_fill(&p->rng, p->noise, size);
	for (int i = 0; i < N_SIDES; i++) {
		const char *dir = p->sides[i].dir;
		int fd = open(program_path(dir, "other"),
			      O_WRONLY | O_CREAT | O_TRUNC, 0644);

		cr_assert_eq(write(fd, p->noise, size), (ssize_t)size);
		close(fd);
		cr_assert_eq(rename(program_path(dir, "other"),
				    program_path(dir, "src")),
			     0);
	}
}

static void store_destination(struct program *p)
{
	struct stat st;
	size_t size, at;

	if (fstat(p->sides[BARE].dst, &st) || st.st_size < 4096)
		return;
	size = (size_t)st.st_size;
	at = program_below(p, size);
	program_note(p, "a store to the mapped destination at %zu", at);
	for (int i = 0; i < N_SIDES; i++) {
		int fd = open(program_path(p->sides[i].dir, "dst"), O_RDWR);
		unsigned char *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
					  MAP_SHARED, fd, 0);

		close(fd);
		cr_assert_neq(map, MAP_FAILED);
		map[at] ^= 0x55;
		munmap(map, size);
	}
}

static void sync_destination(struct program *p)
{
	program_note(p, "fsync");
	BOTH(p, "fsync", fsync(side->dst));
}

static void reserve(struct program *p)
{
	uint64_t at = program_below(p, DST_MAX / 2);
	int mode = program_below(p, 2) ? FALLOC_FL_KEEP_SIZE : 0;

	program_note(p, "fallocate %d at %llu", mode, (unsigned long long)at);
	BOTH(p, "fallocate", fallocate(side->dst, mode, (off_t)at, 100000));
}

static const struct {
	void (*run)(struct program *p);
	unsigned int weight;
} ops[] = {
	{ copy_on, 40 },
	{ copy_almost, 4 },
	{ write_noise, 4 },
	{ seek, 8 },
	{ truncate_destination, 3 },
	{ read_back, 6 },
	{ stat_destination, 4 },
	{ open_writer, 6 },
	{ map_source, 4 },
	{ change_source, 10 },
	{ resize_source, 2 },
	{ punch_source, 2 },
	{ move_names, 2 },
	{ replace_source, 1 },
	{ store_destination, 2 },
	{ sync_destination, 1 },
	{ reserve, 1 },
};

void program_step(struct program *p)
{
	uint64_t total = 0, pick;
	size_t i = 0;

	for (size_t n = 0; n < sizeof(ops) / sizeof(*ops); n++)
		total += ops[n].weight;
	pick = program_below(p, total);
	while (pick >= ops[i].weight)
		pick -= ops[i++].weight;
	ops[i].run(p);
}
