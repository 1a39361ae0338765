#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Peer-to-peer DMA: an NVMe disk reads and writes memory of another one (its
# controller memory buffer), without a detour through the machine's memory.
#
# The kernel allows that through a host bridge only where it is known to work: on
# AMD's Zen processors, and with some bridges. There the IOMMU translates it.
# Elsewhere it has to be refused, with an error and without a trace.
. "$(dirname "$0")/lib.sh"

need_root
[ -x "$DIR/dma_peer" ] || skip_all "no dma_peer"

# The device that has memory for others
provider() {
	for device in "$PCI"/*; do
		[ -e "$device/p2pmem/allocate" ] || continue
		[ "$(cat "$device/p2pmem/available")" -ge 2097152 ] || continue
		echo "$device"
		return
	done
	return 1
}

# The first NVMe disk for tests that is not on this device
disk_beside() {
	for block in /sys/block/nvme*; do
		[ -e "$block" ] && may_write "${block##*/}" || continue
		[ "$PCI/$(pci_of "$block/device")" != "$1" ] || continue
		echo "${block##*/}"
		return
	done
	return 1
}

# Does the kernel let peers reach each other across the host bridge here?
# DMA_TEST_PEER tells where this does not: works or refused
expected() {
	if [ -n "${DMA_TEST_PEER:-}" ]; then
		echo "$DMA_TEST_PEER"
	elif grep -q AuthenticAMD /proc/cpuinfo; then
		family=$(sed -n 's/^cpu family[^0-9]*//p' /proc/cpuinfo | head -n 1)
		if [ "$family" -ge 23 ]; then echo works; else echo refused; fi
	elif grep -q GenuineIntel /proc/cpuinfo; then
		echo unknown
	else
		echo refused
	fi
}

# Mappings that DMA debugging has of a device; its driver's pools may grow.
mappings() {
	grep " $1 " /sys/kernel/debug/dma-api/dump | grep -v -c " coherent "
}

run_peer() {
	timeout 120 "$DIR/dma_peer" "$1" "$peer" "/dev/$disk"
}

peer=$(provider) || skip_all "no device has memory for its peers"
disk=$(disk_beside "$peer") || skip_all "no NVMe disk for tests beside ${peer##*/}"
bdf=$(pci_of "/sys/block/$disk/device")
way=$(expected)
[ "$way" != unknown ] ||
	skip_all "DMA_TEST_PEER has to say whether peers reach each other here"
before=$(cat "$peer/p2pmem/available")
[ ! -e /sys/kernel/debug/dma-api/dump ] || mapped=$(mappings "$bdf")

ktap_print_header
ktap_set_plan 4
echo "# $disk of $bdf, memory of ${peer##*/}, $before bytes, $way"
if [ "$way" = works ]; then
	try "a disk moves a peer's memory" run_peer works
else
	try "a peer that cannot be reached" run_peer refused
fi
try "all memory of the peer is free again" \
	within 10 eval "[ \"\$(cat \"$peer/p2pmem/available\")\" = $before ]"
if [ -e /sys/kernel/debug/dma-api/dump ]; then
	try "no mapping is left" within 10 eval "[ \"\$(mappings $bdf)\" = $mapped ]"
else
	skip "no mapping is left" "a kernel without DMA debugging does not tell"
fi
if [ -x "$DIR/dma_disk" ]; then
	try "the disk is well" quick_io "$disk"
else
	skip "the disk is well" "no dma_disk"
fi
finish
