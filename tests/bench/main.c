// SPDX-License-Identifier: MIT
/* The benchmark program that tests/bench/run starts, one group of rows a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static int usage(void)
{
	fputs("usage: bench copy ROUNDS BACKING NATIVE MOUNT COPYING KERNEL\n"
	      "       bench huge ROUNDS BACKING NATIVE MOUNT\n"
	      "       bench crowd DIR\n"
	      "       bench hand ROUNDS BACKING NATIVE PLAIN MOUNT\n"
	      "       bench tree ROUNDS NAME DIR [NAME DIR]...\n",
	      stderr);
	return 2;
}

static int tree(int argc, char **argv, unsigned int rounds)
{
	char *names[16], *dirs[16];
	unsigned int count = 0;

	for (int i = 0; i + 1 < argc && count < 16; i += 2, count++) {
		names[count] = argv[i];
		dirs[count] = argv[i + 1];
	}
	tree_rows(count, names, dirs, rounds);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 2 ? (unsigned int)atoi(argv[2]) : 0;

	if (argc == 3 && strcmp(argv[1], "crowd") == 0) {
		copy_crowd(argv[2]);
		return 0;
	}
	if (rounds == 0 || rounds > PAIR_ROUNDS_MAX / 3)
		return usage();
	if (argc == 8 && strcmp(argv[1], "copy") == 0)
		copy_rows(argv[3], argv[4], argv[5], argv[6], argv[7], rounds);
	else if (argc == 6 && strcmp(argv[1], "huge") == 0)
		copy_huge_rows(argv[3], argv[4], argv[5], rounds);
	else if (argc == 7 && strcmp(argv[1], "hand") == 0)
		hand_rows(argv[3], argv[4], argv[5], argv[6], rounds);
	else if (argc >= 7 && strcmp(argv[1], "tree") == 0)
		return tree(argc - 3, argv + 3, rounds);
	else
		return usage();
	return 0;
}
