// SPDX-License-Identifier: MIT
/* A filesystem in memory behind struct sys_ops, with the kernel's clone rules. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fakefs.h"

void fake_init(struct fake *fake, uint32_t block)
{
	*fake = (struct fake){
		.block = block,
		.told_block = block,
		.type = 0x9123683e,
		.fsid = 77,
		.space = UINT64_MAX,
		.fault_at = FAKE_NO_CALL,
		.meddle_at = FAKE_NO_CALL,
		.range_errno = EOPNOTSUPP,
	};
	for (int i = 0; i < FAKE_FILES; i++) {
		fake->files[i].dev = 5;
		fake->files[i].ino = (uint64_t)i + 100;
		fake->files[i].mode = S_IFREG | 0644;
		fake->files[i].open_flags = O_RDWR;
	}
}

static struct fake_file *file_of(struct fake *fake, int fd)
{
	return &fake->files[fd - FAKE_FD(0)];
}

static void touched(struct fake *fake, struct fake_file *file)
{
	file->ctime++;
	if (fake->changed)
		fake->changed(fake, fake->changed_arg);
}

static int give_block(struct fake *fake, struct fake_file *file, uint64_t at)
{
	if (!file->allocated[at]) {
		if (fake->space == 0)
			return -ENOSPC;
		fake->space--;
		file->allocated[at] = true;
	}
	return 0;
}

/* A write into a block: allocated, with data, shared with nobody. */
static int own_block(struct fake *fake, struct fake_file *file, uint64_t at)
{
	int err = give_block(fake, file, at);

	if (err)
		return err;
	file->written[at] = true;
	file->extent[at] = ++fake->next_extent;
	return 0;
}

void fake_fill(struct fake *fake, int file, uint64_t size, uint8_t seed)
{
	struct fake_file *f = &fake->files[file];

	memset(f->data, 0, sizeof(f->data));
	memset(f->written, 0, sizeof(f->written));
	memset(f->allocated, 0, sizeof(f->allocated));
	memset(f->extent, 0, sizeof(f->extent));
	f->size = size;
	for (uint64_t i = 0; i < size; i++)
		f->data[i] = (uint8_t)(1 + (seed + i * 7) % 255);
	for (uint64_t i = 0; i * fake->block < size; i++)
		own_block(fake, f, i);
	f->ctime++;
}

static void hole_in(struct fake *fake, struct fake_file *f, uint64_t offset,
		    uint64_t length)
{
	/* At the end of file, a part of the last block is all of it. */
	if (offset + length >= f->size && f->size > offset)
		length = (offset + length + fake->block - 1) / fake->block *
				 fake->block -
			 offset;
	for (uint64_t i = offset; i < offset + length; i++) {
		uint64_t at = i / fake->block;

		f->data[i] = 0;
		if (i % fake->block == 0 &&
		    i + fake->block <= offset + length) {
			if (f->allocated[at] && fake->space != UINT64_MAX)
				fake->space++;
			f->written[at] = false;
			f->allocated[at] = false;
			f->extent[at] = 0;
		}
	}
}

void fake_make_hole(struct fake *fake, int file, uint64_t offset,
		    uint64_t length)
{
	hole_in(fake, &fake->files[file], offset, length);
	fake->files[file].ctime++;
}

void fake_set_size(struct fake *fake, int file, uint64_t size)
{
	struct fake_file *f = &fake->files[file];
	uint64_t end = (f->size + fake->block - 1) & -(uint64_t)fake->block;

	if (size < f->size)
		hole_in(fake, f, size, end - size);
	f->size = size;
	f->ctime++;
}

uint64_t fake_shared(const struct fake *fake, int src, uint64_t src_offset,
		     int dst, uint64_t dst_offset, uint64_t length)
{
	const struct fake_file *s = &fake->files[src], *d = &fake->files[dst];
	uint64_t n = 0;

	for (uint64_t i = 0; i < length; i++) {
		unsigned int e = d->extent[(dst_offset + i) / fake->block];

		n += e == s->extent[(src_offset + i) / fake->block] &&
		     (e != 0 || !d->written[(dst_offset + i) / fake->block]);
	}
	return n;
}

static bool has_count(enum fake_call call)
{
	return call == FAKE_COPY_RANGE || call == FAKE_PREAD ||
	       call == FAKE_PWRITE;
}

/*
 * Counts the call.  Returns true where it is the one that goes wrong; with an
 * errno it fails, else it falls short.
 */
static bool goes_wrong(struct fake *fake, enum fake_call call)
{
	int number = fake->calls++;

	if (fake->counts[call]++ == 0)
		fake->first[call] = number;
	fake->now += 1000;
	if (number == fake->meddle_at)
		fake->meddle(fake);
	if (fake->fault_errno == 0 && !has_count(call))
		return false;
	if (number == fake->fault_at) {
		fake->fault_call = call;
		fake->faulted = true;
		return true;
	}
	return fake->fault_stays && fake->faulted && fake->fault_call == call;
}

static void share_block(struct fake *fake, const struct fake_file *s,
			uint64_t from, struct fake_file *d, uint64_t to)
{
	memmove(&d->data[to * fake->block], &s->data[from * fake->block],
		fake->block);
	d->written[to] = s->written[from];
	d->allocated[to] = s->allocated[from];
	d->extent[to] = s->extent[from];
}

/* The rules of generic_remap_file_range_prep(), in its order. */
static int clone_check(const struct fake *fake, const struct fake_file *s,
		       uint64_t from, uint64_t length,
		       const struct fake_file *d, uint64_t to)
{
	uint64_t mask = fake->block - 1;
	uint64_t whole = length;

	if (fake->clone_errno)
		return -fake->clone_errno;
	if (s->dev >> 32 != d->dev >> 32)
		return -EXDEV;
	if (d->open_flags & O_APPEND)
		return -EBADF;
	if (s->nodatasum != d->nodatasum)
		return -EINVAL;
	if ((from | to) & mask || from >= s->size || from + length > s->size)
		return -EINVAL;
	if (from + length == s->size)
		whole = (length + mask) & ~mask;
	else if (length & mask)
		return -EINVAL;
	if (s == d && to + whole > from && to < from + whole)
		return -EINVAL;
	if (length & mask && to + length < d->size)
		return -EINVAL;
	return 0;
}

static int fake_clone(void *ctx, int src_fd, uint64_t from, uint64_t length,
		      int dst_fd, uint64_t to)
{
	struct fake *fake = ctx;
	struct fake_file *s = file_of(fake, src_fd), *d = file_of(fake, dst_fd);
	bool wrong = goes_wrong(fake, FAKE_CLONE);
	uint64_t most = length;
	int err;

	if (wrong && fake->fault_bytes == 0)
		return -fake->fault_errno;
	if (length == 0) /* would clone to end of file */
		length = most = s->size - from;
	err = clone_check(fake, s, from, length, d, to);
	if (err)
		return wrong ? -fake->fault_errno : err;
	if (wrong)
		most = copy_min(most, fake->fault_bytes);
	for (uint64_t i = 0; i < most; i += fake->block)
		share_block(fake, s, (from + i) / fake->block, d,
			    (to + i) / fake->block);
	if (to + most > d->size)
		d->size = to + most;
	touched(fake, d);
	return wrong ? -fake->fault_errno : 0;
}

static ssize_t put(struct fake *fake, struct fake_file *f, const uint8_t *buf,
		   size_t size, uint64_t offset)
{
	size_t done;

	for (done = 0; done < size; done++) {
		uint64_t at = offset + done;
		int err = own_block(fake, f, at / fake->block);

		if (err && done == 0)
			return err;
		if (err)
			break;
		f->data[at] = buf[done];
		f->cached[at] = true;
		f->clean[at] = false;
		if (at >= f->size)
			f->size = at + 1;
	}
	if (done)
		touched(fake, f);
	return (ssize_t)done;
}

/* How much of @size a call may do; @ret_err is for a call that fails. */
static size_t may_do(struct fake *fake, enum fake_call call, size_t size,
		     int *ret_err)
{
	*ret_err = 0;
	if (goes_wrong(fake, call)) {
		*ret_err = -fake->fault_errno;
		size = copy_min(size, fake->fault_bytes);
	}
	return fake->most ? copy_min(size, fake->most) : size;
}

static ssize_t fake_copy_range(void *ctx, int src_fd, uint64_t from, int dst_fd,
			       uint64_t to, size_t length)
{
	struct fake *fake = ctx;
	struct fake_file *s = file_of(fake, src_fd), *d = file_of(fake, dst_fd);
	uint8_t buf[FAKE_BYTES];
	int err;

	length = may_do(fake, FAKE_COPY_RANGE, length, &err);
	if (err)
		return err;
	if (fake->range_errno)
		return -fake->range_errno;
	length = from < s->size ? copy_min(length, s->size - from) : 0;
	memcpy(buf, &s->data[from], length);
	return put(fake, d, buf, length, to);
}

static ssize_t fake_pread(void *ctx, int fd, void *buf, size_t size,
			  uint64_t offset)
{
	struct fake *fake = ctx;
	struct fake_file *f = file_of(fake, fd);
	int err;

	size = may_do(fake, FAKE_PREAD, size, &err);
	if (err)
		return err;
	size = offset < f->size ? copy_min(size, f->size - offset) : 0;
	memcpy(buf, &f->data[offset], size);
	memset(&f->cached[offset], true, size);
	return (ssize_t)size;
}

static ssize_t fake_pwrite(void *ctx, int fd, const void *buf, size_t size,
			   uint64_t offset)
{
	struct fake *fake = ctx;
	int err;

	size = may_do(fake, FAKE_PWRITE, size, &err);
	if (err)
		return err;
	return put(fake, file_of(fake, fd), buf, size, offset);
}

static int fake_punch(void *ctx, int fd, uint64_t offset, uint64_t length)
{
	struct fake *fake = ctx;
	struct fake_file *f = file_of(fake, fd);

	if (goes_wrong(fake, FAKE_PUNCH))
		return -fake->fault_errno;
	if (fake->no_punch)
		return -EOPNOTSUPP;
	hole_in(fake, f, offset, length);
	touched(fake, f);
	return 0;
}

static int fake_extend(void *ctx, int fd, uint64_t size)
{
	struct fake *fake = ctx;
	struct fake_file *f = file_of(fake, fd);
	int err;

	if (goes_wrong(fake, FAKE_EXTEND))
		return -fake->fault_errno;
	if (fake->no_extend)
		return -EOPNOTSUPP;
	err = give_block(fake, f, (size - 1) / fake->block);
	if (err)
		return err;
	if (size > f->size)
		f->size = size;
	touched(fake, f);
	return 0;
}

static int64_t fake_seek(void *ctx, int fd, uint64_t offset, int whence)
{
	struct fake *fake = ctx;
	const struct fake_file *f = file_of(fake, fd);
	bool want = whence == SEEK_DATA;

	if (goes_wrong(fake, FAKE_SEEK))
		return -fake->fault_errno;
	if (fake->no_seek)
		return -EINVAL;
	if (offset >= f->size)
		return -ENXIO;
	while (offset < f->size && f->written[offset / fake->block] != want)
		offset = offset / fake->block * fake->block + fake->block;
	if (offset >= f->size)
		return want ? -ENXIO : (int64_t)f->size;
	return (int64_t)offset;
}

static uint64_t allocated_bytes(const struct fake *fake,
				const struct fake_file *f)
{
	uint64_t n = 0;

	for (size_t i = 0; i < FAKE_BLOCKS; i++)
		n += f->allocated[i] ? fake->block : 0;
	return n;
}

static int fake_stat(void *ctx, int fd, struct sys_file *ret_file)
{
	struct fake *fake = ctx;
	const struct fake_file *f = file_of(fake, fd);

	if (goes_wrong(fake, FAKE_STAT))
		return -fake->fault_errno;
	*ret_file = (struct sys_file){
		.dev = f->dev,
		.ino = f->ino,
		.size = f->size,
		.blocks = allocated_bytes(fake, f) / 512,
		.ctime_nsec = f->ctime,
		.mode = f->mode,
	};
	return 0;
}

static int fake_volume(void *ctx, int fd, struct sys_volume *ret_volume)
{
	struct fake *fake = ctx;

	(void)fd;
	if (goes_wrong(fake, FAKE_VOLUME))
		return -fake->fault_errno;
	*ret_volume = (struct sys_volume){
		.fsid = fake->fsid,
		.type = fake->type,
		.block_size = fake->told_block,
	};
	return 0;
}

static int fake_open_flags(void *ctx, int fd)
{
	struct fake *fake = ctx;

	if (goes_wrong(fake, FAKE_FLAGS))
		return -fake->fault_errno;
	return file_of(fake, fd)->open_flags;
}

static uint64_t fake_now(void *ctx)
{
	return ((struct fake *)ctx)->now;
}

static int64_t fake_cached(void *ctx, int fd, uint64_t offset, uint64_t length)
{
	struct fake *fake = ctx;
	int64_t n = 0;

	if (goes_wrong(fake, FAKE_CACHED))
		return -fake->fault_errno;
	for (uint64_t i = offset; i < offset + length; i++)
		n += file_of(fake, fd)->cached[i];
	return n;
}

static void fake_drop(void *ctx, int fd, uint64_t offset, uint64_t length)
{
	struct fake *fake = ctx;
	struct fake_file *f = file_of(fake, fd);

	fake->counts[FAKE_DROP]++;
	for (uint64_t i = offset; i < offset + length; i++)
		f->cached[i] = f->cached[i] && !f->clean[i];
}

static void fake_write_back(void *ctx, int fd, uint64_t offset, uint64_t length,
			    bool wait)
{
	struct fake *fake = ctx;

	fake->counts[FAKE_WRITE_BACK]++;
	if (wait)
		memset(&file_of(fake, fd)->clean[offset], true, length);
}

const struct sys_ops fake_ops = {
	.clone = fake_clone,
	.copy_range = fake_copy_range,
	.pread = fake_pread,
	.pwrite = fake_pwrite,
	.punch = fake_punch,
	.extend = fake_extend,
	.seek = fake_seek,
	.stat = fake_stat,
	.volume = fake_volume,
	.open_flags = fake_open_flags,
	.now = fake_now,
	.cached = fake_cached,
	.drop = fake_drop,
	.write_back = fake_write_back,
};
