// SPDX-License-Identifier: MIT
/* Tokens: the moment that they stand for, and who may use them how long. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "odx.h"
#include "sample.h"

#define INVALID_TOKEN 0xC0000465u
#define NO_RESOURCES  0xC000009Au
#define SIZE	      (256 * KIB)

static const struct user one = { .uid = 4242, .gid = 4242 };
static const struct user other = { .uid = 4343, .gid = 4343 };

static void sleep_ms(long ms)
{
	struct timespec time = { .tv_sec = ms / 1000,
				 .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

enum change {
	WRITTEN,
	WRITTEN_BELOW,
	MAPPED,
	TRUNCATED,
	PUNCHED,
	UNLINKED,
	REPLACED,
	CHANGES
};

static void change(const struct odx_place *place, enum change how)
{
	static char junk[SIZE];
	char path[PATH_MAX];
	char *map;
	int fd;

	memset(junk, 'x', sizeof(junk));
	volume_path(path,
		    how == WRITTEN_BELOW ? place->dir : place->mount.point,
		    "a");
	fd = open(path, O_RDWR);
	cr_assert_geq(fd, 0);
	switch (how) {
	case MAPPED:
		map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
		cr_assert_neq(map, MAP_FAILED);
		memcpy(map, junk, SIZE);
		munmap(map, SIZE);
		break;
	case TRUNCATED:
		cr_assert_eq(ftruncate(fd, 0), 0);
		break;
	case PUNCHED:
		cr_assert_eq(fallocate(fd,
				       FALLOC_FL_PUNCH_HOLE |
					       FALLOC_FL_KEEP_SIZE,
				       0, SIZE),
			     0);
		break;
	case UNLINKED:
		cr_assert_eq(unlink(path), 0);
		break;
	case REPLACED:
		cr_assert_eq(unlink(path), 0);
		sample_file(path, SIZE, 99);
		break;
	default:
		cr_assert_eq(pwrite(fd, junk, SIZE, 0), (ssize_t)SIZE);
	}
	close(fd);
}

ODX_ON_EACH_BACKING(odx_moment, stays_whatever_happens_to_the_source)
{
	static const char *const options[] = { NULL, "no_passthrough" };
	struct offlay_token token;
	int src, dst;

	for (int i = 0; i < 2 * CHANGES; i++) {
		odx_file(place, "a", SIZE, 1);
		odx_file(place, "kept", SIZE, 1);
		mount_open(place->dir, options[i / CHANGES], &place->mount);
		src = odx_open(place, "a", O_RDONLY);
		cr_assert_eq(odx_read(src, 0, SIZE, 0, &token, NULL), 0);
		close(src);
		change(place, (enum change)(i % CHANGES));
		dst = odx_new(place, "b", SIZE);
		cr_assert_eq(odx_write(dst, 0, SIZE, 0, &token, NULL), 0);
		close(dst);
		mount_close(&place->mount);
		odx_same(place, "kept", "b");
	}
}

/* What was stored through a mapping before the read is part of the moment. */
ODX_ON_EACH_BACKING(odx_moment, has_what_was_mapped_and_stored)
{
	static const char *const options[] = { NULL, "no_passthrough" };
	struct offlay_token token;
	int src, dst;
	char *map, byte;

	for (int i = 0; i < 2; i++) {
		odx_file(place, "a", SIZE, 1);
		mount_open(place->dir, options[i], &place->mount);
		src = odx_open(place, "a", O_RDWR);
		map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, src,
			   0);
		cr_assert_neq(map, MAP_FAILED);
		map[5000] = 'm';
		cr_assert_eq(odx_read(src, 0, SIZE, 0, &token, NULL), 0);
		map[5000] = 'n';
		dst = odx_new(place, "b", SIZE);
		cr_assert_eq(odx_write(dst, 0, SIZE, 0, &token, NULL), 0);
		cr_assert_eq(pread(dst, &byte, 1, 5000), 1);
		cr_expect_eq(byte, 'm');
		munmap(map, SIZE);
		close(src);
		close(dst);
		mount_close(&place->mount);
	}
}

/*
 * The writer counts up in the first and the last block, the first one first:
 * at no moment is the last ahead of the first, or behind by more than one.
 */
static void write_for_ever(const struct odx_place *place)
{
	char path[PATH_MAX];
	int fd;

	volume_path(path, place->mount.point, "a");
	fd = open(path, O_WRONLY);
	for (uint64_t n = 1; fd >= 0; n++)
		if (pwrite(fd, &n, sizeof(n), 0) < 0 ||
		    pwrite(fd, &n, sizeof(n), SIZE - 4096) < 0)
			break;
	_exit(1);
}

ODX_ON_EACH_BACKING(odx_moment, is_one_moment_under_a_writer)
{
	struct offlay_token token;
	uint64_t first, last, seen = 0;
	int src, dst;
	pid_t pid;

	odx_file(place, "a", SIZE, 1);
	mount_open(place->dir, NULL, &place->mount);
	src = odx_open(place, "a", O_RDWR);
	cr_assert_eq(pwrite(src, &seen, 8, 0), 8);
	cr_assert_eq(pwrite(src, &seen, 8, SIZE - 4096), 8);
	dst = odx_new(place, "b", SIZE);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid)
		write_for_ever(place);
	for (int i = 0; i < 200; i++) {
		cr_assert_eq(odx_read(src, 0, SIZE, 0, &token, NULL), 0);
		sched_yield();
		cr_assert_eq(odx_write(dst, 0, SIZE, 0, &token, NULL), 0);
		cr_assert_eq(pread(dst, &first, 8, 0), 8);
		cr_assert_eq(pread(dst, &last, 8, SIZE - 4096), 8);
		cr_assert(first == last || first == last + 1,
			  "round %d: %llu and %llu", i,
			  (unsigned long long)first, (unsigned long long)last);
		cr_assert_geq(first, seen);
		seen = first;
		cr_assert_eq(odx_drop(src, &token), 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_expect_gt(seen, 0, "the writer has done nothing");
	close(src);
	close(dst);
	mount_close(&place->mount);
}

/* Everybody may open the files; only the tokens tell users apart. */
static int open_public(struct odx_place *place, const char *name)
{
	int fd;

	odx_file(place, name, SIZE, 1);
	fd = odx_open(place, name, O_RDWR);
	cr_assert_eq(fchmod(fd, 0666), 0);
	return fd;
}

ODX_ON_EACH_BACKING(odx_safety, binds_a_token_to_its_user)
{
	struct offlay_token token;
	int fd;

	mount_open(place->dir, NULL, &place->mount);
	fd = open_public(place, "a");
	cr_assert_eq(user_enter(&one), 0);
	cr_assert_eq(odx_read(fd, 0, SIZE, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(fd, 0, SIZE, 0, &token, NULL), 0);
	cr_assert_eq(user_leave(), 0);
	cr_assert_eq(user_enter(&other), 0);
	cr_expect_eq(odx_write(fd, 0, SIZE, 0, &token, NULL), INVALID_TOKEN);
	cr_expect_eq(odx_drop(fd, &token), INVALID_TOKEN);
	cr_assert_eq(user_leave(), 0);
	cr_expect_eq(odx_write(fd, 0, SIZE, 0, &token, NULL), 0);
	close(fd);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_safety, binds_a_token_to_its_mount)
{
	struct odx_place second = *place;
	struct offlay_token token;
	int src, dst;

	odx_file(place, "a", SIZE, 1);
	mount_open(place->dir, NULL, &place->mount);
	mount_open(place->dir, NULL, &second.mount);
	src = odx_open(place, "a", O_RDWR);
	dst = odx_open(&second, "a", O_RDWR);
	cr_assert_eq(odx_read(src, 0, SIZE, 0, &token, NULL), 0);
	cr_expect_eq(odx_write(dst, 0, SIZE, 0, &token, NULL), INVALID_TOKEN);
	cr_expect_eq(odx_drop(dst, &token), INVALID_TOKEN);
	cr_expect_eq(odx_write(src, 0, SIZE, 0, &token, NULL), 0);
	close(src);
	close(dst);
	mount_close(&second.mount);
	/* Nor does one outlive its mount. */
	mount_close(&place->mount);
	mount_open(place->dir, NULL, &place->mount);
	dst = odx_open(place, "a", O_RDWR);
	cr_expect_eq(odx_write(dst, 0, SIZE, 0, &token, NULL), INVALID_TOKEN);
	close(dst);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_safety, refuses_each_flipped_bit)
{
	struct offlay_token token, forged;
	int fd;

	odx_file(place, "a", SIZE, 1);
	mount_open(place->dir, NULL, &place->mount);
	fd = odx_open(place, "a", O_RDWR);
	cr_assert_eq(odx_read(fd, 0, SIZE, 0, &token, NULL), 0);
	for (size_t bit = 0; bit < sizeof(token) * 8; bit++) {
		forged = token;
		((unsigned char *)&forged)[bit / 8] ^= 1u << bit % 8;
		cr_assert_eq(odx_write(fd, 0, 4096, 0, &forged, NULL),
			     INVALID_TOKEN, "bit %zu", bit);
	}
	cr_expect_eq(odx_write(fd, 0, 4096, 0, &token, NULL), 0);
	close(fd);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_safety, lets_tokens_expire)
{
	struct offlay_token token;
	uint64_t bytes;
	int fd;

	odx_file(place, "a", SIZE, 1);
	mount_open(place->dir, NULL, &place->mount);
	fd = odx_open(place, "a", O_RDWR);
	cr_assert_eq(odx_read(fd, 0, SIZE, 1000, &token, NULL), 0);
	for (int i = 0; i < 6; i++) {
		sleep_ms(250);
		cr_assert_eq(odx_write(fd, 0, 4096, 0, &token, NULL), 0,
			     "use %d should have kept it", i);
	}
	sleep_ms(1300);
	cr_expect_eq(odx_write(fd, 0, 4096, 0, &token, NULL), INVALID_TOKEN);
	/* Its space is given back without anybody asking. */
	cr_expect_eq(odx_alive(place, &bytes), 0);
	cr_expect_eq(bytes, 0);
	close(fd);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_safety, limits_users_and_the_mount)
{
	struct offlay_token token;
	int fd, n = 0;

	mount_open(place->dir, "tokens=count=5:user_count=3", &place->mount);
	fd = open_public(place, "a");
	cr_assert_eq(user_enter(&one), 0);
	while (n < 9 && odx_read(fd, 0, SIZE, 0, &token, NULL) == 0)
		n++;
	cr_expect_eq(n, 3);
	cr_expect_eq(odx_read(fd, 0, SIZE, 0, &token, NULL), NO_RESOURCES);
	cr_assert_eq(user_leave(), 0);
	cr_assert_eq(user_enter(&other), 0);
	while (n < 9 && odx_read(fd, 0, SIZE, 0, &token, NULL) == 0)
		n++;
	cr_expect_eq(n, 5);
	cr_assert_eq(odx_drop(fd, &token), 0);
	cr_expect_eq(odx_read(fd, 0, SIZE, 0, &token, NULL), 0);
	cr_assert_eq(user_leave(), 0);
	close(fd);
	mount_close(&place->mount);
}

ODX_ON_EACH_BACKING(odx_safety, lets_only_the_owner_change_limits)
{
	struct offlay_ioc_odx_volume volume, now;
	const struct offlay_status *status;
	int fd;

	mount_open(place->dir, NULL, &place->mount);
	fd = open_public(place, "a");
	cr_assert_eq(offlay_odx_volume(fd, &volume, NULL), 0);
	cr_expect_eq(volume.sector, 512);
	volume.sector = 4096;
	cr_assert_eq(user_enter(&one), 0);
	cr_expect_eq(offlay_odx_set_volume(fd, &volume, &status), -EACCES);
	cr_assert_eq(offlay_odx_volume(fd, &now, NULL), 0);
	cr_expect_eq(now.sector, 512);
	cr_assert_eq(user_leave(), 0);
	cr_assert_eq(offlay_odx_set_volume(fd, &volume, &status), 0);
	volume.sector = 1000;
	cr_expect_eq(offlay_odx_set_volume(fd, &volume, &status), -EINVAL);
	cr_assert_eq(offlay_odx_volume(fd, &now, NULL), 0);
	cr_expect_eq(now.sector, 4096);
	close(fd);
	mount_close(&place->mount);
}

static int count_fds(const struct mount *mount)
{
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)mount->pid);
	dir = opendir(path);
	cr_assert_not_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A thousand in at most 1 MiB; and it ends well with all of them alive. */
ODX_ON_EACH_BACKING(odx_safety, keeps_ten_thousand_tokens)
{
	struct offlay_token *tokens = malloc(10000 * sizeof(*tokens));
	int fd, dst, fds;
	long memory;

	odx_file(place, "a", SIZE, 1);
	mount_open(place->dir, "tokens=user_count=10000", &place->mount);
	fd = odx_open(place, "a", O_RDONLY);
	cr_assert_eq(odx_read(fd, 0, SIZE, 0, &tokens[0], NULL), 0);
	memory = mount_rss_kib(&place->mount);
	fds = count_fds(&place->mount);
	for (int i = 1; i < 1000; i++)
		cr_assert_eq(odx_read(fd, 0, SIZE, 0, &tokens[i], NULL), 0);
	memory = mount_rss_kib(&place->mount) - memory;
	cr_expect_leq(memory, 1024, "%ld KiB", memory);
	for (int i = 1000; i < 10000; i++)
		cr_assert_eq(odx_read(fd, 0, SIZE, 0, &tokens[i], NULL), 0,
			     "token %d", i);
	cr_expect_leq(count_fds(&place->mount), fds);
	dst = odx_new(place, "b", SIZE);
	for (int i = 0; i < 10000; i += 1111)
		cr_assert_eq(odx_write(dst, 0, SIZE, 0, &tokens[i], NULL), 0);
	cr_expect_eq(odx_alive(place, NULL), 10000);
	close(fd);
	close(dst);
	mount_close(&place->mount);
	odx_same(place, "a", "b");
	free(tokens);
}
