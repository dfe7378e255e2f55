/* SPDX-License-Identifier: MIT */
/* The daemon's command line, and how it comes up and goes down. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mount.h"
#include "mountinfo.h"
#include "reaper.h"
#include "sample.h"
#include "volume.h"

static char source[PATH_MAX], point[PATH_MAX];

static void make_dirs(void)
{
	struct volume volume;
	char path[PATH_MAX];

	volume_get(BACKING_TMPFS, 0, &volume);
	volume_dir(&volume, "source", source);
	volume_scratch_dir("point", point);
	volume_path(path, source, "file");
	sample_file(path, 1000, 1);
}

static int run_daemon(struct command_result *ret, const char *a, const char *b,
		      const char *c, const char *d)
{
	char *argv[] = { (char *)mount_daemon_path(),
			 (char *)a,
			 (char *)b,
			 (char *)c,
			 (char *)d,
			 NULL };

	return command_run(argv, NULL, 20, ret);
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

struct mistake {
	const char *what;
	/* Arguments; S, M stand for a good source and mount point. */
	const char *args[4];
	/* What the one line must mention. */
	const char *mentions;
};

static const struct mistake mistakes[] = {
	{ "unknown option", { "-o", "nonsense", "S", "M" }, "nonsense" },
	{ "unknown option among others",
	  { "-o", "cache=none,nonsense=3", "S", "M" },
	  "nonsense" },
	{ "unknown flag", { "-Z", "S", "M", NULL }, "Z" },
	{ "no value", { "-o", "deny", "S", "M" }, "deny" },
	{ "bad deny", { "-o", "deny=sparse:blue", "S", "M" }, "blue" },
	{ "bad refuse", { "-o", "refuse=loudly", "S", "M" }, "loudly" },
	{ "bad offload", { "-o", "offload=x", "S", "M" }, "offload" },
	{ "bad cache", { "-o", "cache=some", "S", "M" }, "cache" },
	{ "bad profile", { "-o", "profile=x", "S", "M" }, "profile" },
	{ "bad size", { "-o", "accel_min=128Q", "S", "M" }, "128Q" },
	{ "bad log level", { "-o", "log=loud", "S", "M" }, "loud" },
	{ "value for a switch",
	  { "-o", "no_passthrough=1", "S", "M" },
	  "no_passthrough" },
	{ "no arguments", { NULL }, "SOURCE" },
	{ "no mount point", { "S", NULL }, "MOUNTPOINT" },
	{ "three directories", { "S", "M", "M", NULL }, "MOUNTPOINT" },
	{ "missing source", { "S/missing", "M", NULL }, "missing" },
	{ "source is a file", { "S/file", "M", NULL }, "file" },
	{ "missing mount point", { "S", "M/missing", NULL }, "missing" },
	{ "mount point is a file", { "S", "S/file", NULL }, "file" },
	{ "source inside the mount point", { "M/inner", "M", NULL }, "inner" },
};

/* Puts the real directories in the place of S and M. */
static const char *expand(const char *arg, char *buf)
{
	if (arg && (arg[0] == 'S' || arg[0] == 'M') &&
	    (arg[1] == '\0' || arg[1] == '/')) {
		snprintf(buf, PATH_MAX, "%s%s", arg[0] == 'S' ? source : point,
			 arg + 1);
		return buf;
	}
	return arg;
}

Test(options, mistakes_are_one_line_and_exit_2, .timeout = 120)
{
	char buf[4][PATH_MAX], inner[PATH_MAX];
	struct command_result result;

	make_dirs();
	volume_path(inner, point, "inner");
	cr_assert(mkdir(inner, 0755) == 0);
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		const struct mistake *m = &mistakes[i];
		const char *args[4];

		for (int k = 0; k < 4; k++)
			args[k] = expand(m->args[k], buf[k]);
		run_daemon(&result, args[0], args[1], args[2], args[3]);
		cr_expect_eq(result.status, 2, "%s: exit %d, %s", m->what,
			     result.status, result.err);
		cr_expect_eq(count_lines(result.err), 1, "%s: \"%s\"", m->what,
			     result.err);
		cr_expect(strstr(result.err, m->mentions), "%s: \"%s\"",
			  m->what, result.err);
		cr_expect_str_empty(result.out, "%s: \"%s\"", m->what,
				    result.out);
		cr_expect(mountinfo_find(point, NULL) != 0, "%s: mounted",
			  m->what);
	}
}

Test(options, helps, .timeout = 30)
{
	struct command_result result;

	run_daemon(&result, "--help", NULL, NULL, NULL);
	cr_expect_eq(result.status, 0);
	cr_expect(strstr(result.out, "SOURCE MOUNTPOINT"));
	run_daemon(&result, "--version", NULL, NULL, NULL);
	cr_expect_eq(result.status, 0);
	cr_expect(strstr(result.out, "offlayfs"));
}

Test(options, takes_the_words_of_mount, .timeout = 120)
{
	char words[] = "atime noatime diratime nodiratime relatime norelatime "
		       "strictatime nostrictatime lazytime symfollow suid dev "
		       "nosymfollow exec ro rw sync async dirsync _netdev";
	struct mount_spec spec = { .options = strtok(words, " ") };
	struct mount mount;

	make_dirs();
	for (; spec.options; spec.options = strtok(NULL, " ")) {
		if (mount_start(source, &spec, &mount) == 0)
			mount_close(&mount);
		else
			cr_expect(false, "-o %s does not mount", spec.options);
	}
}

static void shows_as(const struct mount *mount)
{
	struct mountinfo_entry entry = { 0 };
	struct command_result result;
	char line[3 * PATH_MAX];

	cr_assert(mountinfo_find(mount->point, &entry) == 0);
	cr_expect_str_eq(entry.type, "fuse.offlayfs");
	cr_expect_str_eq(entry.source, mount->source);
	snprintf(line, sizeof(line), "%s on %s type fuse.offlayfs",
		 mount->source, mount->point);
	COMMAND(&result, "sh", "-c", "mount | grep fuse.offlayfs");
	cr_expect(strstr(result.out, line), "mount says %s, not %s", result.out,
		  line);
}

Test(options, shows_source_and_type, .timeout = 30)
{
	char odd[PATH_MAX], inner[PATH_MAX];
	struct mountinfo_entry entry;
	struct mount mount;

	make_dirs();
	mount_open(source, NULL, &mount);
	shows_as(&mount);
	mount_close(&mount);
	/* Commas and spaces are no end of an option. */
	volume_path(odd, source, "odd, name=\\x, ro");
	volume_path(inner, source, "odd, name=\\x, ro/inner");
	cr_assert(mkdir(odd, 0755) == 0 && mkdir(inner, 0755) == 0);
	mount_open(odd, NULL, &mount);
	cr_assert(mountinfo_find(mount.point, &entry) == 0);
	cr_expect_str_eq(entry.source, odd);
	volume_path(inner, mount.point, "inner");
	cr_expect(access(inner, F_OK) == 0);
	mount_close(&mount);
}

/* A signal ends the daemon, its mount goes, and the status says well. */
static void signalled(int signal_number, const char *options, bool at_once)
{
	struct mount mount;
	char path[PATH_MAX];
	int status = -1;

	mount_open(source, options, &mount);
	volume_path(path, mount.point, "file");
	if (!at_once)
		cr_assert(access(path, R_OK) == 0);
	cr_assert(kill(mount.pid, signal_number) == 0);
	cr_expect(process_wait(mount.pid, 10000, &status) == 0,
		  "%s does not end it", strsignal(signal_number));
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		  "%s: wait status %#x", strsignal(signal_number), status);
	cr_expect(mountinfo_find(mount.point, NULL) != 0, "%s: still mounted",
		  strsignal(signal_number));
	if (status == -1)
		mount_kill(&mount);
}

Test(options, signals_unmount_cleanly, .timeout = 120)
{
	make_dirs();
	for (int i = 0; i < 3; i++) {
		signalled(SIGTERM, NULL, false);
		signalled(SIGINT, NULL, false);
		signalled(SIGHUP, NULL, false);
		signalled(SIGTERM, "no_passthrough", false);
	}
}

/* Also one that comes before the first request. */
Test(options, signals_at_once_unmount_cleanly, .timeout = 120)
{
	make_dirs();
	for (int i = 0; i < 10; i++)
		signalled(i & 1 ? SIGINT : SIGTERM, NULL, true);
}

/* With an open file the mount stays busy, but the signal still works. */
Test(options, signal_while_a_file_is_open, .timeout = 60)
{
	struct mount mount;
	char path[PATH_MAX], byte;
	int fd, status = -1;

	make_dirs();
	mount_open(source, NULL, &mount);
	volume_path(path, mount.point, "file");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_assert(kill(mount.pid, SIGTERM) == 0);
	cr_expect(process_wait(mount.pid, 10000, &status) == 0);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_expect(mountinfo_find(mount.point, NULL) != 0);
	/* Whatever comes, it comes at once. */
	if (pread(fd, &byte, 1, 0) < 0)
		cr_expect(errno == ENOTCONN || errno == ECONNABORTED ||
				  errno == EIO,
			  "%s", strerror(errno));
	close(fd);
	mount_kill(&mount);
}

Test(options, unmounts_and_mounts_many_times, .timeout = 120)
{
	struct mount mount;
	char path[PATH_MAX];

	make_dirs();
	for (unsigned long i = 0; i < sample_amount(10, 40, 500); i++) {
		mount_open(source, i & 1 ? "no_passthrough" : NULL, &mount);
		volume_path(path, mount.point, "file");
		cr_assert(access(path, R_OK) == 0);
		mount_close(&mount);
	}
}

/* The daemon of this mount point, found by its command line. */
static pid_t find_daemon(void)
{
	char path[320], line[2 * PATH_MAX];
	struct dirent *entry;
	pid_t pid = 0;
	DIR *dir = opendir("/proc");

	while (!pid && (entry = readdir(dir))) {
		ssize_t n, last;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (atoi(entry->d_name) <= 1 || fd < 0)
			continue;
		n = read(fd, line, sizeof(line) - 1);
		close(fd);
		line[n > 0 ? n : 0] = '\0';
		for (last = n - 1; last > 0 && line[last - 1]; last--)
			;
		if (n > 0 && strcmp(line + last, point) == 0)
			pid = atoi(entry->d_name);
	}
	closedir(dir);
	return pid;
}

/* Has it ended?  Who reaps it, and when, is not the question. */
static bool is_gone(pid_t pid)
{
	char path[64], exe[16];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	for (int i = 0; i < 1000; i++) {
		if (readlink(path, exe, sizeof(exe)) < 0)
			return true;
		process_sleep_ms(10);
	}
	return false;
}

Test(options, background_returns_when_usable, .timeout = 60)
{
	struct command_result result;
	char path[PATH_MAX];
	pid_t pid;

	make_dirs();
	for (int i = 0; i < 5; i++) {
		run_daemon(&result, source, point, NULL, NULL);
		cr_assert_eq(result.status, 0, "%s", result.err);
		cr_expect_str_empty(result.err, "%s", result.err);
		cr_expect(mountinfo_find(point, NULL) == 0);
		volume_path(path, point, "file");
		cr_expect(access(path, R_OK) == 0);
		pid = find_daemon();
		cr_assert(pid > 0);
		reaper_note_daemon(volume_scratch(), pid);
		cr_expect(getsid(pid) != getsid(0), "it kept the session");
		COMMAND(&result, "fusermount3", "-u", point);
		cr_expect_eq(result.status, 0, "%s", result.err);
		cr_expect(is_gone(pid));
	}
}

/* It can lie over its own source, which it has opened before. */
Test(options, mount_point_is_the_source, .timeout = 60)
{
	struct command_result result;
	pid_t pid;

	make_dirs();
	run_daemon(&result, source, source, NULL, NULL);
	cr_assert_eq(result.status, 0, "%s", result.err);
	strcpy(point, source);
	pid = find_daemon();
	cr_assert(pid > 0);
	reaper_note_daemon(volume_scratch(), pid);
	command_run((char *[]){ "find", source, NULL }, NULL, 10, &result);
	/* A mount that hangs would hang mkfs and others, too. */
	if (result.status == -1)
		kill(pid, SIGKILL);
	cr_expect_eq(count_lines(result.out), 2, "%s", result.out);
	COMMAND(&result, "umount", source);
	cr_expect_eq(result.status, 0, "%s", result.err);
	cr_expect(is_gone(pid));
	command_run((char *[]){ "find", source, NULL }, NULL, 10, &result);
	cr_expect_eq(count_lines(result.out), 2, "%s", result.out);
}

/* What fails after the fork is told by the exit status, too. */
Test(options, background_says_that_it_failed, .timeout = 60)
{
	char *argv[] = { (char *)mount_daemon_path(), NULL, NULL, NULL };
	const struct user nobody = mount_user;
	struct command_result result;

	make_dirs();
	argv[1] = source;
	argv[2] = point;
	/* The mount point is root's: fusermount3 declines. */
	command_run(argv, &nobody, 20, &result);
	cr_expect_eq(result.status, 1, "exit %d: %s", result.status,
		     result.err);
	cr_expect(*result.err);
	cr_expect(mountinfo_find(point, NULL) != 0);
}

Test(options, mount_point_inside_the_source, .timeout = 120)
{
	struct command_result result;
	char inner[PATH_MAX], path[PATH_MAX];

	make_dirs();
	volume_path(inner, source, "inner");
	cr_assert(mkdir(inner, 0755) == 0);
	run_daemon(&result, source, inner, NULL, NULL);
	cr_assert_eq(result.status, 0, "%s", result.err);
	strcpy(point, inner);
	reaper_note_daemon(volume_scratch(), find_daemon());
	/* Neither does it hang, nor does it go on without end. */
	command_run((char *[]){ "find", source, NULL }, NULL, 20, &result);
	cr_expect_neq(result.status, -1, "find does not end");
	cr_expect(count_lines(result.out) < 20, "find sees %zu names",
		  count_lines(result.out));
	command_run((char *[]){ "ls", "-lR", inner, NULL }, NULL, 20, &result);
	cr_expect_neq(result.status, -1, "ls does not end");
	volume_path(path, inner, "file");
	cr_expect(access(path, R_OK) == 0);
	COMMAND(&result, "umount", inner);
	cr_expect_eq(result.status, 0, "%s", result.err);
}

Test(options, one_thread_is_enough, .timeout = 60)
{
	struct command_result result;
	char inner[PATH_MAX];
	pid_t pid;

	make_dirs();
	volume_path(inner, source, "inner");
	cr_assert(mkdir(inner, 0755) == 0);
	run_daemon(&result, "-o", "threads=1", source, inner);
	cr_assert_eq(result.status, 0, "%s", result.err);
	strcpy(point, inner);
	pid = find_daemon();
	reaper_note_daemon(volume_scratch(), pid);
	command_run((char *[]){ "find", inner, NULL }, NULL, 20, &result);
	if (result.status == -1)
		kill(pid, SIGKILL);
	cr_expect_neq(result.status, -1, "find does not end");
	COMMAND(&result, "umount", inner);
	cr_expect_eq(result.status, 0, "%s", result.err);
	cr_expect(is_gone(pid));
}

/* The daemon dies: calls fail, nothing hangs, the mount can be taken down. */
Test(options, killed_daemon_hangs_nobody, .timeout = 60)
{
	struct mount mount;
	char path[PATH_MAX];
	int status;

	make_dirs();
	mount_open(source, NULL, &mount);
	cr_assert(kill(mount.pid, SIGKILL) == 0);
	cr_assert(process_wait(mount.pid, 5000, &status) == 0);
	volume_path(path, mount.point, "file");
	cr_expect(access(path, R_OK) != 0);
	cr_expect_eq(errno, ENOTCONN, "%s", strerror(errno));
	cr_expect(volume_unmount(mount.point) == 0);
}

Test(options, root_lets_everybody_in, .timeout = 60)
{
	struct command_result result;
	struct mount mount;
	char path[PATH_MAX];

	make_dirs();
	mount_open(source, NULL, &mount);
	volume_path(path, mount.point, "file");
	command_run((char *[]){ "cat", path, NULL }, &mount_user, 20, &result);
	cr_expect_eq(result.status, 0, "%s", result.err);
	mount_close(&mount);
}

Test(options, user_keeps_root_out, .timeout = 60)
{
	struct mount_spec spec = { .user = &mount_user };
	const char *missing = mode_missing(MODE_USER);
	struct mount mount;

	if (missing)
		volume_skip("user", "%s", missing);
	make_dirs();
	cr_assert(mount_start(source, &spec, &mount) == 0);
	cr_expect(access(mount.point, F_OK) != 0);
	cr_expect_eq(errno, EACCES, "%s", strerror(errno));
	mount_close(&mount);
}

/* setgroups(2) is denied there, and only one user exists. */
Test(options, root_of_a_user_namespace_mounts, .timeout = 60)
{
	struct command_result result;
	char script[8 * PATH_MAX];

	make_dirs();
	if (COMMAND(&result, "unshare", "-Urm", "true") != 0)
		volume_skip("user namespace", "%s", result.err);
	snprintf(script, sizeof(script),
		 "'%s' '%s' '%s' && cmp '%s/file' '%s/file' && "
		 "touch '%s/made' && umount '%s'",
		 mount_daemon_path(), source, point, source, point, point,
		 point);
	COMMAND(&result, "unshare", "-Urm", "sh", "-c", script);
	cr_expect_eq(result.status, 0, "%s", result.err);
}

VOLUME_MAIN;
