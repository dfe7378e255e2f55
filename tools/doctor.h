/* SPDX-License-Identifier: MIT */
/* What the files of "offlay doctor" share; grouped by the .c file that has it. */
#ifndef OFFLAY_DOCTOR_H
#define OFFLAY_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum doctor_state {
	DOCTOR_NO,
	DOCTOR_YES,
	DOCTOR_UNKNOWN, /* could not be tried */
};

#define DOCTOR_TEXT 200

/* One line of the report. */
struct doctor_finding {
	const char *name;
	enum doctor_state state;
	char detail[DOCTOR_TEXT]; /* what was seen */
	const char *advice; /* how to get it; NULL where nothing is missing */
};

#define DOCTOR_FINDINGS 24

struct doctor {
	const char *dir; /* as it was named */
	int dir_fd;
	int dir_error; /* negative errno with which no file can be made there */
	uint32_t fs_type;  /* f_type of the directory */
	char daemon[4096]; /* path of offlayfs; empty where there is none */
	/* Of the daemon; false where it is not known. */
	bool lacks_io_uring, lacks_long_copies;
	struct doctor_finding findings[DOCTOR_FINDINGS];
	size_t count;
};

/* cmd_doctor.c */
void doctor_find(struct doctor *doctor, const char *name,
		 enum doctor_state state, const char *advice,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same for something that was tried; @err is 0 or a negative errno. */
void doctor_find_tried(struct doctor *doctor, const char *name, int err,
		       const char *advice);

/* doctor_system.c: the machine and this process. */
void doctor_kernel(struct doctor *doctor);
void doctor_daemon(struct doctor *doctor);
void doctor_device(struct doctor *doctor);
void doctor_fusermount(struct doctor *doctor);
void doctor_allow_other(struct doctor *doctor);
void doctor_privileges(struct doctor *doctor);
bool doctor_has_capability(unsigned int capability);

/* doctor_run.c: can "offlay run" work? */
void doctor_run(struct doctor *doctor);

/* doctor_fuse.c: what FUSE can do here, tried on mounts that go away. */
void doctor_fuse(struct doctor *doctor);

/* doctor_mount.c: those mounts. */
struct doctor_mounts {
	int init_error; /* negative errno: the kernel did not say what it can */
	uint32_t fuse_minor; /* 7.x of the protocol */
	uint64_t fuse_flags; /* offered by the kernel */
	int mount_error;     /* negative errno: the daemon did not mount */
	char daemon_said[DOCTOR_TEXT]; /* first line on its stderr */
	bool has_passthrough;
};
/* @source holds a file named "probe"; both are directories. */
int doctor_mount_try(const char *daemon, const char *source, const char *point,
		     struct doctor_mounts *ret_mounts);

/* doctor_dir.c: what the backing can do, tried on files nobody else sees. */
void doctor_filesystem(struct doctor *doctor);
void doctor_reflink(struct doctor *doctor);
void doctor_fiemap(struct doctor *doctor);
void doctor_holes(struct doctor *doctor);
void doctor_handles(struct doctor *doctor);
void doctor_leases(struct doctor *doctor);
void doctor_xattrs(struct doctor *doctor);
void doctor_tmpfile(struct doctor *doctor);

#endif
