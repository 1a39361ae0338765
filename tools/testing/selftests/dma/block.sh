#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Disks behind the IOMMU: direct I/O, small and large, from buffers aligned to a
# page and not, everything read back and its checksum compared.
. "$(dirname "$0")/lib.sh"

need_root
command -v fio > /dev/null || skip_all "fio is not installed"
[ -n "$DMA_TEST_DISKS" ] || skip_all "DMA_TEST_DISKS names no disk to write to"

# One run of fio for all of a disk's tests: its start takes longer than the I/O.
# "error" and "KiB written" are fields 5 and 47 of its terse output.
disk_fio() {
	timeout 240 fio --filename="/dev/$1" --direct=1 --ioengine=libaio \
		--verify=crc32c --verify_fatal=1 --verify_dump=0 --thread \
		--output-format=terse --output="$TMP/fio" \
		--name=small --stonewall --rw=randwrite --bs=4k --size=2M \
		--iodepth=16 \
		--name=odd --stonewall --rw=randwrite --bsrange=512-16k --size=1M \
		--iodepth=8 --iomem_align=512 \
		--name=large --stonewall --rw=write --bs=1M --size=8M --iodepth=4 \
		--name=mixed --stonewall --rw=randrw --bsrange=4k-1536k --size=8M \
		--iodepth=4 --iomem_align=512 > "$TMP/fio.err" 2>&1
}

# QEMU's AHCI reads the table of a command's segments through one mapping of its
# own, and gives up when two pages of it are not neighbours in memory. A table of
# eight segments (of 64 KiB each) never crosses into another page.
limit_ahci() {
	[ "$1" != ahci ] || echo 384 > "/sys/block/$2/queue/max_sectors_kb"
}

job_well() {
	cat "$TMP/fio.err"
	grep ";$1;" "$TMP/fio"
	awk -F ';' -v job="$1" '
		$3 == job { seen = 1; if ($5 != 0 || $47 + 0 == 0) bad = 1 }
		END { exit !seen || bad }' "$TMP/fio"
}

disk_tests() {
	kind=$1
	disk=$(disk_of_kind "$kind")
	: > "$TMP/fio"
	[ -z "$disk" ] || limit_ahci "$kind" "$disk"
	[ -z "$disk" ] || disk_fio "$disk"
	for job in small odd large mixed; do
		case $job in
		small) what="4 KiB" ;;
		odd) what="512 B to 16 KiB unaligned" ;;
		large) what="1 MiB" ;;
		mixed) what="mixed sizes unaligned, read and write" ;;
		esac
		if [ -n "$disk" ]; then
			try "$kind: $what" job_well $job
		else
			skip "$kind: $what" "no $kind disk that may be overwritten"
		fi
	done
}

ktap_print_header
ktap_set_plan 16
for kind in nvme virtio-blk usb-storage ahci; do
	disk_tests $kind
done
finish
