// SPDX-License-Identifier: MIT
/* Tests of tools/conform_command.c: words, quotes, and the program's end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

Test(conform_command, replaces_the_names_wherever_they_stand)
{
	char *words[] = { "dd",	     "if={src}", "of={dst}", "{src}{dst}{src}",
			  "{other}", "{src",	 "",	     NULL };
	char **expanded = conform_command_words(words, "a b", "c\nd");

	cr_assert(expanded);
	cr_expect_str_eq(expanded[0], "dd");
	cr_expect_str_eq(expanded[1], "if=a b");
	cr_expect_str_eq(expanded[2], "of=c\nd");
	cr_expect_str_eq(expanded[3], "a bc\nda b");
	cr_expect_str_eq(expanded[4], "{other}");
	cr_expect_str_eq(expanded[5], "{src");
	cr_expect_str_eq(expanded[6], "");
	cr_expect_null(expanded[7]);
	conform_command_free(expanded);
}

/* A shell gives back what was quoted. */
Test(conform_command, quotes_for_a_shell)
{
	static const char *const words[] = {
		"plain",   "{src}", "if={src}",	 "two words", "it's", "$HOME",
		"a{b,c}d", "",	    "new\nline", "*",	      "a;b",  "\\",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		char *text = NULL, answer[64];
		size_t size = 0, count;
		FILE *out = open_memstream(&text, &size), *shell;

		fputs("printf %s ", out);
		conform_command_quote(out, words[i]);
		fclose(out);
		shell = popen(text, "r");
		cr_assert(shell);
		count = fread(answer, 1, sizeof(answer) - 1, shell);
		answer[count] = '\0';
		cr_expect_eq(pclose(shell), 0);
		cr_expect_str_eq(answer, words[i], "%s", text);
		free(text);
	}
}

static void run(char *const *words, struct conform_command *command)
{
	cr_assert_eq(conform_command_start(words, command), 0);
	for (int i = 0; i < 1000 && !conform_command_wait(command, 100); i++)
		;
	cr_assert_eq(command->pid, 0);
}

Test(conform_command, tells_how_a_program_ended_and_what_it_said)
{
	char *good[] = { "sh", "-c", "echo out; echo err >&2", NULL };
	char *bad[] = { "sh", "-c", "exit 3", NULL };
	char *dead[] = { "sh", "-c", "kill -SEGV $$", NULL };
	struct conform_command command;

	run(good, &command);
	cr_expect_eq(command.status, 0);
	cr_expect_str_eq(command.said, "out\nerr\n");
	conform_command_done(&command);
	run(bad, &command);
	cr_expect_eq(WEXITSTATUS(command.status), 3);
	conform_command_done(&command);
	run(dead, &command);
	cr_expect(WIFSIGNALED(command.status));
	cr_expect_eq(WTERMSIG(command.status), SIGSEGV);
	conform_command_done(&command);
}

/* It may talk without end, and must not wait for a listener. */
Test(conform_command, keeps_the_first_words_of_many)
{
	char *words[] = { "sh", "-c", "yes | head -c 1000000", NULL };
	struct conform_command command;

	run(words, &command);
	cr_expect_eq(command.status, 0);
	cr_expect_eq(strlen(command.said), CONFORM_SAID - 1);
	conform_command_done(&command);
}

Test(conform_command, says_that_there_is_no_such_program)
{
	char *words[] = { "/nowhere/at/all", NULL };
	struct conform_command command;

	cr_expect_eq(conform_command_start(words, &command), -ENOENT);
}

/* What it started goes with it. */
Test(conform_command, kills_the_whole_family)
{
	char *words[] = { "sh", "-c", "sleep 100 & echo $!; wait", NULL };
	struct conform_command command;
	pid_t child;

	cr_assert_eq(conform_command_start(words, &command), 0);
	for (int i = 0; i < 100 && !command.said_size; i++)
		conform_command_wait(&command, 100);
	child = atoi(command.said);
	cr_assert_gt(child, 1);
	conform_command_kill(&command, SIGKILL);
	for (int i = 0; i < 100 && command.pid; i++)
		conform_command_wait(&command, 100);
	cr_expect_eq(WTERMSIG(command.status), SIGKILL);
	conform_command_done(&command);
	for (int i = 0; i < 100 && kill(child, 0) == 0; i++)
		usleep(20000);
	cr_expect_neq(kill(child, 0), 0);
}
