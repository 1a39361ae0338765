#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Network cards behind the IOMMU: a file is received and sent back, and its
# checksum is that of the server. DMA_TEST_URL names the server: GET URL/blob,
# GET URL/blob.sha256, POST URL/sha256; without it "net-up IFACE" does.
. "$(dirname "$0")/lib.sh"

need_root
[ -n "${DMA_TEST_URL:-}" ] || command -v net-up > /dev/null ||
	skip_all "DMA_TEST_URL names no file server"

card_tests() {
	iface=$(net_of_driver "$1")
	if [ -z "$iface" ]; then
		skip "$1: receive a file" "no $1 card"
		skip "$1: send a file" "no $1 card"
		return
	fi
	try "$1: receive a file" fetch_file "$iface"
	try "$1: send a file" send_file "$iface"
	net_down "$iface"
}

ktap_print_header
ktap_set_plan 4
card_tests virtio_net
card_tests e1000e
finish
