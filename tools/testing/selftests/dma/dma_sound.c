// SPDX-License-Identifier: GPL-2.0
/*
 * dma_sound write PCM FILE: play FILE (stereo, 16 bits, 48 kHz, at most one buffer)
 * with what the kernel copies into the buffer of a sound card.
 * dma_sound mmap PCM FILE: the same, copied by the program through its own mapping of
 * that buffer.
 *
 * All of it is in the buffer before the card starts, so none is late.
 *
 * dma_sound heard FILE HEARD: whether FILE was heard: piece by piece it is in HEARD, in
 * this order. Between them an emulated card may have paused.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sound/asound.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RATE		48000
#define CHANNELS	2
#define FRAME		(CHANNELS * 2)
#define PERIOD		1024		/* frames */
#define PERIODS		16
#define BUFFER		(PERIOD * PERIODS)
#define HEARD_MAX	(64 << 20)	/* minutes */
#define PIECE		1024

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void only(struct snd_pcm_hw_params *hw, int param, unsigned int value)
{
	struct snd_interval *interval;
	struct snd_mask *mask;

	if (param <= SNDRV_PCM_HW_PARAM_LAST_MASK) {
		mask = &hw->masks[param - SNDRV_PCM_HW_PARAM_FIRST_MASK];
		memset(mask, 0, sizeof(*mask));
		mask->bits[value / 32] = 1U << value % 32;
	} else {
		interval = &hw->intervals[param - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];
		*interval = (struct snd_interval) {
			.min = value, .max = value, .integer = 1,
		};
	}
}

static void set_up(int pcm, int access)
{
	struct snd_pcm_hw_params hw = { .rmask = ~0U };
	struct snd_pcm_sw_params sw = {
		.period_step = 1,
		.avail_min = PERIOD,
		.start_threshold = LONG_MAX,	/* when it is told to */
		.stop_threshold = BUFFER,
	};
	int i;

	memset(hw.masks, 0xff, sizeof(hw.masks));
	for (i = SNDRV_PCM_HW_PARAM_FIRST_INTERVAL;
	     i <= SNDRV_PCM_HW_PARAM_LAST_INTERVAL; i++)
		hw.intervals[i - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL].max = UINT_MAX;
	only(&hw, SNDRV_PCM_HW_PARAM_ACCESS, access);
	only(&hw, SNDRV_PCM_HW_PARAM_FORMAT, SNDRV_PCM_FORMAT_S16_LE);
	only(&hw, SNDRV_PCM_HW_PARAM_CHANNELS, CHANNELS);
	only(&hw, SNDRV_PCM_HW_PARAM_RATE, RATE);
	only(&hw, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, PERIOD);
	only(&hw, SNDRV_PCM_HW_PARAM_PERIODS, PERIODS);
	must(!ioctl(pcm, SNDRV_PCM_IOCTL_HW_PARAMS, &hw), "HW_PARAMS");
	must(!ioctl(pcm, SNDRV_PCM_IOCTL_SW_PARAMS, &sw), "SW_PARAMS");
	must(!ioctl(pcm, SNDRV_PCM_IOCTL_PREPARE), "PREPARE");
}

static void fill_mapping(int pcm, const void *data, size_t bytes)
{
	struct snd_pcm_sync_ptr sync = {
		.c.control = { .appl_ptr = BUFFER, .avail_min = PERIOD },
	};
	char *buffer;

	buffer = mmap(NULL, BUFFER * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED, pcm,
		      SNDRV_PCM_MMAP_OFFSET_DATA);
	must(buffer != MAP_FAILED, "mmap");
	memcpy(buffer, data, bytes);
	memset(buffer + bytes, 0, BUFFER * FRAME - bytes);
	must(!ioctl(pcm, SNDRV_PCM_IOCTL_SYNC_PTR, &sync), "SYNC_PTR");
}

static void fill_by_copy(int pcm, void *data, size_t bytes)
{
	struct snd_xferi all = { .buf = data, .frames = BUFFER };

	memset((char *)data + bytes, 0, BUFFER * FRAME - bytes);
	must(!ioctl(pcm, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &all), "WRITEI_FRAMES");
}

static size_t get(const char *path, char *data, size_t room)
{
	FILE *file = fopen(path, "r");
	size_t bytes;

	must(!!file, path);
	bytes = fread(data, 1, room, file);
	must(bytes > 0, path);
	fclose(file);
	return bytes;
}

static void play(int mapped, const char *device, char *data, size_t bytes)
{
	int pcm = open(device, O_RDWR);

	must(pcm >= 0, device);
	set_up(pcm, mapped ? SNDRV_PCM_ACCESS_MMAP_INTERLEAVED :
			     SNDRV_PCM_ACCESS_RW_INTERLEAVED);
	if (mapped)
		fill_mapping(pcm, data, bytes);
	else
		fill_by_copy(pcm, data, bytes);
	must(!ioctl(pcm, SNDRV_PCM_IOCTL_START), "START");
	must(!ioctl(pcm, SNDRV_PCM_IOCTL_DRAIN), "DRAIN");
	close(pcm);
}

static int was_heard(const char *data, size_t bytes, const char *path)
{
	static char heard[HEARD_MAX];
	size_t all = get(path, heard, sizeof(heard)), at, n;
	const char *from = heard, *found;

	for (at = 0; at < bytes; at += n) {
		n = bytes - at < PIECE ? bytes - at : PIECE;
		found = memmem(from, heard + all - from, data + at, n);
		if (!found) {
			printf("byte %zu is not among the %zu that were heard\n", at, all);
			return 0;
		}
		from = found + n;
	}
	return 1;
}

int main(int argc, char **argv)
{
	static char data[BUFFER * FRAME];
	size_t bytes;

	if (argc != 4) {
		fprintf(stderr, "usage: dma_sound write|mmap PCM FILE\n"
			"       dma_sound heard FILE HEARD\n");
		return 2;
	}
	if (!strcmp(argv[1], "heard")) {
		bytes = get(argv[2], data, sizeof(data));
		return !was_heard(data, bytes, argv[3]);
	}
	bytes = get(argv[3], data, sizeof(data));
	play(!strcmp(argv[1], "mmap"), argv[2], data, bytes);
	return 0;
}
