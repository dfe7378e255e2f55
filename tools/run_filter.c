// SPDX-License-Identifier: MIT
/* The filter that hands four requests of ioctl(2) to a supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run.h"

/* Linux 5.19: a caller whose request is being answered can only be killed. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static const unsigned long requests[] = { FICLONE, FICLONERANGE, FIDEDUPERANGE,
					  FS_IOC_FIEMAP };

/* Programs of 32 bits run here, too, with the same structures. */
static void add_other_abis(scmp_filter_ctx filter)
{
	switch (seccomp_arch_native()) {
	case SCMP_ARCH_X86_64:
		seccomp_arch_add(filter, SCMP_ARCH_X86);
		seccomp_arch_add(filter, SCMP_ARCH_X32);
		break;
	case SCMP_ARCH_AARCH64:
		seccomp_arch_add(filter, SCMP_ARCH_ARM);
		break;
	default:
		break;
	}
}

/* The kernel looks at the low 32 bits of a request alone. */
static int add_rules(scmp_filter_ctx filter)
{
	int err = 0;

	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests) && !err;
	     i++)
		err = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(ioctl),
				       1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu,
					       (uint32_t)requests[i]));
	return err;
}

/* The program as bytes; libseccomp would load it with flags of its own. */
static int compile(int *ret_fd)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int fd, err;

	if (!filter)
		return -ENOMEM;
	err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	add_other_abis(filter);
	if (!err)
		err = add_rules(filter);
	fd = memfd_create("filter", MFD_CLOEXEC);
	if (!err && fd < 0)
		err = -errno;
	if (!err)
		err = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	if (err) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

static int load(const struct sock_fprog *program, unsigned long flags)
{
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
			      program);

	return fd < 0 ? -errno : fd;
}

static int install(const struct sock_fprog *program)
{
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER |
			      SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	int fd = load(program, flags);

	/* Only the privileged may do it without this promise. */
	if (fd == -EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fd = load(program, flags);
	if (fd == -EINVAL) {
		flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
		fd = load(program, flags);
	}
	if (fd == -EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fd = load(program, flags);
	return fd;
}

int run_filter_install(int *ret_listener)
{
	struct sock_fprog program;
	off_t size;
	void *bytes;
	int fd, err;

	err = compile(&fd);
	if (err)
		return err;
	size = lseek(fd, 0, SEEK_END);
	bytes = size <= 0 ? NULL : malloc((size_t)size);
	if (!bytes || pread(fd, bytes, (size_t)size, 0) != size) {
		free(bytes);
		close(fd);
		return -ENOMEM;
	}
	close(fd);
	program.len =
		(unsigned short)((size_t)size / sizeof(struct sock_filter));
	program.filter = bytes;
	err = install(&program);
	free(bytes);
	if (err < 0)
		return err;
	*ret_listener = err;
	return 0;
}
