// SPDX-License-Identifier: MIT
/* Refused copies whose system calls have not ended: a bounded table, pure. */
#include <string.h>

#include "refusal_table.h"

void refusal_table_init(struct refusal_table *table)
{
	memset(table, 0, sizeof(*table));
	pthread_mutex_init(&table->lock, NULL);
}

void refusal_table_done(struct refusal_table *table)
{
	pthread_mutex_destroy(&table->lock);
}

static void slot_clear(struct refusal_table *table, struct refusal *slot)
{
	slot->tid = 0;
	atomic_fetch_sub(&table->armed, 1);
}

static struct refusal *slot_of(struct refusal_table *table, pid_t tid)
{
	for (size_t i = 0; i < REFUSAL_SLOTS; i++)
		if (table->slots[i].tid == tid)
			return &table->slots[i];
	return NULL;
}

static void drop_expired(struct refusal_table *table, uint64_t now)
{
	for (size_t i = 0; i < REFUSAL_SLOTS; i++)
		if (table->slots[i].tid && table->slots[i].deadline <= now)
			slot_clear(table, &table->slots[i]);
}

bool refusal_arm(struct refusal_table *table, const struct refusal *refusal,
		 uint64_t now)
{
	struct refusal *slot;

	pthread_mutex_lock(&table->lock);
	slot = slot_of(table, refusal->tid);
	if (!slot) {
		drop_expired(table, now);
		slot = slot_of(table, 0);
		if (slot)
			atomic_fetch_add(&table->armed, 1);
	}
	if (slot)
		*slot = *refusal;
	pthread_mutex_unlock(&table->lock);
	return slot;
}

void refusal_disarm(struct refusal_table *table, pid_t tid)
{
	struct refusal *slot;

	if (!tid || !atomic_load(&table->armed))
		return;
	pthread_mutex_lock(&table->lock);
	slot = slot_of(table, tid);
	if (slot)
		slot_clear(table, slot);
	pthread_mutex_unlock(&table->lock);
}

void refusal_disarm_handle(struct refusal_table *table, uint64_t fh)
{
	struct refusal *slot;

	if (!atomic_load(&table->armed))
		return;
	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < REFUSAL_SLOTS; i++) {
		slot = &table->slots[i];
		if (slot->tid && (slot->src_fh == fh || slot->dst_fh == fh))
			slot_clear(table, slot);
	}
	pthread_mutex_unlock(&table->lock);
}

bool refusal_find(struct refusal_table *table, pid_t tid, uint64_t now,
		  struct refusal *ret_refusal)
{
	struct refusal *slot;

	if (!tid || !atomic_load(&table->armed))
		return false;
	pthread_mutex_lock(&table->lock);
	slot = slot_of(table, tid);
	if (slot && slot->deadline <= now) {
		slot_clear(table, slot);
		slot = NULL;
	}
	if (slot)
		*ret_refusal = *slot;
	pthread_mutex_unlock(&table->lock);
	return slot;
}

/* Is the thread still in the system call that was refused? */
static bool is_same_call(const struct refusal *refusal,
			 const struct refusal_call *call)
{
	return refusal->call.text[0] && !strcmp(refusal->call.text, call->text);
}

/* Without the system call a read of the program's own looks the same. */
enum refusal_answer refusal_judge_read(const struct refusal *refusal,
				       uint64_t fh,
				       const struct refusal_call *call)
{
	if (fh != refusal->src_fh || !is_same_call(refusal, call))
		return REFUSAL_NONE;
	return REFUSAL_CERTAIN;
}

/*
 * Without the system call: if the splice ended without a WRITE (the source
 * has shrunk), a program's own write could come at this offset, but then it
 * does not carry what the source holds at the copy's offset.
 */
enum refusal_answer refusal_judge_write(const struct refusal *refusal,
					uint64_t fh, uint64_t offset,
					uint64_t size,
					const struct refusal_call *call)
{
	if (fh != refusal->dst_fh || offset != refusal->dst_offset || !size ||
	    size > refusal->length)
		return REFUSAL_NONE;
	if (is_same_call(refusal, call))
		return REFUSAL_CERTAIN;
	if (refusal->call.text[0] && call->text[0])
		return REFUSAL_NONE;
	return REFUSAL_LIKELY;
}
