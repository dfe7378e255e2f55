// SPDX-License-Identifier: MIT
/* offlay run: as a shell sees it, without any mount. */
#include <criterion/criterion.h>

#include "run_place.h"

Test(run_command, ends_as_the_command_does)
{
	static const struct {
		const char *script;
		int status;
	} rows[] = {
		{ "$RUN true", 0 },
		{ "$RUN false", 1 },
		{ "$RUN sh -c 'exit 77'", 77 },
		{ "$RUN sh -c 'exit 255'", 255 },
		{ "$RUN /nonexistent", 127 },
		{ "$RUN no-such-command", 127 },
		{ "$RUN /etc/passwd", 126 },
		{ "$RUN /", 126 },
		{ "$RUN", 2 },
		{ "$RUN --no-such-option true", 2 },
		{ "$RUN --help", 0 },
		{ "$RUN $RUN true", 125 },
		{ "$RUN -- sh -c 'kill -TERM $$'", 128 + 15 },
		{ "$RUN -- sh -c 'kill -KILL $$'", 128 + 9 },
		{ "$RUN -- sh -c 'kill -SEGV $$'", 128 + 11 },
		{ "$RUN -- sh -c 'kill -PIPE $$'", 128 + 13 },
		/* A signal that is ignored or blocked stays so. */
		{ "trap '' USR1; $RUN sh -c 'kill -USR1 $$; exit 3'", 3 },
		{ "export g=$(cut -d' ' -f5 /proc/$$/stat); "
		  "$RUN sh -c 'test $(cut -d\" \" -f5 /proc/$$/stat) = $g'",
		  0 },
		{ "echo in | $RUN cat | grep -q in", 0 },
		{ "$RUN sh -c 'echo err >&2' 2>&1 | grep -qx err", 0 },
		{ "$RUN sh -c 'test ! -e /proc/self/fd/9'", 0 },
		{ "$RUN sh -c 'read -r x <&9; test \"$x\" = nine' 9<<E\n"
		  "nine\nE\n",
		  0 },
		{ "ulimit -n 20; $RUN sh -c 'test $(ulimit -n) = 20'", 0 },
		{ "cd /usr; $RUN sh -c 'test $(pwd) = /usr'", 0 },
		{ "umask 027; $RUN sh -c 'test $(umask) = 0027'", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		run_sh(NULL, NULL, rows[i].script, rows[i].status, NULL);
}

/* Nothing of run holds a pipe open that the command has closed. */
Test(run_command, keeps_no_descriptor_open)
{
	run_sh(NULL, NULL,
	       "cd $(mktemp -d); "
	       "$RUN sh -c 'exec >&- 2>&-; sleep 6' | { cat; >end; } & "
	       "$RUN sh -c 'exec 9>&-; sleep 6' 9>&1 >/dev/null | "
	       "{ cat; >end9; } & "
	       "sleep 3; test -e end; test -e end9; rm end end9; "
	       "rmdir $(pwd)",
	       0, NULL);
	/* Nor does a supervisor that stays for what is left. */
	run_sh(NULL, NULL,
	       "cd $(mktemp -d); "
	       "$RUN sh -c 'sleep 6 >/dev/null 2>&1 </dev/null & echo done' "
	       "2>&1 | { cat; >end; } & "
	       "sleep 3; test -e end; rm end; rmdir $(pwd)",
	       0, NULL);
}

VOLUME_MAIN;
