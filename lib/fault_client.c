// SPDX-License-Identifier: MIT
/* The ioctls of fault rules, asked of a mount. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fault.h"
#include "offlay_uapi.h"

static int send_part(int fd, struct offlay_ioc_rules_set *arg,
		     struct fault_error *ret_error)
{
	int err = ioctl(fd, OFFLAY_IOC_RULES_SET, arg) < 0 ? -errno : 0;

	if (err == -EINVAL && arg->line) {
		ret_error->line = arg->line;
		ret_error->column = arg->column;
		memcpy(ret_error->text, arg->message, sizeof(ret_error->text));
		ret_error->text[sizeof(ret_error->text) - 1] = '\0';
	}
	return err;
}

int fault_client_set(int fd, const char *text, size_t size,
		     struct fault_error *ret_error)
{
	struct offlay_ioc_rules_set *arg = malloc(sizeof(*arg));
	uint64_t upload = 0;
	size_t at = 0, part;
	int err;

	if (!arg)
		return -ENOMEM;
	*ret_error = (struct fault_error){ 0 };
	do {
		part = size - at < sizeof(arg->text) ? size - at
						     : sizeof(arg->text);
		memset(arg, 0, sizeof(*arg));
		arg->version = OFFLAY_ABI_VERSION;
		arg->upload = upload;
		arg->offset = (uint32_t)at;
		arg->length = (uint32_t)part;
		memcpy(arg->text, text + at, part);
		at += part;
		arg->flags = at < size ? OFFLAY_RULES_MORE : 0;
		err = send_part(fd, arg, ret_error);
		upload = arg->upload;
	} while (!err && at < size);
	free(arg);
	return err;
}

int fault_client_list(int fd, uint32_t index,
		      struct offlay_ioc_rules_list *ret_rule)
{
	struct offlay_ioc_rules_list arg = { .version = OFFLAY_ABI_VERSION,
					     .index = index };

	if (ioctl(fd, OFFLAY_IOC_RULES_LIST, &arg) < 0)
		return -errno;
	arg.text[sizeof(arg.text) - 1] = '\0';
	*ret_rule = arg;
	return 0;
}

int fault_client_clear(int fd)
{
	struct offlay_ioc_rules_clear arg = { .version = OFFLAY_ABI_VERSION };

	return ioctl(fd, OFFLAY_IOC_RULES_CLEAR, &arg) < 0 ? -errno : 0;
}

int fault_read_text(int fd, char **ret_text, size_t *ret_size)
{
	char *text = malloc(FAULT_TEXT_MAX + 1);
	size_t size = 0;
	ssize_t n = 1;

	if (!text)
		return -ENOMEM;
	while (n > 0 && size <= FAULT_TEXT_MAX) {
		n = read(fd, text + size, FAULT_TEXT_MAX + 1 - size);
		if (n > 0)
			size += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n < 0 || size > FAULT_TEXT_MAX) {
		n = n < 0 ? -errno : -EFBIG;
		free(text);
		return (int)n;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}
