// SPDX-License-Identifier: MIT
/* What a copy must leave behind, whatever went wrong: checked byte by byte. */
#include <errno.h>
#include <string.h>

#include "copy_model.h"

static uint8_t src_byte(const struct model *model, uint64_t i)
{
	const struct copy_case *c = model->copy;

	return model->before.files[c->src].data[c->src_offset + i];
}

/* The destination's byte before; zero behind its end, as it reads later. */
static uint8_t old_byte(const struct model *model, uint64_t at)
{
	return model->before.files[model->copy->dst].data[at];
}

static void complain(struct model *model, bool ok, const char *what)
{
	if (!ok && !model->wrong)
		model->wrong = what;
}

/* Everything outside of the range is as it was. */
static void check_outside(struct model *model, const struct fake *fake)
{
	const struct copy_case *c = model->copy;
	const struct fake_file *dst = &fake->files[c->dst];
	const struct fake_file *old = &model->before.files[c->dst];
	uint64_t end = c->dst_offset + model->expected;

	complain(model,
		 dst->size >= old->size &&
			 (dst->size == old->size || dst->size <= end),
		 "size out of bounds");
	for (uint64_t at = 0; at < FAKE_BYTES; at++) {
		if (at < c->dst_offset || at >= end)
			complain(model, dst->data[at] == old_byte(model, at),
				 "a byte outside of the range changed");
	}
	for (int i = 0; i < FAKE_FILES; i++)
		complain(model,
			 i == c->dst || memcmp(fake->files[i].data,
					       model->before.files[i].data,
					       FAKE_BYTES) == 0,
			 "a file that is not the destination changed");
}

/*
 * At any moment the range is a prefix of the source, then what was there.
 * Where a byte was equal before, it fits both.
 */
static void check_moment(struct fake *fake, void *arg)
{
	struct model *model = arg;
	const uint8_t *now = fake->files[model->copy->dst].data;
	uint64_t base = model->copy->dst_offset;
	uint64_t prefix = 0;

	while (prefix < model->expected &&
	       now[base + prefix] == src_byte(model, prefix))
		prefix++;
	for (uint64_t i = prefix; i < model->expected; i++)
		complain(model, now[base + i] == old_byte(model, base + i),
			 "a later byte came before an earlier one");
}

static void check_result(struct model *model, const struct fake *fake,
			 const struct offlay_result *result)
{
	const struct copy_case *c = model->copy;
	const struct fake_file *dst = &fake->files[c->dst];

	complain(model, result->copied <= model->expected, "too many copied");
	complain(model,
		 result->cloned + result->offloaded + result->moved +
				 result->holes ==
			 result->copied,
		 "the parts are not the whole");
	if (result->copied == 0)
		return;
	complain(model, dst->size >= c->dst_offset + result->copied,
		 "copied bytes lie behind the end");
	for (uint64_t i = 0; i < result->copied; i++)
		complain(model,
			 dst->data[c->dst_offset + i] == src_byte(model, i),
			 "a copied byte is not the source's");
}

/* Behind the prefix, each byte is an old one or the right one. */
static void check_rest(struct model *model, const struct fake *fake,
		       uint64_t copied)
{
	const struct copy_case *c = model->copy;
	const struct fake_file *dst = &fake->files[c->dst];

	for (uint64_t i = copied; i < model->expected; i++) {
		uint8_t byte = dst->data[c->dst_offset + i];

		complain(model,
			 byte == old_byte(model, c->dst_offset + i) ||
				 byte == src_byte(model, i),
			 "a byte behind the prefix came out of nowhere");
	}
}

int model_run(struct fake *fake, struct offlay_engine *engine,
	      const struct copy_case *copy, struct offlay_result *ret_result,
	      const char **ret_wrong)
{
	const struct fake_file *src = &fake->files[copy->src];
	struct offlay_engine *own = NULL;
	struct model model = { .copy = copy };
	struct offlay_range range = {
		.src_fd = FAKE_FD(copy->src),
		.dst_fd = FAKE_FD(copy->dst),
		.src_offset = copy->src_offset,
		.dst_offset = copy->dst_offset,
		.length = copy->length,
		.methods = copy->methods,
		.flags = copy->flags,
		.max_move = copy->max_move,
	};
	int err;

	if (copy->src_offset < src->size)
		model.expected =
			copy_min(copy->length, src->size - copy->src_offset);
	model.before = *fake;
	*ret_result = (struct offlay_result){ 0 };
	if (!engine) {
		err = copy_engine_new(&fake_ops, fake, &own);
		if (err)
			return err;
	}
	fake->changed = check_moment;
	fake->changed_arg = &model;
	err = offlay_copy_range(engine ? engine : own, &range, ret_result);
	fake->changed = NULL;
	if (err == 0)
		check_result(&model, fake, ret_result);
	else
		complain(&model, ret_result->copied == 0 || err == -EOPNOTSUPP,
			 "bytes and an error");
	check_outside(&model, fake);
	check_rest(&model, fake, err ? 0 : ret_result->copied);
	offlay_engine_free(own);
	*ret_wrong = model.wrong;
	return err;
}
