#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Bad drivers: what they do is refused or reported in one line with the device's
# name, the system goes on, and no other mapping of the device is hurt.
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
load_module dma_edu || skip_all "the module dma_edu cannot be loaded"
load_module dma_misuse "device=$bdf" ||
	{ rmmod dma_edu; skip_all "the module dma_misuse cannot be loaded"; }
edu=/sys/kernel/debug/dma_edu/$bdf
misuse=/sys/kernel/debug/dma_misuse

# What the kernel has said since the mark that reported() set.
said() {
	dmesg | sed -n "/$mark/,\$p" | sed 1d
}

# reported FEWEST MOST CASE: the case passes, with so many lines about it, which
# are about an unmap, or what is in $about
reported() {
	mark="misuse-$3-$$"
	echo "$mark" > /dev/kmsg
	op "$misuse" "$3"
	code=$?
	said > "$TMP/said"
	lines=$(grep -c -i "$bdf.*${about:-unmap}" "$TMP/said")
	echo "$lines lines with the device's name, $1 to $2 expected:"
	cat "$TMP/said"
	[ $code = 0 ] || return $code
	[ "$lines" -ge "$1" ] && [ "$lines" -le "$2" ] &&
		! grep -q -E 'WARNING|BUG|Call [Tt]race|cut here' "$TMP/said"
}

try_reported() {
	name=$1
	shift
	reported "$@" > "$TMP/out" 2>&1
	code=$?
	case $code in
	0) ktap_test_pass "$name" ;;
	4)
		sed -n '2s/^/# /p' "$TMP/out"
		ktap_test_skip "$name"
		;;
	*)
		sed 's/^/# /' "$TMP/out"
		ktap_test_fail "$name"
		;;
	esac
}

ktap_print_header
ktap_set_plan 27
try_op "mappings that must survive" "$edu" hold
try_reported "no bytes" 0 0 zero
try_reported "too many bytes" 0 0 overflow
try_reported "beyond the last address" 0 0 wrap
try_reported "no room within the mask" 0 0 mask
try_reported "lists of nothing and of too much" 0 0 list
try_reported "no direction" 0 0 direction
try_reported "attributes that do not exist" 0 0 attrs
try_op "those mappings after this" "$edu" held
# Five of the six ask for cache maintenance, if the device needs any.
read -r lines < $misuse/syncs
about="DMA sync of" try_reported "sync of what is not mapped" "$lines" "$lines" sync
try_reported "unmap of what was never mapped" 1 1 unmap_nowhere
try_reported "unmap twice" 1 1 unmap_twice
try_reported "unmap of a large one twice" 1 1 unmap_large_twice
try_reported "unmap of more than was mapped" 1 1 unmap_more
try_reported "unmap of neighbours too" 1 1 unmap_live_more
try_reported "unmap of less than was mapped" 1 1 unmap_less
try_reported "unmap in the middle" 1 1 unmap_inside
try_reported "unmap of a list never mapped" 1 1 unmap_list
try_reported "unmap of a resource never mapped" 1 1 unmap_resource
try_reported "unmap of no bytes" 1 1 unmap_zero
# The kernel says so ten times in five seconds and no more.
sleep 5
try_reported "unmap of everything" 1 3 unmap_huge
try_reported "coherent memory freed twice" 2 2 free_twice
about="DMA free of" try_reported "the same, and its address is somebody else's" 3 3 free_reused
try_reported "more coherent memory freed than there is" 2 2 free_more
try_reported "unmap by two at once" 1 200 unmap_race
try_op "those mappings after all" "$edu" held
try_op "and they can be unmapped" "$edu" release
rmmod dma_misuse
rmmod dma_edu
finish
