// SPDX-License-Identifier: MIT
/* Which events "offlay trace" shows. */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "mount_trace.h"

#define WORD_MAX 32

/* Takes the next word of a list with commas; false at its end. */
static bool next_word(const char **list, char word[WORD_MAX],
		      const char **ret_start)
{
	size_t len = strcspn(*list, ",");

	*ret_start = *list;
	if (!**list)
		return false;
	if (len >= WORD_MAX)
		len = 0; /* no name is as long: an empty word is bad, too */
	memcpy(word, *list, len);
	word[len] = '\0';
	*list += strcspn(*list, ",");
	if (**list)
		(*list)++;
	return true;
}

int trace_filter_ops(struct trace_filter *filter, const char *list,
		     const char **ret_bad)
{
	char word[WORD_MAX];
	unsigned int op;

	*ret_bad = list;
	if (!*list)
		return -EINVAL;
	while (next_word(&list, word, ret_bad)) {
		if (trace_op_parse(word, &op))
			return -EINVAL;
		filter->ops |= 1ull << op;
	}
	return 0;
}

int trace_filter_results(struct trace_filter *filter, const char *list,
			 const char **ret_bad)
{
	char word[WORD_MAX];
	enum trace_result result;

	*ret_bad = list;
	if (!*list)
		return -EINVAL;
	while (next_word(&list, word, ret_bad)) {
		if (trace_result_parse(word, &result))
			return -EINVAL;
		filter->results |= 1u << result;
	}
	return 0;
}

static bool is_path_of(const char *pattern, const char *path)
{
	return *path && !fnmatch(pattern, path, 0);
}

bool trace_filter_passes(const struct trace_filter *filter,
			 const struct trace_record *record)
{
	const struct offlay_trace_event *event = &record->event;

	if (filter->pid && filter->pid != event->pid &&
	    filter->pid != event->tid)
		return false;
	if (filter->ops &&
	    (event->op >= OFFLAY_OP_COUNT || !(filter->ops >> event->op & 1)))
		return false;
	if (filter->results && !(filter->results >> trace_result_of(event) & 1))
		return false;
	return !filter->path || is_path_of(filter->path, record->src) ||
	       is_path_of(filter->path, record->dst);
}
