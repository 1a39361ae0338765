/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What can be asked of dma_edu: a table from each file, which dma_edu_main.c
 * reads.
 */
#ifndef DMA_EDU_OPS_H
#define DMA_EDU_OPS_H

#include <linux/fs.h>

struct edu;

/**
 * struct edu_op - one operation
 * @name: first word of the line written to "run"
 * @run: the operation; @argv[0] is its name. Returns 0 (passed), EDU_SKIP (the
 *	machine lacks what it needs) or a negative error (failed). What it has to
 *	say goes to edu_note(), which the reader of the debugfs file "result" gets
 *	after the first line
 * @release: gives back what the operation has left with a device, before the
 *	device goes; or NULL
 */
struct edu_op {
	const char *name;
	int (*run)(struct edu *edu, int argc, char **argv);
	void (*release)(struct edu *edu);
};

extern const struct edu_op edu_stream_ops[];
extern const struct edu_op edu_live_ops[];
extern const struct edu_op edu_alloc_ops[];
extern const struct edu_op edu_owner_ops[];
extern const struct edu_op edu_hostile_ops[];
extern const struct edu_op edu_fail_ops[];
extern const struct edu_op edu_limit_ops[];
extern const struct edu_op edu_list_ops[];

/* The debugfs file "mem": what the operation "alloc" got, for user space */
extern const struct file_operations edu_mem_fops;

#endif /* DMA_EDU_OPS_H */
