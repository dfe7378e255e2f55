// SPDX-License-Identifier: MIT
/* Tests of tools/copy_names.c: a list that grows, in the order of inodes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "copy.h"

#define MANY 5000u

Test(copy_names, keeps_every_name_in_inode_order)
{
	struct copy_names names = { 0 };
	char name[32];

	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		cr_assert_eq(copy_names_add(&names, name, (i * 7919u) % MANY,
					    (unsigned char)(i % 13)),
			     0);
	}
	cr_assert_eq(names.count, MANY);
	copy_names_sort(&names);
	for (unsigned int i = 0; i < MANY; i++) {
		const struct copy_name *item = &names.items[i];
		unsigned int number;

		cr_assert_eq(item->ino, i);
		cr_assert_eq(sscanf(names.bytes + item->at, "name-%u", &number),
			     1);
		cr_assert_eq((number * 7919u) % MANY, i);
		cr_assert_eq(item->type, number % 13);
	}
	copy_names_done(&names);
	cr_expect_eq(names.count, 0);
	cr_expect_null(names.bytes);
}

Test(copy_names, takes_names_of_any_length)
{
	struct copy_names names = { 0 };
	char name[256];

	for (size_t length = 1; length < sizeof(name); length++) {
		memset(name, 'a' + (int)(length % 26), length);
		name[length] = '\0';
		cr_assert_eq(copy_names_add(&names, name, 1000 - length, 0), 0);
	}
	copy_names_sort(&names);
	for (size_t i = 0; i < names.count; i++)
		cr_expect_eq(strlen(names.bytes + names.items[i].at), 255 - i);
	copy_names_done(&names);
	/* An empty list is nothing to sort. */
	copy_names_sort(&names);
	copy_names_done(&names);
}
