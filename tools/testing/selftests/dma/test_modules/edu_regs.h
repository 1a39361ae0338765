/* SPDX-License-Identifier: GPL-2.0 */
/*
 * QEMU's "edu" device, as far as the modules here use it: a transfer between
 * memory and a buffer of its own takes a tenth of a second.
 */
#ifndef EDU_REGS_H
#define EDU_REGS_H

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8

#define EDU_REG_ID	0x00
#define EDU_ID_MASK	0xffff
#define EDU_ID		0x00ed
#define EDU_REG_IRQ	0x24
#define EDU_REG_ACK	0x64
#define EDU_REG_SRC	0x80
#define EDU_REG_DST	0x88
#define EDU_REG_COUNT	0x90
#define EDU_REG_CMD	0x98
#define EDU_CMD_RUN	BIT(0)
#define EDU_CMD_TO_MEM	BIT(1)
#define EDU_CMD_IRQ	BIT(2)

/* The device's buffer, in its own address space */
#define EDU_BUF_ADDR	0x40000

#endif /* EDU_REGS_H */
