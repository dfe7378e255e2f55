// SPDX-License-Identifier: MIT
/* Test of the example in libofflay(3): it compiles, and it copies a file. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 300001

static int run(const char *src, const char *dst)
{
	char command[512];

	snprintf(command, sizeof(command), "'%s' '%s' '%s' >out 2>&1", EXAMPLE,
		 src, dst);
	return WEXITSTATUS(system(command));
}

static size_t slurp(const char *path, char *buf, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t n;

	cr_assert_not_null(file, "%s", path);
	n = fread(buf, 1, size, file);
	fclose(file);
	return n;
}

Test(libofflay_example, copies_a_file_and_says_how_much)
{
	static char data[SIZE], back[SIZE + 1];
	char dir[] = "/tmp/offlay-example.XXXXXX", out[256] = "";
	FILE *file;

	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)(i * 7 + i / 256);
	file = fopen("src", "w");
	cr_assert_eq(fwrite(data, 1, SIZE, file), SIZE);
	fclose(file);
	cr_assert_eq(run("src", "dst"), 0);
	slurp("out", out, sizeof(out) - 1);
	cr_assert_eq(strncmp(out, "300001 bytes, ", 14), 0, "%s", out);
	cr_assert_eq(slurp("dst", back, sizeof(back)), SIZE);
	cr_assert(!memcmp(data, back, SIZE));
	cr_assert_eq(run("none", "other"), 1);
	unlink("src");
	unlink("dst");
	unlink("other");
	unlink("out");
	cr_assert_eq(chdir("/"), 0);
	cr_assert_eq(rmdir(dir), 0);
}
