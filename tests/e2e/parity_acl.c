/* SPDX-License-Identifier: MIT */
/* Parity with the backing: POSIX ACLs, set as the kernel's raw attributes. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "parity.h"

#define ACCESS	"system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

#define USER_OBJ  0x01
#define USER	  0x02
#define GROUP_OBJ 0x04
#define GROUP	  0x08
#define MASK	  0x10
#define OTHER	  0x20
#define NONE	  0xffffffffu

struct acl {
	uint32_t version;
	struct posix_acl_xattr_entry entries[8];
};

struct entry {
	unsigned int tag, perm, id;
};

static int set_acl(const char *name, const char *type,
		   const struct entry *entries, size_t n)
{
	struct acl acl = { .version = htole32(POSIX_ACL_XATTR_VERSION) };

	for (size_t i = 0; i < n; i++) {
		acl.entries[i].e_tag = htole16(entries[i].tag);
		acl.entries[i].e_perm = htole16(entries[i].perm);
		acl.entries[i].e_id = htole32(entries[i].id);
	}
	return setxattr(name, type, &acl, 4 + n * sizeof(acl.entries[0]), 0);
}

#define SET_ACL(name, type, ...)                                   \
	set_acl(name, type, (const struct entry[]){ __VA_ARGS__ }, \
		sizeof((const struct entry[]){ __VA_ARGS__ }) /    \
			sizeof(struct entry))

static void try_as(struct parity *p, const struct user *user, const char *name)
{
	int fd;

	enter_user(p, user);
	fd = OPEN(p, open(name, O_RDONLY));
	close(fd);
	fd = OPEN(p, open(name, O_WRONLY));
	close(fd);
	CALL(p, access(name, R_OK));
	CALL(p, access(name, W_OK));
	CALL(p, access(name, X_OK));
	leave_user(p);
}

static void try_all(struct parity *p, const char *name)
{
	note_stat(p, name);
	note_xattrs(p, name);
	try_as(p, &alice, name);
	try_as(p, &bob, name);
	try_as(p, &alice_in_bobs, name);
}

static void named_user(struct parity *p)
{
	CALL(p, chmod(".", 0755));
	make_file(p, "f", "x");
	CALL(p, chmod("f", 0600));
	try_all(p, "f");
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 6, NONE }, { USER, 6, 1001 },
			{ GROUP_OBJ, 0, NONE }, { MASK, 6, NONE },
			{ OTHER, 0, NONE }));
	try_all(p, "f");
	CALL(p, chmod("f", 0640));
	try_all(p, "f");
	CALL(p, chmod("f", 0600));
	try_all(p, "f");
	CALL(p, removexattr("f", ACCESS));
	try_all(p, "f");
	CALL(p, removexattr("f", ACCESS));
}

static void named_group(struct parity *p)
{
	CALL(p, chmod(".", 0755));
	make_file(p, "f", "x");
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 6, NONE }, { USER, 0, 1002 },
			{ GROUP_OBJ, 4, NONE }, { GROUP, 6, 1002 },
			{ MASK, 7, NONE }, { OTHER, 4, NONE }));
	try_all(p, "f");
	CALL(p,
	     SET_ACL("f", ACCESS, { USER_OBJ, 6, NONE }, { GROUP_OBJ, 4, NONE },
		     { GROUP, 2, 1001 }, { GROUP, 4, 1002 }, { MASK, 6, NONE },
		     { OTHER, 7, NONE }));
	try_all(p, "f");
}

static void directory_access(struct parity *p)
{
	CALL(p, chmod(".", 0755));
	CALL(p, mkdir("d", 0700));
	make_file(p, "d/f", "x");
	CALL(p, SET_ACL("d", ACCESS, { USER_OBJ, 7, NONE }, { USER, 5, 1001 },
			{ USER, 3, 1002 }, { GROUP_OBJ, 0, NONE },
			{ MASK, 7, NONE }, { OTHER, 0, NONE }));
	enter_user(p, &alice);
	note_dir(p, "d");
	CALL(p, open("d/new", O_CREAT | O_WRONLY, 0600));
	leave_user(p);
	enter_user(p, &bob);
	note_dir(p, "d");
	CALL(p, open("d/new", O_CREAT | O_WRONLY, 0600) >= 0);
	CALL(p, unlink("d/f"));
	leave_user(p);
}

static void minimal(struct parity *p)
{
	make_file(p, "f", "x");
	/* Says no more than a mode, and becomes one. */
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 7, NONE },
			{ GROUP_OBJ, 5, NONE }, { OTHER, 1, NONE }));
	note_stat(p, "f");
	note_xattrs(p, "f");
}

static void invalid(struct parity *p)
{
	make_file(p, "f", "x");
	CALL(p, symlink("f", "link"));
	CALL(p, mkdir("d", 0755));
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 7, NONE }));
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 7, NONE }, { USER, 7, 1001 },
			{ GROUP_OBJ, 5, NONE }, { OTHER, 1, NONE }));
	CALL(p, SET_ACL("f", ACCESS, { OTHER, 1, NONE }, { GROUP_OBJ, 5, NONE },
			{ USER_OBJ, 7, NONE }));
	CALL(p, SET_ACL("f", ACCESS, { 0x99, 1, NONE }));
	CALL(p, setxattr("f", ACCESS, "x", 1, 0));
	CALL(p, setxattr("f", ACCESS, "", 0, 0));
	CALL(p, SET_ACL("f", DEFAULT, { USER_OBJ, 7, NONE },
			{ GROUP_OBJ, 5, NONE }, { OTHER, 1, NONE }));
	CALL(p, lsetxattr("link", ACCESS, "\2\0\0\0", 4, 0));
	CALL(p, setxattr("d", DEFAULT, "\2\0\0\0", 4, 0));
	note_xattrs(p, "f");
	note_xattrs(p, "d");
}

static void by_other_users(struct parity *p)
{
	CALL(p, chmod(".", 0777));
	make_file(p, "f", "x");
	CALL(p, chmod("f", 0666));
	enter_user(p, &alice);
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 7, NONE },
			{ GROUP_OBJ, 5, NONE }, { OTHER, 1, NONE }));
	CALL(p, removexattr("f", ACCESS));
	make_file(p, "mine", "x");
	CALL(p, SET_ACL("mine", ACCESS, { USER_OBJ, 0, NONE },
			{ USER, 6, 1002 }, { GROUP_OBJ, 0, NONE },
			{ MASK, 6, NONE }, { OTHER, 0, NONE }));
	leave_user(p);
	try_all(p, "mine");
}

static void sgid(struct parity *p)
{
	CALL(p, chmod(".", 0777));
	make_file(p, "f", "x");
	CALL(p, chown("f", alice.uid, bob.gid));
	CALL(p, chmod("f", 02775));
	enter_user(p, &alice);
	/* Not in the file's group: setting an ACL drops sgid. */
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 7, NONE }, { USER, 6, 1002 },
			{ GROUP_OBJ, 7, NONE }, { MASK, 7, NONE },
			{ OTHER, 0, NONE }));
	leave_user(p);
	note_stat(p, "f");
}

static void inherit(struct parity *p, const char *dir, mode_t mask)
{
	char name[32];

	umask(mask);
	note(p, "umask %03o in %s", mask, dir);
	snprintf(name, sizeof(name), "%s/file%o", dir, mask);
	CALL(p, open(name, O_CREAT | O_RDWR, 0666) >= 0);
	note_stat(p, name);
	note_xattrs(p, name);
	snprintf(name, sizeof(name), "%s/exec%o", dir, mask);
	CALL(p, open(name, O_CREAT | O_RDWR, 0750) >= 0);
	note_stat(p, name);
	note_xattrs(p, name);
	snprintf(name, sizeof(name), "%s/dir%o", dir, mask);
	CALL(p, mkdir(name, 0777));
	note_stat(p, name);
	note_xattrs(p, name);
	snprintf(name, sizeof(name), "%s/fifo%o", dir, mask);
	CALL(p, mkfifo(name, 0666));
	note_stat(p, name);
	note_xattrs(p, name);
	snprintf(name, sizeof(name), "%s/link%o", dir, mask);
	CALL(p, symlink("x", name));
	note_stat(p, name);
	note_fstat(p, open(dir, O_TMPFILE | O_RDWR, 0666));
	snprintf(name, sizeof(name), "%s/dir%o/sub", dir, mask);
	CALL(p, mkdir(name, 0770));
	note_xattrs(p, name);
}

static void inheriting(struct parity *p)
{
	CALL(p, mkdir("plain", 0777));
	CALL(p, mkdir("d", 0777));
	CALL(p, SET_ACL("d", DEFAULT, { USER_OBJ, 7, NONE }, { USER, 6, 1001 },
			{ GROUP_OBJ, 5, NONE }, { MASK, 7, NONE },
			{ OTHER, 5, NONE }));
	CALL(p, mkdir("minimal", 0777));
	CALL(p, SET_ACL("minimal", DEFAULT, { USER_OBJ, 6, NONE },
			{ GROUP_OBJ, 6, NONE }, { OTHER, 0, NONE }));
	note_xattrs(p, "d");
	for (int i = 0; i < 3; i++) {
		mode_t mask = (mode_t[]){ 0, 027, 077 }[i];

		inherit(p, "plain", mask);
		inherit(p, "d", mask);
		inherit(p, "minimal", mask);
	}
	CALL(p, removexattr("d", DEFAULT));
	CALL(p, removexattr("d", DEFAULT));
	inherit(p, "d", 0007);
}

static void inheriting_as_user(struct parity *p)
{
	CALL(p, mkdir("d", 0777));
	CALL(p, chmod("d", 02777));
	CALL(p, chown("d", 0, 1002));
	CALL(p, chmod("d", 02777));
	CALL(p, SET_ACL("d", DEFAULT, { USER_OBJ, 7, NONE }, { USER, 6, 1002 },
			{ GROUP_OBJ, 7, NONE }, { MASK, 7, NONE },
			{ OTHER, 0, NONE }));
	enter_user(p, &alice);
	CALL(p, open("d/f", O_CREAT | O_RDWR, 0664) >= 0);
	leave_user(p);
	try_all(p, "d/f");
	/* umask does not count where there is a default ACL. */
	enter_user(p, &alice);
	umask(077);
	CALL(p, open("d/g", O_CREAT | O_RDWR, 0664) >= 0);
	CALL(p, mkdir("d/sub", 0775));
	leave_user(p);
	try_all(p, "d/g");
	note_stat(p, "d/sub");
	note_xattrs(p, "d/sub");
}

/* The mode that chmod gives and the mask entry are one thing. */
static void mask_and_mode(struct parity *p)
{
	make_file(p, "f", "x");
	CALL(p, SET_ACL("f", ACCESS, { USER_OBJ, 7, NONE }, { USER, 7, 1001 },
			{ GROUP_OBJ, 7, NONE }, { MASK, 5, NONE },
			{ OTHER, 1, NONE }));
	for (int mode = 0; mode < 0777; mode += 0111) {
		CALL(p, chmod("f", mode));
		note_stat(p, "f");
		note_xattrs(p, "f");
	}
}

static const struct parity_row rows[] = {
	{ "named user and mask", named_user, ROW_ROOT },
	{ "named groups", named_group, ROW_ROOT },
	{ "directory", directory_access, ROW_ROOT },
	{ "minimal", minimal, 0 },
	{ "invalid", invalid, 0 },
	{ "by other users", by_other_users, ROW_ROOT },
	{ "sgid", sgid, ROW_ROOT },
	{ "default ACL and umask", inheriting, 0 },
	{ "default ACL, as a user", inheriting_as_user, ROW_ROOT },
	{ "mask and mode", mask_and_mode, 0 },
};

PARITY_TOPIC(acl, rows);
