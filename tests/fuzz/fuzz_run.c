// SPDX-License-Identifier: MIT
/*
 * Fuzzes what offlay run makes of a program's arguments: the program's memory
 * is the input, which changes between two looks at it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "run.h"

#define MEMORY (64u << 10)
#define HEAD   16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The program's memory, of which @size bytes are there. */
static unsigned char memory[MEMORY], written[MEMORY];
static size_t mapped;
static unsigned int looks;
static uint64_t last_address, room;

static void must(bool is_true)
{
	if (!is_true)
		abort();
}

int run_target_read(const struct run_target *target, uint64_t address,
		    void *buf, size_t size)
{
	(void)target;
	if (address > mapped || size > mapped - address)
		return -EFAULT;
	memcpy(buf, memory + address, size);
	/* Another thread of the program writes to it at any time. */
	if (mapped)
		memory[(address + 16 + looks * 7) % mapped] ^=
			(unsigned char)looks;
	looks++;
	return 0;
}

int run_target_write(const struct run_target *target, uint64_t address,
		     const void *buf, size_t size)
{
	(void)target;
	/* Nothing outside of the structure that was asked for. */
	must(address >= last_address && address + size <= last_address + room);
	if (address > mapped || size > mapped - address)
		return -EFAULT;
	memcpy(written + address, buf, size);
	return 0;
}

int run_target_fd(const struct run_target *target, int fd, int *ret_fd)
{
	(void)target;
	if (fd < 0 || fd > 200)
		return -EBADF;
	*ret_fd = memfd_create("file", MFD_CLOEXEC);
	must(*ret_fd >= 0);
	return fd % 3 ? ftruncate(*ret_fd, 1 << 20) : 0;
}

int run_target_fetch_fd(const struct run_target *target, int fd, int *ret_fd)
{
	return run_target_fd(target, fd, ret_fd);
}

bool run_target_waits(const struct run_target *target)
{
	(void)target;
	return true;
}

uint64_t run_target_size_limit(const struct run_target *target)
{
	(void)target;
	return UINT64_MAX;
}

void run_target_signal(const struct run_target *target, int signal)
{
	(void)target;
	(void)signal;
}

bool run_identity_take(const struct run_target *target)
{
	(void)target;
	return false;
}

void run_identity_drop(bool is_taken)
{
	must(!is_taken);
}

bool run_mounts_has(struct run_mounts *mounts, int fd, pid_t tid)
{
	(void)mounts;
	(void)fd;
	(void)tid;
	return true;
}

int clone_on_mount(int src_fd, uint64_t src_offset, int dst_fd,
		   uint64_t dst_offset, uint64_t length, uint64_t size_limit)
{
	must(src_fd >= 0 && dst_fd >= 0 && size_limit == UINT64_MAX);
	return (src_offset ^ dst_offset ^ length) & 1 ? -EINVAL : 0;
}

int clone_dedupe_on_mount(int src_fd, uint64_t src_offset, int dst_fd,
			  uint64_t dst_offset, uint64_t length,
			  uint64_t size_limit, uint64_t *ret_deduped)
{
	must(src_fd >= 0 && dst_fd >= 0 && size_limit == UINT64_MAX);
	/* The VFS has looked at the source. */
	must(length <= 1 << 30 && src_offset + length <= 1 << 20);
	*ret_deduped = length;
	return dst_offset & 1 ? -EBADE : 0;
}

void clone_walk_init(struct clone_walk *walk, int fd,
		     const struct offlay_map *map)
{
	memset(walk, 0, sizeof(*walk));
	walk->fd = fd;
	walk->room = map->room;
	walk->counts = !map->room;
	walk->piece.start = map->start;
	must(map->room <= UINT32_MAX / sizeof(struct fiemap_extent));
}

/* Some hundred extents, in pieces. */
int clone_walk_next(struct clone_walk *walk)
{
	struct offlay_ioc_extents *piece = &walk->piece;

	if (piece->start & 1)
		return -EBADR;
	piece->mapped = walk->room < 100 ? walk->room : 100;
	if (!walk->counts)
		walk->room -= piece->mapped;
	piece->start += 200;
	walk->has_ended = walk->counts || !walk->room || piece->start > 1000;
	return 0;
}

static void try_mounts(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	bool is_ours = false;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	run_mounts_parse(text, 36, &is_ours);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int requests[] = { FICLONE, FICLONERANGE,
						 FIDEDUPERANGE, FS_IOC_FIEMAP,
						 FS_IOC_GETFLAGS };
	static const struct run_supervisor supervisor;
	struct run_target target = { .supervisor = &supervisor, .pidfd = -1 };
	struct seccomp_data call = { 0 };
	struct fiemap map;
	int err;

	if (size < HEAD || size > MEMORY)
		return 0;
	try_mounts(data, size);
	call.args[0] = data[0];
	call.args[1] = requests[data[1] % 5];
	memcpy(&call.args[2], data + 8, 8);
	if (call.args[1] != FICLONE && data[2] < 200)
		call.args[2] = data[2] * 4;
	mapped = size - HEAD;
	memcpy(memory, data + HEAD, mapped);
	looks = data[3];
	last_address = call.args[2];
	room = 4096; /* what the kernel takes of a dedupe */
	if (call.args[1] == FS_IOC_FIEMAP && last_address <= mapped &&
	    mapped - last_address >= sizeof(map)) {
		memcpy(&map, memory + last_address, sizeof(map));
		room = sizeof(map) + (uint64_t)map.fm_extent_count *
					     sizeof(struct fiemap_extent);
	}
	if (run_answer(&target, &call, &err))
		must(err <= 0 && err > -4096);
	return 0;
}
