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
	watch_firsts_init(&watch->firsts);
	watch_bonds_init(&watch->bonds);
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
	watch_bonds_done(&watch->bonds);
	watch_firsts_done(&watch->firsts);
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

/* So that nobody's other habit is the same. */
#define FIRST_HABIT 0x9e3779b97f4a7c15ull

/* What may be copied into a new file, by how its program goes about it. */
struct outlook {
	uint64_t habit;
	bool early;	 /* no source is open yet */
	bool unexpected; /* and none was when it did the same before */
};

/* False: nothing is expected to be. */
static bool look_out(struct file *file, const struct watch_who *who,
		     bool anyway, struct outlook *ret_outlook)
{
	struct watch_candidate candidates[WATCH_CANDIDATES];
	const struct watch_ask ask = { .closed = true };
	struct watch_state *watch = file->fs->watch;
	struct outlook outlook = { .habit = program_of(file->fs, who->tid) };
	bool writes_only = (file->flags & O_ACCMODE) == O_WRONLY;

	if (watch_sources_any(&watch->sources) &&
	    watch_source_list(file->fs, who, &ask, candidates)) {
		/* All were closed: it is mostly no copy. */
		if (candidates[0].ino)
			outlook.habit = ~outlook.habit;
		*ret_outlook = outlook;
		return watch_habit_allows(&watch->habits, outlook.habit);
	}
	outlook.habit ^= FIRST_HABIT;
	outlook.early = true;
	outlook.unexpected =
		!writes_only ||
		!watch_habit_expects(&watch->habits, outlook.habit);
	*ret_outlook = outlook;
	if (outlook.unexpected && !anyway && writes_only)
		watch_first_add(&watch->firsts, file, who, outlook.habit);
	return anyway || !outlook.unexpected;
}

static bool add_stream(struct file *file, const struct watch_who *who,
		       const struct outlook *outlook)
{
	struct watch_stream *stream;
	uint32_t block;

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
	stream->habit = outlook->habit;
	stream->early = outlook->early;
	stream->unexpected = outlook->unexpected;
	file->io->stream = stream;
	return true;
}

static struct watch_wish
open_destination(struct file *file, const struct watch_who *who, bool anyway)
{
	struct watch_wish wish = { .writes = false };
	struct outlook outlook;

	wish.writes = look_out(file, who, anyway, &outlook) &&
		      add_stream(file, who, &outlook);
	/* Nobody can read or map it by such a handle. */
	wish.gathers = wish.writes && !outlook.unexpected &&
		       (file->flags & O_ACCMODE) == O_WRONLY;
	return wish;
}

/* Was a destination waiting for it?  A shell makes its program's. */
static void learn_from_source(struct fs *fs, const struct watch_who *who)
{
	struct watch_first firsts[WATCH_FIRSTS];
	unsigned int n = watch_first_list(&fs->watch->firsts, who, firsts);

	for (unsigned int i = 0; i < n; i++)
		if (watch_is_below(fs, who->tid, firsts[i].who.tid))
			watch_habit_begin(&fs->watch->habits, firsts[i].habit);
}

struct watch_wish watch_open(struct file *file,
			     const struct watch_opening *opening,
			     const struct fuse_ctx *caller)
{
	bool writable = open_is_writable(file->flags);
	struct watch_who who = {
		.tid = caller->pid,
		.uid = caller->uid,
		.gid = caller->gid,
	};
	const struct watch_wish none = { .writes = false };

	if (!file->fs->opt.accel || !file->io->inode->reflinks || who.tid <= 0)
		return none;
	if (writable ? !opening->fresh || (file->flags & WATCH_OTHER_WRITES)
		     : opening->size < file->fs->opt.accel_min)
		return none;
	who.pgid = getpgid(who.tid);
	if (who.pgid < 0) /* 0: of a group that was made in another namespace */
		return none;
	if (writable)
		return open_destination(file, &who, opening->anyway);
	learn_from_source(file->fs, &who);
	file->io->source =
		watch_source_add(watch_sources(file->fs), file, &who);
	return none;
}

void watch_may_gather(struct file *file)
{
	file->io->stream->gathers = true;
}

void watch_close(struct file *file)
{
	struct watch_state *watch = file->fs->watch;
	struct watch_stream *stream = file->io->stream;

	watch_source_remove(&watch->sources, file->io->source);
	if (!stream) {
		if (open_is_writable(file->flags))
			watch_first_remove(&watch->firsts, file);
		return;
	}
	watch_gather_settle(stream);
	if (stream->match.shared || (stream->unlike && !stream->unexpected))
		watch_habit_learn(&watch->habits, stream->habit,
				  stream->match.shared);
	watch_unbind(watch, stream);
	watch_gathered_done(&stream->gathered);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}
