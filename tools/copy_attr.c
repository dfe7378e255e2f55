// SPDX-License-Identifier: MIT
/* Mode, owner, times, extended attributes and ACLs of what was copied. */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "copy.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* An O_PATH descriptor by the one name that reaches the inode itself. */
#define PROC_PATH_MAX 32
static const char *proc_path(int fd, char buf[PROC_PATH_MAX])
{
	snprintf(buf, PROC_PATH_MAX, "/proc/self/fd/%d", fd);
	return buf;
}

/*
 * The f*xattr calls answer EBADF to O_PATH descriptors, which symbolic links
 * and special files have here: then the same through /proc.
 */
static ssize_t list_names(int fd, char *names)
{
	char path[PROC_PATH_MAX];
	ssize_t size = flistxattr(fd, names, XATTR_LIST_MAX);

	if (size < 0 && errno == EBADF)
		size = listxattr(proc_path(fd, path), names, XATTR_LIST_MAX);
	return size < 0 ? -errno : size;
}

static ssize_t get_value(int fd, const char *name, char *value)
{
	char path[PROC_PATH_MAX];
	ssize_t size = fgetxattr(fd, name, value, XATTR_SIZE_MAX);

	if (size < 0 && errno == EBADF)
		size = getxattr(proc_path(fd, path), name, value,
				XATTR_SIZE_MAX);
	return size < 0 ? -errno : size;
}

static int set_value(int fd, const char *name, const char *value, size_t size)
{
	char path[PROC_PATH_MAX];
	int ret = fsetxattr(fd, name, value, size, 0);

	if (ret < 0 && errno == EBADF)
		ret = setxattr(proc_path(fd, path), name, value, size, 0);
	return ret < 0 ? -errno : 0;
}

static bool is_acl(const char *name)
{
	return !strcmp(name, ACL_ACCESS) || !strcmp(name, ACL_DEFAULT);
}

/**
 * copy_attr_list() - learn which extended attributes a source has
 * @worker: its names are set
 * @fd: source, O_PATH as well
 * @ret_attr: set on success
 *
 * Return: 0 or -errno; a filesystem without xattrs has none.
 */
int copy_attr_list(struct copy_worker *worker, int fd,
		   struct copy_attr *ret_attr)
{
	struct copy_attr attr = { 0 };
	const char *name;
	ssize_t size;
	int err;

	err = copy_worker_attrs(worker);
	if (err)
		return err;
	size = list_names(fd, worker->names);
	if (size == -EOPNOTSUPP || size == -ENOSYS)
		size = 0;
	if (size < 0)
		return (int)size;
	attr.names_size = (size_t)size;
	for (name = worker->names; name < worker->names + size;
	     name += strlen(name) + 1) {
		if (is_acl(name))
			attr.has_acl = true;
		else
			attr.has_others = true;
	}
	*ret_attr = attr;
	return 0;
}

/**
 * copy_attr_is_plain() - may a new file have its final mode from the start?
 *
 * It may where nothing but its mode and this process' ids will be given to
 * it; else the mode must be narrow until the owner and the ACL are right.
 */
bool copy_attr_is_plain(const struct copy_run *run, const struct copy_dir *dir,
			const struct stat *src, const struct copy_attr *attr)
{
	return !attr->has_acl && !attr->has_others && !dir->has_default_acl &&
	       src->st_uid == run->uid && src->st_gid == dir->new_gid &&
	       !(src->st_mode & 07000);
}

/* Is it no loss that a process without privileges cannot be blamed for? */
static bool is_excused(const char *name, int err)
{
	if (!strncmp(name, "user.", 5) || is_acl(name))
		return false;
	return err == -EPERM || err == -EACCES || err == -EOPNOTSUPP ||
	       err == -EINVAL;
}

static int copy_values(struct copy_worker *worker, int src_fd, int dst_fd,
		       const struct copy_attr *attr, bool acls)
{
	const char *end = worker->names + attr->names_size;
	const char *name;
	int first = 0;

	for (name = worker->names; name < end; name += strlen(name) + 1) {
		ssize_t size;
		int err;

		if (is_acl(name) != acls)
			continue;
		size = get_value(src_fd, name, worker->value);
		/* Removed, or not to be seen by this process. */
		if (size == -ENODATA)
			continue;
		err = size < 0 ? (int)size
			       : set_value(dst_fd, name, worker->value,
					   (size_t)size);
		if (err && !is_excused(name, err) && !first)
			first = err;
	}
	return first;
}

/*
 * Without privileges an owner cannot be given: cp keeps silent then, and so
 * do we, but the file must not be suid for somebody else.
 */
static int apply_owner(int dst_fd, const struct stat *src,
		       const struct stat *dst, mode_t *mode)
{
	if (src->st_uid == dst->st_uid && src->st_gid == dst->st_gid)
		return 0;
	if (!fchownat(dst_fd, "", src->st_uid, src->st_gid, AT_EMPTY_PATH))
		return 0;
	if (errno != EPERM && errno != EINVAL)
		return -errno;
	*mode &= ~(mode_t)S_ISUID;
	if (fchownat(dst_fd, "", (uid_t)-1, src->st_gid, AT_EMPTY_PATH))
		*mode &= ~(mode_t)S_ISGID;
	return 0;
}

static int apply_mode(int dst_fd, mode_t mode)
{
	char path[PROC_PATH_MAX];
	int ret = fchmod(dst_fd, mode);

	if (ret < 0 && errno == EBADF)
		ret = chmod(proc_path(dst_fd, path), mode);
	return ret < 0 ? -errno : 0;
}

static int apply_times(int dst_fd, const struct stat *src)
{
	const struct timespec times[2] = { src->st_atim, src->st_mtim };

	if (!futimens(dst_fd, times))
		return 0;
	if (errno == EBADF && !utimensat(dst_fd, "", times, AT_EMPTY_PATH))
		return 0;
	return -errno;
}

static void note(int err, const char *what, int *first, const char **ret_what)
{
	if (!err || *first)
		return;
	*first = err;
	*ret_what = what;
}

/**
 * copy_attr_apply() - give a destination what its source has
 * @worker: names as copy_attr_list() left them
 * @src_fd, @dst_fd: both open, O_PATH as well
 * @src: attributes to give
 * @attr: of copy_attr_list()
 * @dst: the destination as it is
 * @may_have_acl: the destination may have an ACL that the source does not
 * @ret_what: on failure: the step that failed first
 *
 * In the order in which no step undoes another: a change of the owner drops
 * suid bits and capabilities, an ACL changes the mode, and everything changes
 * the times.  A failed step does not keep the others from being done.
 *
 * Return: 0 or the first -errno.
 */
int copy_attr_apply(struct copy_worker *worker, int src_fd,
		    const struct stat *src, const struct copy_attr *attr,
		    int dst_fd, const struct stat *dst, bool may_have_acl,
		    const char **ret_what)
{
	mode_t mode = src->st_mode & 07777;
	bool is_owner_same = src->st_uid == dst->st_uid &&
			     src->st_gid == dst->st_gid;
	int first = 0;

	note(apply_owner(dst_fd, src, dst, &mode), "cannot set the owner of",
	     &first, ret_what);
	if (attr->has_others)
		note(copy_values(worker, src_fd, dst_fd, attr, false),
		     "cannot set the extended attributes of", &first, ret_what);
	if (may_have_acl)
		copy_attr_drop_acl(dst_fd);
	if (attr->has_acl)
		note(copy_values(worker, src_fd, dst_fd, attr, true),
		     "cannot set the ACL of", &first, ret_what);
	if (!S_ISLNK(src->st_mode) &&
	    (mode != (dst->st_mode & 07777) || attr->has_acl || may_have_acl ||
	     (!is_owner_same && (mode & 07000))))
		note(apply_mode(dst_fd, mode), "cannot set the mode of", &first,
		     ret_what);
	note(apply_times(dst_fd, src), "cannot set the times of", &first,
	     ret_what);
	return first;
}

/**
 * copy_attr_default_acl() - do new entries of this directory inherit an ACL?
 *
 * Return: 1 or 0.
 */
int copy_attr_default_acl(int dst_fd)
{
	return fgetxattr(dst_fd, ACL_DEFAULT, NULL, 0) > 0;
}

/**
 * copy_attr_drop_acl() - remove an ACL that a new entry may have inherited
 *
 * It is no error where there is none: the mode is set afterwards.
 */
void copy_attr_drop_acl(int dst_fd)
{
	char path[PROC_PATH_MAX];

	if (fremovexattr(dst_fd, ACL_ACCESS) && errno == EBADF)
		removexattr(proc_path(dst_fd, path), ACL_ACCESS);
	fremovexattr(dst_fd, ACL_DEFAULT);
}
