/* SPDX-License-Identifier: MIT */
/* Whose ids and capabilities a worker thread has while it serves a caller. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "fs.h"

#define GROUPS_MAX 256

#define CAP_BIT(cap) (1ull << (cap))

/*
 * Kept: files of all owners (CHOWN, DAC_*, FOWNER, FSETID, MKNOD, SETFCAP,
 * LINUX_IMMUTABLE), acting for others (SETUID, SETGID), passthrough and
 * trusted xattrs (SYS_ADMIN), leases (LEASE), /proc/TID/syscall of callers
 * (SYS_PTRACE), and coming back from idle priority (SYS_NICE).  Given up: above
 * all SYS_RESOURCE, which would make quotas and reserved blocks void for
 * everybody.
 */
static const uint64_t kept =
	CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) |
	CAP_BIT(CAP_DAC_READ_SEARCH) | CAP_BIT(CAP_FOWNER) |
	CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) |
	CAP_BIT(CAP_LINUX_IMMUTABLE) | CAP_BIT(CAP_SYS_ADMIN) |
	CAP_BIT(CAP_SYS_PTRACE) | CAP_BIT(CAP_SYS_NICE) | CAP_BIT(CAP_MKNOD) |
	CAP_BIT(CAP_LEASE) | CAP_BIT(CAP_SETFCAP) | CAP_BIT(CAP_MAC_ADMIN) |
	CAP_BIT(CAP_MAC_OVERRIDE);

/* What serving a caller still needs of what setfsuid(2) takes away, */
static const uint64_t for_caller = CAP_BIT(CAP_DAC_OVERRIDE) |
				   CAP_BIT(CAP_DAC_READ_SEARCH) |
				   CAP_BIT(CAP_MKNOD);

/* and what it does not. */
static const uint64_t of_owners =
	CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) |
	CAP_BIT(CAP_LINUX_IMMUTABLE) | CAP_BIT(CAP_MAC_OVERRIDE);

/*
 * What the thread has now; a system call that changes nothing costs as much
 * as one that does.
 */
static _Thread_local bool thread_ready;
static _Thread_local bool thread_has_groups;
static _Thread_local mode_t thread_umask;

struct caps {
	uint64_t effective, permitted, inheritable;
};

static int caps_get(struct caps *ret_caps)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	ret_caps->effective = data[0].effective | (uint64_t)data[1].effective
							  << 32;
	ret_caps->permitted = data[0].permitted | (uint64_t)data[1].permitted
							  << 32;
	ret_caps->inheritable = data[0].inheritable |
				(uint64_t)data[1].inheritable << 32;
	return 0;
}

/* Of this thread only, as the raw system call is. */
static int caps_set(const struct caps *caps)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)caps->effective, (uint32_t)caps->permitted,
		  (uint32_t)caps->inheritable },
		{ (uint32_t)(caps->effective >> 32),
		  (uint32_t)(caps->permitted >> 32),
		  (uint32_t)(caps->inheritable >> 32) },
	};

	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

/* All that the daemon has kept, but for @without. */
static void caps_use(const struct fs *fs, uint64_t without)
{
	const struct caps caps = {
		.effective = fs->capabilities & ~without,
		.permitted = fs->capabilities,
	};

	caps_set(&caps);
}

/*
 * The umask is one a process unless a thread takes its own; and a thread
 * begins with the ids of the one that made it.
 */
static int thread_init(const struct fs *fs)
{
	if (thread_ready)
		return 0;
	if (unshare(CLONE_FS))
		return -errno;
	thread_umask = 0;
	umask(thread_umask);
	if (fs->privileged)
		setfsgid(0);
	thread_ready = true;
	return 0;
}

static void use_umask(mode_t mask)
{
	if (mask == thread_umask)
		return;
	umask(mask);
	thread_umask = mask;
}

static int take_groups(fuse_req_t req)
{
	gid_t groups[GROUPS_MAX];
	int n;

	n = fuse_req_getgroups(req, GROUPS_MAX, groups);
	if (n < 0)
		n = 0; /* of another pid namespace, or gone */
	if (n > GROUPS_MAX)
		n = GROUPS_MAX;
	if (syscall(SYS_setgroups, n, groups))
		return -errno;
	thread_has_groups = true;
	return 0;
}

int creds_enter(fuse_req_t req, bool groups)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	const struct fs *fs = fs_of(req);
	int err;

	err = thread_init(fs);
	if (err)
		return err;
	use_umask(ctx->umask);
	if (!fs->privileged)
		return 0;
	if (groups && ctx->uid != 0) {
		err = take_groups(req);
		if (err)
			return err;
	}
	if (ctx->gid != 0)
		setfsgid(ctx->gid);
	if (ctx->uid == 0)
		return 0;
	setfsuid(ctx->uid);
	if ((uid_t)setfsuid(-1) != ctx->uid) {
		creds_leave(req);
		return -EOVERFLOW;
	}
	caps_use(fs, of_owners);
	return 0;
}

/* The umask stays until the next caller comes with another one. */
void creds_leave(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	if (!fs_of(req)->privileged)
		return;
	/* Back to root gives the file capabilities back, too. */
	if (ctx->uid != 0)
		setfsuid(0);
	if (ctx->gid != 0)
		setfsgid(0);
	if (thread_has_groups && syscall(SYS_setgroups, 0, NULL) == 0)
		thread_has_groups = false;
}

void creds_drop_fsetid(struct fs *fs)
{
	if (fs->privileged)
		caps_use(fs, CAP_BIT(CAP_FSETID));
}

void creds_restore_fsetid(struct fs *fs)
{
	if (fs->privileged)
		caps_use(fs, 0);
}

/*
 * Without CAP_FSETID the filesystem drops suid, and sgid with group execution.
 * Without the latter sgid stays for members of the group: the one case where
 * it must know who they are.
 */
enum creds_writer creds_enter_writer(fuse_req_t req, int fd, bool drops)
{
	struct fs *fs = fs_of(req);
	struct stat st;

	if (!drops || !fs->privileged)
		return CREDS_WRITER_AS_IS;
	if (fstat(fd, &st) == 0 && (st.st_mode & S_ISGID) &&
	    !(st.st_mode & S_IXGRP) && fuse_req_ctx(req)->uid != 0 &&
	    creds_enter(req, true) == 0)
		return CREDS_WRITER_CALLER;
	creds_drop_fsetid(fs);
	return CREDS_WRITER_PLAIN;
}

void creds_leave_writer(fuse_req_t req, enum creds_writer writer)
{
	if (writer == CREDS_WRITER_CALLER)
		creds_leave(req);
	else if (writer == CREDS_WRITER_PLAIN)
		creds_restore_fsetid(fs_of(req));
}

bool creds_may_write(fuse_req_t req, int fd)
{
	bool may;

	if (creds_enter(req, true))
		return false;
	if (fs_of(req)->privileged && fuse_req_ctx(req)->uid != 0)
		caps_use(fs_of(req), of_owners | for_caller);
	may = syscall(SYS_faccessat2, fd, "", W_OK,
		      AT_EMPTY_PATH | AT_EACCESS) == 0;
	creds_leave(req);
	return may;
}

bool creds_can_switch(void)
{
	const uint64_t needed = CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) |
				CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_CHOWN) |
				CAP_BIT(CAP_FOWNER);
	struct caps caps;

	/* Not in a user namespace that maps one user only. */
	return geteuid() == 0 && caps_get(&caps) == 0 &&
	       (caps.effective & needed) == needed &&
	       syscall(SYS_setgroups, 0, NULL) == 0;
}

int creds_reduce(struct fs *fs)
{
	struct caps caps;
	int err;

	umask(0);
	if (!fs->privileged)
		return 0;
	err = caps_get(&caps);
	if (err)
		return err;
	caps.permitted &= kept;
	caps.effective = caps.permitted;
	caps.inheritable = 0;
	fs->capabilities = caps.permitted;
	return caps_set(&caps);
}
