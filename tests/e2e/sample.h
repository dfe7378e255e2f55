/* SPDX-License-Identifier: MIT */
/* Reproducible random data and numbers, and files made of them. */
#ifndef E2E_SAMPLE_H
#define E2E_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* State of a generator; any seed will do. */
struct sample_rng {
	uint64_t state;
};

/**
 * sample_seed() - the seed of this run: $OFFLAY_SEED, or a fresh one
 *
 * Prints it, so that a failure can be repeated.
 */
uint64_t sample_seed(void);

/**
 * sample_amount() - how much of something a run of this length does
 * @quick: where $OFFLAY_TEST_LENGTH is "quick"
 * @normal: where it is neither
 * @lengthy: where it is "long"
 *
 * Return: one of the three.
 */
unsigned long sample_amount(unsigned long quick, unsigned long normal,
			    unsigned long lengthy);

/**
 * sample_next() - next 64 random bits
 * @rng: generator
 */
uint64_t sample_next(struct sample_rng *rng);

/**
 * sample_below() - random number in [0, bound)
 * @rng: generator
 * @bound: not 0
 */
uint64_t sample_below(struct sample_rng *rng, uint64_t bound);

/**
 * sample_fill() - fill memory with random bytes that hold no zero block
 * @rng: generator
 * @buf: memory
 * @size: in bytes
 */
void sample_fill(struct sample_rng *rng, void *buf, size_t size);

/**
 * sample_file() - make a file of random data and fail the test if that fails
 * @path: path; an existing file is replaced
 * @size: in bytes
 * @seed: the same seed makes the same file
 */
void sample_file(const char *path, uint64_t size, uint64_t seed);

/**
 * sample_hash() - XXH3-64 of the bytes of an open file, from the start
 * @fd: file, readable
 * @ret_hash: set on success
 *
 * Return: 0 or -errno.
 */
int sample_hash(int fd, uint64_t *ret_hash);

/**
 * sample_is_same() - compare the contents of two files byte by byte
 * @path_a: one
 * @path_b: other
 * @ret_at: where they differ first, or NULL
 *
 * Return: 1, 0, or -errno.
 */
int sample_is_same(const char *path_a, const char *path_b, uint64_t *ret_at);

#endif
