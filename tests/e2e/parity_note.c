/* SPDX-License-Identifier: MIT */
/* What the rows of the parity tables record, and how. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "parity.h"
#include "sample.h"

const struct user alice = { .uid = 1001, .gid = 1001 };
const struct user bob = { .uid = 1002, .gid = 1002 };
const struct user alice_in_bobs = { .uid = 1001,
				    .gid = 1001,
				    .n_groups = 1,
				    .groups = { 1002 } };

void note(struct parity *parity, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(parity->record, fmt, args);
	va_end(args);
	fputc('\n', parity->record);
	/* A row may fork, and what is buffered would come twice. */
	fflush(parity->record);
}

long parity_call(struct parity *parity, const char *text, long result)
{
	int err = errno;

	if (result == -1)
		note(parity, "%s = %s", text, errno_name(err));
	else
		note(parity, "%s = %ld", text, result);
	errno = err;
	return result;
}

int parity_open(struct parity *parity, const char *text, int fd)
{
	int err = errno;

	note(parity, "%s = %s", text, fd < 0 ? errno_name(err) : "fd");
	errno = err;
	return fd;
}

long parity_differs(struct parity *parity, const char *text, long result,
		    long expected)
{
	int err = errno;

	if (result == -1)
		result = -err;
	if (parity->on_mount && result != expected)
		note(parity, "!! %s = %ld (%s), expected %ld (%s)", text,
		     result, result < 0 ? errno_name(result) : "", expected,
		     expected < 0 ? errno_name(expected) : "");
	else
		note(parity, "%s: not compared", text);
	return result < 0 ? -1 : result;
}

void parity_must(struct parity *parity, bool holds, const char *text)
{
	if (holds)
		note(parity, "%s", text);
	else
		note(parity, "!! not so: %s (errno %s)", text,
		     errno_name(errno));
}

static void note_stat_of(struct parity *parity, const char *name, int result,
			 const struct stat *st)
{
	if (result != 0) {
		note(parity, "stat %s = %s", name, errno_name(errno));
		return;
	}
	note(parity, "stat %s: %06o %u:%u links %lu size %lld dev %u:%u", name,
	     st->st_mode, st->st_uid, st->st_gid, (unsigned long)st->st_nlink,
	     /* How a directory's size grows is no promise of anybody's. */
	     S_ISDIR(st->st_mode) ? 0LL : (long long)st->st_size,
	     major(st->st_rdev), minor(st->st_rdev));
}

void note_stat(struct parity *parity, const char *name)
{
	struct stat st;

	note_stat_of(parity, name, lstat(name, &st), &st);
}

void note_fstat(struct parity *parity, int fd)
{
	struct stat st;

	note_stat_of(parity, "(fd)", fstat(fd, &st), &st);
}

void note_content(struct parity *parity, const char *name)
{
	uint64_t hash = 0;
	int fd = open(name, O_RDONLY | O_CLOEXEC), err;
	off_t size;

	if (fd < 0) {
		note(parity, "content of %s = %s", name, errno_name(errno));
		return;
	}
	err = sample_hash(fd, &hash);
	size = lseek(fd, 0, SEEK_END);
	note(parity, "content of %s: %lld bytes, %016llx, %s", name,
	     (long long)size, (unsigned long long)hash, errno_name(err));
	close(fd);
}

void note_text(struct parity *parity, const char *name)
{
	char text[64], escaped[4 * 64 + 1];
	int fd = open(name, O_RDONLY | O_CLOEXEC), n_out = 0;
	ssize_t n;

	if (fd < 0) {
		note(parity, "text of %s = %s", name, errno_name(errno));
		return;
	}
	n = read(fd, text, sizeof(text));
	if (n < 0)
		note(parity, "reading %s = %s", name, errno_name(errno));
	escaped[0] = '\0';
	for (ssize_t i = 0; i < n; i++)
		n_out += sprintf(escaped + n_out,
				 isprint((unsigned char)text[i]) ? "%c"
								 : "\\x%02x",
				 (unsigned char)text[i]);
	note(parity, "text of %s: %s", name, escaped);
	close(fd);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *describe_entry(int dir_fd, const struct dirent *entry)
{
	struct stat st;
	char *text;
	int same;

	if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		same = -1;
	else
		same = st.st_ino == entry->d_ino;
	/* What ".." of the directory at hand is, the caller cannot compare. */
	if (strcmp(entry->d_name, "..") == 0)
		same = 1;
	if (asprintf(&text, "%s type %d inode %s", entry->d_name, entry->d_type,
		     same == 1 ? "same" : "other") < 0)
		abort();
	return text;
}

void note_dir(struct parity *parity, const char *name)
{
	DIR *dir = opendir(name);
	struct dirent *entry;
	char **texts = NULL;
	size_t n = 0;

	if (!dir) {
		note(parity, "list of %s = %s", name, errno_name(errno));
		return;
	}
	errno = 0;
	while ((entry = readdir(dir))) {
		texts = reallocarray(texts, n + 1, sizeof(*texts));
		texts[n++] = describe_entry(dirfd(dir), entry);
		errno = 0;
	}
	note(parity, "list of %s: %zu, %s", name, n, errno_name(errno));
	closedir(dir);
	if (n)
		qsort(texts, n, sizeof(*texts), by_name);
	for (size_t i = 0; i < n; i++) {
		note(parity, "  %s", texts[i]);
		free(texts[i]);
	}
	free(texts);
}

static char *describe_xattr(const char *path, const char *name)
{
	char value[256], hex[2 * 32 + 1] = "";
	ssize_t n = lgetxattr(path, name, value, sizeof(value));
	const char *error = n < 0 ? errno_name(errno) : "";
	char *text;

	for (ssize_t i = 0; i < n && i < 32; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)value[i]);
	if (asprintf(&text, "%s: %zd %s %s", name, n, hex, error) < 0)
		abort();
	return text;
}

void note_xattrs(struct parity *parity, const char *name)
{
	static char list[65536];
	ssize_t size = llistxattr(name, list, sizeof(list));
	char *texts[256];
	size_t n = 0;

	if (size < 0) {
		note(parity, "xattrs of %s = %s", name, errno_name(errno));
		return;
	}
	for (ssize_t at = 0; at < size && n < 256; at += strlen(list + at) + 1)
		texts[n++] = describe_xattr(name, list + at);
	qsort(texts, n, sizeof(*texts), by_name);
	note(parity, "xattrs of %s: %zu", name, n);
	for (size_t i = 0; i < n; i++) {
		note(parity, "  %s", texts[i]);
		free(texts[i]);
	}
}

void make_file(struct parity *parity, const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		note(parity, "!! making %s: %s", name, errno_name(errno));
	if (fd >= 0)
		close(fd);
}

void make_data(struct parity *parity, const char *name, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct sample_rng rng = { .state = size };
	char *buf = malloc(size);

	sample_fill(&rng, buf, size);
	if (fd < 0 || write(fd, buf, size) != (ssize_t)size)
		note(parity, "!! making %s: %s", name, errno_name(errno));
	free(buf);
	if (fd >= 0)
		close(fd);
}

void enter_user(struct parity *parity, const struct user *user)
{
	int err = user_enter(user);

	if (err)
		note(parity, "!! becoming %u: %s", user->uid, errno_name(err));
	else
		note(parity, "as %u", user->uid);
}

void leave_user(struct parity *parity)
{
	int err = user_leave();

	if (err)
		note(parity, "!! becoming root: %s", errno_name(err));
	else
		note(parity, "as root");
}

pid_t spawn(int (*fn)(struct parity *parity, void *arg), struct parity *parity,
	    void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int status = fn(parity, arg);

		fflush(parity->record);
		_exit(status);
	}
	return pid;
}

int join(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void wait_for_cache(void)
{
	process_sleep_ms(1200);
}
