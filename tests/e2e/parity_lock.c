/* SPDX-License-Identifier: MIT */
/* Parity with the backing: flock, fcntl and open file description locks. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
#include "parity.h"

/* Memory that a row shares with its children, to take turns. */
struct turns {
	volatile int step;
	volatile int result;
};

static struct turns *make_turns(void)
{
	struct turns *turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	turns->step = 0;
	return turns;
}

static void reach(struct turns *turns, int step)
{
	turns->step = step;
}

static void await(const struct turns *turns, int step)
{
	for (int i = 0; turns->step < step && i < 5000; i++)
		process_sleep_ms(1);
}

static int lock_range(int fd, int cmd, short type, off_t start, off_t length)
{
	struct flock lock = { .l_type = type,
			      .l_whence = SEEK_SET,
			      .l_start = start,
			      .l_len = length };

	return fcntl(fd, cmd, &lock);
}

/* Who would be in the way, as F_GETLK and F_OFD_GETLK tell it. */
static void note_conflict(struct parity *p, int fd, int cmd, short type,
			  off_t start, off_t length, pid_t child)
{
	struct flock lock = { .l_type = type,
			      .l_whence = SEEK_SET,
			      .l_start = start,
			      .l_len = length };

	if (fcntl(fd, cmd, &lock) != 0)
		note(p, "F_GETLK = %s", errno_name(errno));
	else if (lock.l_type == F_UNLCK)
		note(p, "F_GETLK: free");
	else
		note(p, "F_GETLK: type %d at %lld of %lld, %s", lock.l_type,
		     (long long)lock.l_start, (long long)lock.l_len,
		     lock.l_pid == child ? "the child's"
		     : lock.l_pid == -1	 ? "of a description"
					 : "of somebody");
}

static int hold_flock(struct parity *p, void *arg)
{
	struct turns *turns = arg;
	int fd = open("f", O_RDWR);

	(void)p;
	if (flock(fd, LOCK_EX) != 0)
		return 1;
	reach(turns, 1);
	await(turns, 2);
	flock(fd, LOCK_SH);
	reach(turns, 3);
	await(turns, 4);
	process_sleep_ms(100);
	close(fd);
	return 0;
}

static void whole_file(struct parity *p)
{
	struct turns *turns = make_turns();
	long long start;
	int fd, twin;
	pid_t pid;

	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_RDONLY));
	pid = spawn(hold_flock, p, turns);
	await(turns, 1);
	CALL(p, flock(fd, LOCK_SH | LOCK_NB));
	CALL(p, flock(fd, LOCK_EX | LOCK_NB));
	reach(turns, 2);
	await(turns, 3);
	CALL(p, flock(fd, LOCK_SH | LOCK_NB));
	CALL(p, flock(fd, LOCK_EX | LOCK_NB));
	reach(turns, 4);
	start = process_now_ms();
	CALL(p, flock(fd, LOCK_EX));
	MUST(p, process_now_ms() - start >= 50);
	CALL(p, join(pid));
	twin = OPEN(p, open("f", O_RDWR));
	CALL(p, flock(twin, LOCK_SH | LOCK_NB));
	CALL(p, flock(dup(fd), LOCK_UN));
	CALL(p, flock(twin, LOCK_EX | LOCK_NB));
	CALL(p, flock(fd, 77));
}

static int hold_range(struct parity *p, void *arg)
{
	struct turns *turns = arg;
	int fd = open("f", O_RDWR);

	(void)p;
	if (lock_range(fd, F_SETLK, F_WRLCK, 100, 50) != 0)
		return 1;
	reach(turns, 1);
	await(turns, 2);
	process_sleep_ms(100);
	return 0;
}

static void ranges(struct parity *p)
{
	struct turns *turns = make_turns();
	long long start;
	pid_t pid;
	int fd;

	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_RDWR));
	pid = spawn(hold_range, p, turns);
	await(turns, 1);
	note_conflict(p, fd, F_GETLK, F_RDLCK, 0, 0, pid);
	note_conflict(p, fd, F_GETLK, F_WRLCK, 0, 100, pid);
	note_conflict(p, fd, F_GETLK, F_WRLCK, 120, 1, pid);
	CALL(p, lock_range(fd, F_SETLK, F_RDLCK, 149, 1));
	CALL(p, lock_range(fd, F_SETLK, F_RDLCK, 150, 1));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 0, 100));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 0, 101));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 0, 0));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, -1, 5));
	CALL(p, lock_range(open("f", O_RDONLY), F_SETLK, F_WRLCK, 0, 5));
	CALL(p, lock_range(open("f", O_WRONLY), F_SETLK, F_RDLCK, 0, 5));
	reach(turns, 2);
	start = process_now_ms();
	CALL(p, lock_range(fd, F_SETLKW, F_WRLCK, 100, 50));
	MUST(p, process_now_ms() - start >= 50);
	CALL(p, join(pid));
	CALL(p, lock_range(fd, F_SETLK, F_UNLCK, 110, 5));
	note_conflict(p, fd, F_GETLK, F_WRLCK, 0, 0, pid);
}

static int try_range(struct parity *p, void *arg)
{
	int fd = *(int *)arg;

	note_conflict(p, fd, F_GETLK, F_WRLCK, 0, 0, 0);
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
	return 0;
}

/* Any descriptor of the file that a process closes drops all its locks. */
static void dropped_by_close(struct parity *p)
{
	int fd, other;

	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_RDWR));
	other = OPEN(p, open("f", O_RDONLY));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
	CALL(p, join(spawn(try_range, p, &fd)));
	CALL(p, close(other));
	CALL(p, join(spawn(try_range, p, &fd)));
}

static int hold_two(struct parity *p, void *arg)
{
	struct turns *turns = arg;
	int fd = open("f", O_RDWR);

	(void)p;
	lock_range(fd, F_SETLK, F_WRLCK, 10, 10);
	reach(turns, 1);
	await(turns, 2);
	/* The parent holds it and will ask for ours. */
	turns->result = lock_range(fd, F_SETLKW, F_WRLCK, 0, 10) ? errno : 0;
	return 0;
}

static void deadlock(struct parity *p)
{
	struct turns *turns = make_turns();
	int fd, own;
	pid_t pid;

	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
	pid = spawn(hold_two, p, turns);
	await(turns, 1);
	reach(turns, 2);
	process_sleep_ms(100);
	own = lock_range(fd, F_SETLKW, F_WRLCK, 10, 10) ? errno : 0;
	CALL(p, lock_range(fd, F_SETLK, F_UNLCK, 0, 0));
	CALL(p, join(pid));
	/* Whoever came second is the one that is told. */
	MUST(p, (own == EDEADLK) != (turns->result == EDEADLK));
	MUST(p, own == 0 || turns->result == 0);
}

static void descriptions(struct parity *p)
{
	int a, b;

	make_file(p, "f", "x");
	a = OPEN(p, open("f", O_RDWR));
	b = OPEN(p, open("f", O_RDWR));
	CALL(p, lock_range(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CALL(p, lock_range(b, F_OFD_SETLK, F_WRLCK, 5, 10));
	CALL(p, lock_range(b, F_OFD_SETLK, F_RDLCK, 10, 10));
	note_conflict(p, b, F_OFD_GETLK, F_WRLCK, 0, 0, 0);
	/* Classic locks and these exclude each other, in one process, too. */
	CALL(p, lock_range(a, F_SETLK, F_WRLCK, 0, 5));
	note_conflict(p, a, F_GETLK, F_WRLCK, 0, 5, 0);
	CALL(p, join(spawn(try_range, p, &a)));
	CALL(p, close(dup(a)));
	CALL(p, lock_range(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	CALL(p, close(a));
	CALL(p, lock_range(b, F_OFD_SETLK, F_WRLCK, 5, 1));
}

static int hold_description(struct parity *p, void *arg)
{
	struct turns *turns = arg;
	int fd = open("f", O_RDWR);

	(void)p;
	if (lock_range(fd, F_OFD_SETLK, F_WRLCK, 0, 0) != 0)
		return 1;
	reach(turns, 1);
	await(turns, 2);
	process_sleep_ms(100);
	return 0;
}

static void description_waits(struct parity *p)
{
	struct turns *turns = make_turns();
	long long start;
	pid_t pid;
	int fd;

	make_file(p, "f", "x");
	fd = OPEN(p, open("f", O_RDWR));
	pid = spawn(hold_description, p, turns);
	await(turns, 1);
	CALL(p, lock_range(fd, F_OFD_SETLK, F_WRLCK, 0, 1));
	reach(turns, 2);
	start = process_now_ms();
	CALL(p, lock_range(fd, F_OFD_SETLKW, F_WRLCK, 0, 1));
	MUST(p, process_now_ms() - start >= 50);
	CALL(p, join(pid));
}

static int wait_forever(struct parity *p, void *arg)
{
	int fd = open("f", O_RDWR);

	(void)p;
	if (strcmp(arg, "flock") == 0)
		flock(fd, LOCK_EX);
	else
		lock_range(fd, F_SETLKW, F_WRLCK, 0, 0);
	return 1;
}

/* A waiter that is killed goes at once, and leaves nothing behind. */
static void killed_waiter(struct parity *p)
{
	static char *const kinds[] = { "flock", "fcntl" };
	int fd, third;

	make_file(p, "f", "x");
	for (int i = 0; i < 2; i++) {
		pid_t pid;

		fd = OPEN(p, open("f", O_RDWR));
		CALL(p, i ? lock_range(fd, F_SETLK, F_WRLCK, 0, 0)
			  : flock(fd, LOCK_EX));
		pid = spawn(wait_forever, p, kinds[i]);
		process_sleep_ms(100);
		CALL(p, kill(pid, SIGKILL));
		CALL(p, join(pid));
		close(fd);
		third = OPEN(p, open("f", O_RDWR));
		CALL(p, flock(third, LOCK_EX | LOCK_NB));
		CALL(p, lock_range(third, F_SETLK, F_WRLCK, 0, 0));
		close(third);
	}
}

static void on_alarm(int signal_number)
{
	(void)signal_number;
}

static void interrupted_waiter(struct parity *p)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct turns *turns = make_turns();
	pid_t pid;
	int fd;

	make_file(p, "f", "x");
	sigaction(SIGALRM, &action, NULL);
	pid = spawn(hold_range, p, turns);
	await(turns, 1);
	fd = OPEN(p, open("f", O_RDWR));
	ualarm(100000, 0);
	CALL(p, lock_range(fd, F_SETLKW, F_WRLCK, 100, 50));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 100, 50));
	reach(turns, 2);
	CALL(p, join(pid));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 100, 50));
}

static void killed_holder(struct parity *p)
{
	struct turns *turns = make_turns();
	pid_t pid;
	int fd;

	make_file(p, "f", "x");
	pid = spawn(hold_range, p, turns);
	await(turns, 1);
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 100, 50));
	CALL(p, kill(pid, SIGKILL));
	CALL(p, join(pid));
	CALL(p, lock_range(fd, F_SETLK, F_WRLCK, 100, 50));
}

static const struct parity_row rows[] = {
	{ "flock", whole_file, 0 },
	{ "fcntl ranges", ranges, 0 },
	{ "dropped by close", dropped_by_close, 0 },
	{ "EDEADLK", deadlock, 0 },
	{ "open file descriptions", descriptions, 0 },
	{ "open file description waits", description_waits, 0 },
	{ "killed waiter", killed_waiter, 0 },
	{ "interrupted waiter", interrupted_waiter, 0 },
	{ "killed holder", killed_holder, 0 },
};

PARITY_TOPIC(lock, rows);
