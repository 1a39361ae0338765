// SPDX-License-Identifier: GPL-2.0
/*
 * dma_mmap FILE SIZE SEEN WRITE: map a buffer of the module dma_edu, check the
 * three pieces that the device wrote with the seed SEEN, and write them anew
 * with the seed WRITE. The last of them is also looked at in its page alone. See
 * test_modules/dma_edu_alloc.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE	1024

/* edu_pattern() of test_modules/dma_edu_core.h */
static unsigned char pattern(size_t i, unsigned char seed)
{
	return seed + i + (i >> 8) * 31 + (i >> 12) * 7;
}

static int check(const volatile unsigned char *p, size_t at, unsigned char seed)
{
	size_t i;

	for (i = 0; i < PIECE; i++) {
		if (p[at + i] == pattern(i, seed))
			continue;
		printf("byte %zu is %#x, should be %#x\n", at + i, p[at + i],
		       pattern(i, seed));
		return -1;
	}
	return 0;
}

static int check_last_page(int fd, size_t size, unsigned char seed)
{
	size_t page = getpagesize(), start = (size - 1) / page * page;
	unsigned char *p;
	int ret;

	p = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, start);
	if (p == MAP_FAILED) {
		perror("mmap of the last page");
		return -1;
	}
	ret = check(p, size - PIECE - start, seed);
	munmap(p, page);
	return ret;
}

int main(int argc, char **argv)
{
	size_t size, at[3], i, k;
	unsigned char *p;
	int fd, ret = 0;

	if (argc != 5) {
		fprintf(stderr, "usage: dma_mmap FILE SIZE SEEN WRITE\n");
		return 2;
	}
	size = strtoul(argv[2], NULL, 0);
	at[0] = 0;
	at[1] = size / 2;
	at[2] = size - PIECE;
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	/* One page more than there is must be refused. */
	p = mmap(NULL, size + getpagesize(), PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) {
		printf("a mapping of more than the buffer succeeded\n");
		return 1;
	}
	if (check_last_page(fd, size, atoi(argv[3])))
		return 1;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (k = 0; k < 3 && !ret; k++)
		ret = check(p, at[k], atoi(argv[3]));
	for (k = 0; k < 3; k++)
		for (i = 0; i < PIECE; i++)
			((volatile unsigned char *)p)[at[k] + i] =
				pattern(i, atoi(argv[4]));
	munmap(p, size);
	close(fd);
	return ret ? 1 : 0;
}
