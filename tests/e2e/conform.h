/* SPDX-License-Identifier: MIT */
/* What the tests of "offlay conform" share. */
#ifndef E2E_CONFORM_H
#define E2E_CONFORM_H

#include "process.h"

/* The program tests/e2e/copiers/copier.c with one bug: "NONE", "SHORT". */
const char *conform_copier(const char *bug);

/**
 * conform_run() - run "offlay conform" and look at its JSON with Python
 * @line: options; a shell's words
 * @command: the program and its arguments, likewise
 * @status: that it must exit with
 * @filter: an expression; "r" is what was printed, "cells(RESULT)" names cells
 * @ret: what the expression gave, as Python prints it
 */
void conform_run(const char *line, const char *command, int status,
		 const char *filter, struct command_result *ret);

/* Fails the test unless the expression gives this. */
void conform_expect(const char *line, const char *command, int status,
		    const char *filter, const char *expected);

#endif
