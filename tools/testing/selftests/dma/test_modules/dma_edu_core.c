// SPDX-License-Identifier: GPL-2.0
/*
 * The device of dma_edu: QEMU's "edu" (1234:11e8), whose DMA is commanded.
 *
 * It has a buffer of 4 KiB and moves bytes between that buffer and memory, one
 * transfer at a time; a transfer is done 100 ms after its start, and says so
 * with an interrupt (MSI). A transfer to an address that the IOMMU does not
 * translate ends like any other: the device does not notice.
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
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dma_edu.h"
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

/**
 * edu_note() - add to what the operation has to say
 * @edu: the device
 * @fmt: format, and its arguments
 */
void edu_note(struct edu *edu, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dma_command_vnote(&edu->command, fmt, args);
	va_end(args);
}

/**
 * edu_start() - start a transfer
 * @edu: the device
 * @addr: the address in memory, as the device sees it
 * @off: offset in the device's buffer
 * @len: bytes, EDU_CHUNK at most
 * @to_memory: direction
 *
 * Return: 0, or -EINVAL when the device could not do it.
 */
int edu_start(struct edu *edu, dma_addr_t addr, size_t off, size_t len,
	      bool to_memory)
{
	u64 buf = EDU_BUF_ADDR + off;

	if (!len || len > EDU_CHUNK || off + len >= EDU_BUF_SIZE)
		return -EINVAL;

	reinit_completion(&edu->done);
	writeq(to_memory ? buf : addr, edu->regs + EDU_REG_SRC);
	writeq(to_memory ? addr : buf, edu->regs + EDU_REG_DST);
	writeq(len, edu->regs + EDU_REG_COUNT);
	writeq(EDU_CMD_RUN | (to_memory ? EDU_CMD_TO_MEM : 0) |
	       (edu->irq ? EDU_CMD_IRQ : 0), edu->regs + EDU_REG_CMD);
	return 0;
}

/**
 * edu_wait() - wait for the end of a transfer
 * @edu: the device
 *
 * Return: 0; -ETIMEDOUT when the transfer does not end; -EIO when it ended and
 * the interrupt is missing.
 */
int edu_wait(struct edu *edu)
{
	unsigned long end = jiffies + 10 * HZ;

	if (edu->irq) {
		if (wait_for_completion_timeout(&edu->done, 10 * HZ))
			return 0;
		edu_note(edu, "no interrupt, command register %#llx\n",
			 readq(edu->regs + EDU_REG_CMD));
		return -EIO;
	}
	while (readq(edu->regs + EDU_REG_CMD) & EDU_CMD_RUN) {
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		fsleep(5 * USEC_PER_MSEC);
	}
	return 0;
}

static int edu_move(struct edu *edu, dma_addr_t addr, size_t off, size_t len,
		    bool to_memory)
{
	int ret = edu_start(edu, addr, off, len, to_memory);

	return ret ?: edu_wait(edu);
}

/* The device reads memory at @addr into its buffer at @off. */
int edu_read(struct edu *edu, dma_addr_t addr, size_t off, size_t len)
{
	return edu_move(edu, addr, off, len, false);
}

/* The device writes its buffer at @off to memory at @addr. */
int edu_write(struct edu *edu, dma_addr_t addr, size_t off, size_t len)
{
	return edu_move(edu, addr, off, len, true);
}

/**
 * edu_load() - fill the device's buffer with a pattern
 * @edu: the device
 * @seed: seed of the pattern
 *
 * By DMA, through a coherent buffer: the device has no other way in.
 *
 * Return: 0 or an error.
 */
int edu_load(struct edu *edu, u8 seed)
{
	dma_addr_t dma;
	void *cpu;
	int ret;

	cpu = dma_alloc_coherent(edu_dev(edu), EDU_CHUNK, &dma, GFP_KERNEL);
	if (!cpu)
		return -ENOMEM;
	edu_fill(cpu, EDU_CHUNK, seed);
	ret = edu_read(edu, dma, 0, EDU_CHUNK);
	dma_free_coherent(edu_dev(edu), EDU_CHUNK, cpu, dma);
	return ret;
}

/**
 * edu_fetch() - what is at the start of the device's buffer
 * @edu: the device
 * @dst: where to copy it
 * @len: bytes, EDU_CHUNK at most
 *
 * Return: 0 or an error.
 */
int edu_fetch(struct edu *edu, void *dst, size_t len)
{
	dma_addr_t dma;
	void *cpu;
	int ret;

	cpu = dma_alloc_coherent(edu_dev(edu), EDU_CHUNK, &dma, GFP_KERNEL);
	if (!cpu)
		return -ENOMEM;
	ret = edu_write(edu, dma, 0, len);
	memcpy(dst, cpu, len);
	dma_free_coherent(edu_dev(edu), EDU_CHUNK, cpu, dma);
	return ret;
}

/**
 * edu_fill() - fill a buffer with a pattern
 * @buf: the buffer
 * @len: bytes
 * @seed: seed of the pattern
 */
void edu_fill(void *buf, size_t len, u8 seed)
{
	u8 *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = edu_pattern(i, seed);
}

/**
 * edu_check() - compare a buffer with a pattern
 * @edu: the device
 * @what: name of the buffer, for the message
 * @buf: the buffer
 * @len: bytes
 * @seed: seed of the pattern
 *
 * Return: 0, or -EILSEQ at the first byte that differs.
 */
int edu_check(struct edu *edu, const char *what, const void *buf, size_t len,
	      u8 seed)
{
	const u8 *p = buf;
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] == edu_pattern(i, seed))
			continue;
		edu_note(edu, "%s: byte %zu of %zu is %#x, should be %#x\n",
			 what, i, len, p[i], edu_pattern(i, seed));
		return -EILSEQ;
	}
	return 0;
}

/**
 * edu_check_byte() - compare a buffer with one byte
 * @edu: the device
 * @what: name of the buffer, for the message
 * @buf: the buffer
 * @len: bytes
 * @byte: what all of them should be
 *
 * Return: 0, or -EILSEQ at the first byte that differs.
 */
int edu_check_byte(struct edu *edu, const char *what, const void *buf,
		   size_t len, u8 byte)
{
	const u8 *bad = memchr_inv(buf, byte, len);

	if (!bad)
		return 0;
	edu_note(edu, "%s: byte %zu of %zu is %#x, should be %#x\n", what,
		 (size_t)(bad - (const u8 *)buf), len, *bad, byte);
	return -EILSEQ;
}

/**
 * edu_domain() - the IOMMU domain that the DMA API uses for the device
 * @edu: the device
 *
 * Return: the domain, or NULL when DMA is not translated.
 */
struct iommu_domain *edu_domain(struct edu *edu)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(edu_dev(edu));

	if (!domain || !(domain->type & __IOMMU_DOMAIN_DMA_API))
		return NULL;
	return domain;
}

/* Is the device in deferred mode? */
bool edu_deferred(struct edu *edu)
{
	struct iommu_domain *domain = edu_domain(edu);

	return domain && domain->type == IOMMU_DOMAIN_DMA_FQ;
}

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

static const struct edu_op edu_core_ops[] = {
	{ "info", edu_op_info },
	{ "irq", edu_op_irq },
	{ }
};

static const struct edu_op *edu_find(const char *name)
{
	static const struct edu_op *const tables[] = {
		edu_core_ops, edu_stream_ops, edu_live_ops, edu_alloc_ops,
		edu_owner_ops, edu_hostile_ops,
#ifdef EDU_HAVE_CONTIGUITY
		edu_list_ops, edu_limit_ops, edu_fail_ops,
#endif
	};
	const struct edu_op *op;
	int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (op = tables[i]; op->name; op++)
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

static int edu_mem_map(struct file *file, struct vm_area_struct *vma)
{
	struct edu *edu = file->private_data;
	int ret;

	mutex_lock(&edu->command.lock);
	ret = edu_mem_mmap(edu, vma);
	mutex_unlock(&edu->command.lock);
	return ret;
}

static const struct file_operations edu_mem_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.mmap = edu_mem_map,
};

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
	edu_mem_release(edu);
	edu_held_release(edu);
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
