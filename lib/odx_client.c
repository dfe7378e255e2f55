// SPDX-License-Identifier: MIT
/* Tokens from the caller's side, and a copy as CopyFile does it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "odx.h"
#include "offlay_odx.h"

#define OFFLOAD_MIN (256ull << 10)
#define CHUNK	    (256ull << 20)

static void set_status(const struct offlay_status **ret_status,
		       const struct offlay_status *status)
{
	if (ret_status)
		*ret_status = status;
}

/* @arg begins with a version and flags, then the status of the answer. */
static int ask(int fd, unsigned long cmd, void *arg,
	       struct offlay_ioc_status *answer,
	       const struct offlay_status **ret_status)
{
	struct statfs fs;
	int err = 0;

	/* To other filesystems the number may mean anything. */
	if (fstatfs(fd, &fs) < 0)
		err = -errno;
	else if (fs.f_type != FUSE_SUPER_MAGIC)
		err = -ENOTTY;
	else if (ioctl(fd, cmd, arg) < 0)
		err = errno == ENOSYS ? -ENOTTY : -errno;
	if (!err)
		set_status(ret_status, NULL);
	else if (answer->ntstatus)
		set_status(ret_status,
			   offlay_status_by_ntstatus(answer->ntstatus));
	else
		set_status(ret_status, offlay_status_by_errno(-err));
	return err;
}

int offlay_odx_volume(int fd, struct offlay_ioc_odx_volume *ret_volume,
		      const struct offlay_status **ret_status)
{
	struct offlay_ioc_odx_volume arg = { .version = OFFLAY_ABI_VERSION };
	int err;

	err = ask(fd, OFFLAY_IOC_ODX_VOLUME, &arg, &arg.status, ret_status);
	if (!err)
		*ret_volume = arg;
	return err;
}

int offlay_odx_set_volume(int fd, const struct offlay_ioc_odx_volume *volume,
			  const struct offlay_status **ret_status)
{
	struct offlay_ioc_odx_volume arg = *volume;

	arg.version = OFFLAY_ABI_VERSION;
	arg.flags = OFFLAY_ODX_SET;
	memset(&arg.status, 0, sizeof(arg.status));
	return ask(fd, OFFLAY_IOC_ODX_VOLUME, &arg, &arg.status, ret_status);
}

int offlay_odx_read(int fd, const struct offlay_odx_range *range,
		    struct offlay_token *ret_token, uint64_t *ret_length,
		    uint32_t *ret_flags,
		    const struct offlay_status **ret_status)
{
	struct offlay_ioc_odx_read arg = {
		.version = OFFLAY_ABI_VERSION,
		.in.size = sizeof(arg.in),
		.in.token_time_to_live = range->ttl,
		.in.file_offset = range->offset,
		.in.copy_length = range->length,
	};
	int err;

	err = ask(fd, OFFLAY_IOC_ODX_READ, &arg, &arg.status, ret_status);
	if (err)
		return err;
	*ret_token = arg.out.token;
	*ret_length = arg.out.transfer_length;
	*ret_flags = arg.out.flags;
	return 0;
}

int offlay_odx_write(int fd, const struct offlay_odx_range *range,
		     const struct offlay_token *token, uint64_t *ret_length,
		     const struct offlay_status **ret_status)
{
	struct offlay_ioc_odx_write arg = {
		.version = OFFLAY_ABI_VERSION,
		.in.size = sizeof(arg.in),
		.in.file_offset = range->offset,
		.in.copy_length = range->length,
		.in.transfer_offset = range->token_offset,
		.in.token = *token,
	};
	int err;

	err = ask(fd, OFFLAY_IOC_ODX_WRITE, &arg, &arg.status, ret_status);
	if (!err)
		*ret_length = arg.out.length_written;
	return err;
}

int offlay_odx_drop(int fd, const struct offlay_token *token,
		    const struct offlay_status **ret_status)
{
	struct offlay_ioc_odx_drop arg = {
		.version = OFFLAY_ABI_VERSION,
		.token = *token,
	};

	return ask(fd, OFFLAY_IOC_ODX_DROP, &arg, &arg.status, ret_status);
}

/* One copy, and how far it has come. */
struct odx_copy {
	int src_fd, dst_fd;
	uint64_t size, at;
	uint32_t sector;
	struct offlay_odx_copied copied;
};

static int write_token(struct odx_copy *copy, const struct offlay_token *token,
		       uint64_t length)
{
	struct offlay_odx_range range = { .offset = copy->at };
	uint64_t done = 0, written;
	int err = 0;

	while (done < length) {
		range.offset = copy->at + done;
		range.token_offset = done;
		range.length = length - done;
		err = offlay_odx_write(copy->dst_fd, &range, token, &written,
				       &copy->copied.status);
		if (!err && !written)
			err = -EIO;
		if (err)
			break;
		done += written;
	}
	/* The last sector may reach behind the end. */
	done = copy_min(done, copy->size - copy->at);
	copy->at += done;
	copy->copied.offloaded += done;
	return err;
}

/* Until the end of the file, or the first refusal. */
static int offload(struct odx_copy *copy)
{
	struct offlay_odx_range range = { 0 };
	struct offlay_token token;
	uint64_t length;
	uint32_t flags;
	int err = 0;

	while (!err && copy->at < copy->size) {
		range.offset = copy->at;
		range.length =
			copy_min(CHUNK, odx_round_up(copy->size - copy->at,
						     copy->sector));
		err = offlay_odx_read(copy->src_fd, &range, &token, &length,
				      &flags, &copy->copied.status);
		if (!err && !length)
			err = -EIO;
		if (err)
			break;
		err = write_token(copy, &token, length);
		offlay_odx_drop(copy->src_fd, &token, NULL);
	}
	return err;
}

static int copy_by_hand(struct odx_copy *copy)
{
	struct offlay_range range = {
		.src_fd = copy->src_fd,
		.dst_fd = copy->dst_fd,
		.methods = OFFLAY_METHOD_DATA,
	};
	struct offlay_result result;
	struct offlay_engine *engine;
	int err;

	err = offlay_engine_new(&engine);
	while (!err && copy->at < copy->size) {
		range.src_offset = range.dst_offset = copy->at;
		range.length = copy->size - copy->at;
		err = offlay_copy_range(engine, &range, &result);
		if (err || !result.copied)
			break;
		copy->at += result.copied;
		copy->copied.moved += result.copied;
		err = -result.stop;
	}
	offlay_engine_free(engine);
	return err;
}

int offlay_odx_copy(int src_fd, int dst_fd,
		    struct offlay_odx_copied *ret_copied)
{
	struct odx_copy copy = { .src_fd = src_fd, .dst_fd = dst_fd };
	struct offlay_ioc_odx_volume volume;
	struct stat st;
	int err;

	if (fstat(src_fd, &st) < 0)
		return -errno;
	copy.size = (uint64_t)st.st_size;
	if (ftruncate(dst_fd, st.st_size) < 0)
		return -errno;
	if (copy.size >= OFFLOAD_MIN) {
		err = offlay_odx_volume(src_fd, &volume, &copy.copied.status);
		copy.sector = err ? 0 : volume.sector;
		if (!err)
			err = offload(&copy);
		copy.copied.err = -err;
	}
	err = copy.at < copy.size ? copy_by_hand(&copy) : 0;
	if (!err)
		*ret_copied = copy.copied;
	return err;
}
