// SPDX-License-Identifier: GPL-2.0
/*
 * dma_vfio BDF: drive QEMU's edu device from user space through VFIO: memory of
 * this program mapped at an address of its choice, the device's own DMA there
 * and back, and its interrupt (MSI) as an event.
 * dma_vfio --open BDF: only take and release any device, with memory mapped.
 *
 * The device must be bound to vfio-pci.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY		(1UL << 20)
#define IOVA		0x1000000UL
#define CHUNK		3072
#define EDU_BUF		0x40000

#define die(what) do { perror(what); exit(1); } while (0)

struct vfio {
	int container, group, device, event;
	unsigned char *memory;
	volatile unsigned char *regs;
};

static int group_of(const char *bdf)
{
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		die(path);
	link[n] = 0;
	return atoi(strrchr(link, '/') + 1);
}

static void take(struct vfio *v, const char *bdf)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map) };
	char path[64];

	v->container = open("/dev/vfio/vfio", O_RDWR);
	if (v->container < 0)
		die("/dev/vfio/vfio");
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(bdf));
	v->group = open(path, O_RDWR);
	if (v->group < 0)
		die(path);
	if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &status) ||
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		die("the group is not viable");
	if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container))
		die("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("VFIO_SET_IOMMU");
	v->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (v->memory == MAP_FAILED)
		die("mmap");
	map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	map.vaddr = (uintptr_t)v->memory;
	map.iova = IOVA;
	map.size = MEMORY;
	if (ioctl(v->container, VFIO_IOMMU_MAP_DMA, &map))
		die("VFIO_IOMMU_MAP_DMA");
	v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (v->device < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");
}

static void give_back(struct vfio *v)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap) };

	unmap.iova = IOVA;
	unmap.size = MEMORY;
	if (ioctl(v->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ||
	    unmap.size != MEMORY)
		die("VFIO_IOMMU_UNMAP_DMA");
	close(v->device);
	close(v->group);
	close(v->container);
}

static void bus_master(struct vfio *v)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command;

	if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &config))
		die("VFIO_DEVICE_GET_REGION_INFO");
	if (pread(v->device, &command, 2, config.offset + 4) != 2)
		die("read command");
	command |= 6;
	if (pwrite(v->device, &command, 2, config.offset + 4) != 2)
		die("write command");
}

static void map_registers(struct vfio *v)
{
	struct vfio_region_info bar = {
		.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX,
	};

	if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &bar))
		die("VFIO_DEVICE_GET_REGION_INFO");
	v->regs = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       v->device, bar.offset);
	if (v->regs == MAP_FAILED)
		die("mmap BAR 0");
}

static void interrupt(struct vfio *v)
{
	struct {
		struct vfio_irq_set set;
		int32_t fd;
	} irq = { .set = {
		.argsz = sizeof(irq), .index = VFIO_PCI_MSI_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
	} };

	v->event = eventfd(0, 0);
	irq.fd = v->event;
	if (ioctl(v->device, VFIO_DEVICE_SET_IRQS, &irq))
		die("VFIO_DEVICE_SET_IRQS");
}

static void move(struct vfio *v, unsigned long iova, int to_memory)
{
	struct pollfd wait = { .fd = v->event, .events = POLLIN };
	uint64_t n;

	*(volatile uint64_t *)(v->regs + 0x80) = to_memory ? EDU_BUF : iova;
	*(volatile uint64_t *)(v->regs + 0x88) = to_memory ? iova : EDU_BUF;
	*(volatile uint64_t *)(v->regs + 0x90) = CHUNK;
	*(volatile uint64_t *)(v->regs + 0x98) = to_memory ? 7 : 5;
	if (poll(&wait, 1, 10000) != 1 || read(v->event, &n, 8) != 8) {
		printf("no interrupt\n");
		exit(1);
	}
	*(volatile uint32_t *)(v->regs + 0x64) = *(volatile uint32_t *)(v->regs + 0x24);
}

int main(int argc, char **argv)
{
	int only = argc == 3 && !strcmp(argv[1], "--open");
	struct vfio v = {};
	size_t i, to = MEMORY - CHUNK - 7;

	if (argc != 2 + only) {
		fprintf(stderr, "usage: dma_vfio [--open] BDF\n");
		return 2;
	}
	take(&v, argv[argc - 1]);
	if (!only) {
		bus_master(&v);
		map_registers(&v);
		interrupt(&v);
		for (i = 0; i < CHUNK; i++)
			v.memory[i + 2000] = i * 7 + (i >> 8);
		move(&v, IOVA + 2000, 0);
		move(&v, IOVA + to, 1);
		if (memcmp(v.memory + 2000, v.memory + to, CHUNK)) {
			printf("what came back differs\n");
			return 1;
		}
	}
	give_back(&v);
	printf("well\n");
	return 0;
}
