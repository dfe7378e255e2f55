// SPDX-License-Identifier: MIT
/* offlay token: what is asked of a mount. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "odx.h"
#include "token.h"
#include "tools.h"

#define FS_TYPE "fuse.offlayfs"

static int open_file(const char *name, int flags)
{
	int fd = open(name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *quoted;

	if (fd < 0) {
		quoted = text_quote(name);
		report_error("%s: %s", quoted, strerror(errno));
		free(quoted);
	}
	return fd;
}

/* From the offset to the end of the file, in whole sectors. */
static int default_length(int fd, const struct token_options *opt,
			  uint64_t *ret_length,
			  const struct offlay_status **ret_status)
{
	struct offlay_ioc_odx_volume volume;
	struct stat st;
	uint64_t size;
	int err;

	if (opt->has_length) {
		*ret_length = opt->length;
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	err = offlay_odx_volume(fd, &volume, ret_status);
	if (err)
		return err;
	size = (uint64_t)st.st_size;
	/* At the end: ask for something, so that the mount says it. */
	*ret_length = size > opt->offset
			      ? odx_round_up(size - opt->offset, volume.sector)
			      : volume.sector;
	return 0;
}

static int fail(const char *name, int err, const struct offlay_status *status,
		const struct token_options *opt)
{
	token_report(name, err, status);
	if (opt->json) {
		fputs("{ ", stdout);
		token_json_status(err, status);
		puts(" }");
	}
	return TOOL_FAILED;
}

int token_run_read(const char *file, const struct token_options *opt)
{
	struct offlay_odx_range range = { .offset = opt->offset,
					  .ttl = (uint32_t)opt->ttl };
	const struct offlay_status *status = NULL;
	struct offlay_token token;
	char size[TEXT_SIZE_MAX];
	uint64_t length;
	uint32_t flags;
	int fd, err, code;

	fd = open_file(file, O_RDONLY);
	if (fd < 0)
		return TOOL_FAILED;
	err = default_length(fd, opt, &range.length, &status);
	if (!err)
		err = offlay_odx_read(fd, &range, &token, &length, &flags,
				      &status);
	close(fd);
	if (err)
		return fail(file, err, status, opt);
	code = token_save(opt->output, &token);
	if (code)
		return code;
	if (opt->json)
		printf("{ \"ok\": true, \"transfer_length\": %" PRIu64
		       ", \"flags\": %" PRIu32 " }\n",
		       length, flags);
	else
		printf("a token for %" PRIu64 " bytes (%s)%s\n", length,
		       text_size(length, size),
		       flags & OFFLAY_ODX_READ_ALL_ZERO_BEYOND
			       ? ", zeros beyond"
			       : "");
	return TOOL_OK;
}

/*
 * Writes as often as it takes.  The file may have more room than the token
 * has bytes: then the mount refuses an offset behind the token, which is no
 * error here unless the user gave the length.
 */
static int write_all(int fd, const struct offlay_token *token,
		     const struct token_options *opt, uint64_t length,
		     uint64_t *done, const struct offlay_status **ret_status)
{
	struct offlay_odx_range range;
	uint64_t written;
	int err = 0;

	do {
		range.offset = opt->offset + *done;
		range.token_offset = opt->token_offset + *done;
		range.length = length - *done;
		err = offlay_odx_write(fd, &range, token, &written, ret_status);
		if (err || !written)
			break;
		*done += written;
	} while (*done < length);
	if (err == -EINVAL && *done && !opt->has_length)
		err = 0;
	return err;
}

int token_run_write(const char *token_name, const char *file,
		    const struct token_options *opt)
{
	const struct offlay_status *status = NULL;
	struct offlay_token token;
	char size[TEXT_SIZE_MAX];
	uint64_t length = 0, done = 0;
	int fd, err, code;

	code = token_load(token_name, &token);
	if (code)
		return code;
	fd = open_file(file, O_WRONLY);
	if (fd < 0)
		return TOOL_FAILED;
	err = default_length(fd, opt, &length, &status);
	if (!err)
		err = write_all(fd, &token, opt, length, &done, &status);
	if (close(fd) < 0 && !err)
		err = -errno;
	if (err)
		token_report(file, err, status);
	if (opt->json) {
		fputs("{ ", stdout);
		token_json_status(err, status);
		printf(", \"length_written\": %" PRIu64 " }\n", done);
	} else if (!err || done) {
		printf("%" PRIu64 " bytes written (%s)\n", done,
		       text_size(done, size));
	}
	return err ? TOOL_FAILED : TOOL_OK;
}

/* A token does not say where it is from: every mount is asked. */
int token_run_drop(const char *name, const struct token_options *opt)
{
	const struct offlay_status *status = NULL;
	struct offlay_token token;
	struct mntent *entry;
	int fd, err = -ESTALE;
	FILE *mounts;

	if (token_load(name, &token))
		return TOOL_FAILED;
	status = offlay_status_by_ntstatus(ODX_INVALID_TOKEN);
	mounts = setmntent("/proc/self/mounts", "re");
	while (err && mounts && (entry = getmntent(mounts))) {
		if (strcmp(entry->mnt_type, FS_TYPE))
			continue;
		fd = open(entry->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (offlay_odx_drop(fd, &token, NULL) == 0)
			err = 0;
		close(fd);
	}
	if (mounts)
		endmntent(mounts);
	if (err)
		return fail(name, err, status, opt);
	if (opt->json)
		puts("{ \"ok\": true }");
	return TOOL_OK;
}

static const char *on(uint32_t flags, uint32_t bit)
{
	return flags & bit ? "on" : "off";
}

static void print_volume(const struct offlay_ioc_odx_volume *v, bool json)
{
	const char *format =
		json ? "{ \"ok\": true, \"tokens\": \"%s\", \"read\": \"%s\", "
		       "\"write\": \"%s\", \"sector\": %u, \"transfer\": %llu, "
		       "\"copy\": %llu, \"bytes\": %llu, \"user_bytes\": %llu, "
		       "\"count\": %u, \"user_count\": %u, \"ttl\": %u, "
		       "\"ttl_max\": %u, \"timeout\": %u, \"forget\": %u, "
		       "\"alive\": %llu, \"alive_bytes\": %llu }\n"
		     : "tokens      %s\nread        %s\nwrite       %s\n"
		       "sector      %u\ntransfer    %llu\ncopy        %llu\n"
		       "bytes       %llu\nuser_bytes  %llu\ncount       %u\n"
		       "user_count  %u\nttl         %u ms\nttl_max     %u ms\n"
		       "timeout     %u\nforget      %u\nalive       %llu\n"
		       "alive_bytes %llu\n";

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf(format, on(v->odx_flags, OFFLAY_ODX_ON),
	       on(v->odx_flags, OFFLAY_ODX_READ_ON),
	       on(v->odx_flags, OFFLAY_ODX_WRITE_ON), v->sector,
	       v->transfer_max, v->copy_max, v->bytes_max, v->user_bytes_max,
	       v->tokens_max, v->user_tokens_max, v->ttl_default, v->ttl_max,
	       v->timeout_every, v->forget_every, v->tokens, v->bytes);
#pragma GCC diagnostic pop
}

int token_run_limits(const char *dir, const char *words,
		     const struct token_options *opt)
{
	const struct offlay_status *status = NULL;
	struct offlay_ioc_odx_volume volume;
	struct odx_limits limits;
	const char *bad;
	char *quoted;
	int fd, err;

	fd = open_file(dir, O_RDONLY);
	if (fd < 0)
		return TOOL_FAILED;
	err = offlay_odx_volume(fd, &volume, &status);
	if (!err && words) {
		odx_limits_unpack(&volume, &limits);
		if (odx_limits_parse(words, &limits, &bad)) {
			quoted = text_quote(bad);
			report_usage("limits are wrong at %s", quoted);
			free(quoted);
			close(fd);
			return TOOL_USAGE;
		}
		odx_limits_pack(&limits, &volume);
		err = offlay_odx_set_volume(fd, &volume, &status);
		if (!err)
			err = offlay_odx_volume(fd, &volume, &status);
	}
	close(fd);
	if (err)
		return fail(dir, err, status, opt);
	print_volume(&volume, opt->json);
	return TOOL_OK;
}
