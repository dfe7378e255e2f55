/* SPDX-License-Identifier: MIT */
/* Backing filesystems of the end-to-end tests, and who cleans up after them. */
#ifndef E2E_VOLUME_H
#define E2E_VOLUME_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

enum backing {
	BACKING_BTRFS,
	BACKING_XFS,
	BACKING_EXT4,
	BACKING_TMPFS,
	BACKING_COUNT,
};

/* Made with mkfs.ext4 -O encrypt; ext4 only. */
#define VOLUME_ENCRYPT (1u << 0)
/* For this test alone: unmounted and removed by volume_free(). */
#define VOLUME_PRIVATE (1u << 1)

struct volume {
	enum backing backing;
	unsigned int flags;
	/* Where the filesystem is mounted. */
	char root[PATH_MAX];
	/* Image file; empty for tmpfs. */
	char image[PATH_MAX];
};

/**
 * volume_main() - run this program's Criterion tests with a scratch directory
 * @argc: of main()
 * @argv: of main()
 *
 * Makes a fresh directory under $TMPDIR or /tmp and runs the tests serially.
 * A reaper process, which outlives a crash and a timeout, then stops what is
 * left of the daemons, unmounts everything under the directory and removes it.
 *
 * Return: exit status for main().
 */
int volume_main(int argc, char **argv);

/*
 * The main() of a test program.  Criterion's sandbox writes a jump over the
 * first bytes of main() in the child; the padding keeps a short main() from
 * losing what follows it, and the sandbox must see the symbol to find it.
 */
#define VOLUME_MAIN                                          \
	__attribute__((visibility("default"),                \
		       patchable_function_entry(64, 0))) int \
	main(int argc, char **argv)                          \
	{                                                    \
		return volume_main(argc, argv);              \
	}                                                    \
	struct volume_main_needs_semicolon

/**
 * volume_scratch() - the directory that volume_main() made
 *
 * Return: its path, never NULL inside a test.
 */
const char *volume_scratch(void);

/**
 * volume_get() - a mounted backing filesystem of 2 GiB
 * @backing: which filesystem
 * @flags: VOLUME_*
 * @ret_volume: set on success
 *
 * Without VOLUME_PRIVATE the tests of one program share a volume, which stays
 * until the program ends; each takes a volume_dir() of it.  Ends the test as
 * skipped where the kernel or the tools do not have the filesystem, and as
 * failed where making it fails.
 */
void volume_get(enum backing backing, unsigned int flags,
		struct volume *ret_volume);

/**
 * volume_get_sized() - a volume of this test alone, with size and options
 * @backing: which filesystem
 * @flags: VOLUME_*; VOLUME_PRIVATE is implied
 * @size: of the image, in bytes
 * @options: for mount -o, or NULL
 * @ret_volume: set on success
 */
void volume_get_sized(enum backing backing, unsigned int flags, uint64_t size,
		      const char *options, struct volume *ret_volume);

/**
 * volume_free() - unmount and remove a private volume; shared ones stay
 * @volume: volume, or NULL
 */
void volume_free(struct volume *volume);

/**
 * volume_dir() - make a fresh directory with mode 0755 on a volume
 * @volume: where
 * @prefix: how its name begins
 * @ret_path: PATH_MAX bytes
 */
void volume_dir(const struct volume *volume, const char *prefix,
		char *ret_path);

/**
 * volume_scratch_dir() - make a fresh empty directory outside any volume
 * @prefix: how its name begins
 * @ret_path: PATH_MAX bytes
 */
void volume_scratch_dir(const char *prefix, char *ret_path);

/**
 * volume_unmount() - unmount a path, waiting while it is busy
 * @path: mount point
 *
 * Return: 0, or -EBUSY and others after two seconds of trying.
 */
int volume_unmount(const char *path);

/**
 * volume_path() - join a directory and a name
 * @ret_path: PATH_MAX bytes
 * @dir: directory
 * @name: what follows the slash
 */
void volume_path(char *ret_path, const char *dir, const char *name);

/**
 * volume_skip() - end the test as skipped, which Criterion prints with -v
 * @name: the row or case
 * @fmt: reason
 */
void volume_skip(const char *name, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/**
 * volume_note_skip() - print "[SKIP] name: reason" for a part, and go on
 * @name: the row or case
 * @reason: why
 */
void volume_note_skip(const char *name, const char *reason);

/* "btrfs", "xfs", "ext4", "tmpfs" */
const char *backing_name(enum backing backing);

/* Is it among $OFFLAY_BACKINGS (colon separated)?  All are where unset. */
int backing_is_selected(enum backing backing);

/* Can two files share extents on it? */
int backing_has_reflink(enum backing backing);

#endif
