// SPDX-License-Identifier: MIT
/* copy_file_range: verdict, then refusal or copy, and the truth about it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "file.h"
#include "refusal.h"
#include "rules.h"
#include "settle.h"

/*
 * One reply at most: a caller cannot be killed while its request is here, and
 * results above INT_MAX are misread by some C libraries.
 */
#define REPLY_MAX (1ull << 30)

/* Moving by hand is cut so that it takes about this long. */
#define MOVE_NSEC  80000000ull
#define MOVE_MIN   (4ull << 20)
#define MOVE_MAX   REPLY_MAX
#define MOVE_FIRST (64ull << 20)

/* Threads are told apart by the low bits of their ids: a hint, no more. */
#define READERS 1024

struct copy_state {
	struct offlay_engine *engine;
	struct sys_ops ops; /* of @engine */
	struct refusal_table refusals;
	struct page_dropper *dropper;
	struct verdict_volume volume; /* the last one that was asked for */
	int proc_fd;
	_Atomic uint64_t move_max; /* bytes that take MOVE_NSEC, as measured */
	atomic_uint readers[2]
			   [READERS]; /* files that a thread has open to read */
};

int copy_state_new(struct fs *fs, struct copy_state **ret_copy)
{
	struct copy_state *copy;
	int err;

	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	copy->ops = sys_kernel_ops;
	copy->ops.clone = rules_clone;
	err = page_dropper_new(fs, &copy->dropper);
	if (!err)
		err = copy_engine_new(&copy->ops, fs, &copy->engine);
	if (err) {
		page_dropper_free(copy->dropper);
		free(copy);
		return err;
	}
	refusal_table_init(&copy->refusals);
	pthread_mutex_init(&copy->volume.lock, NULL);
	copy->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	atomic_init(&copy->move_max, MOVE_FIRST);
	*ret_copy = copy;
	return 0;
}

void copy_state_stop(struct copy_state *copy)
{
	if (copy)
		page_dropper_stop(copy->dropper);
}

void copy_state_free(struct copy_state *copy)
{
	if (!copy)
		return;
	if (copy->proc_fd >= 0)
		close(copy->proc_fd);
	pthread_mutex_destroy(&copy->volume.lock);
	refusal_table_done(&copy->refusals);
	offlay_engine_free(copy->engine);
	page_dropper_free(copy->dropper);
	free(copy);
}

struct refusal_table *copy_refusals(struct fs *fs)
{
	return &fs->copy->refusals;
}

struct page_dropper *copy_page_dropper(struct fs *fs)
{
	return fs->copy->dropper;
}

struct verdict_volume *copy_volume(struct fs *fs)
{
	return &fs->copy->volume;
}

int copy_proc_fd(struct fs *fs)
{
	return fs->copy->proc_fd;
}

static atomic_uint *readers_of(struct fs *fs, pid_t tid, bool ineligible)
{
	return &fs->copy->readers[ineligible][(unsigned int)tid % READERS];
}

void copy_reads_begin(struct fs *fs, pid_t tid, bool ineligible)
{
	if (tid)
		atomic_fetch_add(readers_of(fs, tid, ineligible), 1);
}

void copy_reads_end(struct fs *fs, pid_t tid, bool ineligible)
{
	if (tid)
		atomic_fetch_sub(readers_of(fs, tid, ineligible), 1);
}

bool copy_is_coming(struct fs *fs, pid_t tid, bool ineligible)
{
	return tid && atomic_load(readers_of(fs, tid, ineligible));
}

/* One request, from start to end. */
struct copy_request {
	fuse_req_t req;
	struct fs *fs;
	struct file *src, *dst;
	uint64_t src_fh, dst_fh;
	struct offlay_range range;
	struct verdict_pair pair;
	struct copy_orders orders;
};

static int judge(struct copy_request *copy)
{
	const struct verdict_range range = {
		.src = copy->src,
		.dst = copy->dst,
		.src_offset = copy->range.src_offset,
		.dst_offset = copy->range.dst_offset,
	};

	return verdict_reach_pair(&range, &copy->pair);
}

static void leave_trail(const struct copy_request *copy, uint64_t copied)
{
	const struct verdict_range range = {
		.src = copy->src,
		.dst = copy->dst,
		.src_offset = copy->range.src_offset,
		.dst_offset = copy->range.dst_offset,
	};

	verdict_leave_trail(&range, copied);
}

/* At its end nothing is read or written that could carry a refusal. */
static bool is_at_end(const struct copy_request *copy)
{
	struct stat st;

	return fstat(copy->src->fd, &st) == 0 &&
	       copy->range.src_offset >= (uint64_t)st.st_size;
}

static void refuse(struct copy_request *copy)
{
	int ordered = copy->orders.err, err = -EOPNOTSUPP;

	if (copy->fs->opt.refuse != REFUSE_KERNEL || ordered) {
		if (is_at_end(copy)) {
			reply_write(copy->req, 0, 0);
			return;
		}
		err = refusal_begin(copy->req, copy->src,
				    copy->range.src_offset, copy->src_fh,
				    copy->dst, copy->range.dst_offset,
				    copy->dst_fh, copy->range.length,
				    ordered ? ordered : -EOPNOTSUPP);
	}
	if (log_enabled(LOG_DEBUG)) {
		verdict_log(copy->src, OFFLAY_SOURCE, copy->pair.src_reasons);
		verdict_log(copy->dst, OFFLAY_DESTINATION,
			    copy->pair.dst_reasons);
		log_msg(LOG_DEBUG, "copy refused: %s", strerror(-err));
	}
	reply_err(copy->req, err);
}

/* Half the old estimate, half the new one; small moves tell too little. */
static void learn_speed(struct copy_state *state, uint64_t moved, uint64_t nsec)
{
	uint64_t max = atomic_load(&state->move_max);
	uint64_t seen;

	if (moved < MOVE_MIN || !nsec)
		return;
	seen = (uint64_t)((double)moved * MOVE_NSEC / (double)nsec);
	max = max / 2 + seen / 2;
	if (max < MOVE_MIN)
		max = MOVE_MIN;
	if (max > MOVE_MAX)
		max = MOVE_MAX;
	/* So that the next range begins at a whole page. */
	atomic_store(&state->move_max, max - max % MOVE_MIN);
}

static struct sys_file seen(const struct verdict_look *look)
{
	const struct statx *stx = &look->stx;

	return (struct sys_file){
		.dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.ino = stx->stx_ino,
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.ctime_sec = stx->stx_ctime.tv_sec,
		.ctime_nsec = stx->stx_ctime.tv_nsec,
		.mode = stx->stx_mode,
	};
}

static const struct sys_volume *volume_of(const struct file *file)
{
	const struct sys_volume *volume = inode_volume(file->inode);

	return volume->type ? volume : NULL;
}

/* What was seen for the verdict need not be asked for again. */
static int copy_range_seen(struct copy_request *copy,
			   struct offlay_result *ret_result)
{
	const struct sys_file src = seen(&copy->pair.src);
	const struct sys_file dst = seen(&copy->pair.dst);
	const struct copy_known known = {
		.src = &src,
		.dst = &dst,
		.src_volume = volume_of(copy->src),
		.dst_volume = volume_of(copy->dst),
	};

	return copy_range_known(copy->fs->copy->engine, &copy->range, &known,
				ret_result);
}

static void run(struct copy_request *copy)
{
	struct copy_state *state = copy->fs->copy;
	struct offlay_result result = { 0 };
	enum creds_writer writer;
	uint64_t start = file_now();
	int err;

	copy->range.max_move = atomic_load(&state->move_max);
	writer = creds_enter_writer(copy->req, copy->dst->fd,
				    creds_caller_drops_suid(copy->req));
	err = copy_range_seen(copy, &result);
	creds_leave_writer(copy->req, writer);
	learn_speed(state, result.moved, file_now() - start);
	file_changed(copy->dst->inode);
	leave_trail(copy, err ? 0 : result.copied);
	event_copied(copy->req, &result);
	/* Neither is news to the kernel: it would copy by splice. */
	if (err == -EOPNOTSUPP || err == -EXDEV) {
		event_verdict(copy->req, OFFLAY_VERDICT_DECLINED,
			      copy->pair.src_reasons, copy->pair.dst_reasons);
		refuse(copy);
	} else {
		reply_write(copy->req, err, (size_t)result.copied);
	}
}

/* What the mount's options make of the verdict. */
static void decide(struct copy_request *copy)
{
	const struct options *opt = &copy->fs->opt;
	bool overruled = opt->refuse == REFUSE_COPY &&
			 opt->offload != OFFLOAD_CLONE;
	bool refused;

	copy->pair.src_reasons |= copy->orders.src_reasons;
	copy->pair.dst_reasons |= copy->orders.dst_reasons;
	refused = copy->pair.src_reasons || copy->pair.dst_reasons;
	copy->range.methods = OFFLAY_METHOD_ALL & ~copy->orders.forbidden;
	event_verdict(copy->req,
		      !refused	  ? OFFLAY_VERDICT_ELIGIBLE
		      : overruled ? OFFLAY_VERDICT_OVERRULED
				  : OFFLAY_VERDICT_REFUSED,
		      copy->pair.src_reasons, copy->pair.dst_reasons);
	if (opt->offload == OFFLOAD_CLONE)
		copy->range.flags = OFFLAY_COPY_CLONE_ONLY;
	else if (refused && overruled)
		copy->range.methods = OFFLAY_METHOD_DATA;
	if (refused && !overruled)
		refuse(copy);
	else
		run(copy);
}

static int check(const struct copy_request *copy, int flags)
{
	const struct offlay_range *range = &copy->range;
	uint64_t max = INT64_MAX;

	if (!copy->src || !copy->src->io || !copy->dst || !copy->dst->io)
		return -EBADF;
	if (flags)
		return -EINVAL;
	if (range->src_offset > max || range->dst_offset > max)
		return -EINVAL;
	if (range->length > max - range->src_offset ||
	    range->length > max - range->dst_offset)
		return -EOVERFLOW;
	return 0;
}

void op_copy_ordered(fuse_req_t req, const struct copy_orders *orders,
		     off_t off_in, struct fuse_file_info *fi_in, off_t off_out,
		     struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct fs *fs = fs_of(req);
	FILE_AUTO(src);
	FILE_AUTO(dst);
	struct copy_request copy = {
		.req = req,
		.fs = fs,
		.src_fh = fi_in->fh,
		.dst_fh = fi_out->fh,
		.range.src_offset = (uint64_t)off_in,
		.range.dst_offset = (uint64_t)off_out,
		.range.length = len,
		.orders = *orders,
	};
	int err;

	copy.src = src = handle_get(fs, fi_in->fh);
	copy.dst = dst = handle_get(fs, fi_out->fh);
	if (src && dst) {
		watch_settle(fs, inode_nodeid(src->inode));
		watch_settle(fs, inode_nodeid(dst->inode));
	}
	err = check(&copy, flags);
	if (!err) {
		copy.range.src_fd = src->fd;
		copy.range.dst_fd = dst->fd;
		if (copy.range.length > REPLY_MAX)
			copy.range.length = REPLY_MAX;
		event_files(req, src, dst);
		event_range(req, copy.range.src_offset, copy.range.dst_offset,
			    copy.range.length);
		if (!orders->err)
			err = judge(&copy);
	}
	if (err)
		reply_err(req, err);
	else if (orders->err)
		refuse(&copy);
	else
		decide(&copy);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags)
{
	const struct copy_orders none = { 0 };

	(void)ino_in;
	(void)ino_out;
	op_copy_ordered(req, &none, off_in, fi_in, off_out, fi_out, len, flags);
}
