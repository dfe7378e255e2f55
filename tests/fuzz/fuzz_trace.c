// SPDX-License-Identifier: MIT
/* Fuzzes what offlay trace does with the bytes that a mount gave it. */
#include <stdlib.h>
#include <string.h>

#include "trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true)
{
	if (!is_true)
		abort();
}

/* A text of a record lies within it, end and all. */
static void must_be_inside(const uint8_t *data, size_t end, const char *text)
{
	const char *first = (const char *)data, *last = first + end;

	must(text >= first && text < last && text + strlen(text) < last);
}

/* One line, whatever is in it. */
static void try_json(const struct trace_record *record)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	trace_json(out, record);
	must(fclose(out) == 0);
	must(size > 2 && text[0] == '{' && text[size - 1] == '}');
	must(!strchr(text, '\n') && strlen(text) == size);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_record record;
	size_t at = 0, before;

	for (;;) {
		before = at;
		if (trace_next(data, size, &at, &record) <= 0)
			break;
		must(at > before && at <= size);
		must_be_inside(data, at, record.comm);
		must_be_inside(data, at, record.src);
		must_be_inside(data, at, record.dst);
		try_json(&record);
	}
	must(at == before);
	return 0;
}
