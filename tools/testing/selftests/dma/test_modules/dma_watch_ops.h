/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What can be asked of dma_watch: a table from each file, which dma_watch_main.c
 * reads.
 */
#ifndef DMA_WATCH_OPS_H
#define DMA_WATCH_OPS_H

struct watch;

/**
 * struct watch_op - one operation
 * @name: first word of the line written to "run"
 * @run: the operation; @argv[0] is its name. Returns 0 (passed), WATCH_SKIP (the
 *	machine lacks what it needs) or a negative error (failed)
 * @release: ends what the operation has left running, before the module goes; or
 *	NULL
 */
struct watch_op {
	const char *name;
	int (*run)(struct watch *watch, int argc, char **argv);
	void (*release)(struct watch *watch);
};

extern const struct watch_op watch_load_ops[];
extern const struct watch_op watch_exhaust_ops[];

#endif /* DMA_WATCH_OPS_H */
