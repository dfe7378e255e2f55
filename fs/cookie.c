// SPDX-License-Identifier: MIT
/* Cookies: a table of fixed size, by number; no system calls. */
#include <errno.h>
#include <string.h>

#include "cookie.h"

/* Where a cookie is in the table is in its low bits. */
#define SLOT_MASK ((uint64_t)(COOKIE_SLOTS - 1))

_Static_assert((COOKIE_SLOTS & (COOKIE_SLOTS - 1)) == 0, "a power of two");

void cookie_table_init(struct cookie_table *table)
{
	memset(table, 0, sizeof(*table));
	pthread_mutex_init(&table->lock, NULL);
}

void cookie_table_done(struct cookie_table *table)
{
	pthread_mutex_destroy(&table->lock);
}

/*
 * A slot that is free, or the user's own oldest one where there is none, or
 * where the user has as many as one may have.
 */
static struct cookie_slot *find_slot(struct cookie_table *table, uid_t uid,
				     uint64_t now)
{
	struct cookie_slot *unused = NULL, *oldest = NULL;
	size_t own = 0;

	for (size_t i = 0; i < COOKIE_SLOTS; i++) {
		struct cookie_slot *slot = &table->slots[i];

		if (slot->until <= now) {
			slot->until = 0;
			if (!unused)
				unused = slot;
			continue;
		}
		if (slot->uid != uid)
			continue;
		own++;
		if (!oldest || slot->until < oldest->until)
			oldest = slot;
	}
	return unused && own < COOKIE_USER_MAX ? unused : oldest;
}

int cookie_make(struct cookie_table *table, uint64_t fh, uid_t uid,
		uint64_t now, const uint64_t random[2], uint64_t ret_cookie[2])
{
	struct cookie_slot *slot;
	int err = 0;

	pthread_mutex_lock(&table->lock);
	slot = find_slot(table, uid, now);
	if (slot) {
		slot->cookie[0] = random[0];
		slot->cookie[1] = (random[1] & ~SLOT_MASK) |
				  (uint64_t)(slot - table->slots);
		slot->fh = fh;
		slot->uid = uid;
		slot->until = now + COOKIE_MSEC * 1000000ull;
		memcpy(ret_cookie, slot->cookie, sizeof(slot->cookie));
	} else {
		err = -ENOMEM;
	}
	pthread_mutex_unlock(&table->lock);
	return err;
}

int cookie_use(struct cookie_table *table, const uint64_t cookie[2], uid_t uid,
	       uint64_t now, uint64_t *ret_fh)
{
	struct cookie_slot *slot = &table->slots[cookie[1] & SLOT_MASK];
	int err = -ESTALE;

	pthread_mutex_lock(&table->lock);
	if (slot->until > now && slot->uid == uid &&
	    slot->cookie[0] == cookie[0] && slot->cookie[1] == cookie[1]) {
		*ret_fh = slot->fh;
		slot->until = 0;
		err = 0;
	}
	pthread_mutex_unlock(&table->lock);
	return err;
}
