/* SPDX-License-Identifier: MIT */
/*
 * The same calls on the bare backing and on the mount, compared line by line.
 *
 * A row is a function that works in its current directory and records what
 * every call gave.  It runs twice, in fresh twin directories, in processes of
 * their own; the records must be equal.
 */
#ifndef E2E_PARITY_H
#define E2E_PARITY_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include "mount.h"
#include "process.h"
#include "volume.h"

struct parity {
	enum backing backing;
	enum mount_mode mode;
	/* Is the current directory on the mount? */
	bool on_mount;
	/* The same directory, reached without the mount. */
	int back_fd;
	FILE *record;
};

/* The row acts as other users, or with capabilities. */
#define ROW_ROOT (1u << 0)
/* The sides must not run at the same time. */
#define ROW_ALONE (1u << 1)

struct parity_row {
	const char *name;
	void (*run)(struct parity *parity);
	unsigned int flags;
};

struct parity_param {
	enum backing backing;
	enum mount_mode mode;
};

/* Two users, and the first one in a further group. */
extern const struct user alice, bob, alice_in_bobs;

/**
 * parity_params() - every selected backing in every selected mode
 *
 * $OFFLAY_BACKINGS and $OFFLAY_MODES (colon separated) select.
 */
struct criterion_test_params parity_params(void);

/**
 * parity_run() - run a table of rows on a backing in a mode
 * @param: backing and mode
 * @topic: name of the table
 * @rows: table
 * @n_rows: its length
 *
 * Fails the test for every row whose records differ, and prints the lines.
 * $OFFLAY_ROW selects rows whose name contains it; $OFFLAY_SHOW prints what
 * the backing gave.
 */
void parity_run(const struct parity_param *param, const char *topic,
		const struct parity_row *rows, size_t n_rows);

/**
 * parity_compare() - run one row in two given directories
 * @param: backing and mode
 * @name: "topic row", for messages
 * @row: row
 * @bare_dir: directory on the backing
 * @mount_dir: directory on the mount
 * @back_dir: the directory that @mount_dir shows
 */
void parity_compare(const struct parity_param *param, const char *name,
		    const struct parity_row *row, const char *bare_dir,
		    const char *mount_dir, const char *back_dir);

#define PARITY_TOPIC(topic, rows)                                    \
	ParameterizedTestParameters(parity, topic)                   \
	{                                                            \
		return parity_params();                              \
	}                                                            \
	ParameterizedTest(struct parity_param *param, parity, topic, \
			  .timeout = 240)                            \
	{                                                            \
		parity_run(param, #topic, rows,                      \
			   sizeof(rows) / sizeof((rows)[0]));        \
	}                                                            \
	struct parity_topic_needs_semicolon

/* Record a line. */
void note(struct parity *parity, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Record what a call gave, the error's name included; gives it back. */
#define CALL(parity, expr) parity_call((parity), #expr, (long)(expr))
long parity_call(struct parity *parity, const char *text, long result);

/* The same for a call that gives a new descriptor, whose number is not told. */
#define OPEN(parity, expr) parity_open((parity), #expr, (expr))
int parity_open(struct parity *parity, const char *text, int fd);

/*
 * A call that cannot be the same on the mount, for the reason given: native
 * results are not compared, the mount's must be @expected (a result, or a
 * negative errno).
 */
#define DIFFERS(parity, reason, expected, expr) \
	parity_differs((parity), #expr, (long)(expr), (long)(expected))
long parity_differs(struct parity *parity, const char *text, long result,
		    long expected);

/* Fail the row, also where both sides see the same. */
#define MUST(parity, condition) parity_must((parity), (condition), #condition)
void parity_must(struct parity *parity, bool holds, const char *text);

/* End the row here, as one that this backing or kernel cannot run. */
void parity_skip(struct parity *parity, const char *reason)
	__attribute__((noreturn));

/* Record type, mode, owner, links, size and device of a name, not followed. */
void note_stat(struct parity *parity, const char *name);
void note_fstat(struct parity *parity, int fd);
/* Record size and hash of a file's content. */
void note_content(struct parity *parity, const char *name);
/* Record the sorted names, types and inode consistency of a directory. */
void note_dir(struct parity *parity, const char *name);
/* Record the sorted extended attributes and their values, not followed. */
void note_xattrs(struct parity *parity, const char *name);
/* Record a file's first 64 bytes, escaped. */
void note_text(struct parity *parity, const char *name);

/* Make a file with this text and mode 0644. */
void make_file(struct parity *parity, const char *name, const char *text);
/* Make a file of random data. */
void make_data(struct parity *parity, const char *name, size_t size);

/* Do the rest as this user, until leave_user(). */
void enter_user(struct parity *parity, const struct user *user);
void leave_user(struct parity *parity);

/*
 * Fork; the child runs @fn and its result is its exit status.  join() waits
 * and gives that status, or 128 + signal.
 */
pid_t spawn(int (*fn)(struct parity *parity, void *arg), struct parity *parity,
	    void *arg);
int join(pid_t pid);

/* Longer than the attribute and entry timeouts of cache=auto. */
void wait_for_cache(void);

#endif
