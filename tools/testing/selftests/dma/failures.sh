#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Each allocation of memory fails in turn: in mappings of pages and lists, in
# allocations, when a driver is bound and when a group changes its type. Each is
# refused cleanly or done, works right after, leaves nothing mapped, no page and no
# memory behind (module dma_edu, program dma_fail, and kmemleak if it is on). A
# warning of the kernel's is the end of it. Pages and lists of the plain kind, where
# tables and address space are what needs memory, are in exhaust.sh.
. "$(dirname "$0")/lib.sh"

need_root
bdf=$(edu_device) || skip_all "no edu device"
[ -x "$DIR/dma_fail" ] || skip_all "dma_fail is not built"
load_module dma_edu || skip_all "the module dma_edu cannot be loaded"
edu=/sys/kernel/debug/dma_edu/$bdf
type=$PCI/$bdf/iommu_group/type
case $(group_type "$bdf" 2> /dev/null) in
DMA | DMA-FQ) ;;
*) skip_all "no IOMMU translates for the device" ;;
esac
faults_setup || skip_all "the kernel cannot make allocations fail"
kmemleak=/sys/kernel/debug/kmemleak
marks=0

# What was not freed before is not for us to find. It is looked at twice, as what is
# on its way from one place to another may be seen in neither.
leaks_begin() {
	echo scan > $kmemleak 2> /dev/null || return 1
	sleep 1
	echo scan > $kmemleak
	echo clear > $kmemleak
}

# What is younger than five seconds is not looked at.
leaks_none() {
	sleep 6
	echo scan > $kmemleak && echo scan > $kmemleak || return 1
	cat $kmemleak
	! grep -q . $kmemleak
}

# in_domain TYPE: the group gets another domain of that type; the driver is gone
# meanwhile
in_domain() {
	! grep -q '^dma_edu ' /proc/modules || rmmod dma_edu
	[ "$(cat "$type")" != "$1" ] || echo identity > "$type" || return 1
	echo "$1" > "$type" && [ "$(cat "$type")" = "$1" ]
}

# works: the device moves bytes, wherever the group had got to
works() {
	if ! grep -q '^dma_edu ' /proc/modules; then
		case $(cat "$type") in
		DMA | DMA-FQ) ;;
		*) in_domain "$first" || return 1 ;;
		esac
		load_module dma_edu managed=1 || return 1
	fi
	if [ ! -e "$edu" ] && unusable; then
		in_domain "$first" && load_module dma_edu managed=1 || return 1
	fi
	# The driver does without debugfs if there is no memory for it.
	if [ ! -e "$edu/run" ] && [ "$(driver_of "$bdf")" = dma_edu ]; then
		unbind "$bdf" && bind "$bdf" dma_edu || return 1
	fi
	op "$edu" pool
}

# unusable: the kernel has said since the mark that there is a domain, but no memory
# for what is needed to use it: who sets a type is told of the former only
unusable() {
	dmesg | sed -n "/$mark\$/,\$p" |
		grep "$bdf.*its IOMMU domain cannot be used for DMA"
}

# mark: what the kernel says from now on
mark() {
	marks=$((marks + 1))
	mark="failures-$$-$marks"
	echo "$mark" > /dev/kmsg
}

# cold KIND...: the first call in a new domain, where nothing is there yet
cold() {
	nth=0
	while :; do
		nth=$((nth + 1))
		# Without an interrupt, whose doorbell would be mapped before.
		in_domain "$first" && load_module dma_edu managed=1 &&
			op "$edu" failat $nth "$@" > "$TMP/cold" || {
			cat "$TMP/cold"
			return 1
		}
		grep -q "allocation $nth failed" "$TMP/cold" || break
	done
	echo "$((nth - 1)) allocations failed"
	[ $nth -gt 1 ]
}

# switch FROM TO: the group's type is set
switch() {
	nth=0
	while :; do
		nth=$((nth + 1))
		in_domain "$1" || return 1
		[ "$1:$2" != DMA:DMA-FQ ] || load_module dma_edu || return 1
		mark
		"$DIR/dma_fail" $nth "$type" "$2"
		status=$?
		is=$(cat "$type")
		case $status:$is in
		0:$2 | 10:$1 | 11:$2) ;;
		*)
			echo "type is $is"
			return 1
			;;
		esac
		works || return 1
		[ $status != 0 ] || break
	done
	echo "$((nth - 1)) allocations failed"
	[ $nth -gt 1 ]
}

# renew: the device is taken from its bus and found again
renew() {
	! grep -q '^dma_edu ' /proc/modules || rmmod dma_edu
	echo 1 > "$PCI/$bdf/remove" && echo 1 > /sys/bus/pci/rescan &&
		[ -e "$PCI/$bdf" ]
}

# bind_new: for some devices, that is when they get their group and domain
bind_new() {
	nth=0
	while :; do
		nth=$((nth + 1))
		renew && load_module dma_edu managed=1 && unbind "$bdf" || return 1
		mark
		"$DIR/dma_fail" $nth /sys/bus/pci/drivers/dma_edu/bind "$bdf"
		status=$?
		case $status in
		0 | 11) ;;
		10) bind "$bdf" dma_edu || return 1 ;;
		*) return 1 ;;
		esac
		works || return 1
		[ $status != 0 ] || break
	done
	echo "$((nth - 1)) allocations failed"
	[ $nth -gt 1 ]
}

ktap_print_header
ktap_set_plan 24
first=$(cat "$type")
panic=$(cat /proc/sys/kernel/panic_on_warn)
if leaks_begin; then leaks=1; else leaks=; fi
echo 1 > /proc/sys/kernel/panic_on_warn

try_op "a list as one segment" "$edu" fail list whole one
try_op "a list as one segment, with copies" "$edu" fail list mixed one
try_op "the same, at odd addresses" "$edu" fail list odd one
try_op "a list as several segments" "$edu" fail list mixed plain
try_op "another mask" "$edu" fail mask
try_op "coherent memory" "$edu" fail coherent
try_op "coherent memory, page by page" "$edu" fail pagewise
try_op "coherent memory that is contiguous" "$edu" fail contiguous
try_op "memory that is not contiguous" "$edu" fail noncontiguous
try_op "pages" "$edu" fail pages
try_op "unmapping a list with copies" "$edu" failunmap list odd one
rmmod dma_edu

load_module dma_edu untrusted=1
try_op "bounced: a part of a page" "$edu" fail page single
try_op "bounced: a list" "$edu" fail list mixed plain
try_op "bounced: a list as one segment" "$edu" fail list odd one
try_op "bounced: unmapping" "$edu" failunmap list mixed plain
rmmod dma_edu

try "the first page in a domain" cold page whole
try "the first list with copies" cold list odd one
try "identity to strict" switch identity DMA
try "identity to deferred" switch identity DMA-FQ
try "strict to identity" switch DMA identity
try "strict to deferred, with a driver" switch DMA DMA-FQ
try "a driver is bound to a new device" bind_new
in_domain "$first"
try "the device works" works
! grep -q '^dma_edu ' /proc/modules || rmmod dma_edu
if [ -n "$leaks" ]; then
	try "kmemleak finds nothing" leaks_none
else
	skip "kmemleak finds nothing" "kmemleak is not on"
fi
echo "$panic" > /proc/sys/kernel/panic_on_warn
finish
