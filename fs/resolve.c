/* SPDX-License-Identifier: MIT */
/* How a name or a remembered inode is found on the backing filesystem. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <xxhash.h>

#include "inode.h"

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME)

/* Mounts below SOURCE with handles; inodes of further ones go by name. */
#define MOUNTS_MAX 128
/* Numbers of the backing are shown as they are below this many bits. */
#define INO_BITS 48

struct resolver {
	pthread_mutex_t lock; /* guards what follows */
	struct mount *mounts;
	unsigned int n_mounts;
	uint64_t *devs; /* index 0 is SOURCE's own */
	unsigned int n_devs;
	/* not guarded, constant */
	uint64_t root_dev;
	struct mount nameless; /* for all that has no handles */
	struct covered covered;
};

struct handle_buf {
	struct file_handle header;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static uint64_t stx_dev(const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

int64_t resolve_btime(const struct statx *stx)
{
	if (!(stx->stx_mask & STATX_BTIME))
		return 0;
	return stx->stx_btime.tv_sec * 1000000000LL + stx->stx_btime.tv_nsec;
}

void found_done(struct found *found)
{
	if (found->fd >= 0)
		close(found->fd);
	found->fd = -1;
}

/* 0 with size 0 where the backing has no handles. */
static int read_handle(int dir_fd, const char *name, struct handle *ret_handle,
		       int *ret_mount_id)
{
	struct handle_buf buf = { .header.handle_bytes = HANDLE_MAX };
	int flags = name[0] ? 0 : AT_EMPTY_PATH;

	ret_handle->size = 0;
	*ret_mount_id = -1;
	if (name_to_handle_at(dir_fd, name, &buf.header, ret_mount_id, flags)) {
		/* Too long (EOVERFLOW) or none: then it goes by name. */
		return errno == ENOENT || errno == ESTALE ? -errno : 0;
	}
	ret_handle->type = buf.header.handle_type;
	ret_handle->size = buf.header.handle_bytes;
	memcpy(ret_handle->bytes, buf.header.f_handle, ret_handle->size);
	return 0;
}

static int open_handle(int mount_fd, int type, const unsigned char *bytes,
		       uint32_t size, int flags)
{
	struct handle_buf buf = {
		.header.handle_bytes = size,
		.header.handle_type = type,
	};
	int fd;

	memcpy(buf.header.f_handle, bytes, size);
	fd = open_by_handle_at(mount_fd, &buf.header, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Is the object that a handle opens the one that it was made from? */
static bool handle_works(int mount_fd, const struct handle *handle)
{
	int fd = open_handle(mount_fd, handle->type, handle->bytes,
			     handle->size, O_PATH);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static struct mount *find_mount(struct resolver *resolver, int id)
{
	struct mount *mount;

	for (mount = resolver->mounts; mount; mount = mount->next)
		if (mount->id == id)
			return mount;
	return NULL;
}

/*
 * Makes the entry of a mount that was not seen before.  open_by_handle_at(2)
 * wants a descriptor that is not O_PATH, of any object on the mount; only a
 * directory or a regular file can be opened without side effects.
 */
static struct mount *new_mount(struct resolver *resolver, int id, int path_fd,
			       const struct handle *handle, mode_t mode)
{
	struct mount *mount = NULL;
	char path[FD_PATH_SIZE];
	struct pin pin = { .fd = path_fd };
	struct statvfs st;
	int fd = -1;

	if (resolver->n_mounts >= MOUNTS_MAX)
		return NULL;
	mount = calloc(1, sizeof(*mount));
	if (!mount)
		return NULL;
	if (S_ISDIR(mode) || S_ISREG(mode))
		fd = open(inode_fd_path(&pin, path),
			  O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && (!handle->size || !handle_works(fd, handle))) {
		close(fd);
		fd = -1;
	}
	mount->id = id;
	mount->fd = fd;
	if (fd >= 0)
		sys_kernel_ops.volume(NULL, fd, &mount->volume);
	if (fstatvfs(path_fd, &st) == 0) {
		mount->nosuid = st.f_flag & ST_NOSUID;
		mount->nodev = st.f_flag & ST_NODEV;
	}
	mount->next = resolver->mounts;
	resolver->mounts = mount;
	resolver->n_mounts++;
	return mount;
}

/* O_PATH of (@dir_fd, @name), or of what @dir_fd is open on for an empty one. */
static int open_path(int dir_fd, const char *name)
{
	char path[FD_PATH_SIZE];
	struct pin pin = { .fd = dir_fd };
	int fd;

	if (name[0])
		fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	else
		fd = open(inode_fd_path(&pin, path), O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int look(int dir_fd, const char *name, struct found *found,
		int *ret_mount_id)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;

	if (!name[0])
		flags = AT_EMPTY_PATH;
	if (statx(dir_fd, name, flags, STATX_WANTED, &found->stx))
		return -errno;
	return read_handle(dir_fd, name, &found->handle, ret_mount_id);
}

static struct mount *known_mount(struct resolver *resolver, int mount_id)
{
	struct mount *mount;

	if (mount_id < 0)
		return &resolver->nameless;
	pthread_mutex_lock(&resolver->lock);
	mount = find_mount(resolver, mount_id);
	pthread_mutex_unlock(&resolver->lock);
	return mount;
}

/*
 * Two calls where handles work: between them the name may come to mean
 * another object, so what a handle opens is compared with the number that
 * statx(2) gave before it is used.  Else a descriptor is the only sure hold.
 */
static int examine(struct resolver *resolver, int dir_fd, const char *name,
		   struct found *ret_found)
{
	struct found found = { .fd = -1 };
	int mount_id, err;

	err = look(dir_fd, name, &found, &mount_id);
	if (err)
		return err;
	found.mount = known_mount(resolver, mount_id);
	if (found.mount && found.mount->fd >= 0 && found.handle.size) {
		*ret_found = found;
		return 0;
	}
	found.fd = open_path(dir_fd, name);
	if (found.fd < 0)
		return found.fd;
	err = look(found.fd, "", &found, &mount_id);
	if (err) {
		found_done(&found);
		return err;
	}
	found.mount = known_mount(resolver, mount_id);
	if (!found.mount) {
		pthread_mutex_lock(&resolver->lock);
		found.mount = find_mount(resolver, mount_id);
		if (!found.mount)
			found.mount = new_mount(resolver, mount_id, found.fd,
						&found.handle,
						found.stx.stx_mode);
		pthread_mutex_unlock(&resolver->lock);
	}
	if (!found.mount)
		found.mount = &resolver->nameless;
	if (found.mount->fd < 0)
		found.handle.size = 0;
	*ret_found = found;
	return 0;
}

static bool is_covered(struct resolver *resolver, const struct inode *parent,
		       const char *name)
{
	const struct covered *covered = &resolver->covered;

	return covered->fd >= 0 && parent->ino == covered->parent_ino &&
	       parent->dev == covered->parent_dev &&
	       strcmp(name, covered->name) == 0;
}

int resolve_name(struct resolver *resolver, const struct inode *parent,
		 int parent_fd, const char *name, struct found *ret_found)
{
	if (is_covered(resolver, parent, name))
		return examine(resolver, resolver->covered.fd, "", ret_found);
	return examine(resolver, parent_fd, name, ret_found);
}

int resolve_open(struct resolver *resolver, const struct inode *parent,
		 int parent_fd, const char *name, struct found *ret_found)
{
	struct found found = { .mount = &resolver->nameless, .fd = -1 };
	int fd, err = 0;

	if (is_covered(resolver, parent, name))
		fd = open_path(resolver->covered.fd, "");
	else
		fd = open_path(parent_fd, name);
	if (fd < 0)
		return fd;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_WANTED, &found.stx))
		err = -errno;
	else if (!resolve_btime(&found.stx))
		err = examine(resolver, fd, "", &found);
	if (err) {
		close(fd);
		return err;
	}
	found_done(&found);
	found.fd = fd;
	*ret_found = found;
	return 0;
}

int resolve_fd(struct resolver *resolver, int fd, struct found *ret_found)
{
	return examine(resolver, fd, "", ret_found);
}

/* Is @fd open on the object that the table knows as @inode? */
static int verify(const struct inode *inode, int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_WANTED, &stx))
		return -errno;
	if (stx.stx_ino != inode->ino || stx_dev(&stx) != inode->dev ||
	    (stx.stx_mode & S_IFMT) != inode->type ||
	    resolve_btime(&stx) != inode->btime)
		return -ESTALE;
	return 0;
}

int resolve_handle(const struct inode *inode, int flags)
{
	int fd, err;

	fd = open_handle(inode->mount->fd, inode->handle_type, inode->handle,
			 inode->handle_size, flags);
	if (fd < 0)
		return fd;
	err = verify(inode, fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int resolve_again(struct resolver *resolver, const struct inode *inode,
		  const struct inode *parent, int parent_fd, const char *name)
{
	int fd, err;

	if (is_covered(resolver, parent, name))
		fd = open_path(resolver->covered.fd, "");
	else
		fd = open_path(parent_fd, name);
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : fd;
	err = verify(inode, fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* The index of a device among those seen; grows by one for a new one. */
static unsigned int dev_index(struct resolver *resolver, uint64_t dev)
{
	unsigned int i;
	uint64_t *devs;

	for (i = 0; i < resolver->n_devs; i++)
		if (resolver->devs[i] == dev)
			return i;
	devs = realloc(resolver->devs, (i + 1) * sizeof(*devs));
	if (!devs)
		return UINT_MAX;
	resolver->devs = devs;
	devs[resolver->n_devs++] = dev;
	return i;
}

/*
 * SOURCE's own device keeps its numbers; the others get the index of their
 * device above them.  What does not fit is hashed, with the top bit set.
 */
uint64_t resolve_shown_ino(struct resolver *resolver, uint64_t dev,
			   uint64_t ino)
{
	uint64_t pair[2] = { dev, ino };
	unsigned int index;

	if (dev == resolver->root_dev && ino >> 63 == 0)
		return ino;
	pthread_mutex_lock(&resolver->lock);
	index = dev_index(resolver, dev);
	pthread_mutex_unlock(&resolver->lock);
	if (index < 1u << (63 - INO_BITS) && ino >> INO_BITS == 0)
		return (uint64_t)index << INO_BITS | ino;
	return XXH3_64bits(pair, sizeof(pair)) | 1ull << 63;
}

void resolve_show(struct resolver *resolver, const struct mount *mount,
		  const struct statx *stx, struct stat *ret_attr)
{
	*ret_attr = (struct stat){
		.st_ino =
			resolve_shown_ino(resolver, stx_dev(stx), stx->stx_ino),
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = stx->stx_size,
		.st_blksize = stx->stx_blksize,
		.st_blocks = stx->stx_blocks,
		.st_atim = { stx->stx_atime.tv_sec, stx->stx_atime.tv_nsec },
		.st_mtim = { stx->stx_mtime.tv_sec, stx->stx_mtime.tv_nsec },
		.st_ctim = { stx->stx_ctime.tv_sec, stx->stx_ctime.tv_nsec },
	};
	if (mount->nosuid && S_ISREG(stx->stx_mode))
		ret_attr->st_mode &= ~(mode_t)(S_ISUID | S_ISGID);
	if (mount->nodev && (S_ISCHR(stx->stx_mode) || S_ISBLK(stx->stx_mode)))
		ret_attr->st_rdev = 0;
}

/*
 * Where MOUNTPOINT lies inside SOURCE its own mount would show there without
 * end; what the mount hides is shown instead.
 */
static int covered_init(struct resolver *resolver, const char *mountpoint)
{
	struct covered *covered = &resolver->covered;
	char *slash;
	struct stat st;
	int parent_fd;

	covered->fd = -1;
	slash = strrchr(mountpoint, '/');
	if (!slash || !slash[1])
		return 0;
	covered->name = strdup(slash + 1);
	if (!covered->name)
		return -ENOMEM;
	covered->fd = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (covered->fd < 0)
		return -errno;
	parent_fd = openat(covered->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent_fd < 0)
		return -errno;
	if (fstat(parent_fd, &st)) {
		close(parent_fd);
		return -errno;
	}
	close(parent_fd);
	covered->parent_dev = st.st_dev;
	covered->parent_ino = st.st_ino;
	return 0;
}

int resolver_new(struct fs *fs, int root_fd, struct resolver **ret_resolver)
{
	struct resolver *resolver;
	struct stat st;
	int err;

	if (fstat(root_fd, &st))
		return -errno;
	resolver = calloc(1, sizeof(*resolver));
	if (!resolver)
		return -ENOMEM;
	pthread_mutex_init(&resolver->lock, NULL);
	resolver->nameless.fd = -1;
	resolver->root_dev = st.st_dev;
	err = covered_init(resolver, fs->opt.mountpoint);
	if (!err && dev_index(resolver, st.st_dev) != 0)
		err = -ENOMEM;
	if (err) {
		resolver_free(resolver);
		return err;
	}
	*ret_resolver = resolver;
	return 0;
}

void resolver_free(struct resolver *resolver)
{
	struct mount *mount;

	if (!resolver)
		return;
	while ((mount = resolver->mounts)) {
		resolver->mounts = mount->next;
		if (mount->fd >= 0)
			close(mount->fd);
		free(mount);
	}
	if (resolver->covered.fd >= 0)
		close(resolver->covered.fd);
	free(resolver->covered.name);
	free(resolver->devs);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}
