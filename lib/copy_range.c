// SPDX-License-Identifier: MIT
/* Letting the storage copy: copy_file_range(2) where a server is behind it. */
#include <errno.h>
#include <linux/magic.h>

#include "private.h"

#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xfe534d42u
#endif
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xff534d42u
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546u
#endif

/* A request this long may be slow; faster servers get longer ones. */
#define RANGE_CHUNK_FIRST (16ull << 20)
#define RANGE_CHUNK_LAST  (1ull << 30)
/* A call that was faster than this may be twice as long. */
#define RANGE_GROW_NS (25ull * 1000 * 1000)
/* With a limit on moving, no more requests are sent after this. */
#define RANGE_STOP_NS (100ull * 1000 * 1000)

/*
 * Filesystems that pass the request on to somebody else.  Local ones answer
 * copy_file_range() with a clone, which was tried, or with the kernel's own
 * loop, which is slower than ours.
 */
bool copy_range_has_server(uint32_t type)
{
	switch (type) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
	case OVERLAYFS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

static int range_declined(struct copy_job *job, int err, bool remember)
{
	struct offlay_engine *engine = job->engine;

	job->result.declined_offload = err;
	if (remember)
		copy_pair_declined(&engine->pairs, &job->key,
				   OFFLAY_METHOD_OFFLOAD, err,
				   engine->ops->now(engine->ctx));
	return -EOPNOTSUPP;
}

/* One request; returns the bytes it copied, 0 for none, or an errno. */
static ssize_t range_chunk(struct copy_job *job, uint64_t chunk)
{
	struct offlay_engine *engine = job->engine;
	uint64_t done = job->result.copied;
	uint64_t want = copy_min(job->length - done, chunk);
	ssize_t n;

	n = engine->ops->copy_range(engine->ctx, job->src_fd,
				    job->src_offset + done, job->dst_fd,
				    job->dst_offset + done, want);
	if (n > 0) {
		job->result.copied += (uint64_t)n;
		job->result.offloaded += (uint64_t)n;
	}
	return n;
}

/*
 * Does this errno speak of the two superblocks?  A FUSE server may refuse one
 * file and take the next; offlayfs does.
 */
static bool speaks_of_pair(const struct copy_job *job, int err)
{
	if (err == EOPNOTSUPP)
		return job->src_volume.type != FUSE_SUPER_MAGIC &&
		       job->dst_volume.type != FUSE_SUPER_MAGIC;
	return err == EXDEV || err == ENOSYS;
}

/* Nothing could be copied: a decline, an error, or a zero to be explained. */
static int range_refused(struct copy_job *job, int err)
{
	if (err == 0) {
		/* Only the end of the file may show as no bytes; servers
		 * with a stale idea of the size say so, too. */
		err = copy_look_again(job);
		if (err)
			return err;
		return job->length ? range_declined(job, EAGAIN, false) : 0;
	}
	if (!copy_goes_on(job, err))
		return -err;
	return range_declined(job, err, speaks_of_pair(job, err));
}

int copy_range(struct copy_job *job)
{
	const struct sys_ops *ops = job->engine->ops;
	uint64_t chunk = RANGE_CHUNK_FIRST;
	uint64_t start, before, after;

	if (!copy_range_has_server(job->src_volume.type) ||
	    !copy_range_has_server(job->dst_volume.type))
		return range_declined(job, EOPNOTSUPP, false);
	if (job->pair.offload_errno)
		return range_declined(job, job->pair.offload_errno, false);
	start = after = ops->now(job->engine->ctx);
	while (job->result.copied < job->length) {
		ssize_t n = range_chunk(job, chunk);

		if (n <= 0 && job->result.copied == 0)
			return range_refused(job, (int)-n);
		if (n <= 0) {
			job->result.stop = (int)-n;
			break;
		}
		before = after;
		after = ops->now(job->engine->ctx);
		if (job->budget != UINT64_MAX && after - start > RANGE_STOP_NS)
			break;
		if (after - before < RANGE_GROW_NS && chunk < RANGE_CHUNK_LAST)
			chunk *= 2;
	}
	return 0;
}
