#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A driver as those of GPUs are (module dma_owner): it takes its device's IOMMU,
# maps scattered pages where it wants them, and gives it back, with mappings of
# the DMA API that were made before and are used after. What happens to a bound
# driver, and to user space that takes a device, is in ownership.sh.
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
load_translated "$bdf" dma_owner
own=/sys/kernel/debug/dma_owner/$bdf

# While it is owned, nobody sets another type
type_is_kept() {
	type=$(group_type "$bdf")
	echo "type before: $type"
	! echo identity > "$PCI/$bdf/iommu_group/type" || return 1
	[ "$(group_type "$bdf")" = "$type" ]
}

# take_and_use device|group
take_and_use() {
	op "$own" take "$1" && op "$own" use && op "$own" give
}

# The driver goes while it owns the IOMMU; another finds everything as it was.
goes_as_owner() {
	op "$own" take device && op "$own" use || return 1
	rmmod dma_owner || return 1
	load_module dma_edu || return 1
	op "/sys/kernel/debug/dma_edu/$bdf" contig 2
	code=$?
	rmmod dma_edu
	return $code
}

ktap_print_header
ktap_set_plan 12
try_op "the DMA API maps a list, the device moves it" "$own" early
try_op "the driver takes the device's IOMMU" "$own" take device
try_op "nobody else gets it" "$own" rivals
try "the type of the group stays" type_is_kept
try_op "scattered pages at addresses of its own, moved byte for byte" "$own" use
try_op "the DMA API's addresses lead nowhere, others only where they may" \
	"$own" stopped
try_op "the driver gives it back" "$own" give
try_op "the list of before and a new one work by the DMA API" "$own" api
try_op "others may have it now" "$own" rivals
try "taken as a group, used and given back" take_and_use group
try_op "and the DMA API once more" "$own" api
try "a driver that goes while it owns the IOMMU" goes_as_owner
! grep -q '^dma_owner ' /proc/modules || rmmod dma_owner
finish
