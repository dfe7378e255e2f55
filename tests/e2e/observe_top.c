// SPDX-License-Identifier: MIT
/* offlay top on a terminal of its own: what it shows, and how it ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "observe.h"

#define SCREEN_SIZE 262144

/* A terminal, and everything that was written to it since the last look. */
struct terminal {
	pid_t pid;
	int fd;
	size_t used;
	char text[SCREEN_SIZE];
};

static struct terminal terminal;

static void run_top(const char *mount, const char *term,
		    const struct user *user)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("TERM", term, 1);
	if (user && user_become(user))
		_exit(126);
	execl(mount_tool_path(), "offlay", "top", "--interval", "0.2", mount,
	      NULL);
	_exit(127);
}

static void start(const struct observe_place *place, const char *term,
		  const struct user *user)
{
	/* Wide enough for the longest mount point. */
	struct winsize size = { .ws_row = 24, .ws_col = 400 };

	terminal.used = 0;
	terminal.pid = forkpty(&terminal.fd, NULL, NULL, &size);
	cr_assert_geq(terminal.pid, 0);
	if (!terminal.pid)
		run_top(place->mount.point, term, user);
}

/* Reads what there is for so long; false at the end. */
static bool look(int msec)
{
	struct pollfd poller = { .fd = terminal.fd, .events = POLLIN };
	size_t room = sizeof(terminal.text) - 1 - terminal.used;
	ssize_t n;

	if (poll(&poller, 1, msec) <= 0)
		return true;
	cr_assert_gt(room, 0);
	n = read(terminal.fd, terminal.text + terminal.used, room);
	if (n <= 0)
		return false;
	terminal.used += (size_t)n;
	return true;
}

static void wait_for(const char *part)
{
	for (int i = 0; i < 200; i++) {
		terminal.text[terminal.used] = '\0';
		if (strstr(terminal.text, part))
			return;
		if (!look(50))
			break;
	}
	terminal.text[terminal.used] = '\0';
	cr_assert_fail("no \"%s\" in:\n%s", part, terminal.text);
}

/* Everything is drawn again then. */
static void resize(unsigned short rows, unsigned short columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };

	terminal.used = 0;
	cr_assert_eq(ioctl(terminal.fd, TIOCSWINSZ, &size), 0);
}

/* Its wait status, when all that it wrote has been read. */
static int finish(void)
{
	int status = -1;

	for (int i = 0; i < 100 && look(50); i++)
		;
	cr_assert_eq(process_wait(terminal.pid, 5000, &status), 0);
	terminal.text[terminal.used] = '\0';
	close(terminal.fd);
	return status;
}

Test(top, shows_who_copies_what_and_what_was_saved, .timeout = 60)
{
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	start(&place, "xterm", NULL);
	observe_wait_readers(&place, 1);
	wait_for("offlay top '");
	wait_for("passthrough on");
	wait_for("q quits");
	observe_work(&place, 3);
	/* 8 threads, 3 times 1 MiB and 92 KiB. */
	resize(30, 120);
	wait_for("26.2 MiB by shared extents");
	wait_for("cloned 48");
	wait_for("refused 24");
	wait_for("observe");
	wait_for("dst-");
	cr_assert_eq(write(terminal.fd, "x", 1), 1);
	cr_assert_eq(write(terminal.fd, "q", 1), 1);
	cr_expect_eq(finish(), 0);
	/* The terminal is given back. */
	cr_expect_not_null(strstr(terminal.text, "\033[?1049l"));
	observe_wait_readers(&place, 0);
	observe_close(&place);
}

Test(top, fits_into_every_window, .timeout = 60)
{
	static const unsigned short sizes[][2] = { { 1, 1 },	 { 2, 10 },
						   { 5, 200 },	 { 50, 20 },
						   { 200, 300 }, { 24, 80 } };
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	start(&place, "xterm-256color", NULL);
	wait_for("q quits");
	observe_work(&place, 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		resize(sizes[i][0], sizes[i][1]);
		for (int j = 0; j < 6; j++)
			cr_assert(look(50), "%u x %u", sizes[i][0],
				  sizes[i][1]);
	}
	wait_for("offlay top '");
	kill(terminal.pid, SIGTERM);
	cr_expect_eq(finish(), 0);
	cr_expect_not_null(strstr(terminal.text, "\033[?1049l"));
	observe_close(&place);
}

Test(top, shows_others_the_counters_alone, .timeout = 60)
{
	struct user other = { .uid = 4711, .gid = 4711 };
	struct observe_place place;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	observe_work(&place, 1);
	start(&place, "xterm", &other);
	wait_for("cloned 16");
	wait_for("is for the user who mounted");
	cr_assert_eq(write(terminal.fd, "q", 1), 1);
	cr_expect_eq(finish(), 0);
	observe_close(&place);
}

Test(top, ends_with_the_mount, .timeout = 60)
{
	struct observe_place place;
	int status;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	start(&place, "xterm", NULL);
	wait_for("q quits");
	COMMAND(NULL, "umount", "-l", place.mount.point);
	status = finish();
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	cr_expect_not_null(strstr(terminal.text, "its offlayfs has ended"));
	cr_assert_eq(process_wait(place.mount.pid, 5000, &status), 0);
	cr_expect_eq(status, 0);
	place.mount.pid = 0;
}

Test(top, needs_a_terminal, .timeout = 60)
{
	struct command_result result;
	struct observe_place place;
	int status;

	observe_open(MODE_PASSTHROUGH, NULL, &place);
	cr_expect_eq(observe_tool(&place, NULL, "top \"$1\"", &result), 1);
	cr_expect_not_null(strstr(result.err, "needs a terminal"), "%s",
			   result.err);
	cr_expect_str_empty(result.out);
	start(&place, "no-such-terminal", NULL);
	status = finish();
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	cr_expect_not_null(strstr(terminal.text, "no-such-terminal is not "
						 "known"),
			   "%s", terminal.text);
	cr_expect_eq(observe_tool(&place, NULL, "top", &result), 2);
	cr_expect_eq(observe_tool(&place, NULL, "top --interval 0 \"$1\"",
				  &result),
		     2);
	cr_expect_eq(observe_tool(&place, NULL, "top /tmp", &result), 1);
	observe_close(&place);
}
