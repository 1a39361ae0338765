#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The group's mode changed at run time, through its "type" in sysfs. From strict
# (DMA) to deferred (DMA-FQ) while the driver works; every other way with the
# driver unbound. The disk is verified in each mode; and the rules of dma_watch are
# kept when it happens under load.
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

# edu_unbound TYPE: with no driver and no watch
edu_unbound() {
	watch_stop
	echo "$1" > "$PCI/$bdf/iommu_group/type" || return 1
	[ "$(group_type "$bdf")" = "$1" ]
}

# Strict to deferred while threads map and unmap and the device does DMA that is
# checked: some unmaps are strict, the others deferred, and every rule is kept.
edu_live() {
	watch=/sys/kernel/debug/dma_watch
	edu=/sys/kernel/debug/dma_edu/$bdf
	before=$(fault_irqs)
	watch_start || return 1
	[ "$(group_type "$bdf")" = DMA ] || return 1
	op "$watch" start 4 all || return 1
	(sleep 0.5; echo DMA-FQ > "$PCI/$bdf/iommu_group/type") &
	op "$edu" contig 2
	first=$?
	wait
	op "$edu" contig 1
	second=$?
	op "$watch" stop
	status=$?
	[ $first = 0 ] && [ $second = 0 ] && [ $status = 0 ] || return 1
	read -r unmaps rest <<-EOF
		$(sed -n 's/\([0-9]*\) unmaps, \([0-9]*\) of them deferred.*/\1 \2/p' "$TMP/result")
	EOF
	[ "$rest" -gt 0 ] && [ "$rest" -lt "$unmaps" ] || return 1
	[ "$(group_type "$bdf")" = DMA-FQ ] || return 1
	[ "$(fault_irqs)" = "$before" ]
}

edu_tests() {
	if ! bdf=$(edu_device) || ! watch_start; then
		for what in strict "deferred, under load" "strict again"; do
			skip "edu: $what" "no edu device behind an IOMMU"
		done
		return
	fi
	type_before=$(group_type "$bdf")
	try "edu: strict" edu_unbound DMA
	try "edu: deferred, under load" edu_live
	try "edu: strict again" edu_unbound DMA
	watch_stop
	echo "$type_before" > "$PCI/$bdf/iommu_group/type"
}

ktap_print_header
ktap_set_plan 13
disk_tests nvme
disk_tests virtio-blk
edu_tests
finish
