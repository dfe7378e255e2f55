// SPDX-License-Identifier: MIT
/* What "offlay copy" says: failures with full paths, and the summary. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "tools.h"

static const char *dir_name(const struct copy_dir *dir, enum offlay_side side)
{
	return side == OFFLAY_SOURCE ? dir->src_name : dir->dst_name;
}

/**
 * copy_report_path() - where an entry is, from the argument on
 * @entry: what is being copied
 * @side: which of its two paths
 *
 * Return: path of any length, which the caller frees; NULL when memory is
 * short.
 */
char *copy_report_path(const struct copy_entry *entry, enum offlay_side side)
{
	const char *name = side == OFFLAY_SOURCE ? entry->src_name
						 : entry->dst_name;
	const struct copy_dir *dir;
	size_t length = strlen(name);
	char *path, *at;

	for (dir = entry->dir; dir; dir = dir->parent)
		length += strlen(dir_name(dir, side)) + 1;
	path = malloc(length + 1);
	if (!path)
		return NULL;
	at = path + length - strlen(name);
	strcpy(at, name);
	for (dir = entry->dir; dir; dir = dir->parent) {
		const char *part = dir_name(dir, side);
		size_t part_length = strlen(part);

		if (!part_length)
			continue;
		/* An argument such as "/" brings its own slash. */
		if (part[part_length - 1] != '/')
			*--at = '/';
		at -= part_length;
		memcpy(at, part, part_length);
	}
	memmove(path, at, strlen(at) + 1);
	return path;
}

static char *quoted_path(const struct copy_entry *entry, enum offlay_side side)
{
	char *path = copy_report_path(entry, side);
	char *quoted = path ? text_quote(path) : NULL;

	free(path);
	return quoted;
}

/**
 * copy_report_failure() - one line about one file; the command will exit 1
 * @run: command
 * @entry: what is being copied
 * @side: whose path to name
 * @err: negative errno, or 0 where @what says it all
 * @what: such as "cannot open"
 */
void copy_report_failure(struct copy_run *run, const struct copy_entry *entry,
			 enum offlay_side side, int err, const char *what)
{
	char *path;

	atomic_store(&run->failed, true);
	/* The end of an interrupted command says so once for all files. */
	if (err == -EINTR && copy_interrupted())
		return;
	path = quoted_path(entry, side);
	if (err)
		report_error("%s %s: %s", what, path, strerror(-err));
	else
		report_error("%s: %s", path, what);
	free(path);
}

/**
 * copy_report_abandoned() - a copy that ended early, and what is there now
 * @why: reason, or NULL where @err says it all
 * @err: negative errno, or 0 where @why does
 * @state: what became of the destination
 */
void copy_report_abandoned(struct copy_run *run, const struct copy_entry *entry,
			   const char *why, int err, const char *state)
{
	char *src = quoted_path(entry, OFFLAY_SOURCE);
	char *dst = quoted_path(entry, OFFLAY_DESTINATION);
	const char *text = err == -EINTR ? "interrupted" : strerror(-err);

	atomic_store(&run->failed, true);
	report_error("cannot copy %s: %s%s%s; %s %s", src, why ? why : "",
		     why && err ? ": " : "", err ? text : "", dst, state);
	free(src);
	free(dst);
}

/**
 * copy_report_done() - the line of --verbose
 * @how: how it was copied
 * @digest: XXH3-128 of what --verify has read, or ""
 */
void copy_report_done(const struct copy_entry *entry, const char *how,
		      const char *digest)
{
	char *src = quoted_path(entry, OFFLAY_SOURCE);
	char *dst = quoted_path(entry, OFFLAY_DESTINATION);

	report_status(NULL);
	printf("%s -> %s (%s%s%s)\n", src, dst, how, *digest ? ", xxh128 " : "",
	       digest);
	free(src);
	free(dst);
}

static void print_count(uint64_t count, const char *one, const char *many,
			const char **separator)
{
	if (!count)
		return;
	printf("%s%" PRIu64 " %s", *separator, count, count == 1 ? one : many);
	*separator = ", ";
}

static void print_refused(const struct copy_totals *totals)
{
	const char *separator = " (";
	int reason;

	printf("Refused by the mount and copied by hand: %" PRIu64 " file%s",
	       (uint64_t)totals->refused, totals->refused == 1 ? "" : "s");
	for (reason = 0; reason < OFFLAY_REASON_COUNT; reason++) {
		if (!totals->reasons[reason])
			continue;
		printf("%s%s %" PRIu64, separator,
		       offlay_reason_name((enum offlay_reason)reason),
		       (uint64_t)totals->reasons[reason]);
		separator = ", ";
	}
	puts(*separator == ',' ? ")" : "");
}

/**
 * copy_report_summary() - what was done, on stdout
 */
void copy_report_summary(const struct copy_run *run, double seconds)
{
	const struct copy_totals *totals = &run->totals;
	char total[TEXT_SIZE_MAX], cloned[TEXT_SIZE_MAX];
	char offloaded[TEXT_SIZE_MAX], moved[TEXT_SIZE_MAX];
	char holes[TEXT_SIZE_MAX], size[TEXT_SIZE_MAX];
	const char *separator = "";

	print_count(totals->files, "file", "files", &separator);
	print_count(totals->directories, "directory", "directories",
		    &separator);
	print_count(totals->symlinks, "symbolic link", "symbolic links",
		    &separator);
	print_count(totals->links, "hard link", "hard links", &separator);
	print_count(totals->specials, "special file", "special files",
		    &separator);
	if (!*separator) {
		if (atomic_load(&run->failed))
			return;
		printf("Nothing copied");
	}
	printf("; %s: %s cloned, %s offloaded, %s copied, %s holes; %.2f s\n",
	       text_size(totals->cloned + totals->offloaded + totals->moved +
				 totals->holes,
			 total),
	       text_size(totals->cloned, cloned),
	       text_size(totals->offloaded, offloaded),
	       text_size(totals->moved, moved), text_size(totals->holes, holes),
	       seconds);
	if (totals->resumed)
		printf("Found in place and verified: %s\n",
		       text_size(totals->resumed, size));
	if (totals->verified)
		printf("Read back and equal (XXH3-128): %s\n",
		       text_size(totals->verified, size));
	if (totals->skipped)
		printf("Left as they were: %" PRIu64 "\n",
		       (uint64_t)totals->skipped);
	if (totals->refused)
		print_refused(totals);
}
