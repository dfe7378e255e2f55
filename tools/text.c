// SPDX-License-Identifier: MIT
/* Names, numbers and JSON as the tool prints them. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "json.h"
#include "tools.h"

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
		size_t length = json_utf8_length(in);

		if (!length || json_is_control(in, length) || *in == '\'' ||
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

char *text_plain(const char *name)
{
	char *quoted = text_quote(name);
	size_t length = strlen(name);

	if (quoted && strlen(quoted) == length + 2)
		memcpy(quoted, name, length + 1);
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
	json_text(out, text);
}

void text_xml(FILE *out, const char *text)
{
	const unsigned char *in = (const unsigned char *)text;

	while (*in) {
		size_t length = json_utf8_length(in);
		/* U+FFFE and U+FFFF are no characters. */
		bool is_none = length == 3 && in[0] == 0xef && in[1] == 0xbf &&
			       in[2] >= 0xbe;

		if (!length || json_is_control(in, length) || is_none) {
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
