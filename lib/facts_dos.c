// SPDX-License-Identifier: MIT
/* DOS attributes as Samba and NTFS drivers keep them in extended attributes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "private.h"

#define NTFS3_MAGIC   0x7366746e
#define FUSEBLK_MAGIC 0x65735546 /* ntfs-3g is one */
/* Longest value that the kernel hands out (XATTR_SIZE_MAX). */
#define VALUE_MAX 65536

struct cursor {
	const unsigned char *data;
	size_t size;
	size_t at;
};

static bool take_le(struct cursor *cursor, size_t width, uint32_t *ret_value)
{
	size_t at = (cursor->at + width - 1) / width * width;
	uint32_t value = 0;

	if (at > cursor->size || cursor->size - at < width)
		return false;
	for (size_t i = width; i-- > 0;)
		value = value << 8 | cursor->data[at + i];
	cursor->at = at + width;
	*ret_value = value;
	return true;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads "0x" and up to eight digits; Samba 3 wrote nothing else. */
static bool parse_text(const unsigned char *text, size_t length,
		       uint32_t *ret_attributes)
{
	uint32_t value = 0;

	if (length < 3 || length > 10 || text[0] != '0' ||
	    (text[1] | 0x20) != 'x')
		return false;
	for (size_t i = 2; i < length; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*ret_attributes = value;
	return true;
}

/*
 * After the text comes a version, the same once more as the union's tag, and
 * the union aligned to 4: in version 1 it begins with the attributes, from
 * version 2 on 32 bits of flags come first.
 */
static bool parse_union(struct cursor *cursor, uint32_t *ret_attributes)
{
	uint32_t version, tag, flags;

	if (!take_le(cursor, 2, &version) || !take_le(cursor, 2, &tag) ||
	    version != tag || version < 1 || version > 5)
		return false;
	if (version > 1 && !take_le(cursor, 4, &flags))
		return false;
	return take_le(cursor, 4, ret_attributes);
}

int facts_dos_parse(const void *value, size_t size, uint32_t *ret_attributes)
{
	struct cursor cursor = { .data = value, .size = size };
	const unsigned char *nul = size ? memchr(value, 0, size) : NULL;
	size_t length = nul ? (size_t)(nul - cursor.data) : size;

	if (nul) {
		cursor.at = length + 1;
		if (parse_union(&cursor, ret_attributes))
			return 0;
	}
	return parse_text(cursor.data, length, ret_attributes) ? 0 : -EINVAL;
}

/* Return: length of the value in @buf or *@ret_heap, or an error. */
static ssize_t read_value(int fd, const char *name, void *buf, size_t size,
			  void **ret_heap)
{
	ssize_t length = fgetxattr(fd, name, buf, size);

	if (length >= 0)
		return length;
	if (errno != ERANGE)
		return -errno;
	/* Samba's old version 2 ends with a name of any length. */
	*ret_heap = malloc(VALUE_MAX);
	if (!*ret_heap)
		return -ENOMEM;
	length = fgetxattr(fd, name, *ret_heap, VALUE_MAX);
	return length < 0 ? -errno : length;
}

static int read_samba(int fd, uint32_t *ret_attributes)
{
	unsigned char buf[256];
	void *heap = NULL;
	ssize_t length;
	int err = 0;

	length = read_value(fd, "user.DOSATTRIB", buf, sizeof(buf), &heap);
	if (length < 0)
		err = (int)length;
	else
		err = facts_dos_parse(heap ? heap : buf, (size_t)length,
				      ret_attributes);
	free(heap);
	return err;
}

/* Both NTFS drivers hand the number out in the machine's byte order. */
static int read_ntfs(int fd, uint32_t *ret_attributes)
{
	uint32_t value;
	ssize_t length;

	length = fgetxattr(fd, "system.ntfs_attrib", &value, sizeof(value));
	if (length < 0)
		return -errno;
	if (length != sizeof(value))
		return -EINVAL;
	*ret_attributes = value;
	return 0;
}

static bool is_ntfs(uint32_t fs_type)
{
	return fs_type == NTFS3_MAGIC || fs_type == FUSEBLK_MAGIC;
}

bool facts_dos_inherits(uint32_t fs_type)
{
	return is_ntfs(fs_type);
}

int facts_dos_read(int fd, uint32_t fs_type, uint32_t *ret_attributes)
{
	uint32_t samba = 0, ntfs = 0;
	int err;

	err = read_samba(fd, &samba);
	if (err && !facts_is_absent(err) && err != -ERANGE && err != -E2BIG)
		return err;
	if (is_ntfs(fs_type)) {
		err = read_ntfs(fd, &ntfs);
		if (err && !facts_is_absent(err) && err != -ERANGE)
			return err;
	}
	*ret_attributes = samba | ntfs;
	return 0;
}
