// SPDX-License-Identifier: MIT
/* What the machine has, and what this process may do. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "doctor.h"

void doctor_kernel(struct doctor *doctor)
{
	struct utsname name;

	if (uname(&name))
		doctor_find(doctor, "kernel", DOCTOR_UNKNOWN, NULL, "%s",
			    strerror(errno));
	else
		doctor_find(doctor, "kernel", DOCTOR_YES, NULL, "%s %s",
			    name.sysname, name.release);
}

/* The first line that "offlayfs --version" prints. */
static int ask_version(const char *daemon, char *ret_line, int size)
{
	int fds[2], status;
	FILE *out;
	pid_t pid;
	char *line;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl(daemon, daemon, "--version", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	out = fdopen(fds[0], "r");
	line = pid > 0 && out ? fgets(ret_line, size, out) : NULL;
	if (out)
		fclose(out);
	else
		close(fds[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (!line)
		return -ENOEXEC;
	ret_line[strcspn(ret_line, "\n")] = '\0';
	return 0;
}

/* Copies of any length came with libfuse 3.18. */
static bool has_old_fuse(const char *version)
{
	const char *fuse = strstr(version, "libfuse ");
	unsigned int major, minor;

	return fuse && sscanf(fuse, "libfuse %u.%u", &major, &minor) == 2 &&
	       (major < 3 || (major == 3 && minor < 18));
}

void doctor_daemon(struct doctor *doctor)
{
	char version[DOCTOR_TEXT];
	int err;

	if (!daemon_find(doctor->daemon, sizeof(doctor->daemon))) {
		doctor->daemon[0] = '\0';
		doctor_find(doctor, "daemon", DOCTOR_NO,
			    "install offlayfs, or put it into $PATH",
			    "offlayfs is not beside this program nor in $PATH");
		return;
	}
	err = ask_version(doctor->daemon, version, sizeof(version));
	if (err)
		doctor_find(doctor, "daemon", DOCTOR_NO,
			    "build or install offlayfs again",
			    "%.150s does not run", doctor->daemon);
	else
		doctor_find(doctor, "daemon", DOCTOR_YES, NULL, "%s", version);
	doctor->lacks_io_uring = !err && !strstr(version, ", io_uring");
	doctor->lacks_long_copies = !err && has_old_fuse(version);
}

void doctor_device(struct doctor *doctor)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	doctor_find_tried(doctor, "/dev/fuse", fd < 0 ? -errno : 0,
			  "load the module (modprobe fuse), and give the "
			  "container or user access to /dev/fuse");
	if (fd >= 0)
		close(fd);
}

void doctor_fusermount(struct doctor *doctor)
{
	static const char advice[] =
		"install fuse3 where users who are not root shall mount";
	char path[PATH_MAX];
	struct stat st;

	if (!daemon_find_in_path("fusermount3", path, sizeof(path)) ||
	    stat(path, &st))
		doctor_find(doctor, "fusermount3", DOCTOR_NO, advice,
			    "not in $PATH");
	else if (st.st_uid || !(st.st_mode & S_ISUID))
		doctor_find(doctor, "fusermount3", DOCTOR_NO,
			    "make it owned by root with mode 4755",
			    "%.150s is not set-user-ID root", path);
	else
		doctor_find(doctor, "fusermount3", DOCTOR_YES, NULL, "%.150s",
			    path);
}

void doctor_allow_other(struct doctor *doctor)
{
	static const char word[] = "user_allow_other";
	FILE *conf = fopen("/etc/fuse.conf", "re");
	bool is_set = false;
	char line[256];

	while (conf && !is_set && fgets(line, sizeof(line), conf)) {
		char *start = line + strspn(line, " \t");

		is_set = !strncmp(start, word, sizeof(word) - 1) &&
			 strchr(" \t\n#", start[sizeof(word) - 1]);
	}
	if (conf)
		fclose(conf);
	if (is_set)
		doctor_find(doctor, "allow_other", DOCTOR_YES, NULL,
			    "any user may mount for the others");
	else
		doctor_find(doctor, "allow_other", DOCTOR_NO,
			    "add the line user_allow_other to /etc/fuse.conf",
			    "only root may mount for the other users");
}

/**
 * doctor_has_capability() - is it in this process' effective set?
 * @capability: CAP_*
 */
bool doctor_has_capability(unsigned int capability)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[capability / 32].effective & (1u << capability % 32);
}

void doctor_privileges(struct doctor *doctor)
{
	bool can_admin = doctor_has_capability(CAP_SYS_ADMIN);
	bool can_search = doctor_has_capability(CAP_DAC_READ_SEARCH);

	doctor_find(doctor, "privileges",
		    can_admin && can_search ? DOCTOR_YES : DOCTOR_NO,
		    "mount as root for passthrough and for serving every "
		    "user",
		    "uid %u, %s CAP_SYS_ADMIN, %s CAP_DAC_READ_SEARCH",
		    (unsigned int)geteuid(), can_admin ? "has" : "lacks",
		    can_search ? "has" : "lacks");
}
