/* SPDX-License-Identifier: MIT */
/*
 * Eight processes in one tree; then the tree must be what each of them
 * remembers, the backing must hold the same, and the daemon no inode.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
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
#include "sample.h"
#include "stress_tree.h"
#include "volume.h"

#define N_WORKERS 8
#define N_DIRS	  6
#define N_SLOTS	  40

/* What a worker knows of one name of its own: nobody else touches it. */
struct slot {
	enum { SLOT_NONE, SLOT_FILE, SLOT_DIR, SLOT_LINK } type;
	int dir;
	/* Names of one file share its number, content and link count. */
	int object;
};

struct object {
	int links;
	char text[32];
};

struct worker {
	int number;
	struct sample_rng rng;
	struct slot slots[N_SLOTS];
	struct object objects[N_SLOTS];
	unsigned long done;
};

struct param {
	enum backing backing;
	enum mount_mode mode;
};

static int pick(struct worker *worker, int bound)
{
	return (int)sample_below(&worker->rng, bound);
}

static void name_of(const struct worker *worker, int slot, int dir, char *ret)
{
	sprintf(ret, "dir%d/w%d-%02d", dir, worker->number, slot);
}

/* Any other result than success is a finding: the names are our own. */
static void must(const struct worker *worker, const char *what,
		 const char *name, int result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "worker %d, step %lu: %s %s: %s\n", worker->number,
		worker->done, what, name, errno_name(errno));
	_exit(1);
}

static int free_object(const struct worker *worker)
{
	int i = 0;

	while (worker->objects[i].links)
		i++;
	return i;
}

static void write_text(struct worker *worker, const char *name, int flags,
		       int object)
{
	char *text = worker->objects[object].text;
	int fd;

	snprintf(text, sizeof(worker->objects[0].text), "%d:%lu",
		 worker->number, worker->done);
	fd = open(name, O_WRONLY | O_CLOEXEC | flags, 0644);
	must(worker, "open", name, fd);
	must(worker, "write", name, (int)write(fd, text, strlen(text)));
	must(worker, "close", name, close(fd));
}

static void make(struct worker *worker, struct slot *slot, const char *name)
{
	switch (pick(worker, 4)) {
	case 0:
		must(worker, "mkdir", name, mkdir(name, 0755));
		slot->type = SLOT_DIR;
		break;
	case 1:
		must(worker, "symlink", name, symlink("target", name));
		slot->type = SLOT_LINK;
		break;
	default:
		slot->object = free_object(worker);
		worker->objects[slot->object].links = 1;
		write_text(worker, name, O_CREAT | O_EXCL, slot->object);
		slot->type = SLOT_FILE;
		break;
	}
}

static void drop(struct worker *worker, struct slot *slot)
{
	if (slot->type == SLOT_FILE)
		worker->objects[slot->object].links--;
	slot->type = SLOT_NONE;
}

static void removal(struct worker *worker, struct slot *slot, const char *name)
{
	if (slot->type == SLOT_DIR)
		must(worker, "rmdir", name, rmdir(name));
	else
		must(worker, "unlink", name, unlink(name));
	drop(worker, slot);
}

/* Move onto another name of ours, which may be there already. */
static void move(struct worker *worker, struct slot *slot, const char *name)
{
	int other = pick(worker, N_SLOTS), dir = pick(worker, N_DIRS);
	struct slot *dest = &worker->slots[other];
	char to[64];
	bool same;

	if (dest == slot)
		return;
	if (dest->type != SLOT_NONE)
		dir = dest->dir;
	name_of(worker, other, dir, to);
	if (dest->type != SLOT_NONE && pick(worker, 2)) {
		int moved = dest->dir;
		struct slot old = *dest;

		must(worker, "exchange", name,
		     renameat2(AT_FDCWD, name, AT_FDCWD, to, RENAME_EXCHANGE));
		*dest = *slot;
		dest->dir = moved;
		moved = slot->dir;
		*slot = old;
		slot->dir = moved;
		return;
	}
	if (dest->type != SLOT_NONE &&
	    (dest->type == SLOT_DIR) != (slot->type == SLOT_DIR))
		return;
	same = dest->type == SLOT_FILE && slot->type == SLOT_FILE &&
	       dest->object == slot->object;
	must(worker, "rename", name, rename(name, to));
	/* Between two names of one file nothing happens. */
	if (same)
		return;
	drop(worker, dest);
	*dest = *slot;
	dest->dir = dir;
	slot->type = SLOT_NONE;
}

static void add_link(struct worker *worker, const struct slot *slot,
		     const char *name)
{
	int other = pick(worker, N_SLOTS), dir = pick(worker, N_DIRS);
	struct slot *dest = &worker->slots[other];
	char to[64];

	if (slot->type != SLOT_FILE || dest->type != SLOT_NONE)
		return;
	name_of(worker, other, dir, to);
	must(worker, "link", to, link(name, to));
	*dest = *slot;
	dest->dir = dir;
	worker->objects[slot->object].links++;
}

static void check_slot(struct worker *worker, const struct slot *slot,
		       const char *name)
{
	static const mode_t types[] = { 0, S_IFREG, S_IFDIR, S_IFLNK };
	const struct object *object = &worker->objects[slot->object];
	char text[64] = "";
	struct stat st;
	int fd;

	must(worker, "stat", name, lstat(name, &st));
	if ((st.st_mode & S_IFMT) != types[slot->type]) {
		fprintf(stderr, "%s is %o\n", name, st.st_mode);
		_exit(1);
	}
	if (slot->type != SLOT_FILE)
		return;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	must(worker, "open", name, fd);
	must(worker, "read", name, (int)read(fd, text, sizeof(text) - 1));
	close(fd);
	if (strcmp(text, object->text) != 0 ||
	    (int)st.st_nlink != object->links) {
		fprintf(stderr,
			"%s: \"%s\" and %lu links, expected \"%s\" and %d\n",
			name, text, (unsigned long)st.st_nlink, object->text,
			object->links);
		_exit(1);
	}
}

/* Names that all workers fight for: whatever comes is right, but no hang. */
static void fight(struct worker *worker)
{
	char a[32], b[32];

	sprintf(a, "dir%d/shared%d", pick(worker, N_DIRS), pick(worker, 4));
	sprintf(b, "dir%d/shared%d", pick(worker, N_DIRS), pick(worker, 4));
	switch (pick(worker, 8)) {
	case 0:
		mkdir(a, 0755);
		break;
	case 1:
		rmdir(a);
		break;
	case 2:
		unlink(a);
		break;
	case 3:
		link(a, b);
		break;
	case 4:
		symlink(a, b);
		break;
	case 5:
		renameat2(AT_FDCWD, a, AT_FDCWD, b,
			  pick(worker, 2) ? RENAME_EXCHANGE : 0);
		break;
	default:
		close(open(a, O_CREAT | O_RDWR | O_CLOEXEC, 0644));
		break;
	}
}

static void list(struct worker *worker)
{
	char name[16];
	DIR *dir;

	sprintf(name, "dir%d", pick(worker, N_DIRS));
	dir = opendir(name);
	must(worker, "opendir", name, dir ? 0 : -1);
	while (readdir(dir))
		;
	closedir(dir);
}

static void step(struct worker *worker)
{
	int i = pick(worker, N_SLOTS);
	struct slot *slot = &worker->slots[i];
	char name[64];

	if (slot->type == SLOT_NONE)
		slot->dir = pick(worker, N_DIRS);
	name_of(worker, i, slot->dir, name);
	switch (slot->type == SLOT_NONE ? 0 : 1 + pick(worker, 8)) {
	case 0:
		make(worker, slot, name);
		break;
	case 1:
		removal(worker, slot, name);
		break;
	case 2:
	case 3:
		move(worker, slot, name);
		break;
	case 4:
		add_link(worker, slot, name);
		break;
	case 5:
		if (slot->type == SLOT_FILE)
			write_text(worker, name, O_TRUNC, slot->object);
		break;
	case 6:
		fight(worker);
		break;
	case 7:
		if (pick(worker, 8) == 0)
			list(worker);
		break;
	default:
		check_slot(worker, slot, name);
		break;
	}
	worker->done++;
}

static void check_slots(struct worker *worker)
{
	char name[64];

	for (int i = 0; i < N_SLOTS; i++) {
		const struct slot *slot = &worker->slots[i];

		name_of(worker, i, slot->dir, name);
		if (slot->type != SLOT_NONE)
			check_slot(worker, slot, name);
		/* And in no directory is a name that should be gone. */
		for (int dir = 0; dir < N_DIRS; dir++) {
			if (slot->type != SLOT_NONE && dir == slot->dir)
				continue;
			name_of(worker, i, dir, name);
			if (access(name, F_OK) == 0) {
				fprintf(stderr, "%s is still there\n", name);
				_exit(1);
			}
		}
	}
}

static void work(int number, uint64_t seed, const char *point,
		 const char *source, long long end_ms)
{
	struct worker worker = { .number = number, .rng = { seed + number } };

	if (chdir(point) != 0)
		_exit(2);
	while (process_now_ms() < end_ms)
		step(&worker);
	check_slots(&worker);
	if (chdir(source) != 0)
		_exit(2);
	check_slots(&worker);
	fprintf(stderr, "worker %d did %lu steps\n", number, worker.done);
	_exit(worker.done > 10 ? 0 : 3);
}

ParameterizedTestParameters(stress, eight_processes)
{
	static const struct param all[] = {
		{ BACKING_BTRFS, MODE_PASSTHROUGH },
		{ BACKING_XFS, MODE_PASSTHROUGH },
		{ BACKING_EXT4, MODE_PASSTHROUGH },
		{ BACKING_TMPFS, MODE_PASSTHROUGH },
		{ BACKING_EXT4, MODE_NO_PASSTHROUGH },
		{ BACKING_BTRFS, MODE_IO_URING },
		{ BACKING_XFS, MODE_USER },
	};
	size_t used = 0;
	struct param *params = cr_malloc(sizeof(all));

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (backing_is_selected(all[i].backing))
			params[used++] = all[i];
	return cr_make_param_array(struct param, params, used, NULL);
}

static void start_and_join(const struct param *param, const char *point,
			   const char *source)
{
	uint64_t seed = sample_seed();
	long long end_ms = process_now_ms() + sample_amount(1, 3, 60) * 1000LL;
	pid_t pids[N_WORKERS];

	fflush(NULL);
	for (int i = 0; i < N_WORKERS; i++) {
		pids[i] = fork();
		cr_assert(pids[i] >= 0);
		if (pids[i] == 0) {
			if (param->mode == MODE_USER &&
			    user_become(&mount_user) != 0)
				_exit(2);
			work(i, seed, point, source, end_ms);
		}
	}
	for (int i = 0; i < N_WORKERS; i++) {
		int status = -1;

		if (process_wait(pids[i], 120000, &status) != 0)
			kill(pids[i], SIGKILL);
		cr_expect(status == 0, "worker %d ended with %#x", i, status);
	}
}

ParameterizedTest(struct param *param, stress, eight_processes, .timeout = 300)
{
	char source[PATH_MAX], path[PATH_MAX], name[16];
	struct volume volume;
	struct mount mount;

	volume_get(param->backing, 0, &volume);
	volume_dir(&volume, "source", source);
	for (int i = 0; i < N_DIRS; i++) {
		sprintf(name, "dir%d", i);
		volume_path(path, source, name);
		cr_assert(mkdir(path, 0755) == 0);
		if (param->mode == MODE_USER)
			cr_assert(chown(path, mount_user.uid, -1) == 0);
	}
	mount_open_mode(source, param->mode, "log=info", &mount);
	start_and_join(param, mount.point, source);
	stress_tree_compare(mount.point, source,
			    param->mode == MODE_USER ? &mount_user : NULL);
	/* Forgets come with the dentries; the root alone is left then. */
	for (int i = 0; i < 3; i++) {
		int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

		cr_assert(fd >= 0 && write(fd, "2", 1) == 1);
		close(fd);
		process_sleep_ms(150);
	}
	mount_close(&mount);
	if (!mount_log_has(&mount, ": 1 inodes remembered, 0 still in use"))
		mount_print_log(&mount);
	cr_expect(mount_log_has(&mount, "inodes remembered, 0 still in use"),
		  "inodes were in use after unmounting");
	cr_expect(mount_log_has(&mount, ": 1 inodes remembered"),
		  "inodes were remembered that the kernel had forgotten");
}

VOLUME_MAIN;
