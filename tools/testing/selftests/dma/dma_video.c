// SPDX-License-Identifier: GPL-2.0
/*
 * dma_video: capture frames from the driver video-edu and compare each byte.
 *
 * The device's own DMA writes the frames; what is in them follows from a seed and
 * the frame's number, see drivers/media/test-drivers/edu/video-edu.c. The memory
 * around a frame is checked, too: not a byte of it may change.
 *
 * Memory is scattered on purpose, see dma_scattered.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "dma_scattered.h"

#define CID_SEED	(V4L2_CID_USER_BASE | 0xf000)
#define PATTERN		4095
#define CHUNK		3072
#define OFFSETS		1024
#define POISON		0xa5
#define BUFFERS		3

static const char usage[] =
"usage: dma_video [-s WxH] [-n FRAMES] [-o OFFSET] [-r] DEVICE MEMORY\n"
"\n"
"  -s WxH     size of a frame (128x96)\n"
"  -n FRAMES  how many (2)\n"
"  -o OFFSET  of a buffer in its first page (userptr)\n"
"  -r         the driver has to refuse the memory\n"
"\n"
"MEMORY is where the frames go:\n"
"  mmap       memory of the driver's\n"
"  read       the same, copied by read()\n"
"  userptr    scattered pages of this program\n"
"  udmabuf    scattered pages of a memfd, as a DMA-BUF\n"
"  heap       a DMA-BUF of the system heap\n"
"  DEVICE2    a DMA-BUF exported by that video device, or by the same\n"
"\n"
"  stop       memory of the driver's, left alone after a stop in mid-frame\n"
"  forever    as udmabuf, until the device goes away;\n"
"             SIGUSR1 tells when its driver has gone\n";

/* A buffer: @frame bytes at @offset of what is mapped at @map */
struct buffer {
	unsigned char *map;
	size_t size;		/* of @map */
	size_t offset;
	int fd;			/* of a DMA-BUF, or -1 */
};

static struct buffer buffers[BUFFERS];
static size_t frame, offset;
static int width = 128, height = 96, frames = 2;
static unsigned char pattern[PATTERN];
static bool refused;
static enum v4l2_memory memory;

/* ---- what is in a frame ------------------------------------------------------ */

static void pattern_set(uint32_t state)
{
	size_t i;

	for (i = 0; i < PATTERN; i++) {
		state = state * 1664525 + 1013904223;
		pattern[i] = state >> 24;
	}
}

static unsigned char pattern_at(unsigned int number, size_t at)
{
	return pattern[(number * 97 + at / CHUNK * 389) % OFFSETS + at % CHUNK];
}

static void check_frame(const unsigned char *p, unsigned int number)
{
	size_t i;

	for (i = 0; i < frame; i++) {
		if (p[i] == pattern_at(number, i))
			continue;
		printf("frame %u: byte %zu of %zu is %#x, should be %#x\n",
		       number, i, frame, p[i], pattern_at(number, i));
		exit(1);
	}
}

static void check_poison(const unsigned char *p, size_t from, size_t end,
			 const char *where)
{
	size_t i;

	for (i = from; i < end; i++) {
		if (p[i] == POISON)
			continue;
		printf("%s: byte %zu is %#x, nobody should have written there\n",
		       where, i, p[i]);
		exit(1);
	}
}

/* ---- memory ------------------------------------------------------------------ */

/* Each page of the buffer is moved to its place from somewhere in a pool. */
static void userptr_new(struct buffer *b)
{
	size_t count, *chosen, i;
	unsigned char *pool;

	b->offset = offset;
	b->size = whole_pages(offset + frame);
	b->fd = -1;
	count = b->size / page;
	chosen = malloc(count * sizeof(*chosen));
	must(chosen, "memory");
	pool = mmap(NULL, CHOICE * b->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	b->map = mmap(NULL, b->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	must(pool != MAP_FAILED && b->map != MAP_FAILED, "mmap");
	madvise(pool, CHOICE * b->size, MADV_NOHUGEPAGE);
	memset(pool, 0, CHOICE * b->size);
	scatter(pool, CHOICE * count, chosen, count);
	for (i = 0; i < count; i++)
		must(mremap(pool + chosen[i] * page, page, page,
			    MREMAP_MAYMOVE | MREMAP_FIXED,
			    b->map + i * page) != MAP_FAILED, "mremap");
	free(chosen);
}

static void udmabuf_new(struct buffer *b)
{
	b->size = whole_pages(frame);
	b->fd = scattered_udmabuf(b->size, &b->map);
}

static void dmabuf_map(struct buffer *b)
{
	b->map = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	must(b->map != MAP_FAILED, "mmap of a DMA-BUF");
}

static void heap_new(struct buffer *b)
{
	struct dma_heap_allocation_data data = {
		.len = whole_pages(frame), .fd_flags = O_RDWR | O_CLOEXEC,
	};
	int fd = open("/dev/dma_heap/system", O_RDWR);

	must(fd >= 0, "/dev/dma_heap/system");
	must(!ioctl(fd, DMA_HEAP_IOCTL_ALLOC, &data), "DMA_HEAP_IOCTL_ALLOC");
	close(fd);
	b->fd = data.fd;
	b->size = data.len;
	dmabuf_map(b);
}

/*
 * The program's access to a buffer begins or ends. Also to write: exporters take
 * this for the direction of the DMA, and it is always from the device.
 */
static void dmabuf_sync(struct buffer *b, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_READ };

	if (b->fd >= 0)
		must(!ioctl(b->fd, DMA_BUF_IOCTL_SYNC, &sync),
		     "DMA_BUF_IOCTL_SYNC");
}

static void poison(struct buffer *b)
{
	dmabuf_sync(b, DMA_BUF_SYNC_START);
	memset(b->map, POISON, b->size);
	dmabuf_sync(b, DMA_BUF_SYNC_END);
}

/* ---- video ------------------------------------------------------------------- */

static int video_open(const char *name)
{
	struct v4l2_format format = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.fmt.pix = {
			.width = width, .height = height,
			.pixelformat = V4L2_PIX_FMT_GREY,
		},
	};
	int fd = open(name, O_RDWR);

	must(fd >= 0, name);
	must(!ioctl(fd, VIDIOC_S_FMT, &format), "VIDIOC_S_FMT");
	if ((int)format.fmt.pix.width != width ||
	    (int)format.fmt.pix.height != height) {
		printf("no frames of %dx%d\n", width, height);
		exit(1);
	}
	frame = format.fmt.pix.sizeimage;
	return fd;
}

/* Another pattern each time: a frame of an earlier run cannot pass. */
static void video_seed(int fd)
{
	struct v4l2_control control = { .id = CID_SEED };
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	control.value = (now.tv_nsec ^ getpid() << 16) & 0x7fffffff;
	must(!ioctl(fd, VIDIOC_S_CTRL, &control), "the seed");
	pattern_set(control.value);
}

static void video_request(int fd, enum v4l2_memory kind, int count)
{
	struct v4l2_requestbuffers request = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = kind,
		.count = count,
	};

	must(!ioctl(fd, VIDIOC_REQBUFS, &request), "VIDIOC_REQBUFS");
	if ((int)request.count != count) {
		printf("%d buffers in place of %d\n", request.count, count);
		exit(1);
	}
}

/* Where the driver's own buffers are */
static void video_buffer(int fd, int i)
{
	struct v4l2_buffer v = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP,
		.index = i,
	};

	must(!ioctl(fd, VIDIOC_QUERYBUF, &v), "VIDIOC_QUERYBUF");
	buffers[i].fd = -1;
	buffers[i].size = v.length;
	buffers[i].map = mmap(NULL, v.length, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, v.m.offset);
	must(buffers[i].map != MAP_FAILED, "mmap of a buffer");
}

/* A buffer of another driver's: it keeps its memory when the queue is gone. */
static void video_export(int fd, int i)
{
	struct v4l2_exportbuffer export = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .index = i,
		.flags = O_RDWR | O_CLOEXEC,
	};

	must(!ioctl(fd, VIDIOC_EXPBUF, &export), "VIDIOC_EXPBUF");
	buffers[i].fd = export.fd;
	buffers[i].size = whole_pages(frame);
	dmabuf_map(&buffers[i]);
}

static int video_queue(int fd, int i)
{
	struct buffer *b = &buffers[i];
	struct v4l2_buffer v = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = memory,
		.index = i,
	};

	if (memory == V4L2_MEMORY_USERPTR) {
		v.m.userptr = (uintptr_t)b->map + b->offset;
		v.length = frame;
	} else if (memory == V4L2_MEMORY_DMABUF) {
		v.m.fd = b->fd;
		v.length = b->size;
	}
	return ioctl(fd, VIDIOC_QBUF, &v);
}

static void video_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, 60000) == 1)
		return;
	printf("no frame within a minute\n");
	exit(1);
}

static bool video_dequeue(int fd, struct v4l2_buffer *v)
{
	memset(v, 0, sizeof(*v));
	v->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	v->memory = memory;
	video_wait(fd);
	return !ioctl(fd, VIDIOC_DQBUF, v);
}

static void video_start(int fd)
{
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;

	must(!ioctl(fd, VIDIOC_STREAMON, &type), "VIDIOC_STREAMON");
}

static void video_stop(int fd)
{
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;

	must(!ioctl(fd, VIDIOC_STREAMOFF, &type), "VIDIOC_STREAMOFF");
}

/* ---- what is asked for ------------------------------------------------------- */

static void check_buffer(const struct v4l2_buffer *v, unsigned int number)
{
	struct buffer *b = &buffers[v->index];

	if (v->sequence != number || v->bytesused != frame ||
	    (v->flags & V4L2_BUF_FLAG_ERROR)) {
		printf("frame %u: sequence %u, %u bytes, flags %#x\n", number,
		       v->sequence, v->bytesused, v->flags);
		exit(1);
	}
	dmabuf_sync(b, DMA_BUF_SYNC_START);
	check_poison(b->map, 0, b->offset, "before the frame");
	check_frame(b->map + b->offset, number);
	check_poison(b->map, b->offset + frame, b->size, "after the frame");
	dmabuf_sync(b, DMA_BUF_SYNC_END);
}

static void capture(int fd, bool scattered)
{
	struct v4l2_buffer v;
	int i;

	video_seed(fd);
	for (i = 0; i < BUFFERS; i++) {
		poison(&buffers[i]);
		must(!video_queue(fd, i), "VIDIOC_QBUF");
		if (scattered)
			check_scattered(buffers[i].map, buffers[i].size);
	}
	video_start(fd);
	for (i = 0; i < frames; i++) {
		must(video_dequeue(fd, &v), "VIDIOC_DQBUF");
		check_buffer(&v, i);
		poison(&buffers[v.index]);
		must(!video_queue(fd, v.index), "VIDIOC_QBUF");
	}
	video_stop(fd);
	printf("%d frames of %dx%d, each byte as it should be%s\n", frames, width,
	       height, scattered ? ", no two pages neighbours" : "");
}

/* The driver, or the DMA API for it, does not take such memory, however often. */
static void capture_refused(int fd)
{
	int i;

	for (i = 0; i < BUFFERS; i++) {
		poison(&buffers[i]);
		check_scattered(buffers[i].map, buffers[i].size);
		if (!video_queue(fd, i)) {
			printf("scattered memory was taken\n");
			exit(1);
		}
		printf("refused: %s\n", strerror(errno));
		must(errno == EFAULT || errno == EINVAL || errno == EIO,
		     "another error");
		check_poison(buffers[i].map, 0, buffers[i].size, "refused");
	}
}

static void capture_read(int fd)
{
	unsigned char *p = malloc(frame);
	int i;

	must(p, "memory");
	video_seed(fd);
	for (i = 0; i < frames; i++) {
		memset(p, POISON, frame);
		must(read(fd, p, frame) == (ssize_t)frame, "read");
		check_frame(p, i);
	}
	printf("%d frames read\n", frames);
}

/* After a stop in the middle of a frame the device has nothing to write. */
static void capture_stop(int fd)
{
	int i;

	video_seed(fd);
	for (i = 0; i < BUFFERS; i++) {
		poison(&buffers[i]);
		must(!video_queue(fd, i), "VIDIOC_QBUF");
	}
	video_start(fd);
	usleep(150000);
	video_stop(fd);
	if (buffers[0].map[0] != pattern_at(0, 0)) {
		printf("nothing was written before the stop\n");
		exit(1);
	}
	for (i = 0; i < BUFFERS; i++)
		poison(&buffers[i]);
	usleep(350000);
	for (i = 0; i < BUFFERS; i++)
		check_poison(buffers[i].map, 0, buffers[i].size, "after a stop");
	printf("nothing was written after the stop\n");
}

static void capture_forever(int fd)
{
	struct v4l2_buffer v;
	unsigned int i;
	sigset_t gone;
	int number;

	sigemptyset(&gone);
	sigaddset(&gone, SIGUSR1);
	sigprocmask(SIG_BLOCK, &gone, NULL);
	video_seed(fd);
	for (i = 0; i < BUFFERS; i++) {
		poison(&buffers[i]);
		must(!video_queue(fd, i), "VIDIOC_QBUF");
	}
	video_start(fd);
	for (i = 0; video_dequeue(fd, &v); i++) {
		/* What was under way when the driver went is no frame. */
		if (v.flags & V4L2_BUF_FLAG_ERROR)
			break;
		check_buffer(&v, i);
		if (!i)
			printf("frames come\n");
		poison(&buffers[v.index]);
		if (video_queue(fd, v.index))
			break;
	}
	printf("after %u frames: %s\n", i, strerror(errno));
	/* Once the driver is gone, the memory is still there, and nobody else's. */
	alarm(60);
	must(!sigwait(&gone, &number), "sigwait");
	for (i = 0; i < BUFFERS; i++)
		poison(&buffers[i]);
	usleep(350000);
	for (i = 0; i < BUFFERS; i++)
		check_poison(buffers[i].map, 0, buffers[i].size, "device gone");
}

static void make_buffers(int fd, const char *device, const char *kind)
{
	int i, other = fd;

	if (strchr(kind, '/')) {
		if (strcmp(kind, device))
			other = video_open(kind);
		video_request(other, V4L2_MEMORY_MMAP, BUFFERS);
		for (i = 0; i < BUFFERS; i++)
			video_export(other, i);
		video_request(other, V4L2_MEMORY_MMAP, 0);
	}
	video_request(fd, memory, BUFFERS);
	for (i = 0; i < BUFFERS; i++) {
		if (memory == V4L2_MEMORY_MMAP)
			video_buffer(fd, i);
		else if (memory == V4L2_MEMORY_USERPTR)
			userptr_new(&buffers[i]);
		else if (!strcmp(kind, "udmabuf") || !strcmp(kind, "forever"))
			udmabuf_new(&buffers[i]);
		else if (!strcmp(kind, "heap"))
			heap_new(&buffers[i]);
	}
}

static enum v4l2_memory memory_of(const char *kind)
{
	if (!strcmp(kind, "userptr"))
		return V4L2_MEMORY_USERPTR;
	if (!strcmp(kind, "udmabuf") || !strcmp(kind, "forever") ||
	    !strcmp(kind, "heap") || strchr(kind, '/'))
		return V4L2_MEMORY_DMABUF;
	return V4L2_MEMORY_MMAP;
}

static void run(const char *device, const char *kind)
{
	int fd = video_open(device);
	bool scattered;

	if (!strcmp(kind, "read")) {
		capture_read(fd);
		return;
	}
	memory = memory_of(kind);
	scattered = memory == V4L2_MEMORY_USERPTR || !strcmp(kind, "udmabuf");
	make_buffers(fd, device, kind);
	if (refused)
		capture_refused(fd);
	else if (!strcmp(kind, "stop"))
		capture_stop(fd);
	else if (!strcmp(kind, "forever"))
		capture_forever(fd);
	else
		capture(fd, scattered);
	close(fd);
}

int main(int argc, char **argv)
{
	int option;

	scattered_init();
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((option = getopt(argc, argv, "s:n:o:r")) != -1) {
		if (option == 's' &&
		    sscanf(optarg, "%dx%d", &width, &height) == 2)
			continue;
		if (option == 'n')
			frames = atoi(optarg);
		else if (option == 'o')
			offset = strtoul(optarg, NULL, 0);
		else if (option == 'r')
			refused = true;
		else
			optind = argc;
	}
	if (optind != argc - 2 || offset >= page) {
		fputs(usage, stderr);
		return 2;
	}
	run(argv[optind], argv[optind + 1]);
	return 0;
}
