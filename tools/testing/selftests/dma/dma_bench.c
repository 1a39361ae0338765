// SPDX-License-Identifier: GPL-2.0
/*
 * What mapping and unmapping costs: dma_map_benchmark, and beyond it lists, many
 * live mappings and unmapping in any order. The module dma_bench_load does the
 * work, on a device that was given to it; see there.
 *
 * The last line of what it prints is for programs: words of the form key=value.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_modules/dma_bench_load.h"

#define LOADS	"/sys/kernel/debug/dma_bench_load"

static const char *const directions[] = {
	"BIDIRECTIONAL", "TO_DEVICE", "FROM_DEVICE",
};

/* What the kernel says of one kind of call */
struct calls {
	unsigned long long n, sum, square, square_high, min, p50, p99, p999, max;
};

/* And of all */
struct run {
	unsigned long long ns, bytes, page, coherent;
	unsigned long long segments_least, segments_most;
	struct calls map, unmap;
};

static void help(FILE *out)
{
	const struct load_option *o;

	fprintf(out, "usage: dma_bench [OPTION...]\n\n");
	fprintf(out, "  -D DEVICE  one of those that the driver has (0000:00:05.0)\n");
	for (o = load_options; o < load_options + LOAD_OPTIONS; o++) {
		fprintf(out, "  -%c %s  %s", o->letter,
			o->flag ? "      " : "NUMBER", o->name);
		if (!o->flag)
			fprintf(out, ", %lld to %lld, usually %lld", o->least,
				o->most, o->usual);
		fprintf(out, "\n");
	}
	fprintf(out, "\nTo give a device, which must not be in use, to the driver:\n");
	fprintf(out, "  echo dma_bench_load > /sys/bus/pci/devices/DEVICE/driver_override\n");
	fprintf(out, "  echo DEVICE > /sys/bus/pci/drivers_probe\n");
}

/* ---- what is asked for -------------------------------------------------- */

static const struct load_option *option_of(int letter)
{
	const struct load_option *o;

	for (o = load_options; o < load_options + LOAD_OPTIONS; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static long long in_range(const struct load_option *o, const char *text)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 0);
	if (errno || end == text || *end)
		errx(2, "-%c %s: not a number", o->letter, text);
	if (value < o->least || value > o->most)
		errx(2, "-%c %s: %s, must be in %lld to %lld", o->letter, text,
		     o->name, o->least, o->most);
	return value;
}

/* Options into @value; returns the device, if one was named */
static const char *parse(int argc, char **argv, long long *value)
{
	char letters[2 * LOAD_OPTIONS + 8] = "D:h";
	const struct load_option *o;
	const char *device = NULL;
	size_t n = strlen(letters);
	int c;

	for (o = load_options; o < load_options + LOAD_OPTIONS; o++) {
		value[o - load_options] = o->usual;
		letters[n++] = o->letter;
		if (!o->flag)
			letters[n++] = ':';
	}
	letters[n] = 0;
	while ((c = getopt(argc, argv, letters)) != -1) {
		o = option_of(c);
		if (c == 'D') {
			device = optarg;
		} else if (c == 'h') {
			help(stdout);
			exit(0);
		} else if (o) {
			value[o - load_options] = o->flag ? 1 : in_range(o, optarg);
		} else {
			help(stderr);
			exit(2);
		}
	}
	if (optind < argc)
		errx(2, "what is '%s'?", argv[optind]);
	if (load_conflict(value))
		errx(2, "%s", load_conflict(value));
	return device;
}

/* The directory of the device: the one that was named, or the only one */
static char *find(const char *device)
{
	char pattern[256];
	glob_t found;
	char *dir;

	snprintf(pattern, sizeof(pattern), LOADS "/%s", device ?: "*");
	if (access(LOADS, F_OK))
		errx(2, LOADS ": %s (is the module dma_bench_load loaded, and debugfs mounted?)",
		     strerror(errno));
	if (glob(pattern, 0, NULL, &found)) {
		if (device)
			errx(2, "-D %s: not given to the driver, see -h",
			     device);
		errx(2, "no device has been given to the driver, see -h");
	}
	if (found.gl_pathc > 1)
		errx(2, "there is more than one device, choose by -D");
	dir = strdup(found.gl_pathv[0]);
	globfree(&found);
	return dir;
}

/* ---- the run ------------------------------------------------------------ */

static int open_in(const char *dir, const char *name, int flags)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, flags);
	if (fd < 0)
		errx(2, "%s: %s", path, strerror(errno));
	return fd;
}

/* So that write() returns */
static void nothing(int signal)
{
	(void)signal;
}

/* Ends when the run does; Ctrl-C ends both. */
static void command(const char *dir, const long long *value)
{
	struct sigaction act = { .sa_handler = nothing };
	int fd = open_in(dir, "run", O_WRONLY), k;
	size_t n;
	char line[128];

	n = sprintf(line, "cycle");
	for (k = 0; k < LOAD_OPTIONS; k++)
		if (value[k] != load_options[k].usual)
			n += snprintf(line + n, sizeof(line) - n, " %c=%lld",
				      load_options[k].letter, value[k]);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	if (write(fd, line, n) != (ssize_t)n)
		errx(2, "%s/run: %s", dir, strerror(errno));
	close(fd);
}

static unsigned long long key(const char *line, const char *name)
{
	char word[64];
	const char *at;

	snprintf(word, sizeof(word), " %s=", name);
	at = strstr(line, word);
	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

static void read_stat(const char *line, struct calls *stat)
{
	*stat = (struct calls){
		.n = key(line, "n"), .sum = key(line, "sum"),
		.square = key(line, "square"),
		.square_high = key(line, "square_high"),
		.min = key(line, "min"), .p50 = key(line, "p50"),
		.p99 = key(line, "p99"), .p999 = key(line, "p999"),
		.max = key(line, "max"),
	};
}

static void read_run(const char *line, struct run *run)
{
	run->ns = key(line, "ns");
	run->bytes = key(line, "bytes");
	run->page = key(line, "page");
	run->coherent = key(line, "coherent");
	run->segments_least = key(line, "segments_least");
	run->segments_most = key(line, "segments_most");
}

static void answer(const char *dir, struct run *run)
{
	FILE *file = fdopen(open_in(dir, "result", O_RDONLY), "r");
	char line[512];

	if (!file || !fgets(line, sizeof(line), file))
		errx(2, "%s/result: %s", dir, strerror(errno));
	if (strcmp(line, "ok\n")) {
		fprintf(stderr, "dma_bench: the kernel says: %s", line);
		while (fgets(line, sizeof(line), file))
			fprintf(stderr, "dma_bench: %s", line);
		exit(1);
	}
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "run ", 4))
			read_run(line, run);
		else if (!strncmp(line, "map ", 4))
			read_stat(line, &run->map);
		else if (!strncmp(line, "unmap ", 6))
			read_stat(line, &run->unmap);
	}
	fclose(file);
	if (!run->ns || !run->map.n || !run->unmap.n) {
		fprintf(stderr, "dma_bench: nothing was mapped and unmapped in that time\n");
		exit(1);
	}
}

/* ---- what comes of it --------------------------------------------------- */

static double average(const struct calls *stat)
{
	return (double)stat->sum / stat->n;
}

static double deviation(const struct calls *stat)
{
	long double square = ldexpl(stat->square_high, 64) + stat->square;
	long double mean = (long double)stat->sum / stat->n;
	long double variance = square / stat->n - mean * mean;

	return variance > 0 ? sqrtl(variance) : 0;
}

/* When invalidation takes place; none if no IOMMU translates for the device */
static const char *mode(const char *dir)
{
	static char type[32];
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/type",
		 strrchr(dir, '/') + 1);
	file = fopen(path, "r");
	if (!file || !fgets(type, sizeof(type), file))
		snprintf(type, sizeof(type), "none");
	if (file)
		fclose(file);
	type[strcspn(type, "\n")] = 0;
	return !strcmp(type, "DMA") ? "strict" :
	       !strcmp(type, "DMA-FQ") ? "deferred" : type;
}

static void for_people(const struct run *run, const long long *value)
{
	printf("dma mapping benchmark: threads:%lld seconds:%lld node:%lld dir:%s granule: %lld\n",
	       value[LOAD_THREADS], value[LOAD_SECONDS], value[LOAD_NODE],
	       directions[value[LOAD_DIRECTION]], value[LOAD_GRANULE]);
	if (value[LOAD_ENTRIES])
		printf("lists of %lld entries%s, %llu to %llu segments\n",
		       value[LOAD_ENTRIES],
		       value[LOAD_ADJACENT] ? ", adjacent" : "",
		       run->segments_least, run->segments_most);
	printf("live:%lld in each thread, unmapped: %s\n", value[LOAD_LIVE],
	       value[LOAD_RANDOM] ? "any" : "the oldest");
	printf("average map latency(us):%.1f standard deviation:%.1f\n",
	       average(&run->map) / 1000, deviation(&run->map) / 1000);
	printf("average unmap latency(us):%.1f standard deviation:%.1f\n",
	       average(&run->unmap) / 1000, deviation(&run->unmap) / 1000);
	printf("map latency(us): half within %.1f, 99 %% %.1f, 99.9 %% %.1f, all %.1f\n",
	       run->map.p50 / 1e3, run->map.p99 / 1e3, run->map.p999 / 1e3,
	       run->map.max / 1e3);
	printf("unmap latency(us): half within %.1f, 99 %% %.1f, 99.9 %% %.1f, all %.1f\n",
	       run->unmap.p50 / 1e3, run->unmap.p99 / 1e3, run->unmap.p999 / 1e3,
	       run->unmap.max / 1e3);
	printf("throughput: %.0f pairs of map and unmap per second, %.1f MiB/s\n",
	       run->map.n * 1e9 / run->ns,
	       run->map.n * 1e9 / run->ns * run->bytes / 1048576);
}

static void stat_words(const char *name, const struct calls *stat)
{
	printf(" %s_n=%llu %s_ns=%.1f %s_dev=%.1f", name, stat->n, name,
	       average(stat), name, deviation(stat));
	printf(" %s_min=%llu %s_p50=%llu %s_p99=%llu %s_p999=%llu %s_max=%llu",
	       name, stat->min, name, stat->p50, name, stat->p99, name,
	       stat->p999, name, stat->max);
}

static void for_programs(const struct run *run, const long long *value,
			 const char *dir)
{
	printf("dma_bench device=%s mode=%s coherent=%llu", strrchr(dir, '/') + 1,
	       mode(dir), run->coherent);
	printf(" threads=%lld seconds=%lld node=%lld bits=%lld",
	       value[LOAD_THREADS], value[LOAD_SECONDS], value[LOAD_NODE],
	       value[LOAD_BITS]);
	printf(" direction=%lld delay=%lld granule=%lld", value[LOAD_DIRECTION],
	       value[LOAD_DELAY], value[LOAD_GRANULE]);
	printf(" entries=%lld adjacent=%lld contiguous=%lld live=%lld random=%lld",
	       value[LOAD_ENTRIES], value[LOAD_ADJACENT],
	       value[LOAD_CONTIGUOUS], value[LOAD_LIVE], value[LOAD_RANDOM]);
	printf(" bytes=%llu page=%llu segments_least=%llu segments_most=%llu",
	       run->bytes, run->page, run->segments_least, run->segments_most);
	printf(" ns=%llu", run->ns);
	stat_words("map", &run->map);
	stat_words("unmap", &run->unmap);
	printf("\n");
}

int main(int argc, char **argv)
{
	long long value[LOAD_OPTIONS];
	struct run run = { 0 };
	char *dir;

	dir = find(parse(argc, argv, value));
	command(dir, value);
	answer(dir, &run);
	for_people(&run, value);
	for_programs(&run, value, dir);
	free(dir);
	return 0;
}
