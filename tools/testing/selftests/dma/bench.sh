#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The benchmark itself: it refuses what makes no sense, measures what it was asked
# for, and leaves nothing behind. What it measures is not judged here.
. "$(dirname "$0")/lib.sh"

need_root
BENCH=$DIR/dma_bench
[ -x "$BENCH" ] || skip_all "dma_bench is not built"
bdf=$(spare_device) || skip_all "no device to spare; DMA_TEST_DEVICE may name one"
load_module dma_bench_load > /dev/null 2>&1 ||
	skip_all "the module dma_bench_load cannot be loaded"
debugfs=/sys/kernel/debug/dma_bench_load

# refuses OPTION...: with the status for it, a message that names the first word
# of them, and before anything is mapped
refuses() {
	"$BENCH" "$@" > "$TMP/said" 2> "$TMP/error"
	status=$?
	cat "$TMP/said" "$TMP/error"
	[ $status = 2 ] && [ ! -s "$TMP/said" ] && grep -q -e "$1" "$TMP/error"
}

# Each limit on both sides, and what does not go together
refuses_wrong() {
	for wrong in "-t 0" "-t 1025" "-s 0" "-s 301" "-n -2" "-b 19" "-b 65" \
		"-d 3" "-d -1" "-x -1" "-x 10000001" "-g 0" "-g 1025" "-e 1025" \
		"-l 0" "-l 1000001" "-t many" "-t 1x" "-t" "-r" "-a" "-c" \
		"-e 33 -g 32" "-r -l 1" "again" "-D none"; do
		refuses $wrong || { echo "accepted: $wrong"; return 1; }
	done
}

# command_refused MESSAGE WORD...: by the module, when there is no program
command_refused() {
	message=$1
	shift
	if op "$debugfs/$bdf" "$@"; then
		return 1
	fi
	grep -q "^not ok -22" "$TMP/result" && grep -q "$message" "$TMP/result"
}

module_refuses() {
	command_refused "is not in 1 to 1024" cycle t=0 &&
		command_refused "is not in 1 to 300" cycle s=301 &&
		command_refused "needs two live mappings" cycle r=1 &&
		command_refused "no such NUMA node" cycle n=1000 &&
		command_refused "what is" cycle q=1 &&
		command_refused "what is" cycle t=x &&
		! echo other > "$debugfs/$bdf/run"
}

# value KEY: of the line for programs
value() {
	tr ' ' '\n' < "$TMP/line" | sed -n "s/^$1=//p"
}

# holds EXPRESSION: with words of that line as variables
holds() {
	tr ' ' '\n' < "$TMP/line" |
		sed -n 's/^\([a-z_0-9]*\)=\([0-9.-]*\)$/\1 \2/p' > "$TMP/values"
	awk -v what="$1" '{ v[$1] = $2 } END {
		n = split(what, word, " ")
		for (i = 1; i <= n; i += 2)
			if (word[i] in v)
				word[i] = v[word[i]]
		for (i = 2; i < n; i += 2) {
			a = word[i - 1] + 0; b = word[i + 1] + 0
			if (word[i] == "<=" ? a > b : word[i] == "<" ? a >= b : a != b)
				exit 1
		}
	}' "$TMP/values" || { echo "not so: $1"; return 1; }
}

# What holds of every run: it took as long as it was told to, all was unmapped
# that was mapped, and figures are in their order.
run_well() {
	"$BENCH" -D "$bdf" -s 1 "$@" > "$TMP/run" 2>&1
	status=$?
	cat "$TMP/run"
	[ $status = 0 ] || return 1
	grep '^dma_bench device=' "$TMP/run" > "$TMP/line" || return 1
	for call in map unmap; do
		grep -q "^average $call latency(us):[0-9.]* standard deviation:[0-9.]*$" \
			"$TMP/run" || return 1
		holds "0 < ${call}_n" && holds "0 < ${call}_min" &&
			holds "${call}_min <= ${call}_p50 <= ${call}_p99 <= ${call}_p999 <= ${call}_max" &&
			holds "${call}_min <= ${call}_ns <= ${call}_max" || return 1
	done
	holds "map_n = unmap_n" && holds "999000000 < ns"
}

mode_is_told() {
	run_well || return 1
	case $(group_type "$bdf" 2>/dev/null) in
	DMA) want=strict ;;
	DMA-FQ) want=deferred ;;
	'') want=none ;;
	*) want=$(group_type "$bdf") ;;
	esac
	echo "mode is $(value mode), should be $want"
	[ "$(value mode)" = "$want" ]
}

# Behind an IOMMU a list of whole pages is one segment; else as many as there are
# entries, or fewer if the core has merged those that are adjacent.
list_run() {
	run_well -e 64 "$@" || return 1
	echo "segments: $(value segments_least) to $(value segments_most)"
	holds "segments_least <= segments_most" || return 1
	case "$(value mode) $*" in
	strict* | deferred*) holds "segments_most = 1" ;;
	*-a*) holds "segments_most <= 64" ;;
	*) holds "segments_least = 64" ;;
	esac
}

# Ten milliseconds before each unmap: there can be no more than a hundred in a
# second, and even a slow machine has thousands without. It may be told late to stop.
delay_counts() {
	read -r start rest < /proc/uptime
	run_well -x 10000000 || return 1
	read -r end rest < /proc/uptime
	holds "map_n <= $(((${end%.*} - ${start%.*} + 1) * 100))"
}

# More than half of what is free
too_much() {
	pages=$(awk '$1 == "MemAvailable:" { print int($2 * 1024 / 4194304) }' /proc/meminfo)
	"$BENCH" -D "$bdf" -s 1 -g $((4194304 / $(page_size))) -l $((pages + 1)) \
		> "$TMP/said" 2>&1 && return 1
	cat "$TMP/said"
	grep -q "it takes [0-9]* MiB of memory" "$TMP/said"
}

# By then the program waits for its threads, and a signal does not end it.
bench_runs() {
	grep -q -s '^dma_bench/' /proc/[0-9]*/comm
}

interrupted() {
	"$BENCH" -D "$bdf" -s 60 -t 4 -l 100 > "$TMP/said" 2>&1 &
	pid=$!
	within 20 bench_runs
	kill -TERM $pid
	start=$(cut -d . -f 1 /proc/uptime)
	wait $pid
	status=$?
	cat "$TMP/said"
	[ $status = 1 ] && grep -q interrupted "$TMP/said" || return 1
	[ $(($(cut -d . -f 1 /proc/uptime) - start)) -lt 20 ]
}

# With DMA_API_DEBUG the kernel tells what a driver has not unmapped.
leaves_nothing() {
	mark="dma bench.sh $$"
	echo "$mark" > /dev/kmsg
	lend_back "$bdf"
	rmmod dma_bench_load || return 1
	! dmesg | sed -n "/$mark/,\$p" | grep "pending DMA allocations"
}

lend "$bdf" dma_bench_load > /dev/null 2>&1 || {
	lend_back "$bdf"
	skip_all "$bdf cannot be given to dma_bench_load"
}
ktap_print_header
ktap_set_plan 12
try "arguments that make no sense are refused" refuses_wrong
try "the module refuses them, too" module_refuses
try "single pages; the mode is told" mode_is_told
try "16 pages at once, from the device, two threads" run_well -g 16 -d 2 -t 2
try "a list, no two entries adjacent" list_run
try "a list of adjacent entries, to the device" list_run -a -d 1
try "many live, the oldest is unmapped" run_well -t 2 -l 1000 -b 64
try "many live, any is unmapped" run_well -t 4 -l 500 -r
try "a delay is one" delay_counts
try "more memory than there is: refused" too_much
try "it ends when interrupted" interrupted
try "nothing stays mapped" leaves_nothing
finish
