// SPDX-License-Identifier: MIT
/* Fault rules: which rule meets a call, and what it makes of it; pure. */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define BILLION 1000000000u

void fault_set_free(struct fault_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++) {
		free(set->rules[i].text);
		free(set->rules[i].file);
	}
	free(set->rules);
	free(set);
}

/*
 * Numbers of a seed, by their place and not by the order of asking: the same
 * call of a rule draws the same number whatever other rules there are.
 */
static uint64_t draw(uint64_t seed, uint64_t place)
{
	uint64_t x = seed * 0xD1342543DE82EF95u + place * 0x9E3779B97F4A7C15u;

	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}

/* A glob without a slash is for the last name of a path. */
static bool glob_matches(const char *glob, const char *path)
{
	const char *slash;

	if (!path)
		return false;
	if (*path == '/')
		path++;
	if (*glob == '/')
		return fnmatch(glob + 1, path, 0) == 0;
	if (strchr(glob, '/'))
		return fnmatch(glob, path, 0) == 0;
	slash = strrchr(path, '/');
	return fnmatch(glob, slash ? slash + 1 : path, 0) == 0;
}

static bool file_matches(const struct fault_rule *rule,
			 const struct fault_call *call)
{
	if (!rule->file)
		return true;
	if (rule->side != OFFLAY_DESTINATION &&
	    glob_matches(rule->file, call->src))
		return true;
	return rule->side != OFFLAY_SOURCE &&
	       glob_matches(rule->file, call->dst);
}

static uint64_t align_down(uint64_t value, uint32_t align)
{
	return align > 1 ? value - value % align : value;
}

/* A count below the call's length, at least one unit; 0 where none is. */
static uint64_t cut_of(const struct fault_rule *rule,
		       const struct fault_call *call)
{
	uint32_t unit = call->align > 1 ? call->align : 1;
	uint64_t length = call->length, cut;

	if (length <= unit)
		return 0;
	switch (rule->cut) {
	case FAULT_BYTES:
		cut = rule->amount;
		break;
	case FAULT_BLOCKS:
		cut = rule->amount * (call->block ? call->block : 4096);
		break;
	default:
		cut = 1 + draw(~rule->seed, rule->calls) % (length - 1);
	}
	if (cut >= length)
		return 0;
	cut = align_down(cut, unit);
	return cut ? cut : unit;
}

enum verdict { MISS, HIT, CUT };

/*
 * Until so many bytes have passed nothing happens; the call that would pass
 * the mark ends at it, as a disk that is full takes what it has room for.
 */
static enum verdict reach_mark(const struct fault_rule *rule,
			       const struct fault_call *call, uint64_t *ret_cut)
{
	uint64_t left;

	if (rule->bytes >= rule->after)
		return HIT;
	left = rule->after - rule->bytes;
	if (left >= call->length || !(FAULT_BIT(call->op) & FAULT_SIZED))
		return MISS;
	left = align_down(left, call->align);
	if (!left || !(FAULT_BIT(call->op) & FAULT_COUNTED) ||
	    rule->answer == FAULT_PLAIN)
		return HIT;
	*ret_cut = left;
	return CUT;
}

/* @rule has counted this call. */
static enum verdict judge(const struct fault_rule *rule,
			  const struct fault_call *call, uint64_t *ret_cut)
{
	if (rule->nth && rule->calls != rule->nth)
		return MISS;
	if (rule->every && rule->calls % rule->every)
		return MISS;
	if (rule->count && rule->hits >= rule->count)
		return MISS;
	if (rule->has_prob &&
	    draw(rule->seed, rule->calls) % BILLION >= rule->prob)
		return MISS;
	if (rule->answer == FAULT_ZERO && !rule->is_unsafe && !call->at_end)
		return MISS;
	return rule->after ? reach_mark(rule, call, ret_cut) : HIT;
}

static enum offlay_side side_of(const struct fault_rule *rule,
				const struct fault_call *call)
{
	if (rule->side != FAULT_EITHER_SIDE)
		return (enum offlay_side)rule->side;
	if (rule->file && !glob_matches(rule->file, call->src))
		return OFFLAY_DESTINATION;
	return call->op == FAULT_TOKEN_WRITE ? OFFLAY_DESTINATION
					     : OFFLAY_SOURCE;
}

/* Return: bytes that the call will move. */
static uint64_t answer(const struct fault_rule *rule,
		       const struct fault_call *call, struct fault_hit *ret_hit)
{
	*ret_hit = (struct fault_hit){
		.answer = rule->answer,
		.err = rule->err,
		.deny = rule->deny,
		.side = side_of(rule, call),
		.methods = rule->methods,
		.waits = rule->waits,
		.hangs = rule->hangs,
		.wait = rule->wait,
		.line = rule->line,
	};
	switch (rule->answer) {
	case FAULT_ERRNO:
	case FAULT_ZERO:
	case FAULT_REFUSE:
		return 0;
	case FAULT_SHORT:
		ret_hit->length = cut_of(rule, call);
		if (ret_hit->length)
			return ret_hit->length;
		ret_hit->answer = FAULT_PLAIN;
		return call->length;
	default:
		return call->length;
	}
}

bool fault_match(struct fault_set *set, const struct fault_call *call,
		 struct fault_hit *ret_hit)
{
	enum verdict verdict = MISS;
	uint64_t moved = call->length, cut = 0;
	size_t i;

	for (i = 0; i < set->n && verdict == MISS; i++) {
		struct fault_rule *rule = &set->rules[i];

		rule->counted = (rule->ops & FAULT_BIT(call->op)) &&
				file_matches(rule, call);
		if (!rule->counted)
			continue;
		rule->calls++;
		verdict = judge(rule, call, &cut);
	}
	if (verdict == HIT) {
		set->rules[i - 1].hits++;
		moved = answer(&set->rules[i - 1], call, ret_hit);
	} else if (verdict == CUT) {
		moved = cut;
		*ret_hit = (struct fault_hit){
			.answer = FAULT_SHORT,
			.length = cut,
			.line = set->rules[i - 1].line,
		};
	}
	while (i-- > 0)
		if (set->rules[i].counted)
			set->rules[i].bytes += moved;
	return verdict != MISS;
}

bool fault_mentions(const struct fault_set *set, unsigned int ops,
		    const char *path)
{
	for (size_t i = 0; i < set->n; i++)
		if ((set->rules[i].ops & ops) &&
		    (!set->rules[i].file ||
		     glob_matches(set->rules[i].file, path)))
			return true;
	return false;
}

bool fault_is_hidden(int err)
{
	return err == EOPNOTSUPP || err == EXDEV || err == ENOSYS;
}

bool fault_refuses(const struct fault_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct fault_rule *rule = &set->rules[i];

		if (!(rule->ops & FAULT_BIT(FAULT_COPY)))
			continue;
		if (rule->answer == FAULT_REFUSE ||
		    (rule->answer == FAULT_ERRNO && fault_is_hidden(rule->err)))
			return true;
	}
	return false;
}
