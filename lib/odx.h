/* SPDX-License-Identifier: MIT */
/* Offloaded data transfer inside: checks, limits, snapshots, tokens. */
#ifndef OFFLAY_ODX_INSIDE_H
#define OFFLAY_ODX_INSIDE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offlay.h"
#include "offlay_uapi.h"
#include "private.h"

/* NTSTATUS codes of the two algorithms (MS-FSA 2.1.5.10.20 and .21). */
#define ODX_INVALID_PARAMETER	   0xC000000Du
#define ODX_INVALID_DEVICE_REQUEST 0xC0000010u
#define ODX_END_OF_FILE		   0xC0000011u
#define ODX_ACCESS_DENIED	   0xC0000022u
#define ODX_BUFFER_TOO_SMALL	   0xC0000023u
#define ODX_FILE_LOCK_CONFLICT	   0xC0000054u
#define ODX_MEDIA_WRITE_PROTECTED  0xC00000A2u
#define ODX_IO_TIMEOUT		   0xC00000B5u
#define ODX_NOT_SUPPORTED	   0xC00000BBu
#define ODX_FILE_DELETED	   0xC0000123u
#define ODX_IO_DEVICE_ERROR	   0xC0000185u
#define ODX_INVALID_TOKEN	   0xC0000465u

/* ----------------------------------------------------------- odx_limits.c */

#define ODX_SECTOR_MAX 4096u

/* What a mount offers; the fields of struct offlay_ioc_odx_volume. */
struct odx_limits {
	uint32_t flags; /* OFFLAY_ODX_*_ON */
	uint32_t sector;
	uint64_t transfer_max;
	uint64_t copy_max;
	uint64_t bytes_max, user_bytes_max;
	uint32_t tokens_max, user_tokens_max;
	uint32_t ttl_default, ttl_max; /* milliseconds */
	uint32_t timeout_every, forget_every;
};

void odx_limits_default(struct odx_limits *ret_limits);
/* "4096", "64M", "1G" up to @end; false for anything else. */
bool odx_limits_parse_size(const char *text, const char *end,
			   uint64_t *ret_value);
/*
 * Reads "off" or words such as "count=100:ttl=30:read=off"; the limits that
 * are not named stay.  Return: 0, or -EINVAL with *@ret_bad at the bad word.
 */
int odx_limits_parse(const char *text, struct odx_limits *limits,
		     const char **ret_bad);
/* Return: 0, or -EINVAL where some limit makes no sense. */
int odx_limits_check(const struct odx_limits *limits);
void odx_limits_pack(const struct odx_limits *limits,
		     struct offlay_ioc_odx_volume *ret_volume);
void odx_limits_unpack(const struct offlay_ioc_odx_volume *volume,
		       struct odx_limits *ret_limits);

/* ------------------------------------------------------------------ odx.c */

/* A request as it came, and what its handle and mount allow. */
struct odx_request {
	enum offlay_side side; /* source: offload read */
	bool read_only;	       /* the mount */
	bool may_access;       /* the handle is open for this, not O_APPEND */
	bool is_short;	       /* the caller's structure */
	uint32_t size, size_needed; /* the input's own field */
	uint64_t offset, length;
	uint64_t transfer_offset; /* destination only */
};

/* The file, gathered only where the request itself is sound. */
struct odx_file {
	bool is_data;	  /* a regular file */
	uint32_t reasons; /* bits 1 << enum offlay_reason */
	bool is_deleted;
	bool is_locked; /* by another, against this access */
	uint64_t size;
	uint64_t valid; /* source: behind this byte there are only zeros */
};

/* What is to be done after all checks. */
struct odx_plan {
	uint64_t length; /* of the token, or to write; whole sectors */
	bool is_zero;	 /* source: nothing but zeros */
	bool zero_beyond;
};

/*
 * The checks, in the order of the documents; pure.  NULL: passed, else the
 * refusal.  After the first an empty request has succeeded.
 */
const struct offlay_status *
odx_check_request(const struct odx_limits *limits,
		  const struct odx_request *request);
const struct offlay_status *odx_check_file(const struct odx_limits *limits,
					   const struct odx_request *request,
					   const struct odx_file *file,
					   struct odx_plan *ret_plan);
/*
 * Destination only: a plan cut to what a token of @token_length bytes can give.
 */
const struct offlay_status *odx_check_token(const struct odx_limits *limits,
					    const struct odx_request *request,
					    uint64_t token_length,
					    struct odx_plan *plan);

static inline uint64_t odx_round_up(uint64_t value, uint32_t unit)
{
	return (value + unit - 1) & ~(uint64_t)(unit - 1);
}

/*
 * The end of the data that a read of [@offset, +@length) can see: exact where
 * it lies in or before the range, else anything behind the range.
 */
int odx_find_valid(int fd, uint64_t offset, uint64_t length, uint64_t size,
		   uint64_t *ret_valid);

/* ----------------------------------------------------------- odx_status.c */

/* The row for an errno (negative) from the storage, on one side. */
const struct offlay_status *odx_status_of(int err, enum offlay_side side);
void odx_status_pack(const struct offlay_status *status,
		     struct offlay_ioc_status *ret_status);

/* ------------------------------------------------------------- snapshot.c */

/*
 * Point-in-time copies of ranges.  All of one filesystem share one unlinked
 * file: each is cloned behind the last one and punched out when it goes, so
 * that ten thousand cost one descriptor.
 */
#define SNAPSHOT_FILES 8

struct snapshot_file {
	uint64_t dev; /* of the directory that it was made in */
	bool nocow;   /* sources without copy-on-write (btrfs) */
	int fd;	      /* -1: free */
	uint64_t end; /* where the next one goes */
	uint32_t live;
};

struct snapshot_store {
	pthread_mutex_t lock; /* guards all below */
	struct snapshot_file files[SNAPSHOT_FILES];
};

struct snapshot {
	struct snapshot_file *file;
	int fd;		 /* valid until it is dropped */
	uint64_t at;	 /* where the range begins in @fd */
	uint64_t length; /* of the range; less than asked where it was copied */
	uint64_t size;	 /* of the source, when it was taken */
	uint64_t slot, slot_length;
};

/* What to take: a range of an open file, and where a new file may be made. */
struct snapshot_range {
	int src_fd;
	int dir_fd; /* of the same filesystem; O_PATH will do */
	uint64_t offset, length;
	uint64_t copy_max; /* bytes that may be copied where cloning fails */
};

void snapshot_store_init(struct snapshot_store *store);
/* All snapshots are gone. */
void snapshot_store_done(struct snapshot_store *store);
/*
 * Return: 0; -EOPNOTSUPP where the filesystem cannot; -ENODATA where the file
 * has become too short; -EAGAIN where bytes would have to be copied while
 * somebody has the file open for writing; or another error.
 *
 * Copying takes a read lease: the process must ignore SIGIO.
 */
int snapshot_take(struct snapshot_store *store,
		  const struct snapshot_range *range,
		  struct snapshot *ret_snapshot);
void snapshot_drop(struct snapshot_store *store,
		   const struct snapshot *snapshot);

/* ---------------------------------------------------------------- token.c */

struct token;
struct token_table;

/* A token that is being used: it stays until token_release(). */
struct token_use {
	struct token *token; /* NULL: the zero token */
	bool is_zero;
	int fd; /* data of the token, from @at */
	uint64_t at;
	uint64_t length; /* UINT64_MAX for zeros */
};

int token_table_new(const struct odx_limits *limits,
		    struct token_table **ret_table);
/* No token is in use; takes NULL. */
void token_table_free(struct token_table *table);
void token_limits_get(struct token_table *table, struct odx_limits *ret_limits);
/* Tokens over the new limits stay; nothing is made until they are gone. */
void token_limits_set(struct token_table *table,
		      const struct odx_limits *limits);
void token_count(struct token_table *table, uint64_t *ret_tokens,
		 uint64_t *ret_bytes);

/*
 * A token for @range, of @uid, for @ttl milliseconds without use (0: default).
 * @ret_length: bytes that it stands for, whole sectors, never more than asked.
 * @now is monotonic, in nanoseconds.  Return: 0; -ENOMEM where a limit is
 * reached; or as snapshot_take().
 */
int token_make(struct token_table *table, const struct snapshot_range *range,
	       uint32_t uid, uint32_t ttl, uint64_t now,
	       struct offlay_token *ret_token, uint64_t *ret_length);
/* The well-known token for zeros. */
void token_make_zero(struct offlay_token *ret_token);
bool token_is_zero(const struct offlay_token *token);
/* Return: 0 or -ESTALE. */
int token_take(struct token_table *table, const struct offlay_token *token,
	       uint32_t uid, uint64_t now, struct token_use *ret_use);
void token_release(struct token_table *table, struct token_use *use,
		   uint64_t now);
/* Return: 0 or -ESTALE. */
int token_drop(struct token_table *table, const struct offlay_token *token,
	       uint32_t uid, uint64_t now);
/* Drops what has expired.  Return: when to call again, 0 for not at all. */
uint64_t token_expire(struct token_table *table, uint64_t now);

#endif
