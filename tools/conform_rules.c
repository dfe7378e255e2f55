// SPDX-License-Identifier: MIT
/* The rules of the private overlay, and how often they were met. */
#include <errno.h>
#include <string.h>

#include "conform.h"
#include "fault.h"
#include "offlay_uapi.h"
#include "tools.h"

int conform_mount_clear(struct conform_mount *mount)
{
	return fault_client_clear(mount->fd);
}

int conform_mount_rules(struct conform_mount *mount, const char *text)
{
	struct fault_error error;
	int err;

	if (!*text)
		return conform_mount_clear(mount);
	err = fault_client_set(mount->fd, text, strlen(text), &error);
	if (err == -EINVAL && error.line)
		report_error("%s", error.text);
	return err;
}

int conform_mount_hits(struct conform_mount *mount, uint64_t *ret_all,
		       uint64_t *ret_last)
{
	struct offlay_ioc_rules_list rule;
	uint64_t all = 0, last = 0;
	uint32_t index = 0;
	int err;

	do {
		err = fault_client_list(mount->fd, index, &rule);
		if (err)
			return err;
		if (index < rule.count) {
			last = rule.hits;
			all += last;
		}
	} while (++index < rule.count);
	*ret_all = all;
	*ret_last = last;
	return 0;
}
