/* SPDX-License-Identifier: MIT */
/* Backing filesystems of the end-to-end tests, and who cleans up after them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mountinfo.h"
#include "process.h"
#include "reaper.h"
#include "volume.h"

#define SHARED_SIZE (2ull << 30)
#define SCRATCH_ENV "OFFLAY_SCRATCH"

static const char *const names[BACKING_COUNT] = {
	[BACKING_BTRFS] = "btrfs",
	[BACKING_XFS] = "xfs",
	[BACKING_EXT4] = "ext4",
	[BACKING_TMPFS] = "tmpfs",
};

const char *backing_name(enum backing backing)
{
	return names[backing];
}

int backing_has_reflink(enum backing backing)
{
	return backing == BACKING_BTRFS || backing == BACKING_XFS;
}

int backing_is_selected(enum backing backing)
{
	const char *list = getenv("OFFLAY_BACKINGS");
	char *copy, *save, *word;
	int found = 0;

	if (!list)
		return 1;
	copy = strdup(list);
	for (word = strtok_r(copy, ":", &save); word;
	     word = strtok_r(NULL, ":", &save))
		found |= strcmp(word, names[backing]) == 0;
	free(copy);
	return found;
}

int volume_main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	struct criterion_test_set *tests;
	char scratch[PATH_MAX];
	struct reaper reaper;
	int failed = 0, left;

	if (geteuid() != 0) {
		fprintf(stderr, "%s: must be run by root\n", argv[0]);
		return 1;
	}
	snprintf(scratch, sizeof(scratch), "%s/offlay-e2e.XXXXXX",
		 tmp ? tmp : "/tmp");
	if (!mkdtemp(scratch) || chmod(scratch, 0755) != 0) {
		perror(scratch);
		return 1;
	}
	umask(022);
	setenv(SCRATCH_ENV, scratch, 1);
	if (reaper_start(scratch, &reaper)) {
		perror("reaper");
		return 1;
	}
	tests = criterion_initialize();
	/* Tests of one program share volumes, loop devices and the machine. */
	criterion_options.jobs = 1;
	if (criterion_handle_args(argc, argv, true)) {
		criterion_options.jobs = 1;
		failed = !criterion_run_all_tests(tests);
	}
	criterion_finalize(tests);
	left = reaper_finish(&reaper);
	if (left)
		fprintf(stderr, "%d mounts or daemons were left over\n", left);
	return failed || left;
}

const char *volume_scratch(void)
{
	const char *scratch = getenv(SCRATCH_ENV);

	cr_assert(scratch, "a test program's main() must call volume_main()");
	return scratch;
}

void volume_path(char *ret_path, const char *dir, const char *name)
{
	int n = snprintf(ret_path, PATH_MAX, "%s/%s", dir, name);

	cr_assert(n < PATH_MAX);
}

void volume_note_skip(const char *name, const char *reason)
{
	fprintf(stderr, "[SKIP] %s: %s\n", name, reason);
}

void volume_skip(const char *name, const char *fmt, ...)
{
	char reason[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	cr_skip_test("%s: %s", name, reason);
	abort();
}

static int kernel_has(const char *type)
{
	char line[256], *name;
	int found = 0;
	FILE *file = fopen("/proc/filesystems", "re");

	if (!file)
		return 0;
	while (!found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		name = strrchr(line, '\t');
		found = name && strcmp(name + 1, type) == 0;
	}
	fclose(file);
	return found;
}

static void make_image(const struct volume *volume, uint64_t size)
{
	static char *const commands[BACKING_COUNT][10] = {
		[BACKING_BTRFS] = { "mkfs.btrfs", "-q", "-f" },
		[BACKING_XFS] = { "mkfs.xfs", "-q", "-f", "-m", "reflink=1" },
		[BACKING_EXT4] = { "mkfs.ext4", "-q", "-F", "-b", "4096", "-N",
				   "200000", "-O", "encrypt" },
	};
	bool encrypt = volume->flags & VOLUME_ENCRYPT;
	struct command_result result;
	char *argv[12];
	int fd, n = 0;

	while (commands[volume->backing][n]) {
		argv[n] = commands[volume->backing][n];
		n++;
	}
	if (volume->backing == BACKING_EXT4 && !encrypt)
		n -= 2;
	argv[n++] = (char *)volume->image;
	argv[n] = NULL;

	fd = open(volume->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert(fd >= 0, "%s: %s", volume->image, strerror(errno));
	cr_assert(ftruncate(fd, (off_t)size) == 0);
	close(fd);
	command_run(argv, NULL, 60, &result);
	if (result.status == 127)
		volume_skip(names[volume->backing], "no %s here", argv[0]);
	cr_assert_eq(result.status, 0, "%s: %s", argv[0], result.err);
}

static void mount_volume(const struct volume *volume, uint64_t size,
			 const char *options)
{
	const char *name = names[volume->backing];
	struct command_result result;
	char text[512];

	cr_assert(mkdir(volume->root, 0755) == 0, "%s: %s", volume->root,
		  strerror(errno));
	if (volume->backing == BACKING_TMPFS)
		snprintf(text, sizeof(text), "size=%llu,mode=755%s%s",
			 (unsigned long long)size, options ? "," : "",
			 options ? options : "");
	else
		snprintf(text, sizeof(text), "loop%s%s", options ? "," : "",
			 options ? options : "");
	COMMAND(&result, "mount", "-t", (char *)name, "-o", text,
		(char *)(*volume->image ? volume->image : "tmpfs"),
		(char *)volume->root);
	cr_assert_eq(result.status, 0, "mount -t %s -o %s: %s", name, text,
		     result.err);
	cr_assert(chmod(volume->root, 0755) == 0);
}

static void volume_create(struct volume *volume, uint64_t size,
			  const char *options)
{
	const char *name = names[volume->backing];

	if (!kernel_has(name))
		COMMAND(NULL, "modprobe", (char *)name);
	if (!kernel_has(name))
		volume_skip(name, "the kernel has no %s", name);
	cr_assert(!(volume->flags & VOLUME_ENCRYPT) ||
		  volume->backing == BACKING_EXT4);
	if (volume->backing != BACKING_TMPFS)
		make_image(volume, size);
	else
		volume->image[0] = '\0';
	mount_volume(volume, size, options);
}

void volume_get_sized(enum backing backing, unsigned int flags, uint64_t size,
		      const char *options, struct volume *ret_volume)
{
	char dir[PATH_MAX];

	ret_volume->backing = backing;
	ret_volume->flags = flags | VOLUME_PRIVATE;
	volume_scratch_dir(names[backing], dir);
	volume_path(ret_volume->root, dir, "root");
	volume_path(ret_volume->image, dir, "image");
	volume_create(ret_volume, size, options);
}

void volume_get(enum backing backing, unsigned int flags,
		struct volume *ret_volume)
{
	char name[64];

	if (flags & VOLUME_PRIVATE) {
		volume_get_sized(backing, flags, SHARED_SIZE, NULL, ret_volume);
		return;
	}
	ret_volume->backing = backing;
	ret_volume->flags = flags;
	snprintf(name, sizeof(name), "%s%s", names[backing],
		 flags & VOLUME_ENCRYPT ? "-encrypt" : "");
	volume_path(ret_volume->root, volume_scratch(), name);
	snprintf(name, sizeof(name), "%s%s.image", names[backing],
		 flags & VOLUME_ENCRYPT ? "-encrypt" : "");
	volume_path(ret_volume->image, volume_scratch(), name);
	if (mountinfo_find(ret_volume->root, NULL) != 0)
		volume_create(ret_volume, SHARED_SIZE, NULL);
}

int volume_unmount(const char *path)
{
	for (int try = 0;; try++) {
		int err = umount2(path, UMOUNT_NOFOLLOW) == 0 ? 0 : -errno;

		if (err != -EBUSY || try == 40)
			return err;
		process_sleep_ms(50);
	}
}

void volume_free(struct volume *volume)
{
	int err;

	if (!volume || !(volume->flags & VOLUME_PRIVATE))
		return;
	err = volume_unmount(volume->root);
	cr_expect(err == 0, "unmount %s: %s", volume->root, errno_name(err));
	if (err)
		umount2(volume->root, MNT_DETACH);
	rmdir(volume->root);
	if (*volume->image)
		unlink(volume->image);
}

static void fresh_dir(const char *parent, const char *prefix, char *ret_path)
{
	char name[NAME_MAX];

	snprintf(name, sizeof(name), "%s.XXXXXX", prefix);
	volume_path(ret_path, parent, name);
	cr_assert(mkdtemp(ret_path), "%s: %s", ret_path, strerror(errno));
	cr_assert(chmod(ret_path, 0755) == 0);
}

void volume_dir(const struct volume *volume, const char *prefix, char *ret_path)
{
	fresh_dir(volume->root, prefix, ret_path);
}

void volume_scratch_dir(const char *prefix, char *ret_path)
{
	fresh_dir(volume_scratch(), prefix, ret_path);
}
