// SPDX-License-Identifier: MIT
/* Shares what a program writes with the file that it has read it from. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "lease.h"
#include "rules.h"
#include "watch.h"

/* Compared at a time: stays in the processor's cache. */
#define PIECE (64u << 10)

/* No filesystem has smaller holes. */
#define HOLE_MIN 512u

int watch_bond_make(struct watch_bond *bond, struct file *src,
		    const struct fuse_ctx *caller)
{
	struct pin pin = { .inode = src->inode, .fd = src->fd };
	int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
	char path[FD_PATH_SIZE];
	int fd;

	/* Looking is no access to the file; only its owner may say so. */
	fd = open(inode_fd_path(&pin, path), flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(path, flags);
	if (fd < 0)
		return -errno;
	*bond = (struct watch_bond){
		.src = src,
		.fd = fd,
		.uid = caller->uid,
		.gid = caller->gid,
	};
	return 0;
}

bool watch_bond_is_for(const struct watch_bond *bond,
		       const struct fuse_ctx *caller)
{
	return !caller->uid ||
	       (caller->uid == bond->uid && caller->gid == bond->gid);
}

void watch_bond_end(struct watch_bond *bond)
{
	if (!bond->src)
		return;
	close(bond->fd);
	handle_put(bond->src);
	bond->src = NULL;
	bond->fd = -1;
}

/* Only what is cached: whoever waits for the lease must not wait for a disk. */
static ssize_t read_cached(int fd, void *buf, size_t size, uint64_t offset)
{
	struct iovec iov = { buf, size };
	ssize_t n;

	do {
		n = preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Bytes of @write from @at on that are in one place, @max at most. */
static const unsigned char *bytes_at(const struct watch_write *write,
				     uint64_t at, size_t max, size_t *ret_size)
{
	const struct watch_part *part = write->parts;
	size_t size = write->size;

	if (part) {
		for (size = atomic_load(&part->slot->length); at >= size;
		     size = atomic_load(&part->slot->length)) {
			at -= size;
			part++;
		}
	}
	*ret_size = size - at < max ? (size_t)(size - at) : max;
	return (part ? part->slot->data : write->data) + at;
}

/* OFFLAY_ACCEL_SHARED where all bytes are the same. */
static enum offlay_accel compare(int fd, uint64_t offset,
				 const struct watch_write *write, uint64_t skip,
				 size_t size)
{
	unsigned char buf[PIECE];
	size_t done = 0;

	while (done < size) {
		size_t part = size - done < PIECE ? size - done : PIECE;
		const unsigned char *data =
			bytes_at(write, skip + done, part, &part);
		ssize_t n = read_cached(fd, buf, part, offset + done);

		if (n <= 0)
			return OFFLAY_ACCEL_COLD;
		if (memcmp(buf, data, (size_t)n))
			return OFFLAY_ACCEL_DIFFERENT;
		done += (size_t)n;
	}
	return OFFLAY_ACCEL_SHARED;
}

/* Brings into the page cache what a program has just read. */
static void warm(int fd, uint64_t offset, size_t size)
{
	unsigned char buf[PIECE];
	size_t done = 0;

	while (done < size) {
		size_t part = size - done < PIECE ? size - done : PIECE;
		ssize_t n = pread(fd, buf, part, (off_t)(offset + done));

		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

bool watch_bond_probe(const struct watch_bond *bond,
		      const struct watch_write *write, uint32_t block,
		      int64_t shift)
{
	uint64_t skip = -write->offset & (block - 1), at;

	if (skip + block > write->size) {
		skip = 0;
		block = WATCH_PROBE_MIN;
	}
	return skip + block <= write->size &&
	       match_src_offset(shift, write->offset + skip, &at) &&
	       compare(bond->fd, at, write, skip, block) == OFFLAY_ACCEL_SHARED;
}

/* ---------------------------------------------------------- judging a source */

/* Blocks come and go while data is written out. */
static int read_stamp(int fd, struct facts_stamp *ret_stamp)
{
	int err = facts_stamp_read(fd, ret_stamp);

	if (!err)
		ret_stamp->blocks = 0;
	return err;
}

/* A clone begins with writing out the source, all of it on btrfs. */
enum offlay_accel watch_bond_judge(struct watch_bond *bond)
{
	struct facts_stamp before, after;
	uint32_t reasons = 0;

	if (bond->judged)
		return OFFLAY_ACCEL_SHARED;
	if (read_stamp(bond->fd, &before))
		return OFFLAY_ACCEL_REFUSED;
	sync_file_range(bond->fd, 0, 0,
			SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				SYNC_FILE_RANGE_WAIT_AFTER);
	if (verdict_reach(bond->src, OFFLAY_SOURCE, &reasons))
		return OFFLAY_ACCEL_REFUSED;
	if (reasons & OFFLAY_REASONS_POLICY)
		return OFFLAY_ACCEL_INELIGIBLE;
	if (read_stamp(bond->fd, &after))
		return OFFLAY_ACCEL_REFUSED;
	if (!facts_stamp_equal(&before, &after))
		return OFFLAY_ACCEL_BUSY;
	bond->stamp = after;
	bond->judged = true;
	return OFFLAY_ACCEL_SHARED;
}

/*
 * Takes the lease on a source that has been judged as it is now.
 * @waits: for the disk, if need be; not while there is a lease on the
 * destination
 */
static enum offlay_accel lease_judged(struct watch_bond *bond, bool waits)
{
	struct facts_stamp stamp;
	enum offlay_accel outcome;

	for (int i = 0; i < 2; i++) {
		if (!lease_take(bond->fd, F_RDLCK))
			return OFFLAY_ACCEL_BUSY;
		if (bond->judged && read_stamp(bond->fd, &stamp) == 0 &&
		    facts_stamp_equal(&stamp, &bond->stamp))
			return OFFLAY_ACCEL_SHARED;
		lease_give(bond->fd);
		bond->judged = false;
		if (!waits)
			break;
		outcome = watch_bond_judge(bond);
		if (outcome != OFFLAY_ACCEL_SHARED)
			return outcome;
	}
	return OFFLAY_ACCEL_BUSY;
}

/* ----------------------------------------------------------------- clones */

/* Is there a part of zeros, as every hole would be read? */
static bool are_zeros_in(const unsigned char *data, size_t size)
{
	static const unsigned char zeros[HOLE_MIN];

	for (; size >= HOLE_MIN; data += HOLE_MIN, size -= HOLE_MIN)
		if (!data[0] && !memcmp(data, zeros, HOLE_MIN))
			return true;
	return size && !memcmp(data, zeros, size);
}

static bool has_zeros(const struct watch_write *write, uint64_t skip,
		      uint64_t length)
{
	size_t size;

	for (uint64_t done = 0; done < length; done += size) {
		const unsigned char *data =
			bytes_at(write, skip + done, length - done, &size);

		if (are_zeros_in(data, size))
			return true;
	}
	return false;
}

/* Blocks that were never written may be data to SEEK_HOLE: facts_holes.c. */
static bool has_unwritten(const struct watch_bond *bond, uint64_t offset,
			  uint64_t end)
{
	struct facts_batch batch;

	/* Its SEEK_HOLE looks at the extents, and telling of them is slow. */
	if (inode_volume_of(bond->src->inode, bond->fd).type ==
	    BTRFS_SUPER_MAGIC)
		return false;
	while (offset < end) {
		if (facts_batch_read(bond->fd, offset, end, FACTS_BATCH, 0,
				     &batch))
			return true;
		for (uint32_t i = 0; i < batch.count; i++)
			if (batch.map.fm_extents[i].fe_flags &
			    FIEMAP_EXTENT_UNWRITTEN)
				return true;
		offset = batch.next;
	}
	return false;
}

/*
 * Does the source have blocks of its own for all of the range?  What was to be
 * written must not become a hole.
 */
static bool is_data(const struct watch_bond *bond, uint64_t offset,
		    const struct watch_write *write, uint64_t skip,
		    uint64_t length)
{
	off_t hole;

	if (!has_zeros(write, skip, length))
		return true;
	hole = lseek(bond->fd, (off_t)offset, SEEK_HOLE);
	return hole >= 0 && (uint64_t)hole >= offset + length &&
	       !has_unwritten(bond, offset, offset + length);
}

/*
 * Nothing that was written, and nothing that was allocated for it, is ever
 * replaced: should the clone fail half way, only the caller's own bytes are
 * there.  Inside of the file that is known only while its blocks are too few
 * to be anywhere but before the range.
 */
static bool is_untouched(int fd, uint64_t offset)
{
	struct stat st;
	off_t data;

	if (fstat(fd, &st) < 0)
		return false;
	if (offset >= (uint64_t)st.st_size)
		return true;
	if ((uint64_t)st.st_blocks * 512 > offset)
		return false;
	data = lseek(fd, (off_t)offset, SEEK_DATA);
	return data < 0 && errno == ENXIO;
}

static int clone_range(const struct watch_bond *bond,
		       const struct watch_write *write, uint64_t skip,
		       uint64_t length, uint64_t src_offset)
{
	int fd = write->dst->fd, err;
	enum creds_writer writer;

	if (!write->req)
		return rules_clone(write->dst->fs, bond->fd, src_offset, length,
				   fd, write->offset + skip);
	writer = creds_enter_writer(write->req, fd,
				    file_write_drops(write->req, write->fi));
	err = rules_clone(write->dst->fs, bond->fd, src_offset, length, fd,
			  write->offset + skip);
	creds_leave_writer(write->req, writer);
	return err;
}

/* With the lease. */
static enum offlay_accel compare_and_clone(struct watch_bond *bond,
					   const struct watch_write *write,
					   uint64_t skip, uint64_t length,
					   uint64_t src_offset)
{
	enum offlay_accel outcome;

	outcome = compare(bond->fd, src_offset, write, skip, length);
	if (outcome != OFFLAY_ACCEL_SHARED)
		return outcome;
	if (!is_data(bond, src_offset, write, skip, length))
		return OFFLAY_ACCEL_HOLE;
	if (!is_untouched(write->dst->fd, write->offset + skip))
		return OFFLAY_ACCEL_OVERWRITE;
	if (!lease_is_whole(bond->fd, F_RDLCK))
		return OFFLAY_ACCEL_BROKEN;
	if (clone_range(bond, write, skip, length, src_offset))
		return OFFLAY_ACCEL_REFUSED;
	/*
	 * It is asked back while it is still in force, and then the source
	 * has not changed; but after lease-break-time it is gone.
	 */
	return lease_is_whole(bond->fd, F_RDLCK) ? OFFLAY_ACCEL_SHARED
						 : OFFLAY_ACCEL_BROKEN;
}

enum offlay_accel watch_share(struct watch_bond *bond,
			      const struct watch_write *write, uint64_t skip,
			      uint64_t length, uint64_t src_offset)
{
	enum offlay_accel outcome = OFFLAY_ACCEL_COLD;

	for (int i = 0; i < 2 && outcome == OFFLAY_ACCEL_COLD; i++) {
		if (i)
			warm(bond->fd, src_offset, length);
		sync_file_range(bond->fd, (off_t)src_offset, (off_t)length,
				SYNC_FILE_RANGE_WAIT_BEFORE);
		outcome = lease_judged(bond, write->req);
		if (outcome != OFFLAY_ACCEL_SHARED)
			return outcome;
		outcome = compare_and_clone(bond, write, skip, length,
					    src_offset);
		lease_give(bond->fd);
	}
	return outcome;
}
