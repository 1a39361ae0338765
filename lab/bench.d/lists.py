# SPDX-License-Identifier: GPL-2.0
"""Scatterlists: what the layer adds to what the IOMMU needs."""
# lab/bench tells what such a file is made of; here it is called bench.
import re
import subprocess

NAME = "lists"
MACHINE = "arm64 smmuv3"
NONCOHERENT = MACHINE + ", bus not coherent"
SKIPPED = "the stock kernel has nothing like it"

BOOTS = {
    "count": ["--icount", "--timeout", "300"],
    "apart": ["--icount", "--non-coherent", "--timeout", "300"],
}

COUNT = 400     # calls that a mean is of
UNMAP = ("iommu_unmap_fast", "iommu_iotlb_sync")


def mean(label, name):
    return lambda found: found.mean(label, name)


def checked(label, adjacent, function):
    """The figure, if the list was what it is taken for"""
    def value(found):
        if found.get(label, "list", "adjacent") != adjacent:
            raise bench.Unmeasured(f"{label}: the wrong pages are adjacent")
        return function(found)
    return value


def segments(label):
    def value(found):
        n = found.get(label, "list", "segments")
        if not n:
            raise bench.Unmeasured(f"{label}: the list was not mapped")
        return n
    return value


def floor_of_unmap(label):
    return lambda found: sum(found.mean(label, name) for name in UNMAP)


class Part:
    boot = "count"
    modes = ("strict", "deferred")
    machine = MACHINE


class Scattered(Part):
    """Pages of which no two are adjacent"""
    ENTRIES = (64, 256)
    SHARE = 25      # the layer's own, instructions for each entry

    def __init__(self, name, boot, machine, about):
        self.name, self.boot, self.machine = name, boot, machine
        self.about = about

    def script(self, mode, kernel):
        return "".join(f"b {n} list scattered {n} {COUNT}\n"
                       f"b {n} listfloor scattered {n} {COUNT}\n"
                       for n in self.ENTRIES)

    def rows(self, table):
        def row(*words, **more):
            table.row(self.name, *words, machine=self.machine, **more)

        for mode in self.modes:
            for n in self.ENTRIES:
                label = str(n)
                text = f"{self.about}list of {n} pages, no two adjacent"
                row(mode, f"{text}, map", "instructions",
                    checked(label, 0, mean(label, "map")),
                    mean(label, "iommu_map_sg"))
                row(mode, f"{text}, unmap", "instructions",
                    checked(label, 0, mean(label, "unmap")),
                    floor_of_unmap(label),
                    target=table.stock(self.name, mode, mean(label, "unmap")))
                self.more(row, mode, label, n, text)

    def more(self, row, mode, label, n, text):
        row(mode, f"{text}, map above iommu_map_sg, for each entry",
            "instructions", checked(label, 0, lambda found: (
                found.mean(label, "map") -
                found.mean(label, "iommu_map_sg")) / n),
            target=self.SHARE)


class Apart(Scattered):
    """The same where the bus is not coherent: caches take part."""
    ENTRIES = (64,)

    def more(self, row, mode, label, n, text):
        for name, call in ("sync_for_device", "dma_sync_sg_for_device"), \
                ("sync_for_cpu", "dma_sync_sg_for_cpu"):
            row(mode, f"{text}, {call}", "instructions",
                checked(label, 0, mean(label, name)))


class Adjacent(Part):
    """Pages that the IOMMU core maps in one go"""
    name = "adjacent"

    def script(self, mode, kernel):
        return f"b 64 list adjacent 64 {COUNT}\n" \
            f"b 64 listfloor adjacent 64 {COUNT}\n"

    def rows(self, table):
        for mode in self.modes:
            table.row(self.name, mode, "list of 64 adjacent pages, map",
                      "instructions", checked("64", 63, mean("64", "map")),
                      mean("64", "iommu_map_sg"))
            table.row(self.name, mode, "list of 64 adjacent pages, unmap",
                      "instructions", checked("64", 63, mean("64", "unmap")),
                      floor_of_unmap("64"))


class Contiguous(Part):
    """One segment, whatever the list is made of: there is nothing to compare
    it with but the list that becomes what it may."""
    name = "contiguous"

    def script(self, mode, kernel):
        script = f"b merged list merged 16 {COUNT}\n"
        if kernel == "lean":
            script += f"b pages list scattered-contiguous 256 {COUNT}\n" \
                f"b pages listfloor scattered 256 {COUNT}\n" \
                f"b one list merged-contiguous 16 {COUNT}\n"
        return script

    def rows(self, table):
        for mode in self.modes:
            text = "list of 256 pages, no two adjacent, as one segment"
            for call, floor in ("map", mean("pages", "iommu_map_sg")), \
                    ("unmap", floor_of_unmap("pages")):
                table.row(self.name, mode, f"{text}, {call}", "instructions",
                          checked("pages", 0, mean("pages", call)), floor,
                          skip=("stock",))
            text = "list of 16 entries that meet inside granules"
            for call in "map", "unmap":
                table.row(self.name, mode, f"{text}, {call}", "instructions",
                          checked("merged", 0, mean("merged", call)))
            table.row(self.name, mode, f"{text}, segments", "segments",
                      segments("merged"))
            for call in "map", "unmap":
                table.row(self.name, mode, f"{text}, as one segment, {call}",
                          "instructions",
                          checked("one", 0, mean("one", call)),
                          skip=("stock",))
            table.row(self.name, mode, f"{text}, as one segment, segments",
                      "segments", segments("one"), target=1, skip=("stock",))


class Barriers(Part):
    """Completing barriers, counted by stepping through the calls"""
    name = "barriers"
    boot = None
    modes = ("strict",)
    machine = NONCOHERENT
    ENTRIES = 64
    CALLS = (("dma_map_sg_attrs", "dma_map_sg"),
             ("__dma_sync_sg_for_cpu", "dma_sync_sg_for_cpu"),
             ("__dma_sync_sg_for_device", "dma_sync_sg_for_device"),
             ("dma_unmap_sg_attrs", "dma_unmap_sg"))
    MOST = 2

    def outside(self, mode, kernel):
        """What lab/trace saw: lines of LABEL NAME key=value..."""
        got = subprocess.run(
            [f"{bench.TOP}/lab/trace", "--no-build", "--kernel", kernel,
             "--mode", mode, "--non-coherent", "--list", str(self.ENTRIES),
             *(function for function, _ in self.CALLS)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        lines = [f"{function} barriers {pairs}" for function, pairs in
                 re.findall(r"^(\w+): barriers: (.*)", got.stdout, re.M)]
        if got.returncode:
            lines.append("trace error command=lab/trace "
                         f"status={got.returncode}")
        return lines

    def rows(self, table):
        for mode in self.modes:
            for function, text in self.CALLS:
                text = f"list of {self.ENTRIES}, {text}, "
                table.row(self.name, mode, f"{text}barriers that complete "
                          "cache maintenance", "DSB",
                          self.maintained(function, "completing"),
                          target=self.MOST, machine=self.machine)
                table.row(self.name, mode, f"{text}other DSB", "DSB",
                          self.maintained(function, "other"),
                          machine=self.machine)
                table.row(self.name, mode, f"{text}lines maintained", "lines",
                          self.maintained(function, "lines"),
                          machine=self.machine)

    @staticmethod
    def maintained(function, key):
        def value(found):
            """No barrier is nothing to be proud of where there is no cache
            maintenance."""
            if not found.get(function, "barriers", "lines"):
                raise bench.Unmeasured(f"{function} maintains no cache")
            if found.get(function, "barriers", "pending"):
                raise bench.Unmeasured(f"{function} does not wait for caches")
            return found.get(function, "barriers", key)
        return value


PARTS = (
    Scattered("scattered", "count", MACHINE, ""),
    Adjacent(),
    Contiguous(),
    Apart("apart", "apart", NONCOHERENT, "not coherent: "),
    Barriers(),
)
