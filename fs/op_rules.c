// SPDX-License-Identifier: MIT
/* The ioctls of fault rules: set, list and clear. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "offlay_uapi.h"
#include "rules.h"

static bool are_zero(const __u64 *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (values[i])
			return false;
	return true;
}

static int check_owner(fuse_req_t req)
{
	uid_t uid = fuse_req_ctx(req)->uid;

	return uid == 0 || uid == fs_of(req)->rules->owner ? 0 : -EPERM;
}

/*
 * Keeps one more part of a text, which nobody else can be adding to.
 * @ret_text: all of it, with the last part; the caller's to free.
 */
static int add_part(struct rules *rules, struct offlay_ioc_rules_set *arg,
		    char **ret_text, size_t *ret_size)
{
	int err = 0;

	*ret_text = NULL;
	pthread_mutex_lock(&rules->lock);
	if (!arg->upload) {
		rules->uploads++;
		rules->size = 0;
		if (!rules->text)
			rules->text = malloc(OFFLAY_RULES_TEXT_MAX);
		if (!rules->text)
			err = -ENOMEM;
	} else if (!rules->text || arg->upload != rules->uploads) {
		err = -ESTALE;
	}
	if (!err && (arg->offset != rules->size ||
		     arg->length > OFFLAY_RULES_TEXT_MAX - rules->size))
		err = -EINVAL;
	if (!err) {
		memcpy(rules->text + rules->size, arg->text, arg->length);
		rules->size += arg->length;
		arg->upload = rules->uploads;
	}
	if (!err && !(arg->flags & OFFLAY_RULES_MORE)) {
		*ret_text = rules->text;
		*ret_size = rules->size;
		rules->text = NULL;
	}
	pthread_mutex_unlock(&rules->lock);
	return err;
}

static int run_set(fuse_req_t req, void *buf)
{
	struct offlay_ioc_rules_set *arg = buf;
	struct rules *rules = fs_of(req)->rules;
	struct fault_error error = { 0 };
	struct fault_set *set;
	char *text = NULL;
	size_t size = 0;
	int err;

	if (arg->flags & ~OFFLAY_RULES_MORE ||
	    arg->length > sizeof(arg->text) || arg->line || arg->column ||
	    !are_zero(arg->reserved, 2))
		return -EINVAL;
	err = check_owner(req);
	if (!err)
		err = add_part(rules, arg, &text, &size);
	if (err || !text)
		return err;
	err = fault_parse(text, size, &set, &error);
	free(text);
	if (!err) {
		rules_replace(rules, set);
		return 0;
	}
	arg->line = error.line;
	arg->column = error.column;
	_Static_assert(sizeof(arg->message) >= sizeof(error.text), "message");
	memcpy(arg->message, error.text, sizeof(error.text));
	return err;
}

static int run_list(fuse_req_t req, void *buf)
{
	struct offlay_ioc_rules_list *arg = buf;
	struct rules *rules = fs_of(req)->rules;
	const struct fault_rule *rule;
	uint32_t index = arg->index;

	if (arg->flags || !are_zero(arg->reserved, 2))
		return -EINVAL;
	memset(arg, 0, sizeof(*arg));
	arg->version = OFFLAY_ABI_VERSION;
	arg->index = index;
	pthread_mutex_lock(&rules->lock);
	arg->count = rules->set ? (uint32_t)rules->set->n : 0;
	arg->generation = rules->generation;
	arg->waiting = rules->waiting;
	if (index < arg->count) {
		rule = &rules->set->rules[index];
		arg->calls = rule->calls;
		arg->hits = rule->hits;
		arg->bytes = rule->bytes;
		arg->line = rule->line;
		_Static_assert(sizeof(arg->text) > FAULT_LINE_MAX, "line");
		strncpy(arg->text, rule->text, sizeof(arg->text) - 1);
	}
	pthread_mutex_unlock(&rules->lock);
	return 0;
}

static int run_clear(fuse_req_t req, void *buf)
{
	struct offlay_ioc_rules_clear *arg = buf;
	int err;

	if (arg->flags || !are_zero(arg->reserved, 2))
		return -EINVAL;
	err = check_owner(req);
	if (!err)
		rules_replace(fs_of(req)->rules, NULL);
	return err;
}

static const struct ioctl_kind {
	unsigned int cmd;
	size_t size;
	int (*run)(fuse_req_t req, void *buf);
} kinds[] = {
	{ OFFLAY_IOC_RULES_SET, sizeof(struct offlay_ioc_rules_set), run_set },
	{ OFFLAY_IOC_RULES_LIST, sizeof(struct offlay_ioc_rules_list),
	  run_list },
	{ OFFLAY_IOC_RULES_CLEAR, sizeof(struct offlay_ioc_rules_clear),
	  run_clear },
};

static void answer(fuse_req_t req, const struct ioctl_kind *kind,
		   const void *in)
{
	union {
		uint32_t version;
		struct offlay_ioc_rules_set set;
		struct offlay_ioc_rules_list list;
		struct offlay_ioc_rules_clear clear;
	} arg;
	int err;

	memcpy(&arg, in, kind->size);
	err = arg.version == OFFLAY_ABI_VERSION ? kind->run(req, &arg)
						: -EOPNOTSUPP;
	reply_ioctl(req, 0, err, &arg, kind->size);
}

bool op_rules(fuse_req_t req, unsigned int cmd, const void *in, size_t in_size,
	      size_t out_size)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (kinds[i].cmd != cmd)
			continue;
		if (in_size < kinds[i].size || out_size < kinds[i].size)
			reply_err(req, -EINVAL);
		else
			answer(req, &kinds[i], in);
		return true;
	}
	return false;
}
