// SPDX-License-Identifier: MIT
/* Rows of FIDEDUPERANGE: each error and each status that it can have. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clone_rows.h"

#define TAIL  1234
#define SIZE  (1 * MIB + TAIL)
#define LARGE (1ull << 63)

static void print(const char *name, int err, uint64_t deduped)
{
	if (err)
		row_errno(name, err);
	else
		row(name, "%llu", (unsigned long long)deduped);
}

static void row_range(const char *name, int src, uint64_t src_offset, int dst,
		      uint64_t dst_offset, uint64_t length)
{
	uint64_t deduped = 0;
	int err;

	err = row_dedupe(src, src_offset, dst, dst_offset, length, &deduped);
	print(name, err, deduped);
}

static void rows_ranges(void)
{
	static const struct {
		const char *name;
		uint64_t src, dst, length;
	} rows[] = {
		{ "dedupe all", 0, 0, SIZE },
		{ "dedupe a part", 64 * KIB, 64 * KIB, 128 * KIB },
		{ "dedupe other bytes", 0, 64 * KIB, 64 * KIB },
		{ "dedupe nothing", 0, 0, 0 },
		{ "dedupe the tail", MIB, MIB, TAIL },
		{ "dedupe half a tail", MIB, MIB, 1000 },
		{ "dedupe unaligned source", 1, 0, 4 * KIB },
		{ "dedupe unaligned destination", 0, 1, 4 * KIB },
		{ "dedupe unaligned length", 0, 0, 5000 },
		{ "dedupe over the source's end", MIB, 0, 64 * KIB },
		{ "dedupe over the end", 0, MIB, 64 * KIB },
		{ "dedupe behind the end", 0, 4 * MIB, 64 * KIB },
		{ "dedupe negative source", LARGE, 0, 4 * KIB },
		{ "dedupe negative destination", 0, LARGE, 4 * KIB },
		{ "dedupe negative length", 0, 0, LARGE },
		{ "dedupe nothing at the end", SIZE, 0, 0 },
	};
	int src = row_open("a", O_RDONLY), dst = row_open("b", O_RDWR);

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_range(rows[i].name, src, rows[i].src, dst, rows[i].dst,
			  rows[i].length);
	row_range("dedupe one file", dst, 0, dst, 512 * KIB, 64 * KIB);
	row_range("dedupe with itself", dst, 0, dst, 0, 64 * KIB);
	close(src);
	close(dst);
	row_content("deduped", "b");
}

static void rows_opened(void)
{
	int src = row_open("a", O_RDONLY), dst = row_open("b", O_RDWR);
	int dir = row_open(".", O_RDONLY | O_DIRECTORY), other, fd;

	fd = row_open("a", O_WRONLY);
	row_range("dedupe a source for writing", fd, 0, dst, 0, 4 * KIB);
	close(fd);
	fd = row_open("b", O_WRONLY | O_APPEND);
	row_range("dedupe appending", src, 0, fd, 0, 4 * KIB);
	close(fd);
	fd = row_open("b", O_RDONLY);
	row_range("dedupe read-only by root", src, 0, fd, 0, 4 * KIB);
	close(fd);
	fd = row_open("b", O_PATH);
	row_range("dedupe by path", src, 0, fd, 0, 4 * KIB);
	close(fd);
	row_range("dedupe no file", src, 0, -1, 0, 4 * KIB);
	row_range("dedupe a directory", src, 0, dir, 0, 4 * KIB);
	row_range("dedupe from a directory", dir, 0, dst, 0, 4 * KIB);
	other = memfd_create("other", MFD_CLOEXEC);
	row_must(other >= 0 && ftruncate(other, MIB) == 0, "memfd");
	row_range("dedupe elsewhere", src, 0, other, 0, 4 * KIB);
	close(other);
	close(dir);
	close(src);
	close(dst);
}

static void row_read_only(const char *name)
{
	int src = row_open("a", O_RDONLY), dst = row_open("b", O_RDONLY);

	row_range(name, src, 0, dst, 0, 4 * KIB);
	close(src);
	close(dst);
}

static void as_other(void)
{
	row_read_only("dedupe read-only by another");
}

static void rows_users(void)
{
	row_must(chmod("b", 0644) == 0, "chmod");
	row_child(1234, as_other);
	row_must(chmod("b", 0666) == 0, "chmod");
	row_child(1234, as_other);
	row_must(chmod("b", 0444) == 0 && chown("b", 1234, 1234) == 0, "chown");
	row_child(1234, as_other);
	row_must(chmod("b", 0464) == 0 && chown("b", 0, 1234) == 0, "chown");
	row_child(1234, as_other);
	row_must(chown("b", 0, 0) == 0 && chmod("b", 0644) == 0, "chmod");
}

static void print_all(const char *name, const struct file_dedupe_range *arg,
		      unsigned int n, int err)
{
	row_errno(name, err);
	for (unsigned int i = 0; i < n; i++)
		row("status", "%d, %llu bytes", arg->info[i].status,
		    (unsigned long long)arg->info[i].bytes_deduped);
}

/* What only the ioctl itself has. */
static void rows_structure(void)
{
	unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct file_dedupe_range *arg = (void *)page;
	int src = row_open("a", O_RDONLY), dst = row_open("b", O_RDWR);
	int other = row_open("c", O_RDWR);
	const struct file_dedupe_range good = { .src_length = 64 * KIB };

	*arg = good;
	print_all("dedupe none", arg, 0,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	arg->dest_count = 3;
	arg->info[0] = (struct file_dedupe_range_info){ .dest_fd = other };
	arg->info[1] = (struct file_dedupe_range_info){ .dest_fd = 999 };
	arg->info[2] = (struct file_dedupe_range_info){ .dest_fd = dst };
	print_all("dedupe three", arg, 3,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	arg->info[1].reserved = 1;
	arg->info[1].dest_fd = dst;
	print_all("dedupe reserved", arg, 3,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	arg->reserved1 = 1;
	print_all("dedupe reserved", arg, 0,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	arg->reserved1 = 0;
	arg->dest_count = 200;
	print_all("dedupe too many", arg, 0,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	/* The structure ends where its page does, and a piece further. */
	munmap(page + 4096, 4096);
	arg = (void *)(page + 4096 - sizeof(good));
	*arg = good;
	print_all("dedupe at a page's end", arg, 0,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	arg->dest_count = 1;
	print_all("dedupe cut off", arg, 0,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	munmap(page, 4096);
	print_all("dedupe without memory", NULL, 0,
		  ioctl(src, FIDEDUPERANGE, arg) ? -errno : 0);
	close(src);
	close(dst);
	close(other);
}

void rows_dedupe(void)
{
	row_file("a", SIZE, 2);
	row_file("b", SIZE, 2);
	row_file("c", SIZE, 3);
	rows_ranges();
	rows_opened();
	rows_users();
	/* Without a structure there is nothing to compare. */
	if (!rows_by_library)
		rows_structure();
}
