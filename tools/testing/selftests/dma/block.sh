#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Disks behind the IOMMU: direct I/O, small and large, from buffers aligned to a
# page and not, everything read back and its checksum compared.
. "$(dirname "$0")/lib.sh"

need_root
command -v fio > /dev/null || skip_all "fio is not installed"
[ -n "$DMA_TEST_DISKS" ] || skip_all "DMA_TEST_DISKS names no disk to write to"

disk_tests() {
	kind=$1
	disk=$(disk_of_kind "$kind")
	if [ -z "$disk" ]; then
		for what in "4 KiB" "512 B to 16 KiB unaligned" "1 MiB" \
			    "mixed sizes unaligned, read and write"; do
			skip "$kind: $what" "no $kind disk that may be overwritten"
		done
		return
	fi
	try "$kind: 4 KiB" \
		verified_io "$disk" 4M --rw=randwrite --bs=4k --iodepth=16
	try "$kind: 512 B to 16 KiB unaligned" \
		verified_io "$disk" 2M --rw=randwrite --bsrange=512-16k \
		--iodepth=8 --iomem_align=512
	try "$kind: 1 MiB" \
		verified_io "$disk" 16M --rw=write --bs=1M --iodepth=4
	try "$kind: mixed sizes unaligned, read and write" \
		verified_io "$disk" 12M --rw=randrw --bsrange=4k-1536k \
		--iodepth=4 --iomem_align=512
}

ktap_print_header
ktap_set_plan 16
for kind in nvme virtio-blk usb-storage ahci; do
	disk_tests $kind
done
finish
