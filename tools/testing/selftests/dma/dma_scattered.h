/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that is scattered on purpose: the page frame numbers say that no two
 * pages that follow one another in a buffer are neighbours. For programs that are
 * one file, and root.
 */
#ifndef DMA_SCATTERED_H
#define DMA_SCATTERED_H

#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of that many pages each one of a scattered buffer is chosen. */
#define CHOICE	4

static size_t page;

static inline void scattered_init(void)
{
	page = getpagesize();
}

static inline void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline void must(bool good, const char *what)
{
	if (!good)
		die(what);
}

static inline size_t whole_pages(size_t size)
{
	return (size + page - 1) & ~(page - 1);
}

static inline uint64_t pfn_of(const void *address)
{
	uint64_t entry;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	must(fd >= 0, "/proc/self/pagemap");
	must(pread(fd, &entry, 8, (uintptr_t)address / page * 8) == 8, "pagemap");
	close(fd);
	if (!(entry >> 63) || !(entry & ((1ULL << 55) - 1))) {
		printf("pagemap does not tell page frame numbers: not root?\n");
		exit(1);
	}
	return entry & ((1ULL << 55) - 1);
}

static inline bool neighbours(uint64_t a, uint64_t b)
{
	return a + 1 == b || b + 1 == a;
}

/*
 * Choose @count of the @total pages at @pool so that no two that follow one
 * another are neighbours in memory.
 */
static inline void scatter(const unsigned char *pool, size_t total,
			   size_t *chosen, size_t count)
{
	static uint32_t random = 1;
	bool *taken = calloc(total, 1);
	uint64_t last = 0, pfn;
	size_t n, try, i;

	must(taken, "memory");
	for (n = 0, try = 0; n < count && try < 1000 * count; try++) {
		random = random * 1664525 + 1013904223;
		i = (random >> 8) % total;
		pfn = pfn_of(pool + i * page);
		if (taken[i] || (n && neighbours(last, pfn)))
			continue;
		taken[i] = true;
		chosen[n++] = i;
		last = pfn;
	}
	free(taken);
	if (n < count) {
		printf("%zu of %zu pages are not enough that are not neighbours\n",
		       n, count);
		exit(1);
	}
}

/* The first page that is a neighbour of the one before; 0 if none is */
static inline size_t first_neighbour(const unsigned char *map, size_t size)
{
	uint64_t last = 0, pfn;
	size_t i;

	for (i = 0; i < size / page; i++) {
		pfn = pfn_of(map + i * page);
		if (i && neighbours(last, pfn))
			return i;
		last = pfn;
	}
	return 0;
}

/* Once more, when the kernel has them: it may have moved them before. */
static inline void check_scattered(const unsigned char *map, size_t size)
{
	size_t i = first_neighbour(map, size);

	if (i) {
		printf("pages %zu and %zu are neighbours\n", i - 1, i);
		exit(1);
	}
}

/* A DMA-BUF of pages of a memfd that were no neighbours when they were chosen */
static inline int try_udmabuf(size_t size, unsigned char **map)
{
	size_t count = size / page, *chosen = calloc(count, sizeof(*chosen)), i;
	struct udmabuf_create_list *list;
	int memfd, fd, ret;
	void *pool;

	memfd = memfd_create("scattered", MFD_ALLOW_SEALING);
	must(memfd >= 0, "memfd_create");
	must(!ftruncate(memfd, CHOICE * size), "ftruncate");
	must(!fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK), "F_SEAL_SHRINK");
	pool = mmap(NULL, CHOICE * size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    memfd, 0);
	list = calloc(1, sizeof(*list) + count * sizeof(list->list[0]));
	must(pool != MAP_FAILED && chosen && list, "memory");
	memset(pool, 0, CHOICE * size);
	scatter(pool, CHOICE * count, chosen, count);
	munmap(pool, CHOICE * size);

	*map = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(*map != MAP_FAILED, "mmap");
	list->count = count;
	for (i = 0; i < count; i++) {
		list->list[i].memfd = memfd;
		list->list[i].offset = chosen[i] * page;
		list->list[i].size = page;
		must(mmap(*map + i * page, page, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, memfd,
			  chosen[i] * page) != MAP_FAILED, "mmap");
	}
	/* Present in this mapping, too: pagemap tells only of those. */
	memset(*map, 0, size);
	fd = open("/dev/udmabuf", O_RDWR);
	must(fd >= 0, "/dev/udmabuf");
	ret = ioctl(fd, UDMABUF_CREATE_LIST, list);
	must(ret >= 0, "UDMABUF_CREATE_LIST");
	close(fd);
	close(memfd);
	free(list);
	free(chosen);
	return ret;
}

/*
 * A DMA-BUF of single pages of a memfd. They are mapped at @map, in the order in
 * which the DMA-BUF has them. It pins them; before, some may have been moved.
 */
static inline int scattered_udmabuf(size_t size, unsigned char **map)
{
	int fd = try_udmabuf(size, map), tries;

	for (tries = 0; tries < 10 && first_neighbour(*map, size); tries++) {
		munmap(*map, size);
		close(fd);
		fd = try_udmabuf(size, map);
	}
	return fd;
}

#endif /* DMA_SCATTERED_H */
