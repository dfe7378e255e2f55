// SPDX-License-Identifier: MIT
/* Which new files are watched, for programs that copy by hand. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <xxhash.h>

#include "proc.h"
#include "watch.h"

/* No larger blocks are compared. */
#define BLOCK_MAX (64u << 10)

int watch_state_new(struct fs *fs, struct watch_state **ret_watch)
{
	struct watch_state *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	if (watch_gathers_new(fs, &watch->gathers)) {
		free(watch);
		return -ENOMEM;
	}
	/* A lease that is asked back sends it, and it would end the daemon. */
	signal(SIGIO, SIG_IGN);
	watch_sources_init(&watch->sources);
	watch_habits_init(&watch->habits);
	*ret_watch = watch;
	return 0;
}

void watch_state_stop(struct watch_state *watch)
{
	if (watch)
		watch_gathers_stop(watch->gathers);
}

void watch_state_free(struct watch_state *watch)
{
	if (!watch)
		return;
	watch_gathers_free(watch->gathers);
	watch_habits_done(&watch->habits);
	watch_sources_done(&watch->sources);
	free(watch);
}

struct watch_sources *watch_sources(struct fs *fs)
{
	return &fs->watch->sources;
}

struct watch_gathers *watch_gathers(struct fs *fs)
{
	return fs->watch->gathers;
}

/* ---------------------------------------------------------- opening a file */

/* By the name of the thread's program; 0 if unknown. */
static uint64_t program_of(struct fs *fs, pid_t tid)
{
	uint64_t now = file_now(), key;
	char path[32], name[64];
	ssize_t n;

	if (watch_habit_find(&fs->watch->habits, tid, now, &key))
		return key;
	snprintf(path, sizeof(path), "%d/comm", tid);
	n = proc_read(copy_proc_fd(fs), path, name, sizeof(name));
	if (n < 0)
		return 0;
	key = n > 0 ? XXH3_64bits(name, (size_t)n) : 0;
	watch_habit_keep(&fs->watch->habits, tid, now, key);
	return key;
}

static bool add_stream(struct file *file, const struct watch_who *who)
{
	struct watch_candidate candidates[WATCH_CANDIDATES];
	const struct watch_ask ask = { .closed = true };
	struct fs *fs = file->fs;
	struct watch_stream *stream;
	uint64_t program;
	uint32_t block;

	if (!watch_source_list(fs, who, &ask, candidates))
		return false;
	program = program_of(fs, who->tid);
	/* All were closed: a habit of its own, since it is mostly no copy. */
	if (candidates[0].ino)
		program = ~program;
	if (!watch_habit_allows(&fs->watch->habits, program))
		return false;
	block = inode_volume_of(file->inode, file->fd).block_size;
	if (!block || block > BLOCK_MAX)
		return false;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return false;
	pthread_mutex_init(&stream->lock, NULL);
	watch_gathered_init(&stream->gathered);
	match_init(&stream->match, block);
	stream->file = file;
	stream->pgid = who->pgid;
	stream->program = program;
	file->io->stream = stream;
	return true;
}

/* Nobody can read or map it by this handle, nor write in another way. */
static bool may_wish_to_gather(const struct file *file)
{
	return (file->flags & O_ACCMODE) == O_WRONLY;
}

struct watch_wish watch_open(struct file *file, bool fresh, uint64_t size,
			     const struct fuse_ctx *caller)
{
	struct watch_sources *sources = watch_sources(file->fs);
	bool writable = open_is_writable(file->flags);
	struct watch_who who = {
		.tid = caller->pid,
		.uid = caller->uid,
		.gid = caller->gid,
	};
	struct watch_wish wish = { .writes = false };

	if (!file->fs->opt.accel || !file->io->inode->reflinks || who.tid <= 0)
		return wish;
	if (writable ? !fresh || (file->flags & WATCH_OTHER_WRITES) ||
			       !watch_sources_any(sources)
		     : size < file->fs->opt.accel_min)
		return wish;
	who.pgid = getpgid(who.tid);
	if (who.pgid < 0) /* 0: of a group that was made in another namespace */
		return wish;
	if (writable) {
		wish.writes = add_stream(file, &who);
		wish.gathers = wish.writes && may_wish_to_gather(file);
	} else {
		file->io->source = watch_source_add(sources, file, &who);
	}
	return wish;
}

void watch_may_gather(struct file *file)
{
	file->io->stream->gathers = true;
}

void watch_unbind(struct watch_state *watch, struct watch_stream *stream)
{
	if (!stream->bond.src)
		return;
	watch_bond_end(&stream->bond);
	atomic_fetch_sub(&watch->bonds, 1);
}

void watch_close(struct file *file)
{
	struct watch_state *watch = file->fs->watch;
	struct watch_stream *stream = file->io->stream;

	watch_source_remove(&watch->sources, file->io->source);
	if (!stream)
		return;
	watch_gather_settle(stream);
	if (stream->match.shared || stream->unlike)
		watch_habit_learn(&watch->habits, stream->program,
				  stream->match.shared);
	watch_unbind(watch, stream);
	watch_gathered_done(&stream->gathered);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}
