/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commands of dma_bench: a table from each file, which dma_bench_main.c reads.
 */
#ifndef _DMA_BENCH_COMMANDS_H
#define _DMA_BENCH_COMMANDS_H

struct bench;

/**
 * struct bench_command - one command
 * @name: first word of the line written to "run"
 * @args: how many words follow
 * @run: the command; @arg is these words. Returns 0 or an error
 */
struct bench_command {
	const char *name;
	unsigned int args;
	int (*run)(struct bench *b, char **arg);
};

extern const struct bench_command bench_allin_commands[];
extern const struct bench_command bench_call_commands[];
extern const struct bench_command bench_compat_commands[];
extern const struct bench_command bench_list_commands[];
extern const struct bench_command bench_live_commands[];
extern const struct bench_command bench_watch_commands[];

#endif /* _DMA_BENCH_COMMANDS_H */
