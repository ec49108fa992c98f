#!/usr/bin/env python3
"""The quickstart's promise under several BLAS kernels: every row but the control beats the majority
baseline by more than its 95 % interval, in every column, with seeds 1 to 5. What the rows make of
the control, no_pretraining, is printed and no promise.

    scripts/check_quickstart.py [--cloze BIN] [--out DIR] [--seeds N] [KERNEL ...]

Float32 results depend on the order of additions in the matrix products, so a promise that holds on
one processor may be luck. OPENBLAS_CORETYPE makes one machine compute as others do. A kernel that
this processor cannot run is named and left out. Kernels may add in the same order: the last line
counts those whose metrics differ, since equal ones are one check, not two. Runs lie in DIR/KERNEL
and go on where they were.
Exit code: 0 the promise holds wherever it could be checked, 1 it does not or a run failed."""

import argparse
import hashlib
import json
import os
import subprocess
import sys

# What each kernel's instructions ask of /proc/cpuinfo.
KERNELS = {
    "Haswell": {"avx2", "fma"},
    "Zen": {"avx2", "fma"},
    "SkylakeX": {"avx512f", "avx512bw", "avx512vl"},
    "Sandybridge": {"avx"},
}


def processor_flags():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


def run(options, kernel):
    out = os.path.join(options.out, kernel)
    seeds = ["--seeds", str(options.seeds)]
    command = [options.cloze, "run", "experiments/quickstart.yaml", "--out", out, *seeds]
    subprocess.run(
        command,
        env={**os.environ, "OPENBLAS_CORETYPE": kernel},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with open(os.path.join(out, "result.json"), encoding="utf-8") as file:
        return json.load(file)["metrics"]


def show(metrics, kernel, seeds):
    """Prints a line or two for each row and column; returns how many do not keep the promise. The
    control is the row that has no difference to it."""
    broken = 0
    for row, result in metrics.items():
        for column, cell in result["table"].items():
            ours, lead, control = cell["ours"], cell["lead"], cell["over_control"]
            keeps = cell["beats_baseline"] and ours["seeds"] == seeds
            broken += not keeps and control is not None
            place = f"{kernel:11} {row:13} {column:9}"
            score = f"{ours['mean']:6.2f} +- {ours['half_interval']:5.2f}"
            above = f"{lead['mean']:+6.2f} +- {lead['half_interval']:5.2f}"
            verdict = "yes" if keeps else "NO"
            beaten = "beaten" if cell["beats_strongest"] else "not beaten"
            strongest = f"{cell['strongest_kind']} {beaten}"
            print(f"{place} {score}   above majority {above}   {verdict}   {strongest}", flush=True)
            if control:
                over = f"{control['mean']:+6.2f} +- {control['half_interval']:5.2f}"
                print(f"{'':44} over the control {over}", flush=True)
    return broken


def fingerprint(metrics):
    """The metrics' bits: floats are written with all their digits."""
    text = json.dumps(metrics, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def show_distinct(hashes):
    """HASHES: {kernel: fingerprint}. Prints which kernels gave the same bits."""
    alike = {}
    for kernel, value in hashes.items():
        alike.setdefault(value, []).append(kernel)
    for value, kernels in alike.items():
        print(f"metrics {value}: {', '.join(kernels)}")
    print(f"{len(hashes)} kernels checked, {len(alike)} gave distinct results")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="of " + ", ".join(KERNELS))
    parser.add_argument("--cloze", default="build/release/bin/cloze")
    parser.add_argument("--out", default="runs/kernels")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    unknown = set(options.kernels) - set(KERNELS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(KERNELS)}")
    broken, hashes = 0, {}
    for kernel in options.kernels or KERNELS:
        missing = KERNELS[kernel] - processor_flags()
        if missing:
            print(
                f"{kernel:11} not checked: this processor has no {', '.join(sorted(missing))}",
                flush=True,
            )
            continue
        metrics = run(options, kernel)
        broken += show(metrics, kernel, options.seeds)
        hashes[kernel] = fingerprint(metrics)
    show_distinct(hashes)
    print(f"{broken} promises broken")
    return 1 if broken or not hashes else 0


if __name__ == "__main__":
    sys.exit(main())
