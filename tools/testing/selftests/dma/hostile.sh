#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A hostile device (QEMU's edu, module dma_edu): it reads and writes where nothing is
# mapped for it, while disks and a network do I/O that is verified. Nothing of theirs
# changes, the device sees nothing, and the IOMMU reports each transfer, of those of
# four bytes. DMA_TEST_SEED repeats a run's addresses; it is printed.
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
[ -x "$DIR/dma_disk" ] || skip_all "dma_disk is not built"
load_translated "$bdf" dma_edu
edus=/sys/kernel/debug/dma_edu
seed=${DMA_TEST_SEED:-$(od -A n -N 3 -t u4 /dev/urandom | tr -d ' ')}

# reach BDF: bits of the addresses that a device can send, as far as they matter: a
# second device is there to have more than QEMU gives it of itself
reach() {
	[ "$1" = "$bdf" ] && echo 28 || echo 40
}

# Verified I/O in the background until $TMP/go is gone; each round leaves a line.
verify_disk() {
	while [ -e "$TMP/go" ]; do
		quick_io "$1" || { echo "$1 $?"; touch "$TMP/bad"; break; }
		echo "$1" >> "$TMP/rounds"
	done > "$TMP/said.$1" 2>&1
}

verify_net() {
	while [ -e "$TMP/go" ]; do
		fetch_part "$1" || { echo "$1 $?"; touch "$TMP/bad"; break; }
		echo "$1" >> "$TMP/rounds"
	done > "$TMP/said.$1" 2>&1
}

verify_start() {
	touch "$TMP/go"
	: > "$TMP/rounds"
	for disk in $disks; do
		verify_disk "$disk" &
	done
	for net in $nets; do
		verify_net "$net" &
	done
	within 60 grep -q . "$TMP/rounds"
}

# more_rounds N: than that, or it is of no use to wait
more_rounds() {
	[ -e "$TMP/bad" ] || [ "$(wc -l < "$TMP/rounds")" -gt "$1" ]
}

# verify_stop: all went well, and on, in the time
verify_stop() {
	within 60 more_rounds "$(wc -l < "$TMP/rounds")"
	rm "$TMP/go"
	wait
	[ ! -e "$TMP/bad" ] || { cat "$TMP"/said.*; return 1; }
	for what in $disks $nets; do
		echo "$what: $(grep -c "^$what\$" "$TMP/rounds") rounds"
		grep -q "^$what\$" "$TMP/rounds" || return 1
	done
}

# Addresses of the faults that the kernel has told of, by page
fault_addresses() {
	dmesg | sed -n "/$1/,\$p" | sed -n '
		/event 0x10 received/ { n; n; n; s/.*\t0x/0x/p; }
		s/.*DMAR: \[DMA.*fault addr \(0x[0-9a-f]*\).*/\1/p
		s/.*page fault from EP.* at \(0x[0-9a-f]*\).*/\1/p' |
	while read -r addr; do
		printf '%#x\n' $((addr & ~0xfff))
	done | sort -u
}

# looked_at EDU: addresses of the last transfers at which the IOMMU looks. Messages
# for interrupts pass by it, but for an SMMU, where that region is the kernel's choice.
looked_at() {
	sed -n 's/^\(0x[0-9a-f]*\) .*/\1/p' "$TMP/result" |
	while read -r addr; do
		while read -r first last kind; do
			! ls /sys/class/iommu | grep -q smmu || break
			[ "$kind" != msi ] || [ $((addr)) -lt $((first)) ] ||
				[ $((addr)) -gt $((last)) ] || continue 2
		done < "/sys/bus/pci/devices/$1/iommu_group/reserved_regions"
		echo "$addr"
	done
}

# all_kinds EDU: of each kind that the device reaches, an address was tried: without
# another device, or memory for what is to be freed, some are left out
all_kinds() {
	kinds="random zero freed unmapped below"
	[ "$(reach "$1")" = 28 ] ||
		kinds="$kinds physical doorbell ${disks:+other beside}"
	for kind in $kinds; do
		grep -q " $kind\$" "$TMP/result" || { echo "not tried: $kind"; return 1; }
	done
}

# reported EDU: as many faults as transfers, which are of four bytes, so that there is
# one for each; the interrupts tell, as the kernel limits what it prints
reported() {
	irqs=$(fault_irqs)
	op "$edus/$1" hostile 18 "$(reach "$1")" $((seed + 10)) small || return 1
	transfers=$(looked_at "$1" | wc -l)
	[ "$transfers" -gt 0 ] || { echo "no transfers"; return 1; }
	within 20 irqs_since "$irqs" "$transfers" && return
	echo "$(($(fault_irqs) - irqs)) interrupts for $transfers transfers"
	return 1
}

# irqs_since BEFORE N: so many; a processor may be late to take one
irqs_since() {
	[ $(($(fault_irqs) - $1)) -ge "$2" ]
}

# named EDU: each one's address is told, as far as the kernel's limit goes, which is
# ten messages in five seconds, and with VT-d counts three for each fault
named() {
	told=9
	! ls /sys/class/iommu | grep -q dmar || told=3
	for round in 1 2; do
		sleep 6
		mark="hostile-$round-$$"
		echo "$mark" > /dev/kmsg
		op "$edus/$1" hostile 9 "$(reach "$1")" $((seed + round)) small || return 1
		addrs=$(looked_at "$1" | head -n $told)
		[ -n "$addrs" ] || { echo "no transfers"; return 1; }
		within 20 all_named "$mark" $addrs ||
			{ cat "$TMP/named"; return 1; }
	done
}

# all_named MARK ADDRESS...: by the kernel, since the mark
all_named() {
	fault_addresses "$1" > "$TMP/named"
	shift
	for addr in "$@"; do
		grep -q "^$(printf '%#x' $((addr & ~0xfff)))\$" "$TMP/named" || return 1
	done
}

disks=
for kind in nvme virtio-blk ahci usb-storage; do
	disks="$disks $(disk_of_kind $kind)"
done
disks=$(echo $disks)
nets=
for driver in virtio_net e1000e; do
	net=$(net_of_driver $driver)
	[ -z "$net" ] || ! fetch_file "$net" > /dev/null 2>&1 || nets="$nets $net"
done
nets=$(echo $nets)
second=
for dir in "$edus"/*; do
	[ "${dir##*/}" = "$bdf" ] || second=${dir##*/}
done

ktap_print_header
ktap_set_plan 11
echo "# seed $seed"
if [ -n "$disks" ]; then
	try "verified I/O of others begins" verify_start
else
	skip "verified I/O of others begins" "no disk that may be overwritten"
fi
for edu in "$bdf" "$second"; do
	what="within $(reach "$edu") bits"
	if [ -z "$edu" ]; then
		skip "$what: nothing is reached" "no second edu device"
		skip "$what: each kind of address was tried" "no second edu device"
		skip "$what: each transfer is reported" "no second edu device"
		continue
	fi
	try_op "$what: nothing is reached" \
		"$edus/$edu" hostile 36 "$(reach "$edu")" "$seed"
	try "$what: each kind of address was tried" all_kinds "$edu"
	if ls /sys/class/iommu | grep -q ivhd; then
		skip "$what: each transfer is reported" "QEMU's AMD-Vi does not set the status bit of its event interrupt"
	else
		try "$what: each transfer is reported" reported "$edu"
	fi
done
if [ -n "$disks" ]; then
	try "all of the others' I/O was right" verify_stop
else
	skip "all of the others' I/O was right" "no disk that may be overwritten"
fi
if ls /sys/class/iommu | grep -q ivhd; then
	skip "their addresses are told" "QEMU's AMD-Vi does not set the status bit of its event interrupt"
else
	try "their addresses are told" named "$bdf"
fi
try_op "its own mappings work" "$edus/$bdf" contig 2
others_work() {
	for disk in $disks; do
		quick_io "$disk" || return 1
	done
	for net in $nets; do
		fetch_part "$net" || return 1
	done
}
try "the others' work, too" others_work
rmmod dma_edu
finish
