// SPDX-License-Identifier: MIT
/* Programs that copy by read and write, and programs that only write. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define SIZE "512"

/* Each begins in the directory, with src and dst; untimed, timed, untimed. */
struct job {
	const char *name;
	const char *before, *command, *after;
	double limit;
};

static const struct job copies[] = {
	{ "cp --reflink=never", NULL, "cp --reflink=never src dst", "rm dst",
	  0.5 },
	{ "dd bs=128K", NULL, "dd if=src of=dst bs=128K status=none", "rm dst",
	  0.5 },
	{ "dd bs=1M", NULL, "dd if=src of=dst bs=1M status=none", "rm dst",
	  0.5 },
	{ "Python copyfile", NULL,
	  "python3 -c 'import shutil; shutil.copyfile(\"src\", \"dst\")'",
	  "rm dst", 0.5 },
	{ "rsync --whole-file", NULL, "rsync --whole-file src dst", "rm dst",
	  0.5 },
	{ "tar c, tar x", "mkdir dst", "tar c src | tar x -C dst", "rm -r dst",
	  0.5 },
};

static const struct job others[] = {
	{ "dd bs=4K", NULL, "dd if=src of=dst bs=4K status=none", "rm dst",
	  1.0 },
	{ "unpack 5,000 files", "mkdir dst", "tar xf small.tar -C dst",
	  "rm -r dst", 1.05 },
	{ "SQLite, 100,000 rows", NULL,
	  "python3 -c 'import sqlite3; d = sqlite3.connect(\"dst\"); "
	  "d.execute(\"create table t(a, b)\"); "
	  "d.executemany(\"insert into t values(?, ?)\", "
	  "((i, \"text\" * 8) for i in range(100000))); d.commit()'",
	  "rm -f dst dst-*", 1.05 },
	{ "append 100,000 lines", NULL,
	  "python3 -c 'f = open(\"dst\", \"a\", 1)\n"
	  "for i in range(100000): f.write(\"a line of a log\\n\")'",
	  "rm dst", 1.05 },
};

static void shell(const char *dir, const char *command)
{
	pid_t pid;
	int status;

	if (!command)
		return;
	pid = fork();
	if (pid == 0) {
		if (chdir(dir))
			die(dir);
		execl("/bin/sh", "sh", "-c", command, NULL);
		die("/bin/sh");
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		die("sh");
	if (status) {
		errno = ECHILD;
		die(command);
	}
}

static void run_job(struct way *way)
{
	shell(way->dst, way->job->command);
	pair_wait();
}

static void measure(const struct job *job, struct way *ways,
		    unsigned int rounds)
{
	double ms[2][PAIR_ROUNDS_MAX];

	for (unsigned int round = 0; round < rounds; round++)
		for (unsigned int i = 0; i < 2; i++) {
			struct way *way = &ways[(i + round) % 2];

			way->job = job;
			shell(way->dst, job->before);
			pair_wait();
			ms[(i + round) % 2][round] = pair_time(way);
			shell(way->dst, job->after);
			pair_wait();
		}
	for (unsigned int i = 0; i < 2; i++)
		ways[i].ms = pair_median(ms[i], rounds);
}

void hand_rows(const char *backing, const char *native, const char *plain,
	       const char *view, unsigned int rounds)
{
	struct way ways[2] = { { .name = "native", .run = run_job },
			       { .name = "accel", .run = run_job } };

	pair_settle(native);
	shell(native, "head -c " SIZE "M /dev/urandom >src && mkdir small && "
		      "cd small && for i in $(seq 5000); do "
		      "head -c 4096 ../src >$i; done && "
		      "tar cf ../small.tar . && rm -r ../small");
	snprintf(ways[0].dst, PATH_MAX, "%s", native);
	snprintf(ways[1].dst, PATH_MAX, "%s", view);
	for (size_t i = 0; i < sizeof(copies) / sizeof(*copies); i++) {
		measure(&copies[i], ways, rounds);
		pair_print(copies[i].name, backing, &ways[0], &ways[1],
			   copies[i].limit);
	}
	ways[0].name = "no_accel";
	snprintf(ways[0].dst, PATH_MAX, "%s", plain);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		measure(&others[i], ways, rounds);
		pair_print(others[i].name, backing, &ways[0], &ways[1],
			   others[i].limit);
	}
}
