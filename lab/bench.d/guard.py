# SPDX-License-Identifier: GPL-2.0
"""Guard: those parts of allin that a change of the layer is judged by, which take
about a minute."""
# lab/bench tells what such a file is made of; here it is called bench.

allin = bench.load("allin")

NAME = "guard"
MACHINE = allin.MACHINE
SKIPPED = allin.SKIPPED
BOOTS = {"count": allin.BOOTS["count"]}

# In order is left out: all go and come at once, and what that costs moves by some
# percent with what was done before. What more coherent memory costs depends on how
# many of the pages that it gets are adjacent, which any change of the kernel decides
# anew.
PATTERNS = ("ring", "random", "batch")
PARTS = (
    allin.One(),
    *(allin.Live(size, 1000, patterns=PATTERNS)
      for size in (4 * allin.KIB, 64 * allin.KIB, 256 * allin.KIB)),
    allin.Lists(),
    allin.Coherent(sizes=(4 * allin.KIB,)),
)
