// SPDX-License-Identifier: MIT
/* A strict reader of Prometheus' text format, version 0.0.4. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe.h"

#define NAME_MAX_LENGTH 128
#define FAMILIES	128
#define SERIES		4096

struct reader {
	char family[NAME_MAX_LENGTH]; /* of the last # TYPE */
	char type[16];
	char helped[NAME_MAX_LENGTH]; /* of the last # HELP */
	char *families[FAMILIES];     /* that were declared */
	size_t n_families;
	char *series[SERIES]; /* that were seen, with their labels */
	size_t n_series;
	double last_le, last_count; /* of a histogram's buckets */
	char *why;
	size_t size;
};

static bool __attribute__((format(printf, 3, 4)))
wrong(struct reader *reader, const char *line, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(reader->why, reader->size, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < reader->size)
		snprintf(reader->why + n, reader->size - (size_t)n, ": %s",
			 line);
	return false;
}

static size_t name_length(const char *text, bool is_label)
{
	size_t n = 0;

	while (isalpha((unsigned char)text[n]) || text[n] == '_' ||
	       (!is_label && text[n] == ':') ||
	       (n && isdigit((unsigned char)text[n])))
		n++;
	return n < NAME_MAX_LENGTH ? n : 0;
}

static bool add_unique(char **list, size_t *n, size_t max, const char *text,
		       size_t length)
{
	for (size_t i = 0; i < *n; i++)
		if (strlen(list[i]) == length &&
		    !strncmp(list[i], text, length))
			return false;
	if (*n == max)
		return false;
	list[(*n)++] = strndup(text, length);
	return true;
}

/* "# HELP name text", then "# TYPE name type", each once a family. */
static bool read_comment(struct reader *reader, const char *line)
{
	const char *name = line + 7;
	size_t length = name_length(name, false);

	if (!length || name[length] != ' ')
		return wrong(reader, line, "no name");
	if (!strncmp(line, "# HELP ", 7)) {
		snprintf(reader->helped, sizeof(reader->helped), "%.*s",
			 (int)length, name);
		return true;
	}
	if (strncmp(line, "# TYPE ", 7))
		return wrong(reader, line, "neither HELP nor TYPE");
	if (strlen(reader->helped) != length ||
	    strncmp(reader->helped, name, length))
		return wrong(reader, line, "TYPE without its HELP");
	if (!add_unique(reader->families, &reader->n_families, FAMILIES, name,
			length))
		return wrong(reader, line, "family declared twice");
	snprintf(reader->family, sizeof(reader->family), "%.*s", (int)length,
		 name);
	snprintf(reader->type, sizeof(reader->type), "%s", name + length + 1);
	if (strcmp(reader->type, "counter") && strcmp(reader->type, "gauge") &&
	    strcmp(reader->type, "histogram"))
		return wrong(reader, line, "unknown type");
	return true;
}

/* Behind the opening quote: up to behind the closing one, or NULL. */
static const char *skip_value(const char *text)
{
	for (; *text && *text != '"'; text++) {
		if (*text != '\\')
			continue;
		text++;
		if (*text != '\\' && *text != '"' && *text != 'n')
			return NULL;
	}
	return *text ? text + 1 : NULL;
}

/* Behind the opening brace; @ret_le: of that label, NAN without it. */
static const char *skip_labels(const char *text, double *ret_le)
{
	size_t length;

	*ret_le = NAN;
	while (*text != '}') {
		length = name_length(text, true);
		if (!length || strncmp(text + length, "=\"", 2))
			return NULL;
		if (length == 2 && !strncmp(text, "le", 2))
			*ret_le = strtod(text + 4, NULL);
		text = skip_value(text + length + 2);
		if (!text || (*text != ',' && *text != '}'))
			return NULL;
		if (*text == ',')
			text++;
	}
	return text + 1;
}

/* Of a sample's name, what follows that of its family; or NULL. */
static const char *suffix_of(const struct reader *reader, const char *name,
			     size_t length)
{
	size_t family = strlen(reader->family);

	if (length < family || strncmp(name, reader->family, family))
		return NULL;
	return name + family;
}

/* Buckets rise and end with +Inf, whose count is the family's. */
static bool check_histogram(struct reader *reader, const char *line,
			    const char *suffix, double le, double value)
{
	if (!strncmp(suffix, "_bucket", 7)) {
		if (isnan(le))
			return wrong(reader, line, "bucket without le");
		if (le <= reader->last_le || value < reader->last_count)
			return wrong(reader, line, "buckets do not rise");
		reader->last_le = le;
		reader->last_count = value;
		return true;
	}
	if (!isinf(reader->last_le))
		return wrong(reader, line, "no bucket for +Inf");
	if (!strncmp(suffix, "_sum", 4))
		return true;
	if (strncmp(suffix, "_count", 6))
		return wrong(reader, line, "no sample of a histogram");
	if (value != reader->last_count)
		return wrong(reader, line, "count is not that of +Inf");
	reader->last_le = reader->last_count = -1;
	return true;
}

static bool read_sample(struct reader *reader, const char *line)
{
	size_t length = name_length(line, false);
	const char *suffix = suffix_of(reader, line, length), *at;
	double le = NAN, value;
	char *end;

	if (!length || !suffix)
		return wrong(reader, line, "not of the last family");
	at = line + length;
	if (*at == '{')
		at = skip_labels(at + 1, &le);
	if (!at || *at != ' ')
		return wrong(reader, line, "bad labels");
	if (!add_unique(reader->series, &reader->n_series, SERIES, line,
			(size_t)(at - line)))
		return wrong(reader, line, "series seen twice");
	value = strtod(at + 1, &end);
	if (end == at + 1 || *end || isspace((unsigned char)at[1]))
		return wrong(reader, line, "no number");
	if (!strcmp(reader->type, "histogram"))
		return check_histogram(reader, line, suffix, le, value);
	if (line + length != suffix)
		return wrong(reader, line, "suffix where none belongs");
	if (!strcmp(reader->type, "counter") && !(value >= 0))
		return wrong(reader, line, "counter below 0");
	return true;
}

static bool read_lines(struct reader *reader, char *text)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (!(*line == '#' ? read_comment(reader, line)
				   : read_sample(reader, line)))
			return false;
	return true;
}

bool exposition_is_valid(const char *text, char *why, size_t size)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	size_t length = strlen(text);
	char *copy = strdup(text);
	bool good;

	reader->why = why;
	reader->size = size;
	reader->last_le = reader->last_count = -1;
	if (!length || text[length - 1] != '\n')
		good = wrong(reader, "", "no newline at the end");
	else
		good = read_lines(reader, copy);
	for (size_t i = 0; i < reader->n_families; i++)
		free(reader->families[i]);
	for (size_t i = 0; i < reader->n_series; i++)
		free(reader->series[i]);
	free(reader);
	free(copy);
	return good;
}

double exposition_value(const char *text, const char *series)
{
	size_t length = strlen(series);

	for (const char *at = text; (at = strstr(at, series)); at += length)
		if ((at == text || at[-1] == '\n') && at[length] == ' ')
			return strtod(at + length, NULL);
	return NAN;
}
