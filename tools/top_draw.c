// SPDX-License-Identifier: MIT
/* The screen of offlay top. */
#include <curses.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "stats.h"
#include "tools.h"
#include "top.h"

#define LINE_MAX_BYTES 1024

enum color { COLOR_PLAIN, COLOR_GOOD, COLOR_BAD, COLOR_DIM };

static SCREEN *screen;

int top_draw_begin(void)
{
	const char *term = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		report_error("it needs a terminal; for a program there is "
			     "offlay stats --json");
		return -ENOTTY;
	}
	/* Names may be in any script; numbers are as everywhere else. */
	setlocale(LC_CTYPE, "");
	screen = term ? newterm(NULL, stdout, stdin) : NULL;
	if (!screen) {
		report_error("terminal type %s is not known here; set TERM",
			     term ? term : "(none)");
		return -ENOENT;
	}
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(COLOR_GOOD, COLOR_GREEN, -1);
		init_pair(COLOR_BAD, COLOR_RED, -1);
		init_pair(COLOR_DIM, COLOR_CYAN, -1);
	}
	return 0;
}

void top_draw_end(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

enum top_key top_draw_key(int msec)
{
	timeout(msec);
	switch (getch()) {
	case 'q':
	case 'Q':
	case 27: /* Esc */
		return TOP_KEY_QUIT;
	case KEY_RESIZE:
		return TOP_KEY_REDRAW;
	default:
		return TOP_KEY_NONE;
	}
}

/* As much of @text as fits into the rest of the line. */
static void put_text(const char *text)
{
	mbstate_t state = { 0 };
	int x = getcurx(stdscr), columns;
	size_t length;
	wchar_t wide;

	for (; *text; text += length) {
		length = mbrtowc(&wide, text, MB_CUR_MAX, &state);
		if (!length || length > MB_CUR_MAX) {
			memset(&state, 0, sizeof(state));
			wide = L'?';
			length = 1;
		}
		columns = wcwidth(wide);
		if (columns < 0)
			continue;
		if (x + columns > COLS)
			return;
		addnwstr(&wide, 1);
		x += columns;
	}
}

static void __attribute__((format(printf, 3, 4)))
put_line(int row, enum color color, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list args;

	if (row >= LINES)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	move(row, 0);
	clrtoeol();
	attrset(COLOR_PAIR(color));
	put_text(text);
	attrset(A_NORMAL);
}

static uint64_t counter(const struct top_view *view, enum offlay_stat stat)
{
	return view->now.counters[stat];
}

/* A second, in the last round. */
static double rate(const struct top_view *view, enum offlay_stat stat)
{
	uint64_t n = view->now.counters[stat] - view->before.counters[stat];

	return view->seconds > 0 ? (double)n / view->seconds : 0;
}

static const char *size_rate(double bytes, char buf[TEXT_SIZE_MAX])
{
	return text_size((uint64_t)bytes, buf);
}

static void draw_copies(const struct top_view *view, int row)
{
	static const enum offlay_stat all[] = {
		OFFLAY_STAT_COPIES_CLONED,   OFFLAY_STAT_COPIES_OFFLOADED,
		OFFLAY_STAT_COPIES_MOVED,    OFFLAY_STAT_COPIES_REFUSED,
		OFFLAY_STAT_COPIES_DECLINED, OFFLAY_STAT_COPIES_FAILED,
	};
	double per_second = 0;
	uint64_t refused = counter(view, OFFLAY_STAT_COPIES_REFUSED) +
			   counter(view, OFFLAY_STAT_COPIES_DECLINED);
	uint64_t failed = counter(view, OFFLAY_STAT_COPIES_FAILED);

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		per_second += rate(view, all[i]);
	put_line(row, refused || failed ? COLOR_BAD : COLOR_PLAIN,
		 "Copies   %.1f/s, cloned %" PRIu64 ", offloaded %" PRIu64
		 ", moved %" PRIu64 ", refused %" PRIu64 ", failed %" PRIu64,
		 per_second, counter(view, OFFLAY_STAT_COPIES_CLONED),
		 counter(view, OFFLAY_STAT_COPIES_OFFLOADED),
		 counter(view, OFFLAY_STAT_COPIES_MOVED), refused, failed);
}

static void draw_bytes(const struct top_view *view, int row)
{
	char shared[TEXT_SIZE_MAX], moved[TEXT_SIZE_MAX], saved[TEXT_SIZE_MAX];
	char refused[TEXT_SIZE_MAX];

	put_line(row, COLOR_GOOD, "Saved    %s by shared extents, now %s/s",
		 text_size(counter(view, OFFLAY_STAT_BYTES_SHARED), saved),
		 size_rate(rate(view, OFFLAY_STAT_BYTES_SHARED), shared));
	put_line(
		row + 1, COLOR_PLAIN,
		"Moved    %s/s by hand, %s/s by the storage, refused %s in all",
		size_rate(rate(view, OFFLAY_STAT_BYTES_MOVED), moved),
		size_rate(rate(view, OFFLAY_STAT_BYTES_OFFLOADED), shared),
		text_size(counter(view, OFFLAY_STAT_BYTES_REFUSED), refused));
}

static void draw_mount(const struct top_view *view, int row)
{
	const __u64 *gauges = view->now.gauges;
	const struct offlay_latency *latency =
		&view->now.latencies[OFFLAY_OP_COPY];
	char p50[STATS_TIME_MAX], p99[STATS_TIME_MAX], rss[TEXT_SIZE_MAX];
	uint64_t inodes = gauges[OFFLAY_GAUGE_INODES];
	uint64_t files = gauges[OFFLAY_GAUGE_OPEN_FILES];
	uint64_t tokens = gauges[OFFLAY_GAUGE_TOKENS];

	put_line(row, COLOR_PLAIN,
		 "Latency  of a copy p50 %s, p99 %s; inodes %" PRIu64
		 ", open %" PRIu64 ", tokens %" PRIu64 ", memory %s",
		 stats_time(stats_quantile(latency, 0.5), p50),
		 stats_time(stats_quantile(latency, 0.99), p99), inodes, files,
		 tokens, text_size(gauges[OFFLAY_GAUGE_RESIDENT_BYTES], rss));
}

static void draw_title(const struct top_view *view)
{
	const __u64 *gauges = view->now.gauges;
	char *quoted = text_quote(view->mount);
	char up[STATS_TIME_MAX];

	put_line(0, COLOR_PLAIN, "offlay top %s, up %s, passthrough %s", quoted,
		 stats_time(gauges[OFFLAY_GAUGE_UPTIME_NSEC], up),
		 gauges[OFFLAY_GAUGE_PASSTHROUGH] ? "on" : "off");
	mvchgat(0, 0, -1, A_BOLD, COLOR_PLAIN, NULL);
	free(quoted);
}

static void draw_row(const struct top_row *row, int at)
{
	char speed[TEXT_SIZE_MAX], saved[TEXT_SIZE_MAX], moved[TEXT_SIZE_MAX];
	char *comm = text_plain(*row->comm ? row->comm : "?");
	char *path = text_plain(row->path);

	put_line(at, row->idle ? COLOR_DIM : COLOR_PLAIN,
		 "%7" PRIu32 " %-16.16s %8.1f %11s %11s %11s %8" PRIu64 " %s",
		 row->pid, comm ? comm : "?", row->copy_rate,
		 size_rate(row->byte_rate, speed),
		 text_size(row->shared, saved), text_size(row->moved, moved),
		 row->refused, path ? path : "?");
	free(comm);
	free(path);
}

void top_draw(const struct top_view *view)
{
	int row = 6;

	erase();
	draw_title(view);
	draw_copies(view, 1);
	draw_bytes(view, 2);
	draw_mount(view, 4);
	if (!view->may_trace) {
		put_line(row, COLOR_DIM,
			 "Who copies what is for the user who mounted, and "
			 "root.");
	} else {
		put_line(row++, COLOR_PLAIN,
			 "%7s %-16s %8s %11s %11s %11s %8s %s", "PID",
			 "COMMAND", "COPIES/s", "BYTES/s", "SAVED", "MOVED",
			 "REFUSED", "LAST FILE");
		mvchgat(row - 1, 0, -1, A_REVERSE, 0, NULL);
		for (size_t i = 0; i < view->table.count && row < LINES - 1;
		     i++)
			draw_row(&view->table.rows[i], row++);
	}
	if (view->table.lost)
		put_line(LINES - 1, COLOR_BAD,
			 "q quits; %" PRIu64 " events came too fast to show",
			 view->table.lost);
	else
		put_line(LINES - 1, COLOR_DIM, "q quits");
	refresh();
}
