// SPDX-License-Identifier: GPL-2.0
/*
 * dma_soak: a driver for any PCI device that does nothing but map and unmap.
 *
 * The files of the module, each of which calls only those below it:
 *
 *   dma_soak_main.c    the driver, and how a script gets at it
 *   dma_soak_load.c    its threads: mappings of all kinds, each looked up in the
 *                      IOMMU when it is made and before it goes
 *   dma_soak_books.c   what the layer believes to be mapped in a domain, and what
 *                      the IOMMU does
 *
 * Devices may be taken from it at any time, CPUs may go and memory run out: it
 * is a load for soak.sh.
 *
 * The driver takes any PCI device, by its driver_override. When a device is taken
 * from it, nothing of it may be mapped.
 *
 *   # insmod dma_soak.ko seed=1
 *   # echo dma_soak > /sys/bus/pci/devices/0000:00:05.0/driver_override
 *   # echo 0000:00:05.0 > /sys/bus/pci/drivers/dma_soak/bind
 *   # echo count > /sys/kernel/debug/dma_soak/run
 *   # cat /sys/kernel/debug/dma_soak/result
 *
 *   count          what has been mapped and unmapped so far, by our threads and,
 *                  at the IOMMU, by everybody; fails if anything was wrong
 *   pace US        threads rest that long after every few steps
 *   kinds page|all pages one at a time, or mappings of all kinds
 *   live           what is mapped in each domain of a PCI device; fails if
 *                  anything is, of devices that have no driver
 */
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <trace/events/iommu.h>

#include "dma_command.h"
#include "dma_soak_books.h"
#include "dma_soak_load.h"

/*
 * Granules that one CPU may keep to itself: eight words of a chunk's bitmap. What
 * is in them cannot be told from what was lost, so a leak has to be larger.
 */
#define SOAK_CPU_CACHE	512UL

static bool events;
module_param(events, bool, 0444);
MODULE_PARM_DESC(events, "count what everybody maps and unmaps at the IOMMU");

static struct dentry *soak_dir;
static struct dma_command soak_command;
static DEFINE_PER_CPU(u64, soak_mapped);
static DEFINE_PER_CPU(u64, soak_unmapped);

__printf(1, 2) static void soak_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dma_command_vnote(&soak_command, fmt, args);
	va_end(args);
}

/*
 * The driver.
 */

static int soak_one_more(struct device *dev, void *data)
{
	++*(int *)data;
	return 0;
}

/* Are the mappings in its domain this device's alone? */
static bool soak_is_alone(struct device *dev)
{
	struct iommu_group *group = iommu_group_get(dev);
	int n = 0;

	if (!group)
		return false;
	iommu_group_for_each_dev(group, &n, soak_one_more);
	iommu_group_put(group);
	return n == 1;
}

static int soak_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct soak *soak = devm_kzalloc(&pdev->dev, sizeof(*soak), GFP_KERNEL);
	int ret;

	if (!soak)
		return -ENOMEM;
	soak->pdev = pdev;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	soak->domain = soak_domain(&pdev->dev);
	pci_set_drvdata(pdev, soak);
	return soak_load_start(soak);
}

/* Whatever the mode, the translations are gone when the last unmap returns. */
static void soak_remove(struct pci_dev *pdev)
{
	struct soak *soak = pci_get_drvdata(pdev);
	struct soak_books books;

	soak_load_stop(soak);
	if (!soak->domain || !soak_is_alone(&pdev->dev))
		return;
	soak_books_read(soak->domain, &books);
	if (books.live > books.doorbells || books.mapped)
		soak_wrong(&pdev->dev,
			   "after the last unmap %lu mappings are live, %lu granules are mapped\n",
			   books.live - books.doorbells, books.mapped);
}

static struct pci_driver soak_driver = {
	.name = "dma_soak",
	.probe = soak_probe,
	.remove = soak_remove,
};

/*
 * What everybody does, as the IOMMU sees it.
 */

static void soak_on_map(void *unused, unsigned long iova, phys_addr_t phys,
			size_t size)
{
	this_cpu_inc(soak_mapped);
}

static void soak_on_unmap(void *unused, unsigned long iova, size_t size,
			  size_t unmapped)
{
	this_cpu_inc(soak_unmapped);
}

static int soak_events_start(void)
{
	int ret;

	if (!events)
		return 0;
	ret = register_trace_map(soak_on_map, NULL);
	if (ret)
		return ret;
	ret = register_trace_unmap(soak_on_unmap, NULL);
	if (ret)
		unregister_trace_map(soak_on_map, NULL);
	return ret;
}

static void soak_events_stop(void)
{
	if (!events)
		return;
	unregister_trace_map(soak_on_map, NULL);
	unregister_trace_unmap(soak_on_unmap, NULL);
	tracepoint_synchronize_unregister();
}

/*
 * How a script gets at it.
 */

static int soak_op_count(int argc, char **argv)
{
	u64 mapped = 0, unmapped = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		mapped += per_cpu(soak_mapped, cpu);
		unmapped += per_cpu(soak_unmapped, cpu);
	}
	soak_note("ns %llu\n", ktime_get_ns());
	soak_note("maps %lld\n", atomic64_read(&soak_counts.maps));
	soak_note("unmaps %lld\n", atomic64_read(&soak_counts.unmaps));
	soak_note("refused %lld\n", atomic64_read(&soak_counts.refused));
	soak_note("direct %lld\n", atomic64_read(&soak_counts.direct));
	soak_note("iommu_maps %llu\n", mapped);
	soak_note("iommu_unmaps %llu\n", unmapped);
	soak_note("wrong %d\n", atomic_read(&soak_counts.wrongs));
	return atomic_read(&soak_counts.wrongs) ? -EILSEQ : 0;
}

static int soak_op_pace(int argc, char **argv)
{
	unsigned long us;

	if (dma_command_arg(argc, argv, 1, 0, &us) || us > USEC_PER_SEC)
		return -EINVAL;
	WRITE_ONCE(soak_pace, us);
	return 0;
}

static int soak_op_kinds(int argc, char **argv)
{
	if (argc != 2)
		return -EINVAL;
	WRITE_ONCE(soak_single, !strcmp(argv[1], "page"));
	return 0;
}

/* Return: whether all is as it has to be where nobody maps anything. */
static bool soak_is_empty(const struct soak_books *books)
{
	return books->live == books->doorbells && !books->mapped &&
	       !books->waiting && books->large == 0 &&
	       books->used <= books->doorbells + num_possible_cpus() * SOAK_CPU_CACHE;
}

static int soak_op_live(int argc, char **argv)
{
	struct pci_dev *pdev = NULL;
	struct iommu_domain *domain;
	struct soak_books books;
	int ret = 0, n = 0;
	bool good;

	for_each_pci_dev(pdev) {
		domain = soak_domain(&pdev->dev);
		if (!domain)
			continue;
		soak_books_read(domain, &books);
		good = pdev->dev.driver || soak_is_empty(&books);
		soak_note("%s live %lu doorbells %lu mapped %lu ",
			  pci_name(pdev), books.live, books.doorbells,
			  books.mapped);
		soak_note("waiting %lu used %lu large %lu%s%s\n",
			  books.waiting, books.used, books.large,
			  pdev->dev.driver ? " (in use)" : "",
			  good ? "" : " WRONG");
		if (!good)
			ret = -EBUSY;
		n += !pdev->dev.driver;
	}
	soak_note("%d without a driver\n", n);
	return ret ?: n ? 0 : DMA_COMMAND_SKIP;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} soak_ops[] = {
	{ "count", soak_op_count },
	{ "pace", soak_op_pace },
	{ "kinds", soak_op_kinds },
	{ "live", soak_op_live },
};

static int soak_run(struct dma_command *command, int argc, char **argv)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(soak_ops); i++)
		if (!strcmp(soak_ops[i].name, argv[0]))
			return soak_ops[i].run(argc, argv);
	return DMA_COMMAND_UNKNOWN;
}

static int __init soak_init(void)
{
	int ret;

	ret = soak_events_start();
	if (ret)
		return ret;
	soak_dir = debugfs_create_dir("dma_soak", NULL);
	dma_command_init(&soak_command, soak_dir, soak_run);
	ret = pci_register_driver(&soak_driver);
	if (ret) {
		debugfs_remove_recursive(soak_dir);
		soak_events_stop();
	}
	return ret;
}

static void __exit soak_exit(void)
{
	pci_unregister_driver(&soak_driver);
	debugfs_remove_recursive(soak_dir);
	soak_events_stop();
}

module_init(soak_init);
module_exit(soak_exit);

MODULE_DESCRIPTION("A driver for any PCI device that only maps and unmaps");
MODULE_LICENSE("GPL");
