// SPDX-License-Identifier: MIT
/* -o trace=FILE: a thread that writes events to a file, which has its bounds. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "file.h"
#include "thread.h"

#define BUFFER_SIZE (64u << 10)
#define OLD_SUFFIX  ".old"

struct trace_file {
	struct fs *fs;
	int dir_fd;
	char *name;	/* in that directory, without "/" */
	char *old_name; /* where it goes when it is full */
	int fd;
	uint64_t size, size_max;
	struct trace *trace;
	struct trace_reader reader;
	pthread_t thread;
	bool running;
	bool is_failing; /* and that has been said */
	char buf[BUFFER_SIZE];
};

static int open_file(struct trace_file *file)
{
	struct stat st;
	int fd, err = 0;

	fd = openat(file->dir_fd, file->name,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
			    O_NONBLOCK,
		    0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	if (err) {
		close(fd);
		return err;
	}
	file->fd = fd;
	file->size = (uint64_t)st.st_size;
	return 0;
}

static int split_path(struct trace_file *file, const char *path)
{
	char *for_dir = strdup(path), *for_name = strdup(path);
	int err = for_dir && for_name ? 0 : -ENOMEM;

	if (!err) {
		file->dir_fd = open(dirname(for_dir),
				    O_PATH | O_DIRECTORY | O_CLOEXEC);
		err = file->dir_fd < 0 ? -errno : 0;
		file->name = strdup(basename(for_name));
		if (!file->name ||
		    asprintf(&file->old_name, "%s" OLD_SUFFIX, file->name) < 0)
			err = -ENOMEM;
	}
	free(for_dir);
	free(for_name);
	return err;
}

int trace_file_open(struct fs *fs, const char *path,
		    struct trace_file **ret_file)
{
	struct trace_file *file = calloc(1, sizeof(*file));
	int err;

	if (!file)
		return -ENOMEM;
	file->fs = fs;
	file->fd = file->dir_fd = -1;
	file->size_max = (uint64_t)fs->opt.trace_size << 20;
	err = split_path(file, path);
	if (!err)
		err = open_file(file);
	if (err) {
		log_msg(LOG_ERR, "trace=%s: %s", path,
			err == -EINVAL ? "not a regular file" : strerror(-err));
		trace_file_close(file);
		return err;
	}
	*ret_file = file;
	return 0;
}

/* Full: what was written becomes the old file, and what was that goes. */
static void begin_anew(struct trace_file *file)
{
	int fd = file->fd;

	if (renameat(file->dir_fd, file->name, file->dir_fd, file->old_name) ==
		    0 &&
	    open_file(file) == 0) {
		close(fd);
		return;
	}
	if (ftruncate(fd, 0) == 0)
		file->size = 0;
}

/* All or nothing, so that there are only whole lines. */
static int append(struct trace_file *file, const char *text, size_t size)
{
	ssize_t n;

	if (file->size && file->size + size > file->size_max)
		begin_anew(file);
	n = write(file->fd, text, size);
	if (n == (ssize_t)size) {
		file->size += size;
		return 0;
	}
	if (n < 0)
		return -errno;
	if (ftruncate(file->fd, (off_t)file->size) < 0)
		return -errno;
	return -ENOSPC;
}

static void write_lines(struct trace_file *file, const char *text, size_t size,
			uint64_t n)
{
	int err = append(file, text, size);

	if (err)
		stats_add(file->fs->stats, OFFLAY_STAT_EVENTS_UNWRITTEN, n);
	if (err && !file->is_failing)
		log_msg(LOG_WARNING, "trace=%s: %s; events are lost",
			file->fs->opt.trace, strerror(-err));
	file->is_failing = err;
}

static void write_events(struct trace_file *file, size_t size, uint64_t lost)
{
	struct trace_record record;
	char *text = NULL;
	size_t at = 0, text_size = 0;
	uint64_t n = 0;
	FILE *out = open_memstream(&text, &text_size);

	if (lost) {
		stats_add(file->fs->stats, OFFLAY_STAT_EVENTS_UNWRITTEN, lost);
		if (out)
			fprintf(out, "{\"lost\": %" PRIu64 "}\n", lost);
	}
	for (; trace_next(file->buf, size, &at, &record) > 0; n++) {
		if (!out)
			continue;
		trace_json(out, &record);
		fputc('\n', out);
	}
	if (out && fclose(out) == 0)
		write_lines(file, text, text_size, n);
	else
		stats_add(file->fs->stats, OFFLAY_STAT_EVENTS_UNWRITTEN, n);
	free(text);
}

static void *work(void *arg)
{
	struct trace_file *file = arg;
	uint64_t lost;
	size_t size;
	bool goes_on;

	thread_roams();
	do {
		goes_on = trace_wait(file->trace, &file->reader);
		do {
			size = trace_read(file->trace, &file->reader, file->buf,
					  sizeof(file->buf), &lost);
			if (size || lost)
				write_events(file, size, lost);
		} while (size);
	} while (goes_on);
	return NULL;
}

int trace_file_start(struct trace_file *file, struct trace *trace)
{
	int err;

	file->trace = trace;
	trace_reader_init(trace, &file->reader, file->fs->opt.trace_all, false);
	err = pthread_create(&file->thread, NULL, work, file);
	file->running = !err;
	return -err;
}

void trace_file_close(struct trace_file *file)
{
	if (!file)
		return;
	if (file->running)
		pthread_join(file->thread, NULL);
	if (file->fd >= 0)
		close(file->fd);
	if (file->dir_fd >= 0)
		close(file->dir_fd);
	free(file->name);
	free(file->old_name);
	free(file);
}
