// SPDX-License-Identifier: MIT
/* offlay token: token files, decoded; and statuses by name and number. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "odx.h"
#include "token.h"
#include "tools.h"

#define SHOWN_BYTES 32

static int report_file(const char *name, const char *reason)
{
	char *quoted = text_quote(name);

	report_error("%s: %s", quoted, reason);
	free(quoted);
	return TOOL_FAILED;
}

int token_load(const char *name, struct offlay_token *ret_token)
{
	struct offlay_token token;
	char more;
	ssize_t n;
	int fd;

	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return report_file(name, strerror(errno));
	n = read(fd, &token, sizeof(token));
	if (n < 0) {
		report_file(name, strerror(errno));
		close(fd);
		return TOOL_FAILED;
	}
	if (n == sizeof(token))
		n += read(fd, &more, 1);
	close(fd);
	if (n != sizeof(token))
		return report_file(name, "is no token: these have 512 bytes");
	*ret_token = token;
	return TOOL_OK;
}

/* Whoever has the token has the data: nobody else may read the file. */
int token_save(const char *name, const struct offlay_token *token)
{
	int fd, err = 0;

	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return report_file(name, strerror(errno));
	if (write(fd, token, sizeof(*token)) != (ssize_t)sizeof(*token))
		err = errno ? errno : EIO;
	if (close(fd) < 0 && !err)
		err = errno;
	return err ? report_file(name, strerror(err)) : TOOL_OK;
}

void token_report(const char *name, int err, const struct offlay_status *status)
{
	char *quoted = text_quote(name);

	if (status)
		report_error("%s: %s, Win32 %" PRIu32
			     " %s, NTSTATUS 0x%08" PRIX32 " %s: %s",
			     quoted, status->err_name, status->win32,
			     status->win32_name, status->ntstatus,
			     status->ntstatus_name, status->why);
	else
		report_error("%s: %s", quoted, strerror(-err));
	free(quoted);
}

void token_json_status(int err, const struct offlay_status *status)
{
	if (!err) {
		fputs("\"ok\": true", stdout);
		return;
	}
	printf("\"ok\": false, \"errno\": \"%s\"", offlay_errno_name(-err));
	if (status)
		printf(", \"win32\": %" PRIu32 ", \"win32_name\": \"%s\""
		       ", \"ntstatus\": %" PRIu32 ", \"ntstatus_name\": \"%s\"",
		       status->win32, status->win32_name, status->ntstatus,
		       status->ntstatus_name);
}

static const char *meaning_of(const struct offlay_token *token)
{
	if (token_is_zero(token))
		return "zeros (well known)";
	if (be32toh(token->type) == OFFLAY_TOKEN_TYPE_KNOWN)
		return "well known, not understood here";
	if (be32toh(token->type) == OFFLAY_TOKEN_TYPE_DATA)
		return "point-in-time copy";
	return "of another vendor";
}

/* Bytes of the id up to the last one that is not zero. */
static size_t id_used(const struct offlay_token *token)
{
	size_t n = sizeof(token->id);

	while (n && !token->id[n - 1])
		n--;
	return n;
}

static void print_id(const struct offlay_token *token, size_t max)
{
	size_t used = id_used(token);

	for (size_t i = 0; i < used && i < max; i++)
		printf("%02x", token->id[i]);
	if (used > max)
		fputs("...", stdout);
}

int token_run_show(const char *name, const struct token_options *opt)
{
	struct offlay_token token;
	int code = token_load(name, &token);

	if (code)
		return code;
	if (opt->json) {
		printf("{ \"type\": %" PRIu32 ", \"meaning\": \"%s\", "
		       "\"reserved\": %u, \"id_length\": %u, \"id\": \"",
		       be32toh(token.type), meaning_of(&token),
		       be16toh(token.reserved), be16toh(token.id_length));
		print_id(&token, sizeof(token.id));
		puts("\" }");
		return TOOL_OK;
	}
	printf("type       0x%08" PRIX32 "  %s\n", be32toh(token.type),
	       meaning_of(&token));
	printf("reserved   0x%04X\n", be16toh(token.reserved));
	printf("id length  %u\n", be16toh(token.id_length));
	fputs("id         ", stdout);
	print_id(&token, SHOWN_BYTES);
	putchar('\n');
	return TOOL_OK;
}
