#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Streaming mappings checked by a device's own DMA (QEMU's edu, module dma_edu).
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
load_module dma_edu || skip_all "the module dma_edu cannot be loaded"
edu=/sys/kernel/debug/dma_edu/$bdf
page=$(page_size)

# Entries are whole pages, so a device that takes less than one is no use here.

ktap_print_header
ktap_set_plan 25
try_op "what the device is" "$edu" info
try_op "a list is one segment, moved across its boundaries" "$edu" contig 16
try_op "segments of two pages at most" "$edu" contig 5 $((2 * page))
try_op "no segment crosses two pages" "$edu" contig 4 0xffffffff $((2 * page - 1))
try_op "64 pages, one segment" "$edu" list 64
try_op "600 pages, one segment" "$edu" list 600
try_op "600 pages, segments of 16 pages" "$edu" list 600 $((16 * page))
try_op "600 pages, borders of 256 pages" "$edu" list 600 0xffffffff $((256 * page - 1))
try_op "600 pages, odd limits" "$edu" list 600 $((5 * page)) $((16 * page - 1))
try_op "small kmalloc() buffers at odd addresses" "$edu" kmalloc
try_op "parts handed to and fro" "$edu" sync
try_op "lists handed to and fro" "$edu" sync_sg
try_op "registers of another device" "$edu" resource
try_op "address masks of every width" "$edu" mask
try_op "many mappings on all processors" "$edu" churn 2 4

faults=$(iommu_faults)
try_op "a page after unmap" "$edu" fault page
try_op "a list after unmap" "$edu" fault sg
try_op "coherent memory after free" "$edu" fault coherent
if [ "$(group_type "$bdf" 2>/dev/null)" = identity ] || [ ! -e "$PCI/$bdf/iommu_group" ]; then
	skip "the IOMMU told of it" "no IOMMU translates for the device"
elif ls /sys/class/iommu | grep -q ivhd; then
	# Where there is an edu device, there is QEMU.
	skip "the IOMMU told of it" "QEMU's AMD-Vi does not set the status bit of its event interrupt"
else
	try "the IOMMU told of it" test "$(iommu_faults)" -gt "$faults"
fi
try_op "strict: nothing after unmap returns" "$edu" window
rmmod dma_edu

if load_module dma_edu untrusted=1; then
	try_op "untrusted: what the device is" "$edu" info
	try_op "untrusted: nothing beside the buffer" "$edu" bounce
	try_op "untrusted: a list is one segment" "$edu" contig 4
	try_op "untrusted: parts handed to and fro" "$edu" sync
	try_op "untrusted: small buffers" "$edu" kmalloc
	rmmod dma_edu
fi
finish
