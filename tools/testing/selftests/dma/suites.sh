#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Suites of others, on this layer: those of its neighbours (page tables, SMMUv3,
# iommufd), the DMA API's benchmark, and programs that load disks and networks.
#
# A minute or two of it; with DMA_TEST_LONG=1 all of it, and minutes of each load.
# DMA_TEST_NETS names two network interfaces that are joined by a cable, or their
# addresses (52:54:00:12:34:56); both are taken for the test.
. "$(dirname "$0")/lib.sh"

need_root
LONG=${DMA_TEST_LONG:-}

# seconds QUICK LONG
seconds() {
	[ -n "$LONG" ] && echo "$2" || echo "$1"
}

# tool NAME: where it is. Not the shell's own of that name: busybox has several.
tool() {
	for place in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
		[ -x "$place/$1" ] || continue
		echo "$place/$1"
		return
	done
	return 1
}

# peer NAME: a program of another selftest, from its own directory if installed
peer() {
	for place in "$DIR" "$DIR/../iommu"; do
		[ -x "$place/$1" ] || continue
		echo "$place/$1"
		return
	done
	return 1
}

# ---- what the kernel tests by itself ----------------------------------------

io_pgtable() {
	name="page tables (io-pgtable self-test)"
	if [ "$(uname -m)" != aarch64 ]; then
		skip "$name" "this machine's IOMMU has other ones"
	elif ! dmesg | grep "io-pgtable: selftest: completed" > "$TMP/pgtable"; then
		skip "$name" "the kernel was built without, or its log does not go back that far"
	else
		try "$name" io_pgtable_well
	fi
}

io_pgtable_well() {
	cat "$TMP/pgtable"
	grep -q -E 'completed with [1-9][0-9]* PASS 0 FAIL' "$TMP/pgtable"
}

# smmuv3_said: what it has had to say since it was loaded
smmuv3_said() {
	dmesg | sed 's/^\[[^]]*\] //' | sed -n "/$1/,\$p"
}

smmuv3_well() {
	smmuv3_said "$1"
	smmuv3_said "$1" | grep -q -E '^ok [0-9]+ arm-smmu-v3-kunit-test$' &&
		smmuv3_said "$1" | grep -q -E '^# Totals: pass:[1-9][0-9]* fail:0 skip:0 total:' &&
		! smmuv3_said "$1" | grep -q -E '^ *not ok'
}

smmuv3_kunit() {
	name="SMMUv3 (KUnit)"
	mark="dma suites.sh $$"
	echo "$mark" > /dev/kmsg
	grep -q '^kunit ' /proc/modules || load_module kunit > /dev/null 2>&1
	if load_module arm-smmu-v3-test > /dev/null 2>&1; then
		try "$name" smmuv3_well "$mark"
		rmmod arm_smmu_v3_test
	else
		skip "$name" "the module arm-smmu-v3-test cannot be loaded"
	fi
}

# ---- the DMA API's benchmark ------------------------------------------------

map_benchmark() {
	timeout 400 "$DIR/dma_map_benchmark" -t 8 -s "$(seconds 4 60)" "$@"
}

# Figures that are there, and of calls that took time
map_benchmark_well() {
	map_benchmark "$@" > "$TMP/benchmark" 2>&1
	status=$?
	cat "$TMP/benchmark"
	[ $status = 0 ] || return 1
	for call in map unmap; do
		grep -q -E "^average $call latency\(us\):([1-9][0-9]*\.[0-9]|0\.[1-9])" \
			"$TMP/benchmark" || return 1
	done
}

# All to the device: DMA_API_DEBUG forgets a mapping only after its address is free
# for another thread, takes one for the other, and finds cache lines mapped twice.
map_benchmarks() {
	single="dma_map_benchmark: 8 threads, one page"
	large="dma_map_benchmark: 8 threads, 16 pages, 64 bits"
	why=
	[ -x "$DIR/dma_map_benchmark" ] || why="it is not built"
	[ -d /sys/bus/pci/drivers/dma_map_benchmark ] ||
		why="the kernel is without CONFIG_DMA_MAP_BENCHMARK"
	spare=$(spare_device) || why="no device to spare; DMA_TEST_DEVICE may name one"
	if [ -z "$why" ] && ! lend "$spare" dma_map_benchmark > /dev/null 2>&1; then
		lend_back "$spare"
		why="$spare cannot be given to it"
	fi
	if [ -n "$why" ]; then
		skip "$single" "$why"
		skip "$large" "$why"
		return
	fi
	try "$single" map_benchmark_well -d 1
	try "$large" map_benchmark_well -g 16 -d 1 -b 64
	lend_back "$spare"
}

# ---- iommufd ----------------------------------------------------------------

# Tests of iommufd that ask for more than every 6.12 kernel has; not a word about
# DMA mappings in any.
iommufd_known() {
	# Suites of some 6.12.y ask for hardware information by type, as later
	# kernels have it; lab/check builds them nevertheless, and says so.
	if [ -e "$1.newer" ]; then
		echo "iommufd_ioas\.[a-z_]*\.get_hw_info"
	fi
	# Addresses are aligned to more than a page only if the kernel has large ones.
	if [ ! -d /sys/kernel/mm/transparent_hugepage ]; then
		echo "iommufd_ioas\.[a-z_]*\.area_auto_iova"
	fi
	echo "none\.at\.all"
}

# harness PROGRAM OPTION...: one of kselftest's own programs
harness() {
	program=$1
	iommufd_known "$program" | sed 's/.*/ &$/' > "$TMP/known"
	shift
	timeout "$(seconds 280 2400)" "$program" "$@" > "$TMP/harness" 2>&1
	echo "status $?"
	grep -v -E '^(# +(RUN|OK) |ok )' "$TMP/harness" | grep -v '^#            OK'
	grep '^ok ' "$TMP/harness" | grep -v -c '# SKIP' > "$TMP/passed"
	sed -n 's/^ok [0-9]* \(.*# SKIP\)/# \1/p' "$TMP/harness" > "$TMP/skipped"
	grep '^not ok ' "$TMP/harness" | sed 's/ *#.*//' > "$TMP/failed"
	grep -v -f "$TMP/known" "$TMP/failed" > "$TMP/unknown"
	# All that was planned, and nothing that is not known
	plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$TMP/harness")
	passed=$(cat "$TMP/passed") failed=$(wc -l < "$TMP/failed")
	skipped=$(wc -l < "$TMP/skipped")
	echo "planned $plan, passed $passed, skipped $skipped, failed $failed, of these unknown:"
	cat "$TMP/unknown"
	[ "$passed" -gt 0 ] && [ ! -s "$TMP/unknown" ] &&
		[ $((passed + skipped + failed)) = "$plan" ]
}

# iommufd_test NAME PROGRAM OPTION...
iommufd_test() {
	name=$1
	if ! program=$(peer "$2"); then
		skip "$name" "it is not built"
	elif [ ! -e /dev/iommu ] || [ ! -d /sys/bus/iommufd_mock ]; then
		skip "$name" "the kernel is without CONFIG_IOMMUFD_TEST"
	elif [ "$2" = iommufd_fail_nth ] && [ ! -d /sys/kernel/debug/failslab ]; then
		skip "$name" "the kernel cannot make allocations fail"
	else
		shift 2
		try "$name" harness "$program" "$@"
		grep -f "$TMP/known" "$TMP/failed" | sed 's/^not ok [0-9]* /# not counted: /'
		cat "$TMP/skipped"
		# An interrupted one may have left it on.
		[ ! -d /sys/kernel/debug/failslab ] ||
			echo 0 > /sys/kernel/debug/failslab/probability
	fi
}

iommufd_tests() {
	before=$(cat /proc/sys/vm/nr_hugepages 2>/dev/null)
	echo 64 2>/dev/null > /proc/sys/vm/nr_hugepages
	if [ -n "$LONG" ]; then
		iommufd_test "iommufd" iommufd
	else
		# Most of the time goes into dirty pages, all alignments, and variants.
		iommufd_test "iommufd" iommufd -F iommufd_dirty_tracking \
			-V two_mock_domain -V mock_domain_limit -T all_aligns -T all_aligns_copy
	fi
	iommufd_test "iommufd, each allocation fails once" iommufd_fail_nth
	[ -z "$before" ] || echo "$before" > /proc/sys/vm/nr_hugepages
}

# ---- a file system on disks -------------------------------------------------

# fs_make DISK: with a file system on $TMP/DISK
fs_make() {
	mkdir -p "$TMP/$1"
	"$(tool mkfs.ext4)" -q -F "/dev/$1" && mount -t ext4 "/dev/$1" "$TMP/$1"
}

# Files that have to be the same after the disk has been left and found again
fs_fill() {
	for n in 1 2 3; do
		head -c 1500000 /dev/urandom > "$TMP/$1/file$n" || return 1
	done
	(cd "$TMP/$1" && sha256sum file1 file2 file3) > "$TMP/$1.sums"
}

fs_same() {
	(cd "$TMP/$1" && sha256sum -c "$TMP/$1.sums")
}

# fs_fio DISK SECONDS: files written and read back, through the page cache and
# past it, by reads, writes and mmap
fs_fio() {
	cat > "$TMP/$1.fio" <<-END
	[global]
	directory=$TMP/$1
	size=3M
	verify=crc32c
	verify_fatal=1
	verify_dump=0
	thread
	time_based=1
	runtime=$2
	[direct]
	direct=1
	ioengine=libaio
	iodepth=8
	rw=randrw
	bsrange=4k-256k
	[buffered]
	ioengine=psync
	rw=randrw
	bsrange=1k-64k
	fsync=16
	[mapped]
	ioengine=mmap
	rw=randrw
	bs=4k
	END
	"$(tool fio)" --output-format=terse "$TMP/$1.fio" > "$TMP/$1.fio.out" 2>&1
	echo "$?" > "$TMP/$1.fio.status"
}

# fs_stress DISK SECONDS: names, sizes and data of files
fs_stress() {
	mkdir -p "$TMP/$1/stress"
	"$(tool stress-ng)" --temp-path "$TMP/$1/stress" --timeout "$2" --verify --metrics-brief \
		--hdd 1 --hdd-bytes 3m --hdd-opts direct,fsync,rd-seq,wr-rnd \
		--seek 1 --seek-size 2m \
		--rename 1 --dentry 1 --dentries 64 --readahead 1 --readahead-bytes 2m \
		> "$TMP/$1.stress.out" 2>&1
	echo "$?" > "$TMP/$1.stress.status"
}

# fs_loads DISK SECONDS: both, at the same time
fs_loads() {
	fs_fio "$1" "$2" &
	fs_stress "$1" "$2"
	wait $!
}

# fio's error is in field 5, what it has read and written in 6 and 47; stress-ng
# tells of each stressor what it has done.
fs_loads_well() {
	cut -d ';' -f 3-6,47 "$TMP/$1.fio.out"
	grep -v "miscellaneous\|geometic" "$TMP/$1.stress.out"
	[ "$(cat "$TMP/$1.fio.status")" = 0 ] && [ "$(cat "$TMP/$1.stress.status")" = 0 ] ||
		return 1
	awk -F ';' '$3 ~ /^(direct|buffered|mapped)$/ {
			seen++; if ($5 != 0 || $47 + 0 == 0) bad = 1 }
		END { exit seen != 3 || bad }' "$TMP/$1.fio.out" || return 1
	! grep -q -i -E 'fail:|error:' "$TMP/$1.stress.out" || return 1
	# The others may not get beyond their preparations where all is slow.
	for stressor in hdd seek rename; do
		grep -q -E "metrc.* $stressor +[1-9]" "$TMP/$1.stress.out" ||
			{ echo "nothing done: $stressor"; return 1; }
	done
}

# fs_again DISK: nothing of it is in memory any more
fs_again() {
	umount "$TMP/$1" || return 1
	"$(tool e2fsck)" -f -n "/dev/$1" || return 1
	echo 3 > /proc/sys/vm/drop_caches
	mount -t ext4 "/dev/$1" "$TMP/$1" && fs_same "$1" && umount "$TMP/$1"
}

fs_tests() {
	why=
	for program in mkfs.ext4 e2fsck fio stress-ng; do
		tool $program > /dev/null || why="there is no $program"
	done
	grep -q '	ext4$' /proc/filesystems || why="the kernel is without ext4"
	disks=
	for kind in nvme virtio-blk; do
		disk=$(disk_of_kind $kind)
		[ -n "$disk" ] && [ -z "$why" ] && disks="$disks $disk"
	done
	for disk in $disks; do
		{ fs_make "$disk" && fs_fill "$disk"; } > "$TMP/$disk.make" 2>&1
		echo $? > "$TMP/$disk.made"
	done
	# At the same time, or it would take twice as long
	for disk in $disks; do
		[ "$(cat "$TMP/$disk.made")" != 0 ] || fs_loads "$disk" "$(seconds 10 120)" &
	done
	wait
	for kind in nvme virtio-blk; do
		# Not disk_of_kind: what is mounted may not be overwritten.
		for disk in $disks none; do
			[ "$(kind_of_disk "$disk")" != "$kind" ] || break
		done
		if [ "$disk" = none ]; then
			for what in "made and filled" "fio and stress-ng" "found again"; do
				skip "ext4 on $kind: $what" \
					"${why:-no $kind disk that may be overwritten}"
			done
			continue
		fi
		try "ext4 on $kind: made and filled" fs_made "$disk"
		try "ext4 on $kind: fio and stress-ng" fs_loads_well "$disk"
		try "ext4 on $kind: found again" fs_again "$disk"
		umount "$TMP/$disk" 2>/dev/null
		# As it was: nobody's
		dd if=/dev/zero of="/dev/$disk" bs=64k count=32 conv=fsync 2>/dev/null
	done
}

fs_made() {
	cat "$TMP/$1.make"
	[ "$(cat "$TMP/$1.made")" = 0 ]
}

# ---- two network cards ------------------------------------------------------

ADDRESS=10.197.0

# interface NAME-OR-ADDRESS: its name
interface() {
	for net in /sys/class/net/*; do
		[ "${net##*/}" = "$1" ] || [ "$(cat "$net/address")" = "$1" ] || continue
		echo "${net##*/}"
		return
	done
	return 1
}

# there COMMAND...: as seen from the other card, which has a network of its own
there() {
	nsenter -t "$net_pid" -n "$@"
}

# elsewhere PID: that process has a network of its own
elsewhere() {
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

# listens PID PORT: somebody, in the network of that process
listens() {
	grep -q -s ":$(printf %04X "$2") [0-9A-F]*:0000 0A " \
		"/proc/$1/net/tcp" "/proc/$1/net/tcp6"
}

net_join() {
	unshare -n sleep 100000 &
	net_pid=$!
	within 20 elsewhere "$net_pid" || return 1
	ip link set "$2" netns "$net_pid" || return 1
	ip addr add $ADDRESS.1/24 dev "$1" && ip link set "$1" up || return 1
	there ip addr add $ADDRESS.2/24 dev "$2" && there ip link set "$2" up || return 1
	within 30 ping -c 1 -W 1 $ADDRESS.2
}

# The card comes back when its network is gone.
net_part() {
	kill "$net_pid"
	wait "$net_pid" 2>/dev/null
	ip addr flush dev "$1"
	ip link set "$1" down
	within 20 interface "$2"
}

# net_file FROM: a file goes through, from here or from there. Who receives has
# nothing to say, but does not say that either: it would end the connection.
net_file() {
	[ -p "$TMP/silence" ] || mkfifo "$TMP/silence"
	exec 9<> "$TMP/silence"
	head -c "$((1048576 * $(seconds 2 32)))" /dev/urandom > "$TMP/net.file"
	sum=$(sha256sum < "$TMP/net.file")
	if [ "$1" = here ]; then
		there timeout 200 nc -l -p 7001 <&9 > "$TMP/net.back" &
		receiver=$!
		within 20 listens "$net_pid" 7001
		timeout 200 nc $ADDRESS.2 7001 < "$TMP/net.file"
	else
		timeout 200 nc -l -p 7001 <&9 > "$TMP/net.back" &
		receiver=$!
		within 20 listens self 7001
		there timeout 200 nc $ADDRESS.1 7001 < "$TMP/net.file"
	fi
	wait $receiver
	back=$(sha256sum < "$TMP/net.back")
	echo "sent $sum, received $back"
	[ "$sum" = "$back" ]
}

# net_streams OPTION...: iperf3 for a while; and something did arrive
net_streams() {
	"$(tool iperf3)" -c $ADDRESS.2 -t "$(seconds 4 60)" -f m "$@" > "$TMP/iperf" 2>&1
	status=$?
	cat "$TMP/iperf"
	[ $status = 0 ] && grep -q -E ' [1-9][0-9.]* [KMG]?Bytes .* receiver' "$TMP/iperf"
}

net_tests() {
	why=
	for program in iperf3 unshare nsenter nc; do
		command -v $program > /dev/null || why="there is no $program"
	done
	set -- ${DMA_TEST_NETS:-}
	[ -e /proc/self/ns/net ] || why="the kernel is without CONFIG_NET_NS"
	[ $# = 2 ] && one=$(interface "$1") && other=$(interface "$2") ||
		why="DMA_TEST_NETS does not name two interfaces that are joined"
	if [ -n "$why" ]; then
		for what in joined "a file, from one" "and from the other" \
			"TCP streams, both ways" UDP parted; do
			skip "network: $what" "$why"
		done
		return
	fi
	card=$other
	try "network: joined" net_join "$one" "$other"
	try "network: a file, from one" net_file here
	try "network: and from the other" net_file there
	(exec nsenter -t "$net_pid" -n "$(tool iperf3)" -s) > "$TMP/server" 2>&1 &
	server=$!
	within 20 listens "$net_pid" 5201
	try "network: TCP streams, both ways" net_streams -P 2 --bidir
	try "network: UDP" net_streams -u -b 20M -l 1400
	kill $server
	wait $server 2>/dev/null
	try "network: parted" net_part "$one" "$card"
}

faults=$(fault_irqs)
ktap_print_header
ktap_set_plan 19
io_pgtable
smmuv3_kunit
map_benchmarks
iommufd_tests
fs_tests
net_tests
try "the IOMMU had nothing to stop" test "$(fault_irqs)" -eq "$faults"
finish
