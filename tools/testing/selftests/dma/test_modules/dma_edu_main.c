// SPDX-License-Identifier: GPL-2.0
/*
 * dma_edu: a driver that tests the DMA API with a device's own DMA.
 *
 * The files of the module, each of which calls only those below it:
 *
 *   dma_edu_main.c    the driver, and the table of all operations
 *   dma_edu_stream.c  streaming mappings: lists, faults, bouncing, sync
 *   dma_edu_live.c    mappings that live while others come and go
 *   dma_edu_alloc.c   allocations: coherent, non-contiguous, mmap
 *   dma_edu_owner.c   a driver that takes the IOMMU for itself
 *   dma_edu_hostile.c DMA where nothing is mapped
 *   dma_edu_fail.c    each allocation of a call fails in turn
 *   dma_edu_limit.c   what the device can do, and lists that are refused
 *   dma_edu_list.c    lists of every shape, as one segment and as several
 *   dma_edu_core.c    the device: one transfer at a time, patterns in memory
 *
 * A script drives it: a line written to "run" is one operation and its
 * arguments; "result" then says "ok", "not ok" or "skip" on the first line and
 * the details on those that follow:
 *
 *   # echo contig 16 > /sys/kernel/debug/dma_edu/0000:00:05.0/run
 *   # cat /sys/kernel/debug/dma_edu/0000:00:05.0/result
 *
 * "mem" in the same directory can be mapped, see dma_edu_alloc.c.
 *
 * Locking: edu->command.lock is taken for a whole operation. The interrupt touches
 * only edu->done and edu->irqs.
 */
#include <linux/debugfs.h>
#include <linux/dma-map-ops.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dma_edu_core.h"
#include "dma_edu_ops.h"
#include "edu_regs.h"

static unsigned int mask_bits = 28;
module_param(mask_bits, uint, 0444);
MODULE_PARM_DESC(mask_bits, "width of the device's addresses (its dma_mask property)");

static bool untrusted;
module_param(untrusted, bool, 0444);
MODULE_PARM_DESC(untrusted, "treat the device as untrusted, as an external port would");

static bool managed;
module_param(managed, bool, 0444);
MODULE_PARM_DESC(managed, "the driver manages DMA itself, so that it can take the IOMMU over");

static struct dentry *edu_root;

static int edu_op_info(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	struct iommu_domain *domain = edu_domain(edu);

	edu_note(edu, "device %s group %d mode %s coherent %d mask %#llx irq %d untrusted %d\n",
		 dev_name(dev),
		 dev->iommu_group ? iommu_group_id(dev->iommu_group) : -1,
		 !domain ? "none" : edu_deferred(edu) ? "deferred" : "strict",
		 dev_is_dma_coherent(dev), dma_get_mask(dev), edu->irq,
		 edu->pdev->untrusted);
	edu_note(edu, "max mapping %zu optimal %zu merge boundary %#lx\n",
		 dma_max_mapping_size(dev), dma_opt_mapping_size(dev),
		 dma_get_merge_boundary(dev));
	return 0;
}

static int edu_op_irq(struct edu *edu, int argc, char **argv)
{
	int before = atomic_read(&edu->irqs);
	int ret;

	if (!edu->irq) {
		edu_note(edu, "the device has no interrupt vector\n");
		return EDU_SKIP;
	}
	ret = edu_load(edu, 1);
	if (ret)
		return ret;
	edu_note(edu, "interrupts %d before, %d after\n", before,
		 atomic_read(&edu->irqs));
	return atomic_read(&edu->irqs) == before + 1 ? 0 : -EIO;
}

static const struct edu_op edu_main_ops[] = {
	{ "info", edu_op_info },
	{ "irq", edu_op_irq },
	{ }
};

static const struct edu_op *const edu_ops[] = {
	edu_main_ops, edu_stream_ops, edu_live_ops, edu_alloc_ops,
	edu_owner_ops, edu_hostile_ops,
#ifdef EDU_HAVE_CONTIGUITY
	edu_list_ops, edu_limit_ops, edu_fail_ops,
#endif
};

static const struct edu_op *edu_find(const char *name)
{
	const struct edu_op *op;
	int i;

	for (i = 0; i < ARRAY_SIZE(edu_ops); i++)
		for (op = edu_ops[i]; op->name; op++)
			if (!strcmp(op->name, name))
				return op;
	return NULL;
}

static int edu_run(struct dma_command *command, int argc, char **argv)
{
	struct edu *edu = container_of(command, struct edu, command);
	const struct edu_op *op = edu_find(argv[0]);

	return op ? op->run(edu, argc, argv) : DMA_COMMAND_UNKNOWN;
}

static void edu_release(struct edu *edu)
{
	const struct edu_op *op;
	int i;

	for (i = 0; i < ARRAY_SIZE(edu_ops); i++)
		for (op = edu_ops[i]; op->name; op++)
			if (op->release)
				op->release(edu);
}

static irqreturn_t edu_irq(int irq, void *data)
{
	struct edu *edu = data;
	u32 status = readl(edu->regs + EDU_REG_IRQ);

	if (!status)
		return IRQ_NONE;
	writel(status, edu->regs + EDU_REG_ACK);
	atomic_inc(&edu->irqs);
	complete(&edu->done);
	return IRQ_HANDLED;
}

/*
 * A driver that manages DMA itself polls: while it owns the IOMMU, the doorbell
 * of its interrupt is not mapped.
 */
static int edu_setup_irq(struct edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	int ret, irq;

	if (managed)
		return 0;
	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		return 0;
	irq = pci_irq_vector(pdev, 0);
	ret = request_irq(irq, edu_irq, 0, "dma_edu", edu);
	if (ret) {
		pci_free_irq_vectors(pdev);
		return ret;
	}
	edu->irq = irq;
	return 0;
}

static int edu_setup_device(struct edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	if ((readl(edu->regs + EDU_REG_ID) & EDU_ID_MASK) != EDU_ID)
		return -ENODEV;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(mask_bits));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	pci_set_master(pdev);
	return edu_setup_irq(edu);
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	int ret;

	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;
	init_completion(&edu->done);
	pdev->untrusted = untrusted;
	ret = edu_setup_device(edu);
	if (ret)
		return ret;
	pci_set_drvdata(pdev, edu);

	edu->dir = debugfs_create_dir(pci_name(pdev), edu_root);
	dma_command_init(&edu->command, edu->dir, edu_run);
	/* The safe wrapper has no mmap; the pages outlive nothing: see release. */
	debugfs_create_file_unsafe("mem", 0600, edu->dir, edu, &edu_mem_fops);
	return 0;
}

static void edu_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	debugfs_remove_recursive(edu->dir);
	edu_release(edu);
	if (edu->irq) {
		free_irq(edu->irq, edu);
		pci_free_irq_vectors(pdev);
	}
	pci_clear_master(pdev);
	pdev->untrusted = false;
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "dma_edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

static int __init edu_init(void)
{
	int ret;

	if (!mask_bits || mask_bits > 64)
		return -EINVAL;
	edu_root = debugfs_create_dir("dma_edu", NULL);
	edu_driver.driver_managed_dma = managed;
	ret = pci_register_driver(&edu_driver);
	if (ret)
		debugfs_remove_recursive(edu_root);
	return ret;
}

static void __exit edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
	debugfs_remove_recursive(edu_root);
}

module_init(edu_init);
module_exit(edu_exit);

MODULE_DESCRIPTION("DMA API tests with the edu device's own DMA");
MODULE_LICENSE("GPL");
