# SPDX-License-Identifier: GPL-2.0
"""The kernels of the lab: what each is made of, and what its directory is called."""

# What each has on top of lab/config/common and the architecture's own; of NAME
# also NAME-ARCH, if there is one.
KINDS = {
    "lean": [], "stock": [],
    "debug": ["tests", "debug"],
    "64k": ["tests", "debug", "64k"],
    "kasan": ["tests", "debug", "kasan"],
    "kcsan": ["tests", "kcsan"],
    "kmsan": ["tests", "kmsan"],
    "rt": ["tests", "debug", "rt"],
    "gcov": ["tests", "debug", "gcov"],
}
ONLY = {"64k": "arm64", "kmsan": "x86_64"}
CLANG = ("kmsan",)      # not made by gcc

HELP = """lean: what is measured; stock: that from the base's own files; debug: what
is tested, with all checks that cost little; 64k: that with pages of 64 KiB
(arm64); kasan, rt, gcov: that with KASAN, with PREEMPT_RT, with lines counted;
kcsan, kmsan (x86_64): what the tests need with those alone, KCSAN in the layer"""


def refusal(arch, kind):
    """Why there is no such kernel; None if there is."""
    if ONLY.get(kind, arch) != arch:
        return f"there is no {kind} kernel for {arch}"
    return None


def name(arch, kind):
    """Of its directory in build/."""
    return arch if kind == "lean" else f"{kind}-{arch}"
