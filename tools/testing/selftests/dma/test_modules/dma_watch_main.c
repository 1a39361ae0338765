// SPDX-License-Identifier: GPL-2.0
/*
 * dma_watch: what the DMA API asks of the IOMMU, watched from in between.
 *
 * The files of the module, each of which calls only those below it:
 *
 *   dma_watch_main.c     which device is watched, and the table of all operations
 *   dma_watch_load.c     threads that map and unmap while the rules are watched
 *   dma_watch_exhaust.c  address space and memory used up
 *   dma_watch_core.c     the watch: every map, unmap, sync and flush of one
 *                        domain, and the rules that they have to keep
 *
 * The module binds no driver: the device is named by the parameter "device" and
 * has one, whose mappings are watched like any others. Its domain must stay what
 * it is while this module is loaded: unload it first.
 *
 *   # insmod dma_watch.ko device=0000:00:05.0
 *   # echo load 2 4 all > /sys/kernel/debug/dma_watch/run
 *   # cat /sys/kernel/debug/dma_watch/result
 */
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "dma_watch_core.h"
#include "dma_watch_ops.h"

static char *device = "";
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "PCI device to watch, as 0000:00:05.0");

static unsigned int guard;
module_param(guard, uint, 0444);
MODULE_PARM_DESC(guard, "granules that stay unmapped behind every mapping");

static struct watch *watched;
static struct pci_dev *watch_pdev;
static struct dentry *watch_dir;

static int watch_op_info(struct watch *watch, int argc, char **argv)
{
	watch_note("device %s mode %s granule %zu watched up to %#llx mapped %ld guard %u\n",
		   dev_name(watch->dev),
		   watch_deferred(watch) ? "deferred" : "strict",
		   watch_granule(watch), (u64)watch->granules << watch->shift,
		   atomic_long_read(&watch->mapped), watch->guard);
	return 0;
}

static const struct watch_op watch_main_ops[] = {
	{ "info", watch_op_info },
	{ }
};

static const struct watch_op *const watch_ops[] = {
	watch_main_ops, watch_load_ops, watch_exhaust_ops,
};

static const struct watch_op *watch_find(const char *name)
{
	const struct watch_op *op;
	int i;

	for (i = 0; i < ARRAY_SIZE(watch_ops); i++)
		for (op = watch_ops[i]; op->name; op++)
			if (!strcmp(op->name, name))
				return op;
	return NULL;
}

static int watch_run(struct dma_command *command, int argc, char **argv)
{
	struct watch *watch = container_of(command, struct watch, command);
	const struct watch_op *op = watch_find(argv[0]);

	return op ? op->run(watch, argc, argv) : DMA_COMMAND_UNKNOWN;
}

static int __init watch_init(void)
{
	watch_pdev = dma_command_device(device);
	if (!watch_pdev)
		return -ENODEV;
	watched = watch_install(&watch_pdev->dev, guard);
	if (IS_ERR(watched)) {
		pci_dev_put(watch_pdev);
		return PTR_ERR(watched);
	}
	watch_dir = debugfs_create_dir("dma_watch", NULL);
	dma_command_init(&watched->command, watch_dir, watch_run);
	return 0;
}

static void __exit watch_exit(void)
{
	const struct watch_op *op;
	int i;

	debugfs_remove_recursive(watch_dir);
	for (i = 0; i < ARRAY_SIZE(watch_ops); i++)
		for (op = watch_ops[i]; op->name; op++)
			if (op->release)
				op->release(watched);
	watch_remove(watched);
	pci_dev_put(watch_pdev);
}

module_init(watch_init);
module_exit(watch_exit);

MODULE_DESCRIPTION("The DMA API watched from below");
MODULE_LICENSE("GPL");
