// SPDX-License-Identifier: MIT
/* offlay trace: every event once, and the mount waits for no reader. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "observe.h"
#include "sample.h"
#include "trace.h"

#define FOLLOW "trace --follow --json \"$1\""

static void stop(pid_t pid, int sig)
{
	int status;

	kill(pid, sig);
	cr_assert_eq(process_wait(pid, 5000, &status), 0);
}

/* Of each thread: its own names, three events a round, and what they did. */
static void expect_events(const char *path, unsigned int rounds)
{
	char expected[2048] = "", program[1024];
	size_t at = 0;

	for (unsigned int i = 0; i < OBSERVE_THREADS; i++)
		at += (size_t)snprintf(
			expected + at, sizeof(expected) - at,
			"dst-%u data eligible None %llu %llu\n"
			"dst-%u holes refused sparse %u 0\n",
			i, rounds * (OBSERVE_SIZE + OBSERVE_ODD),
			rounds * (OBSERVE_SIZE + OBSERVE_ODD_MID), i, rounds);
	snprintf(program, sizeof(program),
		 "def one(thread):\n"
		 "    mine = [e for e in copies\n"
		 "            if e['dst']['path'] == 'dst-%%d' %% thread]\n"
		 "    good = [e for e in mine if not e['errno']]\n"
		 "    bad = [e for e in mine if e['errno']]\n"
		 "    assert len(good) == %u * 2 and len(bad) == %u\n"
		 "    return good, bad\n"
		 "copies = [e for e in events if e['op'] == 'copy']\n"
		 "assert len(copies) == %u * 24, len(copies)\n"
		 "assert len({e['tid'] for e in copies}) == 8\n"
		 "assert len({e['event'] for e in copies}) == len(copies)\n"
		 "for thread in range(8):\n"
		 "    good, bad = one(thread)\n"
		 "    g, b = good[0], bad[0]\n"
		 "    print(g['dst']['path'], g['src']['path'], g['verdict'],\n"
		 "          g['errno'], sum(e['bytes'] for e in good),\n"
		 "          sum(e['shared'] for e in good))\n"
		 "    print(b['dst']['path'], b['src']['path'], b['verdict'],\n"
		 "          *b['src']['reasons'], len(bad), b['bytes'])\n",
		 rounds, rounds, rounds);
	observe_json(path, program, expected);
}

static void follow_in_mode(enum mount_mode mode)
{
	unsigned int rounds = (unsigned int)sample_amount(10, 50, 200);
	struct observe_place place;
	char out[PATH_MAX];
	pid_t pid;

	observe_open(mode, NULL, &place);
	volume_path(out, place.dir, "events");
	pid = observe_start(&place, FOLLOW, out);
	observe_wait_readers(&place, 1);
	observe_work(&place, rounds);
	observe_wait_lines(out, "\"op\": \"copy\"",
			   rounds * OBSERVE_THREADS * 3ull);
	stop(pid, SIGTERM);
	cr_expect_eq(observe_lines(out, "\"lost\""), 0);
	expect_events(out, rounds);
	observe_wait_readers(&place, 0);
	observe_close(&place);
}

Test(trace, tells_each_copy_of_eight_threads_once, .timeout = 120)
{
	follow_in_mode(MODE_PASSTHROUGH);
}

Test(trace, tells_each_copy_without_passthrough, .timeout = 120)
{
	follow_in_mode(MODE_NO_PASSTHROUGH);
}

/* Copies of one file, each a small event; returns the milliseconds. */
static long long copy_often(const struct observe_place *place, unsigned int n)
{
	int src = observe_file(place, "data", O_RDONLY);
	int dst = observe_file(place, "often", O_RDWR | O_CREAT);
	long long start = process_now_ms();

	for (unsigned int i = 0; i < n; i++)
		cr_assert_eq(observe_copy(src, 0, dst, 0, 4096), 4096);
	close(src);
	close(dst);
	return process_now_ms() - start;
}

/* A sanitizer keeps books of all memory, which is far more than that itself. */
static bool is_sanitized(const struct mount *mount)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)mount->pid);
	return observe_lines(path, "san.so") > 0;
}

/* No more memory than before, but for a ring and a few threads. */
static void expect_memory(const struct mount *mount, long before)
{
	long now = mount_rss_kib(mount);

	cr_expect(now < before + 4096 || is_sanitized(mount),
		  "%ld KiB before, %ld now", before, now);
}

/* More than the ring holds while the reader stands still. */
Test(trace, tells_a_reader_that_stalled_what_it_lost, .timeout = 120)
{
	const unsigned int n = 12000;
	struct offlay_ioc_stats stats;
	struct observe_place place;
	char out[PATH_MAX], program[512], expected[64];
	long before;
	pid_t pid;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	volume_path(out, place.dir, "events");
	pid = observe_start(&place, FOLLOW, out);
	observe_wait_readers(&place, 1);
	copy_often(&place, 1);
	observe_wait_lines(out, "\"op\"", 1);
	kill(pid, SIGSTOP);
	before = mount_rss_kib(&place.mount);
	copy_often(&place, n);
	expect_memory(&place.mount, before);
	observe_stats(&place, &stats);
	cr_expect_eq(stats.counters[OFFLAY_STAT_COPIES_CLONED], n + 1);
	kill(pid, SIGCONT);
	snprintf(program, sizeof(program), "\"event\": %u,", n + 1);
	observe_wait_lines(out, program, 1);
	stop(pid, SIGTERM);
	snprintf(expected, sizeof(expected), "%u True\n", n + 1);
	observe_json(out,
		     "lost = sum(e.get('lost', 0) for e in events)\n"
		     "seen = [e['event'] for e in events if 'op' in e]\n"
		     "assert seen == sorted(seen)\n"
		     "print(len(seen) + lost, lost > 1000)",
		     expected);
	observe_close(&place);
}

static unsigned long count_descriptors(const struct mount *mount)
{
	char command[64];
	struct command_result result;

	snprintf(command, sizeof(command), "ls /proc/%d/fd | wc -l",
		 (int)mount->pid);
	COMMAND(&result, "sh", "-c", command);
	return strtoul(result.out, NULL, 10);
}

/* Neither what they read nor what they had open stays behind. */
Test(trace, forgets_readers_that_were_killed, .timeout = 120)
{
	struct offlay_ioc_trace trace = { .version = OFFLAY_ABI_VERSION };
	struct observe_place place;
	unsigned long descriptors;
	char out[PATH_MAX];
	long memory;
	int fds[50];
	pid_t pid;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	volume_path(out, place.dir, "events");
	copy_often(&place, 8000);
	descriptors = count_descriptors(&place.mount);
	memory = mount_rss_kib(&place.mount);
	for (int round = 0; round < 5; round++) {
		pid = observe_start(&place, FOLLOW, out);
		observe_wait_readers(&place, 1);
		copy_often(&place, 10);
		stop(pid, SIGKILL);
		observe_wait_readers(&place, 0);
	}
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 50; i++) {
			fds[i] = open(place.mount.point, O_RDONLY | O_CLOEXEC);
			cr_assert_eq(ioctl(fds[i], OFFLAY_IOC_TRACE_READ,
					   &trace),
				     0);
		}
		observe_wait_readers(&place, 50);
		for (int i = 0; i < 50; i++)
			close(fds[i]);
		observe_wait_readers(&place, 0);
	}
	cr_expect_leq(count_descriptors(&place.mount), descriptors + 2);
	expect_memory(&place.mount, memory);
	observe_close(&place);
}

/* Without a reader events have no names, but they are there. */
Test(trace, remembers_what_nobody_listened_to, .timeout = 60)
{
	char line[PATH_MAX + 64], path[PATH_MAX];
	struct command_result result;
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	copy_often(&place, 3);
	volume_path(path, place.dir, "events");
	snprintf(line, sizeof(line), "trace --json \"$1\" >'%s'", path);
	cr_assert_eq(observe_tool(&place, NULL, line, &result), 0, "%s",
		     result.err);
	observe_json(path,
		     "for e in events:\n"
		     "    print(e['event'], e['op'], e['src']['path'],\n"
		     "          e['src']['ino'] > 0, e['result'], e['bytes'],\n"
		     "          e['usec'] > 0)",
		     "1 copy None True cloned 4096 True\n"
		     "2 copy None True cloned 4096 True\n"
		     "3 copy None True cloned 4096 True\n");
	observe_close(&place);
}

/* Become a reader, so that events have names. */
static int listen_to(const struct observe_place *place)
{
	struct offlay_ioc_trace trace = { .version = OFFLAY_ABI_VERSION };
	int fd = open(place->mount.point, O_RDONLY | O_CLOEXEC);

	cr_assert_eq(ioctl(fd, OFFLAY_IOC_TRACE_READ, &trace), 0, "%s",
		     strerror(errno));
	cr_assert_eq(trace.size, 0);
	return fd;
}

Test(trace, tells_every_request_where_that_is_wanted, .timeout = 60)
{
	static const char script[] =
		"cd \"$1\" && mkdir dir && ln -s dir/x link && "
		"readlink link >/dev/null && dd if=/dev/zero of=dir/file bs=1k "
		"count=1 2>/dev/null && truncate -s 9 dir/file && "
		"chmod 600 dir/file && mv dir/file dir/other && "
		"ln dir/other again && rm again dir/other && rmdir dir";
	struct observe_place place;
	char out[PATH_MAX];
	pid_t pid;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	volume_path(out, place.dir, "events");
	pid = observe_start(&place, FOLLOW " --all", out);
	observe_wait_readers(&place, 1);
	cr_assert_eq(COMMAND(NULL, "sh", "-c", (char *)(uintptr_t)script, "sh",
			     place.mount.point),
		     0);
	observe_wait_lines(out, "\"op\": \"rmdir\"", 1);
	stop(pid, SIGTERM);
	observe_json(
		out,
		"changes = ('mkdir', 'symlink', 'readlink', 'create',\n"
		"           'truncate', 'setattr', 'rename', 'link', 'unlink',\n"
		"           'rmdir')\n"
		"for e in events:\n"
		"    if e['op'] in changes:\n"
		"        print(e['op'], e['command'], e['src']['path'],\n"
		"              e['dst'] and e['dst']['path'], e['errno'])",
		"mkdir mkdir dir None None\n"
		"symlink ln link None None\n"
		"readlink readlink link None None\n"
		"create dd dir/file None None\n"
		"truncate truncate dir/file None None\n"
		"setattr chmod dir/file None None\n"
		"rename mv dir/file dir/other None\n"
		"link ln dir/other again None\n"
		"unlink rm again None None\n"
		"unlink rm dir/other None None\n"
		"rmdir rmdir dir None None\n");
	observe_close(&place);
}

/* A reader that did not ask for all requests sees these all the same. */
Test(trace, tells_what_fault_rules_did, .timeout = 60)
{
	struct offlay_ioc_stats stats;
	struct command_result result;
	struct observe_place place;
	int listener, src, dst;
	char byte;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	listener = listen_to(&place);
	cr_assert_eq(COMMAND(&result, "sh", "-c",
			     "printf 'read file=data nth=1 : errno=EIO\\n"
			     "copy nth=1 : errno=ENOSPC\\n' | "
			     "\"$OFFLAY\" rules \"$1\" set -",
			     "sh", place.mount.point),
		     0, "%s", result.err);
	src = observe_file(&place, "data", O_RDONLY);
	dst = observe_file(&place, "copy", O_RDWR | O_CREAT);
	cr_expect(pread(src, &byte, 1, 0) < 0 && errno == EIO);
	cr_expect_eq(pread(src, &byte, 1, 0), 1);
	cr_expect_eq(observe_copy(src, 0, dst, 0, 4096), -ENOSPC);
	cr_expect_eq(observe_copy(src, 0, dst, 0, 4096), 4096);
	cr_assert_eq(observe_tool(&place, NULL, "trace \"$1\"", &result), 0);
	cr_expect_not_null(strstr(result.out, " read 'data'"), "%s",
			   result.out);
	cr_expect_not_null(strstr(result.out, ": failed EIO, by a rule, "),
			   "%s", result.out);
	cr_expect_not_null(strstr(result.out, " copy 'data' -> 'copy': failed "
					      "ENOSPC, by a rule, "),
			   "%s", result.out);
	observe_stats(&place, &stats);
	cr_expect_eq(stats.counters[OFFLAY_STAT_RULE_HITS], 2);
	cr_expect_eq(stats.counters[OFFLAY_STAT_COPIES_FAILED], 1);
	close(src);
	close(dst);
	close(listener);
	observe_close(&place);
}

Test(trace, is_for_the_one_who_mounted_and_root, .timeout = 60)
{
	struct user other = { .uid = 4711, .gid = 4711 };
	struct command_result result;
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	cr_expect_eq(observe_tool(&place, &other, "trace \"$1\"", &result), 1);
	cr_expect_not_null(strstr(result.err, "only the user who mounted"),
			   "%s", result.err);
	observe_close(&place);
}

Test(trace, shows_a_user_his_own_mount, .timeout = 60)
{
	struct command_result result;
	struct observe_place place;

	observe_open(MODE_USER, NULL, &place);
	cr_expect_eq(observe_tool(&place, &mount_user, "trace \"$1\"", &result),
		     0, "%s", result.err);
	observe_close(&place);
}

Test(trace, filters_by_process_path_operation_and_result, .timeout = 60)
{
	static const struct {
		const char *filter;
		unsigned int copies, others;
	} rows[] = {
		{ "", 24, 8 },
		{ "--path 'dst-3'", 3, 0 },
		{ "--path 'd*-[34]'", 6, 0 },
		{ "--path data", 16, 0 },
		{ "--path nothing", 0, 0 },
		{ "--op copy", 24, 0 },
		{ "--op clone,token_read", 0, 0 },
		{ "--result cloned", 16, 0 },
		{ "--result refused,failed --op copy", 8, 0 },
		{ "--result refused --path 'dst-*' --op copy", 8, 0 },
		{ "--pid 1", 0, 0 },
	};
	char line[PATH_MAX + 128], out[PATH_MAX], path[PATH_MAX];
	struct command_result result;
	struct observe_place place;
	pid_t pid;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	volume_path(out, place.dir, "events");
	pid = observe_start(&place, FOLLOW, out);
	observe_wait_readers(&place, 1);
	observe_work(&place, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		volume_path(path, place.dir, "filtered");
		snprintf(line, sizeof(line), "trace --json %s \"$1\" >'%s'",
			 rows[i].filter, path);
		cr_assert_eq(observe_tool(&place, NULL, line, &result), 0,
			     "%s: %s", rows[i].filter, result.err);
		cr_expect_eq(observe_lines(path, "\"op\": \"copy\""),
			     rows[i].copies, "%s", rows[i].filter);
		if (!rows[i].others)
			cr_expect_eq(observe_lines(path, "\"op\""),
				     rows[i].copies, "%s", rows[i].filter);
	}
	stop(pid, SIGTERM);
	observe_close(&place);
}

/* On no terminal there are no colours, and names cannot do any harm. */
Test(trace, prints_lines_for_people, .timeout = 60)
{
	struct command_result result;
	struct observe_place place;
	int src, dst, fd;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	fd = listen_to(&place);
	src = observe_file(&place, "data", O_RDONLY);
	dst = observe_file(&place, "a\n\033[31mb", O_RDWR | O_CREAT);
	cr_assert_eq(observe_copy(src, 1, dst, 1, OBSERVE_ODD), OBSERVE_ODD);
	cr_assert_eq(observe_tool(&place, NULL, "trace \"$1\"", &result), 0);
	cr_expect_not_null(strstr(result.out,
				  " copy 'data' @1 -> 'a\\012\\033[31mb' @1 "
				  "97.7 KiB: cloned, shared 92.0 KiB, "
				  "moved 5.7 KiB, "),
			   "%s", result.out);
	cr_expect_null(strchr(result.out, '\033'));
	close(src);
	close(dst);
	close(fd);
	observe_close(&place);
}

Test(trace, turns_down_a_wrong_command_line, .timeout = 60)
{
	static const struct {
		const char *line, *err;
	} rows[] = {
		{ "trace", "no MOUNT given" },
		{ "trace a b", "more than one MOUNT given" },
		{ "trace --pid x /", "--pid is no process id: 'x'" },
		{ "trace --pid 0 /", "--pid is no process id: '0'" },
		{ "trace --op copy,nothing /", "--op does not know 'nothing'" },
		{ "trace --op '' /", "--op does not know ''" },
		{ "trace --result ok, /", NULL },
		{ "trace --result sparse /",
		  "--result does not know 'sparse'" },
		{ "trace --nothing /", "unknown option in '--nothing'" },
	};
	struct command_result result;
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		cr_expect_eq(observe_tool(&place, NULL, rows[i].line, &result),
			     rows[i].err ? 2 : 1, "%s", rows[i].line);
		if (rows[i].err)
			cr_expect_not_null(strstr(result.err, rows[i].err),
					   "%s: %s", rows[i].line, result.err);
	}
	observe_close(&place);
}

/* Ends with the mount, whose name it does not keep busy for long. */
Test(trace, ends_with_the_mount, .timeout = 60)
{
	struct observe_place place;
	char out[PATH_MAX];
	int status;
	pid_t pid;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	volume_scratch_dir("follow", out);
	volume_path(out, out, "events");
	pid = observe_start(&place, FOLLOW, out);
	observe_wait_readers(&place, 1);
	COMMAND(NULL, "umount", "-l", place.mount.point);
	cr_assert_eq(process_wait(pid, 5000, &status), 0);
	cr_expect_eq(status, 0);
	cr_assert_eq(process_wait(place.mount.pid, 5000, &status), 0);
	cr_expect_eq(status, 0);
	place.mount.pid = 0;
}
