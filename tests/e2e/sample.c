/* SPDX-License-Identifier: MIT */
/* Reproducible random data and numbers, and files made of them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>
#include "sample.h"

#define CHUNK (1u << 20)

uint64_t sample_seed(void)
{
	const char *given = getenv("OFFLAY_SEED");
	uint64_t seed;

	if (given)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t)getpid();
	fprintf(stderr, "OFFLAY_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

unsigned long sample_amount(unsigned long quick, unsigned long normal,
			    unsigned long lengthy)
{
	const char *length = getenv("OFFLAY_TEST_LENGTH");

	if (length && strcmp(length, "quick") == 0)
		return quick;
	if (length && strcmp(length, "long") == 0)
		return lengthy;
	return normal;
}

/* splitmix64, by Sebastiano Vigna: any state is a good one. */
uint64_t sample_next(struct sample_rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t sample_below(struct sample_rng *rng, uint64_t bound)
{
	return sample_next(rng) % bound;
}

void sample_fill(struct sample_rng *rng, void *buf, size_t size)
{
	unsigned char *at = buf;

	while (size) {
		/* An odd byte keeps every word from being all zeros. */
		uint64_t word = sample_next(rng) | 1;
		size_t n = size < sizeof(word) ? size : sizeof(word);

		memcpy(at, &word, n);
		at += n;
		size -= n;
	}
}

void sample_file(const char *path, uint64_t size, uint64_t seed)
{
	struct sample_rng rng = { .state = seed };
	char *buf = malloc(CHUNK);
	int fd;

	cr_assert(buf);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
	while (size) {
		size_t n = size < CHUNK ? size : CHUNK;

		sample_fill(&rng, buf, n);
		cr_assert_eq(write(fd, buf, n), (ssize_t)n, "%s: %s", path,
			     strerror(errno));
		size -= n;
	}
	cr_assert(close(fd) == 0, "%s: %s", path, strerror(errno));
	free(buf);
}

int sample_hash(int fd, uint64_t *ret_hash)
{
	XXH3_state_t *state = XXH3_createState();
	char *buf = malloc(CHUNK);
	off_t offset = 0;
	ssize_t n = 0;
	int err = 0;

	if (!state || !buf) {
		err = -ENOMEM;
	} else {
		XXH3_64bits_reset(state);
		while ((n = pread(fd, buf, CHUNK, offset)) > 0) {
			XXH3_64bits_update(state, buf, n);
			offset += n;
		}
		if (n < 0)
			err = -errno;
		else
			*ret_hash = XXH3_64bits_digest(state);
	}
	XXH3_freeState(state);
	free(buf);
	return err;
}

static int compare(int fd_a, int fd_b, char *buf, uint64_t *ret_at)
{
	uint64_t offset = 0;

	for (;;) {
		ssize_t n_a = pread(fd_a, buf, CHUNK, (off_t)offset);
		ssize_t n_b;
		size_t i, n;

		if (n_a < 0)
			return -errno;
		n_b = pread(fd_b, buf + CHUNK, CHUNK, (off_t)offset);
		if (n_b < 0)
			return -errno;
		n = n_a < n_b ? n_a : n_b;
		if (n_a == n_b && memcmp(buf, buf + CHUNK, n) == 0) {
			if (n == 0)
				return 1;
			offset += n;
			continue;
		}
		for (i = 0; i < n && buf[i] == buf[CHUNK + i]; i++)
			;
		if (ret_at)
			*ret_at = offset + i;
		return 0;
	}
}

int sample_is_same(const char *path_a, const char *path_b, uint64_t *ret_at)
{
	int fd_a = open(path_a, O_RDONLY | O_CLOEXEC);
	int fd_b = open(path_b, O_RDONLY | O_CLOEXEC);
	char *buf = malloc(2 * CHUNK);
	int result;

	if (fd_a < 0 || fd_b < 0 || !buf)
		result = fd_a < 0 || fd_b < 0 ? -ENOENT : -ENOMEM;
	else
		result = compare(fd_a, fd_b, buf, ret_at);
	free(buf);
	if (fd_a >= 0)
		close(fd_a);
	if (fd_b >= 0)
		close(fd_b);
	return result;
}
