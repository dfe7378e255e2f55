// SPDX-License-Identifier: MIT
/* Tests of offloaded data transfer: what its tests share, and plain use. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "extents.h"
#include "odx.h"
#include "sample.h"

static void free_params(struct criterion_test_params *params)
{
	cr_free(params->params);
}

struct criterion_test_params odx_backings(void)
{
	enum backing *params = cr_malloc(sizeof(*params) * BACKING_COUNT);
	size_t n = 0;

	for (int backing = 0; backing < BACKING_COUNT; backing++)
		if (backing_is_selected(backing) &&
		    backing_has_reflink(backing))
			params[n++] = (enum backing)backing;
	return cr_make_param_array(enum backing, params, n, free_params);
}

void odx_place_init(enum backing backing, struct odx_place *ret_place)
{
	memset(ret_place, 0, sizeof(*ret_place));
	ret_place->backing = backing;
	volume_get(backing, 0, &ret_place->volume);
	volume_dir(&ret_place->volume, "odx", ret_place->dir);
}

int odx_open(const struct odx_place *place, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, place->mount.point, name);
	fd = open(path, flags | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

void odx_file(const struct odx_place *place, const char *name, uint64_t size,
	      uint64_t seed)
{
	char path[PATH_MAX];

	volume_path(path, place->dir, name);
	sample_file(path, size, seed);
}

int odx_new(const struct odx_place *place, const char *name, uint64_t size)
{
	int fd = odx_open(place, name, O_RDWR | O_CREAT | O_TRUNC);

	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static uint32_t code_of(int err, const struct offlay_status *status)
{
	if (!err) {
		cr_expect_null(status);
		return 0;
	}
	cr_assert_not_null(status, "errno %d without a status", -err);
	cr_expect_eq(status->err, -err, "%s with errno %d",
		     status->ntstatus_name, -err);
	return status->ntstatus;
}

uint32_t odx_read(int fd, uint64_t offset, uint64_t length, uint32_t ttl,
		  struct offlay_token *ret_token, uint64_t *ret_length)
{
	struct offlay_odx_range range = { .offset = offset,
					  .length = length,
					  .ttl = ttl };
	const struct offlay_status *status;
	uint64_t unused;
	uint32_t flags;
	int err;

	err = offlay_odx_read(fd, &range, ret_token,
			      ret_length ? ret_length : &unused, &flags,
			      &status);
	return code_of(err, status);
}

uint32_t odx_write(int fd, uint64_t offset, uint64_t length,
		   uint64_t token_offset, const struct offlay_token *token,
		   uint64_t *ret_length)
{
	struct offlay_odx_range range = { .offset = offset,
					  .length = length,
					  .token_offset = token_offset };
	const struct offlay_status *status;
	uint64_t unused;
	int err;

	err = offlay_odx_write(fd, &range, token,
			       ret_length ? ret_length : &unused, &status);
	return code_of(err, status);
}

uint32_t odx_drop(int fd, const struct offlay_token *token)
{
	const struct offlay_status *status;
	int err = offlay_odx_drop(fd, token, &status);

	return code_of(err, status);
}

void odx_limits(const struct odx_place *place, const char *words)
{
	char *argv[] = { (char *)mount_tool_path(),  "token",	    "limits",
			 (char *)place->mount.point, (char *)words, NULL };
	struct command_result result;

	command_run(argv, NULL, 60, &result);
	cr_assert_eq(result.status, 0, "%s: %s", words, result.err);
}

uint64_t odx_alive(const struct odx_place *place, uint64_t *ret_bytes)
{
	struct offlay_ioc_odx_volume volume;
	int fd = odx_open(place, ".", O_RDONLY | O_DIRECTORY);

	cr_assert_eq(offlay_odx_volume(fd, &volume, NULL), 0);
	close(fd);
	if (ret_bytes)
		*ret_bytes = volume.bytes;
	return volume.tokens;
}

void odx_same(const struct odx_place *place, const char *a, const char *b)
{
	char path_a[PATH_MAX], path_b[PATH_MAX];
	uint64_t at = 0;

	volume_path(path_a, place->dir, a);
	volume_path(path_b, place->dir, b);
	cr_assert_eq(sample_is_same(path_a, path_b, &at), 1,
		     "%s and %s differ at %llu", a, b, (unsigned long long)at);
}

/* Extents are shared: no byte was moved. */
ODX_ON_EACH_BACKING(odx, carries_a_file_without_moving_it)
{
	struct offlay_token token;
	struct extent_usage usage;
	char path[PATH_MAX];
	uint64_t length;
	int src, dst;

	odx_file(place, "a", 64 * MIB, 1);
	mount_open(place->dir, NULL, &place->mount);
	src = odx_open(place, "a", O_RDONLY);
	dst = odx_new(place, "b", 64 * MIB);
	cr_assert_eq(odx_read(src, 0, 64 * MIB, 0, &token, &length), 0);
	cr_expect_eq(length, 64 * MIB);
	cr_assert_eq(odx_write(dst, 0, 64 * MIB, 0, &token, &length), 0);
	cr_expect_eq(length, 64 * MIB);
	close(src);
	close(dst);
	mount_close(&place->mount);
	odx_same(place, "a", "b");
	volume_path(path, place->dir, "b");
	cr_assert_eq(extents_usage(path, &usage), 0);
	cr_expect_eq(usage.exclusive, 0);
	cr_expect_geq(usage.shared, 64 * MIB);
}

/* Any sector of it, and whatever the end is like. */
ODX_ON_EACH_BACKING(odx, carries_each_part_and_the_last_sector)
{
	static const struct {
		uint64_t offset, length, token_offset, dst;
	} rows[] = {
		{ 0, 512, 0, 0 },	 { 512, 1536, 0, 512 },
		{ 4096, 65536, 512, 0 }, { 5120, 100352, 4096, 8704 },
		{ 0, 1 * MIB, 0, 0 },	 { 999936, 1024, 0, 999936 },
	};
	const uint64_t size = 1000100;
	struct offlay_token token;
	uint64_t got, put, n;
	char a[4096], b[4096];
	int src, dst;

	odx_file(place, "a", size, 1);
	mount_open(place->dir, NULL, &place->mount);
	src = odx_open(place, "a", O_RDONLY);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		dst = odx_new(place, "b", size);
		cr_assert_eq(odx_read(src, rows[i].offset, rows[i].length, 0,
				      &token, &got),
			     0);
		cr_assert_eq(got % 512, 0);
		cr_assert_eq(odx_write(dst, rows[i].dst, got,
				       rows[i].token_offset, &token, &put),
			     0, "row %zu", i);
		cr_assert_eq(put % 512, 0);
		n = got - rows[i].token_offset;
		if (n > ((size + 511) & ~511ull) - rows[i].dst)
			n = ((size + 511) & ~511ull) - rows[i].dst;
		cr_expect_eq(put, n, "row %zu: %llu", i,
			     (unsigned long long)put);
		for (uint64_t at = 0; at < put; at += sizeof(a)) {
			size_t want = sizeof(a) < put - at ? sizeof(a)
							   : put - at;
			ssize_t x = pread(src, a, want,
					  (off_t)(rows[i].offset +
						  rows[i].token_offset + at));
			ssize_t y =
				pread(dst, b, want, (off_t)(rows[i].dst + at));

			cr_assert_eq(memcmp(a, b, (size_t)(x < y ? x : y)), 0,
				     "row %zu at %llu", i,
				     (unsigned long long)at);
		}
		cr_expect_eq(lseek(dst, 0, SEEK_END), (off_t)size);
		close(dst);
	}
	close(src);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx, gives_zeros_by_the_well_known_token)
{
	struct offlay_token token;
	char zeros[4096] = { 0 }, data[4096];
	uint64_t length;
	int src, dst;

	odx_file(place, "a", 64 * KIB, 1);
	mount_open(place->dir, "deny=none", &place->mount);
	src = odx_open(place, "a", O_RDWR);
	cr_assert_eq(ftruncate(src, MIB), 0);
	cr_assert_eq(odx_read(src, 0, MIB, 0, &token, &length), 0);
	cr_expect_eq(length, 64 * KIB, "trimmed at valid data: %llu",
		     (unsigned long long)length);
	cr_assert_eq(odx_read(src, 512 * KIB, MIB, 0, &token, &length), 0);
	cr_expect_eq(length, 512 * KIB);
	cr_expect_eq(memcmp(&token, "\xff\xff\x00\x01", 4), 0);
	odx_file(place, "b", 64 * KIB, 2);
	dst = odx_open(place, "b", O_RDWR);
	cr_assert_eq(odx_write(dst, 4096, 8192, 0, &token, &length), 0);
	cr_expect_eq(length, 8192);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(pread(dst, data, 4096, i * 4096), 4096);
		cr_expect_eq(!memcmp(data, zeros, 4096), i == 1 || i == 2,
			     "block %d", i);
	}
	/* The WDK's spelling. */
	memset(&token, 0, sizeof(token));
	memcpy(&token, "\xff\xff\xff\xff\x00\x00\x01\xf8\x00\x01", 10);
	cr_assert_eq(odx_write(dst, 0, 512, 0, &token, &length), 0);
	cr_assert_eq(pread(dst, data, 512, 0), 512);
	cr_expect_eq(memcmp(data, zeros, 512), 0);
	close(src);
	close(dst);
	mount_close(&place->mount);
}

/* Both ways of caching: what a reader had seen before is not seen again. */
ODX_ON_EACH_BACKING(odx, shows_the_new_bytes_at_once)
{
	static const char *const options[] = { NULL, "no_passthrough" };
	struct offlay_token token;
	struct stat before, after;
	char *map, a[8192], b[8192];
	int src, dst;

	for (size_t i = 0; i < 2; i++) {
		odx_file(place, "a", 64 * KIB, 1);
		odx_file(place, "b", 64 * KIB, 2);
		mount_open(place->dir, options[i], &place->mount);
		src = odx_open(place, "a", O_RDONLY);
		dst = odx_open(place, "b", O_RDWR);
		map = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED,
			   dst, 0);
		cr_assert_neq(map, MAP_FAILED);
		map[0]++; /* dirty, and in the way */
		cr_assert_eq(fstat(dst, &before), 0);
		cr_assert_eq(odx_read(src, 0, 64 * KIB, 0, &token, NULL), 0);
		cr_assert_eq(odx_write(dst, 0, 64 * KIB, 0, &token, NULL), 0);
		cr_assert_eq(pread(src, a, sizeof(a), 0), (ssize_t)sizeof(a));
		cr_assert_eq(pread(dst, b, sizeof(b), 0), (ssize_t)sizeof(b));
		cr_expect_arr_eq(a, b, sizeof(a));
		cr_expect_arr_eq(a, map, sizeof(a));
		cr_assert_eq(fstat(dst, &after), 0);
		cr_expect(after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
			  after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
		munmap(map, 64 * KIB);
		close(src);
		close(dst);
		mount_close(&place->mount);
		odx_same(place, "a", "b");
	}
}

ODX_ON_EACH_BACKING(odx, copies_a_file_as_copyfile_does)
{
	struct offlay_odx_copied copied;
	int src, dst;

	odx_file(place, "a", 20 * MIB + 100, 1);
	mount_open(place->dir, NULL, &place->mount);
	src = odx_open(place, "a", O_RDONLY);
	dst = odx_open(place, "b", O_RDWR | O_CREAT);
	cr_assert_eq(offlay_odx_copy(src, dst, &copied), 0);
	cr_expect_eq(copied.offloaded, 20 * MIB + 100);
	cr_expect_eq(copied.moved, 0);
	cr_expect_eq(copied.err, 0);
	close(dst);
	odx_same(place, "a", "b");
	/* Every third request times out: the rest goes by hand. */
	odx_limits(place, "timeout=3:transfer=1M");
	dst = odx_open(place, "c", O_RDWR | O_CREAT);
	cr_assert_eq(offlay_odx_copy(src, dst, &copied), 0);
	cr_expect_eq(copied.offloaded, 1 * MIB);
	cr_expect_eq(copied.moved, 19 * MIB + 100);
	cr_assert_not_null(copied.status);
	cr_expect_eq(copied.status->ntstatus, 0xC00000B5);
	close(dst);
	close(src);
	odx_same(place, "a", "c");
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx, drops_suid_of_the_destination)
{
	const struct user user = { .uid = 4242, .gid = 4243 };
	struct offlay_token token;
	struct stat st;
	int src, dst;

	odx_file(place, "a", 64 * KIB, 1);
	mount_open(place->dir, NULL, &place->mount);
	dst = odx_new(place, "b", 64 * KIB);
	cr_assert_eq(fchown(dst, user.uid, user.gid), 0);
	close(dst);
	cr_assert_eq(user_enter(&user), 0);
	src = odx_open(place, "a", O_RDONLY);
	dst = odx_open(place, "b", O_RDWR);
	cr_assert_eq(fchmod(dst, 04755), 0);
	cr_assert_eq(odx_read(src, 0, 64 * KIB, 0, &token, NULL), 0);
	cr_assert_eq(odx_write(dst, 0, 64 * KIB, 0, &token, NULL), 0);
	cr_assert_eq(fstat(dst, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0755, "%o", st.st_mode & 07777);
	cr_assert_eq(user_leave(), 0);
	close(src);
	close(dst);
	mount_close(&place->mount);
}

/* The tool's words, one line each: status, and what it says. */
ODX_ON_EACH_BACKING(odx, is_worked_by_hand)
{
	static const struct {
		const char *line;
		int status;
		const char *text;
	} rows[] = {
		{ "read a --offset 4K -o t", 0, "1044480 bytes" },
		{ "show t", 0, "0x00800000" },
		{ "show --json t", 0, "\"id_length\": 504" },
		{ "write t b", 0, "1044480 bytes written" },
		{ "write --json t b --length 1M", 1, "\"win32\": 87" },
		{ "drop t", 0, "" },
		{ "drop t", 1, "C0000465 STATUS_INVALID_TOKEN" },
		{ "write t b", 1, "315 ERROR_INVALID_TOKEN" },
		{ "read a --offset 1 -o t", 1, "INVALID_PARAMETER" },
		{ "read a", 2, "-o TOKEN" },
		{ "show a", 1, "512 bytes" },
		{ "limits . sector=5", 2, "sector=5" },
	};
	struct command_result result;
	char script[3 * PATH_MAX];

	odx_file(place, "a", MIB, 1);
	mount_open(place->dir, NULL, &place->mount);
	close(odx_new(place, "b", MIB));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(script, sizeof(script), "cd '%s' && '%s' token %s",
			 place->mount.point, mount_tool_path(), rows[i].line);
		COMMAND(&result, "sh", "-c", script);
		cr_expect_eq(result.status, rows[i].status, "%s: %s%s",
			     rows[i].line, result.out, result.err);
		cr_expect(strstr(result.out, rows[i].text) ||
				  strstr(result.err, rows[i].text),
			  "%s: %s%s", rows[i].line, result.out, result.err);
	}
	mount_close(&place->mount);
}

VOLUME_MAIN;
