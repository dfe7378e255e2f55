// SPDX-License-Identifier: MIT
/* Names, numbers and JSON as the tool prints them. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools.h"

/*
 * Length of the UTF-8 sequence at @text, 0 where there is none: overlong
 * forms, surrogates and numbers past U+10FFFF are not UTF-8.
 */
static size_t utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t length;
	} forms[] = {
		{ 0x01, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const size_t count = sizeof(forms) / sizeof(forms[0]);
	size_t i, byte;

	for (i = 0; i < count; i++) {
		if (text[0] < forms[i].first || text[0] > forms[i].last)
			continue;
		if (forms[i].length == 1)
			return 1;
		if (text[1] < forms[i].low || text[1] > forms[i].high)
			return 0;
		for (byte = 2; byte < forms[i].length; byte++)
			if ((text[byte] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

/* C0, DEL and the C1 controls that some terminals obey in UTF-8 too. */
static bool is_control(const unsigned char *text, size_t length)
{
	if (length == 1)
		return text[0] < 0x20 || text[0] == 0x7f;
	return length == 2 && text[0] == 0xc2 && text[1] < 0xa0;
}

char *text_quote(const char *name)
{
	const unsigned char *in = (const unsigned char *)name;
	/* Each byte becomes four at most, plus two quotes and the end. */
	char *quoted = malloc(strlen(name) * 4 + 3);
	char *out = quoted;

	if (!quoted)
		return NULL;
	*out++ = '\'';
	while (*in) {
		size_t length = utf8_length(in);

		if (!length || is_control(in, length) || *in == '\'' ||
		    *in == '\\') {
			*out++ = '\\';
			*out++ = (char)('0' + (*in >> 6));
			*out++ = (char)('0' + ((*in >> 3) & 7));
			*out++ = (char)('0' + (*in & 7));
			in++;
			continue;
		}
		memcpy(out, in, length);
		out += length;
		in += length;
	}
	*out++ = '\'';
	*out = '\0';
	return quoted;
}

const char *text_size(uint64_t bytes, char buf[TEXT_SIZE_MAX])
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	/* 1023.95 would print as 1024.0. */
	while (value >= 1023.95) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, TEXT_SIZE_MAX, unit ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return buf;
}

void text_json(FILE *out, const char *text)
{
	const unsigned char *in = (const unsigned char *)text;

	fputc('"', out);
	while (*in) {
		size_t length = utf8_length(in);

		if (!length) {
			fprintf(out, "\\udc%02x", (unsigned int)*in);
			length = 1;
		} else if (is_control(in, length)) {
			fprintf(out, "\\u%04x", (unsigned int)in[length - 1]);
		} else {
			if (*in == '"' || *in == '\\')
				fputc('\\', out);
			fwrite(in, 1, length, out);
		}
		in += length;
	}
	fputc('"', out);
}

void text_xml(FILE *out, const char *text)
{
	const unsigned char *in = (const unsigned char *)text;

	while (*in) {
		size_t length = utf8_length(in);
		/* U+FFFE and U+FFFF are no characters. */
		bool is_none = length == 3 && in[0] == 0xef && in[1] == 0xbf &&
			       in[2] >= 0xbe;

		if (!length || is_control(in, length) || is_none) {
			for (length += !length; length; length--, in++)
				fprintf(out, "\\%03o", (unsigned int)*in);
			continue;
		}
		if (strchr("<>&\"'", *in))
			fprintf(out, "&#%u;", (unsigned int)*in);
		else
			fwrite(in, 1, length, out);
		in += length;
	}
}

size_t text_terminal_width(FILE *out)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int width;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	width = columns ? atoi(columns) : 0;
	return width > 0 && width <= 1000 ? (size_t)width : 80;
}

bool text_terminal_colour(FILE *out)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(out)) && !(none && *none) && term &&
	       strcmp(term, "dumb") != 0;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}
