// SPDX-License-Identifier: MIT
/* offlay run: programs that misbehave, and either side killed. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run_place.h"
#include "sample.h"

/* All that was started has ended, within some seconds. */
static void expect_nobody(const char *after)
{
	for (int i = 0; i < 500 && run_count_processes(); i++)
		process_sleep_ms(20);
	cr_assert_eq(run_count_processes(), 0, "processes left after %s",
		     after);
}

static void ask(struct clone_place *place, const char *way, unsigned long n)
{
	char script[128];

	snprintf(script, sizeof(script), "$RUN $ASKER %s %lu", way, n);
	run_sh(place, NULL, script, 0, NULL);
	expect_nobody(way);
}

CLONE_ON_EACH_BACKING(run_safety, stands_programs_that_ask_in_hard_ways)
{
	run_mount(place, NULL);
	ask(place, "threads", 64);
	ask(place, "forks", sample_amount(5, 7, 9));
	ask(place, "orphans", sample_amount(10, 30, 200));
	ask(place, "unshared", 1);
	ask(place, "execs", sample_amount(10, 30, 300));
	ask(place, "passed", 1);
	ask(place, "other_abi", 1);
	ask(place, "closed", sample_amount(300, 1000, 30000));
	ask(place, "unmapped", sample_amount(300, 1000, 30000));
	ask(place, "liars", sample_amount(300, 1000, 30000));
	mount_close(&place->mount);
	for (int i = 0; i < 64; i++) {
		char name[16];

		snprintf(name, sizeof(name), "dst%d", i);
		clone_is_same(place, "src", name);
	}
}

CLONE_ON_EACH_BACKING(run_safety, leaves_programs_going_when_it_is_killed)
{
	pid_t proxy, supervisor;
	int status = 0;

	run_mount(place, NULL);
	proxy = run_start(place, "exec $RUN $ASKER forsaken 1 >/dev/null");
	supervisor = run_child_of(proxy);
	run_wait_started(proxy);
	process_sleep_ms(100);
	cr_assert_eq(kill(supervisor, SIGKILL), 0);
	cr_assert_eq(process_wait(proxy, 10000, &status), 0);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %x",
		  status);
	expect_nobody("the supervisor's end");
	mount_close(&place->mount);
}

CLONE_ON_EACH_BACKING(run_safety, dies_with_what_stands_for_the_command)
{
	pid_t proxy, supervisor;
	int status = 0;

	run_mount(place, NULL);
	proxy = run_start(place, "exec $RUN sleep 1000");
	supervisor = run_child_of(proxy);
	cr_assert_gt(run_child_of(supervisor), 0);
	cr_assert_eq(kill(proxy, SIGKILL), 0);
	cr_assert_eq(process_wait(proxy, 10000, &status), 0);
	expect_nobody("the proxy's end");
	mount_close(&place->mount);
}

static void kill_group(pid_t leader)
{
	int status;

	kill(-leader, SIGKILL);
	kill(leader, SIGKILL);
	cr_expect_eq(process_wait(leader, 10000, &status), 0);
}

/* Whom to kill: the one that stands for it, the supervisor, the program. */
static void kill_one(pid_t proxy, unsigned int which)
{
	pid_t victim = proxy;

	for (unsigned int i = 0; i < which && victim > 0; i++)
		victim = run_child_of(victim);
	if (victim > 0)
		kill(victim, SIGKILL);
}

CLONE_ON_EACH_BACKING(run_safety, survives_being_killed_at_any_time)
{
	unsigned long rounds = sample_amount(15, 60, 1000);
	struct sample_rng rng = { sample_seed() };

	run_mount(place, NULL);
	for (unsigned long i = 0; i < rounds; i++) {
		pid_t proxy = run_start(place, "exec $RUN $ASKER endless 1");

		usleep((useconds_t)sample_below(&rng, 30000));
		kill_one(proxy, (unsigned int)sample_below(&rng, 3));
		usleep((useconds_t)sample_below(&rng, 3000));
		kill_group(proxy);
	}
	/* Children of the program are in the group, and the supervisor ends
	 * after the last of them. */
	expect_nobody("kills");
	run_sh(place, NULL, "$RUN cp --reflink=always src again; cmp src again",
	       0, NULL);
	mount_close(&place->mount);
}

static unsigned int count_fds(pid_t pid)
{
	char path[64];
	unsigned int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	cr_assert_not_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Of the supervisor and of the daemon, after many requests and their errors. */
CLONE_ON_EACH_BACKING(run_safety, leaks_no_descriptors)
{
	pid_t proxy, supervisor;
	unsigned int before, daemon_before;
	int status;

	run_mount(place, NULL);
	proxy = run_start(place,
			  "exec $RUN sh -c 'for i in 1 2; do "
			  "cp --reflink=always src a; "
			  "until test -e go$i; do sleep 0.02; done; "
			  "$0 threads 64; $0 closed 100; $0 unmapped 100; "
			  "$0 liars 100; "
			  "$0 execs 3; >done$i; done; "
			  "until test -e end; do sleep 0.02; done' $ASKER "
			  "2>/dev/null");
	supervisor = run_child_of(proxy);
	process_sleep_ms(300);
	before = count_fds(supervisor);
	daemon_before = count_fds(place->mount.pid);
	run_sh(place, NULL,
	       ">go1; >go2; until test -e done2; do sleep 0.05; done", 0, NULL);
	process_sleep_ms(200);
	cr_expect_leq(count_fds(supervisor), before);
	/* Inodes that are known now may have one each, up to some limit. */
	cr_expect_leq(count_fds(place->mount.pid), daemon_before + 200);
	run_sh(place, NULL, ">end", 0, NULL);
	cr_expect_eq(process_wait(proxy, 10000, &status), 0);
	expect_nobody("its command's end");
	mount_close(&place->mount);
}
