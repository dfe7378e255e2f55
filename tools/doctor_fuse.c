// SPDX-License-Identifier: MIT
/* What FUSE can do here: passthrough, io_uring, long copy ranges. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

/* Of FUSE_INIT; newer than the headers of some distributions. */
#define OFFERS_PASSTHROUGH (1ull << 37)
#define OFFERS_IO_URING	   (1ull << 41)
/* The protocol with FUSE_COPY_FILE_RANGE_64. */
#define MINOR_COPY_64 45

#define URING_SWITCH "/sys/module/fuse/parameters/enable_uring"

/* Two directories, and a file with something to read in the first. */
struct scratch {
	char source[4096];
	char point[4096];
	char probe[4112];
	bool is_in_dir; /* the source lies where it was asked for */
};

static int make_probe(struct scratch *scratch)
{
	int fd, err = 0;

	snprintf(scratch->probe, sizeof(scratch->probe), "%s/probe",
		 scratch->source);
	fd = open(scratch->probe, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
		  0600);
	if (fd < 0)
		return -errno;
	if (write(fd, "offlay", 6) != 6)
		err = -EIO;
	close(fd);
	return err;
}

static void remove_scratch(struct scratch *scratch)
{
	if (*scratch->probe)
		unlink(scratch->probe);
	if (*scratch->source)
		rmdir(scratch->source);
	if (*scratch->point)
		rmdir(scratch->point);
}

static int make_dir(const char *parent, const char *name, char *path,
		    size_t size)
{
	if (snprintf(path, size, "%s/%s", parent, name) >= (int)size ||
	    !mkdtemp(path)) {
		*path = '\0';
		return -errno;
	}
	return 0;
}

/* A read-only directory cannot hold the source: any other shows as much. */
static int make_scratch(const struct doctor *doctor, struct scratch *scratch)
{
	static const char name[] = ".offlay-doctor-XXXXXX";
	const char *tmp = getenv("TMPDIR");
	int err;

	*scratch = (struct scratch){ .is_in_dir = true };
	if (!tmp || *tmp != '/')
		tmp = "/tmp";
	err = make_dir(tmp, name, scratch->point, sizeof(scratch->point));
	if (err)
		return err;
	if (make_dir(doctor->dir, name, scratch->source,
		     sizeof(scratch->source))) {
		scratch->is_in_dir = false;
		err = make_dir(tmp, name, scratch->source,
			       sizeof(scratch->source));
	}
	if (!err)
		err = make_probe(scratch);
	if (err)
		remove_scratch(scratch);
	return err;
}

static void find_passthrough(struct doctor *doctor,
			     const struct doctor_mounts *mounts, bool is_in_dir)
{
	static const char name[] = "passthrough";

	if (mounts->mount_error)
		doctor_find(doctor, name, DOCTOR_UNKNOWN,
			    "see what the daemon says, above",
			    "not tried, no mount");
	else if (mounts->has_passthrough)
		doctor_find(doctor, name, DOCTOR_YES, NULL,
			    "a file was read with the daemon stopped%s",
			    is_in_dir ? "" : " (in the temporary directory)");
	else if (!doctor_has_capability(CAP_SYS_ADMIN))
		doctor_find(doctor, name, DOCTOR_NO,
			    "mount as root: the kernel wants CAP_SYS_ADMIN "
			    "in the initial user namespace",
			    "files are read and written by the daemon");
	else if (!mounts->init_error &&
		 !(mounts->fuse_flags & OFFERS_PASSTHROUGH))
		doctor_find(doctor, name, DOCTOR_NO,
			    "use Linux 6.9 or newer with "
			    "CONFIG_FUSE_PASSTHROUGH",
			    "the kernel does not offer it");
	else
		doctor_find(doctor, name, DOCTOR_NO,
			    "use a SOURCE that is not stacked on other "
			    "filesystems, and the initial user namespace",
			    "the kernel offers it, but not for this "
			    "directory or process");
}

static void find_io_uring(struct doctor *doctor,
			  const struct doctor_mounts *mounts)
{
	static const char name[] = "io_uring";
	char value = 0;
	int fd = open(URING_SWITCH, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		doctor_find(doctor, name, DOCTOR_NO,
			    "use Linux 6.14 or newer with "
			    "CONFIG_FUSE_IO_URING",
			    "the kernel has none for FUSE");
		return;
	}
	if (read(fd, &value, 1) != 1)
		value = 0;
	close(fd);
	if (value != 'Y' && value != '1')
		doctor_find(doctor, name, DOCTOR_NO,
			    "echo Y > " URING_SWITCH " (as root), then mount "
			    "with -o io_uring",
			    "turned off in the kernel");
	else if (doctor->lacks_io_uring)
		doctor_find(doctor, name, DOCTOR_NO,
			    "build offlayfs with libfuse 3.18 or newer",
			    "turned on in the kernel, but offlayfs was built "
			    "without");
	else if (mounts->init_error)
		doctor_find(doctor, name, DOCTOR_UNKNOWN, NULL,
			    "turned on in the kernel, not tried");
	else
		doctor_find(doctor, name,
			    mounts->fuse_flags & OFFERS_IO_URING ? DOCTOR_YES
								 : DOCTOR_NO,
			    "use a kernel that offers it to every mount",
			    "turned on in the kernel; -o io_uring uses it");
}

static void find_long_copies(struct doctor *doctor,
			     const struct doctor_mounts *mounts)
{
	static const char name[] = "64-bit copies";

	if (mounts->init_error)
		doctor_find(doctor, name, DOCTOR_UNKNOWN, NULL, "not tried");
	else if (mounts->fuse_minor >= MINOR_COPY_64 &&
		 doctor->lacks_long_copies)
		doctor_find(doctor, name, DOCTOR_NO,
			    "build offlayfs with libfuse 3.18 or newer; until "
			    "then large copies take more requests",
			    "the kernel would ask for any length, but "
			    "libfuse does not take it");
	else if (mounts->fuse_minor >= MINOR_COPY_64)
		doctor_find(doctor, name, DOCTOR_YES, NULL,
			    "the kernel asks for ranges of any length");
	else
		doctor_find(doctor, name, DOCTOR_NO,
			    "use Linux 6.18 or newer and libfuse 3.18; until "
			    "then large copies take more requests",
			    "the kernel asks for 4 GiB at most");
}

static void find_mounts(struct doctor *doctor,
			const struct doctor_mounts *mounts)
{
	if (mounts->init_error)
		doctor_find(doctor, "FUSE protocol", DOCTOR_UNKNOWN,
			    "allow user namespaces, or run this as root",
			    "cannot mount: %s", strerror(-mounts->init_error));
	else
		doctor_find(doctor, "FUSE protocol", DOCTOR_YES, NULL, "7.%u",
			    mounts->fuse_minor);
	if (!mounts->mount_error)
		doctor_find(doctor, "mounting", DOCTOR_YES, NULL, "works");
	else if (!*doctor->daemon)
		doctor_find(doctor, "mounting", DOCTOR_UNKNOWN, NULL,
			    "not tried, no daemon");
	else
		doctor_find(doctor, "mounting", DOCTOR_NO,
			    "run offlayfs -f SOURCE MOUNTPOINT to see more",
			    "%s",
			    *mounts->daemon_said
				    ? mounts->daemon_said
				    : strerror(-mounts->mount_error));
}

void doctor_fuse(struct doctor *doctor)
{
	struct doctor_mounts mounts = { 0 };
	struct scratch scratch = { 0 };
	int err = make_scratch(doctor, &scratch);

	if (!err) {
		err = doctor_mount_try(doctor->daemon, scratch.source,
				       scratch.point, &mounts);
		remove_scratch(&scratch);
	}
	if (err)
		mounts.init_error = mounts.mount_error = err;
	find_mounts(doctor, &mounts);
	find_passthrough(doctor, &mounts, scratch.is_in_dir);
	find_io_uring(doctor, &mounts);
	find_long_copies(doctor, &mounts);
}
