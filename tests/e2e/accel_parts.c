// SPDX-License-Identifier: MIT
/* Copies of a part of a file, and of a file into several. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "accel.h"
#include "extents.h"
#include "sample.h"
#include "volume.h"

#define MIB  (1u << 20)
#define SIZE (12u * MIB)

static const struct {
	const char *name;
	const char *command; /* in the mount, with src */
	const char *file;    /* that it makes */
	uint64_t src_offset, dst_offset, length;
	int times; /* the first ones teach */
} rows[] = {
	{ "dd skip", "dd if=src of=dst bs=128K skip=40", "dst", 5 * MIB, 0,
	  7 * MIB, 1 },
	{ "dd skip 4K", "dd if=src of=dst bs=4K skip=1280 count=256", "dst",
	  5 * MIB, 0, MIB, 1 },
	{ "dd skip, seek", "dd if=src of=dst bs=1M skip=6 seek=2", "dst",
	  6 * MIB, 2 * MIB, 6 * MIB, 1 },
	{ "split, first", "split -b 3M src part.", "part.aa", 0, 0, 3 * MIB,
	  1 },
	{ "split, last", "split -b 3M src part.", "part.ad", 9 * MIB, 0,
	  3 * MIB, 1 },
	{ "tail", "tail -c +5242881 src >dst", "dst", 5 * MIB, 0, 7 * MIB, 2 },
	{ "python3 seek",
	  "python3 -c 'import shutil\n"
	  "i = open(\"src\", \"rb\")\n"
	  "i.seek(7 << 20)\n"
	  "shutil.copyfileobj(i, open(\"dst\", \"wb\"))'",
	  "dst", 7 * MIB, 0, 5 * MIB, 1 },
	{ "by another descriptor",
	  "exec 5<src; dd bs=1M count=4 of=/dev/null <&5; dd bs=64K of=dst <&5",
	  "dst", 4 * MIB, 0, 8 * MIB, 1 },
};

struct part_case {
	enum backing backing;
	size_t row;
};

ParameterizedTestParameters(accel_parts, shares_them)
{
	enum { N = sizeof(rows) / sizeof(*rows) };
	static struct part_case cases[2 * N];

	for (size_t i = 0; i < 2 * (size_t)N; i++)
		cases[i] = (struct part_case){
			i % 2 ? BACKING_XFS : BACKING_BTRFS,
			i / 2,
		};
	return cr_make_param_array(struct part_case, cases, 2 * (size_t)N);
}

static void expect_bytes(const char *src_path, const char *dst_path, size_t row)
{
	static char a[4096], b[4096];
	int src = open(src_path, O_RDONLY), dst = open(dst_path, O_RDONLY);
	struct stat st;

	cr_assert(src >= 0 && dst >= 0, "%s", rows[row].name);
	cr_assert_eq(fstat(dst, &st), 0);
	cr_expect_eq((uint64_t)st.st_size,
		     rows[row].dst_offset + rows[row].length);
	for (uint64_t at = 0; at < rows[row].length; at += sizeof(a)) {
		cr_assert_eq(pread(src, a, sizeof(a),
				   (off_t)(rows[row].src_offset + at)),
			     sizeof(a));
		cr_assert_eq(pread(dst, b, sizeof(b),
				   (off_t)(rows[row].dst_offset + at)),
			     sizeof(b));
		cr_assert_eq(memcmp(a, b, sizeof(a)), 0, "%s: %llu",
			     rows[row].name, (unsigned long long)at);
	}
	close(src);
	close(dst);
}

ParameterizedTest(const struct part_case *param, accel_parts, shares_them,
		  .timeout = 120)
{
	char dir[PATH_MAX], src[PATH_MAX + 16], dst[PATH_MAX + 16];
	char script[PATH_MAX + 512];
	struct command_result result;
	struct extent_usage usage;
	struct volume volume;
	struct mount mount;
	int fd;

	if (!backing_is_selected(param->backing))
		volume_skip(backing_name(param->backing), "not selected");
	volume_get(param->backing, 0, &volume);
	volume_dir(&volume, "parts", dir);
	mount_open_mode(dir, MODE_PASSTHROUGH, "accel", &mount);
	snprintf(src, sizeof(src), "%s/src", dir);
	snprintf(dst, sizeof(dst), "%s/%s", dir, rows[param->row].file);
	sample_file(src, SIZE, 7);
	fd = open(src, O_RDONLY);
	cr_assert_eq(fsync(fd), 0);
	close(fd);
	snprintf(script, sizeof(script), "cd '%s' && %s", mount.point,
		 rows[param->row].command);
	for (int i = 0; i < rows[param->row].times; i++)
		cr_assert_eq(COMMAND(&result, "sh", "-c", script), 0, "%s: %s",
			     rows[param->row].name, result.err);
	expect_bytes(src, dst, param->row);
	cr_assert_eq(extents_usage(dst, &usage), 0);
	cr_expect_eq(usage.shared, rows[param->row].length,
		     "%s: %llu bytes shared, %llu not", rows[param->row].name,
		     (unsigned long long)usage.shared,
		     (unsigned long long)usage.exclusive);
	mount_close(&mount);
}
