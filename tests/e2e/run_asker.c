// SPDX-License-Identifier: MIT
/*
 * Asks for clones in hard ways, under "offlay run": from many threads and
 * processes, with descriptors and memory that go away meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (256 << 10)

static void must(bool is_true, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_file(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC, 0644);

	must(fd >= 0, name);
	return fd;
}

static unsigned int amount(char **argv)
{
	return (unsigned int)atoi(argv[2]);
}

/* Clones "src" into a file of a number's own, and looks at its size. */
static void clone_numbered(unsigned int number)
{
	char name[32];
	struct stat st;
	int src, dst;

	snprintf(name, sizeof(name), "dst%u", number);
	src = open_file("src", O_RDONLY);
	dst = open_file(name, O_RDWR | O_CREAT | O_TRUNC);
	must(!ioctl(dst, FICLONE, src), "FICLONE");
	must(!fstat(dst, &st) && st.st_size == SIZE, "size");
	close(src);
	close(dst);
}

static void *clone_thread(void *arg)
{
	for (unsigned int i = 0; i < 20; i++)
		clone_numbered((unsigned int)(uintptr_t)arg);
	return NULL;
}

static void threads(char **argv)
{
	pthread_t thread[256];
	unsigned int n = amount(argv);

	for (uintptr_t i = 0; i < n; i++)
		must(!pthread_create(&thread[i], NULL, clone_thread, (void *)i),
		     "thread");
	for (unsigned int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

/* A tree of processes, each of which clones and forks twice. */
static void fork_tree(unsigned int number, unsigned int depth)
{
	pid_t pids[2];
	int status;

	clone_numbered(number);
	if (!depth)
		return;
	for (unsigned int i = 0; i < 2; i++) {
		pids[i] = fork();
		must(pids[i] >= 0, "fork");
		if (!pids[i]) {
			fork_tree(number * 2 + i, depth - 1);
			_exit(0);
		}
	}
	for (unsigned int i = 0; i < 2; i++) {
		must(waitpid(pids[i], &status, 0) == pids[i], "wait");
		must(!status, "child");
	}
}

static void forks(char **argv)
{
	fork_tree(1, amount(argv));
}

/* Children whose parents end at once, and who ask afterwards. */
static void orphans(char **argv)
{
	for (unsigned int i = 0; i < amount(argv); i++) {
		if (fork())
			continue;
		if (!fork()) {
			usleep(20000);
			clone_numbered(i);
			_exit(0);
		}
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
}

/* A thread has its own descriptors, and the same numbers mean other files. */
static void *unshared_thread(void *arg)
{
	const int *fds = arg;
	int other;

	must(!unshare(CLONE_FILES), "unshare");
	other = open_file("other", O_RDWR | O_CREAT | O_TRUNC);
	must(dup2(other, fds[1]) == fds[1], "dup2");
	must(!ioctl(fds[1], FICLONE, fds[0]), "FICLONE");
	return NULL;
}

static void unshared(char **argv)
{
	struct stat st;
	pthread_t thread;
	int fds[2];

	(void)argv;
	fds[0] = open_file("src", O_RDONLY);
	fds[1] = open_file("mine", O_RDWR | O_CREAT | O_TRUNC);
	must(!pthread_create(&thread, NULL, unshared_thread, fds), "thread");
	pthread_join(thread, NULL);
	must(!fstat(fds[1], &st) && st.st_size == 0, "the wrong file");
	must(!stat("other", &st) && st.st_size == SIZE, "the right file");
}

static void *ask_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		clone_numbered((unsigned int)gettid());
	return NULL;
}

/* The program is replaced while its other threads ask. */
static void execs(char **argv)
{
	char count[16];
	pthread_t thread;
	unsigned int n = amount(argv);

	if (!n)
		return;
	for (int i = 0; i < 4; i++)
		must(!pthread_create(&thread, NULL, ask_for_ever, NULL),
		     "thread");
	usleep(5000);
	snprintf(count, sizeof(count), "%u", n - 1);
	execl("/proc/self/exe", "run_asker", "execs", count, NULL);
	must(false, "exec");
}

/* Descriptors that came through a socket, from somebody who has ended. */
static void passed(char **argv)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(2 * sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.room,
				  .msg_controllen = sizeof(control.room) };
	int socks[2], fds[2];

	(void)argv;
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, socks), "socketpair");
	if (!fork()) {
		fds[0] = open_file("src", O_RDONLY);
		fds[1] = open_file("got", O_RDWR | O_CREAT | O_TRUNC);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
		must(sendmsg(socks[1], &message, 0) == 1, "sendmsg");
		_exit(0);
	}
	wait(NULL);
	must(recvmsg(socks[0], &message, 0) == 1, "recvmsg");
	memcpy(fds, CMSG_DATA(&control.header), sizeof(fds));
	must(!ioctl(fds[1], FICLONE, fds[0]), "FICLONE");
}

static atomic_int stop;
static int moving_fd;
static void *moving_page;

static void *close_and_open(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		close(moving_fd);
		dup2(open_file("moving", O_RDWR), moving_fd);
		close(moving_fd + 1);
		sched_yield();
	}
	return NULL;
}

/* Closed and opened anew meanwhile: done, or no such descriptor. */
static void closed(char **argv)
{
	int src = open_file("src", O_RDONLY), err;
	pthread_t thread;

	close(open_file("moving", O_RDWR | O_CREAT));
	moving_fd = open_file("moving", O_RDWR);
	must(!pthread_create(&thread, NULL, close_and_open, NULL), "thread");
	for (unsigned int i = 0; i < amount(argv); i++) {
		err = ioctl(moving_fd, FICLONE, src) ? errno : 0;
		errno = err;
		must(!err || err == EBADF, "closed meanwhile");
	}
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
}

static void *map_and_unmap(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		mprotect(moving_page, 4096, PROT_NONE);
		sched_yield();
		mprotect(moving_page, 4096, PROT_READ | PROT_WRITE);
		usleep(50);
	}
	return NULL;
}

static void unmapped(char **argv)
{
	struct file_clone_range *range;
	int src = open_file("src", O_RDONLY), err;
	int dst = open_file("dst", O_RDWR | O_CREAT | O_TRUNC);
	struct fiemap *map;
	pthread_t thread;

	moving_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range = moving_page;
	range->src_fd = src;
	map = (struct fiemap *)(range + 1);
	map->fm_length = SIZE;
	map->fm_extent_count = 10;
	must(!pthread_create(&thread, NULL, map_and_unmap, NULL), "thread");
	for (unsigned int i = 0; i < amount(argv); i++) {
		err = ioctl(dst, FICLONERANGE, range) ? errno : 0;
		errno = err;
		must(!err || err == EFAULT, "FICLONERANGE");
		err = ioctl(dst, FS_IOC_FIEMAP, map) ? errno : 0;
		errno = err;
		must(!err || err == EFAULT, "FIEMAP");
	}
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	/* Memory that may be read but not written to stays as it is. */
	map->fm_flags = map->fm_extent_count = 0;
	map->fm_mapped_extents = 12345;
	mprotect(moving_page, 4096, PROT_READ);
	must(ioctl(dst, FS_IOC_FIEMAP, map) && errno == EFAULT, "read-only");
	must(map->fm_mapped_extents == 12345, "read-only memory");
}

/* Structures that grow between one look and the next. */
static void *lie(void *arg)
{
	struct file_dedupe_range *range = arg;
	volatile __u16 *count = &range->dest_count;

	while (!atomic_load(&stop)) {
		*count = 1;
		*count = 100;
		*count = 65535;
	}
	return NULL;
}

static void liars(char **argv)
{
	struct file_dedupe_range *range = calloc(1, 8192);
	int src = open_file("src", O_RDONLY), err;
	pthread_t thread;

	must(range != NULL, "calloc");
	range->src_length = 4096;
	memset(range->info, 0xff, 4000);
	must(!pthread_create(&thread, NULL, lie, range), "thread");
	for (unsigned int i = 0; i < amount(argv); i++) {
		err = ioctl(src, FIDEDUPERANGE, range) ? errno : 0;
		errno = err;
		must(!err || err == ENOMEM, "FIDEDUPERANGE");
	}
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	for (unsigned char *at = (unsigned char *)range + 4096;
	     at < (unsigned char *)range + 8192; at++)
		must(*at == 0, "written behind the end");
}

#ifdef __x86_64__
/* As a program of 32 bits calls it: 54 is ioctl there. */
static int ioctl_32(int fd, unsigned int request, void *arg)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(54L), "b"((long)fd), "c"((long)request),
			   "d"((long)(uintptr_t)arg)
			 : "memory", "r8", "r9", "r10", "r11");
	if (ret >= 0)
		return (int)ret;
	errno = (int)-ret;
	return -1;
}

/* Where the kernel is without it, the instruction is no good. */
static bool has_32(void)
{
	pid_t pid = fork();
	int status;

	must(pid >= 0, "fork");
	if (!pid)
		_exit(ioctl_32(-1, FIGETBSZ, NULL) && errno == EBADF ? 0 : 1);
	must(waitpid(pid, &status, 0) == pid, "wait");
	return !status;
}

static void other_abi(char **argv)
{
	int src = open_file("src", O_RDONLY);
	int dst = open_file("dst", O_RDWR | O_CREAT | O_TRUNC);
	struct file_clone_range *range;
	struct fiemap *map;

	(void)argv;
	/* The kernel looks at the low half of a request alone. */
	must(!syscall(SYS_ioctl, dst, FICLONE | 1ul << 40, src), "high bits");
	if (!has_32()) {
		puts("no programs of 32 bits here");
		return;
	}
	range = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	must(range != MAP_FAILED, "mmap");
	range->src_fd = src;
	range->src_length = 65536;
	must(!ioctl_32(dst, FICLONERANGE, range), "FICLONERANGE");
	must(!ioctl_32(dst, FICLONE, (void *)(uintptr_t)src), "FICLONE");
	map = (struct fiemap *)(range + 1);
	map->fm_length = SIZE;
	must(!ioctl_32(dst, FS_IOC_FIEMAP, map), "FIEMAP");
	must(map->fm_mapped_extents > 0, "extents");
	must(ioctl_32(dst, FICLONERANGE, NULL) && errno == EFAULT, "EFAULT");
}
#else
static void other_abi(char **argv)
{
	(void)argv;
	puts("only x86-64 has another one that can be tried");
}
#endif

/* For ever, until killed. */
static void endless(char **argv)
{
	(void)argv;
	for (int i = 0; i < 4; i++)
		if (!fork())
			ask_for_ever(NULL);
	ask_for_ever(NULL);
}

/* Until the requests fail as they do without a supervisor. */
static void forsaken(char **argv)
{
	int src = open_file("src", O_RDONLY);
	int dst = open_file("dst", O_RDWR | O_CREAT | O_TRUNC);

	(void)argv;
	puts("ready");
	fflush(stdout);
	while (!ioctl(dst, FICLONE, src))
		;
	must(errno == ENOSYS, "FICLONE");
	must(ioctl(dst, FICLONE, src) && errno == ENOSYS, "FICLONE");
	exit(42);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*ask)(char **argv);
	} ways[] = {
		{ "threads", threads },	  { "forks", forks },
		{ "orphans", orphans },	  { "unshared", unshared },
		{ "execs", execs },	  { "passed", passed },
		{ "closed", closed },	  { "unmapped", unmapped },
		{ "liars", liars },	  { "endless", endless },
		{ "forsaken", forsaken }, { "other_abi", other_abi },
	};

	if (argc != 3)
		return 2;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (strcmp(argv[1], ways[i].name))
			continue;
		ways[i].ask(argv);
		return 0;
	}
	return 2;
}
