// SPDX-License-Identifier: MIT
/* Real files of every kind that offlay-eligibility(7) lists. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "elig_files.h"
#include "sample.h"

/* One letter a block: data, hole, allocated and unwritten, text, punched. */
struct row {
	const char *name;
	const char *blocks;
	const char *dos; /* user.DOSATTRIB */
	bool flag;	 /* chattr +c */
	bool compress;	 /* mount -o compress */
	bool encrypt;
};

static const struct row rows[] = {
	{ .name = "all data", .blocks = "ddd" },
	{ .name = "empty", .blocks = "" },
	{ .name = "size and no data", .blocks = "hhh" },
	{ .name = "hole at the start", .blocks = "hdd" },
	{ .name = "hole in the middle", .blocks = "dhd" },
	{ .name = "hole at the end", .blocks = "ddh" },
	{ .name = "punched hole", .blocks = "dpd" },
	{ .name = "fallocated, never written", .blocks = "uuu" },
	{ .name = "fallocated in the middle", .blocks = "dud" },
	{ .name = "encrypted by fscrypt", .blocks = "ddd", .encrypt = true },
	{ .name = "chattr +c, no data", .blocks = "", .flag = true },
	{ .name = "chattr +c, compressible data",
	  .blocks = "ttt",
	  .flag = true },
	{ .name = "chattr +c, random data", .blocks = "ddd", .flag = true },
	{ .name = "compressible data, mount -o compress",
	  .blocks = "ttt",
	  .compress = true },
	{ .name = "random data, mount -o compress",
	  .blocks = "ddd",
	  .compress = true },
	{ .name = "DOS attribute SPARSE_FILE",
	  .blocks = "ddd",
	  .dos = "0x220" },
	{ .name = "DOS attribute ENCRYPTED", .blocks = "ddd", .dos = "0x4020" },
	{ .name = "DOS attribute COMPRESSED", .blocks = "ddd", .dos = "0x820" },
	{ .name = "DOS attribute ARCHIVE", .blocks = "ddd", .dos = "0x20" },
};

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	cr_assert_fail("no file is known for the row '%s'", name);
	return NULL;
}

bool elig_is_encrypted(const char *row)
{
	return find_row(row)->encrypt;
}

/* The key lives as long as the mount. */
static int add_key(int root_fd, struct fscrypt_key_specifier *ret_spec)
{
	/* The structure ends with the key. */
	_Alignas(struct fscrypt_add_key_arg) unsigned char
		bytes[sizeof(struct fscrypt_add_key_arg) +
		      FSCRYPT_MAX_KEY_SIZE] = { 0 };
	struct fscrypt_add_key_arg *key = (struct fscrypt_add_key_arg *)bytes;

	key->key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
	key->raw_size = FSCRYPT_MAX_KEY_SIZE;
	memset(key->raw, 0x5a, FSCRYPT_MAX_KEY_SIZE);
	if (ioctl(root_fd, FS_IOC_ADD_ENCRYPTION_KEY, key) < 0)
		return -errno;
	*ret_spec = key->key_spec;
	return 0;
}

static int set_policy(const char *dir, const struct fscrypt_key_specifier *spec)
{
	struct fscrypt_policy_v2 policy = {
		.version = FSCRYPT_POLICY_V2,
		.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS,
		.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS,
		.flags = FSCRYPT_POLICY_FLAGS_PAD_32,
	};
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	cr_assert_geq(fd, 0, "%s", dir);
	memcpy(policy.master_key_identifier, spec->u.identifier,
	       sizeof(policy.master_key_identifier));
	if (ioctl(fd, FS_IOC_SET_ENCRYPTION_POLICY, &policy) < 0)
		err = -errno;
	close(fd);
	return err;
}

void elig_volume(enum backing backing, struct volume *ret_volume)
{
	struct fscrypt_key_specifier spec = { 0 };
	char dir[PATH_MAX];
	int err, fd;

	volume_get(backing, backing == BACKING_EXT4 ? VOLUME_ENCRYPT : 0,
		   ret_volume);
	volume_path(dir, ret_volume->root, "encrypted");
	if (mkdir(dir, 0755) < 0) {
		cr_assert_eq(errno, EEXIST);
		return;
	}
	if (backing != BACKING_EXT4)
		return;
	fd = open(ret_volume->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	err = add_key(fd, &spec);
	close(fd);
	if (!err)
		err = set_policy(dir, &spec);
	cr_assert_eq(err, 0, "fscrypt: %s", strerror(-err));
}

static void remount(const struct volume *volume, const char *options)
{
	cr_assert_eq(mount(NULL, volume->root, NULL, MS_REMOUNT, options), 0,
		     "remount %s: %s", options, strerror(errno));
}

static void write_block(int fd, char kind, off_t at)
{
	static const char text[] = "a line that compresses very well\n";
	static char buf[ELIG_BLOCK];
	struct sample_rng rng = { .state = (uint64_t)at + 1 };

	if (kind == 't')
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = text[i % (sizeof(text) - 1)];
	else
		sample_fill(&rng, buf, sizeof(buf));
	cr_assert_eq(pwrite(fd, buf, sizeof(buf), at), sizeof(buf));
}

static int lay_out(int fd, const char *blocks)
{
	size_t count = strlen(blocks);
	off_t at = 0;

	cr_assert_eq(ftruncate(fd, (off_t)count * ELIG_BLOCK), 0);
	for (size_t i = 0; i < count; i++, at += ELIG_BLOCK) {
		if (strchr("dtp", blocks[i]))
			write_block(fd, blocks[i], at);
		if (blocks[i] == 'u' && fallocate(fd, 0, at, ELIG_BLOCK) < 0)
			return -errno;
		if (blocks[i] == 'p' &&
		    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      at, ELIG_BLOCK) < 0)
			return -errno;
	}
	return 0;
}

static int make(const struct row *row, int fd)
{
	int flags = FS_COMPR_FL, err;

	if (row->flag && ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
		return -EOPNOTSUPP;
	err = lay_out(fd, row->blocks);
	if (!err && row->dos &&
	    fsetxattr(fd, "user.DOSATTRIB", row->dos, strlen(row->dos), 0) < 0)
		err = -errno;
	return err;
}

int elig_make(const struct volume *volume, const char *name, const char *path)
{
	const struct row *row = find_row(name);
	int err, fd;

	if (row->encrypt && volume->backing != BACKING_EXT4)
		return -EOPNOTSUPP;
	if ((row->compress || row->flag) && volume->backing != BACKING_BTRFS)
		return -EOPNOTSUPP;
	if (unlink(path) < 0)
		cr_assert_eq(errno, ENOENT, "%s", path);
	if (row->compress)
		remount(volume, "compress=zlib");
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	err = make(row, fd);
	/* The data gets its form while the options hold. */
	if (row->compress) {
		cr_assert_eq(fsync(fd), 0);
		remount(volume, "compress=no");
	}
	close(fd);
	return err;
}

void elig_fill(const char *path, uint64_t size, unsigned char seed)
{
	int fd;

	sample_file(path, size, seed);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fdatasync(fd), 0);
	close(fd);
}
