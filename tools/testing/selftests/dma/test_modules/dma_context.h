/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Drivers call the DMA API with interrupts or preemption off, and so do these
 * modules. With PREEMPT_RT, where spinlocks sleep, nobody may: there the caller
 * only stays on its CPU.
 */
#ifndef DMA_CONTEXT_H
#define DMA_CONTEXT_H

#include <linux/irqflags.h>
#include <linux/preempt.h>

static inline unsigned long irqs_off_begin(void)
{
	unsigned long flags = 0;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		migrate_disable();
	else
		local_irq_save(flags);
	return flags;
}

static inline void irqs_off_end(unsigned long flags)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		migrate_enable();
	else
		local_irq_restore(flags);
}

static inline void preempt_off_begin(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		migrate_disable();
	else
		preempt_disable();
}

static inline void preempt_off_end(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		migrate_enable();
	else
		preempt_enable();
}

#endif /* DMA_CONTEXT_H */
