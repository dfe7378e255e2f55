/* SPDX-License-Identifier: MIT */
/* Parity with the backing: when suid, sgid and capabilities are dropped. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "parity.h"

#define FILE_SIZE 16384

static int do_write(const char *name)
{
	int fd = open(name, O_WRONLY);

	return fd < 0 ? -1 : (int)write(fd, "x", 1);
}

static int do_write_nothing(const char *name)
{
	int fd = open(name, O_WRONLY);

	return fd < 0 ? -1 : (int)write(fd, "x", 0);
}

static int do_pwritev_direct(const char *name)
{
	static char page[4096] __attribute__((aligned(4096)));
	int fd = open(name, O_WRONLY | O_DIRECT);

	return fd < 0 ? -1 : (int)pwrite(fd, page, sizeof(page), 4096);
}

static int do_append(const char *name)
{
	int fd = open(name, O_WRONLY | O_APPEND);

	return fd < 0 ? -1 : (int)write(fd, "x", 1);
}

static int do_open_only(const char *name)
{
	return close(open(name, O_RDWR));
}

static int do_read(const char *name)
{
	char byte;
	int fd = open(name, O_RDONLY);

	return fd < 0 ? -1 : (int)read(fd, &byte, 1);
}

static int do_truncate(const char *name)
{
	return truncate(name, 100);
}

static int do_truncate_to_same(const char *name)
{
	return truncate(name, FILE_SIZE);
}

static int do_ftruncate(const char *name)
{
	int fd = open(name, O_WRONLY);

	return fd < 0 ? -1 : ftruncate(fd, 100);
}

static int do_open_truncating(const char *name)
{
	return close(open(name, O_WRONLY | O_TRUNC));
}

static int do_fallocate(const char *name)
{
	int fd = open(name, O_WRONLY);

	return fd < 0 ? -1 : fallocate(fd, 0, 0, 2 * FILE_SIZE);
}

static int do_punch(const char *name)
{
	int fd = open(name, O_WRONLY);
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fd < 0 ? -1 : fallocate(fd, mode, 0, 4096);
}

static int do_copy_range(const char *name)
{
	int src = open("data", O_RDONLY);
	int dst = open(name, O_WRONLY);
	off_t in = 0, out = 0;

	if (src < 0 || dst < 0)
		return -1;
	return (int)copy_file_range(src, &in, dst, &out, 8192, 0);
}

static int do_copy_part(const char *name)
{
	int src = open("data", O_RDONLY);
	int dst = open(name, O_WRONLY);
	off_t in = 1, out = 5;

	if (src < 0 || dst < 0)
		return -1;
	return (int)copy_file_range(src, &in, dst, &out, 100, 0);
}

static int do_sendfile(const char *name)
{
	int src = open("data", O_RDONLY);
	int dst = open(name, O_WRONLY);

	return src < 0 || dst < 0 ? -1 : (int)sendfile(dst, src, NULL, 4096);
}

static int do_store(const char *name)
{
	int fd = open(name, O_RDWR);
	char *map;

	if (fd < 0)
		return -1;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -1;
	map[0] = 'x';
	return msync(map, 4096, MS_SYNC);
}

static int do_chown_to_self(const char *name)
{
	struct stat st;

	return stat(name, &st) ? -1 : chown(name, st.st_uid, st.st_gid);
}

static int do_chgrp(const char *name)
{
	return chown(name, -1, 1002);
}

static int do_chmod(const char *name)
{
	struct stat st;

	return stat(name, &st) ? -1 : chmod(name, st.st_mode & 07777);
}

static int do_utime(const char *name)
{
	return utimensat(AT_FDCWD, name, NULL, 0);
}

static int do_setxattr(const char *name)
{
	return setxattr(name, "user.x", "1", 1, 0);
}

static int do_link(const char *name)
{
	char other[32];

	snprintf(other, sizeof(other), "%s.link", name);
	return link(name, other);
}

static int do_rename(const char *name)
{
	char other[32];

	snprintf(other, sizeof(other), "%s.moved", name);
	return rename(name, other) || rename(other, name);
}

static const struct {
	const char *name;
	int (*run)(const char *name);
} operations[] = {
	{ "write", do_write },
	{ "write of nothing", do_write_nothing },
	{ "direct pwrite", do_pwritev_direct },
	{ "append", do_append },
	{ "open", do_open_only },
	{ "read", do_read },
	{ "truncate", do_truncate },
	{ "truncate to the same size", do_truncate_to_same },
	{ "ftruncate", do_ftruncate },
	{ "O_TRUNC", do_open_truncating },
	{ "fallocate", do_fallocate },
	{ "punch", do_punch },
	{ "copy_file_range", do_copy_range },
	{ "copy_file_range, unaligned", do_copy_part },
	{ "sendfile", do_sendfile },
	{ "mmap store", do_store },
	{ "chown to the same", do_chown_to_self },
	/*
	 * Not chown(-1, -1): the kernel sends that as a SETATTR with nothing
	 * to set, and cannot be told from the one that follows the removal of
	 * security.capability before a write.
	 */
	{ "chgrp", do_chgrp },
	{ "chmod to the same", do_chmod },
	{ "utimensat", do_utime },
	{ "setxattr", do_setxattr },
	{ "link", do_link },
	{ "rename", do_rename },
};

#define N_OPERATIONS (sizeof(operations) / sizeof(*operations))

/* Is CAP_FSETID in force for this thread? */
static int have_fsetid(bool have)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) != 0)
		return -1;
	if (have)
		data[0].effective |= 1u << CAP_FSETID;
	else
		data[0].effective &= ~(1u << CAP_FSETID);
	return (int)syscall(SYS_capset, &header, data);
}

/* cap_net_raw+ep, as setcap(8) writes it. */
static int set_capability(const char *name)
{
	struct vfs_cap_data data = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1u << CAP_NET_RAW,
	};

	return setxattr(name, "security.capability", &data, XATTR_CAPS_SZ_2, 0);
}

static void note_privileges(struct parity *p, const char *what,
			    const char *name)
{
	char value[64];
	struct stat st = { 0 }, below = { 0 };
	ssize_t n = getxattr(name, "security.capability", value, sizeof(value));

	/*
	 * Without passthrough a store reaches the backing as a write, which
	 * drops capabilities; natively it drops nothing.
	 */
	if (p->mode == MODE_NO_PASSTHROUGH && strcmp(what, "mmap store") == 0)
		DIFFERS(p, "write-back of pages is WRITE", -ENODATA, n);
	else
		note(p, "  after %s: capability %zd %s", what, n,
		     n < 0 ? errno_name(errno) : "");
	stat(name, &st);
	note(p, "  after %s: mode %06o %u:%u", what, st.st_mode, st.st_uid,
	     st.st_gid);
	/* Not only in the mount's cache: on the backing, too. */
	fstatat(p->back_fd, name, &below, 0);
	MUST(p, st.st_mode == below.st_mode);
}

static void try_operation(struct parity *p, size_t op, mode_t mode,
			  const struct user *user)
{
	char name[32];
	int result;

	snprintf(name, sizeof(name), "f%zu-%o-%u", op, mode,
		 user ? user->uid : 0);
	make_data(p, name, FILE_SIZE);
	if (chown(name, alice.uid, 1002) != 0 || chmod(name, mode) != 0 ||
	    set_capability(name) != 0)
		note(p, "!! setting up %s: %s", name, errno_name(errno));
	if (user)
		user_enter(user);
	result = operations[op].run(name);
	note(p, "%s of %06o by %u: %d %s", operations[op].name, mode,
	     user ? user->uid : 0, result, result < 0 ? errno_name(errno) : "");
	if (user)
		user_leave();
	note_privileges(p, operations[op].name, name);
}

static const mode_t modes[] = { 04777, 02777, 06777, 02666, 0777 };

#define N_MODES (sizeof(modes) / sizeof(*modes))

static void by_user(struct parity *p, const struct user *user)
{
	CALL(p, chmod(".", 0777));
	make_data(p, "data", FILE_SIZE);
	for (size_t op = 0; op < N_OPERATIONS; op++)
		for (size_t i = 0; i < N_MODES; i++)
			try_operation(p, op, modes[i], user);
}

static void by_root(struct parity *p)
{
	by_user(p, NULL);
}

/* Requests for these do not tell whether the caller has CAP_FSETID. */
static bool is_silent(int (*run)(const char *name))
{
	return run == do_fallocate || run == do_punch || run == do_copy_range ||
	       run == do_copy_part;
}

/* Root in a container, say. */
static void by_root_without_fsetid(struct parity *p)
{
	make_data(p, "data", FILE_SIZE);
	CALL(p, have_fsetid(false));
	for (size_t op = 0; op < N_OPERATIONS; op++)
		for (size_t i = 0; i < N_MODES; i++)
			if (!is_silent(operations[op].run))
				try_operation(p, op, modes[i], NULL);
	CALL(p, have_fsetid(true));
}

static void by_owner(struct parity *p)
{
	by_user(p, &alice);
}

static void by_owner_in_group(struct parity *p)
{
	by_user(p, &alice_in_bobs);
}

static void by_other(struct parity *p)
{
	by_user(p, &bob);
}

/* The second of two writes must find the work done, and no more. */
static void through_one_handle(struct parity *p)
{
	int fd;

	CALL(p, chmod(".", 0777));
	make_data(p, "f", FILE_SIZE);
	CALL(p, chown("f", alice.uid, alice.gid));
	CALL(p, chmod("f", 0777));
	enter_user(p, &alice);
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, write(fd, "a", 1));
	CALL(p, fchmod(fd, 06777));
	note_fstat(p, fd);
	CALL(p, write(fd, "b", 1));
	note_fstat(p, fd);
	CALL(p, fchmod(fd, 06777));
	CALL(p, ftruncate(fd, 100));
	note_fstat(p, fd);
	leave_user(p);
	CALL(p, set_capability("f"));
	CALL(p, write(fd, "c", 1));
	note_privileges(p, "write by root", "f");
	CALL(p, set_capability("f"));
	CALL(p, write(fd, "d", 1));
	note_privileges(p, "second write by root", "f");
}

/* A handle opened by root and written by a user who inherited it. */
static int write_as_bob(struct parity *p, void *arg)
{
	int fd = *(int *)arg;

	if (user_become(&bob) != 0)
		return 1;
	CALL(p, pwrite(fd, "x", 1, 0));
	return 0;
}

static void through_an_inherited_handle(struct parity *p)
{
	int fd;

	make_data(p, "f", FILE_SIZE);
	CALL(p, chmod("f", 06755));
	fd = OPEN(p, open("f", O_RDWR));
	CALL(p, pwrite(fd, "r", 1, 0));
	note_stat(p, "f");
	CALL(p, join(spawn(write_as_bob, p, &fd)));
	note_stat(p, "f");
}

static const struct parity_row rows[] = {
	{ "by root", by_root, ROW_ROOT },
	{ "by root without CAP_FSETID", by_root_without_fsetid, ROW_ROOT },
	{ "by the owner", by_owner, ROW_ROOT },
	{ "by the owner in the group", by_owner_in_group, ROW_ROOT },
	{ "by another user", by_other, ROW_ROOT },
	{ "through one handle", through_one_handle, ROW_ROOT },
	{ "through an inherited handle", through_an_inherited_handle,
	  ROW_ROOT },
};

PARITY_TOPIC(priv, rows);
