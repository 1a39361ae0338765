// SPDX-License-Identifier: GPL-2.0
/*
 * What the DMA API costs, measured inside the kernel.
 *
 * The files of the module, each of which calls only those below it:
 *
 *   dma_bench_main.c   the driver, and the table of all commands
 *   dma_bench_calls.c  single calls
 *   dma_bench_allin.c  all that mappings cost, by the order of their life
 *   dma_bench_lists.c  scatterlists
 *   dma_bench_live.c   a domain with many mappings, and an old one
 *   dma_bench_whole.c  the whole time of many calls, divided by their number
 *   dma_bench_watch.c  what happens beside the calls
 *   dma_bench_core.c   samples, and what is said of them
 *
 * The module drives QEMU's "edu" device, which is in no way special: it is a
 * PCI device behind the IOMMU, and it does no DMA here. A script writes a line
 * to "run", one command and its arguments, and reads from "result" what it had
 * to say, lines of "NAME key=value ...":
 *
 *   # echo page 10000 4096 > /sys/kernel/debug/dma_bench/run
 *   # cat /sys/kernel/debug/dma_bench/result
 *
 * Commands are small, so that a script can combine them: what is live, what is
 * watched, and what is measured meanwhile.
 *
 * Times are in ticks of bench_now(). On an emulated machine that counts
 * instructions (lab/vm --icount) a tick is an instruction, exactly. Calls are
 * measured with interrupts off, so that a sample is the call and nothing else;
 * what timers and workers do for the DMA API is measured by "loop", "allin" and
 * the like, with interrupts on. What a reading of the clock costs has been
 * subtracted.
 */
#include <linux/debugfs.h>
#include <linux/dma-map-ops.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "dma_bench_commands.h"
#include "dma_bench_watch.h"

#define BENCH_VENDOR	0x1234
#define BENCH_DEVICE	0x11e8

#define BENCH_LINE_MAX	128
#define BENCH_ARGS_MAX	6
#define BENCH_BLANKS	"\n "

static DEFINE_MUTEX(bench_lock);
static struct bench *bench;
static struct dentry *bench_root;

/* What a thousand instructions are in ticks: tells whether ticks count them */
static u64 bench_thousand(struct bench *b)
{
	unsigned long flags;
	u64 start, ticks;

	local_irq_save(flags);
	start = bench_now();
	bench_spend_thousand();
	ticks = bench_now() - start;
	local_irq_restore(flags);
	return ticks - b->clock;
}

static int bench_about(struct bench *b, char **arg)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(b->dev);

	bench_say(b, "about mode=%s clock=%u thousand=%llu granule=%lu coherent=%d\n",
		  domain->type == IOMMU_DOMAIN_DMA_FQ ? "deferred" :
		  domain->type == IOMMU_DOMAIN_DMA ? "strict" : "none",
		  b->clock, bench_thousand(b),
		  BIT(__ffs(domain->pgsize_bitmap)),
		  dev_is_dma_coherent(b->dev));
	return 0;
}

static const struct bench_command bench_main_commands[] = {
	{ "about", 0, bench_about },
	{ }
};

static const struct bench_command *const commands[] = {
	bench_main_commands, bench_call_commands, bench_allin_commands,
	bench_compat_commands, bench_list_commands, bench_live_commands,
	bench_watch_commands,
};

static const struct bench_command *bench_find(const char *name)
{
	const struct bench_command *command;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		for (command = commands[i]; command->name; command++)
			if (!strcmp(command->name, name))
				return command;
	return NULL;
}

static int bench_run(struct bench *b, char *line)
{
	char *words[1 + BENCH_ARGS_MAX], *word;
	const struct bench_command *command;
	unsigned int n = 0;

	while ((word = strsep(&line, BENCH_BLANKS)) && n < ARRAY_SIZE(words))
		if (*word)
			words[n++] = word;
	command = n ? bench_find(words[0]) : NULL;
	if (!command || command->args != n - 1)
		return -EINVAL;
	b->queued = iommu_get_domain_for_dev(b->dev)->type ==
		    IOMMU_DOMAIN_DMA_FQ;
	bench_stat_reset(b);
	return command->run(b, words + 1);
}

static ssize_t run_write(struct file *file, const char __user *from,
			 size_t count, loff_t *pos)
{
	char line[BENCH_LINE_MAX];
	int ret = -ENODEV;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, count))
		return -EFAULT;
	line[count] = 0;

	mutex_lock(&bench_lock);
	if (bench) {
		bench->out_len = 0;
		ret = bench_run(bench, line);
	}
	mutex_unlock(&bench_lock);
	return ret ?: count;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = run_write,
};

static ssize_t result_read(struct file *file, char __user *to, size_t count,
			   loff_t *pos)
{
	ssize_t ret = -ENODEV;

	mutex_lock(&bench_lock);
	if (bench)
		ret = simple_read_from_buffer(to, count, pos, bench->out,
					      bench->out_len);
	mutex_unlock(&bench_lock);
	return ret;
}

static const struct file_operations result_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = result_read,
};

static void bench_free(struct bench *b)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(b->stat); i++)
		vfree(b->stat[i].value);
	vfree(b->slots);
	kfree(b->out);
	if (b->buffer)
		__free_pages(b->buffer, BENCH_BUFFER_ORDER);
	kfree(b);
}

static struct bench *bench_new(struct device *dev)
{
	struct bench *b = kzalloc(sizeof(*b), GFP_KERNEL);
	unsigned int i;

	if (!b)
		return NULL;
	b->dev = dev;
	b->buffer = alloc_pages(GFP_KERNEL, BENCH_BUFFER_ORDER);
	b->out = kmalloc(BENCH_OUT_SIZE, GFP_KERNEL);
	b->slots = vmalloc_array(BENCH_SLOTS, sizeof(*b->slots));
	if (!b->buffer || !b->out || !b->slots)
		goto fail;
	for (i = 0; i < ARRAY_SIZE(b->stat); i++) {
		b->stat[i].value = vmalloc_array(BENCH_SAMPLES, sizeof(u32));
		if (!b->stat[i].value)
			goto fail;
	}
	return b;
fail:
	bench_free(b);
	return NULL;
}

/* The cycle counter is off until somebody wants it. */
static void bench_clock_start(void *unused)
{
#ifdef CONFIG_ARM64
	write_sysreg(0, pmccfiltr_el0);
	write_sysreg(BIT(31), pmcntenset_el0);
	/* Enabled, 64 bits, not divided */
	write_sysreg(BIT(0) | BIT(6), pmcr_el0);
	isb();
#endif
}

static int bench_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);
	struct bench *b;
	int ret;

	if (!domain || !(domain->type & __IOMMU_DOMAIN_DMA_API))
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "no IOMMU, nothing to measure\n");
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	b = bench_new(&pdev->dev);
	if (!b)
		return -ENOMEM;
	on_each_cpu(bench_clock_start, NULL, 1);
	bench_calibrate(b);

	mutex_lock(&bench_lock);
	if (bench)
		ret = -EBUSY;
	else
		bench = b;
	mutex_unlock(&bench_lock);
	if (ret)
		bench_free(b);
	return ret;
}

/*
 * What is live stays mapped when the driver goes: for a script that is done
 * with a million mappings, a new domain for the group is the shorter way.
 */
static void bench_remove(struct pci_dev *pdev)
{
	mutex_lock(&bench_lock);
	if (bench && bench->dev == &pdev->dev) {
		bench_watch_stop(bench);
		bench_free(bench);
		bench = NULL;
	}
	mutex_unlock(&bench_lock);
}

static const struct pci_device_id bench_ids[] = {
	{ PCI_DEVICE(BENCH_VENDOR, BENCH_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, bench_ids);

static struct pci_driver bench_driver = {
	.name = "dma_bench",
	.id_table = bench_ids,
	.probe = bench_probe,
	.remove = bench_remove,
};

static int __init bench_init(void)
{
	int ret;

	bench_root = debugfs_create_dir("dma_bench", NULL);
	debugfs_create_file("run", 0200, bench_root, NULL, &run_fops);
	debugfs_create_file("result", 0400, bench_root, NULL, &result_fops);
	ret = pci_register_driver(&bench_driver);
	if (ret)
		debugfs_remove(bench_root);
	return ret;
}

static void __exit bench_exit(void)
{
	pci_unregister_driver(&bench_driver);
	debugfs_remove(bench_root);
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_DESCRIPTION("What the DMA API costs");
MODULE_LICENSE("GPL");
