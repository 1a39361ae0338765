#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Processors that go offline and come back, under maps and unmaps of all kinds from
# all of them. What is watched meanwhile is as in window.sh: no address is handed out
# before its flush, and none is lost.
#
# DMA_TEST_HOTPLUG=N: how many times one goes; 40 unless said otherwise.
. "$(dirname "$0")/lib.sh"

TIMES=${DMA_TEST_HOTPLUG:-40}

need_root
bdf=$(edu_device) || skip_all "no edu device"
set -- /sys/devices/system/cpu/cpu[1-9]*/online
[ -w "$1" ] || skip_all "no processor that can go offline"
watch_start || skip_all "the module dma_watch cannot be loaded"
watch=/sys/kernel/debug/dma_watch

# come_and_go FILE...: once for each processor
come_and_go() {
	for online in "$@"; do
		echo 0 > "$online" && echo 1 > "$online" || return 1
		gone=$((gone + 1))
	done
}

# under_load FILE...: while maps and unmaps go on; each load says whether all was well
under_load() {
	gone=0
	while [ $gone -lt "$TIMES" ]; do
		op "$watch" load 2 6 all 0 > "$TMP/load" &
		load=$!
		while kill -0 $load 2> /dev/null; do
			come_and_go "$@" || { wait $load; return 1; }
		done
		wait $load || { cat "$TMP/load"; return 1; }
	done
	echo "$gone times"
}

ktap_print_header
ktap_set_plan 2
try "processors go and come under maps and unmaps" under_load "$@"
grep times "$TMP/out" | sed 's/^/# /'
try_op "all of it, when they are back" "$watch" load 1 6 all 0
watch_stop
finish
