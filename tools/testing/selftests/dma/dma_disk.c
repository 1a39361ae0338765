// SPDX-License-Identifier: GPL-2.0
/*
 * dma_disk verify DISK BYTES: write that much from four threads with direct I/O,
 * in blocks of 512 bytes to 64 KiB from buffers at odd places, read it back into
 * others and compare.
 * dma_disk load DISK: read and write without end, or until an error.
 *
 * What fio does better, in a program that starts at once: on an emulated
 * processor the start of fio takes longer than the I/O of most tests.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS		4
#define SECTOR		512
#define BLOCK_MAX	65536
#define LOAD_BYTES	(8UL << 20)

struct worker {
	pthread_t thread;
	int fd, index;
	size_t from, bytes;
	uint64_t seed;
	unsigned char *buf;
};

/* Every sector says which it is and which run wrote it. */
static void fill(unsigned char *buf, size_t at, size_t len, uint64_t seed)
{
	uint64_t word;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		word = (seed + at + i) * 0x9e3779b97f4a7c15ULL;
		memcpy(buf + i, &word, sizeof(word));
	}
}

/* Blocks of a fixed order of sizes, so that reading cuts as writing did. */
static size_t block(size_t done, size_t left)
{
	static const size_t sizes[] = { 4096, 512, 65536, 1536, 16384, 32768 + 512 };
	size_t len = sizes[(done / SECTOR) % 6];

	return len < left ? len : left;
}

static void *verify(void *data)
{
	struct worker *w = data;
	unsigned char want[SECTOR];
	size_t done, len, i;

	for (done = 0; done < w->bytes; done += len) {
		len = block(done, w->bytes - done);
		fill(w->buf, w->from + done, len, w->seed);
		if (pwrite(w->fd, w->buf, len, w->from + done) != (ssize_t)len) {
			printf("write at %zu: %s\n", w->from + done, strerror(errno));
			return w;
		}
	}
	for (done = 0; done < w->bytes; done += len) {
		len = block(done, w->bytes - done);
		memset(w->buf, 0, len);
		if (pread(w->fd, w->buf, len, w->from + done) != (ssize_t)len) {
			printf("read at %zu: %s\n", w->from + done, strerror(errno));
			return w;
		}
		for (i = 0; i < len; i += SECTOR) {
			fill(want, w->from + done + i, SECTOR, w->seed);
			if (!memcmp(want, w->buf + i, SECTOR))
				continue;
			printf("sector at %zu is not what was written\n",
			       w->from + done + i);
			return w;
		}
	}
	return NULL;
}

static void *load(void *data)
{
	struct worker *w = data;
	unsigned int state = w->index;
	ssize_t got;

	for (;;) {
		size_t len = SECTOR * (1 + rand_r(&state) % (BLOCK_MAX / SECTOR));
		size_t at = SECTOR * (rand_r(&state) % ((LOAD_BYTES - len) / SECTOR));

		got = rand_r(&state) & 1 ? pwrite(w->fd, w->buf, len, at) :
					   pread(w->fd, w->buf, len, at);
		if (got != (ssize_t)len) {
			printf("the load ended: %s\n", strerror(errno));
			exit(3);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int verifying = argc == 4 && !strcmp(argv[1], "verify");
	struct worker w[THREADS] = {};
	int i, fd, failed = 0;
	size_t bytes;
	void *mem, *ret;

	if (!verifying && (argc != 3 || strcmp(argv[1], "load"))) {
		fprintf(stderr, "usage: dma_disk verify DISK BYTES | load DISK\n");
		return 2;
	}
	bytes = verifying ? strtoul(argv[3], NULL, 0) / THREADS / SECTOR * SECTOR : 0;
	fd = open(argv[2], O_RDWR | O_DIRECT);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	for (i = 0; i < THREADS; i++) {
		if (posix_memalign(&mem, 4096, 2 * BLOCK_MAX))
			return 1;
		w[i].fd = fd;
		w[i].index = i;
		w[i].from = i * bytes;
		w[i].bytes = bytes;
		w[i].seed = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid() << 8;
		/* In a page, at its start, and across two. */
		w[i].buf = (unsigned char *)mem + i * SECTOR;
		if (pthread_create(&w[i].thread, NULL, verifying ? verify : load,
				   &w[i]))
			return 1;
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, &ret);
		failed |= !!ret;
	}
	return failed;
}
