// SPDX-License-Identifier: MIT
/* Walks the tables of offlay-eligibility(7): each file in each mode. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elig_files.h"
#include "elig_table.h"
#include "extents.h"
#include "mount.h"
#include "offlay.h"
#include "offlay_uapi.h"
#include "sample.h"
#include "volume.h"

static const enum mount_mode modes[] = { MODE_PASSTHROUGH,
					 MODE_NO_PASSTHROUGH };

/* The kind (OFFLAY_DENY_*) that a cell of the first table names. */
static unsigned int kind_of(const char *cell)
{
	unsigned int deny = 0;
	const char *bad;

	if (!strcmp(cell, "eligible"))
		return 0;
	cr_assert_eq(offlay_deny_parse(cell, &deny, &bad), 0, "'%s'", cell);
	return deny;
}

/* The same bits, as reasons of a verdict. */
static uint32_t reasons_of(unsigned int deny)
{
	return (deny & OFFLAY_DENY_SPARSE ? 1u << OFFLAY_REASON_SPARSE : 0) |
	       (deny & OFFLAY_DENY_ENCRYPTED ? 1u << OFFLAY_REASON_ENCRYPTED
					     : 0) |
	       (deny & OFFLAY_DENY_COMPRESSED ? 1u << OFFLAY_REASON_COMPRESSED
					      : 0);
}

static bool is_here(const struct volume *volume, const struct elig_row *row)
{
	return !strcmp(row->cell[3], "any") ||
	       !strcmp(row->cell[3], backing_name(volume->backing));
}

/* Makes the row's file; a row that the page promises must be possible. */
static bool make(const struct volume *volume, const struct elig_row *row,
		 const char *path)
{
	int err;

	if (!is_here(volume, row))
		return false;
	err = elig_make(volume, row->cell[0], path);
	/* tmpfs has user attributes since Linux 6.6 only. */
	if (err == -EOPNOTSUPP && volume->backing == BACKING_TMPFS &&
	    !strncmp(row->cell[0], "DOS ", 4)) {
		volume_note_skip(row->cell[0], "no user attributes on tmpfs");
		return false;
	}
	cr_assert_eq(err, 0, "%s on %s: %s", row->cell[0],
		     backing_name(volume->backing), strerror(-err));
	return true;
}

/* Where a row's files live, below the directory that is mounted. */
static void place(const struct elig_row *row, const char *root,
		  const char *name, char *ret_path)
{
	char rest[64];

	snprintf(rest, sizeof(rest), "%s%s",
		 elig_is_encrypted(row->cell[0]) ? "encrypted/" : "", name);
	volume_path(ret_path, root, rest);
}

/* ------------------------------------------------------ the first table */

static void check_library(const struct elig_row *row, const char *path)
{
	struct offlay_facts facts;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", path);
	for (int side = 0; side <= OFFLAY_DESTINATION; side++)
		for (unsigned int deny = 0; deny <= OFFLAY_DENY_ALL; deny++) {
			cr_assert_eq(
				offlay_facts_gather(fd, side, deny, &facts), 0);
			cr_expect_eq(
				offlay_eligible(&facts, side, deny).reasons,
				reasons_of(kind_of(row->cell[1 + side]) & deny),
				"%s, side %d, deny %u", row->cell[0], side,
				deny);
		}
	close(fd);
}

static void check_ioctl(const struct elig_row *row, const char *path)
{
	struct offlay_ioc_explain explain = { .version = OFFLAY_ABI_VERSION };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(ioctl(fd, OFFLAY_IOC_EXPLAIN, &explain), 0, "%s: %s",
		     row->cell[0], strerror(errno));
	cr_expect_eq(explain.src_reasons, reasons_of(kind_of(row->cell[1])),
		     "%s: source %x", row->cell[0], explain.src_reasons);
	cr_expect_eq(explain.dst_reasons, reasons_of(kind_of(row->cell[2])),
		     "%s: destination %x", row->cell[0], explain.dst_reasons);
	close(fd);
}

static void check_tool(const struct elig_row *row, const char *path)
{
	struct command_result result;
	bool eligible = !kind_of(row->cell[1]) && !kind_of(row->cell[2]);
	char want[96];

	COMMAND(&result, (char *)mount_tool_path(), "explain", (char *)path);
	cr_expect_eq(result.status, eligible ? 0 : 1, "%s: %s%s", row->cell[0],
		     result.out, result.err);
	for (int side = 0; side <= OFFLAY_DESTINATION; side++) {
		if (!kind_of(row->cell[1 + side]))
			continue;
		snprintf(want, sizeof(want), "%s ineligible, %d",
			 side ? "destination" : "source", side ? 4443 : 4442);
		cr_expect_not_null(strstr(result.out, want), "%s: %s", want,
				   result.out);
		snprintf(want, sizeof(want), "(%s: ", row->cell[1 + side]);
		cr_expect_not_null(strstr(result.out, want), "%s: %s", want,
				   result.out);
	}
}

static void walk_files(enum backing backing)
{
	struct elig_table table;
	struct volume volume;
	struct mount mount;
	char below[PATH_MAX], above[PATH_MAX];

	if (!backing_is_selected(backing))
		volume_skip(backing_name(backing), "not selected");
	elig_table_read("file", 4, &table);
	elig_volume(backing, &volume);
	mount_open(volume.root, NULL, &mount);
	for (size_t i = 0; i < table.count; i++) {
		const struct elig_row *row = &table.row[i];

		place(row, volume.root, "file", below);
		place(row, mount.point, "file", above);
		if (!make(&volume, row, below))
			continue;
		check_library(row, below);
		check_ioctl(row, above);
		check_tool(row, below);
		check_tool(row, above);
		unlink(below);
	}
	mount_close(&mount);
}

/* ----------------------------------------------------- the second table */

enum side_use { USE_SOURCE, USE_DESTINATION, USE_BOTH, USE_COUNT };

static const char *const use_names[] = { "source", "destination", "both" };

struct copy {
	const struct volume *volume;
	const char *options;
	const char *row;
	enum side_use use;
	const char *want; /* cell of the second table */
	bool src_has_holes;
	char src[PATH_MAX], dst[PATH_MAX]; /* on the backing */
	char src_above[PATH_MAX], dst_above[PATH_MAX];
	struct stat src_before, dst_before;
	unsigned char *content; /* of the destination before */
};

#define SAY(copy, fmt, ...)                                             \
	"%s, -o %s, '%s' as %s, want '%s': " fmt,                       \
		backing_name((copy)->volume->backing), (copy)->options, \
		(copy)->row, use_names[(copy)->use], (copy)->want,      \
		##__VA_ARGS__

static unsigned char *slurp(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	unsigned char *data;

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size + 1);
	cr_assert_not_null(data);
	cr_assert_eq(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	*ret_size = (size_t)st.st_size;
	return data;
}

/* Copies as a program would; the result is the count, or a negative errno. */
static ssize_t copy_all(const char *src, const char *dst)
{
	int in = open(src, O_RDONLY | O_CLOEXEC);
	int out = open(dst, O_WRONLY | O_CLOEXEC);
	ssize_t total = 0, n;

	cr_assert_geq(in, 0, "%s: %s", src, strerror(errno));
	cr_assert_geq(out, 0, "%s: %s", dst, strerror(errno));
	do {
		n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);
		if (n < 0)
			n = -errno;
		else
			total += n;
	} while (n > 0);
	if (n < 0) {
		cr_expect_eq(lseek(in, 0, SEEK_CUR), total);
		cr_expect_eq(lseek(out, 0, SEEK_CUR), total);
		cr_expect_eq(total, 0, "an error after %zd bytes", total);
	}
	close(in);
	close(out);
	return n < 0 ? n : total;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* A refused copy leaves no trace, in the backing or in the mount. */
static void check_untouched(const struct copy *copy)
{
	const char *paths[] = { copy->dst, copy->dst_above };
	struct stat st;
	size_t size;

	for (int i = 0; i < 2; i++) {
		unsigned char *now = slurp(paths[i], &size);

		cr_expect_eq(size, (size_t)copy->dst_before.st_size,
			     SAY(copy, "size is %zu", size));
		if (size == (size_t)copy->dst_before.st_size)
			cr_expect_eq(memcmp(now, copy->content, size), 0,
				     SAY(copy, "the content has changed"));
		free(now);
	}
	cr_assert_eq(stat(copy->dst, &st), 0);
	cr_expect(is_same_time(st.st_mtim, copy->dst_before.st_mtim),
		  SAY(copy, "mtime has changed"));
	cr_expect(is_same_time(st.st_ctim, copy->dst_before.st_ctim),
		  SAY(copy, "ctime has changed"));
	cr_assert_eq(stat(copy->src, &st), 0);
	cr_expect(is_same_time(st.st_mtim, copy->src_before.st_mtim),
		  SAY(copy, "the source's mtime has changed"));
}

/* The source's bytes, then whatever the destination had behind them. */
static void check_copied(const struct copy *copy)
{
	const char *paths[] = { copy->dst, copy->dst_above };
	size_t src_size, size;
	unsigned char *src = slurp(copy->src, &src_size);

	for (int i = 0; i < 2; i++) {
		unsigned char *now = slurp(paths[i], &size);
		size_t old = (size_t)copy->dst_before.st_size;

		cr_expect_eq(size, src_size > old ? src_size : old,
			     SAY(copy, "size is %zu", size));
		cr_expect_eq(memcmp(now, src, src_size), 0,
			     SAY(copy, "the data is not the source's"));
		if (size > src_size)
			cr_expect_eq(memcmp(now + src_size,
					    copy->content + src_size,
					    size - src_size),
				     0, SAY(copy, "the rest has changed"));
		free(now);
	}
	free(src);
}

static void check_shared(const struct copy *copy, bool shared)
{
	struct extent_usage usage, src;

	if (!backing_has_reflink(copy->volume->backing))
		return;
	cr_assert_eq(extents_usage(copy->src, &src), 0);
	cr_assert_eq(extents_usage(copy->dst, &usage), 0);
	/* XFS has nothing to share of blocks that were never written. */
	if (shared && src.shared + src.exclusive > src.unwritten)
		cr_expect_gt(usage.shared, 0, SAY(copy, "nothing is shared"));
	if (!shared)
		cr_expect_eq(usage.shared, 0, SAY(copy, "extents are shared"));
}

static void check_result(const struct copy *copy, ssize_t result)
{
	const char *want = copy->want;
	bool reflink = backing_has_reflink(copy->volume->backing);
	struct stat st;

	/* Of an empty source the kernel asks for nothing. */
	if (!copy->src_before.st_size) {
		cr_expect_eq(result, 0, SAY(copy, "result %zd", result));
		check_untouched(copy);
		return;
	}
	if (!strcmp(want, "cloned") && !reflink)
		want = strstr(copy->options, "refuse=kernel") ? "by the kernel"
							      : "EOPNOTSUPP";
	if (!strcmp(want, "EOPNOTSUPP")) {
		cr_expect_eq(result, -EOPNOTSUPP,
			     SAY(copy, "%s", errno_name((long)result)));
		check_untouched(copy);
		return;
	}
	cr_expect_eq(result, copy->src_before.st_size,
		     SAY(copy, "result %zd", result));
	check_copied(copy);
	check_shared(copy,
		     !strcmp(want, "offloaded") || !strcmp(want, "cloned"));
	if (!strcmp(want, "by the daemon") && copy->src_has_holes) {
		cr_assert_eq(stat(copy->dst, &st), 0);
		cr_expect_leq(st.st_blocks,
			      copy->dst_before.st_blocks +
				      copy->src_before.st_blocks + 16,
			      SAY(copy, "holes were filled"));
	}
}

static void run_copy(struct copy *copy)
{
	size_t size;

	cr_assert_eq(stat(copy->src, &copy->src_before), 0);
	cr_assert_eq(stat(copy->dst, &copy->dst_before), 0);
	copy->src_has_holes = copy->src_before.st_blocks * 512 <
			      copy->src_before.st_size;
	copy->content = slurp(copy->dst, &size);
	check_result(copy, copy_all(copy->src_above, copy->dst_above));
	free(copy->content);
	unlink(copy->src);
	unlink(copy->dst);
}

/* What the options' deny is; the page's first line says all without one. */
static unsigned int deny_of(const char *options)
{
	const char *at = strstr(options, "deny=");
	unsigned int deny = OFFLAY_DENY_ALL;
	char list[64];
	const char *bad;

	if (!strcmp(options, "profile=transparent"))
		return 0;
	if (!at)
		return deny;
	snprintf(list, sizeof(list), "%s", at + 5);
	list[strcspn(list, ",")] = '\0';
	cr_assert_eq(offlay_deny_parse(list, &deny, &bad), 0, "%s", options);
	return deny;
}

static void pick_files(const struct volume *volume, const struct mount *mount,
		       const struct elig_row *row, struct copy *copy)
{
	static unsigned int serial;
	bool is_src = copy->use != USE_DESTINATION;
	bool is_dst = copy->use != USE_SOURCE;
	static const struct elig_row plain = { .cell = { "all data", "eligible",
							 "eligible", "any" } };
	const struct elig_row *src = is_src ? row : &plain;
	const struct elig_row *dst = is_dst ? row : &plain;
	char name[32];

	/* New names each time: names are cached for a second. */
	snprintf(name, sizeof(name), "src%u", ++serial);
	place(src, volume->root, name, copy->src);
	place(src, mount->point, name, copy->src_above);
	snprintf(name, sizeof(name), "dst%u", serial);
	place(dst, volume->root, name, copy->dst);
	place(dst, mount->point, name, copy->dst_above);
	cr_assert(make(volume, src, copy->src));
	if (is_dst)
		cr_assert(make(volume, dst, copy->dst));
	else
		elig_fill(copy->dst, 2 * ELIG_BLOCK, 77);
}

static void walk_uses(const struct volume *volume, const struct mount *mount,
		      const struct elig_row *file, const struct elig_row *mode)
{
	unsigned int deny = deny_of(mode->cell[0]);

	for (enum side_use use = 0; use < USE_COUNT; use++) {
		unsigned int kinds =
			(use != USE_DESTINATION ? kind_of(file->cell[1]) : 0) |
			(use != USE_SOURCE ? kind_of(file->cell[2]) : 0);
		struct copy copy = {
			.volume = volume,
			.options = mode->cell[0],
			.row = file->cell[0],
			.use = use,
			.want = kinds & deny ? mode->cell[2]
				: kinds	     ? mode->cell[3]
					     : mode->cell[1],
		};

		pick_files(volume, mount, file, &copy);
		run_copy(&copy);
	}
}

static void walk_modes(enum backing backing, enum mount_mode how)
{
	struct elig_table files, options;
	struct volume volume;
	struct mount mount;
	char path[PATH_MAX];

	if (!backing_is_selected(backing))
		volume_skip(backing_name(backing), "not selected");
	elig_table_read("file", 4, &files);
	elig_table_read("options", 4, &options);
	elig_volume(backing, &volume);
	for (size_t i = 0; i < options.count; i++) {
		const char *words = options.row[i].cell[0];

		mount_open_mode(volume.root, how,
				strcmp(words, "defaults") ? words : NULL,
				&mount);
		for (size_t k = 0; k < files.count; k++) {
			place(&files.row[k], volume.root, "src", path);
			if (make(&volume, &files.row[k], path))
				walk_uses(&volume, &mount, &files.row[k],
					  &options.row[i]);
		}
		mount_close(&mount);
	}
}

#define WALK(name, backing)                                          \
	Test(elig_walk, name##_files, .timeout = 60)                 \
	{                                                            \
		walk_files(backing);                                 \
	}                                                            \
	Test(elig_walk, name##_modes_passthrough, .timeout = 300)    \
	{                                                            \
		walk_modes(backing, modes[0]);                       \
	}                                                            \
	Test(elig_walk, name##_modes_no_passthrough, .timeout = 300) \
	{                                                            \
		walk_modes(backing, modes[1]);                       \
	}                                                            \
	struct walk_needs_semicolon

WALK(btrfs, BACKING_BTRFS);
WALK(xfs, BACKING_XFS);
WALK(ext4, BACKING_EXT4);
WALK(tmpfs, BACKING_TMPFS);

VOLUME_MAIN;
