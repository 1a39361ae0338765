// SPDX-License-Identifier: GPL-2.0
/*
 * dma_drm [-i] BDF CARD: a display imports a DMA-BUF of scattered pages (PRIME).
 *
 * That the import goes through the DMA API of that PCI device is seen in the trace
 * of the DMA API: just those pages are mapped, in their order, and unmapped when
 * the display lets go of them. With DMA_API_DEBUG, its list of mappings agrees.
 * And a picture in such pages is shown: what the display has in its memory then
 * is compared with it.
 *
 * -i: the device is behind an IOMMU; its segments are larger than pages then.
 */
#define _GNU_SOURCE
#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dma_scattered.h"

#define TRACE		"/sys/kernel/tracing/instances/dma_drm"
#define DEBUG		"/sys/kernel/debug/dma-api/dump"
#define WIDTH		640
#define HEIGHT		480
#define PITCH		(WIDTH * 2)	/* RGB565 */
#define PICTURE		(PITCH * HEIGHT)
/* What a PCI driver gets that does not ask for more */
#define SEGMENT		65536
/* The trace does not have more of one list. */
#define TRACED		128

static const char *device;
static bool behind_iommu;

/* ---- the kernel's files ------------------------------------------------------ */

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	must(fd >= 0, path);
	must(write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
	close(fd);
}

static char *get(const char *path)
{
	size_t size = 0, room = 1 << 20;
	char *text = malloc(room);
	FILE *file = fopen(path, "r");

	must(text && file, path);
	for (;;) {
		size += fread(text + size, 1, room - size - 1, file);
		if (size < room - 1)
			break;
		room *= 2;
		text = realloc(text, room);
		must(text, "memory");
	}
	fclose(file);
	text[size] = 0;
	return text;
}

static void trace_end(void)
{
	rmdir(TRACE);
}

static void trace_begin(void)
{
	rmdir(TRACE);
	must(!mkdir(TRACE, 0700), TRACE);
	atexit(trace_end);
	put(TRACE "/events/dma/dma_map_sg/enable", "1");
	put(TRACE "/events/dma/dma_unmap_sg/enable", "1");
}

/* The numbers of an array that the trace prints as " @name={0x1,0x2}" */
static size_t numbers(const char *line, const char *name, uint64_t *to,
		      size_t room)
{
	char start[32];
	const char *at;
	char *end;
	size_t n = 0;

	snprintf(start, sizeof(start), " %s={", name);
	at = strstr(line, start);
	if (!at)
		return 0;
	at += strlen(start);
	while (n < room && *at != '}') {
		to[n++] = strtoull(at, &end, 16);
		if (end == at)
			return 0;
		at = *end == ',' ? end + 1 : end;
	}
	return n;
}

/* Does an event of that kind name just these pages, as far as it goes? */
static bool same_pages(const char *line, const unsigned char *map, size_t count)
{
	uint64_t phys[TRACED];
	size_t n = numbers(line, "phys_addrs", phys, TRACED), i;

	if (n != (count < TRACED ? count : TRACED))
		return false;
	for (i = 0; i < n; i++)
		if (phys[i] != pfn_of(map + i * page) * page)
			return false;
	return true;
}

/* Events of this device for these pages; the last one is copied to @found. */
static int events(const char *kind, const unsigned char *map, size_t count,
		  char **found)
{
	char *text = get(TRACE "/trace"), *line, *rest = text, start[64];
	int n = 0;

	snprintf(start, sizeof(start), "%s: %s ", kind, device);
	while ((line = strsep(&rest, "\n"))) {
		if (!strstr(line, start) || !same_pages(line, map, count))
			continue;
		n++;
		if (found) {
			free(*found);
			*found = strdup(line);
		}
	}
	free(text);
	return n;
}

/* Mappings of this device that DMA_API_DEBUG knows, and their bytes */
static int debug_list(size_t *bytes)
{
	char *text, *line, *rest, *at, start[64];
	int n = 0;

	*bytes = 0;
	if (access(DEBUG, R_OK))
		return -1;
	snprintf(start, sizeof(start), " %s scatter-gather ", device);
	text = get(DEBUG);
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		at = strstr(line, " L=");
		if (!strstr(line, start) || !at)
			continue;
		*bytes += strtoull(at + 3, NULL, 16);
		n++;
	}
	free(text);
	return n;
}

/* ---- the import -------------------------------------------------------------- */

static uint32_t import(int card, int dmabuf)
{
	struct drm_prime_handle prime = { .fd = dmabuf };

	must(!ioctl(card, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime),
	     "DRM_IOCTL_PRIME_FD_TO_HANDLE");
	return prime.handle;
}

static void drop(int card, uint32_t handle)
{
	struct drm_gem_close gem = { .handle = handle };

	must(!ioctl(card, DRM_IOCTL_GEM_CLOSE, &gem), "DRM_IOCTL_GEM_CLOSE");
}

static void expect(bool good, const char *what)
{
	if (good)
		return;
	printf("not so: %s\n", what);
	exit(1);
}

static void check_mapped(const unsigned char *map, size_t count)
{
	uint64_t sizes[TRACED], bytes = 0;
	char *line = NULL;
	size_t n, i, listed;
	int known;

	expect(events("dma_map_sg", map, count, &line) == 1,
	       "the pages were mapped once, for this device, in order");
	expect(!events("dma_unmap_sg", map, count, NULL), "they are still mapped");
	n = numbers(line, "sizes", sizes, TRACED);
	for (i = 0; i < n; i++)
		bytes += sizes[i];
	printf("%zu pages, no two neighbours: %zu segments\n", count, n);
	if (n < TRACED)
		expect(bytes == count * page, "the segments are the whole buffer");
	if (behind_iommu)
		expect(n <= (count * page + SEGMENT - 1) / SEGMENT,
		       "the IOMMU merges pages");
	known = debug_list(&listed);
	if (known >= 0)
		expect(known == (int)n && listed == count * page,
		       "DMA_API_DEBUG lists these segments for the device");
	free(line);
}

static void check_unmapped(const unsigned char *map, size_t count)
{
	size_t listed;

	expect(events("dma_unmap_sg", map, count, NULL) == 1,
	       "the pages were unmapped once");
	expect(debug_list(&listed) <= 0,
	       "DMA_API_DEBUG lists nothing for the device");
}

static void import_only(int card, size_t count)
{
	unsigned char *map;
	int dmabuf = scattered_udmabuf(count * page, &map);
	uint32_t handle;

	put(TRACE "/trace", "");
	handle = import(card, dmabuf);
	check_scattered(map, count * page);
	check_mapped(map, count);
	/* The import keeps the memory; what it came from may go. */
	close(dmabuf);
	expect(!events("dma_unmap_sg", map, count, NULL), "they are still mapped");
	drop(card, handle);
	check_unmapped(map, count);
	munmap(map, count * page);
}

/* ---- the picture ------------------------------------------------------------- */

/* Synced as for reading: exporters want one direction, and the display's is that. */
static void draw(int dmabuf, unsigned char *map, uint32_t state)
{
	struct dma_buf_sync sync = { DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };
	size_t i;

	must(!ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync), "DMA_BUF_IOCTL_SYNC");
	for (i = 0; i < PICTURE; i++) {
		state = state * 1664525 + 1013904223;
		map[i] = state >> 24;
	}
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
	must(!ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync), "DMA_BUF_IOCTL_SYNC");
}

static uint32_t framebuffer(int card, uint32_t handle)
{
	struct drm_mode_fb_cmd2 fb = {
		.width = WIDTH, .height = HEIGHT,
		.pixel_format = DRM_FORMAT_RGB565,
		.handles = { handle }, .pitches = { PITCH },
	};

	must(!ioctl(card, DRM_IOCTL_MODE_ADDFB2, &fb), "DRM_IOCTL_MODE_ADDFB2");
	return fb.fb_id;
}

static struct drm_mode_modeinfo find_mode(int card, uint32_t connector)
{
	struct drm_mode_get_connector get = { .connector_id = connector };
	struct drm_mode_modeinfo modes[64];
	uint32_t i;

	/* First how many there are, then the modes alone */
	must(!ioctl(card, DRM_IOCTL_MODE_GETCONNECTOR, &get), "a connector");
	expect(get.count_modes <= 64, "at most 64 modes");
	get.modes_ptr = (uintptr_t)modes;
	get.count_props = 0;
	get.count_encoders = 0;
	must(!ioctl(card, DRM_IOCTL_MODE_GETCONNECTOR, &get), "its modes");
	for (i = 0; i < get.count_modes; i++)
		if (modes[i].hdisplay == WIDTH && modes[i].vdisplay == HEIGHT)
			return modes[i];
	expect(false, "there is a mode of 640x480");
	return modes[0];
}

static void show(int card, uint32_t fb)
{
	uint32_t crtcs[4], connectors[4];
	struct drm_mode_card_res res = {
		.crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 4,
		.connector_id_ptr = (uintptr_t)connectors, .count_connectors = 4,
	};
	struct drm_mode_crtc crtc = { .fb_id = fb, .mode_valid = 1 };

	must(!ioctl(card, DRM_IOCTL_MODE_GETRESOURCES, &res),
	     "DRM_IOCTL_MODE_GETRESOURCES");
	expect(res.count_crtcs >= 1 && res.count_connectors >= 1,
	       "the card has a display");
	crtc.crtc_id = crtcs[0];
	crtc.set_connectors_ptr = (uintptr_t)connectors;
	crtc.count_connectors = 1;
	crtc.mode = find_mode(card, connectors[0]);
	must(!ioctl(card, DRM_IOCTL_MODE_SETCRTC, &crtc),
	     "DRM_IOCTL_MODE_SETCRTC");
}

static const uint32_t *card_memory(void)
{
	char path[128];
	void *map;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", device);
	fd = open(path, O_RDONLY);
	must(fd >= 0, path);
	map = mmap(NULL, PICTURE, PROT_READ, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED, path);
	close(fd);
	return map;
}

/* The card's memory is slow to read: not more of it than @step asks for. */
static void check_picture(const uint32_t *seen, const unsigned char *map,
			  size_t step)
{
	uint32_t want, got;
	size_t i;

	for (i = 0; i < PICTURE / 4; i += step) {
		memcpy(&want, map + i * 4, 4);
		got = __atomic_load_n(&seen[i], __ATOMIC_RELAXED);
		if (got == want)
			continue;
		printf("line %zu: bytes at %zu are %#x, should be %#x\n",
		       i * 4 / PITCH, i * 4, got, want);
		exit(1);
	}
}

static void import_and_show(int card)
{
	const uint32_t *seen = card_memory();
	size_t count = whole_pages(PICTURE) / page;
	unsigned char *map;
	int dmabuf = scattered_udmabuf(count * page, &map);
	struct drm_mode_fb_dirty_cmd dirty = { };
	uint32_t handle, fb;

	draw(dmabuf, map, 1);
	put(TRACE "/trace", "");
	handle = import(card, dmabuf);
	check_mapped(map, count);
	fb = framebuffer(card, handle);
	show(card, fb);
	check_picture(seen, map, 41);
	draw(dmabuf, map, 2);
	dirty.fb_id = fb;
	must(!ioctl(card, DRM_IOCTL_MODE_DIRTYFB, &dirty),
	     "DRM_IOCTL_MODE_DIRTYFB");
	check_picture(seen, map, 1);
	printf("two pictures shown from %zu pages\n", count);

	/* The display keeps what it shows. */
	close(dmabuf);
	drop(card, handle);
	expect(!events("dma_unmap_sg", map, count, NULL), "they are still mapped");
	must(!ioctl(card, DRM_IOCTL_MODE_RMFB, &fb), "DRM_IOCTL_MODE_RMFB");
	check_unmapped(map, count);
}

int main(int argc, char **argv)
{
	static const size_t counts[] = { 1, 2, 17, 100, 0 };
	const size_t *count;
	int card;

	if (argc > 1 && !strcmp(argv[1], "-i")) {
		behind_iommu = true;
		argv++;
		argc--;
	}
	if (argc != 3) {
		fprintf(stderr, "usage: dma_drm [-i] BDF CARD\n");
		return 2;
	}
	device = argv[1];
	scattered_init();
	trace_begin();
	card = open(argv[2], O_RDWR);
	must(card >= 0, argv[2]);
	for (count = counts; *count; count++)
		import_only(card, *count);
	import_and_show(card);
	close(card);
	return 0;
}
