// SPDX-License-Identifier: MIT
/* Fault rules of a mount: who has them, and whom they meet. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "rules.h"

int rules_new(struct fs *fs, struct fault_set *set, struct rules **ret_rules)
{
	struct rules *rules = calloc(1, sizeof(*rules));
	pthread_condattr_t clock;

	if (!rules)
		return -ENOMEM;
	rules->fs = fs;
	rules->owner = geteuid();
	pthread_mutex_init(&rules->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&rules->wake, &clock);
	pthread_condattr_destroy(&clock);
	rules_replace(rules, set);
	*ret_rules = rules;
	return 0;
}

/* Requests that wait are answered, so that nothing is in use after it. */
void rules_stop(struct rules *rules)
{
	if (!rules)
		return;
	pthread_mutex_lock(&rules->lock);
	rules->stop = true;
	pthread_cond_broadcast(&rules->wake);
	while (rules->waiting)
		pthread_cond_wait(&rules->wake, &rules->lock);
	pthread_mutex_unlock(&rules->lock);
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	fault_set_free(rules->set);
	free(rules->text);
	pthread_cond_destroy(&rules->wake);
	pthread_mutex_destroy(&rules->lock);
	free(rules);
}

void rules_replace(struct rules *rules, struct fault_set *set)
{
	struct fault_set *old;

	pthread_mutex_lock(&rules->lock);
	old = rules->set;
	rules->set = set;
	rules->generation++;
	atomic_store(&rules->fs->ruled_ops, set ? set->ops : 0);
	pthread_cond_broadcast(&rules->wake);
	pthread_mutex_unlock(&rules->lock);
	fault_set_free(old);
}

bool rules_match(struct rules *rules, const struct fault_call *call,
		 struct fault_hit *ret_hit, uint64_t *ret_generation)
{
	bool hit;

	pthread_mutex_lock(&rules->lock);
	hit = rules->set && fault_match(rules->set, call, ret_hit);
	*ret_generation = rules->generation;
	pthread_mutex_unlock(&rules->lock);
	return hit;
}

/* "/proc/self/fd/N" -> where it leads, terminated; false if it is too long. */
static bool read_fd_link(int fd, char buf[PATH_MAX])
{
	char link[FD_PATH_SIZE];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, PATH_MAX);
	if (n <= 0 || n == PATH_MAX)
		return false;
	buf[n] = '\0';
	return true;
}

/* The kernel adds this to the name of what has none any more. */
static void strip_deleted(int fd, char *path)
{
	static const char mark[] = " (deleted)";
	size_t length = strlen(path), n = sizeof(mark) - 1;
	struct stat st;

	if (length > n && !strcmp(path + length - n, mark) &&
	    fstat(fd, &st) == 0 && st.st_nlink == 0)
		path[length - n] = '\0';
}

const char *rules_path(struct fs *fs, int fd, char buf[PATH_MAX])
{
	char root[PATH_MAX];
	PIN_AUTO(pin);
	size_t length;

	if (inode_pin(fs, FUSE_ROOT_ID, &pin) || !read_fd_link(pin.fd, root) ||
	    !read_fd_link(fd, buf))
		return NULL;
	strip_deleted(fd, buf);
	length = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(buf, root, length))
		return NULL;
	if (!buf[length])
		return buf + length;
	return buf[length] == '/' ? buf + length + 1 : NULL;
}

bool rules_open_direct(struct fs *fs, int fd, int flags)
{
	struct rules *rules = fs->rules;
	unsigned int ops = 0;
	char buf[PATH_MAX];
	const char *path;
	bool direct;

	if (open_is_readable(flags))
		ops |= FAULT_BIT(FAULT_READ);
	if (open_is_writable(flags))
		ops |= FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_COPY);
	if (!(atomic_load_explicit(&fs->ruled_ops, memory_order_relaxed) & ops))
		return false;
	path = rules_path(fs, fd, buf);
	pthread_mutex_lock(&rules->lock);
	direct = rules->set &&
		 (fault_mentions(rules->set, ops & ~FAULT_BIT(FAULT_COPY),
				 path) ||
		  (open_is_writable(flags) && fault_refuses(rules->set)));
	pthread_mutex_unlock(&rules->lock);
	return direct;
}
