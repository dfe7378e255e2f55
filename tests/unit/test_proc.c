// SPDX-License-Identifier: MIT
/* Tests of fs/proc.c: what /proc/PID/stat says, whatever the program's name. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"

#define TAIL " S 17 4 5 6"

Test(proc, finds_a_field_behind_any_name)
{
	static const char *const texts[] = {
		"9 (cp)" TAIL " 7\n",	     "9 (a b)" TAIL " 7\n",
		"9 (a) S 1 (b)" TAIL " 7\n", "9 (\n) R 3)" TAIL " 7\n",
		"9 ()" TAIL " 7\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		long value = 0;

		cr_expect(proc_stat_field(texts[i], 4, &value), "%s", texts[i]);
		cr_expect_eq(value, 17, "%s", texts[i]);
		cr_expect(proc_stat_field(texts[i], 8, &value), "%s", texts[i]);
		cr_expect_eq(value, 7, "%s", texts[i]);
	}
}

Test(proc, does_not_guess)
{
	static const char *const texts[] = {
		"",	      "9",	    "9 (cp",
		"9 (cp)",     "9 (cp) S",   "9 (cp) S ",
		"9 (cp) S x", "9 (cp) S 1", "9 (cp) S 12",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		long value = -5;

		cr_expect_not(proc_stat_field(texts[i], 4, &value), "%s",
			      texts[i]);
		cr_expect_eq(value, -5, "%s", texts[i]);
	}
}

Test(proc, knows_this_process)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cpu_set_t cpus;

	cr_assert(proc >= 0);
	prctl(PR_SET_NAME, ") R 1 (");
	cr_assert_eq(proc_parent(proc, getpid()), getppid());
	cr_assert_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		cpu_set_t one;

		if (!CPU_ISSET(cpu, &cpus))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
		cr_assert_eq(proc_processor(proc, getpid()), cpu);
	}
	close(proc);
}

Test(proc, reads_no_more_than_there_is_room_for)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char text[8];

	cr_assert(proc >= 0);
	memset(text, 'x', sizeof(text));
	cr_assert_eq(proc_read(proc, "self/stat", text, sizeof(text)), 7);
	cr_assert_eq(strlen(text), 7);
	cr_assert_eq(proc_read(proc, "0/stat", text, sizeof(text)), -ENOENT);
	cr_assert_eq(text[0], '\0');
	cr_assert_eq(proc_read(-1, "self/stat", text, sizeof(text)), -EBADF);
	close(proc);
}

Test(proc, says_where_it_does_not_know)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	cr_assert(proc >= 0);
	cr_assert_eq(proc_parent(proc, 0), 0);
	cr_assert_eq(proc_processor(proc, 0), -1);
	cr_assert_eq(proc_parent(-1, getpid()), 0);
	cr_assert_eq(proc_processor(-1, getpid()), -1);
	close(proc);
}

Test(proc, reads_where_a_descriptor_stands)
{
	static const struct {
		const char *text;
		bool found;
	} rows[] = {
		{ "pos:\t4096\nflags:\t0100000\nmnt_id:\t24\nino:\t77\n",
		  true },
		{ "pos:\t4096\nflags:\t0100000\nmnt_id:\t77\nino:\t78\n",
		  false },
		{ "pos:\t0\nflags:\t0100000\nmnt_id:\t24\nino:\t77\n", false },
		{ "pos:\t4096\nflags:\t0100000\nmnt_id:\t24\n",
		  false }, /* 5.13 */
		{ "pos:\t4096\nflags:\t0\ntfd: 5 pos:0 ino:77\n", false },
		{ "pos:\t4096\nino:\t77", false }, /* cut off? */
		{ "pos:\t\nino:\t77\n", false },
		{ "", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t position = 5;

		cr_expect_eq(proc_position(rows[i].text, 77, &position),
			     rows[i].found, "row %zu", i);
		cr_expect_eq(position, rows[i].found ? 4096 : 5, "row %zu", i);
	}
}

Test(proc, finds_the_descriptor_that_reads_a_file)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	FILE *file = tmpfile();
	int fd = fileno(file);
	uint64_t position = 5;
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(ftruncate(fd, 10000), 0);
	cr_expect_not(proc_find_position(proc, getpid(), st.st_ino, &position));
	cr_assert_eq(lseek(fd, 7000, SEEK_SET), 7000);
	cr_assert(proc_find_position(proc, getpid(), st.st_ino, &position));
	cr_expect_eq(position, 7000);
	cr_expect_not(proc_find_position(proc, -1, st.st_ino, &position));
	cr_expect_not(proc_find_position(-1, getpid(), st.st_ino, &position));
	fclose(file);
	close(proc);
}
