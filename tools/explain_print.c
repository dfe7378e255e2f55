// SPDX-License-Identifier: MIT
/* offlay explain: a verdict as one line, and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "tools.h"

static const char *const side_names[] = { "source", "destination" };

const char *explain_deny(unsigned int deny, char buf[EXPLAIN_DENY_MAX])
{
	snprintf(buf, EXPLAIN_DENY_MAX, "%s%s%s",
		 deny & OFFLAY_DENY_SPARSE ? ":sparse" : "",
		 deny & OFFLAY_DENY_ENCRYPTED ? ":encrypted" : "",
		 deny & OFFLAY_DENY_COMPRESSED ? ":compressed" : "");
	return deny & OFFLAY_DENY_ALL ? buf + 1 : "none";
}

static void print_side(const struct explain_answer *answer,
		       enum offlay_side side)
{
	const struct offlay_status *status = offlay_status_refused(side);
	const char *separator = "";
	char text[OFFLAY_DESCRIBE_SIZE];

	if (!answer->reasons[side]) {
		printf("%s eligible", side_names[side]);
		return;
	}
	printf("%s ineligible, %" PRIu32 " %s (", side_names[side],
	       status->win32, status->win32_name);
	for (int i = 0; i < OFFLAY_REASON_COUNT; i++) {
		if (!(answer->reasons[side] & 1u << i))
			continue;
		offlay_reason_describe(i, &answer->facts[side], text,
				       sizeof(text));
		printf("%s%s: %s", separator, offlay_reason_name(i), text);
		separator = ", ";
	}
	putchar(')');
}

/* Whatever the file is like: here nothing is offloaded. */
static void print_volume(void)
{
	const char *separator = "; the volume offloads nothing, ";

	for (int side = OFFLAY_SOURCE; side <= OFFLAY_DESTINATION; side++) {
		const struct offlay_status *status = offlay_status_volume(side);

		printf("%s%" PRIu32 " %s", separator, status->win32,
		       status->win32_name);
		separator = " and ";
	}
}

void explain_print_line(const char *name, const struct explain_answer *answer)
{
	char *quoted = text_quote(name);
	char deny[EXPLAIN_DENY_MAX];

	printf("%s: ", quoted);
	free(quoted);
	if (explain_is_eligible(answer)) {
		fputs("eligible", stdout);
	} else {
		print_side(answer, OFFLAY_SOURCE);
		fputs("; ", stdout);
		print_side(answer, OFFLAY_DESTINATION);
	}
	if (answer->facts[OFFLAY_SOURCE].volume_unable)
		print_volume();
	if (answer->has_mount)
		printf(" [deny=%s refuse=%s offload=%s]",
		       explain_deny(answer->mount.deny, deny),
		       answer->mount.refuse, answer->mount.offload);
	putchar('\n');
}

static void json_reasons(const struct explain_answer *answer,
			 enum offlay_side side)
{
	const char *separator = "";
	char text[OFFLAY_DESCRIBE_SIZE];

	fputs("\"reasons\": [", stdout);
	for (int i = 0; i < OFFLAY_REASON_COUNT; i++) {
		if (!(answer->reasons[side] & 1u << i))
			continue;
		offlay_reason_describe(i, &answer->facts[side], text,
				       sizeof(text));
		printf("%s{ \"reason\": ", separator);
		text_json(stdout, offlay_reason_name(i));
		fputs(", \"detail\": ", stdout);
		text_json(stdout, text);
		fputs(" }", stdout);
		separator = ", ";
	}
	putchar(']');
}

/* The numbers behind the words, where there are any. */
static void json_numbers(const struct offlay_facts *facts)
{
	if (facts->sparse & OFFLAY_BY_HOLE)
		printf(",\n      \"hole\": { \"offset\": %" PRIu64
		       ", \"length\": %" PRIu64 " }",
		       facts->hole_offset, facts->hole_length);
	if (facts->compressed & OFFLAY_BY_EXTENT)
		printf(",\n      \"compressed_extent\": { \"offset\": %" PRIu64
		       ", \"length\": %" PRIu64 " }",
		       facts->extent_offset, facts->extent_length);
	if (facts->dos_attributes)
		printf(",\n      \"dos_attributes\": %" PRIu32,
		       facts->dos_attributes);
}

static void json_status(const struct offlay_status *status)
{
	printf("\"errno\": \"%s\", \"win32\": %" PRIu32
	       ", \"win32_name\": \"%s\", \"ntstatus\": %" PRIu32
	       ", \"ntstatus_name\": \"%s\"",
	       status->err_name, status->win32, status->win32_name,
	       status->ntstatus, status->ntstatus_name);
}

static void json_volume(const struct explain_answer *answer)
{
	bool unable = answer->facts[OFFLAY_SOURCE].volume_unable;
	const struct offlay_status *status;

	printf(",\n    \"volume\": { \"able\": %s", unable ? "false" : "true");
	for (int side = OFFLAY_SOURCE; unable && side <= OFFLAY_DESTINATION;
	     side++) {
		status = offlay_status_volume(side);
		printf(", \"%s\": { ", side_names[side]);
		json_status(status);
		fputs(" }", stdout);
	}
	fputs(" }", stdout);
}

static void json_side(const struct explain_answer *answer,
		      enum offlay_side side)
{
	const struct offlay_status *status = offlay_status_refused(side);
	bool refused = answer->reasons[side];

	printf(",\n    \"%s\": {\n      \"eligible\": %s", side_names[side],
	       refused ? "false" : "true");
	if (refused) {
		fputs(", ", stdout);
		json_status(status);
	}
	fputs(",\n      ", stdout);
	json_reasons(answer, side);
	json_numbers(&answer->facts[side]);
	fputs("\n    }", stdout);
}

static void json_begin(const char *name, bool first)
{
	printf("%s\n  {\n    \"file\": ", first ? "" : ",");
	text_json(stdout, name);
}

void explain_print_json(const char *name, const struct explain_answer *answer,
			bool first)
{
	char deny[EXPLAIN_DENY_MAX];

	json_begin(name, first);
	printf(",\n    \"eligible\": %s",
	       explain_is_eligible(answer) ? "true" : "false");
	printf(",\n    \"size\": %" PRIu64, answer->facts[0].size);
	printf(",\n    \"deny\": \"%s\"", explain_deny(answer->deny, deny));
	if (answer->has_mount)
		printf(",\n    \"mount\": { \"refuse\": \"%s\", "
		       "\"offload\": \"%s\" }",
		       answer->mount.refuse, answer->mount.offload);
	else
		fputs(",\n    \"mount\": null", stdout);
	json_volume(answer);
	json_side(answer, OFFLAY_SOURCE);
	json_side(answer, OFFLAY_DESTINATION);
	fputs("\n  }", stdout);
}

void explain_print_json_error(const char *name, int err, bool first)
{
	json_begin(name, first);
	printf(",\n    \"error\": \"%s\"", offlay_errno_name(-err));
	fputs(",\n    \"message\": ", stdout);
	text_json(stdout, strerror(-err));
	fputs("\n  }", stdout);
}
