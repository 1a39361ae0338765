#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Drivers that go away while their device moves data, and come back: unbound and
# bound again, and the whole device removed and found again. Afterwards it must
# work as before.
. "$(dirname "$0")/lib.sh"

need_root
[ -x "$DIR/dma_disk" ] || skip_all "dma_disk is not built"
[ -n "$DMA_TEST_DISKS" ] || skip_all "DMA_TEST_DISKS names no disk to write to"

# Take the device away, in one of two ways, and bring it back.
away_unbind() { unbind "$1"; }
back_unbind() { bind "$1" "$2"; }
away_remove() { echo 1 > "$PCI/$1/remove"; }
back_remove() { echo 1 > /sys/bus/pci/rescan; }

# cycle_disk HOW BDF
cycle_disk() {
	how=$1 bdf=$2 driver=$(driver_of "$2")
	disk=$(disk_behind "$bdf") || { echo "no disk behind $bdf"; return 1; }
	io_start "$disk" || { io_stop; cat "$TMP/load"; return 1; }
	io_runs || { echo "the load ended early"; cat "$TMP/load"; return 1; }
	away_$how "$bdf" || { io_stop; return 1; }
	io_stop
	back_$how "$bdf" "$driver" || return 1
	[ "$(driver_of "$bdf")" = "$driver" ] || { echo "no driver"; return 1; }
	within 20 disk_behind "$bdf" || return 1
	quick_io "$(disk_behind "$bdf")"
}

# cycle_net HOW BDF
cycle_net() {
	how=$1 bdf=$2 driver=$(driver_of "$2")
	iface=$(net_behind "$bdf") || { echo "no interface behind $bdf"; return 1; }
	url=$(net_url "$iface") || { echo "no network on $iface"; return 1; }
	while :; do
		wget -q -O /dev/null "$url/blob" || break
	done 2>/dev/null &
	loop=$!
	sleep 0.5
	away_$how "$bdf"
	status=$?
	kill $loop 2>/dev/null
	killall wget 2>/dev/null
	wait $loop 2>/dev/null
	[ $status = 0 ] || return 1
	back_$how "$bdf" "$driver" || return 1
	[ "$(driver_of "$bdf")" = "$driver" ] || { echo "no driver"; return 1; }
	within 10 net_behind "$bdf" || return 1
	iface=$(net_behind "$bdf")
	fetch_part "$iface" && send_file "$iface"
	status=$?
	net_down "$iface"
	return $status
}

# What fetch_part compares with; net.sh looks at the whole file.
first_part() {
	[ -s "$TMP/blob" ] ||
		wget -q -O - "$(net_url "$1")/blob" 2> /dev/null | head -c 1048576 > "$TMP/blob"
}

ktap_print_header
ktap_set_plan 12
for kind in nvme virtio-blk usb-storage ahci; do
	disk=$(disk_of_kind $kind)
	if [ -n "$disk" ]; then
		bdf=$(pci_of "/sys/block/$disk/device")
		try "$kind: driver unbound and bound" cycle_disk unbind "$bdf"
		try "$kind: device removed and found" cycle_disk remove "$bdf"
	else
		skip "$kind: driver unbound and bound" "no $kind disk for tests"
		skip "$kind: device removed and found" "no $kind disk for tests"
	fi
done
for card in virtio_net e1000e; do
	iface=$(net_of_driver $card)
	if [ -n "$iface" ] && { [ -n "${DMA_TEST_URL:-}" ] || command -v net-up > /dev/null; }; then
		bdf=$(pci_of "/sys/class/net/$iface/device")
		first_part "$iface" > /dev/null 2>&1
		try "$card: driver unbound and bound" cycle_net unbind "$bdf"
		try "$card: device removed and found" cycle_net remove "$bdf"
	else
		skip "$card: driver unbound and bound" "no $card card, or no file server"
		skip "$card: device removed and found" "no $card card, or no file server"
	fi
done
finish
