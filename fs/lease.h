/* SPDX-License-Identifier: MIT */
/* Leases on files of the backing, F_SETLEASE of fcntl(2). */
#ifndef OFFLAY_LEASE_H
#define OFFLAY_LEASE_H

#include <stdbool.h>

/*
 * @type: F_RDLCK, which the kernel grants only while nobody has the file open
 * for writing, or F_WRLCK: while nobody else has it open at all.  Whoever comes
 * waits until the lease is given back.
 */
bool lease_take(int fd, int type);
/* False as soon as somebody waits for it. */
bool lease_is_whole(int fd, int type);
void lease_give(int fd);

#endif
