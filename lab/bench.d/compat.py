# SPDX-License-Identifier: GPL-2.0
"""Nobody is served worse: what drivers rely on, on the base and here."""
# lab/bench tells what such a file is made of; here it is called bench.

NAME = "compat"
MACHINE = "arm64 smmuv3"
SKIPPED = "the stock kernel has nothing like it"

KIB = 1 << 10
MIB = 1 << 20

BOOTS = {
    "count": ["--icount", "--mem", "3G", "--timeout", "600"],
    # The IOMMU driver says what it thinks of such a page.
    "beyond": ["--icount", "--timeout", "600", "--expect",
               "cut here|WARNING: .*arm_lpae_map_pages|Call trace"],
    "virtio": ["--icount", "--iommu", "virtio", "--timeout", "600"],
    "amd": ["--arch", "x86_64", "--iommu", "amd", "--icount", "--timeout",
            "600"],
}
MACHINES = {"count": MACHINE, "beyond": MACHINE, "virtio": "arm64 virtio",
            "amd": "x86_64 amd"}


# Percent by which targets are missed, as Documentation/core-api/dma-iommu.rst tells
# under "Known limits", and a bit
MISSED = {
    (name, mode): percent for name, percents in {
        "unmap 4 KiB and 4 times 2 MiB with a boundary of 8 MiB": (28, 2),
        "24 bits: a page, mapped and unmapped": (48, 35),
    }.items() for mode, percent in zip(("strict", "deferred"), percents)
}


class Part:
    boot = "count"
    modes = ("strict", "deferred")

    def row(self, table, mode, name, unit, value, target):
        table.row(self.name, mode, name, unit, value, target=target,
                  machine=MACHINES[self.boot])

    def as_stock(self, table, mode, name, value):
        """Instructions, and no more of them than on the stock kernel"""
        self.row(table, mode, name, "instructions", value,
                 table.stock(self.name, mode, value))


def said(label, name, key):
    return lambda found: found.get(label, name, key)


def mean(label, name):
    return lambda found: found.mean(label, name)


class Aligned(Part):
    """Addresses are aligned to the size: what is mapped, up to 64 KiB."""
    name = "aligned"
    KINDS = {"page": ("dma_map_page", 64 * KIB),
             "pages": ("dma_alloc_pages", 4 * MIB),
             "noncoherent": ("dma_alloc_noncoherent", 4 * MIB),
             "coherent": ("dma_alloc_coherent", 4 * MIB)}
    CROSSING = 37143

    def script(self, mode, kernel):
        return "".join(f"b {kind} misaligned {kind} {4 * MIB} {bound}\n"
                       for kind, (_, bound) in self.KINDS.items()) + \
            f"b two crossing {self.CROSSING}\n"

    def rows(self, table):
        for mode in self.modes:
            for kind, (call, bound) in self.KINDS.items():
                at_most = ", up to 64 KiB" if bound < 4 * MIB else ""
                self.row(table, mode, f"{call}, 8 KiB to 4 MiB: not aligned "
                         f"to the size{at_most}", "of 160",
                         said(kind, "misaligned", "bad"), 0)
            self.row(table, mode, "two pages among single ones: across 64 KiB",
                     f"of {self.CROSSING:,}", said("two", "crossing", "bad"),
                     0)


class Calls(Part):
    """Calls that nobody measures"""
    name = "calls"

    def script(self, mode, kernel):
        return "b holes holes 200\n" \
            "b odd listallin odd 32 1000 500\n" \
            "b mask mask 24\n" \
            f"b page allin order {4 * KIB} 1 20000 500\n" \
            f"b memory coherent {4 * KIB} 8000 500\n"

    def rows(self, table):
        for mode in self.modes:
            self.as_stock(table, mode, "unmap 4 KiB and 4 times 2 MiB with a "
                          "boundary of 8 MiB", mean("holes", "unmap"))
            self.as_stock(table, mode, "list of 32 entries of 3,000 bytes at "
                          "odd offsets", mean("odd", "whole"))
            self.as_stock(table, mode, "24 bits: a page, mapped and unmapped",
                          mean("page", "whole"))
            self.as_stock(table, mode, "24 bits: coherent 4 KiB, allocated and "
                          "freed", mean("memory", "whole"))


class Beyond(Part):
    """A map that fails at its end"""
    name = boot = "beyond"

    def script(self, mode, kernel):
        return "b beyond beyond\n"

    def rows(self, table):
        for mode in self.modes:
            self.as_stock(table, mode, "map 64 GiB of registers, the last page "
                          "out of reach", mean("beyond", "map"))


class Ranges(Part):
    """Large ranges, where addresses are few"""
    MOST = 10

    def __init__(self, boot):
        self.boot = boot
        self.name = f"ranges-{boot}"

    def script(self, mode, kernel):
        return "b mask mask 32\n" \
            f"b all ranges {MIB}\n" \
            f"b some ranges {33 * MIB}\n" \
            "b mask mask 64\n"

    @staticmethod
    def left(found):
        return 100 - 100 * found.get("some", "ranges", "mib") / \
            found.get("all", "ranges", "mib")

    def rows(self, table):
        for mode in self.modes:
            self.row(table, mode, "33 MiB each, below 4 GiB: left of what 1 MiB "
                     "each gets", "%", self.left, self.MOST)


class Below(Part):
    """After more than fits below 4 GiB"""
    name = "below"

    def script(self, mode, kernel):
        return "b many above 1 6\nb once above 5 1\n"

    def rows(self, table):
        for mode in self.modes:
            self.row(table, mode, "after 1 GiB six times: the next page is "
                     "above 4 GiB", "pages", said("many", "above", "pages"), 0)
            self.row(table, mode, "after 5 GiB once: the next page is above "
                     "4 GiB", "pages", said("once", "above", "pages"), 0)


PARTS = (Aligned(), Calls(), Beyond(), Ranges("count"), Below(),
         Ranges("virtio"), Ranges("amd"))
