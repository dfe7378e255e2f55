/* SPDX-License-Identifier: MIT */
/* Text as JSON has it. */
#ifndef OFFLAY_JSON_H
#define OFFLAY_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Length of the UTF-8 sequence at @text, 0 where there is none: overlong
 * forms, surrogates and numbers past U+10FFFF are not UTF-8.
 */
size_t json_utf8_length(const unsigned char *text);
/* C0, DEL and the C1 controls that some terminals obey in UTF-8 too. */
bool json_is_control(const unsigned char *text, size_t length);
/*
 * A JSON string with its quotes.  Bytes that are not UTF-8 come out as lone
 * surrogates U+DC80..U+DCFF, which Python reads back with surrogateescape.
 */
void json_text(FILE *out, const char *text);

#endif
