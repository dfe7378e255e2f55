// SPDX-License-Identifier: MIT
/* A reflink-capable volume in a temporary file, for root. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"
#include "conform_volume.h"
#include "daemon.h"
#include "tools.h"

#define VOLUME_SIZE ((off_t)1 << 30)
/* Of which it fills this much at most. */
#define ROOM_MIN ((uint64_t)256 << 20)

static const struct kind {
	const char *name;
	const char *mkfs[8];
} kinds[] = {
	{ "btrfs", { "mkfs.btrfs", "-q", "-f" } },
	{ "xfs", { "mkfs.xfs", "-q", "-f", "-m", "reflink=1" } },
};

/* Runs a program without a word of its own; its exit code, or -errno. */
static int run(const char *const *words)
{
	pid_t pid = fork();
	int status, null;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(words[0], (char *const *)words);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static bool has_program(const char *name)
{
	static const char *const places[] = { "/usr/sbin", "/sbin",
					      "/usr/local/sbin" };
	char path[PATH_MAX];

	if (daemon_find_in_path(name, path, sizeof(path)))
		return true;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

/* Return: NULL, or why it did not work. */
static const char *make_image(const struct kind *kind, const char *image)
{
	const char *words[9] = { 0 };
	size_t n = 0;
	int fd;

	fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return strerror(errno);
	if (ftruncate(fd, VOLUME_SIZE) < 0) {
		close(fd);
		return strerror(errno);
	}
	close(fd);
	for (; kind->mkfs[n]; n++)
		words[n] = kind->mkfs[n];
	words[n] = image;
	return run(words) ? "it could not be made" : NULL;
}

static const char *mount_image(const struct kind *kind, const char *image,
			       const char *point)
{
	const char *const words[] = { "mount", "-t",  kind->name, "-o",
				      "loop",  image, point,	  NULL };

	if (mkdir(point, 0755) < 0 && errno != EEXIST)
		return strerror(errno);
	return run(words) ? "it could not be mounted (are there loop devices?)"
			  : NULL;
}

/*
 * In a mount namespace of our own nobody else sees the mounts, and they go
 * with the last of our processes, however that ends.
 */
static void hide_mounts(void)
{
	if (unshare(CLONE_NEWNS))
		return;
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static const char *make_kind(const struct conform_options *opt,
			     const struct kind *kind,
			     struct conform_place *place)
{
	char image[PATH_MAX + 8], point[PATH_MAX + 8];
	const char *why;

	if (!has_program(kind->mkfs[0]))
		return "there is no mkfs for it";
	snprintf(image, sizeof(image), "%s/image", place->dir);
	snprintf(point, sizeof(point), "%s/volume", place->dir);
	if (strlen(point) >= PATH_MAX)
		return strerror(ENAMETOOLONG);
	why = make_image(kind, image);
	if (!why)
		why = mount_image(kind, image, point);
	if (why) {
		unlink(image);
		return why;
	}
	memcpy(place->volume, point, strlen(point) + 1);
	/* The loop device keeps it. */
	if (!opt->keep)
		unlink(image);
	return NULL;
}

static const char *why_not(const struct conform_place *place)
{
	struct statvfs fs;

	if (geteuid())
		return "only root can mount one";
	if (statvfs(place->dir, &fs) < 0)
		return strerror(errno);
	if ((uint64_t)fs.f_bavail * fs.f_frsize < ROOM_MIN)
		return "there is too little room for it in $TMPDIR";
	return NULL;
}

bool conform_volume_make(const struct conform_options *opt,
			 struct conform_place *place)
{
	const char *why = why_not(place);
	char what[64];
	size_t i;

	if (!why && !opt->keep)
		hide_mounts();
	for (i = 0; !why && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (opt->volume && strcmp(opt->volume, kinds[i].name) != 0)
			continue;
		why = make_kind(opt, &kinds[i], place);
		if (!why)
			return true;
		snprintf(what, sizeof(what), "a volume of %s", kinds[i].name);
		if (opt->volume)
			report_error("%s: %s", what, why);
		else
			conform_place_lacks(place, what, why);
		why = NULL;
	}
	if (why && opt->volume)
		report_error("a volume of %s: %s", opt->volume, why);
	else if (why)
		conform_place_lacks(place, "a volume of its own", why);
	return false;
}
