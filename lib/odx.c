// SPDX-License-Identifier: MIT
/* The checks of offload read and write, in the order that Windows has them. */
#include <errno.h>
#include <unistd.h>

#include "odx.h"

/* A file with more extents at its end than this is not trimmed. */
#define VALID_STEPS 256

static const struct offlay_status *is(uint32_t ntstatus)
{
	return offlay_status_by_ntstatus(ntstatus);
}

static bool is_aligned(uint64_t value, uint32_t sector)
{
	return (value & (sector - 1)) == 0;
}

/* Right after access: MS-FSA leaves it to the I/O manager, which comes first. */
static const struct offlay_status *
check_volume(const struct odx_limits *limits, const struct odx_request *request)
{
	uint32_t on = request->side == OFFLAY_SOURCE ? OFFLAY_ODX_READ_ON
						     : OFFLAY_ODX_WRITE_ON;

	if (request->side == OFFLAY_DESTINATION && request->read_only)
		return is(ODX_MEDIA_WRITE_PROTECTED);
	if (!request->may_access)
		return is(ODX_ACCESS_DENIED);
	if (!(limits->flags & OFFLAY_ODX_ON))
		return is(ODX_INVALID_DEVICE_REQUEST);
	if (!(limits->flags & on))
		return is(ODX_NOT_SUPPORTED);
	return NULL;
}

const struct offlay_status *odx_check_request(const struct odx_limits *limits,
					      const struct odx_request *request)
{
	const struct offlay_status *status = check_volume(limits, request);
	uint64_t max = INT64_MAX;

	if (status)
		return status;
	if (request->is_short)
		return is(ODX_BUFFER_TOO_SMALL);
	if (!is_aligned(request->offset, limits->sector) ||
	    !is_aligned(request->length, limits->sector) ||
	    (request->side == OFFLAY_DESTINATION &&
	     !is_aligned(request->transfer_offset, limits->sector)))
		return is(ODX_INVALID_PARAMETER);
	if (request->size != request->size_needed)
		return is(ODX_INVALID_PARAMETER);
	if (request->offset > max || request->length > max - request->offset)
		return is(ODX_INVALID_PARAMETER);
	if (request->side == OFFLAY_DESTINATION &&
	    (request->transfer_offset > max ||
	     request->length > max - request->transfer_offset))
		return is(ODX_INVALID_PARAMETER);
	return NULL;
}

const struct offlay_status *odx_check_file(const struct odx_limits *limits,
					   const struct odx_request *request,
					   const struct odx_file *file,
					   struct odx_plan *ret_plan)
{
	struct odx_plan plan = { .length = request->length };
	uint64_t end = odx_round_up(file->size, limits->sector);
	uint64_t valid;

	if (!file->is_data || (file->reasons & OFFLAY_REASONS_POLICY) ||
	    (file->reasons & 1u << OFFLAY_REASON_SWAP_FILE))
		return offlay_status_refused(request->side);
	/* Windows has no such thing; like a read-only attribute. */
	if (request->side == OFFLAY_DESTINATION &&
	    (file->reasons &
	     (1u << OFFLAY_REASON_IMMUTABLE | 1u << OFFLAY_REASON_APPEND_ONLY)))
		return is(ODX_ACCESS_DENIED);
	if (file->is_deleted)
		return is(ODX_FILE_DELETED);
	if (file->is_locked)
		return is(ODX_FILE_LOCK_CONFLICT);
	if (request->offset >= file->size)
		return is(ODX_END_OF_FILE);
	plan.length = copy_min(plan.length, end - request->offset);
	if (request->side == OFFLAY_SOURCE) {
		valid = odx_round_up(file->valid, limits->sector);
		plan.is_zero = request->offset >= file->valid;
		if (!plan.is_zero)
			plan.length =
				copy_min(plan.length, valid - request->offset);
	}
	plan.length = copy_min(plan.length, limits->transfer_max);
	plan.zero_beyond = request->side == OFFLAY_SOURCE &&
			   request->offset + plan.length >= file->valid;
	*ret_plan = plan;
	return NULL;
}

const struct offlay_status *odx_check_token(const struct odx_limits *limits,
					    const struct odx_request *request,
					    uint64_t token_length,
					    struct odx_plan *plan)
{
	if (request->transfer_offset >= token_length)
		return is(ODX_INVALID_PARAMETER);
	plan->length =
		copy_min(plan->length, token_length - request->transfer_offset);
	/* Tokens of another sector size: never less than one sector. */
	if (!is_aligned(plan->length, limits->sector))
		plan->length &= ~(uint64_t)(limits->sector - 1);
	return plan->length ? NULL : is(ODX_INVALID_PARAMETER);
}

/* Return: an offset, @size for none, or a negative errno. */
static int64_t seek(int fd, uint64_t offset, int whence, uint64_t size)
{
	off_t found = lseek(fd, (off_t)offset, whence);

	if (found >= 0)
		return found;
	/* Without SEEK_DATA everything is data. */
	if (errno == EINVAL)
		return whence == SEEK_DATA ? (int64_t)offset : (int64_t)size;
	return errno == ENXIO ? (int64_t)size : -errno;
}

int odx_find_valid(int fd, uint64_t offset, uint64_t length, uint64_t size,
		   uint64_t *ret_valid)
{
	uint64_t end = copy_min(size, offset + length), at = offset;
	int64_t data, hole;
	int steps;

	if (offset >= size) {
		*ret_valid = size;
		return 0;
	}
	data = end < size ? seek(fd, end, SEEK_DATA, size) : (int64_t)size;
	if (data < 0)
		return (int)data;
	if ((uint64_t)data < size) { /* there is data behind the range */
		*ret_valid = size;
		return 0;
	}
	for (steps = 0; steps < VALID_STEPS; steps++) {
		data = seek(fd, at, SEEK_DATA, size);
		if (data < 0)
			return (int)data;
		if ((uint64_t)data >= end) {
			*ret_valid = at;
			return 0;
		}
		hole = seek(fd, (uint64_t)data, SEEK_HOLE, size);
		if (hole < 0)
			return (int)hole;
		at = (uint64_t)hole;
		if (at >= end)
			break;
	}
	*ret_valid = size; /* data up to the range's end, or nearly */
	if (steps < VALID_STEPS && at < size)
		*ret_valid = at;
	return 0;
}
