#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Cameras: the driver video-edu lets a device write frames by its own DMA, into
# buffers of the driver's, of user space and of other drivers. The device takes
# one address for a frame, so memory that is scattered has to become one segment:
# behind an IOMMU it does, without one it is refused with an error that says so.
#
# The first edu device is used behind the IOMMU; a second one, if there is one
# and it takes addresses of 40 bits (edu,dma_mask=0xffffffffff), also without.
. "$(dirname "$0")/lib.sh"

QUEUE="videobuf2-common videobuf2-memops videobuf2-v4l2 videobuf2-dma-contig"
WIDE=40
# Where in its first page a program's buffer may begin at worst
case $(uname -m) in
x86_64) odd=4088 ;;
*) odd=1280 ;;
esac

# is_loaded NAME
is_loaded() {
	grep -q "^$(echo "$1" | tr - _) " /proc/modules
}

# load_video PARAMETERS...: the driver, and what it needs unless there is modprobe
load_video() {
	! is_loaded video-edu || rmmod video_edu
	if [ ! -e "$DIR/test_modules/video-edu.ko" ]; then
		modprobe video-edu "$@"
		return
	fi
	for module in $QUEUE; do
		[ -e "$DIR/test_modules/$module.ko" ] && ! is_loaded "$module" || continue
		insmod "$DIR/test_modules/$module.ko" || return 1
	done
	insmod "$DIR/test_modules/video-edu.ko" "$@"
}

# Leaves nothing behind; fails when something still holds a module.
unload_video() {
	! is_loaded video-edu || rmmod video_edu || return 1
	for module in videobuf2-dma-contig videobuf2-v4l2 videobuf2-memops videobuf2-common; do
		[ ! -e "$DIR/test_modules/$module.ko" ] || ! is_loaded $module ||
			rmmod "$(echo $module | tr - _)" || return 1
	done
}

# edu_devices: all of them
edu_devices() {
	for device in "$PCI"/*; do
		[ "$(cat "$device/vendor"):$(cat "$device/device")" = 0x1234:0x11e8 ] ||
			continue
		echo "${device##*/}"
	done
}

# video_of BDF: its video device
video_of() {
	for device in "$PCI/$1"/video4linux/video*; do
		[ -e "$device" ] || return 1
		echo "/dev/${device##*/}"
		return
	done
}

# capture ARGUMENTS...
capture() {
	timeout 100 "$DIR/dma_video" "$@"
}

# compliance: v4l2-compliance, frames and all. It puts a USERPTR buffer 8 bytes
# before the end of a page, whatever the machine; videobuf2 takes whole cache lines
# only where an architecture asks for that. Then the driver does not offer USERPTR.
compliance() {
	exporter=
	want="MMAP (select)|read/write"
	[ -z "$second" ] || want="$want|DMABUF (select)"
	if [ $odd = 4088 ]; then
		want="$want|USERPTR (select)"
	else
		load_video userptr=0 || return 1
	fi
	[ -z "$second" ] || exporter="-e $(video_of "$second")"
	preload=
	[ ! -e "$DIR/dma_preload.so" ] || preload=LD_PRELOAD=$DIR/dma_preload.so
	timeout 200 env $preload v4l2-compliance -d "$(video_of "$bdf")" $exporter -s2 \
		> "$TMP/compliance" 2>&1
	status=$?
	[ $odd = 4088 ] || load_video || return 1
	grep -E 'FAIL|fail:|warn:|^Total' "$TMP/compliance"
	[ $status = 0 ] && grep -q '^Total .* Failed: 0,' "$TMP/compliance" || return 1
	# With less to test it would pass, too.
	(IFS="|"; for what in $want; do
		grep -F "$what: OK" "$TMP/compliance" | grep -v "Not Supported" ||
			{ echo "not tested: $what"; exit 1; }
	done)
}

# The driver's device is taken away while frames come.
unbind_streaming() {
	# Not capture(): its timeout would be what is waited for.
	"$DIR/dma_video" "$video" forever > "$TMP/forever" 2>&1 &
	capture_pid=$!
	within 60 grep -q "frames come" "$TMP/forever" || { cat "$TMP/forever"; return 1; }
	echo "$bdf" > "$PCI/$bdf/driver/unbind"
	kill -USR1 $capture_pid
	wait $capture_pid
	status=$?
	cat "$TMP/forever"
	[ $status = 0 ] || return 1
	[ -z "$(driver_of "$bdf")" ] && [ -z "$(video_of "$bdf")" ] || return 1
	bind "$bdf" video-edu || return 1
	capture "$(video_of "$bdf")" udmabuf
}

# refused MESSAGE ARGUMENTS...: the driver does not take the memory, and says why
refused() {
	message=$1
	shift
	mark="dma video.sh $$ $message"
	echo "$mark" > /dev/kmsg
	capture -r "$@" || return 1
	dmesg | sed "1,/$mark/d" | grep "$message" || { echo "no '$message'"; return 1; }
}

iommu_tests() {
	if command -v v4l2-compliance > /dev/null; then
		try "v4l2-compliance, with streaming" compliance
	else
		skip "v4l2-compliance, with streaming" "there is no v4l2-compliance"
	fi
	video=$(video_of "$bdf")
	try "memory of the driver's" capture -n 4 "$video" mmap
	try "memory of the driver's, 75 KiB" capture -s 320x240 -n 1 "$video" mmap
	try "read" capture "$video" read
	try "scattered pages of a program" capture -n 4 "$video" userptr
	try "the same, from the middle of a page" capture -s 160x120 -o $odd "$video" userptr
	try "DMA-BUF of scattered pages" capture -n 4 "$video" udmabuf
	try "the same, the last one in part" capture -s 160x120 "$video" udmabuf
	try "the same, 75 KiB" capture -s 320x240 -n 1 "$video" udmabuf
	try "DMA-BUF of the system heap" capture "$video" heap
	try "DMA-BUF of its own" capture "$video" "$video"
	if [ -n "$second" ]; then
		try "DMA-BUF of another camera" capture "$video" "$(video_of "$second")"
	else
		skip "DMA-BUF of another camera" "there is one edu device"
	fi
	try "a stop in mid-frame" capture "$video" stop
	try "unbound while frames come" unbind_streaming
}

# identity BDF: without an IOMMU, as far as the device can tell
identity() {
	unload_video || return 1
	echo identity > "$PCI/$1/iommu_group/type" || return 1
	[ "$(group_type "$1")" = identity ] || return 1
	load_video mask_bits=$WIDE || return 1
	[ -n "$(video_of "$1")" ]
}

back() {
	unload_video || return 1
	echo "$2" > "$PCI/$1/iommu_group/type"
	[ "$(group_type "$1")" = "$2" ] || return 1
	load_video && capture "$(video_of "$1")" udmabuf
}

direct_tests() {
	if [ -z "$second" ]; then
		for what in identity mmap udmabuf userptr "udmabuf, and videobuf2 looks" back; do
			skip "without an IOMMU: $what" "there is no second edu device"
		done
		return
	fi
	type_before=$(group_type "$second")
	try "without an IOMMU: identity" identity "$second"
	video=$(video_of "$second")
	try "without an IOMMU: mmap" capture "$video" mmap
	try "without an IOMMU: udmabuf" \
		refused "Error getting dmabuf scatterlist" -s 320x240 "$video" udmabuf
	try "without an IOMMU: userptr" \
		refused "failed to map scatterlist" -s 320x240 "$video" userptr
	load_video mask_bits=$WIDE contiguous=0
	video=$(video_of "$second")
	try "without an IOMMU: udmabuf, and videobuf2 looks" \
		refused "contiguous chunk is too small" -s 320x240 "$video" udmabuf
	try "without an IOMMU: back" back "$second" "$type_before"
}

need_root
[ -x "$DIR/dma_video" ] || skip_all "dma_video is not built"
bdf=$(edu_device) || skip_all "no edu device"
second=$(edu_devices | sed -n 2p)
load_video || skip_all "the module video-edu cannot be loaded"
# Where a device tree describes the machine, a device has a group when it has had
# a driver.
case $(group_type "$bdf" 2>/dev/null) in
DMA*) ;;
*)
	unload_video
	skip_all "no IOMMU translates for the edu device"
	;;
esac

faults=$(fault_irqs)
ktap_print_header
ktap_set_plan 22
iommu_tests
direct_tests
try "the IOMMU had nothing to stop" test "$(fault_irqs)" -eq "$faults"
try "all modules go" unload_video
finish
