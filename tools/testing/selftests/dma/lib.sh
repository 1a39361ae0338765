#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What the DMA tests share. Works in a POSIX shell, busybox's too.
#
# A machine that has more than one purpose: nothing is written to a disk, and no
# driver is taken from a device, unless DMA_TEST_DISKS says which disks may be
# used ("nvme0n1 vdb", or "auto" for all that carry nothing).

DIR=$(dirname "$(readlink -f "$0")")
for helpers in "$DIR/../kselftest" "$DIR/kselftest" "$DIR"; do
	[ -e "$helpers/ktap_helpers.sh" ] || continue
	. "$helpers/ktap_helpers.sh"
	break
done

DMA_TEST_DISKS=${DMA_TEST_DISKS:-}
PCI=/sys/bus/pci/devices
TMP=$(mktemp -d)

# skip_all REASON: nothing here can run on this machine
skip_all() {
	ktap_print_header
	ktap_skip_all "$@"
	exit "$KSFT_SKIP"
}

# skip NAME REASON
skip() {
	echo "# $2"
	ktap_test_skip "$1"
}

# try NAME COMMAND...: a test that passes when the command does; its output is
# shown when it does not
try() {
	name=$1
	shift
	if "$@" > "$TMP/out" 2>&1; then
		ktap_test_pass "$name"
	else
		echo "# status $? of: $*"
		tail -n 25 "$TMP/out" | sed 's/^/# /'
		ktap_test_fail "$name"
	fi
}

# page_size: bytes of the CPU's pages, from what the kernel tells each program
page_size() {
	od -A n -v -t u8 -w16 /proc/self/auxv | awk '$1 == 6 { print $2 }'
}

# need_root
need_root() {
	[ "$(id -u)" = 0 ] || skip_all "must be root"
}

# within SECONDS COMMAND...: wait until the command succeeds
within() {
	tries=$(($1 * 10))
	shift
	while ! "$@" > /dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { echo "not within time: $*"; return 1; }
		sleep 0.1
	done
}

# pci_of PATH: the PCI device that a sysfs path lies behind
pci_of() {
	readlink -f "$1" | grep -o '[0-9a-f]\{4\}:[0-9a-f]\{2\}:[0-9a-f]\{2\}\.[0-9a-f]' |
		tail -n 1
}

# driver_of BDF
driver_of() {
	basename "$(readlink "$PCI/$1/driver" 2>/dev/null)"
}

# kind_of_disk NAME: nvme, virtio-blk, ahci, usb-storage or nothing
kind_of_disk() {
	bdf=$(pci_of "/sys/block/$1/device")
	case $1:$(driver_of "${bdf:-none}") in
	nvme*:nvme) echo nvme ;;
	vd*:virtio-pci) echo virtio-blk ;;
	sd*:ahci) echo ahci ;;
	sd*:xhci_hcd) echo usb-storage ;;
	esac
}

# A disk that may be overwritten: named, or empty and nobody's.
may_write() {
	case " $DMA_TEST_DISKS " in
	*" $1 "*) return 0 ;;
	*" auto "*) ;;
	*) return 1 ;;
	esac
	[ -z "$(ls "/sys/block/$1/holders")" ] || return 1
	[ -z "$(ls -d "/sys/block/$1/$1"* 2>/dev/null)" ] || return 1
	! grep -q "^/dev/$1" /proc/mounts
}

# disk_of_kind KIND: the first disk of that kind that may be overwritten
disk_of_kind() {
	for block in /sys/block/*; do
		disk=${block##*/}
		[ "$(kind_of_disk "$disk")" = "$1" ] || continue
		may_write "$disk" || continue
		echo "$disk"
		return
	done
}

# disk_behind BDF: the disk of that PCI device
disk_behind() {
	for block in /sys/block/*; do
		[ "$(pci_of "$block/device")" = "$1" ] || continue
		[ "$(cat "$block/size")" -gt 0 ] || continue
		echo "${block##*/}"
		return 0
	done
	return 1
}

# net_of_driver DRIVER: the first interface of that driver
net_of_driver() {
	for net in /sys/class/net/*; do
		[ -e "$net/device" ] || continue
		[ "$(basename "$(readlink -f "$net/device/driver")")" = "$1" ] || continue
		echo "${net##*/}"
		return
	done
}

# net_behind BDF
net_behind() {
	for net in /sys/class/net/*; do
		[ -e "$net/device" ] || continue
		[ "$(pci_of "$net/device")" = "$1" ] || continue
		echo "${net##*/}"
		return 0
	done
	return 1
}

# quick_io DISK: is the disk well?
quick_io() {
	timeout 60 "$DIR/dma_disk" verify "/dev/$1" 2097152
}

# io_start DISK: load in the background until io_stop
io_start() {
	before=$(cat "/sys/block/$1/stat")
	"$DIR/dma_disk" load "/dev/$1" > "$TMP/load" 2>&1 &
	io_pid=$!
	within 20 io_moves "$1" "$before"
}

io_moves() {
	[ "$(cat "/sys/block/$1/stat")" != "$2" ]
}

io_runs() {
	kill -0 "$io_pid" 2>/dev/null
}

io_stop() {
	kill "$io_pid" 2>/dev/null
	wait "$io_pid" 2>/dev/null
	return 0
}

# net_url IFACE: bring it up unless it is; print where the file server is
net_url() {
	if [ -n "${DMA_TEST_URL:-}" ]; then
		echo "$DMA_TEST_URL"
	elif ip -4 addr show dev "$1" | grep -q inet && [ -s "$TMP/url.$1" ]; then
		cat "$TMP/url.$1"
	else
		net-up "$1" > "$TMP/url.$1" && cat "$TMP/url.$1"
	fi
}

net_down() {
	rm -f "$TMP/url.$1"
	ip link set "$1" down
}

# fetch_file IFACE: get a file, compare its checksum; the same for each
fetch_file() {
	url=$(net_url "$1") || { echo "no network on $1"; return 1; }
	timeout 60 wget -q -O "$TMP/blob.new" "$url/blob" || return 1
	want=$(timeout 20 wget -q -O - "$url/blob.sha256")
	sum=$(sha256sum < "$TMP/blob.new")
	echo "received ${sum%% *}, should be $want"
	[ -n "$want" ] && [ "${sum%% *}" = "$want" ] && mv "$TMP/blob.new" "$TMP/blob"
}

# post FILE URL: some wget, busybox's among them, cannot send a file
post() {
	size=$(wc -c < "$1")
	host=${2#http://}
	path=/${host#*/} host=${host%%/*}
	{
		printf 'POST %s HTTP/1.0\r\nHost: %s\r\n' "$path" "$host"
		printf 'Content-Length: %s\r\n\r\n' "$size"
		cat "$1"
	} | timeout 60 nc "${host%:*}" "${host#*:}" | sed '1,/^\r*$/d'
}

# send_file IFACE: send the beginning of it back, compare checksums
send_file() {
	url=$(net_url "$1") || { echo "no network on $1"; return 1; }
	# Emulated networks take about a second for a MiB in this direction.
	head -c 524288 "$TMP/blob" > "$TMP/part"
	back=$(post "$TMP/part" "$url/sha256")
	sum=$(sha256sum < "$TMP/part")
	echo "sent ${sum%% *}, arrived $back"
	[ -n "$back" ] && [ "${sum%% *}" = "$back" ]
}

# fetch_part IFACE: the beginning of the file, compared with what $TMP/blob has
fetch_part() {
	url=$(net_url "$1") || { echo "no network on $1"; return 1; }
	head -c 1048576 "$TMP/blob" > "$TMP/part.$1"
	timeout 60 wget -q -O - "$url/blob" 2> /dev/null | head -c 1048576 |
		cmp - "$TMP/part.$1"
}

# group_type BDF: DMA, DMA-FQ, identity, ...
group_type() {
	cat "$PCI/$1/iommu_group/type"
}

# load_translated BDF MODULE: its driver, without which some devices are in no
# group; skips the test unless an IOMMU translates for the device
load_translated() {
	load_module "$2" || skip_all "the module $2 cannot be loaded"
	case $(group_type "$1" 2> /dev/null) in
	DMA | DMA-FQ) return ;;
	esac
	rmmod "$2"
	skip_all "no IOMMU translates for the device"
}

# unbind BDF; bind BDF DRIVER
unbind() {
	driver=$(driver_of "$1")
	[ -n "$driver" ] && echo "$1" > "/sys/bus/pci/drivers/$driver/unbind"
}

bind() {
	echo "$1" > "/sys/bus/pci/drivers/$2/bind"
}

# spare_device: a PCI device that may be taken for a while: DMA_TEST_DEVICE names
# one, or there is an edu device, which nobody misses
spare_device() {
	if [ -n "${DMA_TEST_DEVICE:-}" ]; then
		echo "$DMA_TEST_DEVICE"
	else
		edu_device
	fi
}

# lend BDF DRIVER: give a device to a driver that is not its own
lend() {
	lent_from=$(driver_of "$1")
	[ -z "$lent_from" ] || unbind "$1"
	echo "$2" > "$PCI/$1/driver_override"
	echo "$1" > /sys/bus/pci/drivers_probe
	[ "$(driver_of "$1")" = "$2" ] || { echo "$2 does not take $1"; return 1; }
}

# lend_back BDF: and to the one it had before
lend_back() {
	unbind "$1"
	echo > "$PCI/$1/driver_override"
	[ -z "$lent_from" ] || bind "$1" "$lent_from"
}

# load_module NAME PARAMETERS...
load_module() {
	module=$1
	shift
	grep -q "^$module " /proc/modules && rmmod "$module"
	for path in "$DIR/test_modules/$module.ko" "$DIR/$module.ko"; do
		[ -e "$path" ] || continue
		insmod "$path" "$@" && has_device "$module"
		return
	done
	modprobe "$module" "$@" && has_device "$module"
}

# has_device MODULE: without an IOMMU, memory may be out of reach of the edu
# device; then its driver does not take it, and there is nothing to test.
has_device() {
	[ "$1" = dma_edu ] && [ -z "$(ls /sys/kernel/iommu_groups 2>/dev/null)" ] || return 0
	! ls -d /sys/kernel/debug/dma_edu/*:* > /dev/null 2>&1 || return 0
	rmmod dma_edu
	return 1
}

# edu_device: the first edu device
edu_device() {
	for device in "$PCI"/*; do
		[ "$(cat "$device/vendor"):$(cat "$device/device")" = 0x1234:0x11e8 ] ||
			continue
		echo "${device##*/}"
		return 0
	done
	return 1
}

# guard: granules that the layer leaves unmapped behind every mapping
guard() {
	sed -n 's/.*\biommu\.dma_guard=\([0-9]*\).*/\1/p' /proc/cmdline | grep . || echo 0
}

# watch_start: a watch on the edu device's domain; see dma_watch_core.c
watch_start() {
	load_module dma_edu && load_module dma_watch "device=$bdf" "guard=$(guard)" &&
		return
	watch_stop
	return 1
}

# watch_stop: before the domain changes, the watch has to go
watch_stop() {
	! grep -q '^dma_watch ' /proc/modules || rmmod dma_watch
	! grep -q '^dma_edu ' /proc/modules || rmmod dma_edu
}

# op MODULE-DIR WORD...: run one operation of a test module, show what it says
op() {
	where=$1
	shift
	echo "$*" > "$where/run" || return 1
	cat "$where/result" > "$TMP/result"
	cat "$TMP/result"
	read -r verdict < "$TMP/result"
	case $verdict in
	ok) return 0 ;;
	skip) return 4 ;;
	esac
	return 1
}

# try_op NAME MODULE-DIR WORD...: an operation as a test
try_op() {
	name=$1
	shift
	op "$@" > "$TMP/out" 2>&1
	code=$?
	sed '1d; s/^/# /' "$TMP/out"
	case $code in
	0) ktap_test_pass "$name" ;;
	4) ktap_test_skip "$name" ;;
	*)
		head -n 1 "$TMP/out" | sed 's/^/# /'
		ktap_test_fail "$name"
		;;
	esac
}

# Faults that any IOMMU driver has reported so far.
iommu_faults() {
	dmesg | grep -c -E 'event(: F_TRANSLATION| 0x10 received)|DMAR: \[DMA (Write|Read)|AMD-Vi: Event logged \[IO_PAGE_FAULT|virtio_iommu.* page fault'
}

# Interrupts by which the IOMMU tells of faults; a virtio-iommu may have one that
# is named like the device
fault_irqs() {
	virtio=$(ls /sys/bus/virtio/drivers/virtio_iommu 2> /dev/null | grep virtio)
	awk "/arm-smmu-v3-evtq|dmar[0-9]|${virtio:-none}(-event|,|\$)/"' {
		for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i }
		END { print n + 0 }' /proc/interrupts
}

# faults_setup: allocations can be made to fail, those that may sleep, too, and of
# single pages; without a trace each
faults_setup() {
	for fault in failslab fail_page_alloc; do
		dir=/sys/kernel/debug/$fault
		[ -d $dir ] || return 1
		echo 0 > $dir/verbose
		echo N > $dir/ignore-gfp-wait
		echo 0 > $dir/probability
	done
	echo 0 > /sys/kernel/debug/fail_page_alloc/min-order
	echo N > /sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem
}

finish() {
	rm -rf "$TMP"
	ktap_finished
}
