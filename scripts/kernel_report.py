#!/usr/bin/env python3
"""What can be known of the CUDA kernels' speed without a card: counts of the emulator, registers and
spills, machine code, and the bounds that follow for published rates of cards. Never a time.

  kernel_report.py --build build/release            docs/kernels.md and experiments/results/kernels/
  kernel_report.py --build build/release --check    holds the counts to the targets and to what is
                                                    committed there, writes nothing

The list of experiments/bench/counted.json is counted in float32, bfloat16 and float16: sectors of
global memory, wavefronts of shared memory, tensor instructions and more, by kernel and source line.
With ptxas' account and, where cuobjdump and nvdisasm are found (PATH or .venv: pip install
nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm), the code of the innermost loops.

Each line says what misses a target. --check ends with 1 then, but for what is known to (KNOWN of
kernel_costs/targets.py), and where that does not miss it any longer; where anything is counted that
the committed report has otherwise, or its page is not that of its numbers; with 77 where the build
has no emulator or no nvcc. Registers, spills and resident blocks are compared and held to targets
where ptxas has the report's version; instructions are not compared.
"""

import argparse
import json
import os
import sys

from kernel_costs import compare, counts, page, ptxas, report, sass

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PRECISIONS = ("bf16", "f32", "fp16")
SHOWN = 40  # differences


def missing_parts(build):
    """Why nothing can be counted, or None."""
    if not os.path.exists(os.path.join(build, "tests", "counted", "count_kernels")):
        return "%s has no emulator (count_kernels)" % build
    if not ptxas.read(build):
        return "%s has no kernels compiled by nvcc (cuda/*.ptxas.txt)" % build
    return None


MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


def page_differences(before, path):
    try:
        made = page.make(before)
    except MALFORMED as error:
        return ["no page can be made of it: %s: %s" % (type(error).__name__, error)]
    with open(path, encoding="utf-8") as f:
        return compare.of_page(f.read(), made)


def committed(a):
    """(the report that is committed, None), or (None, why there is none)."""
    path = os.path.join(a.out, "kernels.json")
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f), None
    except (OSError, json.JSONDecodeError) as error:
        return None, str(error)


def same_ptxas(before, build):
    """False where the committed report is of another ptxas, whose registers and spills are not held
    to anything."""
    try:
        return before is None or compare.same_ptxas(before, ptxas.version(build))
    except MALFORMED:
        return True  # which is said when it is compared


def differences(before, whole, a):
    """(what the committed JSON and page have otherwise, notes), as lines."""
    path = os.path.join(a.out, "kernels.json")
    try:
        found, notes = compare.of_reports(before, whole, sass.find_tool() is not None)
        wrong = ["%s: %s" % (path, x) for x in found]
        return wrong + ["%s: %s" % (a.page, x) for x in page_differences(before, a.page)], notes
    except OSError as error:
        return [str(error)], []
    except MALFORMED as error:
        return ["%s is no report of this program: %s: %s" % (path, type(error).__name__, error)], []


def compared(before, why, whole, a):
    """BEFORE and WHY: of `committed`. True when the committed report is that of what was counted;
    else what differs, and what makes it anew, is printed."""
    wrong, notes = ([why], []) if why else differences(before, whole, a)
    for line in notes + wrong[:SHOWN]:
        print(line)
    if len(wrong) > SHOWN:
        print("... and %d more" % (len(wrong) - SHOWN))
    if wrong:
        print("made anew by: scripts/kernel_report.py --build %s" % a.build)
    return not wrong


def write(whole, a):
    os.makedirs(a.out, exist_ok=True)
    for name, text in (
        (os.path.join(a.out, "kernels.json"), report.text_of(whole)),
        (a.page, page.make(whole)),
    ):
        with open(name + ".tmp", "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(name + ".tmp", name)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", default="build/release", help="a build folder (build/release)")
    parser.add_argument("--check", action="store_true", help="hold the counts to the targets")
    parser.add_argument("--shapes", default=os.path.join(ROOT, "experiments/bench/counted.json"))
    parser.add_argument("--bench", default=os.path.join(ROOT, "experiments/bench/kernels.json"))
    parser.add_argument("--out", default=os.path.join(ROOT, "experiments/results/kernels"))
    parser.add_argument("--page", default=os.path.join(ROOT, "docs/kernels.md"))
    a = parser.parse_args()
    build = os.path.abspath(a.build)
    why = missing_parts(build)
    if why:
        print("kernel_report: skipped: " + why)
        return 77
    with open(a.shapes, encoding="utf-8") as f:
        shapes = json.load(f)
    passes, sizes = counts.count(build, shapes, PRECISIONS), report.sizes_of(shapes)
    files = ptxas.read(build)
    before, why = committed(a) if a.check else (None, None)
    new, known, stale, notes = report.missed(passes, sizes, files, same_ptxas(before, build))
    for line in ["known: " + x for x in known] + notes + new + stale:
        print(line)
    print(report.summary(passes, new, known))
    with open(a.bench, encoding="utf-8") as f:
        bench = json.load(f)
    tool = None if a.check else sass.find_tool()
    whole = report.make(passes, sizes, files, bench, (new, known), build, tool)
    if a.check:
        return 0 if compared(before, why, whole, a) and not new + stale else 1
    if not tool:
        print("instructions of loops are left out: cuobjdump is neither on PATH nor in .venv")
    write(whole, a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
