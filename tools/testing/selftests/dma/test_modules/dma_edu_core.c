// SPDX-License-Identifier: GPL-2.0
/*
 * The device of dma_edu: QEMU's "edu" (1234:11e8), whose DMA is commanded.
 *
 * It has a buffer of 4 KiB and moves bytes between that buffer and memory, one
 * transfer at a time; a transfer is done 100 ms after its start, and says so
 * with an interrupt (MSI). A transfer to an address that the IOMMU does not
 * translate ends like any other: the device does not notice.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/string.h>

#include "dma_edu_core.h"
#include "edu_regs.h"

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

static bool edu_in_buffer(size_t off, size_t len)
{
	return len && len <= EDU_CHUNK && off + len < EDU_BUF_SIZE;
}

static void edu_start(struct edu *edu, u64 src, u64 dst, size_t len, u64 command)
{
	reinit_completion(&edu->done);
	writeq(src, edu->regs + EDU_REG_SRC);
	writeq(dst, edu->regs + EDU_REG_DST);
	writeq(len, edu->regs + EDU_REG_COUNT);
	writeq(EDU_CMD_RUN | (edu->irq ? EDU_CMD_IRQ : 0) | command,
	       edu->regs + EDU_REG_CMD);
}

/**
 * edu_start_write() - let the device begin to write to memory
 * @edu: the device
 * @addr: the address in memory, as the device sees it
 * @off: offset in the device's buffer
 * @len: bytes, EDU_CHUNK at most
 *
 * Return: 0, or -EINVAL when the device could not do it.
 */
int edu_start_write(struct edu *edu, dma_addr_t addr, size_t off, size_t len)
{
	if (!edu_in_buffer(off, len))
		return -EINVAL;
	edu_start(edu, EDU_BUF_ADDR + off, addr, len, EDU_CMD_TO_MEM);
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

/* The device reads memory at @addr into its buffer at @off. */
int edu_read(struct edu *edu, dma_addr_t addr, size_t off, size_t len)
{
	if (!edu_in_buffer(off, len))
		return -EINVAL;
	edu_start(edu, addr, EDU_BUF_ADDR + off, len, 0);
	return edu_wait(edu);
}

/* The device writes its buffer at @off to memory at @addr. */
int edu_write(struct edu *edu, dma_addr_t addr, size_t off, size_t len)
{
	return edu_start_write(edu, addr, off, len) ?: edu_wait(edu);
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
