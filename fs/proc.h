/* SPDX-License-Identifier: MIT */
/* What /proc says of a process or thread. */
#ifndef OFFLAY_PROC_H
#define OFFLAY_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The beginning of a file of /proc, ended with a NUL in any case.
 * @proc_fd: of /proc, or -1
 * Return: its length, or -errno.
 */
ssize_t proc_read(int proc_fd, const char *path, char *text, size_t size);

/*
 * A number of /proc/PID/stat by its place in proc_pid_stat(5), from 4 on.
 * @text: ends with a NUL, and may have been cut off.
 */
bool proc_stat_field(const char *text, unsigned int field, long *ret_value);

/* @proc_fd: of /proc, or -1.  Return: 0 where it is not known. */
pid_t proc_parent(int proc_fd, pid_t pid);
/* The processor that it runs on, or has run on last; -1 where not known. */
int proc_processor(int proc_fd, pid_t pid);

/*
 * Where a descriptor of @pid goes on reading the file with the inode number
 * @ino, of whichever filesystem.  False where it has none that has moved.
 * @text, of proc_position(): of a file of /proc/PID/fdinfo
 */
bool proc_position(const char *text, uint64_t ino, uint64_t *ret_position);
bool proc_find_position(int proc_fd, pid_t pid, uint64_t ino,
			uint64_t *ret_position);

#endif
