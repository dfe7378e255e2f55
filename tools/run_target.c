// SPDX-License-Identifier: MIT
/* The program that asks, from outside: its descriptors and its memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "run.h"

/* Linux 6.9: a thread by its own id, which may have its own descriptors. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#define KCMP_FILES 2

static int process_of(pid_t tid, pid_t *ret_pid)
{
	char name[64], line[128];
	FILE *file;
	int pid = 0;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)tid);
	file = fopen(name, "re");
	if (!file)
		return -ESRCH;
	while (!pid && fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %d", &pid) != 1)
			pid = 0;
	fclose(file);
	*ret_pid = pid;
	return pid ? 0 : -ESRCH;
}

/* Without PIDFD_THREAD: good for threads that share the process's files. */
static int open_process(pid_t tid)
{
	pid_t pid;
	int fd;

	if (process_of(tid, &pid))
		return -ESRCH;
	if (pid != tid && syscall(SYS_kcmp, tid, pid, KCMP_FILES, 0, 0))
		return -EOPNOTSUPP;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

int run_target_open(const struct run_supervisor *supervisor, uint64_t id,
		    pid_t tid, struct run_target *ret_target)
{
	struct run_target target = { .supervisor = supervisor,
				     .id = id,
				     .tid = tid };

	target.pidfd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
	if (target.pidfd < 0 && errno == EINVAL)
		target.pidfd = open_process(tid);
	if (target.pidfd < 0)
		return -ESRCH;
	*ret_target = target;
	return 0;
}

void run_target_close(struct run_target *target)
{
	close(target->pidfd);
}

bool run_target_waits(const struct run_target *target)
{
	return ioctl(target->supervisor->listener, SECCOMP_IOCTL_NOTIF_ID_VALID,
		     &target->id) == 0;
}

int run_target_fetch_fd(const struct run_target *target, int fd, int *ret_fd)
{
	int copy = (int)syscall(SYS_pidfd_getfd, target->pidfd, fd, 0);

	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

int run_target_fd(const struct run_target *target, int fd, int *ret_fd)
{
	int copy = -1, err;

	err = run_target_fetch_fd(target, fd, &copy);
	if (err)
		return err;
	err = run_target_waits(target) ? 0 : -ESRCH;
	if (err)
		close(copy);
	else
		*ret_fd = copy;
	return err;
}

int run_target_read(const struct run_target *target, uint64_t address,
		    void *buf, size_t size)
{
	struct iovec here = { buf, size };
	struct iovec there = { (void *)(uintptr_t)address, size };
	ssize_t n;

	n = process_vm_readv(target->tid, &here, 1, &there, 1, 0);
	if (n != (ssize_t)size)
		return -EFAULT;
	return run_target_waits(target) ? 0 : -ESRCH;
}

/*
 * Unlike /proc/PID/mem, this keeps to the protection of pages, as the kernel
 * would.  Between the question and the write the id would have to be given to
 * another process, and the kernel gives all others first.
 */
int run_target_write(const struct run_target *target, uint64_t address,
		     const void *buf, size_t size)
{
	struct iovec here = { (void *)(uintptr_t)buf, size };
	struct iovec there = { (void *)(uintptr_t)address, size };

	if (!run_target_waits(target))
		return -ESRCH;
	if (process_vm_writev(target->tid, &here, 1, &there, 1, 0) !=
	    (ssize_t)size)
		return -EFAULT;
	return 0;
}

uint64_t run_target_size_limit(const struct run_target *target)
{
	struct rlimit limit;

	if (prlimit(target->tid, RLIMIT_FSIZE, NULL, &limit) ||
	    limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

void run_target_signal(const struct run_target *target, int signal)
{
	if (run_target_waits(target))
		syscall(SYS_pidfd_send_signal, target->pidfd, signal, NULL, 0);
}
