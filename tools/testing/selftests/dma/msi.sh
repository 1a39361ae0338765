#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Interrupts of devices behind the IOMMU: the messages (MSI, MSI-X) of each
# device are counted before and after some I/O.
. "$(dirname "$0")/lib.sh"

need_root

# count BDF: interrupts that all vectors of the device have raised
count() {
	total=0
	for vector in $(ls "$PCI/$1/msi_irqs" 2>/dev/null); do
		n=$(awk -v v="$vector:" '$1 == v {
			for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++)
				sum += $i
			print sum + 0
		}' /proc/interrupts)
		total=$((total + ${n:-0}))
	done
	echo $total
}

# counted BDF COMMAND...: does the command make the device interrupt?
counted() {
	bdf=$1
	shift
	vectors=$(ls "$PCI/$bdf/msi_irqs" 2>/dev/null | wc -l)
	before=$(count "$bdf")
	"$@" || return 1
	after=$(count "$bdf")
	echo "$bdf: $vectors vectors, $before interrupts before, $after after"
	[ "$vectors" -gt 0 ] && [ "$after" -gt "$before" ]
}

read_disk() {
	dd if="/dev/$1" of=/dev/null bs=64k count=16 iflag=direct
}

# Any traffic will do.
use_net() {
	url=$(net_url "$1") && wget -q -O - "$url/blob" 2> /dev/null | head -c 262144 | wc -c
}

ktap_print_header
ktap_set_plan 7
for kind in nvme virtio-blk usb-storage ahci; do
	disk=$(disk_of_kind $kind)
	if [ -n "$disk" ]; then
		try "$kind" counted "$(pci_of "/sys/block/$disk/device")" \
			read_disk "$disk"
	else
		skip "$kind" "no $kind disk for tests"
	fi
done
for driver in virtio_net e1000e; do
	iface=$(net_of_driver $driver)
	if [ -n "$iface" ] && { [ -n "${DMA_TEST_URL:-}" ] || command -v net-up > /dev/null; }; then
		try "$driver" counted "$(pci_of "/sys/class/net/$iface/device")" \
			use_net "$iface"
		net_down "$iface"
	else
		skip "$driver" "no $driver card, or no file server"
	fi
done
if bdf=$(edu_device) && load_module dma_edu; then
	try "edu" counted "$bdf" op "/sys/kernel/debug/dma_edu/$bdf" irq
	rmmod dma_edu
else
	skip "edu" "no edu device, or no module dma_edu"
fi
finish
