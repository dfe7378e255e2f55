// SPDX-License-Identifier: MIT
/* What a mount offers of offloaded data transfer: defaults, words, bounds. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "odx.h"

#define MIB		1048576ull
#define TRANSFER_MAX	(1ull << 50)
#define COPY_MAX	(1ull << 30)
#define TOKENS_MAX	1000000u
#define TTL_DEFAULT_SEC 30u
#define TTL_MAX_SEC	300u
#define TTL_LIMIT_SEC	86400u

void odx_limits_default(struct odx_limits *ret_limits)
{
	*ret_limits = (struct odx_limits){
		.flags = OFFLAY_ODX_ON | OFFLAY_ODX_READ_ON |
			 OFFLAY_ODX_WRITE_ON,
		.sector = 512,
		.transfer_max = 1024 * MIB,
		.bytes_max = 1024 * 1024 * MIB,
		.user_bytes_max = 256 * 1024 * MIB,
		.tokens_max = 16384,
		.user_tokens_max = 4096,
		.ttl_default = TTL_DEFAULT_SEC * 1000,
		.ttl_max = TTL_MAX_SEC * 1000,
	};
}

int odx_limits_check(const struct odx_limits *limits)
{
	const uint32_t known = OFFLAY_ODX_ON | OFFLAY_ODX_READ_ON |
			       OFFLAY_ODX_WRITE_ON;

	if (limits->flags & ~known)
		return -EINVAL;
	if (limits->sector != 512 && limits->sector != 4096)
		return -EINVAL;
	if (!limits->transfer_max || limits->transfer_max % ODX_SECTOR_MAX ||
	    limits->transfer_max > TRANSFER_MAX)
		return -EINVAL;
	if (limits->copy_max % ODX_SECTOR_MAX || limits->copy_max > COPY_MAX)
		return -EINVAL;
	if (!limits->tokens_max || limits->tokens_max > TOKENS_MAX ||
	    !limits->user_tokens_max || limits->user_tokens_max > TOKENS_MAX)
		return -EINVAL;
	if (!limits->ttl_default || limits->ttl_default > limits->ttl_max ||
	    limits->ttl_max > TTL_LIMIT_SEC * 1000)
		return -EINVAL;
	return 0;
}

bool odx_limits_parse_size(const char *text, const char *end,
			   uint64_t *ret_value)
{
	static const char units[] = "KMGT";
	uint64_t value = 0;
	const char *unit;

	if (text == end)
		return false;
	for (; text < end && isdigit((unsigned char)*text); text++) {
		if (value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	if (text < end) {
		unit = strchr(units, toupper((unsigned char)*text));
		if (!unit || !*unit || text + 1 != end)
			return false;
		for (; unit >= units; unit--) {
			if (value > UINT64_MAX / 1024)
				return false;
			value *= 1024;
		}
	}
	*ret_value = value;
	return true;
}

static bool parse_switch(const char *text, const char *end, uint32_t bit,
			 uint32_t *flags)
{
	size_t len = (size_t)(end - text);

	if (len == 2 && !strncmp(text, "on", len))
		*flags |= bit;
	else if (len == 3 && !strncmp(text, "off", len))
		*flags &= ~bit;
	else
		return false;
	return true;
}

/* Numbers that fit into 32 bits, times @scale. */
static bool set_small(uint64_t value, uint32_t scale, uint32_t *ret)
{
	if (value > UINT32_MAX / scale)
		return false;
	*ret = (uint32_t)value * scale;
	return true;
}

static bool set_number(struct odx_limits *limits, const char *name, size_t len,
		       uint64_t value)
{
	const struct {
		const char *name;
		uint64_t *wide;
		uint32_t *narrow;
		uint32_t scale;
	} words[] = {
		{ "sector", NULL, &limits->sector, 1 },
		{ "transfer", &limits->transfer_max, NULL, 0 },
		{ "copy", &limits->copy_max, NULL, 0 },
		{ "bytes", &limits->bytes_max, NULL, 0 },
		{ "user_bytes", &limits->user_bytes_max, NULL, 0 },
		{ "count", NULL, &limits->tokens_max, 1 },
		{ "user_count", NULL, &limits->user_tokens_max, 1 },
		{ "ttl", NULL, &limits->ttl_default, 1000 },
		{ "ttl_max", NULL, &limits->ttl_max, 1000 },
		{ "timeout", NULL, &limits->timeout_every, 1 },
		{ "forget", NULL, &limits->forget_every, 1 },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strlen(words[i].name) != len ||
		    strncmp(words[i].name, name, len))
			continue;
		if (words[i].narrow)
			return set_small(value, words[i].scale,
					 words[i].narrow);
		*words[i].wide = value;
		return true;
	}
	return false;
}

static bool parse_word(const char *word, const char *end,
		       struct odx_limits *limits)
{
	const char *equals = memchr(word, '=', (size_t)(end - word));
	const char *value = equals ? equals + 1 : end;
	size_t len = (size_t)((equals ? equals : end) - word);
	uint64_t number;

	if (!equals)
		return parse_switch(word, end, OFFLAY_ODX_ON, &limits->flags);
	if (len == 4 && !strncmp(word, "read", len))
		return parse_switch(value, end, OFFLAY_ODX_READ_ON,
				    &limits->flags);
	if (len == 5 && !strncmp(word, "write", len))
		return parse_switch(value, end, OFFLAY_ODX_WRITE_ON,
				    &limits->flags);
	return odx_limits_parse_size(value, end, &number) &&
	       set_number(limits, word, len, number);
}

int odx_limits_parse(const char *text, struct odx_limits *limits,
		     const char **ret_bad)
{
	struct odx_limits parsed = *limits;
	const char *word = text, *end;

	for (;;) {
		end = strchrnul(word, ':');
		if (!parse_word(word, end, &parsed)) {
			*ret_bad = word;
			return -EINVAL;
		}
		/* A longer default alone raises its bound; so does the user's. */
		if (parsed.ttl_default > parsed.ttl_max &&
		    parsed.ttl_max == limits->ttl_max)
			parsed.ttl_max = parsed.ttl_default;
		if (!*end)
			break;
		word = end + 1;
	}
	if (odx_limits_check(&parsed)) {
		*ret_bad = text;
		return -EINVAL;
	}
	*limits = parsed;
	return 0;
}

void odx_limits_pack(const struct odx_limits *limits,
		     struct offlay_ioc_odx_volume *ret_volume)
{
	*ret_volume = (struct offlay_ioc_odx_volume){
		.version = OFFLAY_ABI_VERSION,
		.odx_flags = limits->flags,
		.sector = limits->sector,
		.transfer_max = limits->transfer_max,
		.copy_max = limits->copy_max,
		.bytes_max = limits->bytes_max,
		.user_bytes_max = limits->user_bytes_max,
		.tokens_max = limits->tokens_max,
		.user_tokens_max = limits->user_tokens_max,
		.ttl_default = limits->ttl_default,
		.ttl_max = limits->ttl_max,
		.timeout_every = limits->timeout_every,
		.forget_every = limits->forget_every,
	};
}

void odx_limits_unpack(const struct offlay_ioc_odx_volume *volume,
		       struct odx_limits *ret_limits)
{
	*ret_limits = (struct odx_limits){
		.flags = volume->odx_flags,
		.sector = volume->sector,
		.transfer_max = volume->transfer_max,
		.copy_max = volume->copy_max,
		.bytes_max = volume->bytes_max,
		.user_bytes_max = volume->user_bytes_max,
		.tokens_max = volume->tokens_max,
		.user_tokens_max = volume->user_tokens_max,
		.ttl_default = volume->ttl_default,
		.ttl_max = volume->ttl_max,
		.timeout_every = volume->timeout_every,
		.forget_every = volume->forget_every,
	};
}
