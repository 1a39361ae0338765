#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A PCI host bridge that lets only some addresses of DMA through: its dma-ranges
# in the device tree. No mapping of a device behind it is anywhere else, also when
# addresses run out. The tracepoint iommu:map tells of every mapping.
. "$(dirname "$0")/lib.sh"

trace=/sys/kernel/tracing

# windows FILE: FIRST and END of each, in hexadecimal with 16 digits. One is 7
# cells: what kind of memory, address for devices, address in memory, size.
windows() {
	od -A n -v -t x1 -w28 "$1" | tr -d ' ' |
		sed 's/^.\{8\}\(.\{16\}\).\{16\}/\1 /' |
		while read -r first size; do
			printf '%s %016x\n' "$first" $((0x$first + 0x$size))
		done
}

# traced COMMAND...: which addresses does the command map?
traced() {
	echo > $trace/trace
	echo 1 > $trace/events/iommu/map/enable
	"$@" > "$TMP/command" 2>&1
	code=$?
	echo 0 > $trace/events/iommu/map/enable
	sed -n 's/.* map: IOMMU: iova=0x\([0-9a-f]*\) - 0x\([0-9a-f]*\) .*/\1 \2/p' \
		$trace/trace | sort -u > "$TMP/mapped"
	return $code
}

# outside: those that are in no window; digits are as many, so words compare
outside() {
	awk 'NR == FNR { first["x" $1] = "x" $2; next }
	     { good = 0
	       for (f in first)
			if ("x" $1 >= f && "x" $2 <= first[f])
				good = 1
	       if (!good)
			print "outside: " $0
	     }' "$TMP/windows" "$TMP/mapped"
}

# inside COMMAND...: it passes, and all that it maps is in the windows
inside() {
	traced "$@" || { cat "$TMP/command"; return 1; }
	outside > "$TMP/outside"
	head -n 5 "$TMP/outside"
	echo "$(wc -l < "$TMP/mapped") mappings, $(wc -l < "$TMP/outside") outside"
	[ -s "$TMP/mapped" ] && [ ! -s "$TMP/outside" ]
}

# both WINDOW...: the last command has used each of these windows
both() {
	awk 'NR == FNR { first[NR] = "x" $1; end[NR] = "x" $2; n = NR; next }
	     { for (i = 1; i <= n; i++)
			if ("x" $1 >= first[i] && "x" $2 <= end[i])
				used[i]++ }
	     END { for (i = 1; i <= n; i++) {
			print first[i], end[i], used[i] + 0
			bad += !used[i]
		   }
		   exit bad }' "$TMP/windows" "$TMP/mapped"
}

fill() {
	op /sys/kernel/debug/dma_watch fill "$@"
}

need_root
page=$(page_size)
for ranges in /proc/device-tree/*/dma-ranges; do
	case $(tr '\0' '\n' < "${ranges%/*}/compatible" 2> /dev/null) in
	pci-host*) break ;;
	esac
	ranges=
done
[ -s "$ranges" ] || skip_all "the PCI host bridge lets all addresses through"
[ -d $trace/events/iommu ] || skip_all "the kernel has no tracepoints"
bdf=$(edu_device) || skip_all "no edu device"
watch_start || skip_all "the module dma_watch cannot be loaded"
disk=$(disk_of_kind nvme)
windows "$ranges" > "$TMP/windows"
sed 's/^/# window /' "$TMP/windows"
echo 16384 > $trace/buffer_size_kb

ktap_print_header
ktap_set_plan 4
if [ -n "$disk" ]; then
	try "I/O of a disk" inside quick_io "$disk"
else
	skip "I/O of a disk" "no NVMe disk that may be used"
fi
# Not a power of two: then it may be that little that fits, with some windows less.
try "addresses of 32 bits are used up" inside fill 32 $((1048576 + page)) page
try "all windows below 4 GiB were used" both
try "addresses of 24 bits are used up" inside fill 24 $((4 * page)) page
echo 1408 > $trace/buffer_size_kb
watch_stop
finish
