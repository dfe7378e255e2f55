// SPDX-License-Identifier: MIT
/* Mounts in a namespace of their own: what the kernel offers, what works. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "doctor.h"

#define MOUNT_MS  5000 /* for the daemon to mount */
#define ANSWER_MS 1000 /* for the kernel's first request */
#define READ_MS	  700  /* for a read that needs no daemon */
/* Where fusermount3 looks for what a user has mounted. */
#define MTAB "/etc/mtab"

#define TICK_MS	 10
#define CHILD_MS 10000 /* for all of it */

static void sleep_tick(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = TICK_MS * 1000000L }, NULL);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* In a user namespace of its own, anybody may mount. */
static int become_root_inside(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64];
	int err;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -errno;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	err = write_file("/proc/self/uid_map", map);
	if (err)
		return err;
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", map);
}

static int hide_mounts(void)
{
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ? -errno : 0;
}

/*
 * The first request on a mount is the kernel's word on what it can.  Nobody
 * answers it: the mount goes away with the descriptor.
 */
static int ask_kernel(const char *point, struct doctor_mounts *mounts)
{
	_Alignas(struct fuse_in_header) char buf[FUSE_MIN_READ_BUFFER];
	const struct fuse_init_in *init =
		(const void *)(buf + sizeof(struct fuse_in_header));
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	char options[128];
	ssize_t size = -1;
	int err = 0;

	if (fd < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fd,
		 (unsigned int)geteuid(), (unsigned int)getegid());
	if (mount("offlay-doctor", point, "fuse", MS_NOSUID | MS_NODEV,
		  options)) {
		err = -errno;
		close(fd);
		return err;
	}
	if (poll(&pollfd, 1, ANSWER_MS) == 1)
		size = read(fd, buf, sizeof(buf));
	umount2(point, MNT_DETACH);
	close(fd);
	if (size < (ssize_t)(sizeof(struct fuse_in_header) + sizeof(*init)))
		return -EPROTO;
	mounts->fuse_minor = init->minor;
	mounts->fuse_flags = init->flags | (uint64_t)init->flags2 << 32;
	return 0;
}

/* Reads in a process of its own, since the read may never come back. */
static bool does_read(int fd)
{
	pid_t pid = fork();
	int status, waited;
	char byte;

	if (pid < 0)
		return false;
	if (pid == 0)
		_exit(pread(fd, &byte, 1, 0) == 1 ? 0 : 1);
	for (waited = 0; waited < READ_MS; waited += TICK_MS) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) && !WEXITSTATUS(status);
		sleep_tick();
	}
	kill(pid, SIGKILL);
	return false;
}

/* With the daemon stopped, only passthrough can read. */
static bool try_passthrough(pid_t daemon_pid, const char *point)
{
	char path[4200];
	bool is_read = false;
	int fd, status;

	snprintf(path, sizeof(path), "%s/probe", point);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (!kill(daemon_pid, SIGSTOP) &&
	    waitpid(daemon_pid, &status, WUNTRACED) == daemon_pid &&
	    WIFSTOPPED(status))
		is_read = does_read(fd);
	kill(daemon_pid, SIGCONT);
	close(fd);
	return is_read;
}

static int try_daemon(const char *daemon, const char *source, const char *point,
		      struct doctor_mounts *mounts)
{
	struct stat before;
	int fds[2], err;
	ssize_t size;
	pid_t pid;

	if (!*daemon)
		return -ENOENT;
	if (geteuid() != 0 && access(MTAB, R_OK) != 0) {
		snprintf(mounts->daemon_said, sizeof(mounts->daemon_said),
			 "without " MTAB " fusermount3 cannot unmount: "
			 "ln -s /proc/self/mounts " MTAB);
		return -ENOENT;
	}
	if (stat(point, &before) || pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	pid = daemon_start(daemon, "profile=transparent", source, point,
			   fds[1]);
	err = pid < 0 ? (int)pid
		      : daemon_wait_mounted(pid, point, before.st_dev,
					    MOUNT_MS);
	if (!err)
		mounts->has_passthrough = try_passthrough(pid, point);
	if (pid > 0 && err != -ECHILD)
		daemon_stop(pid, point);
	size = read(fds[0], mounts->daemon_said,
		    sizeof(mounts->daemon_said) - 1);
	mounts->daemon_said[size > 0 ? size : 0] = '\0';
	mounts->daemon_said[strcspn(mounts->daemon_said, "\n")] = '\0';
	close(fds[0]);
	close(fds[1]);
	return err;
}

/*
 * Root does all of it unseen.  Everybody else mounts for real, in a directory
 * that is theirs alone: inside a user namespace fusermount3 has no power, and
 * what the daemon may do there says nothing about outside.
 */
static void run_child(const char *daemon, const char *source, const char *point,
		      int result_fd)
{
	struct doctor_mounts mounts = { 0 };
	int err;

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	/* A Ctrl-C is for the parent, which waits for us. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!unshare(CLONE_NEWNS)) {
		err = hide_mounts();
		mounts.init_error = err ? err : ask_kernel(point, &mounts);
		mounts.mount_error =
			err ? err : try_daemon(daemon, source, point, &mounts);
	} else {
		mounts.mount_error = try_daemon(daemon, source, point, &mounts);
		err = become_root_inside();
		if (!err)
			err = hide_mounts();
		mounts.init_error = err ? err : ask_kernel(point, &mounts);
	}
	_exit(write(result_fd, &mounts, sizeof(mounts)) != sizeof(mounts));
}

/**
 * doctor_mount_try() - see what FUSE does here
 * @daemon: path of offlayfs; empty to leave that part out
 * @source: directory to mount; holds a file "probe" that is not empty
 * @point: empty directory
 * @ret_mounts: set on success
 *
 * All mounts are gone when it returns.
 *
 * Return: 0 or -errno.
 */
int doctor_mount_try(const char *daemon, const char *source, const char *point,
		     struct doctor_mounts *ret_mounts)
{
	struct doctor_mounts mounts;
	struct pollfd pollfd;
	ssize_t size = -1;
	int fds[2], waited;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0)
		run_child(daemon, source, point, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -EAGAIN;
	}
	pollfd = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	for (waited = 0; waited < CHILD_MS; waited += 100)
		if (poll(&pollfd, 1, 100) == 1) {
			size = read(fds[0], &mounts, sizeof(mounts));
			break;
		}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fds[0]);
	if (size != sizeof(mounts))
		return -ETIME;
	*ret_mounts = mounts;
	return 0;
}
