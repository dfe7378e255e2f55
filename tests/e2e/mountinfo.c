/* SPDX-License-Identifier: MIT */
/* Reading /proc/self/mountinfo, which answers without asking a filesystem. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mountinfo.h"

/* Undo the kernel's \ooo escapes of space, tab, newline and backslash. */
static void unescape(char *ret, size_t size, const char *text)
{
	size_t n = 0;

	while (*text && n + 1 < size) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			ret[n++] =
				(char)((text[1] - '0') << 6 |
				       (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			ret[n++] = *text++;
		}
	}
	ret[n] = '\0';
}

static int parse_line(char *line, struct mountinfo_entry *ret)
{
	char *save, *word = strtok_r(line, " \n", &save);
	int field = 0;

	for (; word; word = strtok_r(NULL, " \n", &save), field++) {
		if (field == 4)
			unescape(ret->path, sizeof(ret->path), word);
		if (field > 5 && strcmp(word, "-") == 0)
			break;
	}
	if (!word)
		return -EINVAL;
	word = strtok_r(NULL, " \n", &save);
	if (!word)
		return -EINVAL;
	unescape(ret->type, sizeof(ret->type), word);
	word = strtok_r(NULL, " \n", &save);
	unescape(ret->source, sizeof(ret->source), word ? word : "");
	return 0;
}

static int is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 &&
	       (path[n] == '/' || path[n] == '\0');
}

int mountinfo_below(const char *dir, struct mountinfo_list *ret_list)
{
	struct mountinfo_list list = { 0 };
	struct mountinfo_entry entry;
	size_t size = 0;
	char *line = NULL;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	int err = 0;

	if (!file)
		return -errno;
	while (!err && getline(&line, &size, file) > 0) {
		struct mountinfo_entry *grown;

		if (parse_line(line, &entry) || !is_below(entry.path, dir))
			continue;
		grown = reallocarray(list.at, list.n + 1, sizeof(entry));
		if (!grown) {
			err = -ENOMEM;
			break;
		}
		list.at = grown;
		list.at[list.n++] = entry;
	}
	free(line);
	fclose(file);
	if (err)
		mountinfo_done(&list);
	else
		*ret_list = list;
	return err;
}

void mountinfo_done(struct mountinfo_list *list)
{
	free(list->at);
	list->at = NULL;
	list->n = 0;
}

int mountinfo_find(const char *path, struct mountinfo_entry *ret_entry)
{
	struct mountinfo_list list;
	int err = -ENOENT;

	if (mountinfo_below(path, &list))
		return -ENOENT;
	for (size_t i = list.n; err && i-- > 0;) {
		if (strcmp(list.at[i].path, path) != 0)
			continue;
		if (ret_entry)
			*ret_entry = list.at[i];
		err = 0;
	}
	mountinfo_done(&list);
	return err;
}
