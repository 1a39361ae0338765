// SPDX-License-Identifier: GPL-2.0
/*
 * dma_soak_disk BDF DISK FROM BYTES SEED: write BYTES of a disk with direct I/O,
 * in pieces and from buffers that the seed chooses, from several threads, and read
 * them back in other pieces into other buffers.
 *
 * For disks that may go away at any time, and come back under another's name: what
 * was opened has to lie behind the PCI device BDF. Status 1 says that something
 * else was read than was written, 3 that the disk is gone or returned an error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define THREADS		2
#define SECTOR		512
#define PIECE_MAX	65536
#define WRONG		1
#define GONE		3

struct worker {
	pthread_t thread;
	int fd, status;
	size_t from, bytes;
	uint64_t seed, random;
	unsigned char *buf;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 31)) * 0x7fb5d329728ea185ULL;
	x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44dULL;
	return x ^ (x >> 33);
}

static uint64_t below(struct worker *w, uint64_t end)
{
	w->random += 0x9e3779b97f4a7c15ULL;
	return mix(w->random) % end;
}

/* What belongs at byte @at of the disk in this run */
static void fill(const struct worker *w, unsigned char *buf, size_t at, size_t len)
{
	uint64_t word;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		word = mix(w->seed + at + i);
		memcpy(buf + i, &word, sizeof(word));
	}
}

/* A buffer at the beginning of a page, in it or across two */
static unsigned char *place(struct worker *w)
{
	return w->buf + SECTOR * below(w, 8);
}

static size_t piece(struct worker *w, size_t left)
{
	size_t max = below(w, 2) ? PIECE_MAX : 4096;
	size_t len = SECTOR * (1 + below(w, max / SECTOR));

	return len < left ? len : left;
}

static int failed(const char *what, size_t at, ssize_t got)
{
	printf("%s at %zu: %s\n", what, at, got < 0 ? strerror(errno) : "short");
	return GONE;
}

static int write_all(struct worker *w)
{
	size_t done, len;

	for (done = 0; done < w->bytes; done += len) {
		unsigned char *buf = place(w);
		size_t at = w->from + done;
		ssize_t got;

		len = piece(w, w->bytes - done);
		fill(w, buf, at, len);
		got = pwrite(w->fd, buf, len, at);
		if (got != (ssize_t)len)
			return failed("write", at, got);
	}
	return 0;
}

static int compare(struct worker *w, const unsigned char *buf, size_t at, size_t len)
{
	unsigned char want[SECTOR];
	size_t i;

	for (i = 0; i < len; i += SECTOR) {
		fill(w, want, at + i, SECTOR);
		if (!memcmp(want, buf + i, SECTOR))
			continue;
		printf("sector at %zu is not what was written\n", at + i);
		return WRONG;
	}
	return 0;
}

static int read_all(struct worker *w)
{
	size_t done, len;
	int status = 0;

	for (done = 0; !status && done < w->bytes; done += len) {
		unsigned char *buf = place(w);
		size_t at = w->from + done;
		ssize_t got;

		len = piece(w, w->bytes - done);
		memset(buf, 0, len);
		got = pread(w->fd, buf, len, at);
		status = got == (ssize_t)len ? compare(w, buf, at, len) :
					       failed("read", at, got);
	}
	return status;
}

static void *work(void *data)
{
	struct worker *w = data;

	w->status = write_all(w);
	if (!w->status)
		w->status = read_all(w);
	return NULL;
}

/* Does this open disk lie behind that device? */
static int is_behind(int fd, const char *bdf)
{
	char link[64], path[PATH_MAX];
	struct stat st;

	if (fstat(fd, &st))
		return 0;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	return realpath(link, path) && strstr(path, bdf);
}

int main(int argc, char **argv)
{
	struct worker w[THREADS] = {};
	int i, fd, status = 0;
	size_t from, bytes;
	void *mem;

	if (argc != 6) {
		fprintf(stderr, "usage: dma_soak_disk BDF DISK FROM BYTES SEED\n");
		return 2;
	}
	from = strtoul(argv[3], NULL, 0) / SECTOR * SECTOR;
	bytes = strtoul(argv[4], NULL, 0) / THREADS / SECTOR * SECTOR;
	fd = open(argv[2], O_RDWR | O_DIRECT);
	if (fd < 0 || !is_behind(fd, argv[1])) {
		printf("%s is not behind %s\n", argv[2], argv[1]);
		return GONE;
	}
	for (i = 0; i < THREADS; i++) {
		if (posix_memalign(&mem, 4096, PIECE_MAX + 4096))
			return 2;
		w[i].buf = mem;
		w[i].fd = fd;
		w[i].from = from + i * bytes;
		w[i].bytes = bytes;
		w[i].seed = mix(strtoull(argv[5], NULL, 0));
		w[i].random = w[i].seed + i;
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			return 2;
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		/* Of two, wrong data is what matters. */
		if (w[i].status && status != WRONG)
			status = w[i].status;
	}
	return status;
}
