/* SPDX-License-Identifier: MIT */
/* Parity with the backing: mapped files, alone and beside read and write. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "parity.h"

#define PAGE 4096

static char *map_file(struct parity *p, int fd, size_t size, int prot,
		      int flags)
{
	char *map = mmap(NULL, size, prot, flags, fd, 0);

	note(p, "mmap prot %d flags %d: %s", prot, flags,
	     map == MAP_FAILED ? errno_name(errno) : "mapped");
	return map == MAP_FAILED ? NULL : map;
}

static void shared(struct parity *p)
{
	char buf[8] = "";
	char *map;
	int fd;

	make_data(p, "f", 3 * PAGE);
	fd = OPEN(p, open("f", O_RDWR));
	map = map_file(p, fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	memcpy(map + 100, "stored", 6);
	CALL(p, pread(fd, buf, 6, 100));
	note(p, "read %s", buf);
	CALL(p, pwrite(fd, "write", 5, 2 * PAGE));
	note(p, "map shows %.5s", map + 2 * PAGE);
	CALL(p, msync(map, 3 * PAGE, MS_SYNC));
	note_content(p, "f");
	memcpy(map + PAGE, "unsynced", 8);
	CALL(p, munmap(map, 3 * PAGE));
	CALL(p, close(fd));
	note_content(p, "f");
}

static void private(struct parity *p)
{
	char *map;
	int fd;

	make_data(p, "f", 3 * PAGE);
	fd = OPEN(p, open("f", O_RDONLY));
	map = map_file(p, fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	if (!map)
		return;
	memcpy(map, "private", 7);
	note_content(p, "f");
	CALL(p, msync(map, 3 * PAGE, MS_SYNC));
	CALL(p, close(fd));
	fd = OPEN(p, open("f", O_WRONLY));
	CALL(p, pwrite(fd, "public", 6, PAGE));
	note(p, "map shows %.7s and %.6s", map, map + PAGE);
}

static void refused(struct parity *p)
{
	int fd;

	make_data(p, "f", PAGE);
	fd = OPEN(p, open("f", O_RDONLY));
	map_file(p, fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	map_file(p, fd, PAGE, PROT_READ, MAP_SHARED);
	map_file(p, fd, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	close(fd);
	fd = OPEN(p, open("f", O_WRONLY));
	map_file(p, fd, PAGE, PROT_WRITE, MAP_SHARED);
	map_file(p, fd, PAGE, PROT_READ, MAP_PRIVATE);
	close(fd);
	fd = OPEN(p, open("f", O_RDWR | O_APPEND));
	map_file(p, fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	map_file(p, fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE);
	map_file(p, fd, PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED_VALIDATE | MAP_SYNC);
	close(fd);
	fd = OPEN(p, open(".", O_RDONLY));
	map_file(p, fd, PAGE, PROT_READ, MAP_SHARED);
	close(fd);
	CALL(p, mkfifo("fifo", 0600));
	fd = OPEN(p, open("fifo", O_RDWR));
	map_file(p, fd, PAGE, PROT_READ, MAP_SHARED);
}

static sigjmp_buf on_bus_error;

static void bus_error(int signal_number)
{
	siglongjmp(on_bus_error, signal_number);
}

static void touch(struct parity *p, const char *what, volatile char *at)
{
	int signal_number = sigsetjmp(on_bus_error, 1);

	if (signal_number)
		note(p, "%s: signal %d", what, signal_number);
	else
		note(p, "%s: read %d", what, *at);
}

static void beyond_the_end(struct parity *p)
{
	char *map;
	int fd;

	signal(SIGBUS, bus_error);
	make_data(p, "f", 100);
	fd = OPEN(p, open("f", O_RDWR));
	map = map_file(p, fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	touch(p, "tail of the last page", map + 200);
	touch(p, "page after it", map + PAGE);
	CALL(p, ftruncate(fd, 3 * PAGE));
	touch(p, "page after growing", map + PAGE);
	map[2 * PAGE] = 'x';
	CALL(p, ftruncate(fd, PAGE));
	touch(p, "page after shrinking", map + 2 * PAGE);
	CALL(p, ftruncate(fd, 3 * PAGE));
	touch(p, "page after growing again", map + 2 * PAGE);
	note_content(p, "f");
}

/* Bytes stored past the end do not show when the file grows. */
static void stored_past_the_end(struct parity *p)
{
	char *map;
	int fd;

	make_data(p, "f", 100);
	fd = OPEN(p, open("f", O_RDWR));
	map = map_file(p, fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	map[200] = 'y';
	CALL(p, ftruncate(fd, 300));
	/*
	 * In the page cache of a mount without passthrough they do:
	 * fuse_do_setattr() drops pages past the new size and writes the
	 * dirty last page up to that size, without zeroing it from the old.
	 */
	if (p->mode == MODE_NO_PASSTHROUGH || p->mode == MODE_USER)
		DIFFERS(p, "fuse_do_setattr() zeroes nothing", 'y', map[200]);
	else
		touch(p, "byte past the end", map + 200);
}

static int store_and_wait(struct parity *p, void *arg)
{
	int fd = open("f", O_RDWR);
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)p;
	(void)arg;
	if (map == MAP_FAILED)
		return 1;
	map[1] = 'c';
	for (int i = 0; i < 5000; i++) {
		if (((volatile char *)map)[2] == 'p')
			return 0;
		process_sleep_ms(1);
	}
	return 2;
}

static void two_processes(struct parity *p)
{
	volatile char *map;
	pid_t pid;
	int fd;

	make_data(p, "f", PAGE);
	fd = OPEN(p, open("f", O_RDWR));
	map = map_file(p, fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	pid = spawn(store_and_wait, p, NULL);
	for (int i = 0; map[1] != 'c' && i < 5000; i++)
		process_sleep_ms(1);
	note(p, "child stored %c", map[1]);
	map[2] = 'p';
	CALL(p, join(pid));
	note_content(p, "f");
}

static int write_and_wait(struct parity *p, void *arg)
{
	int fd = open("f", O_RDWR);
	char c = 0;

	(void)p;
	(void)arg;
	if (pwrite(fd, "w", 1, PAGE) != 1)
		return 1;
	for (int i = 0; i < 5000 && c != 'm'; i++) {
		if (pread(fd, &c, 1, 5) != 1)
			return 2;
		process_sleep_ms(1);
	}
	return c == 'm' ? 0 : 3;
}

static void against_read_and_write(struct parity *p)
{
	volatile char *map;
	pid_t pid;
	int fd;

	make_data(p, "f", 2 * PAGE);
	fd = OPEN(p, open("f", O_RDWR));
	map = map_file(p, fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	touch(p, "before", (char *)map + PAGE);
	pid = spawn(write_and_wait, p, NULL);
	for (int i = 0; map[PAGE] != 'w' && i < 5000; i++)
		process_sleep_ms(1);
	note(p, "child wrote %c", map[PAGE]);
	map[5] = 'm';
	CALL(p, join(pid));
	note_content(p, "f");
}

static void unlinked(struct parity *p)
{
	char *map;
	int fd;

	make_data(p, "f", 2 * PAGE);
	fd = OPEN(p, open("f", O_RDWR));
	map = map_file(p, fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	CALL(p, unlink("f"));
	map[0] = 'x';
	CALL(p, msync(map, 2 * PAGE, MS_SYNC));
	CALL(p, close(fd));
	map[PAGE] = 'y';
	note(p, "%c%c", map[0], map[PAGE]);
	CALL(p, munmap(map, 2 * PAGE));
}

static void other_handles(struct parity *p)
{
	char buf[8] = "";
	int a, b, c;
	char *map;

	make_data(p, "f", 2 * PAGE);
	a = OPEN(p, open("f", O_RDWR));
	b = OPEN(p, open("f", O_RDWR | O_APPEND));
	c = OPEN(p, open("f", O_RDONLY));
	map = map_file(p, a, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	memcpy(map, "mapped", 6);
	CALL(p, pread(b, buf, 6, 0));
	note(p, "%s", buf);
	CALL(p, write(b, "appended", 8));
	CALL(p, pread(c, buf, 8, 2 * PAGE));
	note(p, "%.8s", buf);
	memcpy(map, "again!", 6);
	CALL(p, pread(c, buf, 6, 0));
	note(p, "%.6s", buf);
	CALL(p, close(a));
	CALL(p, truncate("f", 100));
	CALL(p, pread(c, buf, 8, 96));
	note_content(p, "f");
}

static void copied_while_mapped(struct parity *p)
{
	int in, out;
	char *map;
	off_t a = 0, b = 0;

	make_data(p, "f", 4 * PAGE);
	in = OPEN(p, open("f", O_RDWR));
	out = OPEN(p, open("g", O_RDWR | O_CREAT, 0644));
	map = map_file(p, in, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return;
	memset(map, 'm', PAGE);
	CALL(p, copy_file_range(in, &a, out, &b, 4 * PAGE, 0));
	note_content(p, "g");
	/* The destination's mapping must show what was copied. */
	CALL(p, munmap(map, 4 * PAGE));
	map = map_file(p, out, 4 * PAGE, PROT_READ, MAP_SHARED);
	CALL(p, pwrite(in, "new source", 10, 2 * PAGE));
	a = b = 2 * PAGE;
	CALL(p, copy_file_range(in, &a, out, &b, PAGE, 0));
	note(p, "map shows %.10s", map + 2 * PAGE);
	note_content(p, "g");
}

static const struct parity_row rows[] = {
	{ "shared", shared, 0 },
	{ "private", private, 0 },
	{ "refused", refused, 0 },
	{ "beyond the end", beyond_the_end, 0 },
	{ "stored past the end", stored_past_the_end, 0 },
	{ "two processes", two_processes, 0 },
	{ "against read and write", against_read_and_write, 0 },
	{ "unlinked file", unlinked, 0 },
	{ "other handles", other_handles, 0 },
	{ "copied while mapped", copied_while_mapped, 0 },
};

PARITY_TOPIC(mmap, rows);
