# SPDX-License-Identifier: GPL-2.0
"""What a person reads first of what lab/bench measured: build/bench/report.md, and a
picture, build/bench/cost.svg; and what the README shows of these."""
import json
import os
import re
import shutil
import subprocess
import time

import versions

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PLACE = f"{TOP}/build/bench"
ABOUT = f"{PLACE}/about.json"
REPORT = f"{PLACE}/report.md"
PICTURE = f"{PLACE}/cost.svg"
MODES = ("strict", "deferred")
WHO = {"stock": "base", "ours": "this layer", "floor": "IOMMU API alone"}
COLOURS = {"stock": "#b04030", "ours": "#2060a0", "floor": "#909090"}
SIZES = ("4 KiB", "256 KiB")    # a row of the picture for each
WORSE = 1.005                   # less is no difference that anybody would see

# What the README shows: rows of allin, if they were measured on arm64. Its part is
# what is between these two lines.
README = f"{TOP}/README.md"
SHOWN_PICTURE = "lab/cost.svg"
BEGIN = "<!-- what follows is written by make bench-readme -->\n"
END = "<!-- what was written by make bench-readme ends here -->\n"
SHOWN = ("4 KiB, nothing else live", "64 KiB, nothing else live",
         "1 MiB, nothing else live", "4 KiB, 200,000 live, at random",
         "4 KiB, 200,000 live, at random, in batches of 64",
         "64 KiB, 20,000 live, at random", "256 KiB, 20,000 live, at random",
         "1 MiB, 20,000 live, as a ring", "list of 4 pages, no two adjacent",
         "list of 256 pages, no two adjacent", "list of 256 adjacent pages",
         "list of 32 entries of 3,000 bytes in pages of their own",
         "coherent memory, 4 KiB, allocated and freed",
         "coherent memory, 2 MiB, allocated and freed")

HEAD = """\
# What the layer costs

Instructions that a pair of map and unmap costs, with all that timers and workers do
for it, and other figures. Emulated machines count them exactly. The floor is what the
IOMMU API alone takes for the same work, on the same kernel in the same run. Bold is
worse than the base.

"""

PLOT = """\
set terminal svg size 960,{height} font "sans,13" background "white"
set output "{picture}"
set multiplot layout {rows},2
set logscale xy
set xrange [0.7:300000]
set grid
set key top left
set format x "%.0f"
set format y "%.0f"
set xlabel "live mappings, any replaced at random"
set ylabel "instructions, map + unmap, all in"
"""


# ---- when, and with what -------------------------------------------------------

def note(case, machines):
    """Keep with what a case was measured."""
    about = load(ABOUT, {})
    about[case] = {
        "date": time.strftime("%Y-%m-%d"), "layer": versions.layer(),
        "base": versions.base(), "qemu": versions.qemu(),
        "compiler": ", ".join(map(versions.compiler, machines))}
    os.makedirs(PLACE, exist_ok=True)
    with open(ABOUT, "w") as out:
        json.dump(about, out, indent=1)


def load(path, otherwise):
    try:
        with open(path) as source:
            return json.load(source)
    except (OSError, ValueError):
        return otherwise


def told(about):
    if not about:
        return "It is not known when this was measured.\n"
    return f"Measured on {about['date']}: layer {about['layer'] or 'unknown'}, " \
        f"base {about['base']}, {about['compiler']}, {about['qemu']}.\n"


# ---- tables --------------------------------------------------------------------

def figure(value):
    if value is None:
        return "-"
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:,.1f}"
    return f"{value:,.0f}"


def cells(record):
    """Stock, ours, floor"""
    if not record:
        return ["", "", ""]
    stock, ours = record["stock"], record["ours"]
    worse = None not in (stock, ours) and ours > stock * WORSE
    return [figure(stock), f"**{figure(ours)}**" if worse else figure(ours),
            figure(record["floor"])]


def line(words):
    return f"| {' | '.join(words)} |\n"


def table(records):
    """A row for each name, both modes in it"""
    rows = {}
    for record in records:
        name = record["name"] if record["unit"] == "instructions" else \
            f"{record['name']} ({record['unit']})"
        rows.setdefault(name, {})[record["mode"]] = record
    head = [""] + [f"{mode}: {who}" for mode in MODES
                   for who in ("base", "ours", "floor")]
    return line(head) + line(["---"] + ["---:"] * 6) + "".join(
        line([name] + [cell for mode in MODES for cell in cells(row.get(mode))])
        for name, row in rows.items())


def section(case, records, about):
    text = f"## {case}\n\n{told(about.get(case))}\n"
    for machine in dict.fromkeys(r["machine"] for r in records):
        same = [r for r in records if r["machine"] == machine]
        text += f"### {machine}\n\n{table(same)}\n"
    return text


# ---- the picture ---------------------------------------------------------------

def points(records, size, mode, who):
    """(live, cost) of mappings of which any is replaced"""
    found = []
    for record in records:
        live = re.fullmatch(rf"{size}, (?:nothing else|([\d,]+)) live"
                            r"(?(1), at random)", record["name"])
        if live and record["mode"] == mode and record[who] is not None and \
                record["machine"].startswith("arm64"):
            found.append((int((live[1] or "1").replace(",", "")), record[who]))
    return sorted(found)


def panel(records, size, mode):
    lines = {who: points(records, size, mode, who) for who in WHO}
    lines = {who: found for who, found in lines.items() if found}
    if not lines:
        return ""
    data = "".join(f"${who} << END\n" + "".join(
        f"{live} {cost}\n" for live, cost in found) + "END\n"
        for who, found in lines.items())
    plots = ", ".join(
        f'${who} with linespoints lw 2 pt 7 ps 0.6 lc rgb "{COLOURS[who]}" '
        f'title "{WHO[who]}"' for who in lines)
    return f'{data}set title "{size}, {mode}"\nplot {plots}\n'


def draw(records):
    """Return whether there is a picture."""
    panels = [panel(records, size, mode) for size in SIZES for mode in MODES]
    if not any(panels):
        return False
    if not shutil.which("gnuplot"):
        subprocess.run([f"{TOP}/lab/setup", "report"], check=False)
    if not shutil.which("gnuplot"):
        return False
    script = PLOT.format(height=360 * len(SIZES), rows=len(SIZES),
                         picture=PICTURE) + \
        "".join(text or "set multiplot next\n" for text in panels)
    return not subprocess.run(["gnuplot"], input=script, text=True,
                              check=False).returncode


# ---- all of it -----------------------------------------------------------------

def make(records):
    """Return the path of the report."""
    about = load(ABOUT, {})
    text = HEAD
    allin = [r for r in records if r["case"] == "allin"]
    if draw(allin):
        text += f"![Cost against live mappings]({os.path.basename(PICTURE)})\n\n"
    cases = sorted({r["case"] for r in records}, key=lambda c: (c != "allin", c))
    for case in cases:
        text += section(case, [r for r in records if r["case"] == case], about)
    with open(REPORT, "w") as out:
        out.write(text)
    return REPORT


def readme(records):
    """Put the picture and the main table into the README. Return what is wrong."""
    main = [r for name in SHOWN for r in records if r["case"] == "allin" and
            r["name"] == name and r["machine"].startswith("arm64")]
    with open(README) as source:
        text = source.read()
    if not main or not os.path.exists(PICTURE):
        return "make bench CASE=allin has to come first"
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        return f"README.md has no place for it, between {BEGIN}and {END}"
    shutil.copy(PICTURE, f"{TOP}/{SHOWN_PICTURE}")
    before, rest = text.split(BEGIN)
    part = f"\n![Cost against live mappings]({SHOWN_PICTURE})\n\n{table(main)}\n" \
        f"{told(load(ABOUT, {}).get('allin'))}\n"
    with open(README, "w") as out:
        out.write(before + BEGIN + part + END + rest.split(END)[1])
    return None
