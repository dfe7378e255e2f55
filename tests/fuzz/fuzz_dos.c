// SPDX-License-Identifier: MIT
/* libFuzzer target: user.DOSATTRIB, bytes that anybody may have written. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint32_t untouched = 0x5a5a5a5a;
	uint32_t attributes = untouched;
	int err = facts_dos_parse(data, size, &attributes);

	if (err && (err != -EINVAL || attributes != untouched))
		abort();
	return 0;
}
