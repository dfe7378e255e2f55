/* SPDX-License-Identifier: MIT */
/* What the sources of offlayfs share; grouped by the .c file that has it. */
#ifndef OFFLAY_FS_H
#define OFFLAY_FS_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#endif
#include <fuse_lowlevel.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "config.h"
#include "odx.h"
#include "offlay.h"
#include "offlay_trace.h"

struct fs;
struct inode;
struct file;
struct rules;
struct fault_set;

/* options.c: everything said on the command line, validated in one place. */

enum refuse_mode { REFUSE_VISIBLE, REFUSE_KERNEL, REFUSE_COPY };
enum offload_mode { OFFLOAD_AUTO, OFFLOAD_CLONE };
enum cache_mode { CACHE_AUTO, CACHE_NONE, CACHE_ALWAYS };

struct options {
	char *source;
	char *mountpoint;
	char *mount_options; /* what is handed on to libfuse and the kernel */
	unsigned int deny;   /* OFFLAY_DENY_* */
	enum refuse_mode refuse;
	enum offload_mode offload;
	enum cache_mode cache;
	struct odx_limits tokens;
	struct fault_set *rules; /* until the mount has taken them, or NULL */
	uint64_t accel_min;	 /* bytes that a source must have */
	char *trace;		 /* file for events, or NULL */
	unsigned int trace_size; /* MiB of it, before a new one is begun */
	bool trace_all;
	unsigned int max_threads;
	int log_level; /* LOG_* of syslog(3) */
	bool foreground;
	bool passthrough;
	bool io_uring;
	bool accel;
	bool handover;
	bool read_only; /* as it was mounted; see mount_state.c */
};

/* The whole command line; exits with 0 for --help and --version, 2 if bad. */
void options_parse(int argc, char **argv, struct options *ret_options);
extern const char options_usage[];
void options_done(struct options *options);

/* log.c: stderr in the foreground, syslog(3) in the background. */

void log_init(int level, bool foreground);
void log_background(void);
bool log_enabled(int level);
void log_msg(int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* main.c */

/* Bytes of one write, as the kernel sends them. */
#define FS_MAX_WRITE (1u << 20)

struct fs {
	struct options opt;
	struct fuse_session *se;
	struct inode_table *inodes;
	struct handle_table *handles;
	struct copy_state *copy;   /* op_copy.c: engine, verdicts, refusals */
	struct odx_state *odx;	   /* op_odx.c: tokens */
	struct clone_state *clone; /* op_clone.c: cookies */
	struct stats *stats;
	struct events *events;	   /* op_trace.c: who listens, and to what */
	atomic_uint events_wanted; /* EVENTS_*, by those who listen */
	struct rules *rules;	   /* rules.c: fault rules */
	atomic_uint ruled_ops;	   /* bits 1 << enum fault_op, of the rules */
	struct watch_state *watch; /* watch.c: copies by hand */
	atomic_uint gathering;	   /* files with answered writes that wait */
	atomic_uint settled;	   /* so many have ended that, ever */
	double timeout; /* seconds that the kernel may cache names and attributes */
	unsigned int dev_major,
		dev_minor; /* of the mount itself; 0:0 unknown */
	bool privileged; /* acts for many users: switches ids for each of them */
	uint64_t capabilities; /* what is kept then, as bits 1 << CAP_* */
	bool quick; /* requests cost little: processors are lent (handover.h) */
	bool stacked; /* SOURCE is itself on top of another filesystem */
	atomic_bool passthrough; /* negotiated; cleared where it cannot work */
};

void fs_init(void *userdata, struct fuse_conn_info *conn);

/*
 * loop.c: serves requests until one of @ending_signals comes, which are
 * blocked, or the kernel hangs up.  While it still serves them it calls
 * @stop: other threads that answer may be waiting for requests, and must have
 * ended before the session's descriptor is closed.
 */
int loop_run(struct fs *fs, const sigset_t *ending_signals,
	     void (*stop)(struct fs *fs));

/* mount_state.c: mounts as the kernel has them now. */

/* Goes through the lines of mountinfo until @is_it; false: there is none. */
bool mount_state_find(struct fs *fs, bool (*is_it)(const char *line, void *arg),
		      void *arg);

/* Right after mounting, while the mountpoint shows this mount. */
void mount_state_note(struct fs *fs);
/*
 * Is the mount read-only now?  What is open for writing is proof of the
 * contrary: look at that first, it costs nothing.
 */
bool mount_state_read_only(struct fs *fs);

/* The mount that a request belongs to. */
static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/*
 * creds.c: a privileged daemon makes things with the caller's ids.
 *
 * The kernel has checked permissions (default_permissions); what is left is
 * whose the new object is and which bits the backing drops.  Every enter must
 * be left on the same thread before the request is answered.
 */

/* fsuid, fsgid and umask of the caller; groups too if @groups. */
int creds_enter(fuse_req_t req, bool groups);
void creds_leave(fuse_req_t req);
/* Without CAP_FSETID a write or truncate drops suid and sgid by itself. */
void creds_drop_fsetid(struct fs *fs);
void creds_restore_fsetid(struct fs *fs);
/* Is the caller one whose writes make the kernel drop suid and sgid? */
static inline bool creds_caller_drops_suid(fuse_req_t req)
{
	return fuse_req_ctx(req)->uid != 0;
}
/*
 * Around a change of the data of the file open (or O_PATH) as @fd, where
 * @drops: the backing then drops suid and sgid as it would have for the caller.
 * Pass what enter returns to leave, on the same thread, before the answer.
 */
enum creds_writer {
	CREDS_WRITER_AS_IS,
	CREDS_WRITER_PLAIN,
	CREDS_WRITER_CALLER
};
enum creds_writer creds_enter_writer(fuse_req_t req, int fd, bool drops);
void creds_leave_writer(fuse_req_t req, enum creds_writer writer);
/* Do mode and ACL of the file open as @fd let the caller write to it? */
bool creds_may_write(fuse_req_t req, int fd);
/* Can this process act for other users at all?  Drops its own groups if so. */
bool creds_can_switch(void);
/* After mounting: gives up the capabilities that nothing here needs. */
int creds_reduce(struct fs *fs);

/*
 * inode.c: node ids are numbers of a table with generations.
 *
 * This is the interface between names and backing objects: op_*.c never see
 * how an inode is found again.  A second layer joins behind it.
 */

/*
 * An inode in use by one request: the entry cannot go away, and @fd, a
 * descriptor of exactly this inode (mostly O_PATH, never to be read or
 * written), stays open until inode_unpin().  Descriptors are bounded: an
 * unpinned one may be closed, and is opened again by file handle, or by
 * parent and name, verified.
 */
struct pin {
	struct inode_table *table;
	struct inode *inode;
	int fd;
	struct file *lender; /* the open file that @fd is borrowed from */
};
#define PIN_NONE                     \
	(struct pin)                 \
	{                            \
		NULL, NULL, -1, NULL \
	}
#define PIN_AUTO(name) \
	__attribute__((cleanup(inode_unpin))) struct pin name = PIN_NONE

int inode_table_new(struct fs *fs, int root_fd, struct inode_table **ret_table);
/* Logs what is still in use; takes NULL. */
void inode_table_free(struct inode_table *table);

/* -ESTALE: a forged or forgotten id, or an object that is gone. */
int inode_pin(struct fs *fs, fuse_ino_t nodeid, struct pin *ret_pin);
/*
 * The same for nothing but inode_open() without O_TRUNC: the pin has a
 * descriptor only if there is one, or no file handle.
 */
int inode_pin_to_open(struct fs *fs, fuse_ino_t nodeid, struct pin *ret_pin);
/* Takes an empty pin, too; leaves it empty. */
void inode_unpin(struct pin *pin);

/* Resolves one name below a directory and counts one kernel lookup. */
int inode_lookup(struct fs *fs, const struct pin *parent, const char *name,
		 struct fuse_entry_param *ret_entry);
/*
 * The same for an object just made: @fd, if not -1, is open on it and stays
 * the caller's; @name may be NULL (O_TMPFILE).  The pin is for the new inode.
 */
int inode_adopt(struct fs *fs, const struct pin *parent, const char *name,
		int fd, struct fuse_entry_param *ret_entry,
		struct statx *ret_stx, struct pin *ret_pin);
void inode_forget(struct fs *fs, fuse_ino_t nodeid, uint64_t nlookup);
/*
 * Before a name is removed or replaced: what has no other name and no open
 * file stays reachable for those who still hold it, by a descriptor.
 */
void inode_vanishing(struct fs *fs, const struct pin *parent, const char *name);
/* After a name was given to an object that may be known already. */
void inode_moved(struct fs *fs, const struct pin *parent, const char *name);
/* Closes idle descriptors after -EMFILE; false if there was none. */
bool inode_make_room(struct fs *fs);

/*
 * Opens the pinned inode anew.  Never follows a symlink, never blocks on a
 * FIFO (only regular files and directories are opened by the daemon).
 * Return: a descriptor or a negative errno.
 */
int inode_open(struct fs *fs, const struct pin *pin, int flags);
/* "/proc/self/fd/N" of the pin, for calls that take only a path. */
#define FD_PATH_SIZE 32
const char *inode_fd_path(const struct pin *pin, char buf[FD_PATH_SIZE]);
/*
 * Seconds that the kernel may cache attributes.  None for suid and sgid files:
 * it does not hear when a write drops these bits.
 */
static inline double inode_attr_timeout(const struct fs *fs, mode_t mode)
{
	return S_ISREG(mode) && (mode & (S_ISUID | S_ISGID)) ? 0 : fs->timeout;
}
/*
 * Does the kernel still have the name and the attributes of this object of the
 * backing?  At best a guess: if not, it asks for them.
 */
bool inode_is_told(struct fs *fs, uint64_t dev, uint64_t ino, mode_t type);
/* Attributes for the kernel, as the mount shows them (inode number mapped). */
int inode_getattr(struct fs *fs, const struct pin *pin, struct stat *ret_attr);
/* The same for a statx(2) of the caller's. */
void inode_show(struct fs *fs, const struct pin *pin, const struct statx *stx,
		struct stat *ret_attr);
int inode_statx(const struct pin *pin, unsigned int mask,
		struct statx *ret_stx);
/* What the table holds now: OFFLAY_GAUGE_INODES and those of descriptors. */
void inode_count(struct fs *fs, __u64 gauges[OFFLAY_GAUGE_COUNT]);
mode_t inode_type(const struct inode *inode);  /* S_IF* */
uint64_t inode_dev(const struct inode *inode); /* backing's st_dev */
uint64_t inode_ino(const struct inode *inode); /* backing's st_ino */
/* Some object of the filesystem that it is on; -1 where none is known. */
int inode_mount_fd(const struct inode *inode);
/* The filesystem that it is on; all zeros where it may have gone. */
const struct sys_volume *inode_volume(const struct inode *inode);
/* The same, asked of a descriptor of it then; zeros only where that fails. */
struct sys_volume inode_volume_of(const struct inode *inode, int fd);
fuse_ino_t inode_nodeid(const struct inode *inode);
/* The inode number that the mount shows for (@dev, @ino) of the backing. */
uint64_t inode_shown_ino(struct fs *fs, uint64_t dev, uint64_t ino);

/* State that file_io.c and op_copy.c keep for an inode; made on demand. */
struct inode_io *inode_io(struct inode *inode); /* NULL until set */
/* Atomically sets it if it is not set; returns the one that is. */
struct inode_io *inode_io_set(struct inode *inode, struct inode_io *io);
void inode_io_free(struct inode_io *io); /* in file_io.c; takes NULL */
/*
 * What the mode in which a file is open, or will be, changes about its
 * attributes; @io may be NULL.
 */
void inode_io_show(const struct fs *fs, struct inode_io *io,
		   const struct statx *stx, struct stat *attr);

/*
 * handle.c: file handles are numbers of a table with generations.
 *
 * A file holds its inode in the table, and lends it its descriptor, so that
 * an unlinked inode stays reachable while it is open.
 */

struct file {
	struct fs *fs;
	struct inode *inode;
	int fd;		   /* backing; regular file or directory */
	int flags;	   /* as opened by the caller, O_* */
	atomic_uint refs;  /* the handle's own, requests, and borrowed pins */
	struct file *next; /* of the inode's; guarded by the inode table */
	struct dir_stream *dir;	     /* op_readdir.c, directories only */
	struct file_io *io;	     /* file_io.c, regular files only */
	struct event_reader *reader; /* op_trace.c; guarded by the events */
};

int handle_table_new(struct handle_table **ret_table);
/* Return: how many files were still open; takes NULL. */
size_t handle_table_free(struct handle_table *table);
/* Takes @fd, on failure too, and a reference of its own of the pin's inode. */
int handle_new(struct fs *fs, const struct pin *pin, int fd, int flags,
	       struct file **ret_file);
/* Takes @file, on failure too; it is complete by now. */
int handle_publish(struct file *file, uint64_t *ret_fh);
/* Gives up one that was not published. */
void handle_drop(struct file *file);
/* @file, which was not published, is the daemon's own: for handle_put(). */
void handle_own(struct file *file);
/* A reference for one request; NULL for a forged or closed handle. */
struct file *handle_get(struct fs *fs, uint64_t fh);
void handle_put(struct file *file);
/* One more of a file that may be losing its last; false if it has. */
bool handle_take(struct file *file);
/* The kernel's release: no new references; freed with the last one. */
void handle_close(struct fs *fs, uint64_t fh);
/* Called by handle.c when the last reference goes; each takes NULL. */
void dir_stream_free(struct dir_stream *dir); /* op_readdir.c */
void file_io_free(struct file *file);	      /* file_io.c: file->io */

static inline void handle_put_auto(struct file **file)
{
	if (*file)
		handle_put(*file);
}
#define FILE_AUTO(name) \
	__attribute__((cleanup(handle_put_auto))) struct file *name = NULL

/*
 * reply.c: every request ends here once; the only place where errors change
 * sign (@err is 0 or a negative errno everywhere else), and where an errno
 * that would hang the caller (512 and above) becomes EIO.
 */

void reply_err(fuse_req_t req, int err);
void reply_entry(fuse_req_t req, int err, const struct fuse_entry_param *entry);
void reply_attr(fuse_req_t req, int err, const struct stat *attr);
/* These return -ENOENT where the opener was killed: no release will come. */
int reply_create(fuse_req_t req, int err, const struct fuse_entry_param *entry,
		 const struct fuse_file_info *fi);
int reply_open(fuse_req_t req, int err, const struct fuse_file_info *fi);
void reply_buf(fuse_req_t req, int err, const void *buf, size_t size);
void reply_data(fuse_req_t req, int err, struct fuse_bufvec *data);
void reply_write(fuse_req_t req, int err, size_t count);
void reply_statx(fuse_req_t req, struct statx *stx);
void reply_lseek(fuse_req_t req, int err, off_t offset);
void reply_xattr(fuse_req_t req, int err, size_t size);
void reply_statfs(fuse_req_t req, int err, const struct statvfs *st);
void reply_readlink(fuse_req_t req, int err, const char *target);
/* An errno and data together: a refusal that carries its reasons. */
void reply_ioctl(fuse_req_t req, int err, int result, const void *buf,
		 size_t size);
void reply_none(fuse_req_t req);

/* ops.c: the one table. */

extern const struct fuse_lowlevel_ops offlay_ops;

/* op_lookup.c */

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets);

/* op_attr.c */

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
	      struct fuse_file_info *fi);

/* op_dir.c: names that come, go and move */

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
	     const char *newname);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned int flags);

/* op_readdir.c */

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi);

/* op_xattr.c */

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* op_file.c, op_io.c: open files */

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi);
void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in,
		  off_t off, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
		  off_t length, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi);
/*
 * The file of @fi, or the inode opened for a request that came without one
 * (truncate by name).  Tells op_copy.c that size or data are about to change.
 */
void file_changed(struct inode *inode);

/* op_copy.c, refusal.c */

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags);
int copy_state_new(struct fs *fs, struct copy_state **ret_copy);
/* Before the tables of files and inodes go away; takes NULL. */
void copy_state_stop(struct copy_state *copy);
void copy_state_free(struct copy_state *copy); /* takes NULL */
/*
 * Called for each request before its handler: what any request of this thread
 * means for a refusal that is armed for it.
 */
void refusal_see(fuse_req_t req);

/* op_odx.c: offloaded data transfer; the ioctls that op_ioctl.c passes on */

struct odx_state;
int odx_state_new(struct fs *fs, int source_fd, struct odx_state **ret_odx);
/* Before the tables of files and inodes go away; takes NULL. */
void odx_state_stop(struct odx_state *odx);
void odx_state_free(struct odx_state *odx); /* takes NULL */
/*
 * Around what may cut @inode's file off: the bytes of an offload write would
 * bring back what was cut off meanwhile.
 */
void odx_truncate_begin(struct odx_state *odx, const struct inode *inode);
void odx_truncate_end(struct odx_state *odx, const struct inode *inode);
/* False: not one of these; else the request is answered, or will be. */
bool op_odx(fuse_req_t req, struct file *file, unsigned int cmd, const void *in,
	    size_t in_size, size_t out_size);

/* op_clone.c: clone, deduplicate, map extents; likewise */

struct clone_state;
int clone_state_new(struct fs *fs, struct clone_state **ret_clone);
/* Before the tables of files and inodes go away; takes NULL. */
void clone_state_stop(struct clone_state *clone);
void clone_state_free(struct clone_state *clone); /* takes NULL */
/* False: not one of these; else the request is answered, or will be. */
bool op_clone(fuse_req_t req, struct file *file, uint64_t fh, unsigned int cmd,
	      const void *in, size_t in_size, size_t out_size);

/* op_ioctl.c */

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in_buf,
	      size_t in_bufsz, size_t out_bufsz);

#include "event.h"

#endif
