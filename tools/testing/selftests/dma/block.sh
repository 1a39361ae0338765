#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Disks behind the IOMMU: direct I/O, small and large, from buffers aligned to a
# page and not, everything read back and its checksum compared.
. "$(dirname "$0")/lib.sh"

need_root
command -v fio > /dev/null || skip_all "fio is not installed"
[ -n "$DMA_TEST_DISKS" ] || skip_all "DMA_TEST_DISKS names no disk to write to"

# jobs KIND DISK: what fio is to do with it, one after the other
jobs() {
	cat <<-END
	[$1-small]
	stonewall
	filename=/dev/$2
	rw=randwrite
	bs=4k
	size=2M
	iodepth=16
	[$1-odd]
	stonewall
	filename=/dev/$2
	rw=randwrite
	bsrange=512-16k
	size=1M
	iodepth=8
	iomem_align=512
	[$1-large]
	stonewall
	filename=/dev/$2
	rw=write
	bs=1M
	size=8M
	iodepth=4
	[$1-mixed]
	stonewall
	filename=/dev/$2
	rw=randrw
	bsrange=4k-1536k
	size=8M
	iodepth=4
	iomem_align=512
	END
}

# QEMU's AHCI reads the table of a command's segments through one mapping of its
# own, and gives up when two pages of it are not neighbours in memory. A table of
# eight segments (of 64 KiB each) never crosses into another page.
limit_ahci() {
	[ "$1" != ahci ] || echo 384 > "/sys/block/$2/queue/max_sectors_kb"
}

# "error" and "KiB written" are fields 5 and 47 of fio's terse output.
job_well() {
	cat "$TMP/fio.err"
	grep ";$1;" "$TMP/fio"
	awk -F ';' -v job="$1" '
		$3 == job { seen = 1; if ($5 != 0 || $47 + 0 == 0) bad = 1 }
		END { exit !seen || bad }' "$TMP/fio"
}

disk_tests() {
	for job in small odd large mixed; do
		case $job in
		small) what="4 KiB" ;;
		odd) what="512 B to 16 KiB unaligned" ;;
		large) what="1 MiB" ;;
		mixed) what="mixed sizes unaligned, read and write" ;;
		esac
		if grep -q "^\[$1-$job\]" "$TMP/jobs"; then
			try "$1: $what" job_well "$1-$job"
		else
			skip "$1: $what" "no $1 disk that may be overwritten"
		fi
	done
}

ktap_print_header
ktap_set_plan 16
cat > "$TMP/jobs" <<END
[global]
direct=1
ioengine=libaio
verify=crc32c
verify_fatal=1
verify_dump=0
thread
END
KINDS="nvme virtio-blk usb-storage ahci"
for kind in $KINDS; do
	disk=$(disk_of_kind "$kind")
	[ -n "$disk" ] || continue
	limit_ahci "$kind" "$disk"
	jobs "$kind" "$disk" >> "$TMP/jobs"
done
# One run for all: its start takes longer than the I/O of a test.
timeout 280 fio --output-format=terse --output="$TMP/fio" "$TMP/jobs" \
	> "$TMP/fio.err" 2>&1
for kind in $KINDS; do
	disk_tests "$kind"
done
finish
