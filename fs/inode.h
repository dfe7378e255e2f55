/* SPDX-License-Identifier: MIT */
/* Inside of the inode table: inode.c (the table), resolve.c (the backing). */
#ifndef OFFLAY_INODE_H
#define OFFLAY_INODE_H

#include <sys/stat.h>

#include "fs.h"
#include "private.h"

/* Longer handles than this are treated as not there (MAX_HANDLE_SZ is 128). */
#define HANDLE_MAX 64

/* A file handle of the backing, without the kernel's header. */
struct handle {
	int32_t type;
	uint32_t size; /* bytes; 0 where the backing has no handles */
	unsigned char bytes[HANDLE_MAX];
};

/*
 * One object on the backing, as resolve.c found it.
 * @fd: O_PATH descriptor where it had to be opened, else -1
 */
struct found {
	struct statx stx;
	struct handle handle;
	struct mount *mount;
	int fd;
};

/* A mount below SOURCE (SOURCE's own is the first); never goes away. */
struct mount {
	struct mount *next;
	int id; /* as name_to_handle_at(2) says */
	int fd; /* for open_by_handle_at(2), -1 where handles do not work */
	/* Of its filesystem, which @fd keeps there; zeros without it. */
	struct sys_volume volume;
	bool nosuid;
	bool nodev;
};

/*
 * One inode that the kernel knows.  Fields marked (t) are guarded by the
 * table's lock; the others do not change while the inode is in the table.
 */
struct inode {
	struct inode *id_next;	/* (t) chain of the table by node id */
	struct inode *key_next; /* (t) chain of the table by identity */
	struct inode *lru_prev, *lru_next; /* (t) with an idle descriptor */
	struct inode *parent; /* (t) by-name inodes: where it was seen */
	char *name;	      /* (t) */
	struct file *files;   /* (t) open files, each lends its descriptor */
	_Atomic(struct inode_io *) io;
	struct mount *mount;
	uint64_t id; /* node id; never given twice */
	uint64_t dev;
	uint64_t ino;
	int64_t btime;	  /* nanoseconds, 0 if unknown */
	uint64_t nlookup; /* (t) what the kernel counts */
	uint32_t refs;	  /* (t) pins, files and by-name children */
	uint32_t pins;	  /* (t) pins that use @fd */
	uint32_t told;	  /* (t) when the kernel got its name and attributes */
	int fd;		  /* (t) O_PATH, -1 while closed */
	uint32_t type;	  /* S_IFMT part of the mode */
	/* (t) found by identity; not so once it was replaced */
	bool hashed : 1;
	/* (t) @fd is the last way to the object: keep it */
	bool sticky : 1;
	bool in_lru : 1; /* (t) */
	/* (t) opened since the kernel got its attributes: they may be old */
	bool opened : 1;
	uint8_t handle_size;
	int32_t handle_type;
	unsigned char handle[]; /* handle_size bytes */
};

/* A name whose own mount hides it: MOUNTPOINT, where it lies inside SOURCE. */
struct covered {
	uint64_t parent_dev, parent_ino;
	char *name;
	int fd; /* O_PATH of what lay there before; -1 if outside */
};

/* resolve.c */

struct resolver;
int resolver_new(struct fs *fs, int root_fd, struct resolver **ret_resolver);
void resolver_free(struct resolver *resolver);
/* Finds @name below @parent_fd; never follows a symlink. */
int resolve_name(struct resolver *resolver, const struct inode *parent,
		 int parent_fd, const char *name, struct found *ret_found);
/* What is open as @fd; the caller keeps @fd. */
int resolve_fd(struct resolver *resolver, int fd, struct found *ret_found);
/*
 * The same, but always with an O_PATH descriptor, and with a handle only where
 * there is no birth time to tell two lives of one number apart.
 */
int resolve_open(struct resolver *resolver, const struct inode *parent,
		 int parent_fd, const char *name, struct found *ret_found);
void found_done(struct found *found);
/*
 * Opens the object of @inode again by its handle; else -errno.  @flags: O_PATH,
 * or others that change nothing, since it is verified only then.
 */
int resolve_handle(const struct inode *inode, int flags);
/* By name below the open parent: a verified O_PATH descriptor, or -errno. */
int resolve_again(struct resolver *resolver, const struct inode *inode,
		  const struct inode *parent, int parent_fd, const char *name);
uint64_t resolve_shown_ino(struct resolver *resolver, uint64_t dev,
			   uint64_t ino);
/* As the mount shows it: number mapped, nosuid and nodev mounts respected. */
void resolve_show(struct resolver *resolver, const struct mount *mount,
		  const struct statx *stx, struct stat *ret_attr);
int64_t resolve_btime(const struct statx *stx);

/* inode_table.c; all but new and free are called with the lock held */

/* Descriptors that are closed as soon as the lock is given up. */
#define TABLE_CLOSING_MAX 8

struct inode_table {
	struct fs *fs;
	struct resolver *resolver;
	struct inode *root;
	pthread_mutex_t lock; /* guards all below, and fields marked (t) */
	struct inode **by_id;
	struct inode **by_key;
	uint32_t n_buckets; /* power of two, of both */
	uint32_t n_inodes;
	uint64_t last_id;
	struct inode *lru_first, *lru_last; /* oldest first */
	unsigned int n_idle;		    /* in the list */
	unsigned int n_sticky;
	unsigned int n_files; /* open files, each with one descriptor */
	unsigned int fds_max;
	unsigned int n_closing;
	int closing[TABLE_CLOSING_MAX];
	atomic_bool by_name; /* some inode has no handle that works */
};

/* Gives the lock up. */
void table_unlock(struct inode_table *table);
struct inode *table_find_id(struct inode_table *table, uint64_t id);
/* Some inode of this number, which others may follow by key_next, or NULL. */
struct inode *table_find_number(struct inode_table *table, uint64_t dev,
				uint64_t ino);
/* The inode that the table has of what was found, or NULL. */
struct inode *table_find_same(struct inode_table *table,
			      const struct found *found);
/* The same for what resolve_open() found. */
struct inode *table_find_life(struct inode_table *table,
			      const struct found *found);
/* The same, made if it is new; may take found->fd. */
int table_insert(struct inode_table *table, struct found *found,
		 struct inode **ret_inode);
/* Frees what neither the kernel nor anybody here knows any more. */
void table_drop_if_unused(struct inode_table *table, struct inode *inode);
/* @inode's descriptor is used again, or not any more. */
void table_fd_busy(struct inode_table *table, struct inode *inode);
void table_fd_idle(struct inode_table *table, struct inode *inode);
/* Closes the longest unused until @keep are left. */
void table_fd_shrink(struct inode_table *table, unsigned int keep);
unsigned int table_fd_max_idle(const struct inode_table *table);

/* inode.c, for handle.c */

void inode_lend(struct inode_table *table, struct inode *inode,
		struct file *file);
void inode_unlend(struct inode_table *table, struct inode *inode,
		  struct file *file);
void inode_unref(struct inode_table *table, struct inode *inode);

/* inode_attr.c, for inode.c */

/*
 * With the lock held: the kernel is getting a name of @inode, and its
 * attributes.  Of several names it is not known which of them it has.
 */
void inode_tell(struct inode *inode, uint32_t nlink);

#endif
