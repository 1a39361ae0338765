#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Everything at once, for as long as is asked for: disks, networks and edu devices
# move data that is checked, a driver maps and unmaps on all CPUs (module
# dma_soak), and meanwhile drivers come and go, devices are removed and found,
# groups change their mode, CPUs go offline, memory runs short and the machine
# falls asleep. Then all that was taken has to be back: addresses, translations, pages.
#
#   DMA_TEST_SOAK=SECONDS     for how long; without it nothing is done, as no
#                             machine that is needed for anything can bear it
#   DMA_TEST_SEED=N           where all choices come from
#   DMA_TEST_RATE=SECONDS     how long to measure each rate
#   DMA_TEST_SOAK_WITHOUT=".."  of: rebind remove type live load cpu memory sleep
#   DMA_TEST_SOAK_DEVICES=N   how many devices there have to be, at least
#
# With DMA_TEST_SOAK=0 only the rates are measured.
. "$(dirname "$0")/lib.sh"

NIGHT=$((8 * 3600))	# seconds
WANTED=50000000		# maps and unmaps in a night
NET_BYTES=1048576	# of a file that are received in a round
LOST_KB=2048		# what caches of CPUs may keep in the end, and threads take
SLABS_KB=16384		# what slabs may have grown by

need_root
[ -n "${DMA_TEST_SOAK:-}" ] ||
	skip_all "DMA_TEST_SOAK does not say for how many seconds"
[ -x "$DIR/dma_soak_disk" ] || skip_all "dma_soak_disk is not built"
SEED=${DMA_TEST_SEED:-$(od -A n -N 3 -t u4 /dev/urandom | tr -d ' ')}
RATE=${DMA_TEST_RATE:-4}
soak=/sys/kernel/debug/dma_soak

# ---- chance ----------------------------------------------------------------

# rnd END: the next number below END, in $rnd; no subshell, or it would be lost
rnd() {
	state=$(((state * 1103515245 + 12345) & 0x7fffffff))
	rnd=$(((state >> 8) % $1))
}

# pick WORD...: one of them, in $pick
pick() {
	rnd $#
	shift $rnd
	pick=$1
}

uptime_s() {
	read -r uptime rest < /proc/uptime
	uptime=${uptime%.*}
}

wanted() {
	case " ${DMA_TEST_SOAK_WITHOUT:-} " in
	*" $1 "*) return 1 ;;
	esac
}

# ---- the devices -----------------------------------------------------------

# A process costs much on an emulated processor, so none is used where the shell
# can look by itself.

# is_driver BDF DRIVER
is_driver() {
	[ -e "/sys/bus/pci/drivers/$2/$1" ]
}

# blocks_of BDF: where its disks are in sysfs, in $blocks; patterns if it has none
blocks_of() {
	blocks=$(echo "$PCI/$1"/nvme/nvme*/nvme*n1 "$PCI/$1"/virtio*/block/* \
		"$PCI/$1"/ata*/host*/target*/*/block/* \
		"$PCI/$1"/usb*/*/*/host*/target*/*/block/*)
}

# disk_of BDF: the disk behind it that is ready, in $disk, and its place in $block
disk_of() {
	blocks_of "$1"
	for block in $blocks; do
		disk=${block##*/}
		[ -b "/dev/$disk" ] && read -r size < "$block/size" &&
			[ "$size" -gt 0 ] && return
	done 2> /dev/null
	return 1
}

# no_disk BDF: what there is instead
no_disk() {
	echo "no disk; the driver of $1 is $(driver_of "$1")"
	blocks_of "$1"
	for block in $blocks; do
		[ ! -e "$block" ] ||
			echo "$block: $(cat "$block/size") sectors;" \
				"$(ls -l "/dev/${block##*/}" 2>&1)"
	done
}

# net_of BDF: its interface, in $iface
net_of() {
	for iface in "$PCI/$1"/net/* "$PCI/$1"/virtio*/net/*; do
		[ ! -e "$iface" ] || { iface=${iface##*/}; return 0; }
	done
	return 1
}

# type_of BDF: the type of its group, in $type
type_of() {
	read -r type < "$PCI/$1/iommu_group/type"
} 2> /dev/null

# class_of BDF: what can be done with it, in $class, and by which $driver
class_of() {
	for driver in nvme ahci xhci_hcd virtio-pci e1000e dma_edu; do
		is_driver "$1" $driver && break
	done
	class=
	is_driver "$1" $driver || return
	case $driver in
	e1000e) class=net ;;
	dma_edu)
		class=bare
		[ -n "$edu" ] || class=edu edu=$1 ;;
	*)
		if disk_of "$1"; then
			! may_write "$disk" || class=disk
		elif net_of "$1"; then
			class=net
		fi ;;
	esac
}

# The devices: a line each of BDF, driver, class, type of its group
find_devices() {
	edu=
	for path in "$PCI"/*; do
		bdf=${path##*/}
		type_of "$bdf" || continue
		case $type in DMA | DMA-FQ) ;; *) continue ;; esac
		class_of "$bdf"
		[ -z "$class" ] || echo "$bdf $driver $class $type"
	done > "$TMP/devices"
	devices=0
	while read -r bdf rest; do
		devices=$((devices + 1))
	done < "$TMP/devices"
	[ $devices -ge "${DMA_TEST_SOAK_DEVICES:-1}" ]
}

# device N: the one of that line, in $bdf, $driver, $class and $first
device() {
	at=0
	while read -r bdf driver class first; do
		[ $at != "$1" ] || return 0
		at=$((at + 1))
	done < "$TMP/devices"
	return 1
}

# Its group is its own: nobody else has to go for it to change.
alone() {
	set -- "$PCI/$1/iommu_group/devices"/*
	[ $# = 1 ]
}

is_ready() {
	is_driver "$bdf" "$driver" || return 1
	case $class in
	disk) disk_of "$bdf" ;;
	net) net_of "$bdf" ;;
	edu) [ -e "/sys/kernel/debug/dma_edu/$bdf/run" ] ;;
	esac
}

# leave: take $bdf from whoever has it, who is kept in $now; nobody has what was not
# given back to its driver, which was noted then
leave() {
	now=dma_soak
	is_driver "$bdf" dma_soak || now=$driver
	[ ! -e "$PCI/$bdf/driver" ] || echo "$bdf" > "/sys/bus/pci/drivers/$now/unbind"
}

# give DRIVER: bind $bdf to it, which may be dma_soak
give() {
	if [ "$1" = dma_soak ]; then
		echo dma_soak > "$PCI/$bdf/driver_override"
	else
		echo > "$PCI/$bdf/driver_override"
	fi
	is_driver "$bdf" "$1" || bind "$bdf" "$1" || return 1
	[ "$1" = dma_soak ] || within 60 is_ready
}

# What a worker finds wrong while its device is away is nobody's fault.
away() {
	echo "away $1" > "$TMP/gen.$bdf"
	[ "$class" != net ] || echo "away $1" > "$TMP/gen.net"
}

back() {
	echo "there $1" > "$TMP/gen.$bdf"
	[ "$class" != net ] || echo "there $1" > "$TMP/gen.net"
}

# ---- what happens to them ---------------------------------------------------

do_rebind() {
	leave || return 1
	sleep "0.$1"
	give "$now"
}

do_remove() {
	echo 1 > "$PCI/$bdf/remove" || return 1
	sleep "0.$1"
	echo 1 > /sys/bus/pci/rescan
	within 60 is_ready
}

do_type() {
	leave || return 1
	echo "$1" > "$PCI/$bdf/iommu_group/type"
	switched=$?
	type_of "$bdf"
	echo "type is $type"
	give "$now" && [ $switched = 0 ] && [ "$type" = "$1" ]
}

# Under load; AMD's IOMMU driver may have a reason to refuse it.
do_live() {
	echo DMA-FQ > "$PCI/$bdf/iommu_group/type" || return 1
	type_of "$bdf"
	[ "$type" = DMA-FQ ]
}

do_load() {
	leave || return 1
	give dma_soak
}

do_unload() {
	leave || return 1
	give "$driver"
}

# act WHAT COMMAND...: do it, note it, complain if it fails
act() {
	what=$1
	shift
	actions=$((actions + 1))
	uptime_s
	line="# $uptime $actor $actions: $what"
	echo "$line"
	echo "$line" >> "$TMP/actions"
	"$@" > "$TMP/act.$actor" 2>&1 && return
	{
		echo "$actor $actions: $what failed:"
		tail -n 8 "$TMP/act.$actor"
	} >> "$TMP/broken"
}

# do_idle: until the clock wakes the machine. A slow one may not sleep yet by then,
# and nothing would wake it: after what is written to wakeup_count, an alarm keeps it
# from falling asleep. The next one is to be later.
do_idle() {
	for seconds in 3 10 60; do
		read -r events < /sys/power/wakeup_count || return 1
		echo 0 > "$alarm" && echo +$seconds > "$alarm" || return 1
		echo "$events" > /sys/power/wakeup_count || continue
		! echo freeze > /sys/power/state || return 0
	done
	return 1
}

# do_sleep DEPTH: as far as that, some seconds, and awake again
do_sleep() {
	[ "$1" != idle ] || { do_idle; return; }
	echo "$1" > /sys/power/pm_test || return 1
	echo freeze > /sys/power/state
	status=$?
	echo none > /sys/power/pm_test
	return $status
}

# nvme freezes its queues when it goes to sleep, and they thaw in another task
# when it wakes: lockdep takes that for locks that were left held.
nvme_leave() {
	! is_driver "$bdf" nvme || { away $actions && leave; }
}

nvme_back() {
	[ "$driver" != nvme ] || is_driver "$bdf" dma_soak ||
		is_driver "$bdf" nvme || { give nvme && back $actions; }
}

# A disk behind a bus that has to be looked through again comes late.
awake() {
	! is_driver "$bdf" "$driver" || within 60 is_ready ||
		{ [ $class != disk ] || no_disk "$bdf"; return 1; }
}

# do_asleep COMMAND: connections may break meanwhile
do_asleep() {
	echo "away $actions" > "$TMP/gen.sleep"
	[ ! -e /proc/lockdep ] || each nvme_leave
	"$@"
	status=$?
	[ ! -e /proc/lockdep ] || each nvme_back || status=1
	each awake || status=1
	echo "there $actions" > "$TMP/gen.sleep"
	return $status
}

# To idle in earnest, if there is a clock that wakes the machine
sleep_step() {
	[ -e /sys/power/pm_test ] || return
	for alarm in /sys/class/rtc/rtc*/wakealarm ""; do
		[ ! -w "$alarm" ] || break
	done
	pick devices platform ${alarm:+idle}
	act "asleep, as far as $pick" do_asleep do_sleep "$pick"
}

# One thing that happens to one device
device_step() {
	rnd $devices
	device $rnd
	pick rebind type rebind type load load live remove type rebind sleep
	step=$pick
	rnd 10
	pause=$rnd
	pick DMA DMA-FQ identity DMA-FQ DMA
	to=$pick
	wanted $step || return
	[ $step != sleep ] || { sleep_step; return; }
	case $step in type | live) alone "$bdf" || return ;; esac
	# 28 bits of address do not reach memory, where nothing translates.
	[ $driver:$to != dma_edu:identity ] || to=DMA
	case $step in
	live)
		type_of "$bdf"
		[ "$type" = DMA ] || return
		act "$bdf ($driver) becomes deferred at work" do_live
		return ;;
	load)
		[ $class != edu ] || return
		away $actions
		if is_driver "$bdf" dma_soak; then
			act "$bdf back to $driver" do_unload
		else
			act "$bdf ($driver) to dma_soak" do_load
		fi ;;
	type)
		away $actions
		act "$bdf ($driver) becomes $to" do_type $to ;;
	*)
		away $actions
		act "$bdf ($driver): $step" do_$step $pause ;;
	esac
	! is_driver "$bdf" "$driver" || back $actions
}

# ---- what happens to the machine --------------------------------------------

set_cpu() {
	echo "$2" > "/sys/devices/system/cpu/cpu$1/online" || grep -q away "$TMP/gen.sleep"
}

# None comes or goes while the machine falls asleep, or a PCI device is probed.
do_cpu() {
	within 60 set_cpu "$@"
}

# Take what there is but for some MiB, hold it, give it back.
do_hog() {
	free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
	[ "$free" -gt "$1" ] || return 0
	dd if=/dev/zero of=/dev/shm/soak bs=1M count=$((free - $1))
	sleep "$2"
	rm -f /dev/shm/soak
}

do_write() {
	echo "$1" > "$2"
}

machine_step() {
	pick cpu memory cpu drop compact
	step=$pick
	rnd 1000
	choice=$rnd
	case $step in
	drop | compact) wanted memory || return ;;
	*) wanted $step || return ;;
	esac
	case $step in
	cpu)
		set -- /sys/devices/system/cpu/cpu*/online
		[ -e "$1" ] || return
		shift $((choice % $#))
		# The last one stays.
		[ "$(cat "$1")" = 0 ] || [ "$(nproc)" -gt 1 ] || return
		cpu=${1%/online}
		cpu=${cpu##*/cpu}
		act "CPU $cpu goes or comes" do_cpu "$cpu" $((1 - $(cat "$1"))) ;;
	memory)
		act "all memory but $((48 + choice % 64)) MiB taken" \
			do_hog $((48 + choice % 64)) $((1 + choice % 3)) ;;
	drop) act "caches dropped" do_write 3 /proc/sys/vm/drop_caches ;;
	compact)
		[ -e /proc/sys/vm/compact_memory ] || return
		act "memory compacted" do_write 1 /proc/sys/vm/compact_memory ;;
	esac
}

# run_actor NAME SEED PAUSE: its steps, until the time is over
run_actor() {
	actor=$1 state=$2 actions=0
	uptime_s
	while [ "$uptime" -lt "$end" ]; do
		"${actor}_step"
		rnd "$3"
		sleep "$((rnd / 10)).$((rnd % 10))"
		uptime_s
	done
	echo $actions > "$TMP/count.$actor"
}

# ---- who moves data ----------------------------------------------------------

# generation: what has happened so far to $bdf and what it $needs, in $generation: the
# machine is awake, and for a network card no other comes or goes
generation() {
	read -r generation < "$TMP/gen.$bdf"
	for needed in $needs; do
		read -r other < "$TMP/gen.$needed"
		generation="$generation $other"
	done
}

# worker BDF CLASS NUMBER: rounds of verified transfers, until told to stop
worker() {
	bdf=$1 class=$2 number=$3 good=0 tries=0
	needs="sleep"
	[ "$class" != net ] || needs="sleep net"
	while [ ! -e "$TMP/stop" ]; do
		generation
		before=$generation
		case $before in *away*) sleep 0.2; continue ;; esac
		tries=$((tries + 1))
		round_$class > "$TMP/worker.$bdf" 2>&1
		case $? in
		0) good=$((good + 1)) ;;
		1) { echo "$class $bdf:"; tail -n 8 "$TMP/worker.$bdf"; } >> "$TMP/wrong" ;;
		*)
			generation
			[ "$generation" != "$before" ] ||
				{ echo "$class $bdf, which nobody disturbed:"
				tail -n 8 "$TMP/worker.$bdf"; } >> "$TMP/broken"
			sleep 0.2 ;;
		esac
	done
	echo "$bdf $class $good good rounds of $tries" > "$TMP/rounds.$bdf"
}

# A round returns 1 if data was not what it should be, 2 if it failed otherwise.

round_disk() {
	disk_of "$bdf" || { no_disk "$bdf"; return 2; }
	if [ $((tries % 6)) = 3 ] && command -v fio > /dev/null; then
		# By a name of our own: what fio does not find it takes for a file, which
		# it unlinks before it makes it anew, and by then it may be the next disk's.
		# If the numbers are another's by now, then at a place of our own.
		node=/dev/dma_soak$number
		rm -f "$node"
		IFS=: read -r major minor < "$block/dev" &&
			mknod "$node" b "$major" "$minor" || return 2
		timeout 600 fio --name=soak --filename="$node" --rw=randwrite \
			--bsrange=512-64k --size=2M --offset="$((24 + 3 * number))M" \
			--direct=1 --ioengine=libaio --iodepth=4 --iomem_align=512 \
			--verify=crc32c --verify_fatal=1 --verify_dump=0 \
			--randseed="$tries" --thread && return 0
		# It opens the disk twice, once to write and once to read.
		generation
		[ "$generation" != "$before" ] ||
			! grep -q 'verify failed\|verify: bad' "$TMP/worker.$bdf" || return 1
		return 2
	fi
	"$DIR/dma_soak_disk" "$bdf" "/dev/$disk" 0 2097152 \
		"$((SEED + tries + 1000003 * number))"
	status=$?
	[ $status -le 1 ] || status=2
	return $status
}

round_net() {
	net_of "$bdf" || return 2
	url=$(net_url "$iface") || return 2
	timeout 120 wget -q -O - "$url/blob" 2> /dev/null | head -c $NET_BYTES > "$TMP/net.$bdf"
	[ "$(stat -c %s "$TMP/net.$bdf")" = $NET_BYTES ] || { echo "not received"; return 2; }
	# The first ever received is what all others are compared with.
	[ -s "$TMP/net" ] || cp "$TMP/net.$bdf" "$TMP/net"
	cmp "$TMP/net" "$TMP/net.$bdf" || return 1
	head -c 131072 /dev/urandom > "$TMP/part.$bdf"
	got=$(post "$TMP/part.$bdf" "$url/sha256")
	want=$(sha256sum < "$TMP/part.$bdf")
	echo "sent ${want%% *}, arrived $got"
	[ "$got" = "${want%% *}" ] || return 2
}

round_edu() {
	case $((tries % 4)) in
	0) line="contig 16" ;;
	1) line="list 40" ;;
	2) line="kmalloc" ;;
	3) line="sync" ;;
	esac
	echo "$line"
	echo "$line" > "/sys/kernel/debug/dma_edu/$bdf/run" || return 2
	cat "/sys/kernel/debug/dma_edu/$bdf/result" > "$TMP/edu.$bdf" || return 2
	cat "$TMP/edu.$bdf"
	# Memory may be short.
	grep -q '^ok\|^not ok -12' "$TMP/edu.$bdf" || return 2
}

round_bare() {
	sleep 1
}

# A device that moves no data maps and unmaps from the beginning.
start_load() {
	[ $class != bare ] || { leave && give dma_soak; }
}

start_workers() {
	rm -f "$TMP/stop"
	workers=
	number=0
	while read -r bdf driver class first; do
		[ $class != bare ] || continue
		worker "$bdf" $class $number &
		workers="$workers $!"
		# What happens to devices is not to wait for all that they do.
		renice -n 10 -p $! > /dev/null 2>&1
		number=$((number + 1))
	done < "$TMP/devices"
}

# ---- what there is when nothing is mapped --------------------------------------

# each COMMAND...: for each device, with its $bdf, $driver, $class and $first
each() {
	n=$devices
	while [ "$n" -gt 0 ]; do
		n=$((n - 1))
		device $n
		"$@" || { echo "$bdf: $* failed"; return 1; }
	done
}

park() {
	leave || return 1
	echo > "$PCI/$bdf/driver_override"
}

# A new domain: all pages of the old one have to go with it.
renew() {
	! alone "$bdf" || echo identity > "$PCI/$bdf/iommu_group/type"
}

unpark() {
	if alone "$bdf"; then
		echo "$first" > "$PCI/$bdf/iommu_group/type" || return 1
	fi
	give "$driver"
}

# All of them at a time: they wait for much.
start_unpark() {
	{ ! unpark || touch "$TMP/unparked.$bdf"; } &
}

iommu_pages() {
	awk '$1 == "nr_iommu_pages" { print $2 }' /proc/vmstat
}

# keep_memory NAME: what the kernel says of its memory, without caches
keep_memory() {
	sync
	echo 3 > /proc/sys/vm/drop_caches
	sleep 1
	cp /proc/meminfo "$TMP/meminfo.$1"
	cp /proc/slabinfo "$TMP/slabinfo.$1"
}

# kb WHAT NAME: that much of it there was
kb() {
	awk -v "what=$1:" '$1 == what { print $2 }' "$TMP/meminfo.$2"
}

# settle NAME: all drivers go; keep what is used then, and what is mapped
settle() {
	each park || return 1
	# Deferred unmaps are complete.
	sleep 0.5
	op "$soak" live > "$TMP/live.$1"
	echo $? > "$TMP/live.$1.status"
	cat /sys/kernel/debug/dma-api/dump > "$TMP/dump.$1" 2> /dev/null
	each renew || return 1
	sleep 0.2
	iommu_pages > "$TMP/pages.$1"
	keep_memory "$1"
	rm -f "$TMP/unparked".*
	each start_unpark
	wait
	set -- "$TMP/unparked".*
	[ $# = $devices ] && [ -e "$1" ]
}

works() {
	tries=0 number=0
	"round_$class" > "$TMP/worker.$bdf" 2>&1 && return
	status=$?
	cat "$TMP/worker.$bdf"
	return $status
}

all_work() {
	each works
}

# ---- verdicts ---------------------------------------------------------------

# quiet FILE: nothing was noted; if it was, with which seed and after what
quiet() {
	[ -s "$1" ] || return 0
	echo "seed $SEED; the last actions:"
	tail -n 12 "$TMP/actions"
	head -n 12 "$1"
	return 1
}

# The load ran, both actors lived to the end, and they did something.
took_place() {
	echo "$ops maps and unmaps, $(cat "$TMP/count.device") actions on devices," \
		"$(cat "$TMP/count.machine") on the machine"
	[ "$ops" -gt 0 ] && [ -s "$TMP/count.device" ] && [ -s "$TMP/count.machine" ] &&
		[ -s "$TMP/actions" ]
}

# One of each class, at least; in a short time some device has no luck.
went_on() {
	cat "$TMP"/rounds.*
	for class in disk net edu; do
		! grep -q " $class " "$TMP"/rounds.* ||
			grep -q " $class [1-9]" "$TMP"/rounds.* || return 1
	done
}

nothing_live() {
	cat "$TMP/live.end"
	[ "$(cat "$TMP/live.end.status")" = 0 ]
}

# Nothing is mapped for PCI devices in the eyes of DMA_API_DEBUG, nor more than
# before for others, such as IOMMUs; and it has not given up.
nothing_dumped() {
	debug=/sys/kernel/debug/dma-api
	echo "disabled $(cat $debug/disabled), errors $(cat $debug/error_count)"
	echo "entries: $(grep -c . "$TMP/dump.begin") before, $(grep -c . "$TMP/dump.end") after"
	grep ' [0-9a-f]*:[0-9a-f]*:[0-9a-f]*\.[0-9a-f] ' "$TMP/dump.end" > "$TMP/dump.pci"
	head -n 10 "$TMP/dump.pci"
	[ "$(cat $debug/disabled)" = N ] && [ "$(cat $debug/error_count)" = 0 ] &&
		[ ! -s "$TMP/dump.pci" ] &&
		[ "$(grep -c . "$TMP/dump.end")" -le "$(grep -c . "$TMP/dump.begin")" ]
}

page_tables_back() {
	echo "pages of the IOMMU: $(cat "$TMP/pages.begin") before, $(cat "$TMP/pages.end") after"
	[ "$(cat "$TMP/pages.end")" -le "$(cat "$TMP/pages.begin")" ]
}

# Pages that are neither free nor a slab's. What is in slabs is kmemleak's to judge:
# the kernel's debugging keeps objects that it has needed once.
memory_back() {
	slabs=$(($(kb Slab end) - $(kb Slab begin)))
	lost=$(($(kb MemFree begin) - $(kb MemFree end) - slabs))
	echo "$lost KiB are lost, and slabs take $slabs KiB more"
	[ $lost -le $LOST_KB ] && [ $slabs -le $SLABS_KB ]
}

# What there is more or less of, by half a MiB; and slabs, the most first
memory_became() {
	awk 'NR == FNR { before[$1] = $2; next }
		$2 - before[$1] > 512 || before[$1] - $2 > 512 {
			print "#", $1, before[$1], "KiB before,", $2, "after" }' \
		"$TMP/meminfo.begin" "$TMP/meminfo.end"
	awk 'NR == FNR { slabs[$1] = $15; objects[$1] = $2; next }
		FNR > 2 && $15 != slabs[$1] {
			print ($15 - slabs[$1]) * $6, "pages of", $1 ":",
				objects[$1], "in use before,", $2, "after" }' \
		"$TMP/slabinfo.begin" "$TMP/slabinfo.end" | sort -rn | head -n 12 | sed 's/^/# /'
}

leaks() {
	leak=/sys/kernel/debug/kmemleak
	echo scan > $leak || return 1
	sleep 6
	echo scan > $leak
	cat $leak > "$TMP/leaks"
	head -n 40 "$TMP/leaks"
	[ ! -s "$TMP/leaks" ]
}

# record_start: keep what the kernel reports from now on. Its log is too small for
# that; who does not read in time gets an error, and comes to no end mark. It is no
# child of this shell, which waits for all of them, and has nothing of its output,
# whose end others wait for.
record_start() {
	echo "soak: begin $$" > /dev/kmsg
	(sed -n -E "1,/soak: begin $$/d; /soak: end $$/{p;q}; /$REPORTS/p" /dev/kmsg \
		> "$TMP/recorded" 2>&1 &)
}

nothing_reported() {
	# One sed looks at a line when it has the next.
	for mark in end ended; do
		echo "soak: $mark $$" > /dev/kmsg
	done
	within 20 grep -q "soak: end $$" "$TMP/recorded" || return 1
	sed '$d' "$TMP/recorded" > "$TMP/reports"
	quiet "$TMP/reports"
}

REPORTS='WARNING:|BUG:|Oops|Call trace:|DMA-API:|DMA unmap|DMA free of|DMA sync of|IOMMU unmapped|is still mapped|no DMA address|dma_soak: wrong|new suspected memory leaks|arm-smmu-v3 .*: event|DMAR: .*fault|virtio_iommu.*fault|AMD-Vi: Event'

# ---- rates -------------------------------------------------------------------

# count NAME: of what the module counts
count() {
	sed -n "s/^$1 //p" "$TMP/counted"
}

counted() {
	op "$soak" count > "$TMP/counted"
}

# tell_rate OPERATIONS NS TEXT: and what becomes of it in a night
tell_rate() {
	per_s=$(($1 * 1000 / ($2 / 1000000 + 1)))
	echo "# $3: $1 maps and unmaps in $(($2 / 1000000000)) s: $per_s a second," \
		"$((per_s * NIGHT / 1000000)) million in 8 h"
}

# rate TYPE KINDS TEXT: one device, a thread on every CPU
rate() {
	echo "$1" > "$PCI/$bdf/iommu_group/type" && op "$soak" kinds "$2" &&
		op "$soak" pace 0 && give dma_soak || return 1
	sleep 0.5
	counted
	ops=$(($(count maps) + $(count unmaps))) ns=$(count ns) no=$(count refused)
	sleep "$RATE"
	counted
	right=$?
	ops=$(($(count maps) + $(count unmaps) - ops)) ns=$(($(count ns) - ns))
	no=$(($(count refused) - no))
	leave
	tell_rate $ops $ns "$3, $(nproc) threads" >> "$TMP/rates"
	# So many unmaps show a leak that a short soak does not.
	sleep 0.5
	op "$soak" live || return 1
	cat "$TMP/counted"
	# A kernel full of checks is as fast as it is.
	[ ! -e /proc/lockdep ] || [ $per_s = 0 ] || WANTED=0
	[ $right = 0 ] && [ $no = 0 ] && [ $((per_s * NIGHT)) -ge $WANTED ]
}

rates() {
	bdf=$1
	driver=dma_edu class=bare
	type_of "$bdf"
	before=$type
	: > "$TMP/rates"
	leave
	try "rate: all kinds, strict" rate DMA all "mappings of all kinds, strict"
	try "rate: all kinds, deferred" rate DMA-FQ all "mappings of all kinds, deferred"
	try "rate: pages, strict" rate DMA page "single pages, strict"
	try "rate: pages, deferred" rate DMA-FQ page "single pages, deferred"
	op "$soak" kinds all > /dev/null
	echo "$before" > "$PCI/$bdf/iommu_group/type"
	give dma_edu
	cat "$TMP/rates"
}

# ---- all of it -----------------------------------------------------------------

chaos() {
	op "$soak" kinds all > /dev/null
	op "$soak" pace "${DMA_TEST_SOAK_PACE:-500}" > /dev/null
	counted || return 1
	ops=$(($(count maps) + $(count unmaps))) ns=$(count ns)
	others=$(($(count iommu_maps) + $(count iommu_unmaps)))
	uptime_s
	end=$((uptime + DMA_TEST_SOAK))
	each start_load || return 1
	start_workers
	run_actor machine $((SEED ^ 0x5a5a5a)) 20 &
	machine=$!
	# In this shell's child: what a device is called is nobody's but its own.
	run_actor device "$SEED" 10 &
	wait $! $machine
	touch "$TMP/stop"
	counted
	wrong=$?
	ops=$(($(count maps) + $(count unmaps) - ops)) ns=$(($(count ns) - ns))
	others=$(($(count iommu_maps) + $(count iommu_unmaps) - others))
	# Workers get what the load leaves, which may be next to nothing of the only
	# processor: what they have begun is to come to an end.
	op "$soak" pace 100000 > /dev/null
	for cpu in /sys/devices/system/cpu/cpu*/online; do
		[ "$(cat "$cpu")" = 1 ] || echo 1 > "$cpu"
	done
	wait $workers
	rm -f /dev/dma_soak[0-9]*
	counted || wrong=$?
	tell_rate $ops $ns "in the middle of all that"
	echo "# at the IOMMU, by all drivers: $others;" \
		"not made, where memory was short: $(count refused)"
	echo "# actions: $(cat "$TMP/count.device") on devices," \
		"$(cat "$TMP/count.machine") on the machine; $(grep -c . "$TMP/actions") in all"
	sed 's/^/# /' "$TMP"/rounds.*
	return $wrong
}

tests_of_chaos() {
	record_start
	for file in broken wrong actions; do
		: > "$TMP/$file"
	done
	echo "there 0" | tee "$TMP/gen.sleep" > "$TMP/gen.net"
	each back 0
	[ ! -e /sys/module/suspend/parameters/pm_test_delay ] ||
		echo 1 > /sys/module/suspend/parameters/pm_test_delay
	# The first time, more is allocated for good than ever after.
	settle warm > "$TMP/settle" 2>&1
	try "before: every device is there" test $devices -ge "${DMA_TEST_SOAK_DEVICES:-1}"
	try "before: every device works" all_work
	try "before: all drivers go, and come back" settle begin
	if { echo scan > /sys/kernel/debug/kmemleak; } 2> /dev/null; then
		echo clear > /sys/kernel/debug/kmemleak
		kmemleak=1
	fi
	chaos
	wrong=$?
	try "mappings led where they should" test $wrong = 0
	try "all of it took place" took_place
	try "nothing failed that was not disturbed" quiet "$TMP/broken"
	try "no data was wrong" quiet "$TMP/wrong"
	try "every device moved data" went_on
	try "after: all drivers go, and come back" settle end
	try "after: every device works" all_work
	try "after: no address is taken, nothing is mapped" nothing_live
	if [ -e /sys/kernel/debug/dma-api/dump ]; then
		try "after: nothing mapped, says DMA_API_DEBUG" nothing_dumped
	else
		skip "after: nothing mapped, says DMA_API_DEBUG" "the kernel has none"
	fi
	try "after: the IOMMU's pages are back" page_tables_back
	try "after: free memory is back" memory_back
	echo "# $lost KiB are lost, slabs take $slabs KiB more, of the IOMMU's pages" \
		"$(($(cat "$TMP/pages.end") - $(cat "$TMP/pages.begin"))) more are taken"
	memory_became
	if [ -n "${kmemleak:-}" ]; then
		try "after: kmemleak finds nothing" leaks
	else
		skip "after: kmemleak finds nothing" "the kernel was started without kmemleak=on"
	fi
	try "the kernel has nothing to report" nothing_reported
}

load_module dma_edu > /dev/null 2>&1
load_module dma_soak "seed=$SEED" events=1 || skip_all "the module dma_soak cannot be loaded"
# Some disks are found late.
within 20 find_devices > /dev/null
[ -s "$TMP/devices" ] || skip_all "no device behind an IOMMU may be used"
rated=$(awk '$3 == "bare" || $3 == "edu" { b = $1 } END { print b }' "$TMP/devices")
ktap_print_header
if [ "$DMA_TEST_SOAK" -gt 0 ]; then
	ktap_set_plan 20
	echo "# seed $SEED, $DMA_TEST_SOAK s, $(nproc) CPUs"
	sed 's/^/# /' "$TMP/devices"
	tests_of_chaos
else
	ktap_set_plan 4
fi
rates "$rated"
rmmod dma_soak
! grep -q '^dma_edu ' /proc/modules || rmmod dma_edu
finish
