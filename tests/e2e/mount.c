/* SPDX-License-Identifier: MIT */
/* Starting offlayfs on a directory and taking it down again. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mount.h"
#include "mountinfo.h"
#include "reaper.h"
#include "volume.h"

#define START_TIMEOUT_MS 20000
#define STOP_TIMEOUT_MS	 10000
#define URING_SETTING	 "/sys/module/fuse/parameters/enable_uring"

const struct user mount_user = { .uid = 65534, .gid = 65534 };

const char *mode_name(enum mount_mode mode)
{
	static const char *const names[MODE_COUNT] = {
		[MODE_PASSTHROUGH] = "passthrough",
		[MODE_NO_PASSTHROUGH] = "no_passthrough",
		[MODE_IO_URING] = "io_uring",
		[MODE_USER] = "user",
	};

	return names[mode];
}

static const char *path_from_env(const char *name)
{
	const char *path = getenv(name);

	cr_assert(path, "$%s must name the program to test", name);
	return path;
}

const char *mount_daemon_path(void)
{
	return path_from_env("OFFLAYFS");
}

const char *mount_tool_path(void)
{
	return path_from_env("OFFLAY");
}

const char *mode_missing(enum mount_mode mode)
{
	struct stat st;

	if (mode == MODE_IO_URING) {
		if (access(URING_SETTING, F_OK) != 0)
			return "the kernel has no FUSE over io_uring";
		if (reaper_note_setting(volume_scratch(), URING_SETTING, "Y"))
			return "FUSE over io_uring cannot be enabled here";
	}
	if (mode == MODE_USER) {
		if (stat("/dev/fuse", &st) != 0 || (st.st_mode & 06) != 06)
			return "users may not open /dev/fuse here";
		if (access("/bin/fusermount3", X_OK) != 0 &&
		    access("/usr/bin/fusermount3", X_OK) != 0)
			return "no fusermount3 here";
		/* fusermount3 -u looks there for who mounted. */
		if (access("/etc/mtab", R_OK) != 0)
			return "no /etc/mtab, so fusermount3 cannot unmount";
	}
	return NULL;
}

/* Runs in the child, where Criterion's assertions must not be used. */
static void run_daemon(const struct mount *mount, const struct mount_spec *spec,
		       const char *program)
{
	char *argv[] = { (char *)program,
			 "-f",
			 (char *)mount->source,
			 (char *)mount->point,
			 NULL,
			 NULL,
			 NULL };
	int fd = open(mount->log, O_WRONLY | O_CREAT | O_APPEND, 0644);

	dup2(fd, 1);
	dup2(fd, 2);
	close(fd);
	if (spec->options) {
		argv[4] = "-o";
		argv[5] = (char *)spec->options;
	}
	if (spec->nofile) {
		struct rlimit limit = { spec->nofile, spec->nofile };

		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (spec->user && user_become(spec->user) != 0)
		_exit(126);
	/* After the ids: changing them clears it. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execv(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

static int wait_until_mounted(struct mount *mount)
{
	long long end = process_now_ms() + START_TIMEOUT_MS;
	struct mountinfo_entry entry;

	while (process_now_ms() < end) {
		int status;

		if (mountinfo_find(mount->point, &entry) == 0 &&
		    strncmp(entry.type, "fuse", 4) == 0)
			return 0;
		if (waitpid(mount->pid, &status, WNOHANG) == mount->pid) {
			mount->pid = 0;
			return -ECHILD;
		}
		process_sleep_ms(5);
	}
	return -ETIME;
}

int mount_start(const char *source, const struct mount_spec *spec,
		struct mount *ret_mount)
{
	static const struct mount_spec plain;
	const char *program = mount_daemon_path();
	char dir[PATH_MAX];
	int err;

	if (!spec)
		spec = &plain;
	memset(ret_mount, 0, sizeof(*ret_mount));
	snprintf(ret_mount->source, sizeof(ret_mount->source), "%s", source);
	volume_scratch_dir("mount", dir);
	volume_path(ret_mount->point, dir, "point");
	volume_path(ret_mount->log, dir, "log");
	if (mkdir(ret_mount->point, 0755) != 0)
		return -errno;
	if (spec->user) {
		ret_mount->uid = spec->user->uid;
		if (chown(ret_mount->point, spec->user->uid, spec->user->gid))
			return -errno;
	}
	fflush(NULL);
	ret_mount->pid = fork();
	if (ret_mount->pid < 0)
		return -errno;
	if (ret_mount->pid == 0)
		run_daemon(ret_mount, spec, program);
	err = wait_until_mounted(ret_mount);
	if (err)
		mount_kill(ret_mount);
	else
		reaper_note_daemon(volume_scratch(), ret_mount->pid);
	return err;
}

void mount_open(const char *source, const char *options,
		struct mount *ret_mount)
{
	struct mount_spec spec = { .options = options };
	int err = mount_start(source, &spec, ret_mount);

	if (err)
		mount_print_log(ret_mount);
	cr_assert(err == 0, "offlayfs -o %s did not mount: %s",
		  options ? options : "(none)", errno_name(err));
}

void mount_open_mode(const char *source, enum mount_mode mode,
		     const char *options, struct mount *ret_mount)
{
	static const char *const mode_options[MODE_COUNT] = {
		[MODE_NO_PASSTHROUGH] = "no_passthrough",
		[MODE_IO_URING] = "io_uring",
	};
	const char *missing = mode_missing(mode);
	struct mount_spec spec = { 0 };
	char text[1024];
	int err;

	if (missing)
		volume_skip(mode_name(mode), "%s", missing);
	snprintf(text, sizeof(text), "%s%s%s",
		 mode_options[mode] ? mode_options[mode] : "",
		 mode_options[mode] && options ? "," : "",
		 options ? options : "");
	if (*text)
		spec.options = text;
	if (mode == MODE_USER) {
		spec.user = &mount_user;
		cr_assert(chown(source, mount_user.uid, mount_user.gid) == 0);
	}
	err = mount_start(source, &spec, ret_mount);
	if (err)
		mount_print_log(ret_mount);
	cr_assert(err == 0, "offlayfs -o %s did not mount: %s", text,
		  errno_name(err));
}

/* Where each thread of a daemon that does not end is waiting. */
static void print_threads(pid_t pid)
{
	char path[320], line[512];
	struct dirent *entry;
	FILE *file;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/syscall", entry->d_name);
		file = fopen(path, "re");
		if (file && fgets(line, sizeof(line), file))
			fprintf(stderr, "thread %s in system call %s",
				entry->d_name, line);
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
}

/*
 * A process with a mount namespace of its own that was made while this mount
 * was there keeps it alive; returns such a process, or 0.
 */
static pid_t other_namespace(const struct mount *mount)
{
	char path[320], line[3 * PATH_MAX];
	struct dirent *entry;
	pid_t found = 0;
	DIR *dir = opendir("/proc");

	while (dir && !found && (entry = readdir(dir))) {
		FILE *file;

		if (atoi(entry->d_name) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/mountinfo",
			 entry->d_name);
		file = fopen(path, "re");
		while (file && !found && fgets(line, sizeof(line), file))
			if (strstr(line, mount->point))
				found = atoi(entry->d_name);
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int wait_for_end(const struct mount *mount, int *ret_status)
{
	int err = process_wait(mount->pid, STOP_TIMEOUT_MS, ret_status);
	pid_t holder;

	for (int i = 0; err && i < 6; i++) {
		holder = other_namespace(mount);
		if (!holder)
			break;
		fprintf(stderr, "%s is still mounted where process %d is\n",
			mount->point, (int)holder);
		err = process_wait(mount->pid, STOP_TIMEOUT_MS, ret_status);
	}
	return err;
}

void mount_close(struct mount *mount)
{
	int err, status = -1;

	if (mount->pid <= 0)
		return;
	err = volume_unmount(mount->point);
	if (!err)
		err = wait_for_end(mount, &status);
	if (err || status != 0 || mountinfo_find(mount->point, NULL) == 0) {
		mount_print_log(mount);
		if (err) {
			print_threads(mount->pid);
			mount_kill(mount);
		}
	}
	mount->pid = 0;
	cr_assert(err == 0, "%s did not come down: %s", mount->point,
		  errno_name(err));
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		  "the daemon ended with wait status %#x", status);
	cr_assert(mountinfo_find(mount->point, NULL) != 0,
		  "%s is still mounted", mount->point);
}

void mount_kill(struct mount *mount)
{
	int status;

	if (mount->pid > 0) {
		kill(mount->pid, SIGTERM);
		if (process_wait(mount->pid, 2000, &status)) {
			kill(mount->pid, SIGKILL);
			waitpid(mount->pid, &status, 0);
		}
		mount->pid = 0;
	}
	if (*mount->point && mountinfo_find(mount->point, NULL) == 0)
		umount2(mount->point, MNT_DETACH);
}

static char *read_log(const struct mount *mount)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = fopen(mount->log, "re");

	if (!file)
		return NULL;
	if (getdelim(&text, &size, '\0', file) < 0) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

bool mount_log_has(const struct mount *mount, const char *text)
{
	char *log = read_log(mount);
	bool found = log && strstr(log, text);

	free(log);
	return found;
}

void mount_print_log(const struct mount *mount)
{
	char *log = read_log(mount);

	fprintf(stderr, "--- log of offlayfs on %s\n%s---\n", mount->source,
		log ? log : "");
	free(log);
}

long mount_rss_kib(const struct mount *mount)
{
	char path[64], line[256];
	long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)mount->pid);
	file = fopen(path, "re");
	cr_assert(file, "%s: %s", path, strerror(errno));
	while (kib < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %ld", &kib) != 1)
			kib = -1;
	fclose(file);
	return kib;
}
