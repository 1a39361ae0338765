#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The group's mode changed at run time, through its "type" in sysfs. From strict
# (DMA) to deferred (DMA-FQ) while the driver works; every other way with the
# driver unbound. The disk is verified in each mode.
. "$(dirname "$0")/lib.sh"

need_root
[ -x "$DIR/dma_disk" ] || skip_all "dma_disk is not built"
[ -n "$DMA_TEST_DISKS" ] || skip_all "DMA_TEST_DISKS names no disk to write to"

# switch_unbound BDF TYPE: and the driver gets its device back
switch_unbound() {
	driver=$(driver_of "$1")
	unbind "$1" || return 1
	echo "$2" > "$PCI/$1/iommu_group/type"
	switched=$?
	bind "$1" "$driver" || return 1
	within 20 disk_behind "$1" || return 1
	[ $switched = 0 ] || return 1
	echo "type is $(group_type "$1"), should be $2"
	[ "$(group_type "$1")" = "$2" ] || return 1
	quick_io "$(disk_behind "$1")"
}

# switch_live BDF: strict to deferred under I/O
switch_live() {
	disk=$(disk_behind "$1")
	io_start "$disk" || { io_stop; return 1; }
	echo DMA-FQ > "$PCI/$1/iommu_group/type"
	status=$?
	sleep 0.5
	io_runs || { echo "the load ended"; cat "$TMP/load"; return 1; }
	io_stop
	[ $status = 0 ] || return 1
	echo "type is $(group_type "$1")"
	[ "$(group_type "$1")" = DMA-FQ ] || return 1
	quick_io "$disk"
}

# A driver that is at work keeps its device from any other change.
switch_refused() {
	! echo identity 2>/dev/null > "$PCI/$1/iommu_group/type" || return 1
	[ "$(group_type "$1")" != identity ]
}

disk_tests() {
	disk=$(disk_of_kind "$1")
	bdf=$(pci_of "/sys/block/${disk:-none}/device")
	if [ -z "$disk" ] || [ ! -e "$PCI/$bdf/iommu_group/type" ]; then
		for what in strict "deferred, live" "refused while bound" identity back; do
			skip "$1: $what" "no $1 disk for tests behind an IOMMU"
		done
		return
	fi
	first=$(group_type "$bdf")
	try "$1: strict" switch_unbound "$bdf" DMA
	try "$1: deferred, live" switch_live "$bdf"
	try "$1: refused while bound" switch_refused "$bdf"
	try "$1: identity" switch_unbound "$bdf" identity
	try "$1: back" switch_unbound "$bdf" "$first"
}

ktap_print_header
ktap_set_plan 10
disk_tests nvme
disk_tests virtio-blk
finish
