// SPDX-License-Identifier: MIT
/* Did the program copy, or did it say that it had not?  Pure. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "conform.h"

static bool is_old(const struct conform_outcome *o)
{
	return o->size == o->old_size && o->same_old == o->old_size;
}

static bool is_new(const struct conform_outcome *o)
{
	return o->size == o->new_size && o->same_new == o->new_size;
}

/*
 * A source that changes has no one right copy: what it was, what it became,
 * and, as it grows or shrinks at its end, whatever it was in between.
 */
static bool is_right(const struct conform_outcome *o)
{
	if (!o->is_file)
		return false;
	switch (o->action) {
	case CONFORM_GROW:
		return o->size >= o->old_size && o->same_new == o->size;
	case CONFORM_SHRINK:
	case CONFORM_SHORTEN:
		return o->size >= o->new_size && o->same_old == o->size;
	case CONFORM_REPLACE:
		return is_old(o) || is_new(o);
	default:
		return is_old(o);
	}
}

/* Would somebody take it for the copy?  An empty file deceives nobody. */
static bool looks_complete(const struct conform_outcome *o)
{
	return o->is_file && o->size &&
	       (o->size == o->old_size ||
		(o->action != CONFORM_NOTHING && o->size == o->new_size));
}

static void describe_dst(const struct conform_outcome *o, char *text,
			 size_t size)
{
	if (!o->is_there)
		snprintf(text, size, "there is no copy");
	else if (!o->is_file)
		snprintf(text, size, "the copy is no regular file");
	else if (o->size != o->old_size)
		snprintf(text, size, "the copy has %llu of %llu bytes%s",
			 (unsigned long long)o->size,
			 (unsigned long long)o->old_size,
			 o->same_old == o->size || o->same_old == o->old_size
				 ? ""
				 : ", and not the right ones");
	else
		snprintf(text, size, "the copy is wrong from byte %llu on",
			 (unsigned long long)o->same_old);
}

static enum conform_result judge_success(const struct conform_outcome *o,
					 bool met, char detail[CONFORM_TEXT])
{
	char dst[128];

	if (is_right(o))
		return met ? CONFORM_COPIED : CONFORM_UNMET;
	describe_dst(o, dst, sizeof(dst));
	snprintf(detail, CONFORM_TEXT, "it said that all went well, but %s",
		 dst);
	return CONFORM_FAILED;
}

static enum conform_result judge_error(const struct conform_outcome *o,
				       bool may_fail, bool met, const char *how,
				       char detail[CONFORM_TEXT])
{
	char dst[128];

	describe_dst(o, dst, sizeof(dst));
	if (is_right(o) && may_fail) {
		snprintf(detail, CONFORM_TEXT, "%s; the copy is right", how);
		return CONFORM_TOLD;
	}
	if (!may_fail || !met) {
		snprintf(detail, CONFORM_TEXT,
			 "%s, though the file could be copied; %s", how,
			 is_right(o) ? "the copy is right" : dst);
		return CONFORM_FAILED;
	}
	if (looks_complete(o)) {
		snprintf(detail, CONFORM_TEXT,
			 "%s, and left what looks like a copy: %s", how, dst);
		return CONFORM_FAILED;
	}
	snprintf(detail, CONFORM_TEXT, "%s; %s", how, dst);
	return CONFORM_TOLD;
}

/* A signal that we did not send is a crash, whatever was met. */
static enum conform_result judge_signal(const struct conform_outcome *o,
					bool may_fail, bool met,
					char detail[CONFORM_TEXT])
{
	int number = WTERMSIG(o->status);
	char how[64];

	if (number == SIGXFSZ) {
		snprintf(detail, CONFORM_TEXT, "it wrote without end");
		return CONFORM_FAILED;
	}
	snprintf(how, sizeof(how), "killed by SIG%s", sigabbrev_np(number));
	if (!o->was_signalled || number != SIGTERM) {
		snprintf(detail, CONFORM_TEXT, "%s", how);
		return CONFORM_FAILED;
	}
	return judge_error(o, may_fail, met, how, detail);
}

/**
 * conform_judge() - what is to be said of one run of the program
 * @outcome: how it ended and what it left behind
 * @may_fail: the behaviour is one that may keep a file from being copied
 * @met: the program did meet it
 * @detail: set where there is something to say, else empty
 */
enum conform_result conform_judge(const struct conform_outcome *outcome,
				  bool may_fail, bool met,
				  char detail[CONFORM_TEXT])
{
	char how[64];

	detail[0] = '\0';
	if (outcome->timed_out) {
		snprintf(detail, CONFORM_TEXT,
			 "it did not end in time, and was killed");
		return CONFORM_FAILED;
	}
	if (outcome->src_changed) {
		snprintf(detail, CONFORM_TEXT, "it changed the source");
		return CONFORM_FAILED;
	}
	if (WIFSIGNALED(outcome->status))
		return judge_signal(outcome, may_fail, met, detail);
	if (WIFEXITED(outcome->status) && !WEXITSTATUS(outcome->status))
		return judge_success(outcome, met, detail);
	snprintf(how, sizeof(how), "it ended with exit code %d",
		 WEXITSTATUS(outcome->status));
	return judge_error(outcome, may_fail, met, how, detail);
}
