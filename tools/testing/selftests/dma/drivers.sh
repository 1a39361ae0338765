#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Drivers of the base that ask for less usual things: masks of 32 bits, buffers that
# must not cross 64 KiB, tables of their own in coherent memory. What they write is
# read back, or compared with what the host has. e1000 says what buffers it cannot use
# only if it is told to: e1000.debug=16. With DMA_TEST_HEARD=1, what sound cards play
# is at the file server.
. "$(dirname "$0")/lib.sh"

need_root
command -v fio > /dev/null || skip_all "fio is not installed"
[ -n "$DMA_TEST_DISKS" ] || skip_all "DMA_TEST_DISKS names no disk to write to"
SECONDS_OF_TRAFFIC=${DMA_TEST_SECONDS:-60}

# first_of DRIVER: the first PCI device of that driver
first_of() {
	for bdf in /sys/bus/pci/drivers/"$1"/*:*; do
		[ -e "$bdf" ] || continue
		echo "${bdf##*/}"
		return 0
	done
	return 1
}

# disk_io DISK SIZE: any sizes and offsets, verified
disk_io() {
	timeout 250 fio --output="$TMP/fio" --name=odd --filename="/dev/$1" \
		--direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite \
		--bsrange=512-256k --size="$2" --iomem_align=512 \
		--verify=crc32c --verify_fatal=1 --verify_dump=0 --thread
	code=$?
	[ $code = 0 ] || cat "$TMP/fio"
	return $code
}

# disk_tests DRIVER WHAT SIZE
disk_tests() {
	bdf=$(first_of "$1") && disk=$(disk_behind "$bdf") && may_write "$disk" || {
		skip "$1: $2" "no disk behind it that may be overwritten"
		return
	}
	try "$1: $2" disk_io "$disk" "$3"
}

# Received into whole pages, as frames may be of up to 4000 bytes
large_frames() {
	net_down "$1"
	ip link set "$1" mtu 4000 && fetch_file "$1"
}

# Both ways at once, until the time is over
traffic() {
	end=$(($(date +%s) + SECONDS_OF_TRAFFIC)) rounds=0
	while [ "$(date +%s)" -lt $end ]; do
		send_file "$1" > "$TMP/sent" 2>&1 &
		fetch_file "$1" || return 1
		wait $! || { cat "$TMP/sent"; return 1; }
		rounds=$((rounds + 1))
	done
	echo "$rounds rounds"
	[ $rounds -gt 0 ]
}

# What the driver says of a buffer that it cannot use
tells() {
	grep -q 'e1000\.debug=16' /proc/cmdline
}

no_buffer_refused() {
	! dmesg | grep -E "(dma|[rt]xdr) align check failed"
}

group_of() {
	readlink "$PCI/$1/iommu_group" || echo "$1: none"
}

# A device that reaches 28 bits, and one that reaches all, share their addresses.
narrow_and_wide() {
	io_start "$1" || { io_stop; return 1; }
	for round in 1 2 3; do
		op "$edu" list 64 && op "$edu" churn 2 4 && io_runs ||
			{ echo "round $round"; io_stop; return 1; }
	done
	io_stop
	quick_io "$1"
}

one_group() {
	what="28 and 64 bits in one group"
	raid=$(first_of megaraid_sas) && disk=$(disk_behind "$raid") &&
		bdf=$(edu_device) && [ "$(group_of "$bdf")" = "$(group_of "$raid")" ] &&
		load_module dma_edu || {
		skip "$what" "no edu device in the group of a RAID controller"
		return
	}
	edu=/sys/kernel/debug/dma_edu/$bdf
	try "$what" narrow_and_wide "$disk"
	rmmod dma_edu
}

# bounced COMMAND...: it copies data of the device through other memory
bounced() {
	trace=/sys/kernel/tracing/instances/dma_drivers
	mkdir "$trace" || return 1
	echo 1 > "$trace/events/swiotlb/swiotlb_bounced/enable" && "$@"
	code=$?
	copies=$(grep -c "dev_name: $bdf " "$trace/trace")
	rmdir "$trace"
	echo "$copies copies for $bdf"
	[ $code = 0 ] && [ "$copies" -gt 0 ]
}

untrusted_tests() {
	what="untrusted NVMe: any sizes and offsets"
	bdf=$(first_of nvme) && disk=$(disk_behind "$bdf") && may_write "$disk" || {
		skip "$what" "no such disk"
		return
	}
	unbind "$bdf"
	load_module dma_distrust "device=$bdf" && bind "$bdf" nvme
	try "$what" bounced disk_io "$disk" 4M
	unbind "$bdf"
	rmmod dma_distrust
	bind "$bdf" nvme
}

# play HOW: noise, and was it heard?
play() {
	head -c 40000 /dev/urandom > "$TMP/noise"
	"$DIR/dma_sound" "$1" /dev/snd/pcmC0D0p "$TMP/noise" &&
		within 5 is_heard
}

# What plays it writes to a file when it has some more.
is_heard() {
	wget -q -O "$TMP/heard" "$(net_url "$iface")/heard" &&
		"$DIR/dma_sound" heard "$TMP/noise" "$TMP/heard"
}

sound_tests() {
	for how in write mmap; do
		if [ -n "${DMA_TEST_HEARD:-}" ] && [ -n "$iface" ] && first_of snd_hda_intel > /dev/null; then
			try "snd_hda_intel: what is played by $how is heard" play $how
		else
			skip "snd_hda_intel: what is played by $how is heard" \
				"no such card, or no network to somebody who hears it"
		fi
	done
}

ktap_print_header
ktap_set_plan 12
disk_tests megaraid_sas "a disk of a RAID controller" 8M
disk_tests sdhci-pci "a memory card" 4M
disk_tests ehci-pci "a USB 2 disk" 4M
disk_tests uhci_hcd "a USB 1 disk" 512k
one_group
untrusted_tests
iface=$(net_of_driver e1000)
sound_tests
if [ -n "$iface" ]; then
	try "e1000: receive a file" fetch_file "$iface"
	try "e1000: both ways, for a while" traffic "$iface"
	try "e1000: large frames" large_frames "$iface"
	if tells; then
		try "e1000: each buffer could be used" no_buffer_refused
	else
		skip "e1000: each buffer could be used" "without e1000.debug=16"
	fi
	net_down "$iface"
else
	for what in "receive a file" "both ways, for a while" "large frames" \
		"each buffer could be used"; do
		skip "e1000: $what" "no e1000 card"
	done
fi
finish
