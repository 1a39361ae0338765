#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Lists that a device can rely on: as one segment or as several, of any shape,
# within every limit, refused where they have to be; checked by a device's own DMA
# (QEMU's edu, module dma_edu, dma_edu_list.c and dma_edu_limit.c).
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
load_module dma_edu || skip_all "the module dma_edu cannot be loaded"
edu=/sys/kernel/debug/dma_edu/$bdf
# A kernel without lists as one segment does not know the operation.
echo largest 2> /dev/null > "$edu/run" ||
	{ rmmod dma_edu; skip_all "this kernel has no lists as one segment"; }

marks=0

# said TEXT COMMAND...: the command succeeds, and the kernel has said that of the
# device; with TEXT "-", nothing
said() {
	text=$1
	shift
	marks=$((marks + 1)) mark="list-$$-$marks"
	echo "$mark" > /dev/kmsg
	"$@" || return
	dmesg | sed -n "/$mark/,\$p" | sed 1d > "$TMP/said"
	grep "$bdf.*DMA" "$TMP/said" | sort | uniq -c
	if [ "$text" = - ]; then
		! grep -q "$bdf.*DMA" "$TMP/said"
	else
		grep -q "$bdf: $text" "$TMP/said"
	fi
}

# edu_devices: all of them
edu_devices() {
	for device in "$PCI"/*; do
		[ "$(cat "$device/vendor"):$(cat "$device/device")" != 0x1234:0x11e8 ] ||
			echo "${device##*/}"
	done
}

# room: how many pages fit
room() {
	op "$edu" room > /dev/null &&
		sed -n 's/^\([0-9]*\) pages fit$/\1/p' "$TMP/result"
}

# fragment: the error says what was asked for, the limit, and a largest free range
# that is too small
fragment() {
	said "no DMA address for " op "$edu" fragment || return
	size=$(sed -n 's/^refused \([0-9]*\) bytes$/\1/p' "$TMP/result")
	words=$(sed -n 's/.*no DMA address for \([0-9]*\) bytes up to 0xffffff, largest free range is \([0-9]*\) bytes.*/\1 \2/p' \
		"$TMP/said" | tail -n 1)
	echo "asked for $size, the kernel says: $words"
	asked=${words% *} largest=${words#* }
	[ -n "$words" ] && [ "$asked" -ge "$size" ] && [ "$largest" -gt 0 ] &&
		[ "$largest" -lt "$((asked + $(guard) * 4096))" ]
}

# same_room BEFORE
same_room() {
	now=$(room)
	echo "$1 pages fitted before, $now fit now"
	[ -n "$1" ] && [ "$1" = "$now" ]
}

refusals() {
	# First: afterwards the kernel may be silent for having said it often.
	try "refused in silence" quiet
	try "no bytes at all" said "DMA map.*is empty" op "$edu" refuse empty
	try "an entry without a page" said "DMA map.*not memory" op "$edu" refuse page
	try "an entry that is not memory" said "DMA map.*not memory" op "$edu" refuse ram
	try "more bytes than 32 bits count" said "DMA map.*cannot be one segment" op "$edu" refuse overflow
	try "more than the address space" said "no DMA address for" op "$edu" refuse space
	try "longer than a segment may be" said "DMA map.*cannot be one segment" op "$edu" refuse max
	try "across a boundary" said "DMA map.*cannot be one segment" op "$edu" refuse boundary
}

# packet BYTES: write and read back
packet() {
	head -c "$1" /dev/urandom > "$TMP/packet"
	dd if="$TMP/packet" of="$example" bs="$1" count=1 2> /dev/null || return
	dd if="$example" of="$TMP/back" bs=4096 count=1 2> /dev/null || return
	cmp "$TMP/packet" "$TMP/back"
}

refused_packet() {
	! packet "$1" && packet 500
}

packets() {
	for bytes; do
		packet "$bytes" || { echo "$bytes bytes"; return 1; }
	done
}

# with_identity BDF: the device reaches memory as it is
with_identity() {
	echo identity > "$PCI/$1/iommu_group/type" &&
		load_module dma_edu mask_bits=40
}

# quiet: DMA_ATTR_NO_WARN
quiet() {
	for case in empty page ram overflow max boundary; do
		said - op "$edu" refuse $case quiet || return
	done
}

ktap_print_header
ktap_set_plan 47
try_op "by the device's parameter: scattered pages" "$edu" one device pages both
try_op "by the device's parameter: halves of granules" "$edu" one device halves both
try_op "by the call: whole pages" "$edu" one call whole both
try_op "by the call: scattered pages, twice" "$edu" one call pages from 2
try_op "by the call: small kmalloc() buffers" "$edu" one call pieces both
try_op "by the call: all kinds, to the device" "$edu" one call mixed to
try_op "by the call: all kinds, from the device" "$edu" one call mixed from
try_op "by the call: all kinds, both" "$edu" one call mixed both
try_op "by the call: odd addresses" "$edu" one call odd both
try_op "by the call: whole pages at other offsets" "$edu" one call shifted both
try_op "by the call: one piece of memory" "$edu" one call cut from
try_op "a list in parts" "$edu" one chained mixed to 2
try_op "as several: scattered pages" "$edu" plain pages to
try_op "as several: all kinds" "$edu" plain mixed both
try_op "as several: odd addresses" "$edu" plain odd from
try_op "every limit of a device" "$edu" limits
try_op "single mappings within every limit" "$edu" single
try_op "dma_max_contiguous_size()" "$edu" largest

before=$(room)
refusals
try_op "another device's memory" "$edu" peer
try "addresses in fragments" fragment
try "no address is lost" same_room "$before"
rmmod dma_edu

# The driver of the guide: a packet is a header of its own and the user's data
if load_module dma_example; then
	example=/dev/dma_example-$bdf
	try "the guide's example" packets 1 100 2999 3000
	try "the guide's example, more than it takes" refused_packet 3001
	rmmod dma_example
else
	skip "the guide's example" "its module cannot be loaded"
	skip "the guide's example, more than it takes" "its module cannot be loaded"
fi

if load_module dma_edu untrusted=1; then
	try_op "untrusted, by the device's parameter: all kinds" "$edu" one device mixed both
	try_op "untrusted, by the call: odd addresses" "$edu" one call odd to
	try_op "untrusted, by the call: small kmalloc() buffers" "$edu" one call pieces both
	try_op "untrusted, by the call: one entry" "$edu" one call single both
	try_op "untrusted, as several: all kinds" "$edu" plain mixed to
	try_op "untrusted, as several: odd addresses" "$edu" plain odd from
	try_op "untrusted, every limit of a device" "$edu" limits
	try_op "untrusted, single mappings within every limit" "$edu" single
	before=$(room)
	try_op "untrusted, an entry that is not memory" "$edu" refuse ram quiet
	try_op "untrusted, no bytes at all" "$edu" refuse empty quiet
	try "untrusted, no address is lost" same_room "$before"
	rmmod dma_edu
fi

# Without an IOMMU, an edu device that reaches all memory
wide=$(edu_devices | sed -n 2p)
type=$(group_type "${wide:-none}" 2> /dev/null)
if [ -n "$type" ] && with_identity "$wide"; then
	bdf=$wide edu=/sys/kernel/debug/dma_edu/$wide
	try_op "no IOMMU, by the device's parameter: one piece of memory" "$edu" one device cut both
	try_op "no IOMMU, by the call: one piece of memory" "$edu" one chained cut to
	try_op "no IOMMU, by the call: one entry" "$edu" one call single from
	try "no IOMMU, scattered" said "DMA map.*no IOMMU" op "$edu" scattered
	rmmod dma_edu
	try "no IOMMU, the guide's example" said ".*its packets need an IOMMU" load_module dma_example
	rmmod dma_example
else
	for what in "by the device's parameter: one piece of memory" \
		"by the call: one piece of memory" "by the call: one entry" "scattered" \
		"the guide's example"; do
		skip "no IOMMU, $what" "there is no second edu device behind an IOMMU"
	done
fi
[ -z "$type" ] || echo "$type" > "$PCI/$wide/iommu_group/type"
finish
