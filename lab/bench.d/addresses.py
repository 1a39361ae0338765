# SPDX-License-Identifier: GPL-2.0
"""Addresses and deferred invalidation: nothing searches, nothing stalls."""

NAME = "addresses"
MACHINE = "arm64 smmuv3"

# Machines that the parts run on; each is booted once with each kernel.
BOOTS = {
    "count": ["--icount", "--mem", "3G", "--timeout", "900"],
}


class Part:
    boot = "count"
    modes = ("strict", "deferred")


class Page(Part):
    """One page, over and over, and what the IOMMU API takes of that."""
    name = "page"

    def script(self, mode):
        return "b page page 20000 4096\n" \
            "b floor floor 20000 4096\n" \
            "b loop loop 200 4096\n"

    def rows(self, table):
        pass


PARTS = (Page(),)
