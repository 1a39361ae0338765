// SPDX-License-Identifier: GPL-2.0
/*
 * A driver whose device has its IOMMU for itself, as those of GPUs do.
 *
 * It claims DMA ownership of the device's group, attaches a domain of its own,
 * and decides itself what is where in it: the IOMMU API alone, while the DMA API
 * goes on for the maintenance of caches. What the DMA API has mapped meanwhile
 * or before leads nowhere. Then everything is given back, and the DMA API's
 * mappings lead to memory again, those that were made before included.
 *
 * The device is QEMU's "edu": see dma_edu_main.c, whose files "run" and "result"
 * are here, too. State is kept from one operation to the next, so that a script
 * can look and meddle in between.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dma_command.h"
#include "edu_regs.h"

/* Less than the device's buffer, and no divisor of a page: page ends are crossed. */
#define EDU_CHUNK	3072
#define EDU_MASK_BITS	28

/*
 * Where the driver wants its buffers: within the device's 28 bits, and not so
 * that pages larger than those of the CPU would fit.
 */
#define OWNER_SRC	(0x05000000UL + PAGE_SIZE)
#define OWNER_DST	(0x07000000UL + PAGE_SIZE)

/* Pages of a list: each transfer takes a tenth of a second. */
#define OWNER_PAGES	max_t(unsigned int, 2, SZ_32K / PAGE_SIZE)
#define OWNER_SIZE	(OWNER_PAGES * PAGE_SIZE)

#define OWNER_SKIP	DMA_COMMAND_SKIP

/**
 * struct owner - one device
 * @pdev: the PCI device
 * @regs: BAR 0
 * @dir: its debugfs directory
 * @command: what scripts ask for; its lock protects all that follows
 * @domain: the driver's own while it owns the group, or NULL
 * @by_group: the group was claimed, rather than the device
 * @early: list that the DMA API mapped before, or NULL in @early.sgl
 */
struct owner {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct dentry *dir;

	struct dma_command command;	/* its lock protects all that follows */
	struct iommu_domain *domain;
	bool by_group;
	struct sg_table early;
};

static struct dentry *owner_root;

static struct device *owner_dev(struct owner *o)
{
	return &o->pdev->dev;
}

__printf(2, 3) static void owner_note(struct owner *o, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dma_command_vnote(&o->command, fmt, args);
	va_end(args);
}

/* ---- the device: it copies from and to addresses as it sees them ---- */

static int edu_transfer(struct owner *o, u64 src, u64 dst, size_t len, u64 cmd)
{
	unsigned long end = jiffies + 10 * HZ;

	writeq(src, o->regs + EDU_REG_SRC);
	writeq(dst, o->regs + EDU_REG_DST);
	writeq(len, o->regs + EDU_REG_COUNT);
	writeq(cmd | EDU_CMD_RUN, o->regs + EDU_REG_CMD);
	while (readq(o->regs + EDU_REG_CMD) & EDU_CMD_RUN) {
		if (time_after(jiffies, end)) {
			owner_note(o, "a transfer does not end\n");
			return -ETIMEDOUT;
		}
		fsleep(5 * USEC_PER_MSEC);
	}
	return 0;
}

static int edu_write(struct owner *o, u64 to, size_t len)
{
	return edu_transfer(o, EDU_BUF_ADDR, to, len, EDU_CMD_TO_MEM);
}

static int edu_copy(struct owner *o, u64 from, u64 to, size_t size)
{
	size_t done, len;
	int ret;

	for (done = 0; done < size; done += len) {
		len = min_t(size_t, size - done, EDU_CHUNK);
		ret = edu_transfer(o, from + done, EDU_BUF_ADDR, len, 0) ?:
		      edu_write(o, to + done, len);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- memory: lists of pages of which no two are adjacent ---- */

static u8 pattern(size_t i, u8 seed)
{
	return seed + i + (i >> 8) * 31 + (i >> 12) * 7;
}

static void list_free(struct sg_table *sgt)
{
	struct scatterlist *sg;
	int i;

	for_each_sgtable_sg(sgt, sg, i)
		if (sg_page(sg))
			__free_page(sg_page(sg));
	sg_free_table(sgt);
	sgt->sgl = NULL;
}

/* Every second page of a larger piece, the last one first */
static int list_new(struct sg_table *sgt)
{
	unsigned int order = get_order(2 * OWNER_SIZE), n = 1 << order, i;
	struct scatterlist *sg;
	struct page *pages;
	int ret;

	ret = sg_alloc_table(sgt, OWNER_PAGES, GFP_KERNEL);
	if (ret)
		return ret;
	pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, order);
	if (!pages) {
		sg_free_table(sgt);
		sgt->sgl = NULL;
		return -ENOMEM;
	}
	split_page(pages, order);
	sg = sgt->sgl;
	for (i = n; i--;) {
		if (i % 2 && sg) {
			sg_set_page(sg, pages + i, PAGE_SIZE, 0);
			sg = sg_next(sg);
		} else {
			__free_page(pages + i);
		}
	}
	return 0;
}

static u8 *list_byte(struct sg_table *sgt, size_t at)
{
	struct scatterlist *sg = sgt->sgl;

	for (; at >= sg->length; sg = sg_next(sg))
		at -= sg->length;
	return (u8 *)sg_virt(sg) + at;
}

/* seed, of @size bytes from @at on */
static void list_fill(struct sg_table *sgt, size_t at, size_t size, u8 seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		*list_byte(sgt, at + i) = pattern(i, seed);
}

static int list_check(struct owner *o, const char *what, struct sg_table *sgt,
		      size_t at, size_t size, u8 seed)
{
	size_t i;

	for (i = 0; i < size; i++) {
		u8 byte = *list_byte(sgt, at + i);

		if (byte == pattern(i, seed))
			continue;
		owner_note(o, "%s: byte %zu is %#x, should be %#x\n", what,
			   at + i, byte, pattern(i, seed));
		return -EILSEQ;
	}
	return 0;
}

/* ---- the driver's own domain ---- */

static int own_prot(struct owner *o)
{
	return dev_is_dma_coherent(owner_dev(o)) ? IOMMU_CACHE : 0;
}

/* Page by page, at an address of the driver's choice */
static int own_map(struct owner *o, unsigned long iova, struct sg_table *sgt,
		   int prot)
{
	struct scatterlist *sg;
	int i, ret;

	for_each_sgtable_sg(sgt, sg, i) {
		ret = iommu_map(o->domain, iova + i * PAGE_SIZE, sg_phys(sg),
				PAGE_SIZE, prot | own_prot(o), GFP_KERNEL);
		if (!ret)
			continue;
		owner_note(o, "cannot map page %d: %d\n", i, ret);
		iommu_unmap(o->domain, iova, i * PAGE_SIZE);
		return ret;
	}
	return 0;
}

static int own_unmap(struct owner *o, unsigned long iova)
{
	size_t got = iommu_unmap(o->domain, iova, OWNER_SIZE);

	if (got == OWNER_SIZE)
		return 0;
	owner_note(o, "unmapped %zu of %lu bytes\n", got, OWNER_SIZE);
	return -EIO;
}

static int own_move(struct owner *o, struct sg_table *src, struct sg_table *dst)
{
	ssize_t got;
	int ret;

	got = iommu_map_sgtable(o->domain, OWNER_SRC, src,
				IOMMU_READ | own_prot(o));
	if (got != OWNER_SIZE) {
		owner_note(o, "mapped %zd of %lu bytes\n", got, OWNER_SIZE);
		return -EIO;
	}
	ret = own_map(o, OWNER_DST, dst, IOMMU_READ | IOMMU_WRITE);
	if (!ret) {
		ret = edu_copy(o, OWNER_SRC, OWNER_DST, OWNER_SIZE);
		ret = own_unmap(o, OWNER_DST) ?: ret;
	}
	return own_unmap(o, OWNER_SRC) ?: ret;
}

static int lists_new(struct sg_table *one, struct sg_table *other)
{
	int ret = list_new(one);

	if (ret)
		return ret;
	ret = list_new(other);
	if (ret)
		list_free(one);
	return ret;
}

/*
 * One buffer to another, at the driver's addresses. The DMA API's mappings are
 * there for the caches' sake; their addresses mean nothing to the device now.
 */
static int owner_use_lists(struct owner *o, struct sg_table *src,
			   struct sg_table *dst, u8 seed)
{
	struct device *dev = owner_dev(o);
	int ret;

	list_fill(src, 0, OWNER_SIZE, seed);
	list_fill(dst, 0, OWNER_SIZE, seed + 1);
	ret = dma_map_sgtable(dev, src, DMA_TO_DEVICE, 0);
	if (ret)
		return ret;
	ret = dma_map_sgtable(dev, dst, DMA_FROM_DEVICE, 0);
	if (!ret) {
		ret = own_move(o, src, dst);
		dma_unmap_sgtable(dev, dst, DMA_FROM_DEVICE, 0);
	}
	dma_unmap_sgtable(dev, src, DMA_TO_DEVICE, 0);
	return ret ?: list_check(o, "copy", dst, 0, OWNER_SIZE, seed) ?:
	       list_check(o, "original", src, 0, OWNER_SIZE, seed);
}

/* use: twice at the same addresses, with other pages the second time */
static int owner_use(struct owner *o, const char *arg)
{
	struct sg_table src, dst;
	int ret;

	if (!o->domain)
		return -EINVAL;
	ret = lists_new(&src, &dst);
	if (ret)
		return ret;
	ret = owner_use_lists(o, &src, &dst, 41) ?:
	      owner_use_lists(o, &dst, &src, 57);
	list_free(&src);
	list_free(&dst);
	return ret;
}

/*
 * The device writes to @addr, and @sgt, all of which has @seed, stays what it
 * was.
 */
static int out_of_reach(struct owner *o, const char *what, u64 addr,
			struct sg_table *sgt, u8 seed)
{
	struct device *dev = owner_dev(o);
	int ret = edu_write(o, addr, 1024);

	dma_sync_sgtable_for_cpu(dev, sgt, DMA_BIDIRECTIONAL);
	ret = ret ?: list_check(o, what, sgt, 0, OWNER_SIZE, seed);
	dma_sync_sgtable_for_device(dev, sgt, DMA_BIDIRECTIONAL);
	return ret;
}

/* Our own page at the address of somebody else would prove nothing. */
static int nothing_at(struct owner *o, u64 addr)
{
	phys_addr_t phys = iommu_iova_to_phys(o->domain, addr);

	if (!phys)
		return 0;
	owner_note(o, "the driver's domain has %pa at %#llx\n", &phys, addr);
	return -EEXIST;
}

/*
 * Memory is readable, and is not written; then it is gone. What the device reads
 * is from another place than where it writes to, or nobody would notice.
 */
static int stopped_at(struct owner *o, struct sg_table *sgt)
{
	int ret = own_map(o, OWNER_SRC, sgt, IOMMU_READ);

	if (ret)
		return ret;
	ret = edu_transfer(o, OWNER_SRC + 512, EDU_BUF_ADDR, 1024, 0) ?:
	      out_of_reach(o, "what the device may only read", OWNER_SRC, sgt,
			   91);
	return own_unmap(o, OWNER_SRC) ?: ret ?:
	       out_of_reach(o, "what the driver has unmapped", OWNER_SRC, sgt,
			    91);
}

/*
 * stopped: what the DMA API has mapped, now and before, is out of reach; and so
 * is what the driver does not allow, or not any longer
 */
static int owner_stopped(struct owner *o, const char *arg)
{
	struct device *dev = owner_dev(o);
	struct sg_table sgt;
	dma_addr_t addr;
	int ret;

	if (!o->domain || !o->early.sgl)
		return -EINVAL;
	ret = list_new(&sgt);
	if (ret)
		return ret;
	list_fill(&sgt, 0, OWNER_SIZE, 91);
	ret = dma_map_sgtable(dev, &sgt, DMA_BIDIRECTIONAL, 0);
	if (ret)
		goto out;
	addr = sg_dma_address(sgt.sgl);
	ret = nothing_at(o, addr) ?:
	      out_of_reach(o, "what the DMA API maps meanwhile", addr, &sgt, 91);
	addr = sg_dma_address(o->early.sgl);
	ret = ret ?: nothing_at(o, addr) ?:
	      out_of_reach(o, "what the DMA API had mapped", addr, &o->early, 13);
	ret = ret ?: stopped_at(o, &sgt);
	dma_unmap_sgtable(dev, &sgt, DMA_BIDIRECTIONAL, 0);
out:
	list_free(&sgt);
	return ret;
}

/* ---- whose IOMMU it is ---- */

static int owner_claim(struct owner *o)
{
	struct device *dev = owner_dev(o);

	return o->by_group ? iommu_group_claim_dma_owner(dev->iommu_group, o) :
			     iommu_device_claim_dma_owner(dev, o);
}

static void owner_release(struct owner *o)
{
	struct device *dev = owner_dev(o);

	if (o->by_group)
		iommu_group_release_dma_owner(dev->iommu_group);
	else
		iommu_device_release_dma_owner(dev);
}

static int owner_attach(struct owner *o)
{
	struct device *dev = owner_dev(o);
	struct iommu_domain *domain = iommu_paging_domain_alloc(dev);
	int ret;

	if (IS_ERR(domain)) {
		owner_note(o, "no domain: %ld\n", PTR_ERR(domain));
		return PTR_ERR(domain);
	}
	ret = o->by_group ? iommu_attach_group(domain, dev->iommu_group) :
			    iommu_attach_device(domain, dev);
	if (ret) {
		owner_note(o, "cannot attach: %d\n", ret);
		iommu_domain_free(domain);
		return ret;
	}
	o->domain = domain;
	return 0;
}

/* take device|group */
static int owner_take(struct owner *o, const char *arg)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(owner_dev(o));
	int ret;

	if (o->domain)
		return -EBUSY;
	if (!domain || !(domain->type & __IOMMU_DOMAIN_DMA_API)) {
		owner_note(o, "no IOMMU translates for the device\n");
		return OWNER_SKIP;
	}
	o->by_group = !strcmp(arg, "group");
	ret = owner_claim(o);
	if (ret) {
		owner_note(o, "cannot claim: %d\n", ret);
		return ret;
	}
	ret = owner_attach(o);
	if (ret)
		owner_release(o);
	return ret;
}

/* give: and then the group has its default domain again */
static int owner_give(struct owner *o, const char *arg)
{
	struct device *dev = owner_dev(o);
	struct iommu_domain *domain;

	if (!o->domain)
		return -EINVAL;
	if (o->by_group)
		iommu_detach_group(o->domain, dev->iommu_group);
	else
		iommu_detach_device(o->domain, dev);
	iommu_domain_free(o->domain);
	o->domain = NULL;
	owner_release(o);
	domain = iommu_get_domain_for_dev(dev);
	if (domain && domain->type & __IOMMU_DOMAIN_DMA_API)
		return 0;
	owner_note(o, "the group is not with the DMA API again\n");
	return -EIO;
}

static int rival_claims(struct owner *o)
{
	struct device *dev = owner_dev(o);
	int ret = iommu_device_claim_dma_owner(dev, &owner_root);

	if (!ret)
		iommu_device_release_dma_owner(dev);
	return ret;
}

/* rivals: what is owned is nobody else's; what is not is to be had */
static int owner_rivals(struct owner *o, const char *arg)
{
	struct device *dev = owner_dev(o);
	int ret = rival_claims(o);

	if (!o->domain)
		return ret;
	if (ret != -EPERM) {
		owner_note(o, "claimed by two: %d\n", ret);
		return -EIO;
	}
	ret = iommu_group_claim_dma_owner(dev->iommu_group, o);
	if (ret != -EPERM) {
		owner_note(o, "claimed as a group, too: %d\n", ret);
		return -EIO;
	}
	/* The same owner may be it twice; it then has to let go of it twice. */
	ret = iommu_device_claim_dma_owner(dev, o);
	if (ret) {
		owner_note(o, "not claimed once more by its owner: %d\n", ret);
		return ret;
	}
	iommu_device_release_dma_owner(dev);
	return rival_claims(o) == -EPERM ? 0 : -EIO;
}

/* ---- the DMA API ---- */

/* A mapped list: the device copies its first half to the second. */
static int api_move(struct owner *o, struct sg_table *sgt, u8 seed)
{
	struct device *dev = owner_dev(o);
	dma_addr_t addr = sg_dma_address(sgt->sgl);
	size_t half = OWNER_SIZE / 2;
	int ret;

	if (sgt->nents != 1) {
		owner_note(o, "%u segments\n", sgt->nents);
		return -EIO;
	}
	dma_sync_sgtable_for_cpu(dev, sgt, DMA_BIDIRECTIONAL);
	list_fill(sgt, 0, half, seed);
	list_fill(sgt, half, half, seed + 1);
	dma_sync_sgtable_for_device(dev, sgt, DMA_BIDIRECTIONAL);
	ret = edu_copy(o, addr, addr + half, half);
	dma_sync_sgtable_for_cpu(dev, sgt, DMA_BIDIRECTIONAL);
	ret = ret ?: list_check(o, "list of the DMA API", sgt, half, half, seed);
	/* This is what "stopped" expects. */
	list_fill(sgt, 0, OWNER_SIZE, 13);
	dma_sync_sgtable_for_device(dev, sgt, DMA_BIDIRECTIONAL);
	return ret;
}

static int api_list(struct owner *o, struct sg_table *sgt, u8 seed)
{
	int ret = list_new(sgt);

	if (ret)
		return ret;
	ret = dma_map_sgtable(owner_dev(o), sgt, DMA_BIDIRECTIONAL, 0);
	if (ret) {
		list_free(sgt);
		return ret;
	}
	return api_move(o, sgt, seed);
}

static void api_list_end(struct owner *o, struct sg_table *sgt)
{
	if (!sgt->sgl)
		return;
	dma_unmap_sgtable(owner_dev(o), sgt, DMA_BIDIRECTIONAL, 0);
	list_free(sgt);
}

/* early: a list that is mapped from now on */
static int owner_early(struct owner *o, const char *arg)
{
	if (o->domain || o->early.sgl)
		return -EBUSY;
	return api_list(o, &o->early, 7);
}

/* api: that list, and one that is mapped now, through the DMA API */
static int owner_api(struct owner *o, const char *arg)
{
	struct sg_table late = {};
	int ret;

	if (o->domain || !o->early.sgl)
		return -EINVAL;
	ret = api_list(o, &late, 23) ?: api_move(o, &o->early, 29);
	api_list_end(o, &late);
	return ret;
}

/* ---- how a script gets at it ---- */

static const struct owner_op {
	const char *name;
	int (*run)(struct owner *o, const char *arg);
} owner_ops[] = {
	{ "early", owner_early },
	{ "take", owner_take },
	{ "rivals", owner_rivals },
	{ "use", owner_use },
	{ "stopped", owner_stopped },
	{ "give", owner_give },
	{ "api", owner_api },
};

static int owner_run(struct dma_command *command, int argc, char **argv)
{
	struct owner *o = container_of(command, struct owner, command);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(owner_ops); i++)
		if (!strcmp(owner_ops[i].name, argv[0]))
			return owner_ops[i].run(o, argc > 1 ? argv[1] : "");
	return DMA_COMMAND_UNKNOWN;
}

static int owner_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct owner *o = devm_kzalloc(&pdev->dev, sizeof(*o), GFP_KERNEL);
	int ret;

	if (!o)
		return -ENOMEM;
	o->pdev = pdev;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	o->regs = pcim_iomap(pdev, 0, 0);
	if (!o->regs)
		return -ENOMEM;
	ret = dma_set_mask_and_coherent(&pdev->dev,
					DMA_BIT_MASK(EDU_MASK_BITS));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	pci_set_master(pdev);
	pci_set_drvdata(pdev, o);
	o->dir = debugfs_create_dir(pci_name(pdev), owner_root);
	dma_command_init(&o->command, o->dir, owner_run);
	return 0;
}

/* Also while it owns the IOMMU: then this is when it gives it back. */
static void owner_remove(struct pci_dev *pdev)
{
	struct owner *o = pci_get_drvdata(pdev);

	debugfs_remove_recursive(o->dir);
	if (o->domain)
		owner_give(o, "");
	api_list_end(o, &o->early);
	pci_clear_master(pdev);
}

static const struct pci_device_id owner_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, owner_ids);

static struct pci_driver owner_driver = {
	.name = "dma_owner",
	.id_table = owner_ids,
	.probe = owner_probe,
	.remove = owner_remove,
	/* Binding does not claim the group for the DMA API. */
	.driver_managed_dma = true,
};

static int __init owner_init(void)
{
	int ret;

	owner_root = debugfs_create_dir("dma_owner", NULL);
	ret = pci_register_driver(&owner_driver);
	if (ret)
		debugfs_remove_recursive(owner_root);
	return ret;
}

static void __exit owner_exit(void)
{
	pci_unregister_driver(&owner_driver);
	debugfs_remove_recursive(owner_root);
}

module_init(owner_init);
module_exit(owner_exit);

MODULE_DESCRIPTION("A driver that manages its device's IOMMU domain itself");
MODULE_LICENSE("GPL");
