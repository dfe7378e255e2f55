// SPDX-License-Identifier: MIT
/*
 * Clones, deduplicates and maps in a directory, and prints what came of it:
 * the same on a bare filesystem, through the library and under "offlay run".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clone_rows.h"
#include "offlay.h"

const char *rows_backing;
bool rows_by_library;

void row(const char *name, const char *format, ...)
{
	va_list args;

	printf("%s: ", name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void row_errno(const char *name, int err)
{
	row(name, "%s", err ? strerrorname_np(-err) : "0");
}

void row_must(bool is_true, const char *what)
{
	if (is_true)
		return;
	printf("FAILED %s: %s\n", what, strerror(errno));
	exit(1);
}

int row_open(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC, 0644);

	row_must(fd >= 0, name);
	return fd;
}

void row_file(const char *name, uint64_t size, unsigned int seed)
{
	uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
	uint64_t block[512];
	int fd;

	unlink(name);
	fd = row_open(name, O_RDWR | O_CREAT | O_EXCL);
	for (uint64_t done = 0; done < size; done += sizeof(block)) {
		uint64_t n = size - done;

		for (size_t i = 0; i < 512; i++)
			block[i] = state =
				state * 6364136223846793005ull + 1442695040ull;
		n = n < sizeof(block) ? n : sizeof(block);
		row_must(write(fd, block, n) == (ssize_t)n, "write");
	}
	row_must(fsync(fd) == 0, "fsync");
	close(fd);
}

void row_content(const char *name, const char *file)
{
	uint64_t hash = 14695981039346656037ull, size = 0;
	unsigned char buf[4096];
	int fd = row_open(file, O_RDONLY);
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		size += (uint64_t)n;
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ buf[i]) * 1099511628211ull;
	}
	close(fd);
	row(name, "%llu bytes %016llx", (unsigned long long)size,
	    (unsigned long long)hash);
}

void row_child(uid_t uid, void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	row_must(pid >= 0, "fork");
	if (!pid) {
		row_must(!uid || (setgid(uid) == 0 && setuid(uid) == 0),
			 "setuid");
		fn();
		exit(0);
	}
	row_must(waitpid(pid, &status, 0) == pid, "waitpid");
	row("child", "%d", status);
}

int row_clone(int src, uint64_t src_offset, int dst, uint64_t dst_offset,
	      uint64_t length)
{
	struct file_clone_range range = { .src_fd = src,
					  .src_offset = src_offset,
					  .src_length = length,
					  .dest_offset = dst_offset };

	if (rows_by_library)
		return offlay_clone_range(src, src_offset, dst, dst_offset,
					  length);
	return ioctl(dst, FICLONERANGE, &range) ? -errno : 0;
}

int row_dedupe(int src, uint64_t src_offset, int dst, uint64_t dst_offset,
	       uint64_t length, uint64_t *ret_deduped)
{
	union {
		struct file_dedupe_range head;
		unsigned char room[sizeof(struct file_dedupe_range) +
				   sizeof(struct file_dedupe_range_info)];
	} arg = { .head = { .src_offset = src_offset,
			    .src_length = length,
			    .dest_count = 1 } };
	struct file_dedupe_range_info *info = arg.head.info;

	if (rows_by_library)
		return offlay_dedupe_range(src, src_offset, dst, dst_offset,
					   length, ret_deduped);
	info->dest_fd = dst;
	info->dest_offset = dst_offset;
	if (ioctl(src, FIDEDUPERANGE, &arg))
		return -errno;
	if (info->status == FILE_DEDUPE_RANGE_DIFFERS)
		return -EBADE;
	*ret_deduped = info->bytes_deduped;
	return info->status;
}

int main(int argc, char **argv)
{
	if (argc != 4 || chdir(argv[2]))
		return 2;
	rows_by_library = !strcmp(argv[1], "library");
	rows_backing = argv[3];
	umask(022);
	rows_clone();
	rows_clone_limits();
	rows_clone_swap();
	rows_dedupe();
	rows_map();
	return 0;
}
