#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A display (QEMU's cirrus-vga) imports buffers of scattered pages by PRIME: they
# are mapped for it through the DMA API, shown, and unmapped. See dma_drm.c.
. "$(dirname "$0")/lib.sh"

# cirrus: the first display of that driver
cirrus() {
	for device in /sys/bus/pci/drivers/cirrus*/????:*/drm/card*; do
		[ -e "$device" ] || continue
		echo "${device##*/}"
		return 0
	done
	return 1
}

import() {
	timeout 100 "$DIR/dma_drm" $translated "$bdf" "/dev/dri/$card"
}

# The driver goes and comes; what it had is not needed.
import_again() {
	driver=$(driver_of "$bdf")
	unbind "$bdf" || return 1
	bind "$bdf" "$driver" || return 1
	card=$(cirrus) && import
}

need_root
[ -x "$DIR/dma_drm" ] || skip_all "dma_drm is not built"
[ -c /dev/udmabuf ] || skip_all "no udmabuf"
card=$(cirrus) || skip_all "no display of QEMU's cirrus-vga with its driver"
bdf=$(pci_of "/sys/class/drm/$card/device")
translated=
case $(group_type "$bdf" 2>/dev/null) in
DMA*) translated=-i ;;
esac

faults=$(fault_irqs)
ktap_print_header
ktap_set_plan 3
try "DMA-BUFs of scattered pages are imported and shown" import
try "the same after its driver was gone" import_again
try "the IOMMU had nothing to stop" test "$(fault_irqs)" -eq "$faults"
finish
