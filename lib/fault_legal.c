// SPDX-License-Identifier: MIT
/* Which errors an operation on a regular file may have, by the manual pages. */
#include <errno.h>
#include <string.h>

#include "fault.h"

#define ERRNO_MAX 133 /* EHWPOISON, the last that there is */
#define LIST_MAX  32

/*
 * What the manual page of the operation names, less what is not of a regular
 * file (EPIPE, EAGAIN of a pipe) or of any file (EFAULT); and what network
 * filesystems, quotas and signals add.  offlay-rules(5) has the same table.
 */
static const struct {
	const char *name;
	short errs[LIST_MAX]; /* up to a 0 */
} ops[FAULT_OPS] = {
	[FAULT_COPY] = { "copy",
			 { EACCES, EAGAIN, EBADF,      EDQUOT,	  EFBIG,
			   EINTR,  EINVAL, EIO,	       EISDIR,	  ENOMEM,
			   ENOSPC, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM,
			   EROFS,  ESTALE, ETIMEDOUT,  ETXTBSY,	  EXDEV } },
	[FAULT_CLONE] = { "clone",
			  { EACCES, EAGAIN, EBADF, EDQUOT, EFBIG, EINTR, EINVAL,
			    EIO, EISDIR, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM,
			    EROFS, ESTALE, ETIMEDOUT, ETXTBSY, EXDEV } },
	[FAULT_DEDUPE] = { "dedupe",
			   { EACCES, EBADF, EDQUOT, EINTR, EINVAL, EIO, EISDIR,
			     ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, EROFS, ESTALE,
			     ETIMEDOUT, ETXTBSY, EXDEV } },
	[FAULT_READ] = { "read",
			 { EBADF, EINTR, EINVAL, EIO, EISDIR, ENOMEM, ESTALE,
			   ETIMEDOUT } },
	[FAULT_WRITE] = { "write",
			  { EBADF, EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENOMEM,
			    ENOSPC, EPERM, EROFS, ESTALE, ETIMEDOUT,
			    ETXTBSY } },
	[FAULT_FSYNC] = { "fsync",
			  { EBADF, EDQUOT, EINTR, EINVAL, EIO, ENOMEM, ENOSPC,
			    EROFS, ESTALE, ETIMEDOUT } },
	[FAULT_OPEN] = { "open",
			 { EACCES,  EBUSY,  EFBIG,	EINTR,	   EINVAL,
			   EIO,	    EISDIR, ELOOP,	EMFILE,	   ENAMETOOLONG,
			   ENFILE,  ENODEV, ENOENT,	ENOMEM,	   ENOSPC,
			   ENOTDIR, ENXIO,  EOPNOTSUPP, EOVERFLOW, EPERM,
			   EROFS,   ESTALE, ETIMEDOUT,	ETXTBSY } },
	[FAULT_CREATE] = { "create",
			   { EACCES, EBUSY, EDQUOT, EINTR, EINVAL, EIO, ELOOP,
			     EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM,
			     ENOSPC, ENOTDIR, EOPNOTSUPP, EPERM, EROFS, ESTALE,
			     ETIMEDOUT } },
	[FAULT_TRUNCATE] = { "truncate",
			     { EACCES, EBADF, EDQUOT, EFBIG, EINTR, EINVAL, EIO,
			       EISDIR, ENOENT, ENOMEM, ENOSPC, EPERM, EROFS,
			       ESTALE, ETIMEDOUT, ETXTBSY } },
	[FAULT_TOKEN_READ] = { "token_read",
			       { EACCES, EAGAIN, EINVAL, EIO, EMSGSIZE, ENODATA,
				 ENOENT, ENOMEM, ENOTTY, EOPNOTSUPP,
				 ETIMEDOUT } },
	[FAULT_TOKEN_WRITE] = { "token_write",
				{ EACCES, EAGAIN, EDQUOT, EFBIG, EINVAL, EIO,
				  EMSGSIZE, ENODATA, ENOENT, ENOMEM, ENOSPC,
				  ENOTTY, EOPNOTSUPP, EROFS, ESTALE,
				  ETIMEDOUT } },
};

const char *fault_op_name(enum fault_op op)
{
	return op < FAULT_OPS ? ops[op].name : NULL;
}

bool fault_is_legal(enum fault_op op, int err)
{
	for (size_t i = 0; i < LIST_MAX && ops[op].errs[i]; i++)
		if (ops[op].errs[i] == err)
			return true;
	return false;
}

/*
 * ENOSYS means "never ask again" where the kernel has another way; a copy has
 * its own way of saying it.  Of a private ioctl, ENOTTY says that this is no
 * mount of ours.  Tokens know the errors of their table only.
 */
bool fault_is_deliverable(enum fault_op op, int err)
{
	switch (op) {
	case FAULT_FSYNC:
	case FAULT_OPEN:
	case FAULT_CREATE:
	case FAULT_TRUNCATE:
		return err != ENOSYS;
	case FAULT_CLONE:
	case FAULT_DEDUPE:
		return err != ENOSYS && err != ENOTTY;
	case FAULT_TOKEN_READ:
	case FAULT_TOKEN_WRITE:
		return offlay_status_by_errno(err) != NULL;
	default:
		return true;
	}
}

/* Names that are another's number. */
static const struct {
	const char *name;
	int err;
} aliases[] = {
	{ "EOPNOTSUPP", EOPNOTSUPP },
	{ "ENOTSUP", EOPNOTSUPP },
	{ "EWOULDBLOCK", EAGAIN },
	{ "EDEADLOCK", EDEADLK },
};

static bool is_word(const char *name, const char *text, size_t length)
{
	return name && strlen(name) == length && !memcmp(name, text, length);
}

int fault_errno_of(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(*aliases); i++)
		if (is_word(aliases[i].name, name, length))
			return aliases[i].err;
	for (int err = 1; err <= ERRNO_MAX; err++)
		if (is_word(strerrorname_np(err), name, length))
			return err;
	return 0;
}
