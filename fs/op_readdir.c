/* SPDX-License-Identifier: MIT */
/* Directories: offsets are the backing's own, so they stay valid. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs.h"

#define DIR_BUF_SIZE 32768

struct dir_stream {
	pthread_mutex_t lock; /* guards what follows and the fd's offset */
	off_t next;	      /* offset of the entry at buf[pos] */
	size_t pos, len;      /* bytes of buf */
	char buf[DIR_BUF_SIZE] __attribute__((aligned(8)));
};

/* As getdents64(2) lays it out; glibc's struct dirent64 is the same. */
struct dirent64_head {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
};

void dir_stream_free(struct dir_stream *dir)
{
	if (!dir)
		return;
	pthread_mutex_destroy(&dir->lock);
	free(dir);
}

static int open_stream(struct fs *fs, const struct pin *pin, int flags,
		       uint64_t *ret_fh)
{
	struct dir_stream *dir;
	struct file *file;
	int fd, err;

	fd = inode_open(fs, pin, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	err = handle_new(fs, pin, fd, flags, &file);
	if (err)
		return err;
	dir = malloc(sizeof(*dir));
	if (!dir) {
		handle_drop(file);
		return -ENOMEM;
	}
	pthread_mutex_init(&dir->lock, NULL);
	dir->next = 0;
	dir->pos = dir->len = 0;
	file->dir = dir;
	return handle_publish(file, ret_fh);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	PIN_AUTO(pin);
	int err;

	err = inode_pin_to_open(fs, ino, &pin);
	if (!err)
		err = open_stream(fs, &pin, fi->flags, &fi->fh);
	if (fs->opt.cache == CACHE_ALWAYS)
		fi->cache_readdir = fi->keep_cache = 1;
	if (reply_open(req, err, fi) == -ENOENT)
		handle_close(fs, fi->fh);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_close(fs_of(req), fi->fh);
	reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi)
{
	FILE_AUTO(file);
	int err = 0;

	(void)ino;
	file = handle_get(fs_of(req), fi->fh);
	if (!file)
		err = -EBADF;
	else if (datasync ? fdatasync(file->fd) : fsync(file->fd))
		err = -errno;
	reply_err(req, err);
}

/* Goes to @off, where the stream is not there already. */
static int seek_to(struct file *file, off_t off)
{
	struct dir_stream *dir = file->dir;

	if (off == dir->next && (off != 0 || dir->len != 0))
		return 0;
	if (lseek(file->fd, off, SEEK_SET) < 0)
		return -errno;
	dir->next = off;
	dir->pos = dir->len = 0;
	return 0;
}

/* The entry at the stream's place: 1, 0 at the end, or -errno. */
static int peek(struct file *file, struct dirent64_head *ret_head,
		const char **ret_name)
{
	struct dir_stream *dir = file->dir;
	ssize_t n;

	if (dir->pos == dir->len) {
		n = getdents64(file->fd, dir->buf, DIR_BUF_SIZE);
		if (n < 0)
			return -errno;
		dir->pos = 0;
		dir->len = (size_t)n;
		if (n == 0)
			return 0;
	}
	memcpy(ret_head, dir->buf + dir->pos, sizeof(*ret_head));
	*ret_name = dir->buf + dir->pos + offsetof(struct dirent64, d_name);
	return 1;
}

static void advance(struct dir_stream *dir, const struct dirent64_head *head)
{
	dir->pos += head->reclen;
	dir->next = head->off;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* One listing in the making. */
struct listing {
	fuse_req_t req;
	const struct pin *dir;
	char *buf;
	size_t size, used;
	bool plus;
};

/*
 * The entry with its attributes, counted as a lookup; without them where the
 * kernel was told a moment ago.  What cannot be looked up is listed without,
 * too: the kernel will ask for it, and get the error.
 */
static void entry_plus(struct listing *list, const struct dirent64_head *head,
		       const char *name, const struct stat *st,
		       struct fuse_entry_param *entry)
{
	struct fs *fs = fs_of(list->req);

	if (!is_dots(name) &&
	    !inode_is_told(fs, inode_dev(list->dir->inode), head->ino,
			   st->st_mode) &&
	    inode_lookup(fs, list->dir, name, entry) == 0)
		return;
	*entry = (struct fuse_entry_param){ .attr = *st };
}

/* False where it does not fit any more. */
static bool add(struct listing *list, const struct dirent64_head *head,
		const char *name)
{
	struct fs *fs = fs_of(list->req);
	struct fuse_entry_param entry;
	size_t left = list->size - list->used, n;
	char *at = list->buf + list->used;
	struct stat st = {
		.st_ino = inode_shown_ino(fs, inode_dev(list->dir->inode),
					  head->ino),
		.st_mode = (mode_t)head->type << 12,
	};

	/* Above the mount's root there is nothing. */
	if (inode_nodeid(list->dir->inode) == FUSE_ROOT_ID &&
	    strcmp(name, "..") == 0)
		st.st_ino = inode_shown_ino(fs, inode_dev(list->dir->inode),
					    inode_ino(list->dir->inode));
	if (!list->plus) {
		n = fuse_add_direntry(list->req, at, left, name, &st,
				      head->off);
		if (n > left)
			return false;
		list->used += n;
		return true;
	}
	n = fuse_add_direntry_plus(list->req, NULL, 0, name, NULL, 0);
	if (n > left)
		return false;
	entry_plus(list, head, name, &st, &entry);
	fuse_add_direntry_plus(list->req, at, left, name, &entry, head->off);
	list->used += n;
	return true;
}

static int fill(struct listing *list, struct file *file, off_t off)
{
	struct dir_stream *dir = file->dir;
	struct dirent64_head head;
	const char *name = NULL;
	int ret;

	pthread_mutex_lock(&dir->lock);
	ret = seek_to(file, off);
	while (ret >= 0) {
		ret = peek(file, &head, &name);
		if (ret <= 0 || !add(list, &head, name))
			break;
		advance(dir, &head);
	}
	pthread_mutex_unlock(&dir->lock);
	/* An error after the first entry comes again with the next request. */
	return ret < 0 && !list->used ? ret : 0;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi, bool plus)
{
	struct listing list = { .req = req, .size = size, .plus = plus };
	FILE_AUTO(file);
	PIN_AUTO(pin);
	int err;

	file = handle_get(fs_of(req), fi->fh);
	err = file && file->dir ? 0 : -EBADF;
	if (!err)
		err = inode_pin(fs_of(req), ino, &pin);
	if (!err) {
		list.dir = &pin;
		list.buf = malloc(size);
		err = list.buf ? fill(&list, file, off) : -ENOMEM;
	}
	reply_buf(req, err, list.buf, list.used);
	free(list.buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}
