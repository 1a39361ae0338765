// SPDX-License-Identifier: GPL-2.0
/*
 * dma_preload.so: for v4l2-compliance 1.22, which is older than the kernel. It
 * wants to see zeros in what was reserved in VIDIOC_CREATE_BUFS then. Since Linux
 * 6.9 a part of that is the number of buffers that a queue can have.
 */
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of whatever version the header is, flags precede what was reserved. */
#define RESERVED	(offsetof(struct v4l2_create_buffers, flags) + 4)

int ioctl(int fd, unsigned long request, ...)
{
	va_list words;
	char *data;
	int ret;

	va_start(words, request);
	data = va_arg(words, char *);
	va_end(words);
	ret = syscall(SYS_ioctl, fd, request, data);
	if (!ret && request == VIDIOC_CREATE_BUFS)
		memset(data + RESERVED, 0,
		       sizeof(struct v4l2_create_buffers) - RESERVED);
	return ret;
}
