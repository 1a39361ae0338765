// SPDX-License-Identifier: GPL-2.0
/*
 * dma_fail N FILE TEXT: write TEXT to FILE, with the N-th allocation of memory that
 * the kernel makes for it failing (/proc/self/fail-nth; 0: none).
 *
 * What is opened before is not in it, so N counts what the write itself needs.
 * Status: 0 written, and there were fewer allocations than N; 10 refused, 11 written,
 * both with an allocation that failed; 12 refused although none did. 1, 2: it was not
 * even tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail_open(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

/* What is left of N; the kernel counts down, to 0 when the allocation fails. */
static int fail_left(int nth)
{
	char buf[16] = "";

	if (pread(nth, buf, sizeof(buf) - 1, 0) <= 0) {
		perror("fail-nth");
		exit(1);
	}
	return atoi(buf);
}

int main(int argc, char **argv)
{
	int nth, fd, hit, error = 0;
	size_t len;

	if (argc != 4) {
		fprintf(stderr, "usage: dma_fail N FILE TEXT\n");
		return 2;
	}
	fd = fail_open(argv[2], O_WRONLY);
	nth = fail_open("/proc/self/fail-nth", O_RDWR);
	len = strlen(argv[3]);
	if (pwrite(nth, argv[1], strlen(argv[1]), 0) < 0) {
		perror("fail-nth");
		return 1;
	}
	if (write(fd, argv[3], len) != (ssize_t)len)
		error = errno;
	hit = atoi(argv[1]) && !fail_left(nth);
	/* Not for what the end of this program needs */
	if (pwrite(nth, "0", 1, 0) < 0)
		return 1;
	printf("allocation %s %s: %s\n", argv[1], hit ? "failed" : "not reached",
	       error ? strerror(error) : "written");
	if (error)
		return hit ? 10 : 12;
	return hit ? 11 : 0;
}
