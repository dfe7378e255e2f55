// SPDX-License-Identifier: MIT
/* Rows of FICLONE and FICLONERANGE: each error that they can have. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "clone_rows.h"

#define TAIL  1234
#define SIZE  (1 * MIB + TAIL)
#define LARGE (1ull << 63)

static int fresh(const char *name, uint64_t size)
{
	row_file(name, size, 99);
	return row_open(name, O_RDWR);
}

static void rows_ranges(void)
{
	static const struct {
		const char *name;
		uint64_t src, dst, length, dst_size;
	} rows[] = {
		{ "all of it", 0, 0, 0, 0 },
		{ "all of it, by length", 0, 0, SIZE, 0 },
		{ "over a larger file", 0, 0, 0, 2 * MIB },
		{ "middle", 64 * KIB, 128 * KIB, 256 * KIB, MIB },
		{ "behind the end", 0, 4 * MIB, 64 * KIB, 4 * KIB },
		{ "tail", MIB, 0, TAIL, 0 },
		{ "tail by zero", MIB, 0, 0, 0 },
		{ "tail into the middle", MIB, 0, TAIL, MIB },
		{ "tail to the same end", MIB, MIB, TAIL, SIZE },
		{ "unaligned source", 1, 0, 4 * KIB, 0 },
		{ "unaligned destination", 0, 512, 4 * KIB, MIB },
		{ "both by the same", 512, 512, 4 * KIB, MIB },
		{ "unaligned length", 0, 0, 4097, 0 },
		{ "one byte", 0, 0, 1, 0 },
		{ "zero at the unaligned end", SIZE, 0, 0, 0 },
		{ "behind the source's end", 2 * MIB, 0, 4 * KIB, 0 },
		{ "zero behind the end", 2 * MIB, 0, 0, 0 },
		{ "over the source's end", MIB, 0, 64 * KIB, 0 },
		{ "negative source", LARGE, 0, 4 * KIB, 0 },
		{ "negative destination", 0, LARGE, 4 * KIB, 0 },
		{ "negative length", 0, 0, LARGE, 0 },
		{ "source wraps", LARGE - 4 * KIB, 0, 8 * KIB, 0 },
		{ "destination wraps", 0, LARGE - 4 * KIB, 8 * KIB, 0 },
	};
	int src = row_open("src", O_RDONLY), dst;
	struct stat st;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		dst = fresh("dst", rows[i].dst_size);
		row_errno(rows[i].name, row_clone(src, rows[i].src, dst,
						  rows[i].dst, rows[i].length));
		row_must(fstat(dst, &st) == 0, "fstat");
		row("size", "%lld", (long long)st.st_size);
		close(dst);
		row_content("content", "dst");
	}
	close(src);
}

static void rows_one_file(void)
{
	static const struct {
		uint64_t src, dst, length;
	} rows[] = {
		{ 0, 2 * MIB, MIB },
		{ 0, 512 * KIB, MIB },
		{ 64 * KIB, 64 * KIB, 64 * KIB },
		{ 512 * KIB, 0, 512 * KIB },
		{ 512 * KIB, 0, 0 },
	};
	int fd = fresh("one", SIZE);

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_errno("one file", row_clone(fd, rows[i].src, fd,
						rows[i].dst, rows[i].length));
	close(fd);
	row_content("one file", "one");
}

/* Clones "src", opened as said, into "dst", opened as said. */
static void row_opened(const char *name, int src_flags, int dst_flags)
{
	int src = row_open("src", src_flags), dst;

	close(fresh("dst", 64 * KIB));
	dst = row_open("dst", dst_flags);
	row_errno(name, row_clone(src, 0, dst, 0, 0));
	close(src);
	close(dst);
	row_content(name, "dst");
}

static void rows_opened(void)
{
	int src, dst;

	row_opened("source for writing only", O_WRONLY, O_RDWR);
	row_opened("source for both", O_RDWR, O_WRONLY);
	row_opened("destination for reading only", O_RDONLY, O_RDONLY);
	row_opened("destination for appending", O_RDONLY, O_WRONLY | O_APPEND);
	row_opened("destination direct", O_RDONLY, O_WRONLY | O_DIRECT);
	row_opened("source direct", O_RDONLY | O_DIRECT, O_WRONLY);
	row_opened("source by path", O_PATH, O_WRONLY);
	row_opened("destination by path", O_RDONLY, O_PATH);
	src = row_open("src", O_RDONLY);
	dst = fresh("dst", 0);
	row_must(fcntl(dst, F_SETFL, O_APPEND) == 0, "F_SETFL");
	row_errno("appending since", row_clone(src, 0, dst, 0, 0));
	row_must(fcntl(dst, F_SETFL, 0) == 0, "F_SETFL");
	row_errno("appending no more", row_clone(src, 0, dst, 0, 0));
	close(dst);
	dst = row_open("dst", O_RDWR | O_APPEND);
	row_must(fcntl(dst, F_SETFL, 0) == 0, "F_SETFL");
	row_errno("appending at open", row_clone(src, 0, dst, 0, 0));
	row_errno("no source", row_clone(-1, 0, dst, 0, 0));
	row_errno("source closed", row_clone(1000, 0, dst, 0, 0));
	unlink("dst");
	row_errno("unlinked", row_clone(src, 0, dst, 2 * MIB, 0));
	close(src);
	close(dst);
}

static void rows_kinds(void)
{
	int src = row_open("src", O_RDONLY), dst = fresh("dst", 0);
	int dir = row_open(".", O_RDONLY | O_DIRECTORY), fifo, other;
	int pipes[2];

	row_errno("source is a directory", row_clone(dir, 0, dst, 0, 0));
	row_errno("destination is a directory", row_clone(src, 0, dir, 0, 0));
	unlink("fifo");
	row_must(mkfifo("fifo", 0600) == 0 && pipe(pipes) == 0, "mkfifo");
	fifo = row_open("fifo", O_RDWR);
	row_errno("source is a FIFO", row_clone(fifo, 0, dst, 0, 0));
	row_errno("destination is a FIFO", row_clone(src, 0, fifo, 0, 0));
	row_errno("source is a pipe", row_clone(pipes[0], 0, dst, 0, 0));
	row_errno("destination is a pipe", row_clone(src, 0, pipes[1], 0, 0));
	other = memfd_create("other", MFD_CLOEXEC);
	row_must(other >= 0 && ftruncate(other, MIB) == 0, "memfd");
	row_errno("source elsewhere", row_clone(other, 0, dst, 0, 0));
	row_errno("destination elsewhere", row_clone(src, 0, other, 0, 0));
	close(src);
	close(dst);
	close(dir);
	close(fifo);
	close(other);
	close(pipes[0]);
	close(pipes[1]);
}

static void set_flag(const char *name, int flag, bool on)
{
	int fd = row_open(name, O_RDONLY), flags = 0;

	row_must(ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0, "GETFLAGS");
	flags = on ? flags | flag : flags & ~flag;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
		row_errno("cannot set a flag", -errno);
	close(fd);
}

static void rows_flags(void)
{
	int src = row_open("src", O_RDONLY), dst = fresh("dst", 0);

	set_flag("dst", FS_IMMUTABLE_FL, true);
	row_errno("immutable", row_clone(src, 0, dst, 0, 0));
	set_flag("dst", FS_IMMUTABLE_FL, false);
	row_errno("immutable no more", row_clone(src, 0, dst, 0, 0));
	close(dst);
	set_flag("dst", FS_APPEND_FL, true);
	dst = row_open("dst", O_WRONLY | O_APPEND);
	row_errno("append-only", row_clone(src, 0, dst, 0, 0));
	set_flag("dst", FS_APPEND_FL, false);
	close(dst);
	/* Only btrfs has it, and takes it while the file is empty. */
	dst = fresh("nocow", 0);
	set_flag("nocow", FS_NOCOW_FL, true);
	row_errno("without checksums", row_clone(src, 0, dst, 0, 0));
	close(dst);
	close(src);
}

/* A clone takes suid from the file of whoever could not have set it. */
static void as_user(void)
{
	int src = row_open("src", O_RDONLY), dst = row_open("suid", O_RDWR);
	struct stat st;

	row_errno("suid", row_clone(src, 0, dst, 0, 0));
	row_must(fstat(dst, &st) == 0, "fstat");
	row("suid", "%o", (unsigned int)st.st_mode);
	close(src);
	close(dst);
}

static void rows_suid(void)
{
	static const uid_t users[] = { 0, 1234 };

	for (size_t i = 0; i < 2; i++) {
		close(fresh("suid", 0));
		row_must(chmod("suid", 06777) == 0, "chmod");
		row_child(users[i], as_user);
	}
}

static void rows_pointers(void)
{
	int src = row_open("src", O_RDONLY), dst = fresh("dst", 0);
	void *hole =
		mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!rows_by_library) {
		row_must(ioctl(dst, FICLONERANGE, hole) < 0, "FICLONERANGE");
		row_errno("bad pointer", -errno);
		row_must(ioctl(dst, FICLONERANGE, NULL) < 0, "FICLONERANGE");
		row_errno("no pointer", -errno);
		row_must(ioctl(dst, FICLONE, src) == 0, "FICLONE");
	} else {
		row("bad pointer", "EFAULT");
		row("no pointer", "EFAULT");
		row_must(!row_clone(src, 0, dst, 0, 0), "clone");
	}
	munmap(hole, 4096);
	close(src);
	close(dst);
	row_content("FICLONE", "dst");
}

void rows_clone(void)
{
	row_file("src", SIZE, 1);
	rows_ranges();
	rows_one_file();
	rows_opened();
	rows_kinds();
	rows_flags();
	rows_suid();
	rows_pointers();
}

static volatile sig_atomic_t n_signals;

static void count(int signal)
{
	(void)signal;
	n_signals++;
}

static void limited(void)
{
	static const struct {
		uint64_t src, dst, length;
	} rows[] = {
		{ 0, 0, 64 * KIB },
		{ 0, 64 * KIB, 64 * KIB },
		{ 0, 64 * KIB, 128 * KIB },
		{ 0, 128 * KIB, 4 * KIB },
		{ 1, 256 * KIB, 4 * KIB },
		{ 0, 256 * KIB, 0 },
		{ 2 * MIB, 256 * KIB, 4 * KIB },
		{ 0, 0, 0 },
	};
	struct rlimit limit = { 128 * KIB, RLIM_INFINITY };
	int src = row_open("src", O_RDONLY), dst = row_open("dst", O_RDWR);
	uint64_t deduped;

	signal(SIGXFSZ, count);
	row_must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_errno("limited", row_clone(src, rows[i].src, dst,
					       rows[i].dst, rows[i].length));
	row_errno("limited dedupe",
		  row_dedupe(src, 0, dst, 256 * KIB, 4 * KIB, &deduped));
	/* A library does not send signals. */
	row("signals", "%d", rows_by_library ? 3 : (int)n_signals);
	close(src);
	close(dst);
}

void rows_clone_limits(void)
{
	close(fresh("dst", 512 * KIB));
	row_child(0, limited);
	row_content("limited", "dst");
}

/* On btrfs it must be without checksums, and so must what it clones with. */
static void swap_file(const char *name)
{
	static const char block[4096] = "s";
	int flags = FS_NOCOW_FL, fd;

	unlink(name);
	fd = row_open(name, O_RDWR | O_CREAT | O_EXCL);
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
	for (int i = 0; i < 512; i++)
		row_must(write(fd, block, 4096) == 4096, "write");
	row_must(fsync(fd) == 0, "fsync");
	close(fd);
}

/* Only the backing itself can give a file to the kernel to swap to. */
void rows_clone_swap(void)
{
	char path[4096], command[4200];
	uint64_t deduped = 0;
	int swap, other;

	swap_file("swap");
	swap_file("other");
	snprintf(path, sizeof(path), "%s/swap", rows_backing);
	snprintf(command, sizeof(command), "mkswap '%s' >/dev/null 2>&1", path);
	row_must(system(command) == 0, "mkswap");
	if (swapon(path, 0)) {
		row_errno("no swap here", -errno);
		return;
	}
	swap = row_open("swap", O_RDWR);
	other = row_open("other", O_RDWR);
	row_errno("to swap space", row_clone(other, 0, swap, 0, 0));
	row_errno("from swap space", row_clone(swap, 0, other, 0, 0));
	row_errno("dedupe to swap space",
		  row_dedupe(other, 0, swap, 0, 64 * KIB, &deduped));
	row_errno("dedupe from swap space",
		  row_dedupe(swap, 0, other, 0, 64 * KIB, &deduped));
	row_must(swapoff(path) == 0, "swapoff");
	row_errno("swap space no more", row_clone(other, 0, swap, 0, 0));
	close(swap);
	close(other);
	row_content("swap space", "swap");
}
