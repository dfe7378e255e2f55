// SPDX-License-Identifier: MIT
/* Tests of fs/gather.c: slots, and what becomes of them with the process. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gather.h"

static int make_file(char path[64])
{
	int fd;

	strcpy(path, "/tmp/offlay-gather.XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	return fd;
}

static void fill(struct gather_slot *slot, int fd, uint64_t offset,
		 unsigned char byte, uint32_t length)
{
	memset(slot->data, byte, length);
	atomic_store(&slot->fd, fd);
	slot->offset = offset;
	atomic_store(&slot->length, length);
}

/* A process with some bytes in hand, which ends in the middle of it. */
static _Noreturn void gather_and_die(const char *path, bool failed)
{
	struct gather_slot *slots[3];
	struct gather_file *file;
	struct gather *gather;
	int fd;

	if (gather_new(GATHER_SIZE, &gather))
		_exit(1);
	if (gather_take(gather, 0, &slots[0]))
		_exit(1);
	/* Opened when the keeper is there already. */
	fd = open(path, O_RDWR);
	for (int i = 1; i < 3; i++)
		if (gather_take(gather, 0, &slots[i]))
			_exit(1);
	fill(slots[0], fd, 0, 'a', 1000);
	fill(slots[2], fd, 1000, 'c', GATHER_SIZE);
	/* What is in the file by now is not written again. */
	fill(slots[1], fd, 500, 'b', 1000);
	atomic_store(&slots[1]->length, 0);
	gather_put(slots[1]);
	file = &gather_files(gather)[GATHER_SLOTS - 1];
	atomic_store(&file->failed, failed);
	atomic_store(&file->fd, fd);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0 && errno != EINVAL)
		_exit(1);
	raise(SIGKILL);
	_exit(1);
}

/* Until the keeper has ended, too; returns the file, for reading. */
static int die_with_a_file(char path[64], bool failed)
{
	int fd = make_file(path), status;
	pid_t pid;

	/* The keeper, whose parent has gone, is ours to wait for. */
	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	close(fd);
	pid = fork();
	if (pid == 0)
		gather_and_die(path, failed);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status), "ended with %d", WEXITSTATUS(status));
	/* It has no lease any more when it ends. */
	cr_assert_gt(waitpid(-1, &status, __WALL), 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	cr_assert_geq(fd, 0, "%s", strerror(errno));
	return fd;
}

Test(gather, is_written_after_the_end, .timeout = 60)
{
	static unsigned char now[1000 + GATHER_SIZE], want[sizeof(now)];
	char path[64];
	int fd = die_with_a_file(path, false);

	memset(want, 'a', 1000);
	memset(want + 1000, 'c', GATHER_SIZE);
	cr_assert_eq(lseek(fd, 0, SEEK_END), sizeof(now));
	cr_assert_eq(pread(fd, now, sizeof(now), 0), sizeof(now));
	cr_expect_eq(memcmp(now, want, sizeof(now)), 0);
	close(fd);
	unlink(path);
}

/* What was lost before leaves a shorter file, and no hole. */
Test(gather, writes_nothing_behind_a_failure, .timeout = 60)
{
	char path[64];
	int fd = die_with_a_file(path, true);

	cr_expect_eq(lseek(fd, 0, SEEK_END), 0);
	close(fd);
	unlink(path);
}

Test(gather, has_so_many_slots)
{
	struct gather_slot *slots[GATHER_SLOTS], *other;
	struct gather *gather;

	cr_assert_eq(gather_new(GATHER_SIZE, &gather), 0);
	for (unsigned int i = 0; i < GATHER_SLOTS; i++) {
		cr_assert_eq(gather_take(gather, 0, &slots[i]), 0);
		for (unsigned int k = 0; k < i; k++)
			cr_assert_neq(slots[i], slots[k]);
	}
	cr_expect_eq(gather_take(gather, 0, &other), -EAGAIN);
	gather_put(slots[7]);
	cr_assert_eq(gather_take(gather, 0, &other), 0);
	cr_expect_eq(other, slots[7]);
	gather_free(gather);
	/* Nobody is left behind. */
	cr_expect_eq(waitpid(-1, NULL, __WALL | WNOHANG), -1);
}

static pid_t find_child(void)
{
	char path[64];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		 (int)getpid());
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	return pid;
}

Test(gather, ends_with_its_keeper)
{
	struct gather_slot *slot;
	struct gather *gather;
	siginfo_t info;
	pid_t keeper;

	cr_assert_eq(gather_new(GATHER_SIZE, &gather), 0);
	cr_assert_eq(gather_take(gather, 0, &slot), 0);
	gather_put(slot);
	keeper = find_child();
	if (!keeper)
		cr_skip("the kernel does not list children");
	cr_assert_eq(kill(keeper, SIGKILL), 0);
	cr_assert_eq(waitid(P_PID, (id_t)keeper, &info,
			    WEXITED | WNOWAIT | __WALL),
		     0);
	cr_expect_eq(gather_take(gather, 0, &slot), -ECHILD);
	cr_expect_eq(gather_take(gather, 0, &slot), -EOPNOTSUPP);
	gather_free(gather);
}
