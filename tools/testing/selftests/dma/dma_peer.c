// SPDX-License-Identifier: GPL-2.0
/*
 * dma_peer works PROVIDER DISK: map memory of the PCI device PROVIDER (its sysfs
 * directory), let the disk, another device, read and write it with direct I/O,
 * and compare: alone, in parts of pages, and between ordinary memory in one
 * request. What the disk has in its first 4 MiB is overwritten.
 *
 * dma_peer refused PROVIDER DISK: the same requests have to fail, each with
 * EREMOTEIO, with nothing moved, and ordinary memory works right after.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SECTOR		512
#define AREA		0x100000
#define REFUSALS	50

static const char *step;
static size_t page;
static int disk;
static uint64_t seed;

#define fail(...) do {				\
	fprintf(stderr, "%s: ", step);		\
	fprintf(stderr, __VA_ARGS__);		\
	fprintf(stderr, "\n");			\
	exit(1);				\
} while (0)

static uint64_t word(uint64_t salt, size_t at)
{
	return (seed + salt + at) * 0x9e3779b97f4a7c15ULL;
}

/* Memory of a device takes accesses of whole words only. */
static void fill(void *memory, size_t bytes, uint64_t salt)
{
	uint64_t *to = memory;
	size_t i;

	for (i = 0; i < bytes / sizeof(*to); i++)
		__atomic_store_n(to + i, word(salt, i), __ATOMIC_RELAXED);
}

/* What is there was written by fill() @skip bytes after its beginning */
static void check(const void *memory, size_t bytes, uint64_t salt, size_t skip)
{
	const uint64_t *from = memory;
	uint64_t got, want;
	size_t i;

	for (i = 0; i < bytes / sizeof(*from); i++) {
		got = __atomic_load_n(from + i, __ATOMIC_RELAXED);
		want = word(salt, skip / sizeof(*from) + i);
		if (got != want)
			fail("the word at %zu is %#llx, should be %#llx",
			     i * sizeof(*from), (unsigned long long)got,
			     (unsigned long long)want);
	}
}

static void *memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		fail("cannot have %zu bytes: %m", bytes);
	return p;
}

static void *peer_memory(const char *provider, size_t bytes)
{
	char path[PATH_MAX];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/p2pmem/allocate", provider);
	fd = open(path, O_RDWR);
	if (fd < 0)
		fail("%s: %m", path);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		fail("%s: cannot have %zu bytes: %m", path, bytes);
	return p;
}

static void read_disk(void *to, size_t bytes, off_t at)
{
	ssize_t got = pread(disk, to, bytes, at);

	if (got != (ssize_t)bytes)
		fail("read %zd of %zu: %m", got, bytes);
}

static void write_disk(const void *from, size_t bytes, off_t at)
{
	ssize_t got = pwrite(disk, from, bytes, at);

	if (got != (ssize_t)bytes)
		fail("wrote %zd of %zu: %m", got, bytes);
}

/* By way of ordinary memory: what the disk has is what was written to it. */
static void disk_has(size_t bytes, off_t at, uint64_t salt, size_t skip)
{
	void *own = memory(bytes);

	read_disk(own, bytes, at);
	check(own, bytes, salt, skip);
	munmap(own, bytes);
}

static void disk_gets(size_t bytes, off_t at, uint64_t salt)
{
	void *own = memory(bytes);

	fill(own, bytes, salt);
	write_disk(own, bytes, at);
	munmap(own, bytes);
}

/* One request each way for the part of @peer from @skip on */
static void both_ways(uint8_t *peer, size_t skip, size_t bytes, off_t at)
{
	step = "the disk writes to its peer";
	disk_gets(bytes, at, 1);
	fill(peer + skip, bytes, 2);
	read_disk(peer + skip, bytes, at);
	check(peer + skip, bytes, 1, 0);

	step = "the disk reads from its peer";
	fill(peer + skip, bytes, 3);
	write_disk(peer + skip, bytes, at + AREA);
	disk_has(bytes, at + AREA, 3, 0);
}

static void pieces(uint8_t *peer, size_t bytes)
{
	size_t skip, len;

	for (len = SECTOR; len < bytes; len = len * 3 + SECTOR) {
		for (skip = 0; skip + len <= 2 * page && skip + len <= bytes;
		     skip += page / 4 + SECTOR)
			both_ways(peer, skip, len, 0);
	}
	both_ways(peer, 0, bytes, 0);
}

/* Ordinary memory, the peer's, and ordinary memory in one request */
static void mixed(uint8_t *peer, size_t bytes)
{
	uint8_t *own = memory(3 * page);
	struct iovec iov[3] = {
		{ own, page },
		{ peer, bytes },
		{ own + 2 * page, page },
	};
	size_t all = 2 * page + bytes;

	step = "the disk writes to memory, its peer and memory";
	disk_gets(all, 0, 4);
	fill(own, 3 * page, 5);
	fill(peer, bytes, 6);
	if (preadv(disk, iov, 3, 0) != (ssize_t)all)
		fail("preadv of %zu: %m", all);
	check(own, page, 4, 0);
	check(peer, bytes, 4, page);
	check(own + 2 * page, page, 4, page + bytes);
	check(own + page, page, 5, page);

	step = "the disk reads from memory, its peer and memory";
	fill(own, 3 * page, 7);
	fill(peer, bytes, 8);
	if (pwritev(disk, iov, 3, AREA) != (ssize_t)all)
		fail("pwritev of %zu: %m", all);
	disk_has(page, AREA, 7, 0);
	disk_has(bytes, AREA + page, 8, 0);
	disk_has(page, AREA + page + bytes, 7, 2 * page);
	munmap(own, 3 * page);
}

static void works(const char *provider)
{
	size_t sizes[] = { page, 4 * page, 16 * page }, i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint8_t *peer = peer_memory(provider, sizes[i]);

		pieces(peer, sizes[i]);
		mixed(peer, sizes[i]);
		munmap(peer, sizes[i]);
	}
	step = "memory of a process that ends";
	fill(peer_memory(provider, page), page, 9);
}

static void must_fail(ssize_t got)
{
	if (got >= 0)
		fail("moved %zd bytes", got);
	if (errno != EREMOTEIO)
		fail("%m, should be: %s", strerror(EREMOTEIO));
}

static void refused(const char *provider)
{
	size_t bytes = 4 * page, i;
	uint8_t *peer = peer_memory(provider, bytes), *own = memory(2 * page);
	struct iovec iov[3] = {
		{ own, page }, { peer, bytes }, { own + page, page },
	};

	step = "preparing the disk";
	disk_gets(2 * bytes, 0, 1);
	fill(peer, bytes, 2);
	fill(own, 2 * page, 3);
	for (i = 0; i < REFUSALS; i++) {
		step = "the disk writes to a peer that it cannot reach";
		must_fail(pread(disk, peer, bytes, 0));
		step = "the disk reads from a peer that it cannot reach";
		must_fail(pwrite(disk, peer, bytes, 0));
		step = "the disk writes to memory and that peer";
		must_fail(preadv(disk, iov, 3, 0));
		step = "the disk reads from memory and that peer";
		must_fail(pwritev(disk, iov, 3, 0));
	}
	step = "memory of the peer, afterwards";
	check(peer, bytes, 2, 0);
	step = "memory, afterwards";
	check(own, 2 * page, 3, 0);
	step = "the disk, afterwards";
	disk_has(2 * bytes, 0, 1, 0);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: dma_peer works|refused PROVIDER DISK\n");
		return 2;
	}
	page = sysconf(_SC_PAGESIZE);
	seed = (uint64_t)time(NULL) << 32 ^ getpid();
	step = "the disk";
	disk = open(argv[3], O_RDWR | O_DIRECT);
	if (disk < 0)
		fail("%s: %m", argv[3]);
	if (!strcmp(argv[1], "works"))
		works(argv[2]);
	else if (!strcmp(argv[1], "refused"))
		refused(argv[2]);
	else
		return 2;
	return 0;
}
