// SPDX-License-Identifier: GPL-2.0
/*
 * A hostile device: it reads and writes where nothing is mapped for it.
 *
 *   hostile N BITS [SEED]  N transfers, to addresses of at most BITS bits
 *   hostile N BITS SEED small  the same, so small that the IOMMU has little to report
 *
 * Where to, in turn and at random in each, as far as the device reaches:
 *
 *   random     anywhere within its reach
 *   other      where another device has a page mapped just now
 *   beside     next to that
 *   physical   the physical address of memory, as if there were no IOMMU
 *   zero       the first page
 *   doorbell   what the IOMMU's driver sets aside for interrupts; only read where
 *              that passes by the IOMMU
 *   freed      where it had memory that was freed
 *   unmapped   where a page of its own was mapped until now
 *   below      below a page of its own that is mapped
 *
 * Pages with known bytes, some mapped for other devices, show a write that went
 * through; and of what a blocked read leaves in the device's buffer each byte is what
 * was there before, or what the bus gives for nothing: 0 or 0xff. "result" has a line
 * for each address. What was freed or unmapped must not be translated any more, before
 * there is a transfer.
 */
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dma_edu_core.h"
#include "dma_edu_ops.h"

#define HOSTILE_PAGES	64
#define HOSTILE_OTHERS	8
#define HOSTILE_BYTE	0x5a
#define HOSTILE_SEED	101
#define HOSTILE_LEN	512
#define HOSTILE_SMALL	4

/* Where there is no such place: out of reach, and so is what is beside it. */
#define HOSTILE_NOWHERE	BIT_ULL(63)
#define HOSTILE_BITS	62

/* Deferred: by then the window is over. */
#define HOSTILE_WINDOW_MS 30

/**
 * struct hostile_other - a page that another device has mapped
 * @pdev: the device, with a reference
 * @dma: where
 */
struct hostile_other {
	struct pci_dev *pdev;
	dma_addr_t dma;
};

/**
 * struct hostile - what is watched meanwhile
 * @edu: the device
 * @domain: its domain
 * @granule: of the domain
 * @mask: highest address that it can use
 * @max: bytes of a transfer
 * @state: of the random numbers
 * @pages: pages with known bytes
 * @others: the first of them are mapped for these
 * @nr_others: how many
 * @doorbell: where doorbells may be
 * @doorbells: bytes of that
 * @untranslated: messages to them pass by the IOMMU
 * @own: a page of its own that stays mapped
 * @mine: its memory
 * @blocked: transfers that nothing was mapped for
 * @left_out: it was out of reach, or there was a mapping of its own
 */
struct hostile {
	struct edu *edu;
	struct iommu_domain *domain;
	size_t granule;
	u64 mask;
	size_t max;
	struct rnd_state state;
	struct page *pages[HOSTILE_PAGES];
	struct hostile_other others[HOSTILE_OTHERS];
	unsigned int nr_others;
	u64 doorbell;
	size_t doorbells;
	bool untranslated;
	dma_addr_t own;
	void *mine;
	unsigned int blocked;
	unsigned int left_out;
};

static u64 hostile_random(struct hostile *h, u64 below)
{
	u64 value = (u64)prandom_u32_state(&h->state) << 32 |
		    prandom_u32_state(&h->state);

	return below ? value % below : value;
}

/*
 * Memory that must not change, and pages that other devices have mapped.
 */

/* Only a driver that is at work may have something mapped. */
static bool hostile_may_map(struct hostile *h, struct pci_dev *pdev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);

	return pdev != h->edu->pdev && pdev->dev.driver && domain &&
	       domain != h->domain && domain->type & __IOMMU_DOMAIN_DMA_API;
}

static void hostile_map_others(struct hostile *h)
{
	struct pci_dev *pdev = NULL;
	dma_addr_t dma;

	for_each_pci_dev(pdev) {
		if (h->nr_others == HOSTILE_OTHERS)
			break;
		if (!hostile_may_map(h, pdev))
			continue;
		dma = dma_map_page(&pdev->dev, h->pages[h->nr_others], 0,
				   PAGE_SIZE, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(&pdev->dev, dma))
			continue;
		h->others[h->nr_others++] = (struct hostile_other) {
			pci_dev_get(pdev), dma
		};
	}
	pci_dev_put(pdev);
}

static void hostile_end(struct hostile *h)
{
	struct device *dev = edu_dev(h->edu);
	int i;

	while (h->nr_others) {
		struct hostile_other *other = &h->others[--h->nr_others];

		dma_unmap_page(&other->pdev->dev, other->dma, PAGE_SIZE,
			       DMA_BIDIRECTIONAL);
		pci_dev_put(other->pdev);
	}
	if (h->mine)
		dma_free_coherent(dev, h->granule, h->mine, h->own);
	for (i = 0; i < HOSTILE_PAGES; i++)
		if (h->pages[i])
			__free_page(h->pages[i]);
}

static int hostile_begin(struct hostile *h)
{
	struct device *dev = edu_dev(h->edu);
	struct iommu_resv_region *region;
	LIST_HEAD(regions);
	int i;

	for (i = 0; i < HOSTILE_PAGES; i++) {
		h->pages[i] = alloc_page(GFP_KERNEL);
		if (!h->pages[i])
			return -ENOMEM;
		memset(page_address(h->pages[i]), HOSTILE_BYTE, PAGE_SIZE);
	}
	h->mine = dma_alloc_coherent(dev, h->granule, &h->own, GFP_KERNEL);
	if (!h->mine)
		return -ENOMEM;
	memset(h->mine, HOSTILE_BYTE, h->granule);
	hostile_map_others(h);
	iommu_get_resv_regions(dev, &regions);
	list_for_each_entry(region, &regions, list)
		if (region->type == IOMMU_RESV_MSI ||
		    region->type == IOMMU_RESV_SW_MSI) {
			h->doorbell = region->start;
			h->doorbells = region->length;
			h->untranslated = region->type == IOMMU_RESV_MSI;
		}
	iommu_put_resv_regions(dev, &regions);
	return edu_load(h->edu, HOSTILE_SEED);
}

static int hostile_look(struct hostile *h)
{
	int i, ret;

	ret = edu_check_byte(h->edu, "the device's own memory", h->mine,
			     h->granule, HOSTILE_BYTE);
	for (i = 0; !ret && i < HOSTILE_PAGES; i++)
		ret = edu_check_byte(h->edu, i < HOSTILE_OTHERS ?
				     "another device's memory" : "memory",
				     page_address(h->pages[i]), PAGE_SIZE,
				     HOSTILE_BYTE);
	return ret;
}

/*
 * Where to.
 */

static u64 where_random(struct hostile *h)
{
	return hostile_random(h, 0) & h->mask;
}

static u64 where_other(struct hostile *h)
{
	if (!h->nr_others)
		return HOSTILE_NOWHERE;
	return h->others[hostile_random(h, h->nr_others)].dma +
	       hostile_random(h, PAGE_SIZE);
}

static u64 where_beside(struct hostile *h)
{
	u64 addr = where_other(h);

	return hostile_random(h, 2) ? addr + PAGE_SIZE : addr - PAGE_SIZE;
}

static u64 where_physical(struct hostile *h)
{
	return page_to_phys(h->pages[hostile_random(h, HOSTILE_PAGES)]) +
	       hostile_random(h, PAGE_SIZE);
}

static u64 where_zero(struct hostile *h)
{
	return hostile_random(h, PAGE_SIZE);
}

static u64 where_doorbell(struct hostile *h)
{
	if (!h->doorbells)
		return HOSTILE_NOWHERE;
	return h->doorbell + hostile_random(h, h->doorbells);
}

static u64 where_freed(struct hostile *h)
{
	size_t size = h->granule << hostile_random(h, 4);
	struct device *dev = edu_dev(h->edu);
	dma_addr_t dma;
	void *cpu;

	cpu = dma_alloc_coherent(dev, size, &dma, GFP_KERNEL);
	if (!cpu)
		return HOSTILE_NOWHERE;
	memset(cpu, HOSTILE_BYTE, size);
	dma_free_coherent(dev, size, cpu, dma);
	if (edu_deferred(h->edu))
		msleep(HOSTILE_WINDOW_MS);
	return dma + hostile_random(h, size);
}

/* The IOTLB knows it, as the device has just used it. */
static u64 where_unmapped(struct hostile *h)
{
	struct page *page = h->pages[HOSTILE_PAGES - 1];
	struct device *dev = edu_dev(h->edu);
	dma_addr_t dma;

	dma = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, dma))
		return HOSTILE_NOWHERE;
	edu_read(h->edu, dma, HOSTILE_LEN, 8);
	dma_unmap_page(dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (edu_deferred(h->edu))
		msleep(HOSTILE_WINDOW_MS);
	return dma + hostile_random(h, PAGE_SIZE);
}

/* Next below its own, which may be at the top of what it reaches */
static u64 where_below(struct hostile *h)
{
	u64 addr = h->own;

	do {
		addr -= h->granule;
	} while (iommu_iova_to_phys(h->domain, addr));
	return addr + hostile_random(h, h->granule);
}

/**
 * struct hostile_where - a kind of address
 * @name: for "result"
 * @where: one of them, or HOSTILE_NOWHERE
 * @gone: it was the device's own, so that a translation is the layer's fault
 */
struct hostile_where {
	const char *name;
	u64 (*where)(struct hostile *h);
	bool gone;
};

static const struct hostile_where hostile_wheres[] = {
	{ "random", where_random },
	{ "other", where_other },
	{ "beside", where_beside },
	{ "physical", where_physical },
	{ "zero", where_zero },
	{ "doorbell", where_doorbell },
	{ "freed", where_freed, true },
	{ "unmapped", where_unmapped, true },
	{ "below", where_below },
};

/*
 * A transfer.
 */

/*
 * What is written there is a message, and not the DMA layer's to stop but interrupt
 * remapping's, of which an emulated IOMMU may have only a part: with QEMU's VT-d our
 * pattern is an SMI, from which a CPU other than the first never returns.
 */
static bool hostile_is_message(struct hostile *h, u64 addr)
{
	return h->untranslated && addr >= h->doorbell &&
	       addr - h->doorbell < h->doorbells;
}

/* Each byte was there before, or is nothing. */
static int hostile_fetched(struct hostile *h, size_t len)
{
	u8 *seen = kmalloc(HOSTILE_LEN, GFP_KERNEL);
	size_t i;
	int ret;

	if (!seen)
		return -ENOMEM;
	ret = edu_fetch(h->edu, seen, len);
	for (i = 0; !ret && i < len; i++) {
		if (!seen[i] || seen[i] == 0xff ||
		    seen[i] == edu_pattern(i, HOSTILE_SEED))
			continue;
		edu_note(h->edu, "byte %zu of what the device has read is %#x\n",
			 i, seen[i]);
		ret = -EPERM;
	}
	kfree(seen);
	return ret ?: edu_load(h->edu, HOSTILE_SEED);
}

static int hostile_once(struct hostile *h, const struct hostile_where *where)
{
	u64 addr = where->where(h) & ~3ULL;
	size_t len = min_t(size_t, ALIGN(1 + hostile_random(h, h->max), 4),
			   h->granule - (addr & (h->granule - 1)));
	bool write = hostile_random(h, 2) && !hostile_is_message(h, addr);
	bool reached = addr <= h->mask;
	bool mapped = reached && iommu_iova_to_phys(h->domain, addr);
	int ret;

	if (mapped && where->gone) {
		edu_note(h->edu, "%#llx %s, and still mapped\n", addr, where->name);
		return -EPERM;
	}
	/* Its own interrupt's doorbell, perhaps: there is nothing to be blocked. */
	if (mapped || !reached) {
		h->left_out++;
		return 0;
	}
	edu_note(h->edu, "%#llx %s\n", addr, where->name);
	h->blocked++;
	ret = write ? edu_write(h->edu, addr, 0, len) :
		      edu_read(h->edu, addr, 0, len) ?: hostile_fetched(h, len);
	ret = ret ?: hostile_look(h);
	if (ret)
		edu_note(h->edu, "%zu bytes %s %#llx: %d\n", len,
			 write ? "written to" : "read from", addr, ret);
	return ret;
}

static int hostile_run(struct hostile *h, unsigned long n)
{
	const struct hostile_where *where = hostile_wheres;
	int ret = hostile_begin(h);
	unsigned int others = h->nr_others;

	for (; !ret && n--; where++) {
		if (where == hostile_wheres + ARRAY_SIZE(hostile_wheres))
			where = hostile_wheres;
		ret = hostile_once(h, where);
	}
	hostile_end(h);
	edu_note(h->edu, "%u transfers, %u left out, mapped for %u other devices\n",
		 h->blocked, h->left_out, others);
	return ret ?: h->blocked ? 0 : -ENODATA;
}

static int edu_op_hostile(struct edu *edu, int argc, char **argv)
{
	struct hostile *h;
	unsigned long n, bits, seed;
	int ret;

	if (edu_arg(argc, argv, 1, 9, &n) || edu_arg(argc, argv, 2, 28, &bits) ||
	    !bits || bits > HOSTILE_BITS || edu_arg(argc, argv, 3, 1, &seed))
		return -EINVAL;
	if (!edu_domain(edu))
		return EDU_SKIP;
	h = kzalloc(sizeof(*h), GFP_KERNEL);
	if (!h)
		return -ENOMEM;
	h->edu = edu;
	h->domain = edu_domain(edu);
	h->granule = max(PAGE_SIZE, 1UL << __ffs(h->domain->pgsize_bitmap));
	h->mask = DMA_BIT_MASK(bits);
	h->max = argc > 4 ? HOSTILE_SMALL : HOSTILE_LEN;
	prandom_seed_state(&h->state, seed);
	ret = hostile_run(h, n);
	kfree(h);
	return ret;
}

const struct edu_op edu_hostile_ops[] = {
	{ "hostile", edu_op_hostile },
	{ }
};
