#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Allocations of every kind and size class, checked by a device's own DMA
# (QEMU's edu, module dma_edu), in the kernel and through a mapping in user space.
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
load_module dma_edu || skip_all "the module dma_edu cannot be loaded"
edu=/sys/kernel/debug/dma_edu/$bdf
KINDS="coherent writecombine contiguous pagewise nokernel noncontiguous"

# mapped KIND SIZE: the device fills it, a program sees it and writes, the
# device sees that
mapped() {
	op "$edu" alloc "$1" "$2" || return 1
	op "$edu" fill 17 && "$DIR/dma_mmap" "$edu/mem" "$2" 17 93 &&
		op "$edu" verify 93
	status=$?
	op "$edu" free
	return $status
}

ktap_print_header
ktap_set_plan 24
try_op "every size, may sleep" "$edu" classes coherent
try_op "every size, must not sleep" "$edu" classes coherent atomic
try_op "every size, physically contiguous" "$edu" classes contiguous
try_op "every size, not contiguous" "$edu" classes noncontiguous
try_op "every size, single pages" "$edu" classes pagewise
try_op "every size, write combining" "$edu" classes writecombine
for kind in $KINDS; do
	for size in 4096 1048576; do
		if [ -x "$DIR/dma_mmap" ]; then
			try "mmap $kind, $size bytes" mapped $kind $size
		else
			skip "mmap $kind, $size bytes" "dma_mmap is not built"
		fi
	done
done
try_op "contiguous means physically" "$edu" contiguous
try_op "pages as a table" "$edu" sgtable coherent
try_op "pages as a table, contiguous" "$edu" sgtable contiguous
try_op "pages as a table, odd size" "$edu" sgtable coherent 77824
try_op "dma_alloc_pages()" "$edu" pages
try_op "dma_pool" "$edu" pool
rmmod dma_edu
finish
