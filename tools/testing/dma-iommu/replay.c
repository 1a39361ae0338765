// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a fuzzer's inputs, without the fuzzer: each file named on the command line
 * is one. For compilers that have no libFuzzer.
 */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	static uint8_t data[1 << 16];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file) {
		perror(path);
		return 1;
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
	int i, ret = LLVMFuzzerInitialize(&argc, &argv);

	for (i = 1; i < argc && !ret; i++)
		ret = replay(argv[i]);
	if (!ret)
		printf("ok: %d inputs\n", argc - 1);
	return ret;
}
