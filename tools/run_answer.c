// SPDX-License-Identifier: MIT
/* One request of a program: what the kernel would do, done by the mount. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"
#include "tools.h"

struct request {
	struct run_target *target;
	const char *name;
	int fd;		  /* that it is asked on */
	uint64_t address; /* of its structure */
};

/* A mount that is not ours after all, or not open to us: as for the kernel. */
static int as_kernel(int err)
{
	return err == -ENOTTY || err == -EACCES ? -EOPNOTSUPP : err;
}

static void close_auto(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define FD_AUTO(name) __attribute__((cleanup(close_auto))) int name = -1

/* What the name of a file is for messages. */
static void say(const struct request *request, int fd, int err,
		const char *outcome)
{
	char path[32], file[1024], *quoted;
	ssize_t n;

	if (!request->target->supervisor->verbose)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, file, sizeof(file) - 1);
	file[n < 0 ? 0 : n] = '\0';
	quoted = text_quote(file);
	report_error("%d: %s %s: %s", (int)request->target->tid, request->name,
		     quoted, err ? strerror(-err) : outcome);
	free(quoted);
}

/* The VFS's own checks, then the mount. */
static int do_clone(struct request *request, int src_fd,
		    const struct file_clone_range *range)
{
	struct file_clone_range plain = *range;
	uint64_t limit;
	bool is_taken;
	int err;

	plain.src_fd = src_fd;
	if (!ioctl(request->fd, FICLONERANGE, &plain))
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	limit = run_target_size_limit(request->target);
	is_taken = run_identity_take(request->target);
	err = as_kernel(clone_on_mount(src_fd, range->src_offset, request->fd,
				       range->dest_offset, range->src_length,
				       limit));
	run_identity_drop(is_taken);
	if (err == -EFBIG && range->dest_offset >= limit)
		run_target_signal(request->target, SIGXFSZ);
	return err;
}

static int answer_clone(struct request *request,
			const struct file_clone_range *range)
{
	FD_AUTO(src_fd);
	int err;

	err = run_target_fd(request->target, (int)range->src_fd, &src_fd);
	if (err)
		return err == -ESRCH ? err : -EBADF;
	err = do_clone(request, src_fd, range);
	say(request, request->fd, err, "cloned");
	return err;
}

static int answer_ficlone(struct request *request)
{
	/* The argument is the source. */
	const struct file_clone_range whole = { .src_fd =
							(int)request->address };

	return answer_clone(request, &whole);
}

static int answer_ficlonerange(struct request *request)
{
	struct file_clone_range range;
	int err;

	err = run_target_read(request->target, request->address, &range,
			      sizeof(range));
	return err ? err : answer_clone(request, &range);
}

static int dedupe_one(struct request *request,
		      const struct file_dedupe_range *range,
		      const struct file_dedupe_range_info *info,
		      uint64_t *ret_deduped)
{
	uint64_t limit = run_target_size_limit(request->target);
	FD_AUTO(dst_fd);
	int err, flags;
	bool is_taken;

	err = run_target_fd(request->target, (int)info->dest_fd, &dst_fd);
	if (err)
		return err == -ESRCH ? err : -EBADF;
	flags = fcntl(dst_fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH))
		return -EBADF;
	if (info->reserved)
		return -EINVAL;
	is_taken = run_identity_take(request->target);
	err = as_kernel(clone_dedupe_on_mount(
		request->fd, range->src_offset, dst_fd, info->dest_offset,
		range->src_length, limit, ret_deduped));
	run_identity_drop(is_taken);
	if (err == -EFBIG && info->dest_offset >= limit)
		run_target_signal(request->target, SIGXFSZ);
	/* Where the kernel compares with what it has itself. */
	say(request, dst_fd, err, err == -EBADE ? "differs" : "deduplicated");
	return err;
}

/* What is wrong with the source and with the whole of it. */
static int check_dedupe(struct request *request,
			const struct file_dedupe_range *range)
{
	struct file_dedupe_range plain = *range;
	struct stat st;

	plain.dest_count = 0;
	if (!ioctl(request->fd, FIDEDUPERANGE, &plain))
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	if (fstat(request->fd, &st))
		return -errno;
	return run_args_dedupe_check(range, (uint64_t)st.st_size);
}

static int dedupe(struct request *request, struct file_dedupe_range *range)
{
	uint64_t deduped;
	int err;

	err = check_dedupe(request, range);
	if (err)
		return err;
	run_args_dedupe_reset(range);
	for (unsigned int i = 0; i < range->dest_count; i++) {
		deduped = 0;
		err = dedupe_one(request, range, &range->info[i], &deduped);
		if (err == -ESRCH)
			return err;
		run_args_dedupe_set(&range->info[i], err, deduped);
	}
	return 0;
}

static int answer_fideduperange(struct request *request)
{
	struct file_dedupe_range head, *range;
	size_t size;
	int err;

	err = run_target_read(request->target, request->address, &head,
			      sizeof(head));
	if (!err)
		err = run_args_dedupe_size(
			head.dest_count, (size_t)sysconf(_SC_PAGESIZE), &size);
	if (err)
		return err;
	range = malloc(size);
	if (!range)
		return -ENOMEM;
	err = run_target_read(request->target, request->address, range, size);
	range->dest_count = head.dest_count;
	if (!err)
		err = dedupe(request, range);
	if (!err)
		err = run_target_write(request->target, request->address, range,
				       size);
	free(range);
	return err;
}

/* Each piece goes to the program's memory as soon as it is here. */
static int walk_extents(struct request *request, struct fiemap *map)
{
	uint64_t at = request->address + sizeof(*map);
	const struct offlay_map asked = { map->fm_start, map->fm_length,
					  map->fm_flags, map->fm_extent_count };
	struct clone_walk walk;
	int err;

	clone_walk_init(&walk, request->fd, &asked);
	do {
		size_t size;

		err = clone_walk_next(&walk);
		if (err == -EBADR)
			map->fm_flags = walk.piece.map_flags;
		if (err)
			return as_kernel(err);
		size = walk.counts ? 0
				   : walk.piece.mapped *
					     sizeof(struct fiemap_extent);
		if (size)
			err = run_target_write(request->target, at,
					       walk.piece.extents, size);
		if (err)
			return err;
		map->fm_mapped_extents += walk.piece.mapped;
		at += size;
	} while (!walk.has_ended);
	return 0;
}

static int answer_fiemap(struct request *request)
{
	struct fiemap map;
	int err, written;
	bool is_taken;

	err = run_target_read(request->target, request->address, &map,
			      sizeof(map));
	if (!err)
		err = run_args_map_check(&map);
	if (err)
		return err;
	map.fm_mapped_extents = 0;
	is_taken = run_identity_take(request->target);
	err = walk_extents(request, &map);
	run_identity_drop(is_taken);
	written = run_target_write(request->target, request->address, &map,
				   sizeof(map));
	say(request, request->fd, err, "mapped");
	return written ? written : err;
}

/* Only files and directories of ours have anything to say. */
static bool is_ours(struct run_target *target, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !(flags & O_PATH) &&
	       run_mounts_has(target->supervisor->mounts, fd, target->tid);
}

bool run_answer(struct run_target *target, const struct seccomp_data *data,
		int *ret_err)
{
	FD_AUTO(fd);
	struct request request = { .target = target, .address = data->args[2] };
	int err;

	/* Each request fetches more before anything is done. */
	err = run_target_fetch_fd(target, (int)data->args[0], &fd);
	/* Left to the kernel, it might find a file there that is ours. */
	if (err == -EBADF)
		*ret_err = err;
	if (err || !is_ours(target, fd))
		return err == -EBADF;
	request.fd = fd;
	switch ((uint32_t)data->args[1]) {
	case FICLONE:
		request.name = "FICLONE";
		err = answer_ficlone(&request);
		break;
	case FICLONERANGE:
		request.name = "FICLONERANGE";
		err = answer_ficlonerange(&request);
		break;
	case FIDEDUPERANGE:
		request.name = "FIDEDUPERANGE";
		err = answer_fideduperange(&request);
		break;
	case FS_IOC_FIEMAP:
		request.name = "FIEMAP";
		err = answer_fiemap(&request);
		break;
	default:
		return false;
	}
	*ret_err = err;
	return true;
}
