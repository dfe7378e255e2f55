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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gather.h"
#include "thread.h"

#define KEEPER "offlay-keeper"

/* For struct shared, before the blocks; of whole pages. */
#define HEAD_SIZE (64u << 10)

/* In shared memory, with all blocks behind it. */
struct shared {
	struct gather_slot slots[GATHER_SLOTS];
	struct gather_file files[GATHER_SLOTS];
};

struct gather {
	pthread_mutex_t lock; /* guards all below, and taking a slot */
	struct shared *shared;
	size_t block;	    /* bytes of one */
	unsigned int spare; /* that nobody has */
	pid_t keeper;	    /* 0: not needed yet; -1: there can be none */
	int daemon;	    /* a pidfd of this process, for the keeper; or -1 */
};

_Static_assert(sizeof(struct shared) <= HEAD_SIZE,
	       "all of it fits before the blocks");

static size_t map_size(const struct gather *gather)
{
	return HEAD_SIZE + (GATHER_SLOTS + GATHER_SPARE) * gather->block;
}

/* Those of the slots come first. */
static unsigned char *block_of(const struct gather *gather, unsigned int i)
{
	return (unsigned char *)gather->shared + HEAD_SIZE + i * gather->block;
}

int gather_new(size_t block, struct gather **ret_gather)
{
	struct gather *gather = calloc(1, sizeof(*gather));
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *map;

	if (!gather)
		return -ENOMEM;
	gather->block = (block + page - 1) & ~(page - 1);
	map = mmap(NULL, map_size(gather), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		free(gather);
		return -ENOMEM;
	}
	gather->shared = map;
	for (unsigned int i = 0; i < GATHER_SLOTS; i++) {
		gather->shared->slots[i].block = block_of(gather, i);
		atomic_init(&gather->shared->slots[i].fd, -1);
		atomic_init(&gather->shared->files[i].fd, -1);
	}
	pthread_mutex_init(&gather->lock, NULL);
	gather->spare = GATHER_SPARE;
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
	munmap(gather->shared, map_size(gather));
	pthread_mutex_destroy(&gather->lock);
	free(gather);
}

struct gather_file *gather_files(struct gather *gather)
{
	return gather->shared->files;
}

void *gather_spare(struct gather *gather)
{
	void *block = NULL;

	pthread_mutex_lock(&gather->lock);
	if (gather->spare)
		block = block_of(gather, GATHER_SLOTS + --gather->spare);
	pthread_mutex_unlock(&gather->lock);
	return block;
}

bool gather_is_ours(const struct gather_file *file, uint64_t most)
{
	int fd = atomic_load(&file->fd);
	struct stat st;

	/* Else it was asked back, or is gone: the kernel does not say which. */
	return fcntl(fd, F_GETLEASE) == F_WRLCK ||
	       (fstat(fd, &st) == 0 &&
		(uint64_t)st.st_size >= atomic_load(&file->size) &&
		(uint64_t)st.st_size <= most);
}

/* ------------------------------------------------------------ the keeper */

static bool write_slot(const struct gather_slot *slot, int fd)
{
	uint32_t length = atomic_load(&slot->length), done = 0;
	ssize_t n = 1;

	while (done < length && n > 0) {
		n = pwrite(fd, slot->data + done, length - done,
			   (off_t)(slot->offset + done));
		if (n > 0)
			done += (uint32_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	return done == length;
}

/* The daemon may have ended while it wrote it. */
static bool end_slot(struct gather_file *file, const struct gather_slot *slot)
{
	uint64_t end = slot->offset + atomic_load(&slot->length);
	bool written = gather_is_ours(file, end) &&
		       write_slot(slot, atomic_load(&file->fd));

	atomic_store(&file->size, end);
	return written;
}

/* What comes first of that is in no file yet, or NULL. */
static struct gather_slot *first_of(struct gather_slot *slots, int fd)
{
	struct gather_slot *first = NULL;

	for (unsigned int i = 0; i < GATHER_SLOTS; i++)
		if (atomic_load(&slots[i].fd) == fd &&
		    atomic_load(&slots[i].length) &&
		    (!first || slots[i].offset < first->offset))
			first = &slots[i];
	return first;
}

/*
 * In order, and nothing behind what cannot be written.  Then the lease is given
 * back: the file of a descriptor that was registered for passthrough stays open
 * until the mount has gone.
 */
static void end_file(struct gather_slot *slots, struct gather_file *file)
{
	int fd = atomic_load(&file->fd);
	struct gather_slot *slot;
	bool written = !atomic_load(&file->failed);

	if (fd < 0)
		return;
	while (written && (slot = first_of(slots, fd))) {
		written = end_slot(file, slot);
		atomic_store(&slot->length, 0);
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
static _Noreturn void keep(struct gather *gather, const cpu_set_t *allowed)
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
		end_file(gather->shared->slots, &gather->shared->files[i]);
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
	while (i < GATHER_SLOTS &&
	       atomic_load(&gather->shared->slots[i].fd) >= 0)
		i++;
	if (i < GATHER_SLOTS)
		err = need_keeper(gather);
	if (!err) {
		atomic_store(&gather->shared->slots[i].fd, fd);
		gather->shared->slots[i].data = gather->shared->slots[i].block;
		*ret_slot = &gather->shared->slots[i];
	}
	pthread_mutex_unlock(&gather->lock);
	return err;
}

void gather_put(struct gather_slot *slot)
{
	atomic_store(&slot->fd, -1);
}

void gather_trim(struct gather *gather)
{
	pthread_mutex_lock(&gather->lock);
	for (unsigned int i = 0; i < GATHER_SLOTS; i++)
		if (atomic_load(&gather->shared->slots[i].fd) < 0)
			madvise(gather->shared->slots[i].block, gather->block,
				MADV_REMOVE);
	pthread_mutex_unlock(&gather->lock);
}
