// SPDX-License-Identifier: MIT
/* Words and numbers of fault rules, and the message where one is wrong. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fault_scan.h"

#define BILLION 1000000000u
#define DIGITS	9 /* behind the point of a probability */

int fault_fail(const struct fault_scan *scan, const char *at,
	       const char *format, ...)
{
	struct fault_error *error = scan->error;
	va_list args;
	int n;

	error->line = scan->line;
	error->column = (unsigned int)(at - scan->start) + 1;
	n = snprintf(error->text, sizeof(error->text),
		     "rules:%u:%u: ", error->line, error->column);
	va_start(args, format);
	vsnprintf(error->text + n, sizeof(error->text) - (size_t)n, format,
		  args);
	va_end(args);
	return -EINVAL;
}

bool fault_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

size_t fault_take_name(struct fault_scan *scan)
{
	const char *first = scan->at;

	while (scan->at < scan->end && is_word_char(*scan->at))
		scan->at++;
	return (size_t)(scan->at - first);
}

void fault_skip_blanks(struct fault_scan *scan)
{
	while (scan->at < scan->end && fault_is_blank(*scan->at))
		scan->at++;
}

/* Takes @c if it is next. */
bool fault_take(struct fault_scan *scan, char c)
{
	if (scan->at == scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

/* Takes @word if it is the next whole word. */
bool fault_take_word(struct fault_scan *scan, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(scan->end - scan->at) < length ||
	    memcmp(scan->at, word, length) ||
	    (scan->at + length < scan->end && is_word_char(scan->at[length])))
		return false;
	scan->at += length;
	return true;
}

/* Takes "WORD=" if it is next. */
bool fault_take_key(struct fault_scan *scan, const char *word)
{
	const char *before = scan->at;

	if (fault_take_word(scan, word) && fault_take(scan, '='))
		return true;
	scan->at = before;
	return false;
}

int fault_scan_number(struct fault_scan *scan, const char *what, uint64_t max,
		      uint64_t *ret_value)
{
	const char *first = scan->at;
	uint64_t value = 0;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
		uint64_t digit = (uint64_t)(*scan->at - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return fault_fail(scan, first, "expected %s up to %llu",
					  what, (unsigned long long)max);
		value = value * 10 + digit;
		scan->at++;
	}
	if (scan->at == first)
		return fault_fail(scan, first, "expected %s", what);
	if (value > max)
		return fault_fail(scan, first, "expected %s up to %llu", what,
				  (unsigned long long)max);
	*ret_value = value;
	return 0;
}

int fault_scan_count(struct fault_scan *scan, const char *what,
		     uint64_t *ret_value)
{
	const char *first = scan->at;
	uint64_t value;
	int err;

	err = fault_scan_number(scan, what, INT64_MAX, &value);
	if (!err && !value)
		return fault_fail(scan, first, "expected %s from 1", what);
	if (!err)
		*ret_value = value;
	return err;
}

/* "4096", "64K", "1M", "2G" */
int fault_scan_bytes(struct fault_scan *scan, uint64_t *ret_value)
{
	static const char units[] = "KMG";
	const char *first = scan->at, *unit = NULL;
	uint64_t value;
	int err;

	err = fault_scan_number(scan, "a number of bytes", INT64_MAX, &value);
	if (err)
		return err;
	if (scan->at < scan->end && *scan->at)
		unit = strchr(units, *scan->at);
	if (unit) {
		scan->at++;
		for (; unit >= units; unit--) {
			if (value > INT64_MAX / 1024)
				return fault_fail(scan, first,
						  "expected a number of bytes "
						  "below 8 EiB");
			value *= 1024;
		}
	}
	if (!value)
		return fault_fail(scan, first,
				  "expected a number of bytes from 1");
	*ret_value = value;
	return 0;
}

/* "0.25", "1"; nine digits behind the point are told apart. */
int fault_scan_prob(struct fault_scan *scan, uint32_t *ret_prob)
{
	const char *first = scan->at;
	uint64_t whole = 0;
	uint32_t part = 0, scale = BILLION;
	int digits = 0;

	if (fault_scan_number(scan, "a probability", 1, &whole))
		return fault_fail(scan, first,
				  "expected a probability from 0 to 1");
	if (fault_take(scan, '.'))
		for (; scan->at < scan->end && *scan->at >= '0' &&
		       *scan->at <= '9';
		     scan->at++) {
			if (++digits > DIGITS)
				return fault_fail(scan, scan->at,
						  "expected no more than %d "
						  "digits",
						  DIGITS);
			scale /= 10;
			part += scale * (uint32_t)(*scan->at - '0');
		}
	if (whole && part)
		return fault_fail(scan, first,
				  "expected a probability from 0 to 1");
	*ret_prob = whole ? BILLION : part;
	return 0;
}

/* One character after a backslash; -1 where there is none such. */
static int parse_escape(struct fault_scan *scan)
{
	int value = 0, digits = 0;

	if (scan->at == scan->end)
		return -1;
	switch (*scan->at) {
	case '"':
	case '\\':
		return *scan->at++;
	case 'n':
		scan->at++;
		return '\n';
	case 't':
		scan->at++;
		return '\t';
	}
	while (digits < 3 && scan->at < scan->end && *scan->at >= '0' &&
	       *scan->at <= '7') {
		value = value * 8 + (*scan->at++ - '0');
		digits++;
	}
	return digits == 3 && value > 0 && value < 256 ? value : -1;
}

int fault_scan_quoted(struct fault_scan *scan, char *out)
{
	const char *first = scan->at - 1, *escape;
	size_t n = 0;
	int c;

	while (scan->at < scan->end && *scan->at != '"') {
		escape = scan->at;
		c = (unsigned char)*scan->at++;
		if (c == '\\')
			c = parse_escape(scan);
		if (c < 0)
			return fault_fail(scan, escape,
					  "expected \\\", \\\\, \\n, \\t or "
					  "\\ooo (octal)");
		out[n++] = (char)c;
	}
	out[n] = '\0';
	if (!fault_take(scan, '"'))
		return fault_fail(scan, first, "expected a closing \"");
	if (!n)
		return fault_fail(scan, first, "expected a name or pattern");
	return 0;
}
