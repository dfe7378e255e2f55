// SPDX-License-Identifier: MIT
/* Which requests fault rules are asked about, and what they are told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "offlay_uapi.h"
#include "refusal.h"
#include "rules.h"

#define CANNOT_CUT UINT32_MAX

static const enum offlay_op event_ops[FAULT_OPS] = {
	[FAULT_COPY] = OFFLAY_OP_COPY,
	[FAULT_CLONE] = OFFLAY_OP_CLONE,
	[FAULT_DEDUPE] = OFFLAY_OP_DEDUPE,
	[FAULT_READ] = OFFLAY_OP_READ,
	[FAULT_WRITE] = OFFLAY_OP_WRITE,
	[FAULT_FSYNC] = OFFLAY_OP_FSYNC,
	[FAULT_OPEN] = OFFLAY_OP_OPEN,
	[FAULT_CREATE] = OFFLAY_OP_CREATE,
	[FAULT_TRUNCATE] = OFFLAY_OP_TRUNCATE,
	[FAULT_TOKEN_READ] = OFFLAY_OP_TOKEN_READ,
	[FAULT_TOKEN_WRITE] = OFFLAY_OP_TOKEN_WRITE,
};

/* Asks the rules; the request is not ours any more where one applies. */
static bool take(struct rules_job *job, const struct fault_call *call)
{
	job->fs = fs_of(job->req);
	job->op = call->op;
	if (!rules_match(job->fs->rules, call, &job->hit, &job->generation))
		return false;
	event_ruled(job->req, event_ops[job->op],
		    job->op == FAULT_CREATE ? 0 : job->ino);
	if (job->hit.waits)
		rules_wait(job);
	else
		rules_run(job);
	return true;
}

bool rules_take(fuse_req_t req, struct fault_call *call, struct file *src,
		struct file *dst, void (*run)(const struct rules_job *job),
		void *arg)
{
	struct rules_job job = { .req = req, .run = run, .arg = arg };
	char src_path[PATH_MAX], dst_path[PATH_MAX];
	struct fs *fs = fs_of(req);
	struct stat st;

	if (!rules_name(fs, call->op) || fstat(dst->fd, &st))
		return false;
	call->src = rules_path(fs, src->fd, src_path);
	call->dst = rules_path(fs, dst->fd, dst_path);
	call->block = (uint32_t)st.st_blksize;
	return take(&job, call);
}

static void set_fi(struct rules_job *job, const struct fuse_file_info *fi)
{
	job->has_fi = fi;
	if (fi)
		job->fi = *fi;
}

/* What is left of the file from @off, @size at most. */
static uint64_t left_of(const struct stat *st, off_t off, size_t size)
{
	uint64_t left = off < st->st_size ? (uint64_t)(st->st_size - off) : 0;

	return left < size ? left : size;
}

bool rules_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			   struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			   off_t off_out, struct fuse_file_info *fi_out,
			   size_t len, int flags)
{
	struct rules_job job = { .req = req,
				 .ino = ino_in,
				 .dst_ino = ino_out,
				 .off = off_in,
				 .dst_off = off_out,
				 .size = len,
				 .number = flags,
				 .dst_fi = *fi_out };
	struct fault_call call = { .op = FAULT_COPY };
	char src_path[PATH_MAX], dst_path[PATH_MAX];
	struct fs *fs = fs_of(req);
	struct stat st;
	FILE_AUTO(src);
	FILE_AUTO(dst);

	if (!rules_name(fs, FAULT_COPY))
		return false;
	src = handle_get(fs, fi_in->fh);
	dst = handle_get(fs, fi_out->fh);
	if (!src || !dst || fstat(src->fd, &st))
		return false;
	set_fi(&job, fi_in);
	call.src = rules_path(fs, src->fd, src_path);
	call.dst = rules_path(fs, dst->fd, dst_path);
	call.length = left_of(&st, off_in, len);
	call.block = (uint32_t)st.st_blksize;
	call.at_end = !call.length;
	return take(&job, &call);
}

/*
 * A short count is for the caller alone: the kernel would take that of a read
 * for its page cache for the end of the file.
 */
static uint32_t align_of(const struct file *file,
			 const struct fuse_file_info *fi, bool is_callers)
{
	if (!file->io->direct || !is_callers)
		return CANNOT_CUT;
	return fi->flags & O_DIRECT ? RULES_ALIGN : 1;
}

bool rules_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	struct rules_job job = {
		.req = req, .ino = ino, .off = off, .size = size
	};
	struct fault_call call = { .op = FAULT_READ };
	struct fs *fs = fs_of(req);
	char path[PATH_MAX];
	struct stat st;
	FILE_AUTO(file);

	if (!rules_name(fs, FAULT_READ) || refusal_is_pending(req))
		return false;
	file = handle_get(fs, fi->fh);
	if (!file || !file->io || fstat(file->fd, &st))
		return false;
	set_fi(&job, fi);
	call.src = rules_path(fs, file->fd, path);
	call.length = left_of(&st, off, size);
	call.block = (uint32_t)st.st_blksize;
	call.align = align_of(file, fi, fi->lock_owner);
	call.at_end = !call.length;
	return take(&job, &call);
}

bool rules_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in,
		     off_t off, struct fuse_file_info *fi)
{
	struct rules_job job = { .req = req,
				 .ino = ino,
				 .off = off,
				 .size = fuse_buf_size(in),
				 .in = in };
	struct fault_call call = { .op = FAULT_WRITE };
	struct fs *fs = fs_of(req);
	char path[PATH_MAX];
	struct stat st;
	FILE_AUTO(file);

	/* What was stored by mmap has no call that could fail. */
	if (!rules_name(fs, FAULT_WRITE) || fi->writepage ||
	    refusal_is_pending(req))
		return false;
	file = handle_get(fs, fi->fh);
	if (!file || !file->io || fstat(file->fd, &st))
		return false;
	set_fi(&job, fi);
	call.dst = rules_path(fs, file->fd, path);
	call.length = job.size;
	call.block = (uint32_t)st.st_blksize;
	call.align = align_of(file, fi, true);
	return take(&job, &call);
}

bool rules_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi)
{
	struct rules_job job = { .req = req, .ino = ino, .number = datasync };
	struct fault_call call = { .op = FAULT_FSYNC };
	struct fs *fs = fs_of(req);
	char path[PATH_MAX];
	FILE_AUTO(file);

	if (!rules_name(fs, FAULT_FSYNC))
		return false;
	file = handle_get(fs, fi->fh);
	if (!file)
		return false;
	set_fi(&job, fi);
	call.dst = rules_path(fs, file->fd, path);
	return take(&job, &call);
}

bool rules_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct rules_job job = { .req = req, .ino = ino };
	struct fault_call call = { .op = FAULT_OPEN };
	struct fs *fs = fs_of(req);
	char path[PATH_MAX];
	PIN_AUTO(pin);

	if (!rules_name(fs, FAULT_OPEN) || inode_pin(fs, ino, &pin))
		return false;
	set_fi(&job, fi);
	call.dst = rules_path(fs, pin.fd, path);
	return take(&job, &call);
}

bool rules_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		  mode_t mode, struct fuse_file_info *fi)
{
	struct rules_job job = {
		.req = req, .ino = parent, .name = name, .mode = mode
	};
	struct fault_call call = { .op = FAULT_CREATE };
	char dir[PATH_MAX], path[PATH_MAX + NAME_MAX + 2];
	struct fs *fs = fs_of(req);
	const char *below;
	PIN_AUTO(pin);

	if (!rules_name(fs, FAULT_CREATE) || inode_pin(fs, parent, &pin))
		return false;
	set_fi(&job, fi);
	below = rules_path(fs, pin.fd, dir);
	if (below && name) {
		snprintf(path, sizeof(path), "%s%s%s", below, *below ? "/" : "",
			 name);
		call.dst = path;
	}
	return take(&job, &call);
}

bool rules_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		   struct fuse_file_info *fi)
{
	return rules_create(req, parent, NULL, mode, fi);
}

bool rules_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		   int to_set, struct fuse_file_info *fi)
{
	struct rules_job job = {
		.req = req, .ino = ino, .number = to_set, .attr = *attr
	};
	struct fault_call call = { .op = FAULT_TRUNCATE };
	struct fs *fs = fs_of(req);
	char path[PATH_MAX];
	PIN_AUTO(pin);

	if (!(to_set & FUSE_SET_ATTR_SIZE) || !rules_name(fs, FAULT_TRUNCATE) ||
	    inode_pin(fs, ino, &pin))
		return false;
	set_fi(&job, fi);
	call.dst = rules_path(fs, pin.fd, path);
	return take(&job, &call);
}

/* Which operation of the rules an ioctl is, and how many bytes it is about. */
static bool is_ruled_ioctl(unsigned int cmd, const void *in, size_t size,
			   struct fault_call *call)
{
	struct offlay_ioc_odx_write write;
	struct offlay_ioc_odx_read read;

	if (cmd == OFFLAY_IOC_ODX_READ && size == sizeof(read)) {
		memcpy(&read, in, size);
		call->op = FAULT_TOKEN_READ;
		call->length = read.in.copy_length;
		call->align = RULES_ALIGN;
		return true;
	}
	if (cmd == OFFLAY_IOC_ODX_WRITE && size == sizeof(write)) {
		memcpy(&write, in, size);
		call->op = FAULT_TOKEN_WRITE;
		call->length = write.in.copy_length;
		call->align = RULES_ALIGN;
		return true;
	}
	return false;
}

bool rules_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		 struct fuse_file_info *fi, unsigned int flags,
		 const void *in_buf, size_t in_bufsz, size_t out_bufsz)
{
	struct rules_job job = { .req = req,
				 .ino = ino,
				 .cmd = cmd,
				 .data = in_buf,
				 .size = in_bufsz,
				 .out_size = out_bufsz };
	struct fault_call call = { 0 };
	struct fs *fs = fs_of(req);
	char path[PATH_MAX];
	struct stat st;
	FILE_AUTO(file);

	(void)arg;
	(void)flags;
	if (!is_ruled_ioctl(cmd, in_buf, in_bufsz, &call) ||
	    !rules_name(fs, call.op))
		return false;
	file = handle_get(fs, fi->fh);
	if (!file || !file->io || fstat(file->fd, &st))
		return false;
	set_fi(&job, fi);
	call.block = (uint32_t)st.st_blksize;
	if (call.op == FAULT_TOKEN_READ)
		call.src = rules_path(fs, file->fd, path);
	else
		call.dst = rules_path(fs, file->fd, path);
	return take(&job, &call);
}
