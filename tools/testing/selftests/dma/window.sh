#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# When is protection complete, and when is an address used again? Watched between
# the DMA API and the IOMMU driver (module dma_watch).
#
# In deferred mode the window is measured always, and judged where time means
# something: DMA_TEST_EXACT=1 says that the machine's clock stands still when the
# machine does (an emulator that counts instructions). Elsewhere a busy host may
# stop a processor at any moment for any time. The same goes for what an operation
# costs; there a kernel full of checks makes the little that locks cost a lot, so
# only growth that no constant explains is a failure.
. "$(dirname "$0")/lib.sh"

WINDOW_US=10000
FLUSHES=110

need_root
bdf=$(edu_device) || skip_all "no edu device"
watch_start || skip_all "the module dma_watch cannot be loaded"
watch=/sys/kernel/debug/dma_watch
[ "${DMA_TEST_EXACT:-0}" = 1 ] || WINDOW_US=0

ktap_print_header
ktap_set_plan 11
try_op "what is watched" "$watch" info
try_op "pages from all processors" "$watch" load 1 4 page $WINDOW_US
try_op "lists from all processors" "$watch" load 1 4 list $WINDOW_US
try_op "coherent memory from all processors" "$watch" load 1 4 coherent $WINDOW_US
try_op "all of it" "$watch" load 2 6 all $WINDOW_US
try_op "one unmap now and then" "$watch" idle 40 $WINDOW_US
try_op "flushes are few" "$watch" rate 1 $FLUSHES
try_op "page tables outlive their flush" "$watch" tables 8
for size in 65536 1048576; do
	what="$size bytes: many live mappings cost no more than few"
	if [ $WINDOW_US = 0 ]; then
		skip "$what" "the machine's clock is not exact"
	else
		try_op "$what" "$watch" growth 100 2500 $size 60
	fi
done
what="what many unmaps leave to do is done bit by bit"
if [ $WINDOW_US = 0 ]; then
	skip "$what" "the machine's clock is not exact"
else
	try_op "$what" "$watch" drain 500 1048576 500
fi
watch_stop
finish
