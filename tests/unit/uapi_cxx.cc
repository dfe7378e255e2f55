// SPDX-License-Identifier: MIT
/* The public headers used from C++, each on its own and twice. */
#include "offlay_uapi.h"
static_assert(sizeof(offlay_ioc_explain) == 160, "explain");
static_assert(OFFLAY_IOC_EXPLAIN == 0xC0A0F101u, "explain");
static_assert(sizeof(offlay_token) == 512, "token");
static_assert(OFFLAY_IOC_ODX_READ == 0xC248F102u, "read");
static_assert(OFFLAY_IOC_ODX_VOLUME == 0xC088F105u, "volume");
static_assert(OFFLAY_IOC_CLONE == 0xC050F107u, "clone");

#include "offlay.h"
#include "offlay.h"
#include "offlay_odx.h"
#include "offlay_odx.h"
#include "offlay_trace.h"
#include "offlay_trace.h"
#include "offlay_uapi.h"

#include <cerrno>
#include <cstdio>

/* Links only if offlay.h says that the functions are C. */
int main()
{
	const offlay_status *row = offlay_status_refused(OFFLAY_DESTINATION);
	offlay_facts facts = offlay_facts();
	const char *bad;
	unsigned int deny;

	if (offlay_deny_parse("all", &deny, &bad) || deny != OFFLAY_DENY_ALL)
		return 1;
	if (offlay_eligible(&facts, OFFLAY_SOURCE, deny).reasons !=
	    1u << OFFLAY_REASON_NOT_REGULAR)
		return 1;
	if (row->win32 != 4443)
		return 1;
	if (!offlay_odx_volume(-1, nullptr, &row) || row)
		return 1;
	if (offlay_clone_range(-1, 0, -1, 0, 0) != -EBADF)
		return 1;
	/* The closing line that tests/check counts. */
	std::puts("[====] Synthesis: Tested: 1 | Passing: 1 | Failing: 0 "
		  "| Crashing: 0");
	return 0;
}
