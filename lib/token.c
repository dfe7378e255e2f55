// SPDX-License-Identifier: MIT
/* Tokens: what they look like, whose they are, and how long they live. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "odx.h"

#define SECRET_SIZE 32
#define BUCKETS	    4096 /* power of two */
#define MSEC	    1000000ull

struct user {
	struct user *next;
	uint32_t uid;
	uint32_t tokens;
	uint64_t bytes;
};

struct token {
	struct token *next; /* of the bucket */
	struct user *user;
	struct snapshot snapshot;
	uint64_t length;
	uint64_t ttl; /* nanoseconds */
	uint64_t until;
	uint32_t pins;
	bool dropped; /* not in the table any more */
	uint8_t secret[SECRET_SIZE];
};

struct token_table {
	struct snapshot_store store;
	pthread_mutex_t lock; /* guards all below */
	struct odx_limits limits;
	struct token *buckets[BUCKETS];
	struct user *users; /* those who have tokens */
	uint64_t tokens, bytes;
	uint64_t taken;
	uint64_t next_expiry; /* 0: nothing to expire; else not too late */
};

int token_table_new(const struct odx_limits *limits,
		    struct token_table **ret_table)
{
	struct token_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	snapshot_store_init(&table->store);
	pthread_mutex_init(&table->lock, NULL);
	table->limits = *limits;
	*ret_table = table;
	return 0;
}

static struct user *user_get(struct token_table *table, uint32_t uid)
{
	struct user *user;

	for (user = table->users; user; user = user->next)
		if (user->uid == uid)
			return user;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->next = table->users;
	table->users = user;
	return user;
}

static void user_put(struct token_table *table, struct user *user)
{
	struct user **at = &table->users;

	if (user->tokens)
		return;
	while (*at != user)
		at = &(*at)->next;
	*at = user->next;
	free(user);
}

/* Room for one more token; the lock is held. */
static int charge(struct token_table *table, uint32_t uid, uint64_t bytes,
		  struct user **ret_user)
{
	const struct odx_limits *limits = &table->limits;
	struct user *user;

	if (table->tokens >= limits->tokens_max ||
	    table->bytes > limits->bytes_max ||
	    bytes > limits->bytes_max - table->bytes)
		return -ENOMEM;
	user = user_get(table, uid);
	if (!user)
		return -ENOMEM;
	if (user->tokens >= limits->user_tokens_max ||
	    user->bytes > limits->user_bytes_max ||
	    bytes > limits->user_bytes_max - user->bytes) {
		user_put(table, user);
		return -ENOMEM;
	}
	user->tokens++;
	user->bytes += bytes;
	table->tokens++;
	table->bytes += bytes;
	*ret_user = user;
	return 0;
}

static void uncharge(struct token_table *table, struct user *user,
		     uint64_t bytes)
{
	user->tokens--;
	user->bytes -= bytes;
	table->tokens--;
	table->bytes -= bytes;
	user_put(table, user);
}

static struct token **bucket_of(struct token_table *table,
				const uint8_t *secret)
{
	uint32_t hash;

	memcpy(&hash, secret, sizeof(hash));
	return &table->buckets[hash & (BUCKETS - 1)];
}

/* Out of the table; the lock is held.  Return: it is to be freed. */
static bool unlink_token(struct token_table *table, struct token *token)
{
	struct token **at = bucket_of(table, token->secret);

	while (*at != token)
		at = &(*at)->next;
	*at = token->next;
	token->dropped = true;
	return !token->pins;
}

/* Without the lock: punching a hole may take its time. */
static void token_free(struct token_table *table, struct token *token)
{
	snapshot_drop(&table->store, &token->snapshot);
	pthread_mutex_lock(&table->lock);
	uncharge(table, token->user, token->length);
	pthread_mutex_unlock(&table->lock);
	free(token);
}

void token_table_free(struct token_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (table->buckets[i]) {
			struct token *token = table->buckets[i];

			unlink_token(table, token);
			token_free(table, token);
		}
	}
	snapshot_store_done(&table->store);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

void token_limits_get(struct token_table *table, struct odx_limits *ret_limits)
{
	pthread_mutex_lock(&table->lock);
	*ret_limits = table->limits;
	pthread_mutex_unlock(&table->lock);
}

void token_limits_set(struct token_table *table,
		      const struct odx_limits *limits)
{
	pthread_mutex_lock(&table->lock);
	table->limits = *limits;
	table->taken = 0;
	pthread_mutex_unlock(&table->lock);
}

void token_count(struct token_table *table, uint64_t *ret_tokens,
		 uint64_t *ret_bytes)
{
	pthread_mutex_lock(&table->lock);
	*ret_tokens = table->tokens;
	*ret_bytes = table->bytes;
	pthread_mutex_unlock(&table->lock);
}

static void set_wire(uint32_t type, const uint8_t *secret,
		     struct offlay_token *ret_token)
{
	memset(ret_token, 0, sizeof(*ret_token));
	ret_token->type = htobe32(type);
	ret_token->id_length = htobe16(OFFLAY_TOKEN_ID_LENGTH);
	if (secret)
		memcpy(ret_token->id, secret, SECRET_SIZE);
}

void token_make_zero(struct offlay_token *ret_token)
{
	set_wire(OFFLAY_TOKEN_TYPE_ZERO, NULL, ret_token);
}

/*
 * The type alone says it (MS-FSCC 2.1.11), or a well-known type whose id
 * begins with the pattern (WDK), which is written in either byte order.
 */
bool token_is_zero(const struct offlay_token *token)
{
	uint16_t pattern;

	if (token->type == htobe32(OFFLAY_TOKEN_TYPE_ZERO))
		return true;
	memcpy(&pattern, token->id, sizeof(pattern));
	return token->type == htobe32(OFFLAY_TOKEN_TYPE_KNOWN) &&
	       (pattern == htobe16(OFFLAY_TOKEN_KNOWN_ZERO) ||
		pattern == htole16(OFFLAY_TOKEN_KNOWN_ZERO));
}

static int random_secret(uint8_t *ret_secret)
{
	ssize_t n;

	do {
		n = getrandom(ret_secret, SECRET_SIZE, 0);
	} while (n < 0 && errno == EINTR);
	return n == SECRET_SIZE ? 0 : -EIO;
}

static uint64_t ttl_of(const struct odx_limits *limits, uint32_t ttl)
{
	if (!ttl)
		ttl = limits->ttl_default;
	return copy_min(ttl, limits->ttl_max) * MSEC;
}

/* The lock is held. */
static void touch(struct token_table *table, struct token *token, uint64_t now)
{
	token->until = now + token->ttl;
	if (!table->next_expiry || token->until < table->next_expiry)
		table->next_expiry = token->until;
}

/* A new token of the user, charged with @bytes; its snapshot comes next. */
static int token_new(struct token_table *table, uint32_t uid, uint64_t bytes,
		     struct token **ret_token)
{
	struct token *token = calloc(1, sizeof(*token));
	int err;

	if (!token)
		return -ENOMEM;
	err = random_secret(token->secret);
	if (!err) {
		pthread_mutex_lock(&table->lock);
		err = charge(table, uid, bytes, &token->user);
		pthread_mutex_unlock(&table->lock);
	}
	if (err) {
		free(token);
		return err;
	}
	token->length = bytes;
	*ret_token = token;
	return 0;
}

static void token_new_undo(struct token_table *table, struct token *token)
{
	pthread_mutex_lock(&table->lock);
	uncharge(table, token->user, token->length);
	pthread_mutex_unlock(&table->lock);
	free(token);
}

/* Fewer bytes than were charged; the lock is held. */
static void shorten(struct token_table *table, struct token *token,
		    uint64_t length)
{
	token->user->bytes -= token->length - length;
	table->bytes -= token->length - length;
	token->length = length;
}

int token_make(struct token_table *table, const struct snapshot_range *range,
	       uint32_t uid, uint32_t ttl, uint64_t now,
	       struct offlay_token *ret_token, uint64_t *ret_length)
{
	struct token *token, **bucket;
	uint64_t length;
	int err;

	err = token_new(table, uid, range->length, &token);
	if (err)
		return err;
	err = snapshot_take(&table->store, range, &token->snapshot);
	if (err) {
		token_new_undo(table, token);
		return err;
	}
	pthread_mutex_lock(&table->lock);
	/* It may have become shorter while the checks were made. */
	length = odx_round_up(token->snapshot.size - range->offset,
			      table->limits.sector);
	length = copy_min(length, token->snapshot.length);
	shorten(table, token, length);
	token->ttl = ttl_of(&table->limits, ttl);
	touch(table, token, now);
	bucket = bucket_of(table, token->secret);
	token->next = *bucket;
	*bucket = token;
	/* Once the lock is gone the token may expire. */
	set_wire(OFFLAY_TOKEN_TYPE_DATA, token->secret, ret_token);
	*ret_length = length;
	pthread_mutex_unlock(&table->lock);
	return 0;
}

/* Does not tell by its time how much of a forged id was right. */
static bool is_equal(const uint8_t *a, const uint8_t *b)
{
	unsigned int diff = 0;

	for (size_t i = 0; i < SECRET_SIZE; i++)
		diff |= a[i] ^ b[i];
	return !diff;
}

/* The live token that @wire is, bit for bit, if @uid may use it; else NULL. */
static struct token *find(struct token_table *table,
			  const struct offlay_token *wire, uint32_t uid,
			  uint64_t now)
{
	struct offlay_token whole;
	struct token *token;

	set_wire(OFFLAY_TOKEN_TYPE_DATA, wire->id, &whole);
	if (memcmp(&whole, wire, sizeof(whole)))
		return NULL;
	for (token = *bucket_of(table, wire->id); token; token = token->next) {
		if (!is_equal(token->secret, wire->id))
			continue;
		if (token->until <= now ||
		    (uid != 0 && uid != token->user->uid))
			return NULL;
		return token;
	}
	return NULL;
}

int token_take(struct token_table *table, const struct offlay_token *wire,
	       uint32_t uid, uint64_t now, struct token_use *ret_use)
{
	struct token *token, *forgotten = NULL;
	uint32_t every;

	if (token_is_zero(wire)) {
		*ret_use = (struct token_use){ .is_zero = true,
					       .fd = -1,
					       .length = UINT64_MAX };
		return 0;
	}
	pthread_mutex_lock(&table->lock);
	token = find(table, wire, uid, now);
	every = table->limits.forget_every;
	if (token && every && ++table->taken % every == 0) {
		if (unlink_token(table, token))
			forgotten = token;
		token = NULL;
	}
	if (token) {
		token->pins++;
		touch(table, token, now);
		*ret_use = (struct token_use){ .token = token,
					       .fd = token->snapshot.fd,
					       .at = token->snapshot.at,
					       .length = token->length };
	}
	pthread_mutex_unlock(&table->lock);
	if (forgotten)
		token_free(table, forgotten);
	return token ? 0 : -ESTALE;
}

void token_release(struct token_table *table, struct token_use *use,
		   uint64_t now)
{
	struct token *token = use->token;
	bool last;

	use->token = NULL;
	if (!token)
		return;
	pthread_mutex_lock(&table->lock);
	touch(table, token, now);
	last = !--token->pins && token->dropped;
	pthread_mutex_unlock(&table->lock);
	if (last)
		token_free(table, token);
}

int token_drop(struct token_table *table, const struct offlay_token *wire,
	       uint32_t uid, uint64_t now)
{
	struct token *token;
	bool last = false;

	if (token_is_zero(wire))
		return 0;
	pthread_mutex_lock(&table->lock);
	token = find(table, wire, uid, now);
	if (token)
		last = unlink_token(table, token);
	pthread_mutex_unlock(&table->lock);
	if (last)
		token_free(table, token);
	return token ? 0 : -ESTALE;
}

/* Takes what has expired out of the table; the lock is held. */
static struct token *collect(struct token_table *table, uint64_t now)
{
	struct token *token, *next, *dead = NULL;
	uint64_t first = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (token = table->buckets[i]; token; token = next) {
			next = token->next;
			if (token->until <= now && !token->pins) {
				unlink_token(table, token);
				token->next = dead;
				dead = token;
			} else if (!first || token->until < first) {
				first = token->until;
			}
		}
	}
	table->next_expiry = first;
	return dead;
}

uint64_t token_expire(struct token_table *table, uint64_t now)
{
	struct token *dead = NULL, *next;
	uint64_t first;

	pthread_mutex_lock(&table->lock);
	if (table->next_expiry && table->next_expiry <= now)
		dead = collect(table, now);
	first = table->next_expiry;
	pthread_mutex_unlock(&table->lock);
	for (; dead; dead = next) {
		next = dead->next;
		token_free(table, dead);
	}
	return first;
}
