// SPDX-License-Identifier: MIT
/* Rows of FIEMAP: what it says of files of all kinds, and its errors. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clone_rows.h"
#include "offlay.h"

#define ROOM 1000

static int map(int fd, uint64_t start, uint64_t length, uint32_t flags,
	       uint32_t room, struct offlay_extent *ret_extents,
	       uint32_t *ret_count)
{
	struct offlay_map asked = { start, length, flags, room };
	struct fiemap *arg;
	int err;

	if (rows_by_library)
		return offlay_extents_map(fd, &asked, ret_extents, ret_count);
	arg = calloc(1, sizeof(*arg) + room * sizeof(struct fiemap_extent));
	row_must(arg, "calloc");
	arg->fm_start = start;
	arg->fm_length = length;
	arg->fm_flags = flags;
	arg->fm_extent_count = room;
	err = ioctl(fd, FS_IOC_FIEMAP, arg) ? -errno : 0;
	*ret_count = arg->fm_mapped_extents;
	if (room)
		memcpy(ret_extents, arg->fm_extents,
		       room * sizeof(*ret_extents));
	free(arg);
	return err;
}

/* Where the extents are on the device is not the same twice. */
static void print_map(const char *name, int fd, uint64_t start, uint64_t length,
		      uint32_t flags, uint32_t room)
{
	static struct offlay_extent extents[ROOM];
	uint32_t count = 0;
	int err;

	memset(extents, 0, sizeof(extents));
	err = map(fd, start, length, flags, room, extents, &count);
	if (err) {
		row_errno(name, err);
		return;
	}
	row(name, "%u extents", count);
	for (uint32_t i = 0; i < count && i < room; i++)
		row("extent", "%llu %llu %x%s",
		    (unsigned long long)extents[i].logical,
		    (unsigned long long)extents[i].length, extents[i].flags,
		    extents[i].physical ? "" : " nowhere");
}

static void print_file(const char *name)
{
	int fd = row_open(name, O_RDONLY);

	print_map(name, fd, 0, UINT64_MAX, FIEMAP_FLAG_SYNC, ROOM);
	close(fd);
}

static void rows_kinds(void)
{
	char buf[4096];
	int fd, src;

	row_file("empty", 0, 1);
	print_file("empty");
	row_file("mapped", MIB, 4);
	print_file("mapped");
	src = row_open("mapped", O_RDONLY);
	fd = row_open("shared", O_RDWR | O_CREAT);
	row_must(!row_clone(src, 256 * KIB, fd, 0, 256 * KIB), "clone");
	close(src);
	close(fd);
	print_file("shared");
	print_file("mapped");
	fd = row_open("unwritten", O_RDWR | O_CREAT);
	row_must(!posix_fallocate(fd, 0, 256 * KIB), "fallocate");
	close(fd);
	print_file("unwritten");
	memset(buf, 'x', sizeof(buf));
	fd = row_open("holes", O_RDWR | O_CREAT);
	for (int i = 0; i < 300; i++)
		row_must(pwrite(fd, buf, sizeof(buf), i * 65536) == sizeof(buf),
			 "pwrite");
	close(fd);
	print_file("holes");
}

/* On btrfs: extents that are stored in another way than they read. */
static void rows_compressed(void)
{
	int fd = row_open("packed", O_RDWR | O_CREAT), flags = FS_COMPR_FL;
	static char zeros[128 << 10];

	memset(zeros, 'z', sizeof(zeros));
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
		row_errno("no compression", -errno);
	row_must(write(fd, zeros, sizeof(zeros)) == sizeof(zeros), "write");
	close(fd);
	print_file("packed");
}

static void rows_ranges(void)
{
	int fd = row_open("holes", O_RDONLY), dir;

	print_map("count", fd, 0, UINT64_MAX, 0, 0);
	print_map("count a part", fd, 65536, 65536 * 10, 0, 0);
	print_map("a part", fd, 65536, 65536 * 3, 0, ROOM);
	print_map("one", fd, 0, UINT64_MAX, 0, 1);
	print_map("as many as a piece has", fd, 0, UINT64_MAX, 0, 128);
	print_map("one more", fd, 0, UINT64_MAX, 0, 129);
	print_map("from a hole", fd, 70000, 4096, 0, ROOM);
	print_map("from the middle", fd, 66000, 10, 0, ROOM);
	print_map("behind the end", fd, 1ull << 40, UINT64_MAX, 0, ROOM);
	print_map("no length", fd, 0, 0, 0, ROOM);
	print_map("too far", fd, UINT64_MAX, 1, 0, ROOM);
	print_map("unknown flag", fd, 0, UINT64_MAX, 0x10000, ROOM);
	print_map("two unknown flags", fd, 0, UINT64_MAX, 0x30001, ROOM);
	print_map("attributes", fd, 0, UINT64_MAX, FIEMAP_FLAG_XATTR, ROOM);
	close(fd);
	fd = row_open("holes", O_WRONLY);
	print_map("not readable", fd, 0, 65536, 0, ROOM);
	close(fd);
	fd = row_open("holes", O_PATH);
	print_map("by path", fd, 0, 65536, 0, ROOM);
	close(fd);
	dir = row_open(".", O_RDONLY | O_DIRECTORY);
	print_map("a directory", dir, 0, UINT64_MAX, 0, ROOM);
	close(dir);
}

/* What only the ioctl itself has. */
static void rows_structure(void)
{
	unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fiemap *arg = (void *)page;
	int fd = row_open("holes", O_RDONLY), err;

	arg->fm_length = UINT64_MAX;
	arg->fm_flags = 0x30001;
	err = ioctl(fd, FS_IOC_FIEMAP, arg) ? -errno : 0;
	row_errno("bad flags", err);
	row("bad flags", "%x", arg->fm_flags);
	arg->fm_flags = 0;
	arg->fm_extent_count = UINT32_MAX;
	err = ioctl(fd, FS_IOC_FIEMAP, arg) ? -errno : 0;
	row_errno("too much room", err);
	munmap(page + 4096, 4096);
	/* Room for more than there is memory, and for what is used of it. */
	arg->fm_extent_count = 300;
	err = ioctl(fd, FS_IOC_FIEMAP, arg) ? -errno : 0;
	row_errno("less memory than said", err);
	arg->fm_length = 65536;
	err = ioctl(fd, FS_IOC_FIEMAP, arg) ? -errno : 0;
	row_errno("as much as is used", err);
	row("as much as is used", "%u", arg->fm_mapped_extents);
	munmap(page, 4096);
	err = ioctl(fd, FS_IOC_FIEMAP, arg) ? -errno : 0;
	row_errno("without memory", err);
	close(fd);
}

void rows_map(void)
{
	rows_kinds();
	rows_compressed();
	rows_ranges();
	if (!rows_by_library)
		rows_structure();
}
