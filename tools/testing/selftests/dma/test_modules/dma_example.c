// SPDX-License-Identifier: GPL-2.0
/*
 * A driver whose device takes one address and one length, and no list.
 *
 * The device is QEMU's "edu", used as a store for one packet: a header of the
 * driver's, and data that the device gets out of the user's pages and puts into
 * them. So a packet is a list, of memory that begins and ends anywhere, and the
 * device has to see it as one segment. See Documentation/core-api/dma-iommu.rst.
 *
 *   # insmod dma_example.ko
 *   # echo hello > /dev/dma_example-0000:00:05.0
 *   # cat /dev/dma_example-0000:00:05.0
 *   hello
 */
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#define REG_SRC		0x80
#define REG_DST		0x88
#define REG_COUNT	0x90
#define REG_CMD		0x98
#define CMD_RUN		BIT(0)
#define CMD_TO_MEMORY	BIT(1)
#define STORE		0x40000		/* as the device sees it */
#define MAX_DATA	3000
#define MAX_PAGES	2
#define MAGIC		0x70616b74

struct header {
	__le32 magic;
	__le32 len;
};

struct example {
	struct device *dev;
	void __iomem *regs;
	struct miscdevice misc;
	struct mutex lock;	/* one packet at a time; protects header, len */
	struct header *header;
	size_t len;
};

static int move(struct example *ex, dma_addr_t addr, size_t len, bool to_memory)
{
	u64 cmd;

	writeq(to_memory ? STORE : addr, ex->regs + REG_SRC);
	writeq(to_memory ? addr : STORE, ex->regs + REG_DST);
	writeq(len, ex->regs + REG_COUNT);
	writeq(CMD_RUN | (to_memory ? CMD_TO_MEMORY : 0), ex->regs + REG_CMD);
	return readq_poll_timeout(ex->regs + REG_CMD, cmd, !(cmd & CMD_RUN),
				  2000, 10 * USEC_PER_SEC);
}

/* A packet as one segment: mapped, moved, unmapped */
static int move_packet(struct example *ex, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
	int ret;

	ret = dma_map_sgtable(ex->dev, sgt, dir, 0);
	if (ret)
		return ret;
	/* There is one segment, and it is the whole list: nothing to check. */
	ret = move(ex, sg_dma_address(sgt->sgl), sg_dma_len(sgt->sgl),
		   dir == DMA_FROM_DEVICE);
	/* From here on the CPU sees what the device wrote. */
	dma_unmap_sgtable(ex->dev, sgt, dir, 0);
	return ret;
}

/* The header and the user's data, wherever its pages are */
static int make_packet(struct example *ex, struct sg_table *sgt,
		       struct page **pages, int nr, size_t off, size_t len)
{
	struct scatterlist *sg;
	int i, ret;

	ret = sg_alloc_table(sgt, nr + 1, GFP_KERNEL);
	if (ret)
		return ret;
	sg_set_buf(sgt->sgl, ex->header, sizeof(*ex->header));
	sg = sg_next(sgt->sgl);
	for (i = 0; i < nr; i++, sg = sg_next(sg)) {
		size_t part = min(len, PAGE_SIZE - off);

		sg_set_page(sg, pages[i], part, off);
		len -= part;
		off = 0;
	}
	return 0;
}

static int transfer(struct example *ex, unsigned long addr, size_t len,
		    enum dma_data_direction dir)
{
	int nr = DIV_ROUND_UP(offset_in_page(addr) + len, PAGE_SIZE), got, ret;
	bool to_memory = dir == DMA_FROM_DEVICE;
	struct page *pages[MAX_PAGES];
	struct sg_table sgt;

	got = pin_user_pages_fast(addr, nr, to_memory ? FOLL_WRITE : 0, pages);
	if (got < 0)
		return got;
	ret = got == nr ? make_packet(ex, &sgt, pages, nr, offset_in_page(addr),
				      len) : -EFAULT;
	if (!ret) {
		ret = move_packet(ex, &sgt, dir);
		sg_free_table(&sgt);
	}
	unpin_user_pages_dirty_lock(pages, got, to_memory);
	return ret;
}

static ssize_t example_write(struct file *file, const char __user *buf,
			     size_t len, loff_t *pos)
{
	struct example *ex = container_of(file->private_data, struct example,
					  misc);
	int ret;

	if (!len || len > MAX_DATA)
		return len ? -EMSGSIZE : 0;
	mutex_lock(&ex->lock);
	ex->header->magic = cpu_to_le32(MAGIC);
	ex->header->len = cpu_to_le32(len);
	ret = transfer(ex, (unsigned long)buf, len, DMA_TO_DEVICE);
	ex->len = ret ? 0 : len;
	mutex_unlock(&ex->lock);
	return ret ?: len;
}

static ssize_t example_read(struct file *file, char __user *buf, size_t len,
			    loff_t *pos)
{
	struct example *ex = container_of(file->private_data, struct example,
					  misc);
	int ret = 0;

	mutex_lock(&ex->lock);
	len = *pos ? 0 : min(len, ex->len);
	if (len) {
		memset(ex->header, 0, sizeof(*ex->header));
		ret = transfer(ex, (unsigned long)buf, len, DMA_FROM_DEVICE);
	}
	if (len && !ret && (le32_to_cpu(ex->header->magic) != MAGIC ||
			    le32_to_cpu(ex->header->len) != ex->len))
		ret = -EIO;
	mutex_unlock(&ex->lock);
	*pos += ret ? 0 : len;
	return ret ?: len;
}

static const struct file_operations example_fops = {
	.owner = THIS_MODULE,
	.read = example_read,
	.write = example_write,
};

/* What the device can do, told once */
static int setup_dma(struct device *dev)
{
	size_t most = sizeof(struct header) + MAX_DATA;
	int ret;

	/* Header and data are not next to each other: only an IOMMU merges them. */
	if (!dma_get_merge_boundary(dev))
		return dev_err_probe(dev, -EOPNOTSUPP, "its packets need an IOMMU\n");
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(28));
	if (ret)
		return ret;
	dma_set_max_seg_size(dev, most);
	if (dma_max_contiguous_size(dev) < most)
		return dev_err_probe(dev, -E2BIG, "packets are too large for its bus\n");
	dma_set_contiguous(dev, true);
	return 0;
}

static int example_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct example *ex = devm_kzalloc(dev, sizeof(*ex), GFP_KERNEL);
	int ret;

	if (!ex)
		return -ENOMEM;
	ex->header = devm_kzalloc(dev, sizeof(*ex->header), GFP_KERNEL);
	ex->misc.name = devm_kasprintf(dev, GFP_KERNEL, "dma_example-%s",
				       pci_name(pdev));
	if (!ex->header || !ex->misc.name)
		return -ENOMEM;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ex->regs = pcim_iomap(pdev, 0, 0);
	if (!ex->regs)
		return -ENOMEM;
	ret = setup_dma(dev);
	if (ret)
		return ret;
	ex->dev = dev;
	ex->misc.minor = MISC_DYNAMIC_MINOR;
	ex->misc.fops = &example_fops;
	mutex_init(&ex->lock);
	pci_set_master(pdev);
	pci_set_drvdata(pdev, ex);
	return misc_register(&ex->misc);
}

static void example_remove(struct pci_dev *pdev)
{
	struct example *ex = pci_get_drvdata(pdev);

	misc_deregister(&ex->misc);
	pci_clear_master(pdev);
}

static const struct pci_device_id example_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, example_ids);

static struct pci_driver example_driver = {
	.name = "dma_example",
	.id_table = example_ids,
	.probe = example_probe,
	.remove = example_remove,
};
module_pci_driver(example_driver);

MODULE_DESCRIPTION("A device that needs one contiguous address");
MODULE_LICENSE("GPL");
