// SPDX-License-Identifier: MIT
/* Is a file in use as swap space?  Only /proc/swaps knows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "private.h"

/* The kernel writes blanks and backslashes as \ooo. */
static void unescape(char *name)
{
	char *out = name;

	for (const char *in = name; *in; out++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' &&
		    in[2] >= '0' && in[2] <= '7' && in[3] >= '0' &&
		    in[3] <= '7') {
			*out = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 |
				      (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = '\0';
}

/* The name is only compared, so nothing is lost if it leads elsewhere. */
static bool is_line_of(char *line, const struct stat *file)
{
	struct stat st;

	line[strcspn(line, " \t\n")] = '\0';
	unescape(line);
	return stat(line, &st) == 0 && st.st_dev == file->st_dev &&
	       st.st_ino == file->st_ino;
}

int facts_find_swap(int fd, bool *ret_is_swap)
{
	struct stat file;
	bool found = false;
	char *line = NULL;
	size_t size = 0;
	FILE *swaps;

	if (fstat(fd, &file) < 0)
		return -errno;
	swaps = fopen("/proc/swaps", "re");
	if (!swaps) /* a kernel without swap, or a closed-off process */
		goto out;
	while (!found && getline(&line, &size, swaps) > 0)
		found = is_line_of(line, &file);
	free(line);
	fclose(swaps);
out:
	*ret_is_swap = found;
	return 0;
}
