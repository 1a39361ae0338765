#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Drivers that take the IOMMU over for themselves and give it back: one in the
# kernel (dma_edu), and user space by VFIO. Then the DMA API works as before.
. "$(dirname "$0")/lib.sh"

need_root
VFIO=/sys/bus/pci/drivers/vfio-pci

# to_vfio BDF; from_vfio BDF DRIVER
to_vfio() {
	[ -z "$(driver_of "$1")" ] || unbind "$1"
	echo vfio-pci > "$PCI/$1/driver_override"
	echo "$1" > /sys/bus/pci/drivers_probe
	[ "$(driver_of "$1")" = vfio-pci ]
}

from_vfio() {
	unbind "$1"
	echo > "$PCI/$1/driver_override"
	[ -z "$2" ] || bind "$1" "$2"
}

kernel_tests() {
	bdf=$(edu_device)
	if [ -z "$bdf" ] || ! load_module dma_edu managed=1; then
		skip "a driver takes the IOMMU and gives it back" "no edu device, or no module dma_edu"
		skip "and once more" "no edu device, or no module dma_edu"
		skip "its mappings of the DMA API afterwards" "no edu device, or no module dma_edu"
		return
	fi
	edu=/sys/kernel/debug/dma_edu/$bdf
	try_op "a driver takes the IOMMU and gives it back" "$edu" takeover
	try_op "and once more" "$edu" takeover
	try_op "its mappings of the DMA API afterwards" "$edu" contig 2
	rmmod dma_edu
}

vfio_edu() {
	to_vfio "$1" || return 1
	"$DIR/dma_vfio" "$1"
	status=$?
	from_vfio "$1" ""
	return $status
}

edu_again() {
	load_module dma_edu || return 1
	op "/sys/kernel/debug/dma_edu/$1" contig 2
	status=$?
	rmmod dma_edu
	return $status
}

vfio_disk() {
	disk=$(disk_behind "$1")
	io_start "$disk" || { io_stop; return 1; }
	to_vfio "$1"
	status=$?
	io_stop
	"$DIR/dma_vfio" --open "$1" || status=1
	from_vfio "$1" nvme
	[ $status = 0 ] || return 1
	within 20 disk_behind "$1" || return 1
	quick_io "$(disk_behind "$1")"
}

# User space is given devices only where an IOMMU keeps them in bounds.
vfio_there() {
	[ -d $VFIO ] && [ -x "$DIR/dma_vfio" ] && [ -n "$(ls /sys/kernel/iommu_groups)" ]
}

vfio_tests() {
	bdf=$(edu_device)
	if ! vfio_there || [ -z "$bdf" ]; then
		skip "user space drives the edu device by VFIO" "no IOMMU, no vfio-pci, no dma_vfio or no edu device"
		skip "and the DMA API has it again" "no IOMMU, no vfio-pci, no dma_vfio or no edu device"
	else
		try "user space drives the edu device by VFIO" vfio_edu "$bdf"
		try "and the DMA API has it again" edu_again "$bdf"
	fi
	disk=$(disk_of_kind nvme)
	if ! vfio_there || [ ! -x "$DIR/dma_disk" ] || [ -z "$disk" ]; then
		skip "nvme to VFIO under I/O and back" "no IOMMU, no vfio-pci, no dma_vfio or no nvme disk for tests"
	else
		try "nvme to VFIO under I/O and back" \
			vfio_disk "$(pci_of "/sys/block/$disk/device")"
	fi
}

ktap_print_header
ktap_set_plan 6
kernel_tests
vfio_tests
finish
