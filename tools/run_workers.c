// SPDX-License-Identifier: MIT
/* Threads that take requests from the listener and answer them. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run.h"
#include "tools.h"

/*
 * More requests than this at once wait in the kernel.  A thread that waits for
 * a slow answer keeps no other from being given.
 */
#define WORKERS_MAX 64
/* Threads that wait for a request beyond these end. */
#define IDLE_MAX 4
#define STACK	 (128u << 10)

/* Linux 6.6: the answer wakes the caller on the processor that gives it. */
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS	   SECCOMP_IOW(4, __u64)
#endif

struct workers {
	const struct run_supervisor *supervisor;
	size_t request_size, answer_size; /* as this kernel has them */
	pthread_mutex_t lock;		  /* guards all below */
	unsigned int n_threads, n_idle;
};

static void *work(void *arg);

static int add_worker(struct workers *workers)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, work, workers);
	pthread_attr_destroy(&attr);
	return -err;
}

/* Somebody always waits for the next request, up to the limit. */
static void leave_idle(struct workers *workers)
{
	bool add;

	pthread_mutex_lock(&workers->lock);
	workers->n_idle--;
	add = !workers->n_idle && workers->n_threads < WORKERS_MAX;
	if (add) {
		workers->n_threads++;
		workers->n_idle++;
	}
	pthread_mutex_unlock(&workers->lock);
	if (!add || !add_worker(workers))
		return;
	pthread_mutex_lock(&workers->lock);
	workers->n_threads--;
	workers->n_idle--;
	pthread_mutex_unlock(&workers->lock);
}

/* Return: false where there are enough without this thread. */
static bool enter_idle(struct workers *workers)
{
	bool stays;

	pthread_mutex_lock(&workers->lock);
	stays = workers->n_idle < IDLE_MAX;
	if (stays)
		workers->n_idle++;
	else
		workers->n_threads--;
	pthread_mutex_unlock(&workers->lock);
	return stays;
}

static void answer(const struct run_supervisor *supervisor,
		   const struct seccomp_notif *request,
		   struct seccomp_notif_resp *ret_answer)
{
	struct run_target target;
	int err = 0;

	ret_answer->id = request->id;
	ret_answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	if (run_target_open(supervisor, request->id, (pid_t)request->pid,
			    &target))
		return;
	if (run_answer(&target, &request->data, &err)) {
		ret_answer->flags = 0;
		ret_answer->error = err;
	}
	run_target_close(&target);
}

/* Killed before its request came here, or is nobody left who could ask? */
static bool is_over(int listener)
{
	struct pollfd fd = { listener, 0, 0 };

	return poll(&fd, 1, 0) == 1 && (fd.revents & (POLLHUP | POLLERR));
}

/* One request, from start to end.  Return: false where there will be no more. */
static bool serve(struct workers *workers, struct seccomp_notif *request,
		  struct seccomp_notif_resp *reply)
{
	int listener = workers->supervisor->listener;

	memset(request, 0, workers->request_size);
	memset(reply, 0, workers->answer_size);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, request))
		return (errno == ENOENT || errno == EINTR || errno == EAGAIN) &&
		       !is_over(listener);
	leave_idle(workers);
	answer(workers->supervisor, request, reply);
	/* ENOENT: killed meanwhile, or interrupted, and asking again. */
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, reply);
	return enter_idle(workers);
}

static void *work(void *arg)
{
	struct workers *workers = arg;
	struct seccomp_notif *request = malloc(workers->request_size);
	struct seccomp_notif_resp *reply = malloc(workers->answer_size);

	while (request && reply && serve(workers, request, reply))
		;
	free(request);
	free(reply);
	return NULL;
}

int run_workers_start(struct run_supervisor *supervisor)
{
	static struct workers workers = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return -errno;
	workers.supervisor = supervisor;
	workers.request_size = sizes.seccomp_notif;
	if (workers.request_size < sizeof(struct seccomp_notif))
		workers.request_size = sizeof(struct seccomp_notif);
	workers.answer_size = sizes.seccomp_notif_resp;
	if (workers.answer_size < sizeof(struct seccomp_notif_resp))
		workers.answer_size = sizeof(struct seccomp_notif_resp);
	ioctl(supervisor->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
	      SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	workers.n_threads = workers.n_idle = 1;
	return add_worker(&workers);
}
