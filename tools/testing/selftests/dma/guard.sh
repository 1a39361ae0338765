#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# iommu.dma_guard=N on the kernel's command line: N granules stay unmapped behind
# every mapping, so that a device that runs past the end of one is stopped,
# whatever is mapped next to it.
. "$(dirname "$0")/lib.sh"

need_root
[ "$(guard)" -gt 0 ] || skip_all "the kernel was started without iommu.dma_guard"
bdf=$(edu_device) || skip_all "no edu device"
watch_start || skip_all "the module dma_watch cannot be loaded"
edu=/sys/kernel/debug/dma_edu/$bdf
watch=/sys/kernel/debug/dma_watch

ktap_print_header
ktap_set_plan 3
faults=$(iommu_faults)
try_op "the device runs past the end of a mapping" "$edu" guard "$(guard)"
try "the IOMMU told of it" test "$(iommu_faults)" -gt "$faults"
try_op "mappings of all kinds, from all processors" "$watch" load 1 4 all
watch_stop
finish
