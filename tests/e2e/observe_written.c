// SPDX-License-Identifier: MIT
/* -o trace=FILE: whole from start to end, bounded, and no mount waits for it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe.h"
#include "sample.h"

static void open_traced(const char *path, const char *more,
			struct observe_place *ret_place)
{
	char options[PATH_MAX + 64];

	snprintf(options, sizeof(options), "trace=%s%s", path, more);
	observe_open(MODE_PASSTHROUGH, options, ret_place);
}

static void copy_often(const struct observe_place *place, unsigned int n)
{
	int src = observe_file(place, "data", O_RDONLY);
	int dst = observe_file(place, "often", O_RDWR | O_CREAT);

	for (unsigned int i = 0; i < n; i++)
		cr_assert_eq(observe_copy(src, 0, dst, 0, 4096), 4096);
	close(src);
	close(dst);
}

Test(trace_file, has_every_copy_when_the_mount_has_ended, .timeout = 60)
{
	unsigned int rounds = (unsigned int)sample_amount(10, 50, 200);
	struct observe_place place;
	char dir[PATH_MAX], path[PATH_MAX], expected[64];
	struct stat st;

	volume_scratch_dir("written", dir);
	volume_path(path, dir, "events");
	open_traced(path, "", &place);
	observe_work(&place, rounds);
	observe_close(&place);
	snprintf(expected, sizeof(expected), "%u %u 8 observe\n",
		 rounds * OBSERVE_THREADS * 3, rounds * OBSERVE_THREADS * 2);
	observe_json(path,
		     "copies = [e for e in events if e['op'] == 'copy']\n"
		     "assert events[0]['event'] == 1\n"
		     "assert not [e for e in events if 'lost' in e]\n"
		     "print(len(copies),\n"
		     "      len([e for e in copies if e['errno'] is None]),\n"
		     "      len({e['dst']['path'] for e in copies}),\n"
		     "      copies[0]['command'][:7])",
		     expected);
	cr_expect(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
}

Test(trace_file, has_every_request_where_that_is_wanted, .timeout = 60)
{
	struct observe_place place;
	char dir[PATH_MAX], path[PATH_MAX];

	volume_scratch_dir("written", dir);
	volume_path(path, dir, "events");
	open_traced(path, ",trace_all", &place);
	COMMAND(NULL, "touch", "--", place.mount.point);
	close(observe_file(&place, "new", O_RDWR | O_CREAT));
	/* close(2) does not wait for it, and unmounting may drop it. */
	observe_wait_lines(path, "\"op\": \"release\"", 1);
	observe_close(&place);
	cr_expect_eq(observe_lines(path, "\"op\": \"create\""), 1);
	cr_expect_eq(observe_lines(path, "\"op\": \"setattr\""), 1);
	cr_expect_eq(observe_lines(path, "\"op\": \"release\""), 1);
}

/* The last events are in FILE, those before in FILE.old, and no more. */
Test(trace_file, stays_within_its_bounds, .timeout = 120)
{
	const unsigned int n = 12000;
	struct observe_place place;
	char dir[PATH_MAX], path[PATH_MAX], old[PATH_MAX], last[64];
	struct command_result result;
	struct stat st;

	volume_scratch_dir("written", dir);
	volume_path(path, dir, "events");
	volume_path(old, dir, "events.old");
	open_traced(path, ",trace_size=1", &place);
	copy_often(&place, n);
	observe_close(&place);
	cr_expect(stat(path, &st) == 0 && st.st_size <= 1 << 20);
	cr_expect(stat(old, &st) == 0 && st.st_size <= 1 << 20);
	cr_expect_gt(st.st_size, 900 << 10);
	COMMAND(&result, "ls", dir);
	cr_expect_str_eq(result.out, "events\nevents.old\n");
	snprintf(last, sizeof(last), "{\"event\": %u,", n);
	cr_expect_eq(observe_lines(path, last), 1);
	observe_json(old, "print(len(events) > 1000)", "True\n");
	observe_json(path, "print(len(events) > 0)", "True\n");
}

/* Copies go on, what could not be written is counted, and lines are whole. */
Test(trace_file, takes_a_full_disk_for_what_it_is, .timeout = 120)
{
	struct offlay_ioc_stats stats;
	struct observe_place place;
	struct volume small;
	char path[PATH_MAX];
	uint64_t lines;

	volume_get_sized(BACKING_TMPFS, 0, 128 << 10, NULL, &small);
	volume_path(path, small.root, "events");
	open_traced(path, "", &place);
	copy_often(&place, 1000);
	for (int ms = 0; ms < 5000; ms += 50) {
		observe_stats(&place, &stats);
		lines = observe_lines(path, "\"op\": \"copy\"");
		if (lines + stats.counters[OFFLAY_STAT_EVENTS_UNWRITTEN] ==
		    1000)
			break;
		process_sleep_ms(50);
	}
	cr_expect_eq(lines + stats.counters[OFFLAY_STAT_EVENTS_UNWRITTEN],
		     1000);
	cr_expect_gt(stats.counters[OFFLAY_STAT_EVENTS_UNWRITTEN], 0);
	cr_expect_eq(stats.counters[OFFLAY_STAT_COPIES_CLONED], 1000);
	cr_expect(mount_log_has(&place.mount, "events are lost"));
	observe_json(path, "print(len(events) > 100)", "True\n");
	observe_close(&place);
	volume_free(&small);
}

static void expect_no_mount(const char *options, const char *why)
{
	struct mount_spec spec = { .options = options };
	struct mount mount;
	char dir[PATH_MAX];

	volume_scratch_dir("written", dir);
	cr_assert_eq(mount_start(dir, &spec, &mount), -ECHILD, "%s", options);
	cr_expect(mount_log_has(&mount, why), "%s: no \"%s\"", options, why);
}

Test(trace_file, says_why_it_cannot_be_written, .timeout = 60)
{
	char dir[PATH_MAX], path[PATH_MAX], options[PATH_MAX + 16];

	volume_scratch_dir("written", dir);
	volume_path(path, dir, "fifo");
	cr_assert_eq(mkfifo(path, 0600), 0);
	snprintf(options, sizeof(options), "trace=%s", path);
	expect_no_mount(options, "No such device or address");
	snprintf(options, sizeof(options), "trace=%s", dir);
	expect_no_mount(options, "Is a directory");
	expect_no_mount("trace=/nowhere/events", "No such file or directory");
	expect_no_mount("trace=/dev/null", "not a regular file");
	expect_no_mount("trace=", "nothing given");
	expect_no_mount("trace_size=0", "not a number");
}
