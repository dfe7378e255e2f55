// SPDX-License-Identifier: MIT
/* Memory for written bytes, and the keeper that outlives the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gather.h"
#include "thread.h"

#define KEEPER "offlay-keeper"

/* The slots themselves, before their data. */
#define HEAD_SIZE 4096u

struct gather {
	pthread_mutex_t lock;	   /* guards all below, and taking a slot */
	struct gather_slot *slots; /* in shared memory */
	pid_t keeper; /* 0: not needed yet; -1: there can be none */
	int daemon;   /* a pidfd of this process, for the keeper; or -1 */
};

_Static_assert(GATHER_SLOTS * sizeof(struct gather_slot) <= HEAD_SIZE,
	       "slots fit before their data");

static size_t map_size(void)
{
	return HEAD_SIZE + (size_t)GATHER_SLOTS * GATHER_SIZE;
}

int gather_new(struct gather **ret_gather)
{
	struct gather *gather = calloc(1, sizeof(*gather));
	unsigned char *map;

	if (!gather)
		return -ENOMEM;
	map = mmap(NULL, map_size(), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		free(gather);
		return -ENOMEM;
	}
	gather->slots = (struct gather_slot *)(void *)map;
	for (unsigned int i = 0; i < GATHER_SLOTS; i++) {
		gather->slots[i].data =
			map + HEAD_SIZE + (size_t)i * GATHER_SIZE;
		atomic_init(&gather->slots[i].fd, -1);
	}
	pthread_mutex_init(&gather->lock, NULL);
	gather->daemon = -1;
	*ret_gather = gather;
	return 0;
}

void gather_free(struct gather *gather)
{
	if (!gather)
		return;
	if (gather->keeper > 0) {
		kill(gather->keeper, SIGKILL);
		waitpid(gather->keeper, NULL, __WALL);
	}
	if (gather->daemon >= 0)
		close(gather->daemon);
	munmap(gather->slots, map_size());
	pthread_mutex_destroy(&gather->lock);
	free(gather);
}

/* ------------------------------------------------------------ the keeper */

/*
 * The lease has to be given back: the file of a descriptor that was registered
 * for passthrough stays open until the mount has gone.
 */
static void end_slot(const struct gather_slot *slot)
{
	uint32_t length = atomic_load(&slot->length), done = 0;
	int fd = atomic_load(&slot->fd);
	ssize_t n = 1;

	if (fd < 0)
		return;
	while (done < length && n > 0) {
		n = pwrite(fd, slot->data + done, length - done,
			   (off_t)(slot->offset + done));
		if (n > 0)
			done += (uint32_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	fcntl(fd, F_SETLEASE, F_UNLCK);
}

/* Nobody who looks for the daemon is to find two. */
static void take_name(void)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	char *args = program_invocation_name, buf[4096];
	ssize_t n;

	prctl(PR_SET_NAME, KEEPER);
	if (fd < 0)
		return;
	n = read(fd, buf, sizeof(buf));
	close(fd);
	if (n > (ssize_t)sizeof(KEEPER)) {
		memset(args, 0, (size_t)n);
		memcpy(args, KEEPER, sizeof(KEEPER));
	}
}

/* Only what is safe after fork(2) in a process of many threads. */
static _Noreturn void keep(const struct gather *gather,
			   const cpu_set_t *allowed)
{
	struct pollfd ended = { .fd = gather->daemon, .events = POLLIN };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setsid();
	take_name();
	if (allowed)
		sched_setaffinity(0, sizeof(*allowed), allowed);
	while (poll(&ended, 1, -1) < 0 && errno == EINTR)
		;
	for (unsigned int i = 0; i < GATHER_SLOTS; i++)
		end_slot(&gather->slots[i]);
	_exit(0);
}

/*
 * Its own memory but for what is shared, so that nothing which ends a process
 * for its memory ends both; and one table of descriptors, so that what the
 * daemon opens later is open there, too, until the keeper has ended.
 */
static pid_t start_keeper(struct gather *gather)
{
	struct clone_args args = { .flags = CLONE_FILES };
	cpu_set_t allowed;
	bool known = thread_allowed(&allowed);
	pid_t pid;

	gather->daemon = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (gather->daemon < 0)
		return -1;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		keep(gather, known ? &allowed : NULL);
	return pid;
}

/* With the lock: is somebody there to write what this process cannot? */
static int need_keeper(struct gather *gather)
{
	if (gather->keeper < 0)
		return -EOPNOTSUPP;
	if (!gather->keeper) {
		gather->keeper = start_keeper(gather);
		return gather->keeper < 0 ? -errno : 0;
	}
	if (waitpid(gather->keeper, NULL, WNOHANG | __WALL) == 0)
		return 0;
	gather->keeper = -1;
	return -ECHILD;
}

/* -------------------------------------------------------------- the slots */

int gather_take(struct gather *gather, int fd, struct gather_slot **ret_slot)
{
	unsigned int i = 0;
	int err = -EAGAIN;

	pthread_mutex_lock(&gather->lock);
	while (i < GATHER_SLOTS && atomic_load(&gather->slots[i].fd) >= 0)
		i++;
	if (i < GATHER_SLOTS)
		err = need_keeper(gather);
	if (!err) {
		atomic_store(&gather->slots[i].fd, fd);
		*ret_slot = &gather->slots[i];
	}
	pthread_mutex_unlock(&gather->lock);
	return err;
}

void gather_put(struct gather_slot *slot)
{
	atomic_store(&slot->fd, -1);
}
