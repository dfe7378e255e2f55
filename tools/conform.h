/* SPDX-License-Identifier: MIT */
/* What the files of "offlay conform" share; grouped by the .c file that has it.
 */
#ifndef OFFLAY_CONFORM_H
#define OFFLAY_CONFORM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* conform_table.c: what is tried; pure. */

#define CONFORM_QUICK	(1u << 0)
#define CONFORM_DEFAULT (1u << 1)
#define CONFORM_FULL	(1u << 2)
#define CONFORM_ALL	(CONFORM_QUICK | CONFORM_DEFAULT | CONFORM_FULL)

/* What is done by us while the copy is held. */
enum conform_action {
	CONFORM_NOTHING,
	CONFORM_GROW,
	CONFORM_SHRINK,
	CONFORM_SHORTEN, /* by one byte */
	CONFORM_REPLACE,
	CONFORM_SIGNAL,
};

struct conform_behaviour {
	const char *name, *purpose;
	/* Rules; {half}, {piece} and {seed} stand for numbers. */
	const char *rules;
	enum conform_action action;
	bool may_fail;	       /* a program may give up, and say so */
	uint64_t min_size;     /* of a file where it makes a difference */
	unsigned int matrices; /* CONFORM_* */
};

/* How the data of a file lies; see conform_corpus.c. */
enum conform_shape {
	CONFORM_PLAIN,
	CONFORM_SPARSE,
	CONFORM_HOLE_START,
	CONFORM_HOLE_END,
	CONFORM_ALLOCATED,
	CONFORM_EXTENTS,
};

struct conform_file {
	const char *name; /* as --only has it */
	const char *head; /* of a column */
	const char *path; /* as it is on disk */
	const char *purpose;
	uint64_t size;
	enum conform_shape shape;
	mode_t mode;
	unsigned int matrices;
};

extern const struct conform_behaviour conform_behaviours[];
extern const size_t conform_behaviour_count;
extern const struct conform_file conform_files[];
extern const size_t conform_file_count;

/* CONFORM_* of a matrix's name, 0 for none. */
unsigned int conform_matrix(const char *name);
bool conform_selects(const char *const *only, size_t count,
		     const struct conform_behaviour *behaviour,
		     const struct conform_file *file);
/* Would this file meet the behaviour at all? */
bool conform_applies(const struct conform_behaviour *behaviour,
		     const struct conform_file *file);
/*
 * The rules for a file with so many bytes of data, its holes not counted; the
 * caller frees them.  NULL without memory.
 */
char *conform_rules_text(const struct conform_behaviour *behaviour,
			 uint64_t data, uint64_t seed);

/* conform_corpus.c: the files that are copied. */

/* Makes @path below @dir_fd, or makes it anew.  Return: 0 or -errno. */
int conform_corpus_make(int dir_fd, const struct conform_file *file);
uint64_t conform_corpus_data(const struct conform_file *file);
/* The file after the action; only for those that change it. */
int conform_corpus_change(int dir_fd, const char *name,
			  const struct conform_file *file,
			  enum conform_action action);
/* Does it to the file that is being copied, by way of the mount. */
int conform_corpus_act(int in_fd, const struct conform_file *file,
		       enum conform_action action);
#define CONFORM_CHANGED "changed" /* its name beside the kept originals */
#define CONFORM_GROWTH	((uint64_t)64 << 10)

/* conform_judge.c: pure. */

struct conform_outcome {
	bool timed_out;
	int status;	    /* as of waitpid() */
	bool was_signalled; /* by us */
	bool is_file; /* there is a destination, and it is a regular file */
	bool is_there;
	bool src_changed;	     /* otherwise than by us */
	enum conform_action action;  /* that was done */
	uint64_t size;		     /* of the destination */
	uint64_t old_size, new_size; /* of the source before and after */
	uint64_t same_old, same_new; /* bytes from the start that are equal */
};

enum conform_result {
	CONFORM_COPIED,
	CONFORM_TOLD,  /* gave up, said so, and left nothing that deceives */
	CONFORM_UNMET, /* copied, but never met the behaviour */
	CONFORM_FAILED,
	CONFORM_SKIPPED, /* makes no difference here, or cannot be had */
};

#define CONFORM_TEXT 320

enum conform_result conform_judge(const struct conform_outcome *outcome,
				  bool may_fail, bool met,
				  char detail[CONFORM_TEXT]);

/* conform_place.c: where all of it happens. */

struct conform_place {
	char dir[PATH_MAX];    /* ours, for the mount and the image */
	char on[PATH_MAX];     /* ours, where the user wants it; else empty */
	char root[PATH_MAX];   /* what the mount shows */
	char kept[PATH_MAX];   /* the originals; not in the mount */
	char point[PATH_MAX];  /* the mount point */
	char volume[PATH_MAX]; /* mounted for us; else empty */
	char fs[32];	       /* "btrfs" */
	int kept_fd, in_fd, out_fd; /* on the backing */
	bool has_reflink, has_fiemap;
	char missing[4][CONFORM_TEXT]; /* what is not available, and why */
	size_t missing_count;
};

struct conform_options {
	const char *matrix;
	const char *on;
	const char *volume; /* "btrfs", "xfs" or NULL */
	const char *junit;
	const char *const *only;
	size_t only_count;
	unsigned int timeout_ms;
	uint64_t seed;
	bool json, keep;
	char **command;
};

#define CONFORM_TIMEOUT_MS 10000
#define CONFORM_SEED	   1

/* Return: an exit code; errors have been reported. */
int conform_place_make(const struct conform_options *opt,
		       struct conform_place *ret_place);
void conform_place_remove(struct conform_place *place, bool keep);
/* Everything below a directory; -1 is nothing. */
void conform_place_empty(int dir_fd);

/* conform_mount.c: the private overlay and its rules. */

struct conform_mount {
	const struct conform_place *place;
	char daemon[PATH_MAX];
	pid_t pid;  /* 0: not mounted */
	int fd;	    /* the root of the mount */
	int log_fd; /* what the daemon says */
};

int conform_mount_start(struct conform_mount *mount);
void conform_mount_stop(struct conform_mount *mount);
int conform_mount_rules(struct conform_mount *mount, const char *text);
int conform_mount_clear(struct conform_mount *mount);
/* Of all rules; and of the last one, which holds the copy. */
int conform_mount_hits(struct conform_mount *mount, uint64_t *ret_all,
		       uint64_t *ret_last);

/* conform_command.c: the program that is tried. */

/* @words with {src} and {dst} replaced; the caller frees it and its words. */
char **conform_command_words(char *const *words, const char *src,
			     const char *dst);
void conform_command_free(char **words);
/* A word for a shell. */
void conform_command_quote(FILE *out, const char *word);

#define CONFORM_SAID 4096

struct conform_command {
	pid_t pid; /* 0: has ended */
	pid_t group;
	int status;
	int out_fd; /* both of its outputs; -1: closed */
	char said[CONFORM_SAID];
	size_t said_size;
};

int conform_command_start(char *const *words, struct conform_command *command);
/* Waits up to @ms; returns early when it has ended. */
bool conform_command_wait(struct conform_command *command, int ms);
void conform_command_kill(struct conform_command *command, int number);
void conform_command_done(struct conform_command *command);

/* conform_cell.c: one file, one behaviour. */

enum conform_part { CONFORM_NO_PART, CONFORM_SOME, CONFORM_WHOLE, CONFORM_NA };

struct conform_cell {
	const struct conform_behaviour *behaviour;
	const struct conform_file *file;
	enum conform_result result;
	bool met;
	int status; /* as of waitpid(), of the program */
	double seconds;
	enum conform_part shared; /* of what could be */
	enum conform_part holes;  /* kept, of what there was */
	char detail[CONFORM_TEXT];
	char *said; /* first line of what it printed; NULL if nothing */
};

struct conform_run {
	const struct conform_options *opt;
	struct conform_place *place;
	struct conform_mount *mount;
	struct conform_cell *cells;
	size_t count, done;
	unsigned int number; /* of the cell's directory */
	uint32_t intact; /* sources that are as we made them; a bit a file */
	double seconds;
};

/* Return: 0, or a negative errno where we, not the program, failed. */
int conform_cell_run(struct conform_run *run, struct conform_cell *cell);
/* conform_measure.c: what the program left behind. */
int conform_measure(struct conform_run *run, const struct conform_cell *cell,
		    int dst_dir_fd, struct conform_outcome *outcome);
void conform_measure_extents(struct conform_run *run, int dst_dir_fd,
			     struct conform_cell *cell);
/* Is the source still what we made? */
bool conform_measure_src(struct conform_run *run,
			 const struct conform_file *file);

/* cmd_conform.c */
bool conform_is_stopped(void);

/* conform_print.c, conform_json.c, conform_junit.c */
void conform_print(const struct conform_run *run);
void conform_print_list(void);
void conform_print_repeat(FILE *out, const struct conform_run *run,
			  const struct conform_cell *cell);
size_t conform_count(const struct conform_run *run, enum conform_result result);
const char *conform_result_name(enum conform_result result);
void conform_json(const struct conform_run *run);
/* Return: 0 or a negative errno. */
int conform_junit(const struct conform_run *run, const char *name);

#endif
