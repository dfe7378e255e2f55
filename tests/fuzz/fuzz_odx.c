// SPDX-License-Identifier: MIT
/* Fuzzes what the ioctls of offloaded data transfer do with foreign bytes. */
#include <stdlib.h>
#include <string.h>

#include "odx.h"

#define SIZE (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true)
{
	if (!is_true)
		abort();
}

/* Limits from outside are taken whole or not at all. */
static void try_limits(const uint8_t *data, size_t size,
		       struct odx_limits *limits)
{
	struct offlay_ioc_odx_volume volume = { 0 }, again;
	struct odx_limits asked;
	char words[128] = { 0 };
	const char *bad;

	memcpy(&volume, data, size < sizeof(volume) ? size : sizeof(volume));
	odx_limits_unpack(&volume, &asked);
	if (!odx_limits_check(&asked)) {
		*limits = asked;
		odx_limits_pack(&asked, &again);
		must(again.transfer_max == volume.transfer_max);
	}
	memcpy(words, data, size < sizeof(words) ? size : sizeof(words) - 1);
	if (!odx_limits_parse(words, limits, &bad))
		must(!odx_limits_check(limits));
	else
		must(bad >= words && bad <= words + sizeof(words));
}

static void try_request(const struct odx_limits *limits,
			struct odx_request *request, uint64_t token_length)
{
	struct odx_file file = { .is_data = true, .size = SIZE, .valid = 5000 };
	struct odx_plan plan;

	request->may_access = true;
	if (odx_check_request(limits, request) || !request->length)
		return;
	if (odx_check_file(limits, request, &file, &plan))
		return;
	must(plan.length && plan.length <= request->length);
	must(plan.length % limits->sector == 0);
	must(request->offset < SIZE);
	must(request->offset + plan.length <=
	     odx_round_up(SIZE, limits->sector));
	if (request->side == OFFLAY_DESTINATION &&
	    !odx_check_token(limits, request, token_length, &plan)) {
		must(plan.length && plan.length % limits->sector == 0);
		must(request->transfer_offset + plan.length <= token_length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct offlay_ioc_odx_read read = { 0 };
	struct offlay_ioc_odx_write write = { 0 };
	struct odx_request request;
	struct odx_limits limits;
	struct token_table *table;
	struct token_use use;

	odx_limits_default(&limits);
	memcpy(&read, data, size < sizeof(read) ? size : sizeof(read));
	memcpy(&write, data, size < sizeof(write) ? size : sizeof(write));
	request = (struct odx_request){ .side = OFFLAY_SOURCE,
					.size = read.in.size,
					.size_needed = sizeof(read.in),
					.offset = read.in.file_offset,
					.length = read.in.copy_length };
	try_request(&limits, &request, 0);
	request = (struct odx_request){
		.side = OFFLAY_DESTINATION,
		.size = write.in.size,
		.size_needed = sizeof(write.in),
		.offset = write.in.file_offset,
		.length = write.in.copy_length,
		.transfer_offset = write.in.transfer_offset,
	};
	try_request(&limits, &request, 8192);
	must(!token_table_new(&limits, &table));
	/* Nothing was made here, so nothing but zeros can be valid. */
	must(!token_take(table, &write.in.token, 0, 1, &use) ==
	     token_is_zero(&write.in.token));
	token_table_free(table);
	try_limits(data, size, &limits);
	try_request(&limits, &request, 8192);
	return 0;
}
