# SPDX-License-Identifier: GPL-2.0
"""Directories in which single objects of a kernel are compiled, none linked."""
import fcntl
import hashlib
import itertools
import os
import re
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
SOURCE = f"{TOP}/build/src"
CROSS = {"arm64": "aarch64-linux-gnu-", "s390": "s390x-linux-gnu-",
         "riscv": "riscv64-linux-gnu-"}     # of others the host's own compiler
NOTE = re.compile(r"(\S+?):(\d+):(?:\d+:)? (?:note|warning): ")
WARNING = re.compile(r"(?:\S+: )?(\S+?):(\d+):(?:\d+:)? ?(?:fatal )?(warning|error): (.*)")


def read(path):
    try:
        with open(path, errors="replace") as source:
            return source.read()
    except FileNotFoundError:
        return ""


def fragments(*names):
    """Of lab/config; some have no part for every architecture."""
    return "".join(read(f"{TOP}/lab/config/{name}") for name in names)


def base(path):
    """A path as it is in a kernel tree."""
    path = os.path.normpath(path)
    for place in (SOURCE, "../src", "src", TOP):
        if path.startswith(place + "/"):
            return path[len(place) + 1:]
    return path


class Objects:
    """One such directory: an architecture, a compiler and a configuration.

    recipe is what makes the configuration: pairs of a make target, of several
    words perhaps, and a text that it reads (KCONFIG_ALLCONFIG), or that is
    appended to what it makes.
    """

    def __init__(self, name, arch, recipe, compiler=None, jobs=2):
        self.name, self.arch, self.recipe = name, arch, recipe
        self.out = f"{TOP}/build/{name}"
        self.log = f"{TOP}/build/log/{name.replace('/', '-')}.log"
        self.cross = CROSS.get(arch, "")
        self.compiler = compiler or f"{self.cross}gcc"
        self.jobs = jobs

    def __enter__(self):
        os.makedirs(self.out, exist_ok=True)
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        self.lock = open(f"{self.out}.lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        open(self.log, "w").close()
        return self

    def __exit__(self, *_):
        self.lock.close()

    def make(self, *words, **environment):
        """Status, and what make said; the log has all of it."""
        ccache = "ccache " if shutil.which("ccache") else ""
        command = ["make", "-C", SOURCE, f"O={self.out}", f"ARCH={self.arch}",
                   f"CROSS_COMPILE={self.cross}", f"CC={ccache}{self.compiler}",
                   f"HOSTCC={ccache}gcc", f"-j{self.jobs}", *words]
        got = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
            env={**os.environ, "LC_ALL": "C",
                 "CCACHE_BASEDIR": f"{TOP}/build", "CCACHE_NOHASHDIR": "1",
                 "CCACHE_DEPEND": "1",
                 "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2026",
                 "KBUILD_BUILD_VERSION": "1",
                 "KBUILD_BUILD_USER": "lab", "KBUILD_BUILD_HOST": "lab",
                 **environment})
        with open(self.log, "a") as log:
            log.write(f"$ {' '.join(words)}\n{got.stdout}")
        return got.returncode, got.stdout

    def configure(self):
        """Return what went wrong, or None."""
        key = hashlib.sha256(repr((self.recipe, self.compiler, read(
            f"{SOURCE}/Makefile")[:200])).encode()).hexdigest()
        stamp = f"{self.out}/.lab-objects"
        if read(stamp) == key and os.path.exists(f"{self.out}/.config"):
            return None
        for target, text in self.recipe:
            environment = {}
            if re.search(r"(all\w+|rand)config", target):
                with open(f"{self.out}/.lab-wanted", "w") as wanted:
                    wanted.write(text)
                environment["KCONFIG_ALLCONFIG"] = f"{self.out}/.lab-wanted"
            status, said = self.make("-s", *target.split(), **environment)
            if status:
                return said
            if text and not environment:
                with open(f"{self.out}/.config", "a") as config:
                    config.write(text)
        with open(stamp, "w") as out:
            out.write(key)
        return None

    def prepare(self, *words):
        """Return what went wrong, or None."""
        said = self.configure()
        if said is None:
            status, said = self.make(*(words or ("prepare",)))
            said = said if status else None
        return said

    def config(self):
        """Every symbol that is set."""
        return dict(re.findall(r"^(CONFIG_\w+)=(.*)$",
                               read(f"{self.out}/.config"), re.M))

    def forget(self, *paths):
        """Objects that are up to date would say nothing."""
        for path in paths:
            path = f"{self.out}/{path}"
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)


def warnings(said):
    """What compilers and sparse found: (path, line, message), each once. Of what
    is in a header of the base, also where it was used."""
    found, lines = {}, said.split("\n")
    for n, line in enumerate(lines):
        if not (got := WARNING.match(line)):
            continue
        path, text = base(got[1]), got[4]
        if not os.path.exists(f"{TOP}/{path}"):
            near = itertools.takewhile(
                lambda other: not WARNING.match(other), lines[n + 1:n + 40])
            used = [f"{base(note[1])}:{note[2]}" for other in near
                    if (note := NOTE.match(other)) and
                    os.path.exists(f"{TOP}/{base(note[1])}")]
            text += f" (used in {used[0]})" if used else ""
        found[path, int(got[2]), text] = None
    return list(found)


def errors(said, lines=12):
    """The part of what make said that a person looks for first."""
    said = said.split("\n")
    first = [n for n, line in enumerate(said)
             if re.search(r"\berror\b|\*\*\*|undefined|No rule", line, re.I)]
    return said[max(0, (first or [len(said)])[0] - 3):][:lines]
