// SPDX-License-Identifier: MIT
/* offlay explain: asks the mount that a file is on, or the library. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "explain.h"
#include "offlay_uapi.h"
#include "private.h"

static const char *refuse_name(uint32_t refuse)
{
	switch (refuse) {
	case OFFLAY_IOC_REFUSE_VISIBLE:
		return "visible";
	case OFFLAY_IOC_REFUSE_KERNEL:
		return "kernel";
	case OFFLAY_IOC_REFUSE_COPY:
		return "copy";
	default:
		return "unknown";
	}
}

static const char *offload_name(uint32_t offload)
{
	switch (offload) {
	case OFFLAY_IOC_OFFLOAD_AUTO:
		return "auto";
	case OFFLAY_IOC_OFFLOAD_CLONE:
		return "clone";
	default:
		return "unknown";
	}
}

/* Return: 0, -ENOTTY where no offlayfs answers, or another error. */
static int ask_mount(int fd, struct explain_answer *answer)
{
	struct offlay_ioc_explain explain = { .version = OFFLAY_ABI_VERSION };
	struct statfs fs;

	/* To other filesystems the number may mean anything. */
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != FUSE_SUPER_MAGIC)
		return -ENOTTY;
	if (ioctl(fd, OFFLAY_IOC_EXPLAIN, &explain) < 0)
		return errno == ENOSYS ? -ENOTTY : -errno;
	facts_explain_unpack(&explain, &answer->facts[OFFLAY_SOURCE],
			     &answer->facts[OFFLAY_DESTINATION]);
	answer->reasons[OFFLAY_SOURCE] = explain.src_reasons;
	answer->reasons[OFFLAY_DESTINATION] = explain.dst_reasons;
	answer->deny = explain.deny;
	answer->has_mount = true;
	answer->mount.deny = explain.deny;
	answer->mount.refuse = refuse_name(explain.refuse);
	answer->mount.offload = offload_name(explain.offload);
	return 0;
}

static void judge(struct explain_answer *answer, unsigned int deny)
{
	answer->deny = deny;
	for (int side = OFFLAY_SOURCE; side <= OFFLAY_DESTINATION; side++)
		answer->reasons[side] =
			offlay_eligible(&answer->facts[side], side, deny)
				.reasons;
}

static int ask_library(int fd, unsigned int deny, struct explain_answer *answer)
{
	bool is_swap = false, is_unable = false;
	uint32_t fs_type;
	int err = 0;

	for (int side = OFFLAY_SOURCE; !err && side <= OFFLAY_DESTINATION;
	     side++)
		err = offlay_facts_gather(fd, side, deny, &answer->facts[side]);
	if (!err)
		err = facts_find_swap(fd, &is_swap);
	fs_type = answer->facts[OFFLAY_SOURCE].fs_type;
	if (!err)
		err = facts_find_volume(fd, fs_type, &is_unable);
	if (err)
		return err;
	for (int side = OFFLAY_SOURCE; side <= OFFLAY_DESTINATION; side++) {
		answer->facts[side].swap_file = is_swap;
		answer->facts[side].volume_unable = is_unable;
	}
	judge(answer, deny);
	return 0;
}

/* Opening a device or a FIFO can do things, and its type says it all. */
static int ask_type(const struct stat *st, unsigned int deny,
		    struct explain_answer *answer)
{
	for (int side = OFFLAY_SOURCE; side <= OFFLAY_DESTINATION; side++)
		answer->facts[side].mode = st->st_mode;
	judge(answer, deny);
	return 0;
}

int explain_ask(const char *name, unsigned int deny,
		struct explain_answer *ret_answer)
{
	struct explain_answer answer = { 0 };
	struct stat st;
	int err, fd;

	if (stat(name, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode)) {
		err = ask_type(&st, deny, &answer);
	} else {
		fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		err = ask_mount(fd, &answer);
		if (err == -ENOTTY)
			err = ask_library(fd, deny, &answer);
		close(fd);
	}
	if (!err)
		*ret_answer = answer;
	return err;
}

bool explain_is_eligible(const struct explain_answer *answer)
{
	/* With offload=clone nothing else will do. */
	if (answer->facts[OFFLAY_SOURCE].volume_unable && answer->has_mount &&
	    !strcmp(answer->mount.offload,
		    offload_name(OFFLAY_IOC_OFFLOAD_CLONE)))
		return false;
	return !answer->reasons[OFFLAY_SOURCE] &&
	       !answer->reasons[OFFLAY_DESTINATION];
}
