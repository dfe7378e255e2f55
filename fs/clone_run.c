// SPDX-License-Identifier: MIT
/* Clone, deduplicate and map extents: the checks, and the backing's answer. */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "op_clone.h"

#define PAGE_MIN 4096 /* of all machines */

int clone_check_regular(const struct file *file)
{
	if (S_ISDIR(inode_type(file->inode)))
		return -EISDIR;
	return file->io ? 0 : -EINVAL;
}

/* A range between two files, and how far the caller may write. */
struct span {
	uint64_t src_offset, dst_offset, length;
	uint64_t size_limit;
};

/* Pages that the kernel caches: dirty ones come here first, all of them go. */
static void drop_pages(const struct clone_job *job, struct file *file,
		       uint64_t offset, uint64_t length)
{
	if (job->drops && file->io && file->io->mode == IO_CACHED)
		fuse_lowlevel_notify_inval_inode(job->clone->fs->se,
						 inode_nodeid(file->inode),
						 (off_t)offset, (off_t)length);
}

static void drop_attributes(const struct clone_job *job)
{
	fuse_lowlevel_notify_inval_inode(job->clone->fs->se,
					 inode_nodeid(job->file->inode), -1, 0);
}

/* What has been stored by mmap belongs to the files. */
static void write_out(const struct clone_job *job, const struct span *span)
{
	drop_pages(job, job->src, span->src_offset, span->length);
	drop_pages(job, job->file, span->dst_offset, span->length);
}

static int check_span(const struct span *span)
{
	uint64_t max = INT64_MAX;

	if (span->src_offset > max || span->dst_offset > max ||
	    span->length > max - span->src_offset ||
	    span->length > max - span->dst_offset)
		return -EINVAL;
	return 0;
}

static bool is_aligned(uint64_t value, uint64_t block)
{
	return !block || value % block == 0;
}

static int check_inodes(const struct clone_job *job)
{
	unsigned int flags = 0;
	bool is_src_swap = false, is_dst_swap = false;

	if (ioctl(job->file->fd, FS_IOC_GETFLAGS, &flags) == 0 &&
	    (flags & FS_IMMUTABLE_FL))
		return -EPERM;
	facts_find_swap(job->src->fd, &is_src_swap);
	facts_find_swap(job->file->fd, &is_dst_swap);
	return is_src_swap || is_dst_swap ? -ETXTBSY : 0;
}

/*
 * The backing's kernel looks at our limit, not the caller's.  Where the range
 * crosses that, everything that comes before it is said here, too.
 */
static int check_limit(const struct clone_job *job, const struct span *span,
		       bool dedupes)
{
	uint64_t length = span->length, limit, src_size, dst_size;
	struct stat src, dst;
	struct statfs volume;
	int err;

	limit = copy_min(span->size_limit,
			 clone_size_limit(job->clone->fs,
					  fuse_req_ctx(job->req)->pid));
	if (limit == UINT64_MAX)
		return 0;
	if (fstat(job->src->fd, &src) || fstat(job->file->fd, &dst) ||
	    fstatfs(job->file->fd, &volume))
		return -errno;
	src_size = (uint64_t)src.st_size;
	dst_size = (uint64_t)dst.st_size;
	if (!length && !dedupes && span->src_offset < src_size)
		length = src_size - span->src_offset;
	if (!length || span->dst_offset + length <= limit)
		return 0;
	err = check_inodes(job);
	if (err)
		return err;
	if (!is_aligned(span->src_offset, (uint64_t)volume.f_bsize) ||
	    !is_aligned(span->dst_offset, (uint64_t)volume.f_bsize) ||
	    span->src_offset >= src_size)
		return -EINVAL;
	if (dedupes && (span->src_offset + length > src_size ||
			span->dst_offset + length > dst_size))
		return -EINVAL;
	return span->dst_offset >= limit ? -EFBIG : -EINVAL;
}

static int judge(const struct clone_job *job, const struct verdict_range *range,
		 __u32 *ret_src, __u32 *ret_dst)
{
	struct verdict_pair pair;
	int err;

	err = verdict_reach_pair(range, &pair);
	*ret_src = pair.src_reasons;
	*ret_dst = pair.dst_reasons;
	if (err || !(pair.src_reasons || pair.dst_reasons))
		return err;
	if (log_enabled(LOG_DEBUG)) {
		verdict_log(job->src, OFFLAY_SOURCE, pair.src_reasons);
		verdict_log(job->file, OFFLAY_DESTINATION, pair.dst_reasons);
		log_msg(LOG_DEBUG, "%s refused",
			job->nr == _IOC_NR(OFFLAY_IOC_CLONE) ? "clone"
							     : "dedupe");
	}
	return -EOPNOTSUPP;
}

static int share(const struct clone_job *job, const struct span *span)
{
	struct file_clone_range range = {
		.src_fd = job->src->fd,
		.src_offset = span->src_offset,
		.src_length = span->length, /* 0 has its meaning */
		.dest_offset = span->dst_offset,
	};
	enum creds_writer writer;
	int err;

	writer = creds_enter_writer(job->req, job->file->fd,
				    creds_caller_drops_suid(job->req));
	do
		err = ioctl(job->file->fd, FICLONERANGE, &range) ? -errno : 0;
	while (err == -EINTR);
	creds_leave_writer(job->req, writer);
	return err;
}

/*
 * The kernel goes by the size that it knows until it asks, which costs whoever
 * cloned a round trip more.  Of its own it learns only where a byte is stored
 * in its pages.  A file that is passed through has none but for a moment, of
 * sendfile(2): so it is the byte that was there, and it goes at once, with the
 * attributes.  At the start of a page it would count as all of that page, so
 * is not stored.  The clone's own pages are not in memory yet: to read it there
 * would wait for the disk.
 */
static bool tell_size(const struct clone_job *job, uint64_t size)
{
	const struct offlay_ioc_clone *arg = &job->arg.clone;
	struct fuse_session *se = job->clone->fs->se;
	fuse_ino_t nodeid = inode_nodeid(job->file->inode);
	struct fuse_bufvec byte = FUSE_BUFVEC_INIT(1);
	off_t last = (off_t)size - 1;
	off_t src_last = last - (off_t)arg->dst_offset + (off_t)arg->src_offset;
	char end;
	struct iovec iov = { &end, 1 };

	if (last % PAGE_MIN == 0 ||
	    preadv2(job->src->fd, &iov, 1, src_last, RWF_NOWAIT) != 1)
		return false;
	byte.buf[0].mem = &end;
	return !fuse_lowlevel_notify_store(se, nodeid, last, &byte, 0) &&
	       !fuse_lowlevel_notify_inval_inode(se, nodeid, last, 1);
}

int clone_run(struct clone_job *job)
{
	struct offlay_ioc_clone *arg = &job->arg.clone;
	const struct span span = {
		arg->src_offset,
		arg->dst_offset,
		arg->length,
		arg->flags & OFFLAY_SIZE_LIMIT ? arg->size_limit : UINT64_MAX,
	};
	const struct verdict_range range = { job->src, job->file,
					     arg->src_offset, arg->dst_offset };
	struct stat before, st;
	bool may_tell;
	int err;

	err = clone_check_regular(job->file);
	if (err)
		return err;
	if (!open_is_writable(job->file->flags))
		return -EBADF;
	err = check_span(&span);
	if (err)
		return err;
	write_out(job, &span);
	err = judge(job, &range, &arg->src_reasons, &arg->dst_reasons);
	if (!err)
		err = check_limit(job, &span, false);
	if (err)
		return err;
	may_tell = job->file->io->mode == IO_PASSTHROUGH &&
		   fstat(job->file->fd, &before) == 0;
	err = share(job, &span);
	file_changed(job->file->inode);
	verdict_leave_trail(&range, err ? 0 : span.length);
	/* Also after an error: a part may have been done. */
	drop_pages(job, job->file, span.dst_offset, span.length);
	if (err || fstat(job->file->fd, &st)) {
		drop_attributes(job);
		return err;
	}
	arg->dst_size = (uint64_t)st.st_size;
	if (!may_tell || st.st_size <= before.st_size ||
	    !tell_size(job, arg->dst_size))
		drop_attributes(job);
	return 0;
}

/* Who may deduplicate into a file that is not open for writing. */
static int check_dedupe(const struct clone_job *job)
{
	uid_t uid = fuse_req_ctx(job->req)->uid;
	struct stat st;

	if (open_is_writable(job->file->flags))
		return 0;
	if (mount_state_read_only(job->clone->fs))
		return -EROFS;
	if (uid == 0)
		return 0;
	if (fstat(job->file->fd, &st) < 0)
		return -errno;
	if (uid == st.st_uid)
		return 0;
	return creds_may_write(job->req, job->file->fd) ? 0 : -EPERM;
}

static int share_equal(const struct clone_job *job,
		       struct offlay_ioc_dedupe *arg)
{
	union {
		struct file_dedupe_range head;
		unsigned char bytes[sizeof(struct file_dedupe_range) +
				    sizeof(struct file_dedupe_range_info)];
	} range = { .head = { .src_offset = arg->src_offset,
			      .src_length = arg->length,
			      .dest_count = 1 } };
	struct file_dedupe_range_info *info = range.head.info;
	int err;

	info->dest_fd = job->file->fd;
	info->dest_offset = arg->dst_offset;
	do
		err = ioctl(job->src->fd, FIDEDUPERANGE, &range) ? -errno : 0;
	while (err == -EINTR);
	if (err)
		return err;
	if (info->status < 0)
		return info->status;
	arg->differs = info->status == FILE_DEDUPE_RANGE_DIFFERS;
	arg->deduped = info->bytes_deduped;
	return 0;
}

int clone_run_dedupe(struct clone_job *job)
{
	struct offlay_ioc_dedupe *arg = &job->arg.dedupe;
	const struct span span = {
		arg->src_offset,
		arg->dst_offset,
		arg->length,
		arg->flags & OFFLAY_SIZE_LIMIT ? arg->size_limit : UINT64_MAX,
	};
	const struct verdict_range range = { job->src, job->file,
					     arg->src_offset, arg->dst_offset };
	int err;

	arg->deduped = 0;
	arg->differs = 0;
	err = check_span(&span);
	if (!err)
		err = check_dedupe(job);
	if (!err)
		err = clone_check_regular(job->file);
	if (err)
		return err;
	write_out(job, &span);
	err = judge(job, &range, &arg->src_reasons, &arg->dst_reasons);
	if (!err)
		err = check_limit(job, &span, true);
	if (err)
		return err;
	err = share_equal(job, arg);
	file_changed(job->file->inode);
	return err;
}

int clone_run_extents(struct clone_job *job)
{
	struct offlay_ioc_extents *arg = &job->arg.extents;
	struct fiemap *map;
	int err = 0;

	_Static_assert(sizeof(struct offlay_extent) ==
			       sizeof(struct fiemap_extent),
		       "fiemap_extent");
	if (arg->count > OFFLAY_EXTENTS_MAX)
		return -EINVAL;
	map = calloc(1,
		     sizeof(*map) + arg->count * sizeof(struct fiemap_extent));
	if (!map)
		return -ENOMEM;
	if (arg->map_flags & FIEMAP_FLAG_SYNC)
		drop_pages(job, job->file, 0, 0);
	map->fm_start = arg->start;
	map->fm_length = arg->length;
	map->fm_flags = arg->map_flags;
	map->fm_extent_count = arg->count;
	if (ioctl(job->file->fd, FS_IOC_FIEMAP, map))
		err = -errno;
	arg->map_flags = map->fm_flags;
	arg->mapped = map->fm_mapped_extents;
	memset(arg->extents, 0, sizeof(arg->extents));
	if (!err && arg->count)
		memcpy(arg->extents, map->fm_extents,
		       copy_min(arg->mapped, arg->count) *
			       sizeof(struct fiemap_extent));
	free(map);
	return err;
}
