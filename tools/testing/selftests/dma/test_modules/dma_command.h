/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a script drives a test module: two files in debugfs.
 *
 * A line written to "run" is one operation and its arguments. "result" then says
 * "ok", "skip" (the machine lacks what it needs) or "not ok" and the error on the
 * first line, and the details on those that follow.
 *
 *   # echo contig 16 > /sys/kernel/debug/dma_edu/0000:00:05.0/run
 *   # cat /sys/kernel/debug/dma_edu/0000:00:05.0/result
 *
 * All of it is here, as each of the modules is one by itself.
 */
#ifndef DMA_COMMAND_H
#define DMA_COMMAND_H

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

/* The longest line that "run" takes. */
#define DMA_COMMAND_LINE	128

/* What an operation returns if the machine lacks what it needs. */
#define DMA_COMMAND_SKIP	1

/* What &dma_command.run returns for a line that is no operation. */
#define DMA_COMMAND_UNKNOWN	2

/**
 * struct dma_command - what a script asks for, and what came of it
 * @run: finds the operation that @argv[0] names and does it
 * @lock: one operation at a time; protects all that follows
 * @status: what the last operation returned: 0, DMA_COMMAND_SKIP or an error
 * @len: bytes in @log
 * @log: what it said
 */
struct dma_command {
	int (*run)(struct dma_command *command, int argc, char **argv);

	struct mutex lock;	/* protects all that follows */
	int status;
	size_t len;
	char log[SZ_16K];
};

/* Add to what the operation has to say. */
static inline __printf(2, 0)
void dma_command_vnote(struct dma_command *command, const char *fmt,
		       va_list args)
{
	command->len += vscnprintf(command->log + command->len,
				   sizeof(command->log) - command->len, fmt,
				   args);
}

/* A number among the arguments; @def if there is no word @n */
static inline int dma_command_arg(int argc, char **argv, int n,
				  unsigned long def, unsigned long *val)
{
	*val = def;
	return n < argc ? kstrtoul(argv[n], 0, val) : 0;
}

static inline int dma_command_line(struct dma_command *command, char *line)
{
	int argc, status;
	char **argv;

	argv = argv_split(GFP_KERNEL, line, &argc);
	if (!argv)
		return -ENOMEM;
	status = DMA_COMMAND_UNKNOWN;
	mutex_lock(&command->lock);
	command->len = 0;
	command->log[0] = 0;
	if (argc)
		status = command->run(command, argc, argv);
	command->status = status;
	mutex_unlock(&command->lock);
	argv_free(argv);
	return status == DMA_COMMAND_UNKNOWN ? -EINVAL : 0;
}

static inline ssize_t dma_command_write(struct file *file,
					const char __user *ubuf, size_t count,
					loff_t *pos)
{
	char *line;
	int ret;

	if (count > DMA_COMMAND_LINE)
		return -E2BIG;
	line = memdup_user_nul(ubuf, count);
	if (IS_ERR(line))
		return PTR_ERR(line);
	ret = dma_command_line(file->private_data, line);
	kfree(line);
	return ret ?: count;
}

static inline int dma_command_show(struct seq_file *s, void *unused)
{
	struct dma_command *command = s->private;

	mutex_lock(&command->lock);
	if (command->status < 0)
		seq_printf(s, "not ok %d\n", command->status);
	else if (command->status)
		seq_puts(s, "skip\n");
	else
		seq_puts(s, "ok\n");
	seq_puts(s, command->log);
	mutex_unlock(&command->lock);
	return 0;
}

static inline int dma_command_open(struct inode *inode, struct file *file)
{
	return single_open(file, dma_command_show, inode->i_private);
}

/**
 * dma_command_init() - make the two files
 * @command: what they are about; outlives them
 * @dir: where
 * @run: finds and does an operation
 */
static inline void dma_command_init(struct dma_command *command,
				    struct dentry *dir,
				    int (*run)(struct dma_command *command,
					       int argc, char **argv))
{
	static const struct file_operations run_fops = {
		.owner = THIS_MODULE,
		.open = simple_open,
		.write = dma_command_write,
	};
	static const struct file_operations result_fops = {
		.owner = THIS_MODULE,
		.open = dma_command_open,
		.read = seq_read,
		.llseek = seq_lseek,
		.release = single_release,
	};

	mutex_init(&command->lock);
	command->run = run;
	debugfs_create_file("run", 0200, dir, command, &run_fops);
	debugfs_create_file("result", 0400, dir, command, &result_fops);
}

/* The PCI device of a name like 0000:00:05.0, with a reference, or NULL */
static inline struct pci_dev *dma_command_device(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

#endif /* DMA_COMMAND_H */
