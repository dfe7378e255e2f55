/* SPDX-License-Identifier: MIT */
/* offlayfs: one mount, from its command line to its end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <syslog.h>
#include <unistd.h>

#include "fs.h"
#include "rules.h"
#include "watch.h"

#define MAX_BACKGROUND 64
#define FOR_EVER       (365 * 86400.0)
#define URING_SWITCH   "/sys/module/fuse/parameters/enable_uring"

#ifndef OVERLAYFS_SUPER_MAGIC
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#endif

/* Is SOURCE itself a filesystem on top of another? */
static bool is_stacked(int root_fd)
{
	struct statfs st;

	if (fstatfs(root_fd, &st))
		return false;
	switch ((unsigned long)st.f_type) {
	case OVERLAYFS_SUPER_MAGIC:
	case ECRYPTFS_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

static void want_passthrough(struct fs *fs, struct fuse_conn_info *conn)
{
	if (!fs->opt.passthrough || !fs->privileged)
		return;
	fs->passthrough = fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	if (fs->passthrough)
		conn->max_backing_stack_depth =
			fs->stacked ? FUSE_BACKING_STACKED_OVER
				    : FUSE_BACKING_STACKED_UNDER;
	else
		log_msg(LOG_INFO, "this kernel has no passthrough");
}

/*
 * HANDLE_KILLPRIV_V2: without it the kernel asks for security.capability
 * before each write(2), also where it passes the write through.  With it, suid
 * and sgid are dropped here: see file.h.  Splicing costs a pipe a request and
 * gains nothing where passthrough carries the data.  Export by NFS would need
 * "..", which could lead out of SOURCE.
 */
void fs_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	fuse_set_feature_flag(conn, FUSE_CAP_DONT_MASK);
	fuse_set_feature_flag(conn, FUSE_CAP_POSIX_ACL);
	fuse_set_feature_flag(conn, FUSE_CAP_CACHE_SYMLINKS);
	fuse_set_feature_flag(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	fuse_set_feature_flag(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ);
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_WRITE);
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_MOVE);
	fuse_unset_feature_flag(conn, FUSE_CAP_EXPORT_SUPPORT);
	fuse_unset_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV);
	fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
	fuse_unset_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
	conn->max_write = FS_MAX_WRITE;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	conn->no_interrupt = 1;
	conn->time_gran = 1;
	want_passthrough(fs, conn);
}

static double timeout_of(enum cache_mode cache)
{
	switch (cache) {
	case CACHE_NONE:
		return 0;
	case CACHE_ALWAYS:
		return FOR_EVER;
	default:
		return 1;
	}
}

/* Says why, where requests will not go over io_uring. */
static bool can_uring(void)
{
	char on = 'N';
	int fd;

#if !WITH_IO_URING || FUSE_VERSION < FUSE_MAKE_VERSION(3, 18)
	log_msg(LOG_WARNING, "io_uring: not built in, /dev/fuse is used");
	return false;
#endif
	fd = open(URING_SWITCH, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		log_msg(LOG_WARNING,
			"io_uring: this kernel has none for FUSE (6.14 has), "
			"/dev/fuse is used");
		return false;
	}
	if (read(fd, &on, 1) != 1)
		on = 'N';
	close(fd);
	if (on != 'Y' && on != '1')
		log_msg(LOG_WARNING,
			"io_uring: off in the kernel, /dev/fuse is used; root "
			"turns it on with: echo Y > " URING_SWITCH);
	return on == 'Y' || on == '1';
}

static int add_arg(struct fuse_args *args, const char *name, const char *value)
{
	char *list = NULL;
	int err;

	if (fuse_opt_add_opt(&list, name) ||
	    (value && fuse_opt_add_opt(&list, value)))
		return -ENOMEM;
	err = fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, list);
	free(list);
	return err ? -ENOMEM : 0;
}

/* fsname is what mount(8) shows; a comma in it must not end the option. */
static int add_fsname(struct fuse_args *args, const char *source)
{
	char *option = NULL, *list = NULL;
	int err;

	if (asprintf(&option, "fsname=%s", source) < 0)
		return -ENOMEM;
	err = fuse_opt_add_opt_escaped(&list, option) ||
	      fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, list);
	free(option);
	free(list);
	return err ? -ENOMEM : 0;
}

static int open_session(struct fs *fs)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int err;

	err = fuse_opt_add_arg(&args, "offlayfs") ? -ENOMEM : 0;
	if (!err)
		err = add_arg(&args, fs->opt.mount_options, NULL);
	if (!err)
		err = add_fsname(&args, fs->opt.source);
	fs->opt.io_uring = fs->opt.io_uring && can_uring();
	if (!err && fs->opt.io_uring)
		err = add_arg(&args, "io_uring", NULL);
	if (!err)
		fs->se = fuse_session_new(&args, &offlay_ops,
					  sizeof(offlay_ops), fs);
	fuse_opt_free_args(&args);
	if (err)
		return err;
	return fs->se ? 0 : -EINVAL;
}

static int prepare(struct fs *fs)
{
	int root_fd, err;

	fs->timeout = timeout_of(fs->opt.cache);
	fs->privileged = creds_can_switch();
	root_fd = open(fs->opt.source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0) {
		err = -errno;
		log_msg(LOG_ERR, "source %s: %s", fs->opt.source,
			strerror(errno));
		return err;
	}
	fs->stacked = is_stacked(root_fd);
	err = stats_new(&fs->stats);
	if (!err)
		err = events_new(fs, &fs->events);
	if (!err)
		err = handle_table_new(&fs->handles);
	if (!err)
		err = inode_table_new(fs, root_fd, &fs->inodes);
	if (!err)
		err = copy_state_new(fs, &fs->copy);
	if (!err)
		err = odx_state_new(fs, root_fd, &fs->odx);
	if (!err)
		err = clone_state_new(fs, &fs->clone);
	if (!err) {
		err = rules_new(fs, fs->opt.rules, &fs->rules);
		if (!err)
			fs->opt.rules = NULL;
	}
	if (!err)
		err = watch_state_new(fs, &fs->watch);
	close(root_fd);
	if (err)
		log_msg(LOG_ERR, "source %s: %s", fs->opt.source,
			strerror(-err));
	return err;
}

/* libfuse's own loop, which alone can end what it began with io_uring. */
static int loop_uring(struct fs *fs, const sigset_t *ending)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int ret;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, fs->opt.max_threads);
	pthread_sigmask(SIG_UNBLOCK, ending, NULL);
	ret = fuse_session_loop_mt(fs->se, config);
	pthread_sigmask(SIG_BLOCK, ending, NULL);
	fuse_loop_cfg_destroy(config);
	return ret;
}

/* Those that answer requests beside the loop; may be called again. */
static void stop_threads(struct fs *fs)
{
	rules_stop(fs->rules);
	copy_state_stop(fs->copy);
	odx_state_stop(fs->odx);
	clone_state_stop(fs->clone);
	watch_state_stop(fs->watch);
}

static int loop(struct fs *fs, const sigset_t *ending)
{
	int ret = fs->opt.io_uring ? loop_uring(fs, ending)
				   : loop_run(fs, ending, stop_threads);

	/* An unmount that catches a request on its way ends it so. */
	if (ret == -ECONNABORTED)
		return 0;
	return ret < 0 ? ret : 0; /* a signal that ends it is a clean end */
}

/*
 * Blocked but for where they are waited for: libfuse takes one that
 * interrupts its wait for mount(8) for a failure, and each thread starts with
 * them blocked.
 */
static void block_ending(sigset_t *ret_ending)
{
	sigemptyset(ret_ending);
	sigaddset(ret_ending, SIGTERM);
	sigaddset(ret_ending, SIGINT);
	sigaddset(ret_ending, SIGHUP);
	sigprocmask(SIG_BLOCK, ret_ending, NULL);
}

static int serve(struct fs *fs)
{
	sigset_t ending;
	int err;

	block_ending(&ending);
	if (fuse_set_signal_handlers(fs->se))
		return -EINVAL;
	if (fuse_session_mount(fs->se, fs->opt.mountpoint)) {
		fuse_remove_signal_handlers(fs->se);
		return -EINVAL; /* libfuse has said why */
	}
	mount_state_note(fs);
	err = fuse_daemonize(fs->opt.foreground) ? -EIO : 0;
	if (!err && !fs->opt.foreground)
		log_background();
	if (!err)
		err = creds_reduce(fs);
	if (!err)
		err = events_start(fs);
	if (err)
		log_msg(LOG_ERR, "%s: %s", fs->opt.mountpoint, strerror(-err));
	else
		err = loop(fs, &ending);
	fuse_session_unmount(fs->se);
	fuse_remove_signal_handlers(fs->se);
	return err;
}

/* Files first, then what they hold; files use the session. */
static void finish(struct fs *fs)
{
	size_t n_open;

	stop_threads(fs);
	events_stop(fs->events);
	n_open = handle_table_free(fs->handles);
	if (n_open)
		log_msg(LOG_INFO, "%zu files were still open", n_open);
	inode_table_free(fs->inodes);
	copy_state_free(fs->copy);
	odx_state_free(fs->odx);
	clone_state_free(fs->clone);
	if (fs->se)
		fuse_session_destroy(fs->se);
	rules_free(fs->rules);
	events_free(fs->events);
	stats_free(fs->stats);
	watch_state_free(fs->watch);
	options_done(&fs->opt);
}

int main(int argc, char **argv)
{
	struct fs fs = { 0 };
	int err;

	options_parse(argc, argv, &fs.opt);
	log_init(fs.opt.log_level, fs.opt.foreground);
	err = prepare(&fs);
	if (!err)
		err = open_session(&fs);
	if (!err)
		err = serve(&fs);
	finish(&fs);
	return err ? 1 : 0;
}
