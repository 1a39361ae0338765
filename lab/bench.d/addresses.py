# SPDX-License-Identifier: GPL-2.0
"""Addresses and deferred invalidation: nothing searches, nothing stalls."""
# lab/bench tells what such a file is made of; here it is called bench.

NAME = "addresses"
MACHINE = "arm64 smmuv3"
SKIPPED = "not measured, as it would take many minutes"

# Machines that the parts run on; each is booted once with each kernel.
BOOTS = {
    "count": ["--icount", "--mem", "3G", "--timeout", "900"],
    "pair": ["--smp", "2"],
}

KIB = 1 << 10
MIB = 1 << 20

# What deferred mode may cost more than the figures for strict mode
DEFERRED = 1.2


def text_of(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def of(label, name, key):
    """What is printed as it was measured"""
    return lambda found: found.get(label, name, key)


def mean(label, name):
    return lambda found: found.mean(label, name)


class Part:
    boot = "count"
    modes = ("strict", "deferred")


class Page(Part):
    """One page, over and over, and what the IOMMU API takes of that."""
    name = "page"
    FLOOR = ("iommu_map", "iommu_unmap_fast", "iommu_iotlb_sync")

    def script(self, mode, kernel):
        return "b page page 20000 4096\n" \
            "b floor floor 20000 4096\n" \
            "b loop loop 200 4096\n"

    def rows(self, table):
        def total(how, label, names):
            return lambda found: sum(
                found.mean(label, name) if how == "mean" else
                found.get(label, name, how) for name in names)

        def above(how):
            """The floor of the same kernel, in the same run"""
            return lambda found: \
                total(how, "page", ("map", "unmap"))(found) - \
                total(how, "floor", self.FLOOR)(found)

        for mode, target in ("strict", 200), ("deferred", 250):
            for how in "mean", "median":
                table.row("page", mode, "4 KiB map + unmap, above the floor, "
                          f"{how}", "instructions", above(how),
                          total(how, "floor", self.FLOOR), target)
            table.row("page", mode, "4 KiB map, mean", "instructions",
                      mean("page", "map"), mean("floor", "iommu_map"))
            table.row("page", mode, "4 KiB unmap, mean", "instructions",
                      mean("page", "unmap"),
                      total("mean", "floor", self.FLOOR[1:]))
            table.row("page", mode, "4 KiB map + unmap, with all that timers "
                      "and workers do", "instructions",
                      lambda found: found.get("loop", "loop", "ns") /
                      found.get("loop", "loop", "pairs"))


class Live(Part):
    """Random replacement in an old domain."""

    def __init__(self, name, live, least, most, targets=(None, None, None)):
        self.name, self.live, self.least, self.most = name, live, least, most
        self.targets = targets
        self.sizes = range(least, most + 1, least)

    def script(self, mode, kernel):
        return f"b fill fill {self.live} {self.least} {self.most} 60000\n" \
            "b young replace 20000 60000\n" \
            "b old replace 20000 60000\n" + \
            "".join(f"b floor floor {4096 // len(self.sizes)} {size}\n"
                    for size in self.sizes)

    def rows(self, table):
        what = text_of(self.most)
        if self.least != self.most:
            what = f"{text_of(self.least)} to {what}"
        what = f"{self.live:,} live of {what}"

        def floor(how, *names):
            def value(found):
                """Of equally many of each size"""
                total = [[v["sum"] / v["n"] if how == "mean" else v[how]
                          for v in found.all("floor", name)] for name in names]
                sums = [sum(same) for same in zip(*total)]
                if len(sums) != len(self.sizes):
                    raise bench.Unmeasured("no floor of every size")
                return sum(sums) / len(sums) if how == "mean" else max(sums)
            return value

        for mode in self.modes:
            for how, target in zip(("mean", "p99", "max"), self.targets):
                if target and mode == "deferred":
                    target = round(target * DEFERRED)
                table.row(self.name, mode, f"{what}, map, {how}",
                          "instructions",
                          mean("old", "map") if how == "mean" else
                          of("old", "map", how), floor(how, "iommu_map"),
                          target)
            table.row(self.name, mode, f"{what}, map, max while it grows old",
                      "instructions", of("young", "map", "max"))
            for how in "mean", "p99", "max":
                table.row(self.name, mode,
                          f"{what}, unmap, {how}", "instructions",
                          mean("old", "unmap") if how == "mean" else
                          of("old", "unmap", how),
                          floor(how, "iommu_unmap_fast", "iommu_iotlb_sync"))


class Growth(Part):
    """The same with more and more that is live."""
    LIVE = (1000, 40000, 400000)

    def __init__(self, name, size, slow):
        """slow: how many live the base can be measured with"""
        self.name, self.size, self.slow = name, size, slow

    def script(self, mode, kernel):
        script = ""
        for live in self.LIVE:
            if kernel == "stock" and live > self.slow:
                break
            # Old means that a quarter of all has been replaced. The base gets
            # a second of its own time for that, where it is slow.
            script += f"b fill fill {live} {self.size} {self.size} 60000\n" \
                f"b young replace {max(2000, live // 4)} 1000\n" \
                f"b {live} replace 20000 1000\n"
        return script

    def rows(self, table):
        what = text_of(self.size)
        first, last = self.LIVE[0], self.LIVE[-1]
        skip = ("stock",) if self.slow < last else ()
        for mode in self.modes:
            table.row(self.name, mode, f"{what} map, growth of the mean from "
                      f"{first:,} to {last:,} live", "percent",
                      lambda found: 100 * (
                          found.mean(str(last), "map") /
                          found.mean(str(first), "map") - 1),
                      target=10, skip=skip)
            for live in self.LIVE:
                table.row(self.name, mode, f"{what} map, {live:,} live, mean",
                          "instructions", mean(str(live), "map"),
                          skip=("stock",) if live > self.slow else ())


class Flushes(Part):
    """How often everything is invalidated, and how long an unmap waits."""
    name = "flushes"
    modes = ("deferred",)
    LOADS = (("page", "single pages"), ("mixed", "many sizes, then idle"),
             ("busy", "6 threads on one CPU"))

    def script(self, mode, kernel):
        return "b rate flushes on\n" \
            "b rate loop 1000 4096\n" \
            "b rate flushes off\n" \
            "b page flushes on\n" \
            "b page loop 300 4096\n" \
            "sleep 1\n" \
            "b page flushes off\n" \
            "b mixed flushes on\n" \
            f"b mixed fill 20000 4096 {256 * KIB} 10000\n" \
            "b mixed replace 20000 1000\n" \
            "b mixed drain 0\n" \
            "sleep 1\n" \
            "b mixed page 1 4096\n" \
            "sleep 1\n" \
            "b mixed flushes off\n" \
            "for i in 1 2 3 4 5 6; do while :; do :; done & done\n" \
            "b busy flushes on\n" \
            "b busy loop 300 4096\n" \
            f"b busy fill 20000 4096 {256 * KIB} 10000\n" \
            "b busy drain 0\n" \
            "sleep 1\n" \
            "b busy flushes off\n" \
            "kill $(jobs -p)\n"

    def rows(self, table):
        def windows(function):
            def value(found):
                for label, _ in self.LOADS:
                    # Whoever is still waiting has not been protected at all.
                    if found.get(label, "window", "waiting"):
                        raise bench.Unmeasured("unmaps wait for ever")
                return function(found)
            return value

        table.row("flushes", "deferred", "whole-domain invalidations, single "
                  "pages", "per second",
                  lambda found: found.get("rate", "flushes", "count") * 1e9 /
                  found.get("rate", "flushes", "ns"), target=110)
        for label, text in self.LOADS:
            table.row("flushes", "deferred", f"window, {text}, max", "ms",
                      windows(lambda found: found.get(label, "window", "max") /
                              1e6), target=10)
            table.row("flushes", "deferred", f"window, {text}, mean", "ms",
                      windows(lambda found: found.get(label, "window", "sum") /
                              found.get(label, "window", "unmaps") / 1e6))


class Metadata(Part):
    """Slab pages that mappings cost. Page tables are not in slabs."""
    name = "metadata"
    LIVE = 190000
    BASE = 1000

    def script(self, mode, kernel):
        return f"b base fill {self.BASE} 4096 4096 60000\n" \
            "keep_slabs\n" \
            f"b filled fill {self.BASE + self.LIVE} 4096 4096 60000\n" \
            "slabs filled\n" \
            f"b replaced replace {self.LIVE} 60000\n" \
            "slabs replaced\n"

    def rows(self, table):
        def each(label):
            return lambda found: \
                found.get(label, "fill" if label == "filled" else "replace") \
                and sum(slab["bytes"] for slab in found.all(label, "slab")) / \
                self.LIVE

        for mode in self.modes:
            for label, text in ("filled", "one after the other"), \
                    ("replaced", "after as many random replacements"):
                table.row("metadata", mode, f"metadata per live 4 KiB mapping, "
                          f"{text}", "bytes", each(label), target=8)


class Domain(Part):
    """What is allocated for a domain: on one CPU, and on two."""
    LAYER = {"stock": ("drivers/iommu/dma-iommu.o", "drivers/iommu/iova.o"),
             "lean": ("drivers/iommu/dma-iommu.o", "drivers/iommu/dma/*.o")}

    def __init__(self, name, boot, cpus):
        self.name, self.boot, self.cpus = name, boot, cpus

    def script(self, mode, kernel):
        # An xarray of the layer's has nodes.
        names = " ".join(bench.functions(kernel, *self.LAYER[kernel]) +
                         ["xas_alloc"])
        script = f"layer='{names}'\n" \
            "make_domain() {\n" \
            "\techo $1 > $type || say domain \"error command=type\"\n" \
            "}\n" \
            "use_domain() {\n" \
            "\techo $device > $sys/bind\n"
        for cpu in range(self.cpus):
            script += f"\ttaskset {1 << cpu:x} sh -c " \
                "\"echo page 1 4096 > $own/run\"\n"
        # What deferred mode only keeps for a while is not counted.
        return script + "\tsleep 1\n}\n" \
            "both() { make_domain $1; use_domain; }\n" \
            "for what in make_domain both; do\n" \
            "\techo $device > $sys/unbind\n" \
            "\techo identity > $type ||\n" \
            "\t\tsay domain \"error command=identity\"\n" \
            f"\ttraced $what {bench.MODES[mode]}\n" \
            "\tallocations $what \"$layer\"\n" \
            "\t[ $what = both ] || echo $device > $sys/bind\n" \
            "done\n"

    def rows(self, table):
        if self.cpus == 1:
            return

        def total(found, label, name):
            return sum(one["bytes"] for one in found.all(label, name))

        def per_cpu(label):
            def value(one, two):
                """The second CPU's share"""
                if not total(one, label, "slab"):
                    raise bench.Unmeasured(f"no allocation in {label}")
                return total(two, label, "percpu") + \
                    total(two, label, "slab") - total(one, label, "slab")
            return value

        for mode in self.modes:
            for label, text in ("make_domain", "new domain"), \
                    ("both", "after some use on each CPU"):
                table.row(("domain1", "domain2"), mode, "metadata per CPU and "
                          f"domain, {text}", "bytes", per_cpu(label),
                          target=2048)


class Late(Part):
    """The longest time with interrupts off."""
    name = "late"
    LIVE = 1000000
    FLOOR = (("floor", "spin 300"), ("pages", "pages 10000"))
    LOADS = (
        ("fill", f"fill {LIVE} 4096 4096 20000"),
        ("replace", "replace 20000 1000"),
        ("page", "page 5000 4096"),
        ("256k", f"page 500 {256 * KIB}"),
        ("4m", f"page 50 {4 * MIB}"),
        ("limit", "mask 36", "page 5000 4096", f"page 500 {256 * KIB}"),
        ("narrow", "mask 28", "exhaust 20 4096 1000",
         f"exhaust 20 {256 * KIB} 1000"),
        ("exhaust", "mask 32", "exhaust 20 4096 1000",
         f"exhaust 20 {64 * KIB} 1000", "mask 64"),
        ("drain", f"drain {LIVE // 2}"),
    )

    def script(self, mode, kernel):
        # The page allocator moves thousands of pages with interrupts off,
        # unless its own caches are told to be small.
        script = "echo 1000000 > /proc/sys/vm/percpu_pagelist_high_fraction\n"
        for label, *commands in self.FLOOR + self.LOADS:
            script += f"b {label} late on\n" + \
                "".join(f"b {label} {command}\n" for command in commands) + \
                f"b {label} late off\n"
        return script + "echo 0 > /proc/sys/vm/percpu_pagelist_high_fraction\n"

    @staticmethod
    def places(found, loads):
        """{who: longest}, by who turned interrupts on again"""
        longest = {}
        for label, *_ in loads:
            found.get(label, "late")
            for place in found.all(label, "place"):
                who = place["caller"] if place["where"].startswith(
                    "_raw_spin_unlock_irq") else place["where"]
                longest[who] = max(longest.get(who, 0), place["max"])
        return longest

    def longest(self, loads):
        def value(found):
            """Who is as late when nothing is mapped is the kernel's business:
            the page allocator moves its pages in bulk"""
            others = self.places(found, self.FLOOR)
            own = [time for who, time in self.places(found, loads).items()
                   if who not in others]
            # Below this no names are kept.
            return max(own, default=min(3000, max(
                found.get(label, "late", "max") for label, *_ in loads)))
        return value

    def rows(self, table):
        def floor(found):
            return max(found.get(label, "late", "max")
                       for label, *_ in self.FLOOR)

        for mode in self.modes:
            table.row("late", mode, f"interrupts off, longest, {self.LIVE:,} "
                      "live", "instructions", self.longest(self.LOADS), floor,
                      target=20000)
            for load in self.LOADS:
                table.row("late", mode, f"interrupts off, {self.LIVE:,} live: "
                          f"{load[0]}", "instructions", self.longest((load,)),
                          floor)


PARTS = (
    Page(),
    Live("live", 40000, 256 * KIB, 256 * KIB, (3200, 4500, 12000)),
    Live("mixed", 40000, 32 * KIB, 256 * KIB, (2200, 4500, 12000)),
    # As much as just fits below 4 GiB, where PCI devices' addresses begin
    Live("crowd", 20000, 4 * KIB, 256 * KIB),
    Growth("grow4k", 4 * KIB, 400000),
    Growth("grow256k", 256 * KIB, 1000),
    Flushes(),
    Metadata(),
    Domain("domain1", "count", 1),
    Domain("domain2", "pair", 2),
    Late(),
)
