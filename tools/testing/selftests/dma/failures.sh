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
load_translated "$bdf" dma_edu
edu=/sys/kernel/debug/dma_edu/$bdf
type=$PCI/$bdf/iommu_group/type
driver=/sys/bus/pci/drivers/dma_edu
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

# What follows is done hundreds of times: no programs are started for it.
edu_bind() {
	[ -e "$driver/$bdf" ] || echo "$bdf" > $driver/bind
}

edu_unbind() {
	[ ! -e "$driver/$bdf" ] || echo "$bdf" > $driver/unbind
}

# in_domain TYPE: the group gets another domain of that type, with no driver
in_domain() {
	edu_unbind || return 1
	read -r is < "$type"
	[ "$is" != "$1" ] || echo identity > "$type" || return 1
	echo "$1" > "$type" && read -r is < "$type" && [ "$is" = "$1" ]
}

# told WORD...: run one operation of dma_edu; what it says is in its file "result"
told() {
	echo "$*" > "$edu/run" && read -r verdict < "$edu/result" && [ "$verdict" = ok ]
}

# room: how many pages fit into the space that the device has in these tests
room() {
	op "$edu" room > /dev/null && sed -n 's/^\([0-9]*\) pages fit$/\1/p' "$TMP/result"
}

# same_room BEFORE: what was refused has no addresses any more
same_room() {
	now=$(room)
	echo "$1 pages before, $now after"
	[ -n "$now" ] && [ "$now" = "$1" ]
}

# works: the device moves bytes, wherever the group has got to. There may be a domain
# and no memory for what is needed to use it: who sets the type is told of the domain,
# the log tells the rest, and the next type that is set works. Until then a driver is
# refused, or, where the firmware's tables are read but once, goes without.
works() {
	read -r is < "$type"
	[ "$is" != identity ] || in_domain "$first" || return 1
	edu_bind 2> /dev/null
	bound=$?
	if unusable; then
		in_domain "$first" && edu_bind || return 1
	elif [ $bound != 0 ]; then
		return 1
	fi
	# The driver does without debugfs if there is no memory for it.
	[ -e "$edu/run" ] && [ -e "$edu/result" ] || { edu_unbind && edu_bind; } ||
		return 1
	told pool || { cat "$edu/result"; return 1; }
}

unusable() {
	dmesg | sed -n "/$mark\$/,\$p" |
		grep "$bdf.*failed to set up IOMMU DMA"
}

# mark: what the kernel says from now on
mark() {
	marks=$((marks + 1))
	mark="failures-$$-$marks"
	echo "$mark" > /dev/kmsg
}

# count: after the last allocation of all; there have to be some
count() {
	echo "$((nth - 1)) allocations failed"
	[ $nth -gt 1 ]
}

# try_all NAME COMMAND...: as try, and says how many there were
try_all() {
	try "$@"
	sed -n 's/^\([0-9]* allocations failed\)$/# \1/p' "$TMP/out"
}

# cold KIND...: the first call in a new domain, where nothing is there yet; where
# $narrow says so, as many pages as before have to fit into that afterwards
cold() {
	nth=0
	while :; do
		nth=$((nth + 1))
		in_domain "$first" && edu_bind || return 1
		told failat $nth "$@" || { cat "$edu/result"; return 1; }
		grep -q "allocation $nth failed" "$edu/result" || break
		[ -z "$narrow" ] || same_room "$before" || return 1
	done
	count
}

# switch FROM TO: the group's type is set
switch() {
	nth=0
	while :; do
		nth=$((nth + 1))
		in_domain "$1" || return 1
		# This one is for a group at work.
		[ "$1:$2" != DMA:DMA-FQ ] || edu_bind || return 1
		mark
		"$DIR/dma_fail" $nth "$type" "$2"
		status=$?
		read -r is < "$type"
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
	count
}

# bind_driver: a driver with an interrupt, whose doorbell is the first to be mapped in
# a new domain. When that fails, the base's driver of arm64's interrupts loses the one it
# has chosen: from there on the device is without, and the driver waits by itself.
bind_driver() {
	nth=0
	while :; do
		nth=$((nth + 1))
		in_domain "$first" || return 1
		mark
		"$DIR/dma_fail" $nth $driver/bind "$bdf"
		status=$?
		case $status in
		0 | 10 | 11) works || return 1 ;;
		*) return 1 ;;
		esac
		[ $status != 0 ] || break
	done
	count
}

ktap_print_header
ktap_set_plan 28
first=$(cat "$type")
panic=$(cat /proc/sys/kernel/panic_on_warn)
if leaks_begin; then leaks=1; else leaks=; fi
echo 1 > /proc/sys/kernel/panic_on_warn

# So narrow that all of it can be looked at
rmmod dma_edu
load_module dma_edu mask_bits=24
before=$(room)
try_op "a list as one segment, with bounces" "$edu" fail list mixed one
try_op "the same, at odd addresses" "$edu" fail list odd one
try_op "coherent memory" "$edu" fail coherent
try_op "coherent memory, page by page" "$edu" fail pagewise
try_op "coherent memory that is contiguous" "$edu" fail contiguous
try_op "memory that is not contiguous" "$edu" fail noncontiguous
try_op "pages" "$edu" fail pages
try_op "unmapping a list with bounces" "$edu" failunmap list odd one
try "no address is lost" same_room "$before"
rmmod dma_edu

load_module dma_edu untrusted=1 mask_bits=24
before=$(room)
try_op "bounced: a part of a page" "$edu" fail page single
try_op "bounced: a list" "$edu" fail list mixed plain
try_op "bounced: a list as one segment" "$edu" fail list odd one
try_op "bounced: unmapping" "$edu" failunmap list mixed plain
try "bounced: no address is lost" same_room "$before"
rmmod dma_edu

if in_domain DMA-FQ && load_module dma_edu untrusted=1 mask_bits=24; then
	before=$(room)
fi
try_op "deferred: coherent memory" "$edu" fail coherent
try_op "deferred, bounced: a list as one segment" "$edu" fail list odd one
try "deferred: no address is lost" same_room "$before"
rmmod dma_edu

# Without an interrupt, whose doorbell would be the first to be mapped
load_module dma_edu managed=1 mask_bits=24
in_domain "$first" && edu_bind
before=$(room)
narrow=1
try_all "the first page in a domain" cold page whole
narrow=
rmmod dma_edu
load_module dma_edu managed=1
try_all "the first page after another mask" cold mask
try_all "the first list" cold list mixed plain
try_all "the first list as one segment" cold list whole one
try_all "the first list with bounces" cold list odd one
try_all "identity to strict" switch identity DMA
try_all "identity to deferred" switch identity DMA-FQ
try_all "strict to identity" switch DMA identity
try_all "strict to deferred, with a driver" switch DMA DMA-FQ
rmmod dma_edu

bind="a driver is bound in a new domain"
if [ -d /sys/firmware/acpi ]; then
	skip "$bind" "ACPI loses count of its objects when memory fails"
else
	load_module dma_edu
	try_all "$bind" bind_driver
	rmmod dma_edu
fi
in_domain "$first"
if [ -n "$leaks" ]; then
	try "kmemleak finds nothing" leaks_none
else
	skip "kmemleak finds nothing" "kmemleak is not on"
fi
echo "$panic" > /proc/sys/kernel/panic_on_warn
finish
