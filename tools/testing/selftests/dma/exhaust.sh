#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Address space and memory used up: clean errors, nothing lost, and nothing is
# refused that only waits for a flush (module dma_watch).
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
watch_start || skip_all "the module dma_watch cannot be loaded"
watch=/sys/kernel/debug/dma_watch
page=$(page_size)

# refused BITS SIZE KIND: the operation passes, and the kernel has said what did
# not fit: device, size in whole pages, limit, and a largest free range that is
# smaller.
refused() {
	mark="exhaust-$1-$2-$3-$$"
	echo "$mark" > /dev/kmsg
	op "$watch" fill "$@" || return 1
	asked=$((($2 + page - 1) / page * page))
	limit=$(printf '%#x' $(((1 << $1) - 1)))
	dmesg | sed -n "/$mark/,\$p" | grep "$bdf.*no DMA address" > "$TMP/said"
	sed -n 1p "$TMP/said"
	largest=$(sed -n "1s/.* for $asked bytes up to $limit, largest free range is \([0-9]*\) bytes.*/\1/p" "$TMP/said")
	[ -n "$largest" ] || { echo "no message for $asked bytes up to $limit"; return 1; }
	# Coherent memory is aligned to its size.
	[ "$3" != coherent ] || largest=$((largest / 2))
	[ "$largest" -lt $((asked + $(guard) * page)) ]
}

# few_tables NAME OPERATION...: where memory is for page tables only
few_tables() {
	if [ "$page" -le 4096 ]; then
		try_op "$@"
	else
		skip "$1" "one page table of that size covers all"
	fi
}

ktap_print_header
ktap_set_plan 13
# First, while many a page table does not exist yet.
if faults_setup; then
	few_tables "no memory for a page" "$watch" memory page 0
	try_op "no memory for a large mapping" "$watch" memory large 4
	few_tables "no memory for a list" "$watch" memory list 1
	try_op "no memory for coherent memory" "$watch" memory coherent 2
	try_op "no memory, must not sleep" "$watch" memory atomic 3
else
	for what in "for a page" "for a large mapping" "for a list" \
		"for coherent memory" ", must not sleep"; do
		skip "no memory $what" "the kernel cannot make allocations fail"
	done
fi
try "28 bits of 16 pages" refused 28 $((16 * page)) page
try "28 bits of 1 MiB" refused 28 1048576 page
try "24 bits of lists" refused 24 $((16 * page)) list
# The kernel says so ten times in five seconds and no more.
sleep 5
try "24 bits of coherent memory" refused 24 $((16 * page)) coherent
try "24 bits of 5 pages" refused 24 $((5 * page)) page
try "24 bits of single pages" refused 24 "$page" page
try_op "10 MiB of 16, many times" "$watch" recycle 24 10485760 200
# Doorbells may be in the middle of it, so no more than half of it is one piece.
try_op "112 MiB of 256, many times" "$watch" recycle 28 117440512 60
watch_stop
finish
