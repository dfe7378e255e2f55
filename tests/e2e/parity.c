/* SPDX-License-Identifier: MIT */
/* Runs the tables of rows on the backing and on the mount and compares. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "parity.h"

#define ROW_TIMEOUT_MS 60000
#define EXIT_SKIPPED   77

struct side {
	const char *label;
	char dir[PATH_MAX];
	char back_dir[PATH_MAX];
	bool on_mount;
	FILE *record;
	pid_t pid;
	/* Wait status; -1 where the row had to be killed. */
	int status;
};

/* One row under way. */
struct comparison {
	char name[256];
	long long start_ms;
	struct side bare;
	struct side mount;
};

/* Most rows wait more than they work, so some run at once. */
#define MAX_RUNNING 10

static int mode_is_selected(enum mount_mode mode)
{
	const char *list = getenv("OFFLAY_MODES");
	size_t n = strlen(mode_name(mode));

	while (list && *list) {
		const char *end = strchrnul(list, ':');

		if ((size_t)(end - list) == n &&
		    strncmp(list, mode_name(mode), n) == 0)
			return 1;
		list = *end ? end + 1 : end;
	}
	return !getenv("OFFLAY_MODES");
}

static void free_params(struct criterion_test_params *params)
{
	cr_free(params->params);
}

struct criterion_test_params parity_params(void)
{
	struct parity_param *params;
	size_t n = 0;

	params = cr_malloc(sizeof(*params) * BACKING_COUNT * MODE_COUNT);
	for (int backing = 0; backing < BACKING_COUNT; backing++)
		for (int mode = 0; mode < MODE_COUNT; mode++)
			if (backing_is_selected(backing) &&
			    mode_is_selected(mode))
				params[n++] =
					(struct parity_param){ backing, mode };
	return cr_make_param_array(struct parity_param, params, n, free_params);
}

static void run_row(const struct parity_param *param,
		    const struct parity_row *row, struct side *side)
{
	struct parity parity = {
		.backing = param->backing,
		.mode = param->mode,
		.on_mount = side->on_mount,
		.record = side->record,
	};

	setpgid(0, 0);
	parity.back_fd =
		open(side->back_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (param->mode == MODE_USER && user_become(&mount_user) != 0)
		_exit(99);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	umask(022);
	if (parity.back_fd < 0 || chdir(side->dir) != 0) {
		fprintf(parity.record, "!! chdir %s: %s\n", side->dir,
			strerror(errno));
		fflush(parity.record);
		_exit(98);
	}
	row->run(&parity);
	fflush(parity.record);
	_exit(0);
}

static void side_start(const struct parity_param *param,
		       const struct parity_row *row, struct side *side)
{
	side->record = tmpfile();
	cr_assert(side->record);
	fflush(NULL);
	side->pid = fork();
	cr_assert(side->pid >= 0);
	if (side->pid == 0)
		run_row(param, row, side);
}

/* Wait for the row, or kill it; its pid is 0 then. */
static void side_wait(struct side *side)
{
	side->status = -1;
	process_wait(side->pid, ROW_TIMEOUT_MS, &side->status);
	/* Children that the row left behind go with it. */
	kill(-side->pid, SIGKILL);
	if (side->status == -1) {
		kill(side->pid, SIGKILL);
		waitpid(side->pid, NULL, 0);
	}
	side->pid = 0;
	rewind(side->record);
}

static int side_line(struct side *side, char *line, size_t size)
{
	if (!fgets(line, (int)size, side->record)) {
		snprintf(line, size, "(end)");
		return 0;
	}
	line[strcspn(line, "\n")] = '\0';
	return 1;
}

/* Count differing lines and failed conditions; prints the first ones. */
static int compare_records(const char *name, struct side *bare,
			   struct side *mount)
{
	char bare_line[1024], mount_line[1024];
	int differ = 0, line = 0, more = 1;
	bool show = getenv("OFFLAY_SHOW");

	while (more) {
		more = side_line(bare, bare_line, sizeof(bare_line));
		more |= side_line(mount, mount_line, sizeof(mount_line));
		line++;
		if (show && more)
			fprintf(stderr, "    %s\n", bare_line);
		if (strcmp(bare_line, mount_line) == 0 &&
		    strncmp(bare_line, "!!", 2) != 0)
			continue;
		if (differ++ < 4)
			fprintf(stderr,
				"DIFFERS %s, line %d\n  native: %s\n  mount:  %s\n",
				name, line, bare_line, mount_line);
	}
	return differ;
}

static void print_death(const char *name, const struct side *side)
{
	if (side->status == -1)
		fprintf(stderr, "%s: hung on the %s\n", name, side->label);
	else if (WIFSIGNALED(side->status))
		fprintf(stderr, "%s: died of signal %d on the %s\n", name,
			WTERMSIG(side->status), side->label);
	else if (WEXITSTATUS(side->status))
		fprintf(stderr, "%s: ended with %d on the %s\n", name,
			WEXITSTATUS(side->status), side->label);
}

static bool is_skipped(const struct side *side)
{
	return side->status != -1 && WIFEXITED(side->status) &&
	       WEXITSTATUS(side->status) == EXIT_SKIPPED;
}

static void comparison_start(struct comparison *cmp,
			     const struct parity_param *param,
			     const struct parity_row *row)
{
	cmp->bare.label = "backing";
	cmp->mount.label = "mount";
	cmp->mount.on_mount = true;
	cmp->start_ms = process_now_ms();
	side_start(param, row, &cmp->bare);
	if (row->flags & ROW_ALONE)
		side_wait(&cmp->bare);
	side_start(param, row, &cmp->mount);
}

static void comparison_finish(struct comparison *cmp)
{
	struct side *bare = &cmp->bare, *mount = &cmp->mount;
	char reason[1024];
	int differ = 0;

	if (bare->pid)
		side_wait(bare);
	side_wait(mount);
	if (is_skipped(bare) && is_skipped(mount)) {
		side_line(bare, reason, sizeof(reason));
		volume_note_skip(cmp->name, reason);
	} else {
		print_death(cmp->name, bare);
		print_death(cmp->name, mount);
		differ = compare_records(cmp->name, bare, mount);
	}
	if (getenv("OFFLAY_SHOW"))
		fprintf(stderr, "%s: %lld ms\n", cmp->name,
			process_now_ms() - cmp->start_ms);
	fclose(bare->record);
	fclose(mount->record);
	cr_expect(differ == 0, "%s: %d lines differ", cmp->name, differ);
	cr_expect(bare->status == mount->status && bare->status != -1 &&
			  (bare->status == 0 || is_skipped(bare)),
		  "%s: native ended with %#x, mount with %#x", cmp->name,
		  bare->status, mount->status);
}

void parity_compare(const struct parity_param *param, const char *name,
		    const struct parity_row *row, const char *bare_dir,
		    const char *mount_dir, const char *back_dir)
{
	struct comparison *cmp = calloc(1, sizeof(*cmp));

	cr_assert(cmp);
	snprintf(cmp->name, sizeof(cmp->name), "%s", name);
	strcpy(cmp->bare.dir, bare_dir);
	strcpy(cmp->bare.back_dir, bare_dir);
	strcpy(cmp->mount.dir, mount_dir);
	strcpy(cmp->mount.back_dir, back_dir);
	comparison_start(cmp, param, row);
	comparison_finish(cmp);
	free(cmp);
}

static void make_twin(const struct parity_param *param, const char *parent,
		      const char *name, char *ret_path)
{
	volume_path(ret_path, parent, name);
	cr_assert(mkdir(ret_path, 0755) == 0, "%s: %s", ret_path,
		  strerror(errno));
	if (param->mode == MODE_USER)
		cr_assert(chown(ret_path, mount_user.uid, mount_user.gid) == 0);
}

static bool is_wanted(const struct parity_param *param,
		      const struct parity_row *row)
{
	const char *wanted = getenv("OFFLAY_ROW");

	/* Not applicable, which is not the same as skipped. */
	if (param->mode == MODE_USER && row->flags & ROW_ROOT)
		return false;
	return !wanted || strstr(row->name, wanted);
}

void parity_run(const struct parity_param *param, const char *topic,
		const struct parity_row *rows, size_t n_rows)
{
	struct comparison *cmps = calloc(n_rows, sizeof(*cmps));
	char source[PATH_MAX], bare_root[PATH_MAX], number[32];
	size_t started = 0, finished = 0;
	struct volume volume;
	struct mount mount;

	cr_assert(cmps);
	volume_get(param->backing, 0, &volume);
	volume_dir(&volume, "source", source);
	volume_dir(&volume, "bare", bare_root);
	mount_open_mode(source, param->mode, NULL, &mount);
	for (size_t i = 0; i < n_rows; i++) {
		struct comparison *cmp = &cmps[started];

		if (!is_wanted(param, &rows[i]))
			continue;
		if (started - finished == MAX_RUNNING)
			comparison_finish(&cmps[finished++]);
		snprintf(cmp->name, sizeof(cmp->name), "%s/%s: %s, %s",
			 backing_name(param->backing), mode_name(param->mode),
			 topic, rows[i].name);
		snprintf(number, sizeof(number), "%zu", i);
		make_twin(param, bare_root, number, cmp->bare.dir);
		strcpy(cmp->bare.back_dir, cmp->bare.dir);
		make_twin(param, source, number, cmp->mount.back_dir);
		volume_path(cmp->mount.dir, mount.point, number);
		comparison_start(cmp, param, &rows[i]);
		started++;
	}
	while (finished < started)
		comparison_finish(&cmps[finished++]);
	free(cmps);
	mount_close(&mount);
	/* The volume is shared and would fill up. */
	COMMAND(NULL, "rm", "-rf", "--one-file-system", source, bare_root);
}

void parity_skip(struct parity *parity, const char *reason)
{
	/* The reason alone is the record then. */
	rewind(parity->record);
	fprintf(parity->record, "%s\n", reason);
	fflush(parity->record);
	_exit(EXIT_SKIPPED);
}

VOLUME_MAIN;
