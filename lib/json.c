// SPDX-License-Identifier: MIT
/* Text as JSON has it, whatever bytes it is made of. */
#include "json.h"

size_t json_utf8_length(const unsigned char *text)
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

bool json_is_control(const unsigned char *text, size_t length)
{
	if (length == 1)
		return text[0] < 0x20 || text[0] == 0x7f;
	return length == 2 && text[0] == 0xc2 && text[1] < 0xa0;
}

void json_text(FILE *out, const char *text)
{
	const unsigned char *in = (const unsigned char *)text;

	fputc('"', out);
	while (*in) {
		size_t length = json_utf8_length(in);

		if (!length) {
			fprintf(out, "\\udc%02x", (unsigned int)*in);
			length = 1;
		} else if (json_is_control(in, length)) {
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
