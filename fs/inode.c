/* SPDX-License-Identifier: MIT */
/* Inodes as requests use them: looked up, pinned, opened, forgotten. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inode.h"
#include "settle.h"

/* Remembers where a by-name inode is to be looked for; takes nothing. */
static int set_place(struct inode_table *table, struct inode *inode,
		     struct inode *parent, const char *name)
{
	struct inode *old = inode->parent;
	char *copy;

	if (inode->handle_size || !name || inode == table->root)
		return 0;
	if (old == parent && strcmp(inode->name, name) == 0)
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(inode->name);
	inode->name = copy;
	parent->refs++;
	inode->parent = parent;
	if (old) {
		old->refs--;
		table_drop_if_unused(table, old);
	}
	return 0;
}

static void fill_entry(struct inode_table *table, const struct inode *inode,
		       const struct found *found,
		       struct fuse_entry_param *ret_entry)
{
	*ret_entry = (struct fuse_entry_param){
		.ino = inode->id,
		.generation = 1,
		.attr_timeout =
			inode_attr_timeout(table->fs, found->stx.stx_mode),
		.entry_timeout = table->fs->timeout,
	};
	resolve_show(table->resolver, found->mount, &found->stx,
		     &ret_entry->attr);
	inode_io_show(table->fs, atomic_load(&inode->io), &found->stx,
		      &ret_entry->attr);
}

/* Counts a lookup of what was found below @parent. */
static int enter(struct fs *fs, const struct pin *parent, const char *name,
		 struct found *found, struct fuse_entry_param *ret_entry,
		 struct pin *ret_pin)
{
	struct inode_table *table = fs->inodes;
	struct inode *inode = NULL;
	int err;

	pthread_mutex_lock(&table->lock);
	err = table_insert(table, found, &inode);
	if (!err)
		err = set_place(table, inode, parent->inode, name);
	if (err) {
		if (inode)
			table_drop_if_unused(table, inode);
		table_unlock(table);
		return err;
	}
	inode->nlookup++;
	inode_tell(inode, found->stx.stx_nlink);
	if (ret_pin) {
		inode->refs++;
		*ret_pin = (struct pin){ table, inode, -1, NULL };
	}
	if (inode->fd >= 0 && !inode->in_lru)
		table_fd_idle(table, inode);
	fill_entry(table, inode, found, ret_entry);
	table_unlock(table);
	return 0;
}

/* The attributes, where they are older than what was written. */
static void look_again(struct fs *fs, struct fuse_entry_param *entry)
{
	struct stat attr;
	PIN_AUTO(pin);

	if (inode_pin(fs, entry->ino, &pin) == 0 &&
	    inode_getattr(fs, &pin, &attr) == 0)
		entry->attr = attr;
}

int inode_lookup(struct fs *fs, const struct pin *parent, const char *name,
		 struct fuse_entry_param *ret_entry)
{
	/* Before it is looked at: what is settled meanwhile is not seen. */
	unsigned int settled = atomic_load(&fs->settled);
	struct found found;
	int err;

	err = resolve_name(fs->inodes->resolver, parent->inode, parent->fd,
			   name, &found);
	if (err)
		return err;
	err = enter(fs, parent, name, &found, ret_entry, NULL);
	found_done(&found);
	if (!err) {
		watch_settle(fs, ret_entry->ino);
		if (atomic_load(&fs->settled) != settled)
			look_again(fs, ret_entry);
	}
	return err;
}

int inode_adopt(struct fs *fs, const struct pin *parent, const char *name,
		int fd, struct fuse_entry_param *ret_entry,
		struct statx *ret_stx, struct pin *ret_pin)
{
	struct found found;
	int err;

	err = resolve_fd(fs->inodes->resolver, fd, &found);
	if (err)
		return err;
	*ret_stx = found.stx;
	err = enter(fs, parent, name, &found, ret_entry, ret_pin);
	found_done(&found);
	return err;
}

void inode_forget(struct fs *fs, fuse_ino_t nodeid, uint64_t nlookup)
{
	struct inode_table *table = fs->inodes;
	struct inode *inode;

	pthread_mutex_lock(&table->lock);
	inode = table_find_id(table, nodeid);
	if (inode && inode != table->root) {
		inode->nlookup -= nlookup < inode->nlookup ? nlookup
							   : inode->nlookup;
		table_drop_if_unused(table, inode);
	}
	table_unlock(table);
}

/* ----------------------------------------------------------------- pins */

static int pin_locked(struct inode_table *table, struct inode *inode,
		      struct pin *ret_pin);

/* A new descriptor of @inode, opened without the lock; it has a reference. */
static int reopen_by_name(struct inode_table *table, struct inode *inode)
{
	struct inode *parent = inode->parent;
	struct pin pin;
	char *name;
	int fd;

	if (!parent)
		return -ESTALE;
	name = strdup(inode->name);
	if (!name)
		return -ENOMEM;
	fd = pin_locked(table, parent, &pin);
	if (fd < 0) {
		free(name);
		return fd;
	}
	table_unlock(table);
	fd = resolve_again(table->resolver, inode, pin.inode, pin.fd, name);
	inode_unpin(&pin);
	free(name);
	pthread_mutex_lock(&table->lock);
	return fd;
}

static int reopen(struct inode_table *table, struct inode *inode)
{
	int fd;

	if (!inode->handle_size)
		return reopen_by_name(table, inode);
	table_unlock(table);
	fd = resolve_handle(inode, O_PATH);
	pthread_mutex_lock(&table->lock);
	return fd;
}

/*
 * Called and left with the lock held, which may be given up in between; the
 * caller's hold on @inode (a reference or a kernel lookup) keeps it.
 */
static int pin_locked(struct inode_table *table, struct inode *inode,
		      struct pin *ret_pin)
{
	struct pin pin = { table, inode, -1, NULL };
	int fd;

	inode->refs++;
	if (inode->fd < 0 && !inode->files) {
		fd = reopen(table, inode);
		if (fd == -EMFILE && table->n_idle) {
			table_fd_shrink(table, 0);
			fd = reopen(table, inode);
		}
		if (fd >= 0 && inode->fd < 0)
			inode->fd = fd;
		else if (fd >= 0)
			close(fd);
		if (fd < 0 && inode->fd < 0 && !inode->files) {
			inode->refs--;
			table_drop_if_unused(table, inode);
			return fd;
		}
	}
	if (inode->fd >= 0) {
		table_fd_busy(table, inode);
		inode->pins++;
		pin.fd = inode->fd;
	} else {
		pin.lender = inode->files;
		atomic_fetch_add(&pin.lender->refs, 1);
		pin.fd = pin.lender->fd;
	}
	*ret_pin = pin;
	return 0;
}

/* @to_open: without a descriptor where the handle alone will do. */
static int pin_id(struct inode_table *table, fuse_ino_t nodeid, bool to_open,
		  struct pin *ret_pin)
{
	struct inode *inode;
	int err = -ESTALE;

	pthread_mutex_lock(&table->lock);
	inode = table_find_id(table, nodeid);
	if (inode && to_open && inode->handle_size && inode->fd < 0 &&
	    !inode->files) {
		inode->refs++;
		*ret_pin = (struct pin){ table, inode, -1, NULL };
		err = 0;
	} else if (inode) {
		err = pin_locked(table, inode, ret_pin);
	}
	table_unlock(table);
	return err;
}

int inode_pin(struct fs *fs, fuse_ino_t nodeid, struct pin *ret_pin)
{
	return pin_id(fs->inodes, nodeid, false, ret_pin);
}

int inode_pin_to_open(struct fs *fs, fuse_ino_t nodeid, struct pin *ret_pin)
{
	return pin_id(fs->inodes, nodeid, true, ret_pin);
}

void inode_unpin(struct pin *pin)
{
	struct inode_table *table = pin->table;
	struct inode *inode = pin->inode;

	if (!inode)
		return;
	if (pin->lender)
		handle_put(pin->lender);
	pthread_mutex_lock(&table->lock);
	if (!pin->lender && pin->fd >= 0) {
		inode->pins--;
		table_fd_idle(table, inode);
	}
	inode->refs--;
	table_drop_if_unused(table, inode);
	table_unlock(table);
	*pin = PIN_NONE;
}

/* ---------------------------------------------- what becomes of a name */

/* A descriptor that outlives the name; takes found->fd if it is needed. */
static void hold(struct inode_table *table, struct inode *inode,
		 struct found *found)
{
	if (inode->sticky || table->n_sticky >= table->fds_max / 4)
		return;
	table_fd_busy(table, inode);
	if (inode->fd < 0) {
		inode->fd = found->fd;
		found->fd = -1;
	}
	inode->sticky = true;
	table->n_sticky++;
}

void inode_vanishing(struct fs *fs, const struct pin *parent, const char *name)
{
	struct inode_table *table = fs->inodes;
	struct inode *inode;
	struct found found;
	int err;

	err = resolve_open(table->resolver, parent->inode, parent->fd, name,
			   &found);
	if (err == -EMFILE && inode_make_room(fs))
		err = resolve_open(table->resolver, parent->inode, parent->fd,
				   name, &found);
	if (err)
		return;
	pthread_mutex_lock(&table->lock);
	inode = table_find_life(table, &found);
	if (inode && (inode->type == S_IFDIR || found.stx.stx_nlink == 1))
		hold(table, inode, &found);
	table_unlock(table);
	found_done(&found);
}

void inode_moved(struct fs *fs, const struct pin *parent, const char *name)
{
	struct inode_table *table = fs->inodes;
	struct inode *inode;
	struct found found;

	if (!table->by_name)
		return;
	if (resolve_name(table->resolver, parent->inode, parent->fd, name,
			 &found))
		return;
	pthread_mutex_lock(&table->lock);
	inode = table_find_same(table, &found);
	if (inode)
		set_place(table, inode, parent->inode, name);
	table_unlock(table);
	found_done(&found);
}

/* ------------------------------------------------------------ open files */

void inode_lend(struct inode_table *table, struct inode *inode,
		struct file *file)
{
	pthread_mutex_lock(&table->lock);
	inode->refs++;
	inode->opened = true;
	file->next = inode->files;
	inode->files = file;
	table->n_files++;
	table_fd_shrink(table, table_fd_max_idle(table));
	table_unlock(table);
}

void inode_unlend(struct inode_table *table, struct inode *inode,
		  struct file *file)
{
	struct file **at = &inode->files;

	pthread_mutex_lock(&table->lock);
	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
	table_unlock(table);
}

void inode_unref(struct inode_table *table, struct inode *inode)
{
	pthread_mutex_lock(&table->lock);
	table->n_files--;
	inode->refs--;
	table_drop_if_unused(table, inode);
	table_unlock(table);
}

bool inode_make_room(struct fs *fs)
{
	struct inode_table *table = fs->inodes;
	bool any;

	pthread_mutex_lock(&table->lock);
	any = table->n_idle > 0;
	table_fd_shrink(table, 0);
	table_unlock(table);
	return any;
}

const char *inode_fd_path(const struct pin *pin, char buf[FD_PATH_SIZE])
{
	snprintf(buf, FD_PATH_SIZE, "/proc/self/fd/%d", pin->fd);
	return buf;
}

static int open_pinned(const struct pin *pin, int flags)
{
	char path[FD_PATH_SIZE];
	int fd;

	if (pin->fd < 0)
		return resolve_handle(pin->inode, flags);
	fd = open(inode_fd_path(pin, path), flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int inode_open(struct fs *fs, const struct pin *pin, int flags)
{
	mode_t type = pin->inode->type;
	int fd;

	if (type != S_IFREG && type != S_IFDIR)
		return type == S_IFLNK ? -ELOOP : -ENXIO;
	flags &= ~(O_NOFOLLOW | O_CREAT | O_EXCL);
	fd = open_pinned(pin, flags);
	if (fd == -EMFILE && inode_make_room(fs))
		fd = open_pinned(pin, flags);
	return fd;
}

mode_t inode_type(const struct inode *inode)
{
	return inode->type;
}

uint64_t inode_dev(const struct inode *inode)
{
	return inode->dev;
}

uint64_t inode_ino(const struct inode *inode)
{
	return inode->ino;
}

int inode_mount_fd(const struct inode *inode)
{
	return inode->mount->fd;
}

const struct sys_volume *inode_volume(const struct inode *inode)
{
	return &inode->mount->volume;
}

struct sys_volume inode_volume_of(const struct inode *inode, int fd)
{
	struct sys_volume volume = inode->mount->volume;

	if (!volume.type && sys_kernel_ops.volume(NULL, fd, &volume))
		volume = (struct sys_volume){ .type = 0 };
	return volume;
}

fuse_ino_t inode_nodeid(const struct inode *inode)
{
	return inode->id;
}

void inode_count(struct fs *fs, __u64 gauges[OFFLAY_GAUGE_COUNT])
{
	struct inode_table *table = fs->inodes;

	pthread_mutex_lock(&table->lock);
	gauges[OFFLAY_GAUGE_INODES] = table->n_inodes;
	gauges[OFFLAY_GAUGE_OPEN_FILES] = table->n_files;
	gauges[OFFLAY_GAUGE_DESCRIPTORS] =
		(__u64)table->n_files + table->n_idle + table->n_sticky;
	gauges[OFFLAY_GAUGE_DESCRIPTORS_MAX] = table->fds_max;
	table_unlock(table);
}

uint64_t inode_shown_ino(struct fs *fs, uint64_t dev, uint64_t ino)
{
	return resolve_shown_ino(fs->inodes->resolver, dev, ino);
}

struct inode_io *inode_io(struct inode *inode)
{
	return atomic_load(&inode->io);
}

struct inode_io *inode_io_set(struct inode *inode, struct inode_io *io)
{
	struct inode_io *expected = NULL;

	if (atomic_compare_exchange_strong(&inode->io, &expected, io))
		return io;
	return expected;
}
