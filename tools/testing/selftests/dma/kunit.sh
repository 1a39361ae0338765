#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The layer's KUnit suites: a module that runs them as it is loaded, on an IOMMU
# and devices of its own. Each suite's cases become tests here; of one that
# fails, what it said is shown. With DMA_TEST_SEED other things are tried at random.
. "$(dirname "$0")/lib.sh"

MARK="dma kunit.sh $$"

need_root

# What the kernel has said since the test began, from KUnit and others; or as
# much as its buffer still has
said() {
	first=$(dmesg | grep -n "$MARK" | tail -n 1 | cut -d : -f 1)
	dmesg | tail -n +$((${first:-0} + 1)) | sed 's/^\[[^]]*\] //'
}

# One line for each case, "ok NAME" or "failed NAME", and before it what it said.
# Suites are indented by 4, their cases by 8, and the rows of a case by 12.
cases() {
	said | awk '
		/^    # Subtest: / { suite = $3 }
		/^    (not )?ok [0-9]+ / {
			name = $0
			sub(/^ *(not )?ok [0-9]+ /, "", name)
			sub(/ #.*/, "", name)
			verdict = /^    not/ ? "failed" : / # SKIP/ ? "skipped" : "ok"
			print verdict, suite ": " name
			next
		}
		/^(not )?ok [0-9]+ / { print "suite", $0; next }
		/^    / { print "#", $0 }'
}

[ -e /sys/bus/platform ] || skip_all "no platform bus"
# Where memory is to fail in a suite, any of it may. Without: those are skipped.
faults_setup || :
echo "$MARK" > /dev/kmsg
grep -q '^kunit ' /proc/modules || load_module kunit ||
	skip_all "the module kunit cannot be loaded"
forcedac=$(sed -n 's/.*\biommu\.forcedac=\([01]\).*/\1/p' /proc/cmdline)
load_module dma_iommu_test "guard=$(guard)" "forcedac=${forcedac:-0}" \
	${DMA_TEST_SEED:+"seed=$DMA_TEST_SEED"} ||
	skip_all "the module dma_iommu_test cannot be loaded"
cases > "$TMP/cases"
said > "$TMP/said"

ktap_print_header
ktap_set_plan $(($(grep -c -E '^(ok|failed|skipped) ' "$TMP/cases") + 3))
: > "$TMP/notes"
while read -r verdict name; do
	case $verdict in
	ok) ktap_test_pass "$name" ;;
	skipped) ktap_test_skip "$name" ;;
	failed)
		grep -E 'EXPECTATION|ASSERTION|Expected|==|seed|: ' "$TMP/notes" |
			tail -n 25
		ktap_test_fail "$name"
		;;
	'#')
		echo "# $name" >> "$TMP/notes"
		continue
		;;
	esac
	: > "$TMP/notes"
done < "$TMP/cases"

# A suite that breaks off has no cases that could fail.
all_suites() {
	suites="dma_layout dma_list dma_link dma_mapping dma_contiguity"
	suites="$suites dma_cache dma_invariants dma_ops dma_shadow dma_space"
	[ ! -e /sys/bus/pci ] || suites="$suites dma_pci"
	for suite in $suites; do
		grep -q -E "^suite ok [0-9]+ $suite( # SKIP.*)?\$" "$TMP/cases" && continue
		echo "$suite: $(grep "^suite.* $suite\$" "$TMP/cases" || echo "did not end")"
		return 1
	done
}
try "all suites have ended well" all_suites

# What cannot be had is told with size, limit and what could be had: list_space
# asks for 8 granules of 64 where there are holes of 4 and a bit.
error_says() {
	for granule in 4096 16384 65536; do
		asked=$((8 * granule)) limit=$(printf '%#x' $((64 * granule - 1)))
		largest=$(sed -n "s/.*mock_device.*: no DMA address for $asked bytes up to $limit, largest free range is \([0-9]*\) bytes\$/\1/p" "$TMP/said" | head -n 1)
		echo "$asked bytes up to $limit: largest is '$largest'"
		[ "${largest:-0}" -ge $((4 * granule)) ] || return 1
		[ "$largest" -lt $(((8 + $(guard)) * granule)) ] || return 1
	done
}
try "an error says size, limit and the largest free range" error_says
try "nothing of it stays when it is unloaded" rmmod dma_iommu_test
finish
