# SPDX-License-Identifier: GPL-2.0
"""What figures depend on besides the layer: versions of the base and of programs."""
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def read(path):
    with open(path) as source:
        return source.read()


def said(*words):
    """The first line of what a program says; nothing if there is none"""
    try:
        got = subprocess.run(words, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return got.stdout.split("\n", 1)[0]


def base():
    """Of the kernel that the layer is put over"""
    makefile = read(f"{TOP}/build/src/Makefile")
    return ".".join(re.search(rf"^{part} = (\d+)$", makefile, re.M)[1]
                    for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))


def compiler(kernel):
    """Of a kernel, which is the name of its directory"""
    config = read(f"{TOP}/build/{kernel}/.config")
    return re.search(r'^CONFIG_CC_VERSION_TEXT="(.*)"$', config, re.M)[1]


def qemu():
    return said("qemu-system-aarch64", "--version")


def layer():
    """The commit, if this is a clone"""
    return said("git", "-C", TOP, "-c", f"safe.directory={TOP}", "describe",
                "--always", "--dirty")
