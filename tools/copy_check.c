// SPDX-License-Identifier: MIT
/* Comparing a source and a destination: what is there, and is it right? */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "copy.h"
#include "tools.h"

static size_t same_bytes(const char *a, const char *b, size_t size)
{
	size_t i = 0;

	if (!memcmp(a, b, size))
		return size;
	while (a[i] == b[i])
		i++;
	return i;
}

/**
 * copy_check_prefix() - how much of a partial destination is right?
 * @worker: calling thread
 * @src_fd, @dst_fd: open for reading
 * @length: bytes of the destination to look at
 * @ret_same: set on success: bytes from the start that are equal
 *
 * Every byte of both is read and compared.
 *
 * Return: 0 or -errno; -EINTR where the command was interrupted.
 */
int copy_check_prefix(struct copy_worker *worker, int src_fd, int dst_fd,
		      uint64_t length, uint64_t *ret_same)
{
	uint64_t offset = 0;
	int err = copy_worker_buffers(worker);

	while (!err && offset < length) {
		size_t size = length - offset < COPY_BUFFER
				      ? (size_t)(length - offset)
				      : COPY_BUFFER;
		ssize_t src, dst;
		size_t same;

		if (copy_interrupted())
			return -EINTR;
		src = read_fully(src_fd, worker->src_buf, size, offset);
		if (src < 0)
			return (int)src;
		dst = read_fully(dst_fd, worker->dst_buf, (size_t)src, offset);
		if (dst < 0)
			return (int)dst;
		same = same_bytes(worker->src_buf, worker->dst_buf,
				  (size_t)dst);
		offset += same;
		if (same < size)
			break;
	}
	if (!err)
		*ret_same = offset;
	return err;
}

/*
 * Have the kernel forget clean pages, so that the bytes come from the storage
 * again where the filesystem lets them.  Advice only: it may be ignored.
 */
static int read_from_storage(int dst_fd)
{
	if (fdatasync(dst_fd) && errno != EINVAL && errno != EROFS)
		return -errno;
	posix_fadvise(dst_fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

/* At most @length bytes; a file that ends before has another digest. */
static int hash_file(int fd, uint64_t length, char *buf, XXH3_state_t *state,
		     XXH128_hash_t *ret_hash)
{
	uint64_t offset = 0;
	size_t size;
	ssize_t count;

	XXH3_128bits_reset(state);
	do {
		if (copy_interrupted())
			return -EINTR;
		size = length - offset < COPY_BUFFER ? (size_t)(length - offset)
						     : COPY_BUFFER;
		count = read_fully(fd, buf, size, offset);
		if (count < 0)
			return (int)count;
		XXH3_128bits_update(state, buf, (size_t)count);
		offset += (uint64_t)count;
	} while (count && (size_t)count == size);
	*ret_hash = XXH3_128bits_digest(state);
	return 0;
}

static void print_digest(XXH128_hash_t hash, char text[33])
{
	XXH128_canonical_t canonical;
	size_t i;

	XXH128_canonicalFromHash(&canonical, hash);
	for (i = 0; i < sizeof(canonical.digest); i++) {
		text[2 * i] = "0123456789abcdef"[canonical.digest[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[canonical.digest[i] & 15];
	}
	text[32] = '\0';
}

/**
 * copy_check_verify() - read both files and compare the digests
 * @worker: calling thread
 * @src_fd, @dst_fd: open for reading
 * @length: bytes that were copied: the source may have grown since
 * @ret_same: set on success
 * @ret_digest: set on success: XXH3-128 of the source, as xxh128sum prints it
 *
 * Return: 0 or -errno; -EINTR where the command was interrupted.
 */
int copy_check_verify(struct copy_worker *worker, int src_fd, int dst_fd,
		      uint64_t length, bool *ret_same, char ret_digest[33])
{
	XXH128_hash_t src_hash, dst_hash;
	XXH3_state_t *state;
	int err = copy_worker_buffers(worker);

	if (!err)
		err = read_from_storage(dst_fd);
	if (err)
		return err;
	state = XXH3_createState();
	if (!state)
		return -ENOMEM;
	err = hash_file(src_fd, length, worker->src_buf, state, &src_hash);
	if (!err)
		err = hash_file(dst_fd, UINT64_MAX, worker->dst_buf, state,
				&dst_hash);
	XXH3_freeState(state);
	if (err)
		return err;
	*ret_same = XXH128_isEqual(src_hash, dst_hash);
	print_digest(src_hash, ret_digest);
	return 0;
}
