# SPDX-License-Identifier: GPL-2.0
"""All in: what map and unmap cost with all that they cause in the background."""
# lab/bench tells what such a file is made of; here it is called bench.

NAME = "allin"
MACHINE = "arm64 smmuv3"
SKIPPED = "not measured, as it would take many minutes"

# Machines that the parts run on; each is booted once with each kernel. Seeds of the
# kernel's random numbers would decide which pages it has at hand.
BOOTS = {
    "count": ["--icount", "--mem", "3G", "--timeout", "2400",
              "--qemu-arg=-machine", "--qemu-arg=dtb-randomness=off"],
    "intel": ["--arch", "x86_64", "--icount", "--mem", "3G",
              "--timeout", "2400"],
}
MACHINES = {"count": MACHINE, "intel": "x86_64 intel"}

KIB = 1 << 10
MIB = 1 << 20

# How many pairs of calls a figure is of: fewer where each takes longer
PAIRS = {4 * KIB: 20000, 64 * KIB: 8000, 256 * KIB: 4000, MIB: 1000}
# Milliseconds of the guest's time; who needs more for that does fewer. The base
# searches so long in some rows that nobody would wait for all of it.
LONGEST = 500

# How many are live. More of the large ones would take minutes to make.
LIVE = {4 * KIB: (1000, 20000, 200000), 64 * KIB: (1000, 20000, 200000),
        256 * KIB: (1000, 20000), MIB: (1000, 20000)}
# More do not make the IOMMU API's work another.
FLOOR_LIVE = 1000

# In the order in which they follow on each other in one domain
PATTERNS = {"order": "in order", "ring": "as a ring", "random": "at random",
            "batch": "at random, in batches of 64"}


def text_of(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def whole(label):
    return lambda found: found.mean(label, "whole")


def measured(label, command, words):
    return f"b {label} {command} {words}\n"


def floored(kernel, label, command, words):
    """The same, and where the floor is taken, by the IOMMU API alone"""
    script = measured(label, command, words)
    if kernel == "lean":
        script += measured(f"{label}-floor", f"{command}floor", words)
    return script


class Part:
    modes = ("strict", "deferred")

    def __init__(self, boot, name):
        self.boot = boot
        self.name = name if boot == "count" else f"{boot}-{name}"

    def row(self, table, mode, name, value, floor=None):
        table.row(self.name, mode, name, "instructions", value, floor,
                  machine=MACHINES[self.boot])


class One(Part):
    """Mapped and unmapped again at once: nothing else is live."""

    def __init__(self, boot="count"):
        super().__init__(boot, "one")

    def script(self, mode, kernel):
        return "".join(floored(kernel, size, "allin",
                               f"order {size} 1 {pairs} {LONGEST}")
                       for size, pairs in PAIRS.items())

    def rows(self, table):
        for mode in self.modes:
            for size in PAIRS:
                self.row(table, mode, f"{text_of(size)}, nothing else live",
                         whole(str(size)), whole(f"{size}-floor"))


class Live(Part):
    """Mappings that come and go among many"""

    def __init__(self, size, live, boot="count", patterns=tuple(PATTERNS)):
        super().__init__(boot, f"{text_of(size).replace(' ', '')}-{live}"
                         .replace("KiB", "k").replace("MiB", "m"))
        self.size, self.live, self.patterns = size, live, patterns

    def script(self, mode, kernel):
        def lines(label, command, live):
            return "".join(f"b {pattern}{label} {command} {pattern} {self.size} "
                           f"{live} {PAIRS[self.size]} {LONGEST}\n"
                           for pattern in self.patterns)

        # Nothing else may be live when the floor is measured.
        script = ""
        if kernel == "lean":
            script = lines("-floor", "allinfloor", min(self.live, FLOOR_LIVE))
        return script + lines("", "allin", self.live)

    def rows(self, table):
        for mode in self.modes:
            for pattern in self.patterns:
                self.row(table, mode, f"{text_of(self.size)}, {self.live:,} "
                         f"live, {PATTERNS[pattern]}",
                         whole(pattern), whole(f"{pattern}-floor"))


class Lists(Part):
    """Scatterlists of whole pages, adjacent and not, and of odd ends. Of these
    the IOMMU API maps the pages that they are in: as many, none adjacent."""
    KINDS = {"scattered": "pages, no two adjacent", "adjacent": "adjacent pages",
             "odd": "entries of 3,000 bytes in pages of their own"}
    SINGLE = {"scattered": "one page", "odd": "one entry of 3,000 bytes"}
    ENTRIES = {1: 8000, 4: 4000, 32: 1000, 256: 200}

    def __init__(self, boot="count", entries=tuple(ENTRIES)):
        super().__init__(boot, "lists")
        self.entries = entries

    def script(self, mode, kernel):
        script = ""
        for kind in self.KINDS:
            for n in self.entries:
                words = (f"{kind}-{n}", "listallin",
                         f"{kind} {n} {self.ENTRIES[n]} {LONGEST}")
                script += measured(*words) if kind == "odd" else \
                    floored(kernel, *words)
        return script

    @staticmethod
    def checked(kind, n):
        """The figure, if the list was what it is taken for"""
        def value(found):
            adjacent = n - 1 if kind == "adjacent" else 0
            if found.get(f"{kind}-{n}", "list", "adjacent") != adjacent:
                raise bench.Unmeasured(f"{kind}-{n}: the wrong pages are "
                                       "adjacent")
            return found.mean(f"{kind}-{n}", "whole")
        return value

    def rows(self, table):
        for mode in self.modes:
            for kind, text in self.KINDS.items():
                below = "scattered" if kind == "odd" else kind
                for n in self.entries:
                    what = f"{n} {text}" if n > 1 else self.SINGLE.get(kind)
                    if not what:
                        continue
                    self.row(table, mode, f"list of {what}",
                             self.checked(kind, n),
                             whole(f"{below}-{n}-floor"))


class Coherent(Part):
    """Memory that is allocated and freed; the floor gets pages that adjoin, and
    maps them at once."""
    SIZES = {4 * KIB: 8000, 64 * KIB: 1000, 2 * MIB: 60}

    def __init__(self, boot="count", sizes=tuple(SIZES)):
        super().__init__(boot, "coherent")
        self.sizes = sizes

    def script(self, mode, kernel):
        return "".join(floored(kernel, size, "coherent",
                               f"{size} {self.SIZES[size]} {LONGEST}")
                       for size in self.sizes)

    def rows(self, table):
        for mode in self.modes:
            for size in self.sizes:
                self.row(table, mode, f"coherent memory, {text_of(size)}, "
                         "allocated and freed", whole(str(size)),
                         whole(f"{size}-floor"))


PARTS = (
    One(),
    *(Live(size, live) for size, lives in LIVE.items() for live in lives),
    Lists(),
    Coherent(),
    One("intel"),
    Live(4 * KIB, 1000, "intel"),
    Live(64 * KIB, 20000, "intel"),
    Lists("intel", (4, 256)),
    Coherent("intel", (4 * KIB, 64 * KIB)),
)
