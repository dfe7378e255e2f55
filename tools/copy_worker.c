// SPDX-License-Identifier: MIT
/* The scratch memory of one copying thread, made when it is first needed. */
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>

#include "copy.h"

/**
 * copy_worker_attrs() - memory for the names and one value of xattrs
 *
 * Return: 0 or -ENOMEM.
 */
int copy_worker_attrs(struct copy_worker *worker)
{
	if (!worker->names)
		worker->names = malloc(XATTR_LIST_MAX);
	if (!worker->value)
		worker->value = malloc(XATTR_SIZE_MAX);
	return worker->names && worker->value ? 0 : -ENOMEM;
}

/**
 * copy_worker_buffers() - memory for comparing two files
 *
 * Return: 0 or -ENOMEM.
 */
int copy_worker_buffers(struct copy_worker *worker)
{
	if (!worker->src_buf)
		worker->src_buf = malloc(COPY_BUFFER);
	if (!worker->dst_buf)
		worker->dst_buf = malloc(COPY_BUFFER);
	return worker->src_buf && worker->dst_buf ? 0 : -ENOMEM;
}

/**
 * copy_worker_done() - free the memory; the worker may be used again
 */
void copy_worker_done(struct copy_worker *worker)
{
	free(worker->names);
	free(worker->value);
	free(worker->src_buf);
	free(worker->dst_buf);
	worker->names = worker->value = NULL;
	worker->src_buf = worker->dst_buf = NULL;
}
