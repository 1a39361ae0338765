#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# run.sh [TEST...]: run these tests, or all, and print one KTAP document. At the
# end everything is printed once more between two marks: a console shares its
# lines with the kernel's messages, and then at least nothing else is going on.
#
# DMA_TEST_FAULTING=".." names tests in which the IOMMU may stop a device: then it
# must not in the others.
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || set -- edu list coherent misuse window exhaust guard ranges block net msi mode ownership owner peer rebind hotplug video drm kunit hostile failures bench suites
OUT=$TMP/ktap

say() {
	echo "$*" | tee -a "$OUT"
}

# Tell the groups' types. AMD's driver is strict where it is emulated, whatever the
# command line says; what was asked for then comes about at run time.
say_groups() {
	types=
	for file in /sys/kernel/iommu_groups/*/type; do
		read -r type < "$file" || continue
		[ "${LAB_IOMMU:-}:${LAB_MODE:-}:$type" != amd:deferred:DMA ] ||
			! echo DMA-FQ > "$file" || read -r type < "$file"
		types="$types $type"
	done 2> /dev/null
	say "# groups:$types"
}

# say_faults TEST BEFORE: how many there were in a test that is to have none
say_faults() {
	faults=0
	[ -n "${DMA_TEST_FAULTING+set}" ] || return
	case " $DMA_TEST_FAULTING " in
	*" $1 "*) sleep 1 ;;	# An interrupt may be late, and is not the next one's.
	*)
		faults=$(($(fault_irqs) - $2))
		say "    # faults $faults"
		;;
	esac
}

say "KTAP version 1"
say "1..$#"
n=0
failed=0
for test in "$@"; do
	n=$((n + 1))
	say_groups
	irqs=$(fault_irqs)
	read -r start rest < /proc/uptime
	echo "selftests: dma: $test.sh" > /dev/kmsg
	say "    # Subtest: $test"
	{ sh "$DIR/$test.sh" 2>&1; echo "status $?" > "$OUT.status"; } |
		while IFS= read -r line; do
			say "    $line"
		done
	read -r word status < "$OUT.status"
	read -r end rest < /proc/uptime
	say "    # time $((${end%.*} - ${start%.*})) s"
	say_faults "$test" "$irqs"
	[ "$faults" = 0 ] || status="$status, $faults faults"
	case $status in
	0) say "ok $n $test" ;;
	4) say "ok $n $test # SKIP" ;;
	*)
		say "not ok $n $test # status $status"
		failed=1
		;;
	esac
done
say_groups
sleep 1
echo "@@ktap begin@@"
cat "$OUT"
echo "@@ktap end@@"
rm -rf "$TMP"
exit $failed
