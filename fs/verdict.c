// SPDX-License-Identifier: MIT
/* Verdicts of open files, kept while their files stay as they are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "file.h"

/* Dirty data reaches the disk within this time, by the kernel's defaults. */
#define DIRTY_SEC 40

static bool kept_get(struct inode_io *io, enum offlay_side side,
		     const struct facts_stamp *stamp, uint32_t *ret_reasons)
{
	bool found = false;

	pthread_mutex_lock(&io->lock);
	if (io->kept && io->kept[side].valid && !io->writers &&
	    facts_stamp_equal(&io->kept[side].stamp, stamp)) {
		*ret_reasons = io->kept[side].reasons;
		found = true;
	}
	pthread_mutex_unlock(&io->lock);
	return found;
}

static uint64_t changes_of(struct inode_io *io)
{
	uint64_t changes;

	pthread_mutex_lock(&io->lock);
	changes = io->changes;
	pthread_mutex_unlock(&io->lock);
	return changes;
}

/* Unless somebody may have changed the file since @changes was read. */
static void kept_set(struct inode_io *io, enum offlay_side side,
		     const struct facts_stamp *stamp, uint32_t reasons,
		     uint64_t changes)
{
	pthread_mutex_lock(&io->lock);
	if (!io->kept)
		io->kept = calloc(2, sizeof(*io->kept));
	if (io->kept && !io->writers && io->changes == changes)
		io->kept[side] = (struct verdict_kept){ .valid = true,
							.reasons = reasons,
							.stamp = *stamp };
	pthread_mutex_unlock(&io->lock);
}

int verdict_look(struct file *file, struct verdict_look *ret_look)
{
	struct verdict_look look = { 0 };
	int err;

	look.changes = changes_of(file->io->inode);
	clock_gettime(CLOCK_REALTIME_COARSE, &look.now);
	err = facts_look(file->fd, &look.stx);
	if (!err)
		*ret_look = look;
	return err;
}

/*
 * Gathers, judges, and keeps the verdict if that is safe.  @ret_doubt as for
 * facts_gather().
 */
static int reach(struct file *file, const struct verdict_look *look,
		 enum offlay_side side, uint32_t *ret_reasons, bool *ret_doubt)
{
	unsigned int deny = file->fs->opt.deny;
	const struct facts_query query = {
		.fd = file->fd,
		.side = side,
		.deny = deny,
		.stx = &look->stx,
		.fs_type = inode_volume(file->inode)->type,
		.policy_only = true,
		.is_new = look->is_new,
		.ret_doubt = ret_doubt,
	};
	struct facts_stamp before, after;
	struct offlay_facts facts;
	uint32_t reasons;
	int err;

	err = facts_gather(&query, &facts);
	if (err)
		return err;
	reasons = offlay_eligible(&facts, side, deny).reasons;
	*ret_reasons = reasons;
	if (ret_doubt && *ret_doubt)
		return 0;
	facts_stamp_of(&look->stx, &before);
	if (facts_stamp_is_settled(&before, &look->now) &&
	    facts_stamp_read(file->fd, &after) == 0 &&
	    facts_stamp_equal(&before, &after))
		kept_set(file->io->inode, side, &before, reasons,
			 look->changes);
	return 0;
}

/* The kept verdict, or a new one. */
static int reach_looked(struct file *file, const struct verdict_look *look,
			enum offlay_side side, uint32_t *ret_reasons)
{
	struct facts_stamp stamp;

	facts_stamp_of(&look->stx, &stamp);
	if (kept_get(file->io->inode, side, &stamp, ret_reasons))
		return 0;
	return reach(file, look, side, ret_reasons, NULL);
}

int verdict_reach(struct file *file, enum offlay_side side,
		  uint32_t *ret_reasons)
{
	struct verdict_look look;
	int err;

	err = verdict_look(file, &look);
	return err ? err : reach_looked(file, &look, side, ret_reasons);
}

/* Does this range go on where the last one of the same copy ended? */
static bool goes_on(const struct verdict_range *range)
{
	struct file_io *io = range->dst->io;
	bool on;

	pthread_mutex_lock(&io->lock);
	on = io->trail.src == range->src->inode &&
	     io->trail.src_next == range->src_offset &&
	     io->trail.dst_next == range->dst_offset;
	pthread_mutex_unlock(&io->lock);
	return on;
}

void verdict_leave_trail(const struct verdict_range *range, uint64_t copied)
{
	struct file_io *io = range->dst->io;

	pthread_mutex_lock(&io->lock);
	io->trail = (struct copy_trail){
		.src = copied ? range->src->inode : NULL,
		.src_next = range->src_offset + copied,
		.dst_next = range->dst_offset + copied,
	};
	pthread_mutex_unlock(&io->lock);
}

/* Since it was opened for writing. */
static bool is_immutable(const struct verdict_look *look)
{
	return look->stx.stx_attributes & STATX_ATTR_IMMUTABLE;
}

int verdict_reach_pair(const struct verdict_range *range,
		       struct verdict_pair *ret_pair)
{
	uint32_t reasons;
	int err;

	*ret_pair = (struct verdict_pair){ 0 };
	err = verdict_look(range->src, &ret_pair->src);
	if (!err)
		err = verdict_look(range->dst, &ret_pair->dst);
	if (err)
		return err;
	if (!range->dst->fs->opt.deny)
		return is_immutable(&ret_pair->dst) ? -EPERM : 0;
	err = reach_looked(range->src, &ret_pair->src, OFFLAY_SOURCE, &reasons);
	if (err)
		return err;
	ret_pair->src_reasons = reasons & OFFLAY_REASONS_POLICY;
	if (ret_pair->src_reasons || goes_on(range))
		return 0;
	err = reach_looked(range->dst, &ret_pair->dst, OFFLAY_DESTINATION,
			   &reasons);
	if (err)
		return err;
	ret_pair->dst_reasons = reasons & OFFLAY_REASONS_POLICY;
	/* Known to the VFS of the backing, but not to that of the mount. */
	return reasons & (1u << OFFLAY_REASON_IMMUTABLE) ? -EPERM : 0;
}

struct mount_ask {
	uint64_t id;
	bool compresses;
};

static bool is_of_mount(const char *line, void *arg)
{
	const char *options = strstr(line, " - ");
	struct mount_ask *ask = arg;

	if (!options || strtoull(line, NULL, 10) != ask->id)
		return false;
	ask->compresses = strstr(options, ",compress") &&
			  !strstr(options, "=no");
	return true;
}

/* Without an answer: yes. */
static bool ask_compresses(struct fs *fs, uint64_t mnt_id)
{
	struct mount_ask ask = { .id = mnt_id };

	return !mount_state_find(fs, is_of_mount, &ask) || ask.compresses;
}

/* A mount may change its options: the answer is kept for a second. */
static bool is_compressing(struct fs *fs, int fd)
{
	struct verdict_volume *volume = copy_volume(fs);
	struct timespec now;
	struct statx stx;
	bool known, compresses;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 ||
	    !(stx.stx_mask & STATX_MNT_ID))
		return true;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	pthread_mutex_lock(&volume->lock);
	known = volume->mnt_id == stx.stx_mnt_id && now.tv_sec < volume->until;
	compresses = volume->compresses;
	pthread_mutex_unlock(&volume->lock);
	if (known)
		return compresses;
	compresses = ask_compresses(fs, stx.stx_mnt_id);
	pthread_mutex_lock(&volume->lock);
	volume->mnt_id = stx.stx_mnt_id;
	volume->until = now.tv_sec + 1;
	volume->compresses = compresses;
	pthread_mutex_unlock(&volume->lock);
	return compresses;
}

/*
 * Has the file data that is not written out yet, and may be compressed then?
 * Asking for its extents would write it out now, and every open of a new file
 * would wait.
 */
static bool is_being_written(const struct file *file,
			     const struct verdict_look *look)
{
	if (look->now.tv_sec - look->stx.stx_ctime.tv_sec > DIRTY_SEC)
		return false;
	return inode_volume_of(file->inode, file->fd).type == BTRFS_SUPER_MAGIC;
}

/*
 * All but data that is dirty, and what the volume will make of it.  Asking for
 * another kind makes sure that every attribute is looked at.
 */
static bool peek(const struct file *file, const struct verdict_look *look,
		 enum offlay_side side)
{
	unsigned int deny = file->fs->opt.deny;
	const struct facts_query query = {
		.fd = file->fd,
		.side = side,
		.deny = (deny & ~OFFLAY_DENY_COMPRESSED) |
			OFFLAY_DENY_ENCRYPTED,
		.stx = &look->stx,
		.fs_type = inode_volume(file->inode)->type,
		.policy_only = true,
	};
	struct offlay_facts facts;
	uint32_t reasons;

	if (facts_gather(&query, &facts) ||
	    facts_extents_peek(file->fd, &facts))
		return false;
	reasons = offlay_eligible(&facts, side, deny).reasons;
	return (reasons & OFFLAY_REASONS_POLICY) ||
	       is_compressing(file->fs, file->fd);
}

/* An empty file may have attributes, of its own or of its directory. */
bool verdict_doubtful(struct file *file, const struct verdict_look *look,
		      enum offlay_side side)
{
	struct facts_stamp stamp;
	uint32_t reasons = 0;
	bool doubt = false;

	facts_stamp_of(&look->stx, &stamp);
	if (kept_get(file->io->inode, side, &stamp, &reasons))
		return reasons & OFFLAY_REASONS_POLICY;
	if (look->stx.stx_size &&
	    (file->fs->opt.deny & OFFLAY_DENY_COMPRESSED) &&
	    is_being_written(file, look))
		return peek(file, look, side);
	if (reach(file, look, side, &reasons, &doubt))
		return false;
	return doubt || (reasons & OFFLAY_REASONS_POLICY);
}

void verdict_log(struct file *file, enum offlay_side side, uint32_t reasons)
{
	struct offlay_facts facts;
	char text[128];

	if (!reasons ||
	    offlay_facts_gather(file->fd, side, file->fs->opt.deny, &facts))
		return;
	for (enum offlay_reason i = 0; i < OFFLAY_REASON_COUNT; i++) {
		if (!(reasons & (1u << i)))
			continue;
		offlay_reason_describe(i, &facts, text, sizeof(text));
		log_msg(LOG_DEBUG, "%s of a copy is %s: %s",
			side == OFFLAY_SOURCE ? "source" : "destination",
			offlay_reason_name(i), text);
	}
}
