#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# run.sh [TEST...]: run these tests, or all, and print one KTAP document. At the
# end everything is printed once more between two marks: a console shares its
# lines with the kernel's messages, and then at least nothing else is going on.
HERE=$(dirname "$(readlink -f "$0")")
[ $# -gt 0 ] || set -- edu list coherent misuse window exhaust guard ranges block net msi mode ownership owner peer rebind video drm kunit hostile failures bench suites
OUT=$(mktemp)

# Some IOMMU drivers are strict whatever the command line says (AMD's where it
# is emulated); what was asked for then comes about at run time.
if [ "${LAB_MODE:-}" = deferred ]; then
	for type in /sys/kernel/iommu_groups/*/type; do
		[ "$(cat "$type" 2>/dev/null)" != DMA ] || echo DMA-FQ > "$type"
	done
fi

say() {
	echo "$*" | tee -a "$OUT"
}

say "KTAP version 1"
say "1..$#"
n=0
failed=0
for test in "$@"; do
	n=$((n + 1))
	read -r start rest < /proc/uptime
	echo "selftests: dma: $test.sh" > /dev/kmsg
	say "    # Subtest: $test"
	{ sh "$HERE/$test.sh" 2>&1; echo "status $?" > "$OUT.status"; } |
		while IFS= read -r line; do
			say "    $line"
		done
	read -r word status < "$OUT.status"
	read -r end rest < /proc/uptime
	say "    # time $((${end%.*} - ${start%.*})) s"
	case $status in
	0) say "ok $n $test" ;;
	4) say "ok $n $test # SKIP" ;;
	*)
		say "not ok $n $test # status $status"
		failed=1
		;;
	esac
done
sleep 1
echo "@@ktap begin@@"
cat "$OUT"
echo "@@ktap end@@"
exit $failed
