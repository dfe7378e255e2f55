// SPDX-License-Identifier: MIT
/* How an offload's errors are told in three languages. */
#include <errno.h>

#include "odx.h"

const struct offlay_status *odx_status_of(int err, enum offlay_side side)
{
	const struct offlay_status *status;

	switch (-err) {
	case EOPNOTSUPP:
	case EXDEV:
		return offlay_status_volume(side);
	case ETXTBSY:
		return offlay_status_refused(side);
	case EPERM:
		return offlay_status_by_ntstatus(ODX_ACCESS_DENIED);
	default:
		status = offlay_status_by_errno(-err);
		return status ? status
			      : offlay_status_by_ntstatus(ODX_IO_DEVICE_ERROR);
	}
}

void odx_status_pack(const struct offlay_status *status,
		     struct offlay_ioc_status *ret_status)
{
	*ret_status = (struct offlay_ioc_status){ 0 };
	if (!status)
		return;
	ret_status->err = (uint32_t)status->err;
	ret_status->win32 = status->win32;
	ret_status->ntstatus = status->ntstatus;
}
